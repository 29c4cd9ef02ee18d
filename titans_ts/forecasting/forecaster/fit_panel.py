"""A fit without the facade: from parameters and a panel of records to a `FittedForecaster`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from titans_datasets.series import SeriesPanel, SeriesSchema, WindowStore
from titans_ts.forecasting import sizes
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.inputs import check_dates
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.training.config import TrainingConfig

if TYPE_CHECKING:
    from titans_ts.forecasting.training.config import TrainingResult


def fit(
    params: Mapping[str, Any],
    panel: SeriesPanel,
    schema: SeriesSchema,
    channels: list[Hashable] | None,
    seed: int,
    row_counts: Mapping[Hashable, int] | None = None,
) -> FittedForecaster:
    """Train on records.

    Args:
        params: parameters of the forecaster, checked.
        panel: the series.
        schema: columns and their roles.
        channels: items that are the channels of the panel's record, None where none were made channels.
        seed: of initialisation and training.
        row_counts: see `FittedForecaster`.

    Raises:
        ValueError: an option is unknown or out of range, series are too short, or the loss is not finite.
    """
    network, training = _train(params, panel, seed)
    device = params["device"]
    return FittedForecaster(
        network, schema, panel.frequency, panel.encoder, channels, panel, device, training, row_counts
    )


def _train(params: Mapping[str, Any], panel: SeriesPanel, seed: int) -> tuple[ForecastNetwork, TrainingResult]:
    """Choose windows and network, train."""
    # Imported here: it takes seconds, and only training needs it.
    from titans_ts.forecasting.training.fit import train

    check_dates(panel, bool(params.get("calendar") or params.get("holidays")))
    options = sizes.split_options(params["options"])
    lengths = [record.length for record in panel.records]
    spec = sizes.window_spec(params, options, panel.frequency, lengths)
    count, step = sizes.choose_validation(spec.prediction_length, lengths, options.windows.validation_windows)
    held = spec.prediction_length + (count - 1) * step if count else 0
    store = WindowStore(panel.records, spec, statistics_holdout=held)
    training, validation = store.split(count, step=step)
    config = sizes.network_config(params, options, store, panel.encoder, panel.frequency)
    limits = {name: params[name] for name in ("max_steps", "time_budget", "device")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ForecastNetwork(config)
    result = train(
        network,
        store,
        training,
        validation,
        TrainingConfig(**limits, seed=seed, **options.training),
        refit_windows=store.windows(),
    )
    # A fitted forecaster holds CPU tensors only: its pickle opens on any machine.
    network.linear_head = {name: value.cpu() for name, value in (network.linear_head or {}).items()} or None
    return network, result
