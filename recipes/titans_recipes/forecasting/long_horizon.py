"""The task `long_horizon`: public sets with long horizons, every test window, standardised values.

Shapes: B windows, P horizon steps, M series.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from titans_datasets.series.batches.windows import Windows
from titans_datasets.series.public.benchmarks import LongHorizonTask, long_horizon
from titans_recipes.forecasting.rows import ForecastRow, forecast_table, label
from titans_recipes.forecasting.settings import Job, check_settings, jobs
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.core.config import MemoryConfig, TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork, linear_part
from titans_ts.forecasting.model.window import future_target
from titans_ts.forecasting.training.closed_form import store_batches
from titans_ts.forecasting.training.config import TrainingConfig
from titans_ts.forecasting.training.fit import train

# The held-out windows that are scored again and again while a network trains.
CHECKED_WINDOWS = 2000


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown settings.

    Raises:
        ValueError: with what is known; or a run has members.
    """
    check_settings(path, recipe)
    if any((run or {}).get("members") for run in recipe["runs"].values()):
        raise ValueError(f"{path}: members are for task electricity_prices, not for long_horizon: make them runs")


def run(recipe: Recipe, selection: Selection) -> Iterator[ForecastRow]:
    """Every selected run at every horizon with every seed."""
    return (score(recipe, job) for job in jobs(recipe, selection))


def score(recipe: Recipe, job: Job) -> ForecastRow:
    """Train and score one model; checks in training use some validation windows, the scores all of them.

    A recipe with ``every: n`` scores one test window in n, the same ones for each of its runs.
    """
    settings, context = job.settings, int(job.settings["context_length"])
    calendar = tuple(recipe.get("calendar", ()))
    task = long_horizon(recipe["set"], context, job.horizon, calendar=calendar)
    backbone = TitansConfig(memory=MemoryConfig(**settings["memory"]), **settings["backbone"])
    sizes: dict[str, Any] = {
        "context_length": context,
        "prediction_length": job.horizon,
        "season": recipe["season"],
        "time_features": task.store.num_time_features,
        "calendar": calendar,
        "phase_column": 0 if calendar else -1,
    }
    torch.manual_seed(job.seed)
    network = ForecastNetwork(NetworkConfig(**sizes, backbone=backbone, **settings["network"]))
    started = time.process_time()
    checks = task.validation.take(slice(None, None, max(1, len(task.validation) // CHECKED_WINDOWS)))
    config = TrainingConfig(seed=job.seed, progress=False, **settings["training"])
    result = train(network, task.store, task.train, checks, config)
    spent = time.process_time() - started
    test = task.test.take(slice(None, None, int(recipe.get("every", 1))))
    linear = window_errors(linear_part(network), task, test)
    mse, mae = window_errors(network, task, test) if result.network_weight else linear
    return ForecastRow(
        job.run,
        job.horizon,
        job.seed,
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
    squared = absolute = count = 0.0
    with torch.inference_mode():
        for batch in store_batches(task.store, windows, torch.device("cpu")):
            error = network(batch).mean - future_target(batch)
            squared, absolute = squared + float(error.square().sum()), absolute + float(error.abs().sum())
            count += error.numel()
    return squared / count, absolute / count


TASK = Task(
    row=ForecastRow,
    results="results.csv",
    check=check,
    run=run,
    reads=("defaults", "calendar", "every"),
    table=forecast_table,
    scores=("mse", "mae"),
    needs=("set", "horizons", "season"),
    keys=("horizon",),
    label=label,
    horizons=True,
)
