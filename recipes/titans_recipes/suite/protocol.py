"""How a suite scores: MASE of the median, weighted quantile loss of nine deciles, coverage, CPU seconds.

As GIFT-Eval and Chronos define them: MASE is the mean over windows of the mean absolute error over the mean absolute
seasonal difference of everything before the window; WQL is twice the pinball loss summed over everything, over Σ|y|,
mean over levels. fev-bench takes means over windows of each window's own, and of the columns of a table the mean over
columns, where Σ|y| counts as at least 1 a step. Relative scores are geometric means over tasks of score over seasonal
naive's.

Shapes: N series, H horizon steps, Q = 11 levels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import Window, windows

# Quantiles (N, H, Q) of a window; NaN at 0.05 and 0.95 where a forecaster does not know them.
Forecaster = Callable[[Window], FloatArray]
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
DECILES = slice(1, 10)


@dataclass(frozen=True)
class Score:
    """Of a forecaster on a task.

    Attributes:
        mase, wql: see the module.
        coverage: share of the values within the central 50, 80 and 90 %; None where the levels are not there.
        seconds: CPU seconds of this process and the children it has waited for, of forecasting only.
        series, windows: of the task; forecasts: windows of all series.
    """

    mase: float
    wql: float
    coverage: tuple[float | None, float | None, float | None]
    seconds: float
    series: int
    windows: int
    forecasts: int


class Totals:
    """Sums over windows of N series.

    Args:
        count: N.
    """

    def __init__(self, count: int) -> None:
        self.pinball, self.size, self.steps = np.zeros(count), np.zeros(count), np.zeros(count, dtype=int)
        self.relative: list[FloatArray] = []
        self.inside, self.forecasts = np.zeros(3), 0

    def add(self, window: Window, quantiles: FloatArray) -> None:
        """One window's forecasts (N, H, Q)."""
        actual, deciles, items = window.actual, quantiles[..., DECILES], window.items
        there = np.isfinite(actual)
        levels = np.array(LEVELS[DECILES])
        error = np.where(there[..., None], actual[..., None] - deciles, 0.0)
        self.pinball[items] += 2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=2).sum(axis=1)
        self.size[items] += np.abs(np.where(there, actual, 0.0)).sum(axis=1)
        counts = there.sum(axis=1)
        self.steps[items] += counts
        usable = (window.scales > 0) & (counts > 0)
        absolute = np.abs(error[usable, :, 4]).sum(axis=1) / counts[usable]
        self.relative.append(absolute / window.scales[usable])
        for place, (low, high) in enumerate(_intervals(quantiles)):
            known = np.isfinite(low).all() and np.isfinite(high).all()
            self.inside[place] += ((actual >= low) & (actual <= high))[there].sum() if known else np.nan
        self.forecasts += len(actual)

    def scores(self, by_series: bool) -> tuple[float, float]:
        """MASE and WQL; NaN where no history varies, or all values are 0."""
        relative = np.concatenate(self.relative)
        mase = float(relative.mean()) if len(relative) else float("nan")
        if by_series:
            seen = self.steps > 0
            return mase, float(np.mean(self.pinball[seen] / np.maximum(self.size[seen], self.steps[seen])))
        return mase, float(self.pinball.sum() / self.size.sum()) if self.size.any() else float("nan")


def evaluate(forecaster: Forecaster, task: SuiteTask) -> Score:
    """Scores over all windows, which come in order of time: a forecaster may fit at the first and go on from there.

    Raises:
        ValueError: a forecast is not finite where there is a value to compare it with, or of a wrong shape.
    """
    whole, each, seconds = Totals(len(task.series)), [], 0.0
    for window in windows(task):
        # What is prepared for all forecasters alike is not their time.
        _ = window.histories, window.actual, window.scales
        started = cpu_seconds()
        quantiles = forecaster(window)
        seconds += cpu_seconds() - started
        _check(quantiles, window)
        own = Totals(len(task.series))
        for totals in (whole, own):
            totals.add(window, quantiles)
        each.append(own.scores(task.by_series))
    mase, wql = (float(v) for v in np.mean(each, axis=0)) if task.by_window else whole.scores(task.by_series)
    covered = [None if np.isnan(inside) else float(inside / whole.steps.sum()) for inside in whole.inside]
    coverage = (covered[0], covered[1], covered[2])
    return Score(mase, wql, coverage, seconds, len(task.series), task.windows, whole.forecasts)


def cpu_seconds() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def geometric_means(
    scores: Mapping[str, tuple[float, float]], baseline: Mapping[str, tuple[float, float]]
) -> tuple[float, float]:
    """MASE and WQL (by task) relative to a baseline's on the tasks that both have; NaN where they share none."""
    common = [task for task in scores if task in baseline]
    if not common:
        return float("nan"), float("nan")
    logs = [[np.log(scores[task][i] / baseline[task][i]) for task in common] for i in (0, 1)]
    return float(np.exp(np.mean(logs[0]))), float(np.exp(np.mean(logs[1])))


def _intervals(quantiles: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Ends of the central 50, 80 and 90 %; quartiles lie half way between the deciles around them."""
    low, high = ((quantiles[..., i] + quantiles[..., i + 1]) / 2 for i in (2, 7))
    return [(low, high), (quantiles[..., 1], quantiles[..., -2]), (quantiles[..., 0], quantiles[..., -1])]


def _check(quantiles: FloatArray, window: Window) -> None:
    expected, name = (*window.actual.shape, len(LEVELS)), window.task.name
    if quantiles.shape != expected:
        raise ValueError(f"{name}: a forecast must be {expected}, series × steps × levels, got {quantiles.shape}")
    bad = ~np.isfinite(quantiles[..., DECILES]).all(axis=2) & np.isfinite(window.actual)
    if bad.any():
        item = window.items[int(np.argwhere(bad)[0, 0])]
        raise ValueError(f"{name}, window {window.number + 1}: the forecast of series {item} is not finite")
