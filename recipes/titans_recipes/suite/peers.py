"""Forecasters of other packages, run in the same command where they are installed.

Each gets the histories before a window and the season of the calendar; covariates go to those that take them. Missing
values are interpolated for peers that refuse them. statsforecast (from at most `STEPS` steps) and flaircast are fitted
anew at every window; mlforecast's model is trained once, before the first window, as ours is; fracast is not trained.

Shapes: N series, T steps, H horizon steps, Q levels, K covariates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.baseline import seasonal_naive
from titans_recipes.suite.protocol import LEVELS, Forecaster
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import Window

INSTALL = 'pip install "titans-ts[peers]"'
# Latest steps of each series that are read: classical models take time that grows with them and gain nothing.
STEPS = 2000
# statsforecast's exponential smoothing has no longer seasons.
LONGEST_ETS_SEASON = 24
TREES, FEWEST_FOR_FRACAST, BATCH = 100, 8, 64


@dataclass(frozen=True)
class Peer:
    """A forecaster of other packages.

    Attributes:
        packages: that it needs.
        make: its forecaster for a task and a seed.
    """

    packages: tuple[str, ...]
    make: Callable[[SuiteTask, int], Forecaster]

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.packages if _version(name) is None]

    def versions(self) -> str:
        """What is installed, such as "statsforecast 2.1.1"."""
        return ", ".join(f"{name} {_version(name)}" for name in self.packages)


def statsforecast(model: str) -> Callable[[SuiteTask, int], Forecaster]:
    """A model of statsforecast; where it fails on a series, that package's seasonal naive forecast takes its place."""

    def make(task: SuiteTask, seed: int) -> Forecaster:
        """The forecaster of a task."""
        models, package = import_module("statsforecast.models"), import_module("statsforecast")
        levels = sorted(round(200 * abs(level - 0.5)) for level in LEVELS if level > 0.5)

        def forecast(window: Window) -> FloatArray:
            """Quantiles (N, H, Q) of a window."""
            one = getattr(models, model)(season_length=_seasons(model, task, window))
            fallback = models.SeasonalNaive(season_length=task.period)
            engine = package.StatsForecast(models=[one], freq=1, n_jobs=1, fallback_model=fallback)
            table = _long(filled(window.histories[:, -STEPS:]))
            found = engine.forecast(df=table, h=task.horizon, level=levels)
            ends = [f"{model}-{'lo' if level < 0.5 else 'hi'}-{round(200 * abs(level - 0.5))}" for level in LEVELS]
            columns = [model if level == 0.5 else name for level, name in zip(LEVELS, ends, strict=True)]
            return _rows(found, columns, window)

        return forecast

    return make


def _seasons(model: str, task: SuiteTask, window: Window) -> int | list[int]:
    """The season for a model: two for MSTL where the history holds both twice; 1 where smoothing knows none so long."""
    shortest, period, second = min(window.ends), task.period, task.second_period
    if model == "MSTL":
        return [period, second] if second and 2 * second < min(shortest, STEPS) else [max(period, 2)]
    return 1 if model == "AutoETS" and period > LONGEST_ETS_SEASON else period


def lightgbm(task: SuiteTask, seed: int) -> Forecaster:
    """Gradient-boosted trees of mlforecast and LightGBM, a model a level, on lags of standardised seasonal differences.

    Of three forms (values, differences, seasonal differences) this one has the smallest errors on the tables of
    `defaults`.
    """
    package, transforms = import_module("mlforecast"), import_module("mlforecast.target_transforms")
    trees = import_module("lightgbm")
    settings = {"objective": "quantile", "n_estimators": TREES, "random_state": seed, "n_jobs": 1, "verbosity": -1}
    models = {f"q{level}": trees.LGBMRegressor(alpha=level, **settings) for level in LEVELS}
    near = range(1, min(max(task.period, 4), 24) + 1)
    lags = sorted({*near, task.period, 2 * task.period, task.second_period} - {0})
    scales = [transforms.Differences([task.period]), transforms.LocalStandardScaler()]
    engine = package.MLForecast(models, freq=1, lags=lags, target_transforms=scales)

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        table = _long(filled(window.histories), window)
        if window.number == 0:
            engine.fit(table, static_features=[], dropna=False)
        future = _ahead(window) if task.covariates else None
        found = engine.predict(task.horizon, new_df=table, X_df=future)
        return np.sort(_rows(found, list(models), window), axis=2)

    return forecast


def flair(task: SuiteTask, seed: int) -> Forecaster:
    """FLAIR of flaircast: quantiles of 200 sample paths a series."""
    package = import_module("flaircast")

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        found = []
        for item, end in zip(window.items, window.ends, strict=True):
            options: dict[str, Any] = {"freq": {"B": "D"}.get(task.freq, task.freq), "seed": seed}
            if task.covariates:
                known = task.known[item]
                options |= {"X_hist": known[:end], "X_future": known[end : end + task.horizon]}
            paths = package.forecast(task.series[item][:end], task.horizon, **options)
            found.append(np.quantile(paths, LEVELS, axis=0).T)
        return np.stack(found)

    return forecast


def fracast(task: SuiteTask, seed: int) -> Forecaster:
    """Fracast-0, a pretrained network whose weights its package ships: nine deciles.

    Series with fewer than eight values, which it refuses, get the seasonal naive forecast.
    """
    model = import_module("fracast").FracastModel.from_pretrained()

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        found = seasonal_naive(window)
        recent = window.histories[:, -model.context_length :]
        enough = np.flatnonzero(np.isfinite(recent).sum(axis=1) >= FEWEST_FOR_FRACAST)
        for rows in np.split(enough, range(BATCH, len(enough), BATCH)):
            if len(rows):
                found[rows, :, 1:-1] = np.sort(model.forecast_batch(recent[rows], horizon=task.horizon), axis=2)
        found[..., [0, -1]] = np.nan
        return found

    return forecast


PEERS: Mapping[str, Peer] = {
    "AutoETS": Peer(("statsforecast",), statsforecast("AutoETS")),
    "AutoTheta": Peer(("statsforecast",), statsforecast("AutoTheta")),
    "MSTL": Peer(("statsforecast",), statsforecast("MSTL")),
    "LightGBM": Peer(("mlforecast", "lightgbm"), lightgbm),
    "FLAIR": Peer(("flaircast",), flair),
    "Fracast": Peer(("fracast",), fracast),
}


def filled(histories: FloatArray) -> FloatArray:
    """Histories (N, T) with gaps interpolated and the end held; NaN stays before the first value."""
    return pd.DataFrame(histories.T).interpolate(limit_direction="forward").to_numpy(np.float64).T


def _long(histories: FloatArray, window: Window | None = None) -> pd.DataFrame:
    """A long table as the packages of Nixtla read it, steps counted; with a window also its covariates.

    Every series ends at the same step; values before its first are left out.
    """
    there = np.isfinite(histories)
    rows, steps = np.nonzero(there)
    table = pd.DataFrame({"unique_id": rows, "ds": steps, "y": histories[rows, steps]})
    return table if window is None else _with_covariates(table, window, histories.shape[1])


def _ahead(window: Window) -> pd.DataFrame:
    """The covariates of the steps to be forecast, in the same form."""
    rows = np.repeat(np.arange(len(window.items)), window.task.horizon)
    first = window.histories.shape[1]
    steps = np.tile(np.arange(first, first + window.task.horizon), len(window.items))
    return _with_covariates(pd.DataFrame({"unique_id": rows, "ds": steps}), window, first)


def _with_covariates(table: pd.DataFrame, window: Window, length: int) -> pd.DataFrame:
    """Covariates and their seasonal differences as columns; step `length` of the table is the first of the window."""
    task = window.task
    if not task.covariates:
        return table
    rows, steps = table["unique_id"].to_numpy(), table["ds"].to_numpy()
    known = np.concatenate([task.known[item] for item in window.items])
    begins = np.cumsum([0, *(len(task.known[item]) for item in window.items[:-1])])
    within = steps - length + np.asarray(window.ends)[rows]
    places = begins[rows] + within
    earlier = np.where((within >= task.period)[:, None], known[places - task.period], np.nan)
    # LightGBM refuses names with commas, so they are numbered.
    values = {f"known_{i}": known[places, i] for i in range(len(task.covariates))}
    differences = {f"change_{i}": known[places, i] - earlier[:, i] for i in range(len(task.covariates))}
    return table.assign(**values, **differences)


def _rows(found: pd.DataFrame, columns: list[str], window: Window) -> FloatArray:
    """Quantiles (N, H, Q) of a table of forecasts."""
    table = found.reset_index() if "unique_id" not in found.columns else found
    table = table.sort_values(["unique_id", "ds"], kind="stable")
    return table[columns].to_numpy(np.float64).reshape(len(window.items), window.task.horizon, len(columns))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
