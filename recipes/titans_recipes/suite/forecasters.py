"""Our own forecasters on a task: `TitansForecaster` as a user would call it, experts and pretrained weights alone.

A forecaster is fitted once, on what lies before the first window; later windows are forecast from the history up to
them without another fit: `TitansForecaster.update` takes in what has come since.

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
from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.protocol import LEVELS, Forecaster
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import Window
from titans_ts import TitansForecaster
from titans_ts.forecasting.experts import ExpertMixture
from titans_ts.forecasting.pretrained import PretrainedReads, load_pretrained

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

    whole = _has_silence(task)

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SeriesWarning)
            if window.number == 0:
                forecaster.fit(window.frame())
            elif not whole:
                forecaster.update(window.arrived())
            if whole or len(window.items) > PART:
                parts = range(0, len(window.items), PART)
                return np.concatenate([_from_table(forecaster, window, first) for first in parts])
            return _quantiles(forecaster.predict(future=window.future()), window.items, task.horizon)

    return forecast


def _has_silence(task: SuiteTask) -> bool:
    """Whether a series has no value just before a window.

    Then `update` can't tell a forecaster how far the series goes, and it reads the whole history at every window.
    """
    for x in task.series:
        ends = [len(x) - task.horizon * back for back in range(1, task.windows)]
        if any(end > 0 and not np.isfinite(x[end - 1]) for end in ends):
            return True
    return False


def _from_table(forecaster: TitansForecaster, window: Window, first: int) -> FloatArray:
    """Quantiles (N, H, Q) of `PART` series from one on, from their histories as a table."""
    last = first + PART
    table = forecaster.predict(window.frame(first, last), future=window.future(first, last))
    return _quantiles(table, window.items[first:last], window.task.horizon)


def _quantiles(table: object, items: list[int], horizon: int) -> FloatArray:
    """A forecast table as (N, H, Q), in the order of the items."""
    assert isinstance(table, pd.DataFrame)
    found = table[COLUMNS].to_numpy(np.float64).reshape(len(items), horizon, len(LEVELS))
    order = {item: place for place, item in enumerate(table["item_id"].to_numpy()[::horizon])}
    return found[[order[item] for item in items]]


def experts(task: SuiteTask, settings: Mapping[str, Any], seed: int) -> Forecaster:
    """The mixture of experts with the season of the calendar; it reads no covariates and draws nothing."""
    mixture = ExpertMixture(task.period, task.second_period, levels=LEVELS, **settings)

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        found = np.empty((len(window.items), task.horizon, len(LEVELS)))
        # Series of like length together: a part is as wide as its longest.
        for rows in _parts(np.argsort(window.ends, kind="stable")):
            longest = max(window.ends[row] for row in rows)
            found[rows] = mixture.forecast(window.histories[rows, -longest:], task.horizon).quantiles
        return found

    return forecast


def reads(task: SuiteTask, settings: Mapping[str, Any], seed: int) -> Forecaster:
    """The pretrained weights alone, each history by itself; what covariates add is taken off first."""
    source = PretrainedReads(task.period, task.second_period, load_pretrained(**settings))

    def forecast(window: Window) -> FloatArray:
        """Quantiles (N, H, Q) of a window."""
        pairs = list(zip(window.items, window.ends, strict=True))
        histories = [np.asarray(task.series[item][:end], dtype=np.float64) for item, end in pairs]
        known = [np.asarray(task.known[item], dtype=np.float64).T for item, _ in pairs] if task.known else None
        return source.quantiles(histories, task.horizon, LEVELS, known)

    return forecast


def _parts(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.split(rows, range(PART, len(rows), PART))


# By the entry `forecaster` of a run; and the settings that a run may give it.
OURS = {"titans": titans, "experts": experts, "reads": reads}
SETTINGS = {
    "titans": ("max_steps", "time_budget", "context_length", "block", "device", "options"),
    "experts": ("windows", "context"),
    "reads": ("name",),
}
