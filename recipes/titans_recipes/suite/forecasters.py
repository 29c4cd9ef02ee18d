"""Our own forecasters on a task: `TitansForecaster` as a user would call it, and the mixture of experts by itself.

A forecaster is fitted once, on what lies before the first window; later windows are forecast from the history up to
them without another fit.

Shapes: N series, T steps, H horizon steps, Q levels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.read.records import SeriesWarning
from titans_recipes.suite.protocol import LEVELS, Forecaster
from titans_recipes.suite.readers import FloatArray
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import Window
from titans_ts import TitansForecaster
from titans_ts.forecasting.experts import ExpertMixture

# Series that are forecast in one call: of sets with more, memory stays that of so many.
PART = 2000
COLUMNS = [str(level) for level in LEVELS]


def titans(task: SuiteTask, settings: Mapping[str, Any], seed: int) -> Forecaster:
    """`TitansForecaster(horizon, **settings)` with its defaults; progress is hidden."""
    options = {"progress": False, **settings.get("options", {})}
    freq = None if task.freq == "W" else task.freq
    forecaster = TitansForecaster(
        task.horizon,
        quantiles=LEVELS,
        freq=freq,
        known_covariates=task.covariates,
        random_state=seed,
        **{**settings, "options": options},
    )

    def forecast(window: Window) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SeriesWarning)
            if window.number == 0:
                forecaster.fit(window.frame())
            parts = range(0, len(window.items), PART)
            return np.concatenate([_predicted(forecaster, window, first) for first in parts])

    return forecast


def _predicted(forecaster: TitansForecaster, window: Window, first: int) -> FloatArray:
    """Quantiles (N, H, Q) of `PART` series from one on."""
    last = first + PART
    table = forecaster.predict(window.frame(first, last), future=window.future(first, last))
    assert isinstance(table, pd.DataFrame)
    count = len(window.items[first:last])
    return table[COLUMNS].to_numpy(np.float64).reshape(count, window.task.horizon, len(LEVELS))


def experts(task: SuiteTask, settings: Mapping[str, Any], seed: int) -> Forecaster:
    """The mixture of experts with the season of the calendar; it reads no covariates and draws nothing."""
    mixture = ExpertMixture(task.period, task.second_period, levels=LEVELS, **settings)

    def forecast(window: Window) -> FloatArray:
        found = np.empty((len(window.items), task.horizon, len(LEVELS)))
        # Series of like length together: a part is as wide as its longest.
        for rows in _parts(np.argsort(window.ends, kind="stable")):
            longest = max(window.ends[row] for row in rows)
            found[rows] = mixture.forecast(window.histories[rows, -longest:], task.horizon).quantiles
        return found

    return forecast


def _parts(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.split(rows, range(PART, len(rows), PART))


# By the entry `forecaster` of a run; and the settings that a run may give it.
OURS = {"titans": titans, "experts": experts}
SETTINGS = {
    "titans": ("max_steps", "time_budget", "context_length", "block", "device", "options"),
    "experts": ("windows", "context"),
}
