"""The seasonal naive forecast as each suite publishes it, and the check that ours is the same.

Shapes: N series, T steps, H horizon steps, Q levels.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.protocol import LEVELS, Score
from titans_recipes.suite.tasks import CHRONOS, FEV, SuiteTask
from titans_recipes.suite.windows import Window

BASELINE = "seasonal_naive"
# Our score and the published one may differ by this share of the latter, which is rounded to five digits.
TOLERANCE = 0.001
# fev-bench's baseline sees so many steps.
FEV_STEPS = 1000


def seasonal_naive(window: Window) -> FloatArray:
    """The last season repeated, with normal quantiles (N, H, Q) of its errors, wider with each season ahead.

    Chronos Benchmark II publishes a point forecast: there all quantiles are the same.
    """
    task, histories = window.task, window.histories
    steps, season = np.arange(task.horizon), task.season
    point = _last_season(histories, season)[:, steps % season]
    if task.suite == CHRONOS:
        return np.repeat(point[..., None], len(LEVELS), axis=2)
    recent = histories[:, -FEV_STEPS:] if task.suite == FEV else histories
    deviation = _root_mean_square(recent[:, season:] - recent[:, :-season])[:, None] * np.sqrt(steps // season + 1)
    z = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    found: FloatArray = point[..., None] + deviation[..., None] * z
    return found


def check_baseline(task: SuiteTask, score: Score, published: tuple[float, float]) -> None:
    """Compare our seasonal naive forecast with the published one: only then do other scores mean the same.

    Args:
        task: that was scored.
        score: of `seasonal_naive`.
        published: MASE and WQL.

    Raises:
        ValueError: they differ by more than `TOLERANCE`.
    """
    for name, ours, theirs in zip(("MASE", "WQL"), (score.mase, score.wql), published, strict=True):
        if not abs(ours / theirs - 1) <= TOLERANCE:
            raise ValueError(
                f"{task.suite} {task.name}: the seasonal naive forecast has {name} {ours:.5g}, published is "
                f"{theirs:.5g}, and {TOLERANCE:.1%} is allowed: these are not the suite's series, so nothing was "
                "scored; check the task's files in $TITANS_TS_DATA"
            )


def _last_season(histories: FloatArray, season: int) -> FloatArray:
    """The last value of each phase (N, season); 0 where a series has none."""
    found = histories[:, -season:].copy()
    for end in range(histories.shape[1] - season, season - 1, -season):
        missing = np.isnan(found)
        if not missing.any():
            return found
        found[missing] = histories[:, end - season : end][missing]
    return np.nan_to_num(found, nan=0.0)


def _root_mean_square(values: FloatArray) -> FloatArray:
    """Of the values of each row (N,); 0 where there are none."""
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0) ** 2
    return np.asarray(np.sqrt(total.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)))
