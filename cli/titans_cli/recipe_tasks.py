"""What a recipe trains and scores: one function a task, each of which gives rows of one table.

Shapes: B windows, P horizon steps, Q quantile levels, M series.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from titans_datasets.series.benchmarks import LongHorizonTask, RollingTask
    from titans_datasets.series.windows import Windows
    from titans_ts.forecasting.network import ForecastNetwork

FloatArray = npt.NDArray[np.float64]

# The held-out windows that are scored again and again while a network trains.
CHECKED_WINDOWS = 2000


class Row(NamedTuple):
    """One model on one data set; scores that a task does not have are None.

    Attributes:
        run, horizon, seed: which model.
        mse, mae, wql, mase: test errors; linear_mse … the same of its closed-form linear map alone ("memory off").
        validation: mean loss of the held-out windows (long horizon: squared error).
        best_step: gradient step of the weights that were kept; share: how much of them, see `kept_share`.
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

    from titans_datasets.series.benchmarks import long_horizon
    from titans_ts.core.config import MemoryConfig, TitansConfig
    from titans_ts.forecasting.network import ForecastNetwork, NetworkConfig, linear_map
    from titans_ts.forecasting.training import TrainingConfig, train

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
    linear = window_errors(linear_map(network), task, test)
    mse, mae = window_errors(network, task, test) if result.share else linear
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
        share=result.share,
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_seconds=round(spent, 1),
    )


def window_errors(network: ForecastNetwork, task: LongHorizonTask, windows: Windows) -> tuple[float, float]:
    """Mean squared and mean absolute error over windows × horizon, on standardised values."""
    import torch

    from titans_ts.forecasting.training import store_batches

    squared = absolute = count = 0.0
    with torch.inference_mode():
        for batch in store_batches(task.store, windows, torch.device("cpu")):
            error = (network(batch).mean - batch["future_target"]).double()
            squared, absolute = squared + float(error.square().sum()), absolute + float(error.abs().sum())
            count += error.numel()
    return squared / count, absolute / count


def electricity_rows(
    recipe: Mapping[str, Any], run: str, settings: Mapping[str, Any], horizon: int, seed: int
) -> Iterator[Row]:
    """One forecaster of an electricity-price recipe, fitted once before the first cutoff; baselines, once.

    Scores are means over the windows of each window's own score, as fev-bench takes them.
    """
    from titans_datasets.series.benchmarks import electricity_price
    from titans_ts import TitansForecaster

    task = electricity_price(recipe["market"])
    options = {**settings["network"], **settings["backbone"], **settings["training"], **settings["windows"]}
    limits = {name: options.pop(name) for name in ("max_steps", "block") if name in options}
    forecaster = TitansForecaster(
        task.horizon,
        context_length=settings["context_length"],
        quantiles=task.quantiles,
        known_covariates=task.schema.known_covariates,
        freq="h",
        random_state=seed,
        options={"progress": False, **options, **({"memory": settings["memory"]} if settings["memory"] else {})},
        **limits,
    )
    started = time.process_time()
    result = forecaster.backtest(task.frame, windows=task.windows, step=task.step)
    spent = time.process_time() - started
    means = result.by_window.groupby("model")[["WQL", "MASE"]].mean()
    scores = {str(model): (float(wql), float(mase)) for model, wql, mase in means.itertuples()}
    if seed == min(recipe["seeds"]):
        scores["daily ridge"] = daily_ridge(task)
        for name in ("seasonal naive", "daily ridge"):
            yield Row(name, horizon, seed, wql=scores[name][0], mase=scores[name][1])
    (wql, mase), (linear_wql, linear_mase) = scores["titans"], scores["titans, memory off"]
    training = result.forecaster.training_
    network = result.forecaster.network_
    assert not isinstance(training, dict)
    yield Row(
        run,
        horizon,
        seed,
        wql=wql,
        mase=mase,
        linear_wql=linear_wql,
        linear_mase=linear_mase,
        validation=training.best_loss,
        best_step=training.best_step,
        share=training.share,
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_seconds=round(spent, 1),
    )


def daily_ridge(task: RollingTask, days: int = 728, penalty: float = 0.01) -> tuple[float, float]:
    """WQL and MASE of a linear map a day: what a table of prices and covariates gives in a second.

    It reads the prices of 1, 2, 3 and 7 days before, the covariates of the day, of 1 and of 7 days before, and the
    weekday; least squares over the last `days` days before the first cutoff, with quantiles of the residuals of each
    hour, cross-fitted over five stretches of time.
    """
    from titans_ts.forecasting.metrics import seasonal_error, weighted_quantile_loss

    per_day = task.horizon
    skip = len(task.frame) % per_day
    values = task.frame.iloc[skip:]
    prices = values["target"].to_numpy(np.float64).reshape(-1, per_day)
    known = values[list(task.schema.known_covariates)].to_numpy(np.float64).reshape(len(prices), -1)
    weekday = np.eye(7)[values["timestamp"].dt.dayofweek.to_numpy()[::per_day]]
    count = len(prices)
    parts = [
        *(prices[7 - lag : count - lag] for lag in (1, 2, 3, 7)),
        *(known[7 - lag : count - lag] for lag in (0, 1, 7)),
    ]
    x, y = np.concatenate([*parts, weekday[7:]], axis=1), prices[7:]
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    end = len(y) - task.windows * task.step // per_day
    train = np.arange(max(0, end - days), end)
    fold = np.arange(len(train)) * 5 // len(train)
    crossed = [y[train[fold == k]] - _ridge(x, y, train[fold != k], penalty)[train[fold == k]] for k in range(5)]
    spread = np.quantile(np.concatenate(crossed), task.quantiles, axis=0).T
    point = _ridge(x, y, train, penalty)[end:]
    history = task.frame["target"].to_numpy(np.float64)
    wql = [weighted_quantile_loss(a, p[:, None] + spread, task.quantiles) for a, p in zip(y[end:], point, strict=True)]
    median = point + spread[:, task.quantiles.index(0.5)]
    errors = np.abs(y[end:] - median).mean(1)
    scales = [seasonal_error(history[:cutoff], task.season) for cutoff in task.cutoffs]
    return float(np.mean(wql)), float(np.mean(errors / scales))


def _ridge(x: FloatArray, y: FloatArray, rows: npt.NDArray[np.int64], penalty: float) -> FloatArray:
    """Fitted on some rows, forecasts of all."""
    centre, level = x[rows].mean(0), y[rows].mean(0)
    design = x[rows] - centre
    gram = design.T @ design
    gram[range(len(gram)), range(len(gram))] += penalty * len(rows)
    fitted: FloatArray = (x - centre) @ np.linalg.solve(gram, design.T @ (y[rows] - level)) + level
    return fitted
