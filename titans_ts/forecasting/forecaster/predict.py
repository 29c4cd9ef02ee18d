"""Forecasts of records from their last window, of any length: shorter than trained is cut, longer is rolled.

Rolling: each block of P steps is forecast once for each trained quantile path of the blocks before it, and the
quantiles of the block are those of the mixture over the paths. A path keeps its level from block to block, which is the
pessimistic choice; the tails beyond the outermost trained level are cut, which is the optimistic one.

Shapes: I items, H horizon, P trained prediction length, L context, M channels (multi-channel records only), K paths,
Q quantile levels, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_datasets.series import SeriesRecord, Windows, WindowSpec, WindowStore
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork, PrefilledContext
from titans_ts.forecasting.model.window import Batch, origin_of
from titans_ts.support.device import placed

FloatArray = npt.NDArray[np.float64]
CHUNK = 512


def forecast_records(
    network: ForecastNetwork,
    records: Sequence[SeriesRecord],
    horizon: int,
    levels: Sequence[float],
    device: torch.device,
) -> Forecast:
    """Forecast the `horizon` steps after each record.

    Args:
        network: a trained network.
        records: series with the fields of the fit; known covariates reach `horizon` steps past the target.
        horizon: H ≥ 1.
        levels: quantile levels.
        device: where it is computed.

    Returns:
        mean (I, H[, M]) and quantiles (I, H[, M], Q), float64 on the CPU.

    Raises:
        ValueError: the head cannot give one of the levels, or known covariates are missing.
    """
    trained = network.config.prediction_length
    total = -(-horizon // trained) * trained
    padded = [_pad_known(record, horizon, total) for record in records]
    store = WindowStore(padded, WindowSpec(network.config.context_length, total, calendar=network.config.calendar))
    network.eval()
    parts: list[Forecast] = []
    with placed([network], device), torch.inference_mode():
        for batch in batches(store, store.last_window(), device, CHUNK):
            parts.append(roll(network, batch, total // trained, list(levels)))
    mean, quantiles = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Forecast(mean[:, :horizon].double().cpu(), quantiles[:, :horizon].double().cpu())


def batches(store: WindowStore, windows: Windows, device: torch.device, size: int) -> Iterator[Batch]:
    """The windows in order, `size` at a time, on a device."""
    for first in range(0, len(windows), size):
        batch = store.batch(windows.take(slice(first, first + size)))
        yield {name: value.to(device) for name, value in batch.items()}


def forecast_windows(
    network: ForecastNetwork,
    records: Sequence[SeriesRecord],
    windows: Windows,
    levels: Sequence[float],
    device: torch.device,
) -> Forecast:
    """Forecasts of windows inside the records, each from what lies before it alone.

    Returns:
        mean (W, P[, M]), quantiles (W, P[, M], Q), float64 on the CPU.
    """
    config = network.config
    spec = WindowSpec(config.context_length, config.prediction_length, calendar=config.calendar)
    store = WindowStore(records, spec)
    # Nothing that comes after a window sets its units.
    loc, scale = store.units_at(windows, alone=True)
    loc = loc - store.item_origin[windows.items]
    network.eval()
    parts: list[Forecast] = []
    with placed([network], device), torch.inference_mode():
        for number, batch in enumerate(batches(store, windows, device, CHUNK)):
            part = slice(number * CHUNK, (number + 1) * CHUNK)
            batch["item_loc"], batch["item_scale"] = loc[part].float().to(device), scale[part].float().to(device)
            parts.append(network(batch, list(levels)))
    mean, quantiles = (torch.cat(tensors).double().cpu() for tensors in zip(*parts, strict=True))
    return Forecast(mean, quantiles)


def _pad_known(record: SeriesRecord, horizon: int, total: int) -> SeriesRecord:
    """Known covariates for whole blocks: the last given row, repeated over steps that are cut off again."""
    known = record.feat_dynamic_real
    if known is None or known.shape[1] < record.length + horizon or horizon == total:
        return record
    known = known[:, : record.length + horizon]
    return replace(record, feat_dynamic_real=np.pad(known, ((0, 0), (0, total - horizon)), mode="edge"))


def roll(
    network: ForecastNetwork, batch: Batch, blocks: int, levels: list[float], prefilled: PrefilledContext | None = None
) -> Forecast:
    """All blocks of one batch: mean (B, H[, M]), quantiles (B, H[, M], Q).

    `prefilled`, the state of a session, is for the first block; later blocks read their window.
    """
    read = network if prefilled is None else partial(network, prefilled=prefilled)
    first: Forecast = read(_block(network, batch, 0, batch["past_target"].shape[1]), levels)
    if blocks == 1:
        return first
    paths = network.config.levels
    weights = _weights(paths).to(first.mean)
    values: Tensor = read(_block(network, batch, 0, batch["past_target"].shape[1]), paths).quantiles
    many = {name: value.repeat_interleave(len(paths), dim=0) for name, value in batch.items()}
    means, quantiles = [first.mean], [first.quantiles]
    for block in range(1, blocks):
        many = _append(many, values.movedim(-1, 1).flatten(0, 1))
        found = _in_chunks(network, _block(network, many, block, batch["past_target"].shape[1]), paths)
        mean, mixed = (x.unflatten(0, (-1, len(paths))) for x in found)
        means.append((mean.movedim(1, -1) * weights).sum(-1))
        mixture, mass = mixed.movedim(1, -2).flatten(-2), torch.outer(weights, weights).flatten()
        quantiles.append(weighted_quantiles(mixture, mass, levels))
        values = weighted_quantiles(mixture, mass, paths)
    return Forecast(torch.cat(means, dim=1), torch.cat(quantiles, dim=1))


def _block(network: ForecastNetwork, batch: Batch, block: int, past: int) -> Batch:
    """The batch as the network sees it `block` blocks later; `past` is the context length L."""
    steps = network.config.prediction_length
    shift = block * steps
    times = torch.cat([batch["past_time_feat"], batch["future_time_feat"]], dim=1)
    covariates = batch["past_feat_dynamic_real"]
    if shift:
        # What past covariates will be is unknown: their last season is repeated.
        season = min(network.config.season, past)
        repeated = covariates[:, past - season :].repeat(1, -(-shift // season), 1)[:, :shift]
        covariates = torch.cat([covariates, repeated], dim=1)[:, -past:]
    return {
        **batch,
        "past_target": batch["past_target"][:, -past:],
        "past_observed_values": batch["past_observed_values"][:, -past:],
        "past_time_feat": times[:, shift : shift + past],
        "future_time_feat": times[:, shift + past : shift + past + steps],
        "past_feat_dynamic_real": covariates,
    }


def _append(batch: Batch, values: Tensor) -> Batch:
    """The batch with forecast values (B, P[, M]) as observed past."""
    origin = origin_of(batch)
    values = (values if origin is None else values - origin).to(batch["past_target"])
    return {
        **batch,
        "past_target": torch.cat([batch["past_target"], values], dim=1),
        "past_observed_values": torch.cat([batch["past_observed_values"], torch.ones_like(values)], dim=1),
    }


def _in_chunks(network: ForecastNetwork, batch: Batch, levels: list[float]) -> Forecast:
    size = len(batch["past_target"])
    parts = [
        network({name: value[first : first + CHUNK] for name, value in batch.items()}, levels)
        for first in range(0, size, CHUNK)
    ]
    return Forecast(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _weights(levels: list[float]) -> Tensor:
    """Probability that each quantile stands for (K,): up to half way to its neighbours, to 0 and 1 at the ends."""
    q = torch.tensor(levels, dtype=torch.float64)
    edges = torch.cat([q.new_zeros(1), (q[1:] + q[:-1]) / 2, q.new_ones(1)])
    return edges.diff()


def weighted_quantiles(values: Tensor, weights: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantiles (…, Q) of weighted samples: values (…, N), weights (N,) that sum to 1; linear between samples."""
    if values.shape[-1] == 1:
        return values.expand(*values.shape[:-1], len(levels))
    ordered, order = values.sort(dim=-1)
    mass = weights.to(values)[order]
    middle = (mass.cumsum(-1) - mass / 2).contiguous()
    wanted = torch.tensor(list(levels), dtype=values.dtype, device=values.device)
    wanted = wanted.expand(*middle.shape[:-1], -1).contiguous()
    above = torch.searchsorted(middle, wanted).clamp(1, middle.shape[-1] - 1)
    low, high = middle.gather(-1, above - 1), middle.gather(-1, above)
    share = ((wanted - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return torch.lerp(ordered.gather(-1, above - 1), ordered.gather(-1, above), share)
