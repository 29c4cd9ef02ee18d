"""The linear part of a network, fitted in closed form on the windows of a store."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from titans_datasets.series import Windows, WindowStore
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batches

LOADED = 512
FOLDS = 3
# Ways of reading windows are compared on every so many-th batch.
SOME = 4


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def store_batches(
    store: WindowStore, windows: Windows, device: torch.device, every: int = 1
) -> Iterator[dict[str, Tensor]]:
    """The windows in order, in batches of 512: the first batch of every so many."""
    for first in range(0, len(windows), LOADED * every):
        yield to_device(store.batch(windows.take(slice(first, first + LOADED))), device)


def time_folds(windows: Windows) -> list[Windows]:
    """The windows in consecutive parts of time; one part when they are few."""
    if len(windows) < 100 * FOLDS:
        return [windows]
    order = windows.positions.argsort(stable=True)
    return [windows.take(part.sort().values) for part in order.tensor_split(FOLDS)]


def fit_linear(network: ForecastNetwork, store: WindowStore, train: Windows, held_out: Windows | None) -> None:
    """Fit the linear part in closed form, on evenly thinned training windows where there are more than it needs.

    Args:
        network: whose linear part is fitted.
        store: the series.
        train: training windows.
        held_out: windows that choose the penalties; None keeps those of the fit before, if there was one.
    """
    series = 0 if store.multichannel else len(train.items.unique())
    most = network.linear.ridge.sufficient_windows(len(train), series)
    thin = train.take(slice(0, None, max(1, -(-len(train) // most))))
    device = next(network.parameters()).device
    check: Batches | None = None
    if held_out is not None and len(held_out):
        check = partial(store_batches, store, held_out, device)
    folds = time_folds(thin)
    every, some = ([partial(store_batches, store, part, device, n) for part in folds] for n in (1, SOME))
    network.fit_linear(every, check, some)
