"""Checks of a network's forecasts against the histories they continue; what fails is forecast by the experts alone.

A linear part that reads windows in units of their own spread can extrapolate without bound where a series has only
just begun to vary, and float32 has no digits left where the level is far above the movement.

Shapes: R rows (series × channels, or windows × channels), T steps of a history, H horizon, Q levels.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from titans_datasets.series import SeriesWarning
from titans_datasets.text import counted, some
from titans_ts.forecasting.experts.panel import aligned
from titans_ts.forecasting.experts.sanity import RANGE_READ, Ranges

FloatArray = npt.NDArray[np.float64]

# Spreads by which a forecast may leave the range of its history: the center (mean and median), levels from 0.05 to
# 0.95, and levels beyond. Measured on the last horizon of ten public data sets (monthly, quarterly and yearly business
# series, tourism, hospital, economic indicators, electricity transformers) without training, on three of them with it:
# honest centers needed up to 0.70, honest levels up to 9.4 (short yearly series; those beyond 5 were better than the
# mixture).
CENTER_MULTIPLE, LEVEL_MULTIPLE, TAIL_MULTIPLE = 3.0, 10.0, 20.0
# A width below so many distances of the 5 % and 95 % quantiles of fewer than FEW observed values comes from a fit
# without freedom; the narrowest honest one was 0.13 of it. Longer histories may be free of noise.
FEW, TINY_WIDTH = 24, 0.02
ROWS_AT_ONCE = 512
NOT_FINITE, OUTSIDE, NO_WIDTH = 1, 2, 3
REASONS = {
    NOT_FINITE: "the network's forecast is not finite",
    OUTSIDE: "the network's forecast leaves the history's range by more than "
    f"{CENTER_MULTIPLE:g} (center) or {LEVEL_MULTIPLE:g} (interval) times its spread",
    NO_WIDTH: "the network's interval has no width, the history varies",
}


def check(
    mean: FloatArray, quantiles: FloatArray, histories: Sequence[FloatArray], levels: Sequence[float]
) -> npt.NDArray[np.int64]:
    """Code (R,) of the check that a row fails, 0 where it passes: mean (R, H), quantiles (R, H, Q)."""
    parts = [slice(first, first + ROWS_AT_ONCE) for first in range(0, len(mean), ROWS_AT_ONCE)]
    return np.concatenate([_check(mean[part], quantiles[part], histories[part], levels) for part in parts])


def _check(
    mean: FloatArray, quantiles: FloatArray, histories: Sequence[FloatArray], levels: Sequence[float]
) -> npt.NDArray[np.int64]:
    recent = aligned([history[-RANGE_READ:] for history in histories])
    seen = Ranges.of(recent)
    margin = (margins(recent, seen) * seen.beyond(mean.shape[1]))[:, None]
    allowed = margin * np.array([CENTER_MULTIPLE, *(_multiple(level) for level in levels)])
    values = np.concatenate([mean[..., None], quantiles], axis=2)
    finite = np.isfinite(values).all(axis=(1, 2))
    least, greatest = values.min(axis=1), values.max(axis=1)
    outside = (least < seen.bottom[:, None] - allowed) | (greatest > seen.top[:, None] + allowed)
    with np.errstate(invalid="ignore"):
        width = np.median(np.ptp(quantiles, axis=2), axis=1)
    distance = seen.high - seen.low
    tiny = np.where(seen.number < FEW, TINY_WIDTH * distance, 0.0)
    flat = (width <= tiny) & (distance > 0) & (len(levels) > 1)
    found = np.select([~finite, outside.any(axis=1), flat], [NOT_FINITE, OUTSIDE, NO_WIDTH], 0)
    # Where nothing was observed there is nothing to compare with.
    return np.where(np.isfinite(recent).any(axis=1), found, 0)


def margins(history: FloatArray, seen: Ranges) -> FloatArray:
    """Spread (R,) of histories (R, T): the robust one, the standard deviation where most values are equal.

    A history that never varies has a tenth of its level, or 1.
    """
    there = np.isfinite(history)
    middle = np.where(there, history, 0.0).sum(axis=1, keepdims=True) / seen.number[:, None]
    deviation = np.sqrt(np.where(there, (history - middle) ** 2, 0.0).sum(axis=1) / seen.number)
    spread = np.where(seen.high > seen.low, seen.spread, np.maximum(seen.spread, deviation))
    level = np.abs(seen.top)
    return np.where(seen.top > seen.bottom, spread, np.where(level > 0, 0.1 * level, 1.0))


def _multiple(level: float) -> float:
    if 0.4 <= level <= 0.6:
        return CENTER_MULTIPLE
    return LEVEL_MULTIPLE if 0.05 <= level <= 0.95 else TAIL_MULTIPLE


def warn_replaced(names: Sequence[Hashable], replaced: Mapping[int, int], stacklevel: int = 4) -> None:
    """One `SeriesWarning` that names the series of the replaced rows; none where none was replaced."""
    if not replaced:
        return
    texts = []
    for code, reason in REASONS.items():
        series = list(dict.fromkeys(names[row] for row, found in replaced.items() if found == code))
        if series:
            texts.append(f"{some(series)} ({reason})")
    count = counted(len({names[row] for row in replaced}), "item")
    text = f"{count} forecast by the expert mixture alone: {'; '.join(texts)}"
    warnings.warn(text, SeriesWarning, stacklevel)
