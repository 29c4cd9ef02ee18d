"""What a recipe trains and scores: rows of one table, and the long-horizon task.

Shapes: B windows, P horizon steps, M series.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from titans_datasets.series.batches.windows import Windows
    from titans_datasets.series.public.benchmarks import LongHorizonTask
    from titans_ts.forecasting.model.network import ForecastNetwork

FloatArray = npt.NDArray[np.float64]

# The held-out windows that are scored again and again while a network trains.
CHECKED_WINDOWS = 2000


class Row(NamedTuple):
    """One model on one data set; scores that a task does not have are None.

    Attributes:
        run, horizon, seed: which model.
        mse, mae, wql, mase: test errors; linear_mse … the same of its closed-form linear map alone ("memory off").
        validation: mean loss of the held-out windows (long horizon: squared error).
        best_step: gradient step of the weights that were kept; share: how much of them, see `network_weight`.
        parameters: of the network; cpu_seconds: of training.
    """

    run: str
    horizon: int
    seed: int
    mse: float | None = None
    mae: float | None = None
    wql: float | None = None
    mase: float | None = None
    linear_mse: float | None = None
    linear_mae: float | None = None
    linear_wql: float | None = None
    linear_mase: float | None = None
    validation: float | None = None
    best_step: int | None = None
    share: float | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None


def long_horizon_row(
    recipe: Mapping[str, Any], run: str, settings: Mapping[str, Any], horizon: int, seed: int
) -> Iterator[Row]:
    """One model of a long-horizon recipe; the checks use some validation windows, the scores all of them.

    A recipe with ``every: n`` scores one test window in n, the same ones for each of its runs.
    """
    import torch

    from titans_datasets.series.public.benchmarks import long_horizon
    from titans_ts.core.config import MemoryConfig, TitansConfig
    from titans_ts.forecasting.model.config import NetworkConfig
    from titans_ts.forecasting.model.network import ForecastNetwork, linear_part
    from titans_ts.forecasting.training.config import TrainingConfig
    from titans_ts.forecasting.training.fit import train

    context, calendar = int(settings["context_length"]), tuple(recipe.get("calendar", ()))
    task = long_horizon(recipe["set"], context, horizon, calendar=calendar)
    backbone = TitansConfig(memory=MemoryConfig(**settings["memory"]), **settings["backbone"])
    sizes: dict[str, Any] = {
        "context_length": context,
        "prediction_length": horizon,
        "season": recipe["season"],
        "time_features": task.store.num_time_features,
        "calendar": calendar,
        "phase_column": 0 if calendar else -1,
    }
    torch.manual_seed(seed)
    network = ForecastNetwork(NetworkConfig(**sizes, backbone=backbone, **settings["network"]))
    started = time.process_time()
    checks = task.validation.take(slice(None, None, max(1, len(task.validation) // CHECKED_WINDOWS)))
    config = TrainingConfig(seed=seed, progress=False, **settings["training"])
    result = train(network, task.store, task.train, checks, config)
    spent = time.process_time() - started
    test = task.test.take(slice(None, None, int(recipe.get("every", 1))))
    linear = window_errors(linear_part(network), task, test)
    mse, mae = window_errors(network, task, test) if result.network_weight else linear
    yield Row(
        run,
        horizon,
        seed,
        mse=mse,
        mae=mae,
        linear_mse=linear[0],
        linear_mae=linear[1],
        validation=window_errors(network, task, task.validation)[0],
        best_step=result.best_step,
        share=result.network_weight,
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_seconds=round(spent, 1),
    )


def window_errors(network: ForecastNetwork, task: LongHorizonTask, windows: Windows) -> tuple[float, float]:
    """Mean squared and mean absolute error over windows × horizon, on standardised values."""
    import torch

    from titans_ts.forecasting.training.fit import store_batches

    squared = absolute = count = 0.0
    with torch.inference_mode():
        for batch in store_batches(task.store, windows, torch.device("cpu")):
            error = (network(batch).mean - batch["future_target"]).double()
            squared, absolute = squared + float(error.square().sum()), absolute + float(error.abs().sum())
            count += error.numel()
    return squared / count, absolute / count
