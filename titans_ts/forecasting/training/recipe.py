"""`recipe_module`: the forecasting module of a recipe's `model:` section, sizes that follow from the data filled in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from titans_datasets.series.public.sources import SeriesTask
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES, LinearName
from titans_ts.forecasting.model.heads import HeadName
from titans_ts.forecasting.sizes import Options, WindowOptions, network_config
from titans_ts.forecasting.training.module import ForecastingModule


def recipe_module(
    task: Any,
    *,
    backbone: TitansConfig = TitansConfig(),  # noqa: B008
    head: HeadName = "quantile",
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES,
    patch_length: int | None = None,
    patch_stride: int | None = None,
    linear: LinearName = "nested",
    channel_mixing: bool = False,
    head_dropout: float = 0.2,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
) -> ForecastingModule:
    """A forecast network for the data of a recipe, with its loss, optimiser and schedule.

    Args:
        task: the data (`titans_datasets.series.public.sources.SeriesTask`), from which lengths, features and
            season follow.
        backbone: block, width, heads, layers, memory …
        head: kind of forecast.
        quantiles: trained levels.
        patch_length: steps of one token; null takes a season or what gives 20 to 50 tokens.
        patch_stride: steps between past patches; null is half of a given patch_length.
        linear: the closed-form linear part: nested, single or none.
        channel_mixing: attention across the columns of a multi-channel target.
        head_dropout: dropout in front of the head.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on the matrices of the backbone.

    Raises:
        ValueError: a value is out of range or does not fit the data.
    """
    assert isinstance(task, SeriesTask)
    chosen = {"head": head, "linear": linear, "channel_mixing": channel_mixing, "head_dropout": head_dropout}
    patches = {"patch_length": patch_length, "patch_stride": patch_stride}
    network = {**chosen, **{name: value for name, value in patches.items() if value is not None}}
    block = asdict(backbone)
    spec = task.store.spec
    params = {
        "prediction_length": spec.prediction_length,
        "context_length": spec.context_length,
        "quantiles": quantiles,
        "block": block.pop("block"),
    }
    options = Options(network, block, {}, WindowOptions())
    config = network_config(params, options, task.store, task.encoder, task.store.frequency)
    return ForecastingModule(config.to_dict(), learning_rate, weight_decay)
