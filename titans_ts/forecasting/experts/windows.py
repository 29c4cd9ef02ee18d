"""Held-out windows: the cutoffs before the end of a panel at which experts are scored.

Shapes: N series, T steps, C cutoffs, H horizon steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray, Panel

GROUP_EDGES = (1 / 12, 2 / 7)
# Steps that a series must have before a held-out window.
LEAST_KNOWN = 1


def held_out_cutoffs(panel: Panel, horizon: int, season: int, count: int) -> list[int]:
    """Up to `count` increasing cutoffs before the panel's end, spread over the part that most series cover.

    Where the history is long they lie whole seasons apart, as many as half a horizon needs, so that step h of a window
    meets the phase that step h of the forecast will meet; in short histories they lie closer, and the last windows end
    before their horizon does.
    """
    known = panel.known(panel.length)
    lengths = known[known > 0]
    if not len(lengths):
        return []
    usual = int(np.median(lengths))
    span = usual - max(2 * season + 1, 4) if usual > 3 * season else usual - min(usual, max(3, usual // 2))
    span = min(span, panel.length - 1)
    if span < 1:
        return [panel.length - 1] if usual > 1 else []
    seasonal = season * max(1, round(horizon / 2 / season))
    stride = seasonal if seasonal * count <= span - horizon else max(1, span // count)
    return [panel.length - k * stride for k in range(min(count, span // stride), 0, -1)]


def window_independence(cutoffs: Sequence[int], horizon: int) -> float:
    """Share of a window that counts as an independent one: windows closer than half a horizon repeat each other."""
    if len(cutoffs) < 2:
        return 1.0
    return min(1.0, 2 * (cutoffs[1] - cutoffs[0]) / horizon)


def targets(panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
    """Observed values (N, C, H) after each cutoff; NaN where nothing was observed, then or ever before.

    A series that begins after a cutoff has no window there.
    """
    padded = np.pad(panel.values, ((0, 0), (0, horizon)), constant_values=np.nan)
    known = [(panel.known(c) >= LEAST_KNOWN)[:, None] for c in cutoffs]
    return np.stack(
        [np.where(k, padded[:, c : c + horizon], np.nan) for c, k in zip(cutoffs, known, strict=True)], axis=1
    )


def horizon_groups(horizon: int) -> list[slice]:
    """Up to three spans of steps, near ones shorter, that share weights."""
    edges = sorted({0, *(int(np.ceil(horizon * edge)) for edge in GROUP_EDGES if horizon > 3), horizon})
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def difference_unit(panel: Panel, season: int) -> FloatArray:
    """Mean absolute difference (N,) of values a season apart, else a step apart; 1 where both are 0 or undefined."""
    unit = _difference(panel.values, season)
    for fallback in (_difference(panel.values, 1), np.ones(len(unit))):
        unit = np.where(unit > 1e-12, unit, fallback)
    return unit


def _difference(values: FloatArray, lag: int) -> FloatArray:
    if values.shape[1] <= lag:
        return np.zeros(len(values))
    change = np.abs(values[:, lag:] - values[:, :-lag])
    there = np.isfinite(change)
    return np.asarray(np.where(there, change, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
