"""Intervals corrected by a series' own recent errors, when it is forecast.

A network has one shape of intervals for all series. The errors of the forecasts that it would have made over the last
horizons of a series, at the same hour, show the intervals of that series. They are computed from the series that is
forecast, so nothing is stored about single series, and the intervals follow a change of volatility without training.

On the validation windows of ETTh1 (seven series, 24 hours ahead, linear part alone) the mean weighted quantile loss
falls from .2104 to .1975 with 60 horizons and .1979 with 30; with 120 it is .1981. Prior weights of 20 and 60 horizons
differ by .0003.

Shapes: I series, W past windows, P horizon steps, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from titans_datasets.series import Windows, WindowStore
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork
from titans_ts.forecasting.model.window import future_target

# Weight of the network's shape of intervals, and of its width of them, in horizons of past errors.
SHAPE_PRIOR, WIDTH_PRIOR = 20.0, 5.0
BATCH = 512
SMALLEST_WIDTH = 1e-9


class Errors(NamedTuple):
    """Errors (W, P) of past medians in units of the forecast's width, NaN where unobserved, and their series (W,)."""

    values: Tensor
    items: Tensor


def past_windows(store: WindowStore, season: int, horizons: int) -> Windows:
    """Whole windows at the end of each series, at the season's phase of its next step.

    They are `past_step` apart and reach `horizons` horizons (or seasons, where these are longer) back; those with less
    than half a context before them are left out.
    """
    horizon = store.spec.prediction_length
    step = past_step(horizon, season)
    first = -(-horizon // step)
    back = torch.arange(first, first + horizons * max(horizon, step) // step) * step
    positions = store.lengths[:, None] - back
    items = torch.arange(len(store.lengths))[:, None].expand_as(positions)
    fits = positions >= max(1, store.spec.context_length // 2)
    return store.with_observations(Windows(items[fits], positions[fits]))


def past_step(horizon: int, season: int) -> int:
    """Steps between past windows: as many whole seasons as fit a quarter of a horizon, at least one."""
    return season * max(1, horizon // (4 * season))


@torch.no_grad()
def forecast_windows(network: ForecastNetwork, store: WindowStore, windows: Windows, levels: list[float]) -> Forecast:
    """The network's forecasts of windows, on the CPU: mean (W, P), quantiles (W, P, Q)."""
    device = next(network.parameters()).device
    parts = []
    for first in range(0, len(windows), BATCH):
        batch = store.batch(windows.take(slice(first, first + BATCH)))
        parts.append(network({name: value.to(device) for name, value in batch.items()}, levels))
    horizon = network.config.prediction_length
    if not parts:
        empty = torch.zeros(0, horizon, dtype=torch.float64)
        return Forecast(empty, empty[..., None].expand(-1, -1, len(levels)))
    return Forecast(torch.cat([part.mean.cpu() for part in parts]), torch.cat([part.quantiles.cpu() for part in parts]))


def past_errors(network: ForecastNetwork, store: WindowStore, levels: list[float], horizons: int) -> Errors:
    """Errors of the forecasts that the network gives for the last horizons of each series."""
    windows = past_windows(store, network.config.season, horizons)
    quantiles = forecast_windows(network, store, windows, levels).quantiles
    median, width = _middle_and_width(quantiles, levels)
    batches = (store.batch(windows.take(slice(first, first + BATCH))) for first in range(0, len(windows), BATCH))
    future = [(future_target(batch), batch["future_observed_values"]) for batch in batches]
    if not future:
        return Errors(median, windows.items)
    target, observed = (torch.cat(tensors) for tensors in zip(*future, strict=True))
    return Errors(torch.where(observed > 0, (target - median) / width, torch.nan), windows.items)


def optimism(network: ForecastNetwork, store: WindowStore, levels: list[float], horizons: int) -> list[float]:
    """Width of the errors over the training series' last horizons relative to the network's intervals, for each step.

    The network was trained on these windows: where their errors are smaller than the intervals (below 1), so are past
    errors of any series that it was trained on.

    Returns:
        P values in 0.2 … 1.
    """
    errors = past_errors(network, store, levels, horizons).values
    if len(errors) == 0 or len(levels) == 1:
        return [1.0] * network.config.prediction_length
    found = _width(torch.nanquantile(errors, errors.new_tensor(levels), dim=0).T, levels)
    return [round(float(value), 4) for value in found.nan_to_num(1.0).clamp(0.2, 1.0)]


def calibrate(
    forecast: Forecast, errors: Errors, levels: list[float], seen: Sequence[float], per_horizon: float
) -> Forecast:
    """The forecast with its intervals and median corrected by past errors.

    Quantiles are ``median + width · (a · own + (1 − a) · f · shape)``: own are the quantiles of the series' errors,
    shape those of the network, f the ratio of their widths; a and log f grow with the number of errors n (in horizons)
    as n / (n + prior). They cannot cross.

    Args:
        forecast: mean (I, P) and quantiles (I, P, Q) of the network.
        errors: of the same series.
        levels: Q quantile levels, the median among them.
        seen: P values of `optimism`.
        per_horizon: past windows that count as one horizon.
    """
    middle, width = _middle_and_width(forecast.quantiles, levels)
    shape = (forecast.quantiles - middle[..., None]) / width[..., None]
    wanted = shape.new_tensor(levels)
    moved = shape.clone()
    scaled = errors.values / shape.new_tensor(seen)
    for item in errors.items.unique().tolist():
        own = scaled[errors.items == item]
        count = (~own.isnan()).sum(0) / per_horizon
        found = torch.nanquantile(own, wanted, dim=0).T
        stretch = _width(found, levels).clamp(0.05, 20.0) ** (count / (count + WIDTH_PRIOR))
        share = (count / (count + SHAPE_PRIOR))[:, None]
        blend = share * found + (1 - share) * stretch[:, None] * shape[item]
        moved[item] = torch.where(count[:, None] > 0, blend, shape[item])
    shift = ((moved - shape) * _masses(wanted)).sum(-1)
    return Forecast(forecast.mean + width * shift, middle[..., None] + width[..., None] * moved)


def _middle_and_width(quantiles: Tensor, levels: list[float]) -> tuple[Tensor, Tensor]:
    """Median and mean distance of the other levels from it, both (…, P)."""
    middle = quantiles[..., levels.index(0.5)]
    return middle, _width(quantiles, levels).clamp_min(SMALLEST_WIDTH)


def _width(quantiles: Tensor, levels: list[float]) -> Tensor:
    """Mean distance of the levels from the median, (…, P)."""
    return (quantiles - quantiles[..., levels.index(0.5)][..., None]).abs().sum(-1) / max(1, len(levels) - 1)


def _masses(levels: Tensor) -> Tensor:
    """Probability (Q,) that each level represents: half of the gaps beside it, everything beyond the outermost ones."""
    edges = torch.cat([levels.new_zeros(1), (levels[1:] + levels[:-1]) / 2, levels.new_ones(1)])
    return edges.diff()
