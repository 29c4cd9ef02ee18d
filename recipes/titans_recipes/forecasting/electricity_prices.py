"""The task `electricity_prices`: a day ahead, forecasters of a recipe, the mean of several, and a daily linear model.

Shapes: W windows, P horizon steps, Q quantile levels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_datasets.series.public import benchmarks
from titans_datasets.series.public.benchmarks import RollingTask
from titans_recipes.forecasting.rows import ForecastRow, forecast_table, label
from titans_recipes.forecasting.settings import Job, check_settings, jobs
from titans_recipes.task import Recipe, Selection, Task
from titans_ts import TitansForecaster
from titans_ts.forecasting.backtest.result import BacktestResult
from titans_ts.forecasting.metrics import seasonal_error, weighted_quantile_loss

FloatArray = npt.NDArray[np.float64]


def run(recipe: Recipe, selection: Selection) -> Iterator[ForecastRow]:
    """Every selected run at every horizon with every seed."""
    for job in jobs(recipe, selection):
        yield from rows_of(recipe, job)


def rows_of(recipe: Recipe, job: Job) -> Iterator[ForecastRow]:
    """The forecasters of a run, each fitted once before the first cutoff; baselines with the first seed.

    A run with members gives a row for each of them and one for the mean of their quantiles. Scores are means over the
    windows of each window's own score, as fev-bench takes them.
    """
    task = benchmarks.electricity_price(recipe["market"])
    members = job.settings.get("members") or {job.run: job.settings}
    found: list[FloatArray] = []
    actual = np.zeros(0)
    total, parameters = 0.0, 0
    for place, (name, own) in enumerate(members.items()):
        started = time.process_time()
        result = backtest(task, own, job.seed)
        spent = time.process_time() - started
        actual, quantiles = forecasts(task, result)
        found.append(quantiles)
        row = _member_row(result, job._replace(run=name), spent)
        if place == 0 and job.seed == min(recipe["seeds"]):
            yield from _baselines(task, result, job)
        yield row
        total, parameters = total + spent, parameters + (row.parameters or 0)
    if len(members) > 1:
        wql, mase = scores(task, actual, np.mean(found, axis=0))
        total = round(total, 1)
        yield ForecastRow(job.run, job.horizon, job.seed, wql=wql, mase=mase, parameters=parameters, cpu_seconds=total)


def backtest(task: RollingTask, settings: Mapping[str, Any], seed: int) -> BacktestResult[TitansForecaster]:
    """One forecaster on all windows."""
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
    return forecaster.backtest(task.frame, windows=task.windows, step=task.step)


def forecasts(task: RollingTask, result: BacktestResult[TitansForecaster]) -> tuple[FloatArray, FloatArray]:
    """Actual values (W, P) and quantiles (W, P, Q), windows in order of time."""
    frame = result.forecasts.sort_values(["cutoff", "timestamp"])
    shape = (task.windows, task.horizon)
    levels = frame[[str(level) for level in task.quantiles]].to_numpy(np.float64)
    return frame["actual"].to_numpy(np.float64).reshape(shape), levels.reshape(*shape, len(task.quantiles))


def scores(task: RollingTask, actual: FloatArray, quantiles: FloatArray) -> tuple[float, float]:
    """WQL and MASE, means over the windows, of actual values (W, P) and quantiles (W, P, Q)."""
    history = task.frame["target"].to_numpy(np.float64)
    wql = [weighted_quantile_loss(a, q, task.quantiles) for a, q in zip(actual, quantiles, strict=True)]
    errors = np.abs(actual - quantiles[..., task.quantiles.index(0.5)]).mean(1)
    scales = [seasonal_error(history[:cutoff], task.season) for cutoff in task.cutoffs]
    return float(np.mean(wql)), float(np.mean(errors / scales))


def _means(result: BacktestResult[TitansForecaster], model: str) -> tuple[float, float]:
    """WQL and MASE of a model, means over the windows."""
    table = result.by_window
    mine = table[table["model"] == model]
    return float(mine["WQL"].mean()), float(mine["MASE"].mean())


def _member_row(result: BacktestResult[TitansForecaster], job: Job, spent: float) -> ForecastRow:
    (wql, mase), (linear_wql, linear_mase) = _means(result, "titans"), _means(result, "linear part alone")
    training, network = result.forecaster.training_, result.forecaster.network_
    assert not isinstance(training, dict)
    return ForecastRow(
        job.run,
        job.horizon,
        job.seed,
        wql=wql,
        mase=mase,
        linear_wql=linear_wql,
        linear_mase=linear_mase,
        validation=training.best_loss,
        best_step=training.best_step,
        share=training.network_weight,
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_seconds=round(spent, 1),
    )


def _baselines(task: RollingTask, result: BacktestResult[TitansForecaster], job: Job) -> Iterator[ForecastRow]:
    for name, (wql, mase) in (("seasonal naive", _means(result, "seasonal naive")), ("daily ridge", daily_ridge(task))):
        yield ForecastRow(name, job.horizon, job.seed, wql=wql, mase=mase)


def daily_ridge(task: RollingTask, days: int = 728, penalty: float = 0.01) -> tuple[float, float]:
    """WQL and MASE of ridge regression from day to day: what a table of prices and covariates gives in a second.

    It reads the prices of 1, 2, 3 and 7 days before, the covariates of the day, of 1 and of 7 days before, and the
    weekday; fitted on the last `days` days before the first cutoff, with quantiles of the residuals of each hour,
    cross-fitted over five segments of time.
    """
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
    return scores(task, y[end:], point[..., None] + spread)


def _ridge(x: FloatArray, y: FloatArray, rows: npt.NDArray[np.int64], penalty: float) -> FloatArray:
    """Fitted on some rows, forecasts of all."""
    centre, level = x[rows].mean(0), y[rows].mean(0)
    design = x[rows] - centre
    gram = design.T @ design
    gram[range(len(gram)), range(len(gram))] += penalty * len(rows)
    fitted: FloatArray = (x - centre) @ np.linalg.solve(gram, design.T @ (y[rows] - level)) + level
    return fitted


TASK = Task(
    row=ForecastRow,
    results="results.csv",
    check=check_settings,
    run=run,
    reads=("defaults",),
    table=forecast_table,
    scores=("wql", "mase"),
    needs=("market", "horizons"),
    keys=("horizon",),
    label=label,
    horizons=True,
)
