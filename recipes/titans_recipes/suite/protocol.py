"""How a suite scores: the last windows of every series, MASE of the median and weighted quantile loss of nine deciles.

Both as GIFT-Eval and Chronos define them: MASE is the mean over windows of the mean absolute error over the mean
absolute seasonal difference of everything before the window; WQL is twice the pinball loss summed over everything,
over Σ|y|, mean over levels. Relative scores are geometric means over tasks of score over seasonal naive's.

Shapes: N series, T steps, H horizon steps, Q = 9 levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from titans_recipes.suite.tasks import SuiteTask

FloatArray = npt.NDArray[np.float64]
# Histories (N, T), padded with NaN on the left, and the task → quantiles (N, H, 9).
Forecaster = Callable[[FloatArray, SuiteTask], FloatArray]
LEVELS = np.arange(1, 10) / 10
BASELINE = "seasonal_naive"


@dataclass(frozen=True)
class Score:
    """Of a forecaster on a task: MASE, WQL, share of values within the central 80, 60, 40 and 20 %, CPU seconds."""

    mase: float
    wql: float
    coverage: tuple[float, float, float, float]
    seconds: float
    forecasts: int


def windows(task: SuiteTask) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Histories (N, T), actual values (N, H) and scales (N,) of one window after the other."""
    for back in range(task.windows, 0, -1):
        ends = [len(x) - task.horizon * back for x in task.series]
        kept = [(x, end) for x, end in zip(task.series, ends, strict=True) if end > task.season]
        longest = max(end for _, end in kept)
        histories = np.full((len(kept), longest), np.nan)
        for i, (x, end) in enumerate(kept):
            histories[i, longest - end :] = x[:end]
        actual = np.stack([x[end : end + task.horizon] for x, end in kept])
        scales = [np.nanmean(np.abs(x[task.season : end] - x[: end - task.season])) for x, end in kept]
        yield histories, actual, np.array(scales)


def evaluate(forecaster: Forecaster, task: SuiteTask) -> Score:
    """Scores over all windows; the forecaster sees the histories before a window only."""
    started = time.process_time()
    losses, total, relative = np.zeros(9), 0.0, []
    inside, count, forecasts = np.zeros(4), 0, 0
    for histories, actual, scales in windows(task):
        quantiles = forecaster(histories, task)
        error = actual[..., None] - quantiles
        losses += np.nansum(2 * np.maximum(LEVELS * error, (LEVELS - 1) * error), axis=(0, 1))
        total += float(np.nansum(np.abs(actual)))
        usable = scales > 0
        relative.append(np.nanmean(np.abs(error[usable, :, 4]), axis=1) / scales[usable])
        there = np.isfinite(actual)
        for k in range(4):
            between = (actual >= quantiles[..., k]) & (actual <= quantiles[..., -1 - k])
            inside[k] += between[there].sum()
        count += int(there.sum())
        forecasts += len(actual)
    shares = tuple(float(v) for v in inside / count)
    mase = float(np.mean(np.concatenate(relative)))
    seconds = time.process_time() - started
    return Score(mase, float(losses.mean() / total), (shares[0], shares[1], shares[2], shares[3]), seconds, forecasts)


def seasonal_naive(histories: FloatArray, task: SuiteTask) -> FloatArray:
    """The last season repeated, as all nine quantiles: the baseline's MASE (its published WQL has intervals)."""
    season = histories[:, -task.season :][:, np.arange(task.horizon) % task.season]
    return np.repeat(season[..., None], 9, axis=2)


def geometric_means(
    scores: Mapping[str, tuple[float, float]], baseline: Mapping[str, tuple[float, float]]
) -> tuple[float, float]:
    """MASE and WQL (by task) relative to a baseline's on the tasks that both have."""
    common = [task for task in scores if task in baseline]
    logs = [[np.log(scores[task][i] / baseline[task][i]) for task in common] for i in (0, 1)]
    return float(np.exp(np.mean(logs[0]))), float(np.exp(np.mean(logs[1])))
