"""Forecasts of histories of any units and lengths by a trained `ReadingNetwork`.

Shapes: N histories, T steps of one, C covariates, H horizon, Q levels, J boundaries, G drafts from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_ts.core.config import require
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.features import boundary_inputs, draft_inputs
from titans_ts.forecasting.reads.held_out import NEEDED, SPAN
from titans_ts.forecasting.reads.memories.carried import Carried
from titans_ts.forecasting.reads.network import LEVELS, ReadingNetwork, at_levels
from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, Series

FloatArray = npt.NDArray[np.float64]
# Drafts from elsewhere: of histories at cutoffs so many steps before their ends (J,), for the steps after each, as
# (N, J, G, H) in the units of the histories.
DraftSource = Callable[[Sequence[FloatArray], Sequence[int], int], FloatArray]
# Future steps that are forecast at once.
CHUNK = 512
# Standard deviations: values and covariates further out count as if they were there.
LARGEST, LARGEST_COVARIATE = 30.0, 10.0
# Steps that drafts from elsewhere may read before the context, so that those of the first boundaries see as much.
EARLIER = BLOCK * NEEDED


@dataclass(frozen=True)
class ForecastOptions:
    """How histories are read.

    Attributes:
        second: a longer season, in steps; 0 takes the calendar's beside the season. Default: 0.0.
        contexts: last steps that are read; more take time and tell of longer periods. The forecasts of several are
            averaged; a history gets those of contexts that it does not fill only once. Default: (2048,).
        flip: average with the negative of the forecast of the negative history; doubles the time. Default: False.
        batch: histories that are read at once. Default: 64.

    Example:
        >>> from titans_ts.forecasting.reads import ForecastOptions
        >>> ForecastOptions(contexts=(512, 2048), flip=True).contexts
        (2048, 512)
    """

    second: float = 0.0
    contexts: tuple[int, ...] = (2048,)
    flip: bool = False
    batch: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "contexts", tuple(sorted(set(self.contexts), reverse=True)))
        require(min(self.contexts, default=0) >= BLOCK, "contexts", f"≥ {BLOCK} steps each", self.contexts)
        require(self.batch >= 1, "batch", "≥ 1", self.batch)


@dataclass(frozen=True)
class _Scaled:
    """Histories cut to their context: value = scaled · scale + location, as (B, T) with NaN in front."""

    scaled: FloatArray
    location: FloatArray
    scale: FloatArray
    lengths: list[int]
    nonnegative: npt.NDArray[np.bool_]


def forecast(
    network: ReadingNetwork,
    histories: Sequence[FloatArray],
    horizon: int,
    season: float = 0.0,
    levels: Sequence[float] = LEVELS,
    *,
    covariates: Sequence[FloatArray] | None = None,
    given: DraftSource | None = None,
    options: ForecastOptions | None = None,
) -> FloatArray:
    """Quantiles (N, H, Q) of the steps after each history, from that history alone.

    A history that does not vary goes on as it is; one without negative values gets no negative quantiles. Histories
    are padded by their own lengths, see `padded_length`: what one gets does not hang on those beside it.

    Args:
        network: trained.
        histories: (T,) each, NaN for missing, in any units; their lengths may differ.
        horizon: H.
        season: declared, in steps; below 2 periods are computed.
        levels: Q, each between 0 and 1.
        covariates: (C, T + H) of each history, known ahead; NaN for unknown.
        given: makes the drafts that the network knows beside `NAMES`.
        options: see `ForecastOptions`.

    Raises:
        ValueError: a history has no observed value or infinite ones, a level, the horizon, or the shape of covariates
            is wrong, or drafts are missing.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork, forecast
        >>> network = ReadingNetwork(ReadingConfig())  # or ReadingNetwork.load(path)
        >>> forecast(network, [np.sin(np.arange(60.0)), np.arange(9.0)], 12, season=7, levels=(0.1, 0.5, 0.9)).shape
        (2, 12, 3)
    """
    options = options or ForecastOptions()
    rows = [np.asarray(history, dtype=np.float64) for history in histories]
    _check(rows, horizon, levels, options)
    _check_covariates(covariates, rows, horizon)
    extra = len(network.config.drafts) - len(NAMES)
    if (given is None) != (extra == 0):
        raise ValueError(
            f"this network reads {extra} drafts from elsewhere: pass `given` only, and always, where it is > 0"
        )
    known = None if covariates is None else [np.asarray(own, dtype=np.float64) for own in covariates]
    reader = _Reader(network, horizon, season, tuple(levels), given, options)
    total, count = np.zeros((len(rows), horizon, len(levels))), np.zeros((len(rows), 1, 1))
    for context in options.contexts:
        places = [at for at, row in enumerate(rows) if context == options.contexts[0] or _adds(row, context)]
        for part in _batches([padded_length(len(rows[at]), context) for at in places], options.batch):
            chosen = [places[at] for at in part]
            own = None if known is None else [known[at] for at in chosen]
            # Divided first: the sum of numbers near the largest of float64 would overflow.
            count[chosen] += 1
            total[chosen] += (reader.quantiles([rows[at] for at in chosen], own, context) - total[chosen]) / count[
                chosen
            ]
    return total


def _adds(row: FloatArray, context: int) -> bool:
    """Whether a shorter context is another one for this history."""
    return len(row) > context and bool(np.isfinite(row[-context:]).any())


@dataclass(frozen=True)
class _Reader:
    """What is asked of histories."""

    network: ReadingNetwork
    horizon: int
    season: float
    levels: tuple[float, ...]
    given: DraftSource | None
    options: ForecastOptions

    def quantiles(
        self, rows: Sequence[FloatArray], covariates: Sequence[FloatArray] | None, context: int
    ) -> FloatArray:
        """Of a batch, from its last steps (B, H, Q)."""
        scaled = _scaled(rows, context)
        series = _series(scaled, self.season, self.options.second, _known(covariates, scaled, self.horizon))
        whole = padded_length(max(map(len, rows)), context)
        drafts = _given(self.given, [_padded(row, whole) for row in rows], series.length, self.horizon, scaled)
        deciles = deciles_after(self.network, series, self.horizon, drafts)
        if self.options.flip:
            turned = deciles_after(self.network, _flipped(series), self.horizon, None if drafts is None else -drafts)
            deciles = (deciles - turned.flip(-1)) / 2
        return _restored(at_levels(deciles, self.levels), scaled)


def _check(rows: Sequence[FloatArray], horizon: int, levels: Sequence[float], options: ForecastOptions) -> None:
    require(horizon >= 1, "horizon", "≥ 1 step", horizon)
    require(len(levels) > 0 and all(0 < level < 1 for level in levels), "levels", "between 0 and 1", list(levels))
    for number, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(f"history {number} must have the shape (steps,), got {row.shape}: pass one series each")
        if np.isinf(row).any():
            raise ValueError(f"history {number} has infinite values: make them NaN, which counts as missing")
        last = row[-options.contexts[0] :]
        if not np.isfinite(last).any():
            raise ValueError(f"history {number} has no observed value among its last {len(last)} steps: leave it out")


def _check_covariates(covariates: Sequence[FloatArray] | None, rows: Sequence[FloatArray], horizon: int) -> None:
    if covariates is None:
        return
    if len(covariates) != len(rows):
        raise ValueError(f"covariates must be those of all {len(rows)} histories, got {len(covariates)}")
    for number, (row, own) in enumerate(zip(rows, covariates, strict=True)):
        expected = (*np.shape(covariates[0])[:1], len(row) + horizon)
        if np.shape(own) != expected:
            raise ValueError(
                f"covariates of history {number} must have the shape (covariates, steps + horizon) = {expected}, "
                f"got {np.shape(own)}"
            )


def padded_length(length: int, context: int) -> int:
    """Steps that a history is padded to: 2 or 3 times a power of two, not beyond the context and what drafts read.

    Example:
        >>> [padded_length(length, 2048) for length in (5, 17, 40, 500, 2000, 2049, 9999)]
        [16, 24, 48, 512, 2048, 2296, 2296]
    """
    if length > context:
        return -(-context // BLOCK) * BLOCK + EARLIER
    size = 2 * BLOCK
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return min(size, -(-context // BLOCK) * BLOCK)


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places of histories of one padded length."""
    for length in sorted(set(lengths)):
        same = [place for place, own in enumerate(lengths) if own == length]
        for first in range(0, len(same), size):
            yield same[first : first + size]


def _scaled(rows: Sequence[FloatArray], context: int) -> _Scaled:
    """Each history's last steps less their mean, over their standard deviation; padded in front to whole blocks."""
    lengths = [min(len(row), context) for row in rows]
    steps = padded_length(max(lengths), context)
    scaled = np.full((len(rows), steps), np.nan)
    location, scale = np.zeros(len(rows)), np.zeros(len(rows))
    for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        last = row[-length:]
        size = np.nanmax(np.abs(last)) or 1.0
        location[at] = np.nanmean(last / size) * size
        constant = np.nanmax(last) == np.nanmin(last)
        location[at] = np.nanmax(last) if constant else location[at]
        scale[at] = 0.0 if constant else np.nanstd(last / size) * size
        scaled[at, steps - length :] = (last - location[at]) / (scale[at] or 1.0)
    low = np.array([np.nanmin(row) for row in rows])
    return _Scaled(np.clip(scaled, -LARGEST, LARGEST), location, scale, lengths, low >= 0)


def _series(scaled: _Scaled, season: float, second: float, covariates: Tensor | None) -> Series:
    observed = np.isfinite(scaled.scaled)
    values = np.where(observed, scaled.scaled, 0.0)
    periods = chosen_periods(computed_periods(values, observed), scaled.lengths, season, second)
    varies = scaled.nonnegative & (scaled.scale > 0)
    zero = np.where(varies, -scaled.location / np.where(scaled.scale > 0, scaled.scale, 1.0), np.nan)

    def tensor(numbers: npt.NDArray[Any]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float32)

    return Series.of(tensor(values), tensor(observed), tensor(periods), tensor(zero), covariates)


def _known(covariates: Sequence[FloatArray] | None, scaled: _Scaled, horizon: int) -> Tensor | None:
    """Covariates (B, C, L + H) less their means in the history, over their deviations; 0 where unknown or constant."""
    if covariates is None:
        return None
    steps = scaled.scaled.shape[1]
    found = np.zeros((len(covariates), len(covariates[0]), steps + horizon))
    for at, (own, length) in enumerate(zip(covariates, scaled.lengths, strict=True)):
        last = np.where(np.isfinite(own), own, np.nan)[:, own.shape[1] - length - horizon :]
        for place, row in enumerate(last):
            past = row[:length]
            if np.isfinite(past).any() and np.nanmax(past) > np.nanmin(past):
                unit = (row - np.nanmean(past)) / np.nanstd(past)
                found[at, place, steps - length :] = np.clip(np.nan_to_num(unit), -LARGEST_COVARIATE, LARGEST_COVARIATE)
    return torch.tensor(found, dtype=torch.float32)


def _padded(row: FloatArray, steps: int) -> FloatArray:
    """The last steps of a history, missing ones in front where it is shorter."""
    return np.pad(row[-steps:], (max(0, steps - len(row)), 0), constant_values=np.nan)


def _given(
    source: DraftSource | None, rows: Sequence[FloatArray], length: int, horizon: int, scaled: _Scaled
) -> Tensor | None:
    """Drafts from elsewhere (B, J, G, ≥ SPAN) in the units of the series; what is not finite is the series' mean."""
    if source is None:
        return None
    boundaries = min(length // BLOCK, NEEDED)
    cutoffs = [BLOCK * back for back in range(boundaries - 1, -1, -1)]
    drafts = source(rows, cutoffs, max(horizon, SPAN))
    shape = (len(rows), 1, 1, 1)
    scale = np.where(scaled.scale > 0, scaled.scale, 1.0)
    unit = (drafts - scaled.location.reshape(shape)) / scale.reshape(shape)
    unit = np.clip(np.nan_to_num(unit, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)
    return torch.tensor(unit, dtype=torch.float32)


@torch.no_grad()
def deciles_after(
    network: ReadingNetwork, series: Series, horizon: int, given: Tensor | None = None, carried: Carried | None = None
) -> Tensor:
    """Deciles (B, H, 9) of the steps after a batch of series, in its units.

    Args:
        network: trained.
        series: in float32, or in float64, which the network alone does not keep.
        horizon: H.
        given: (B, J, G, ≥ H) drafts from elsewhere at the last J boundaries, as many as are read.
        carried: states before the first step of the series, in its units.
    """
    boundaries = min(series.length // BLOCK, NEEDED)
    at = Boundaries.of(series, boundaries, given, carried)
    last = torch.full((len(series.values), 1), boundaries - 1)
    steps = torch.arange(1, horizon + 1)
    inputs = boundary_inputs(at, last, steps[:CHUNK])
    ends, found = at.chosen(last), []
    for part in steps.split(CHUNK):
        inputs = inputs._replace(drafts=draft_inputs(ends, inputs.centre, inputs.scale, part))
        deciles = network(inputs.single(), part).to(inputs.scale)
        found.append(deciles * inputs.scale[..., None] + inputs.centre[..., None])
    return torch.cat(found, 2)[:, 0]


def _flipped(series: Series) -> Series:
    nowhere = torch.full_like(series.zero, torch.nan)
    return replace(series, values=-series.values, filled=-series.filled, zero=nowhere)


def _restored(quantiles: Tensor, scaled: _Scaled) -> FloatArray:
    """Quantiles (B, H, Q) in the units of the histories, finite, and not below 0 where these are not."""
    shape = (len(scaled.scale), 1, 1)
    # Numbers near the largest of float64 may overflow; they stay finite.
    with np.errstate(over="ignore"):
        found = quantiles.double().numpy() * scaled.scale.reshape(shape) + scaled.location.reshape(shape)
    found = np.clip(found, -np.finfo(np.float64).max, np.finfo(np.float64).max)
    return np.where(scaled.nonnegative.reshape(shape), np.maximum(found, 0.0), found)
