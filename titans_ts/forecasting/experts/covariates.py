"""What covariates known ahead move a series by: a ridge regression of seasonal differences, as far as it proves itself.

Differences a season apart leave neither level nor season to be explained, so that a covariate that only shares the
season of a series (daylight, temperature) gets no credit for it. The effect is taken off the history, the experts
forecast the rest, and the effect of the steps ahead is added.

Shapes: T steps of a history, C covariates, H horizon.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray

# Seasons after which a step counts 1/e, and the fewest steps of that memory. On the 20 days before those of three
# electricity prices (hourly, two covariates) memories of 500, 2,000 and 8,000 steps gave a WQL of the mixture of
# .0399 .0406 .0403 (NP), .156 .127 .121 (BE), .128 .121 .130 (DE), before shares; without covariates .0490 .1399 .2264.
MEMORY, LEAST_MEMORY = 84, 200
# Memories that are read.
REACH = 5
# Ridge on standardised covariates, as a number of steps.
RIDGE = 3.0
# Parts of the history that judge coefficients of the steps before them, and shares of the effect that are tried.
PARTS = 4
SHARES = np.linspace(0.0, 1.0, 9)
# By how much of the errors a share must be better than none.
LEAST_GAIN = 0.01
# Of covariates in standard deviations, and of what is left of changes in usual ones.
LARGEST = 10.0
# Rounds after which a large effect of a rare event has come through.
ROUNDS = 15


def taken_off(
    histories: Sequence[FloatArray], covariates: Sequence[FloatArray], season: int, horizon: int
) -> tuple[list[FloatArray], FloatArray]:
    """Histories less what the covariates add to them, and what they add to the steps ahead (R, H).

    Args:
        histories: (T,) each, NaN for missing.
        covariates: (C, steps) of each; steps beyond T + H are not read, those that they do not reach are as usual.
        season: in steps, 1 for none.
        horizon: H.
    """
    left, ahead = [], np.zeros((len(histories), horizon))
    for row, (history, own) in enumerate(zip(histories, covariates, strict=True)):
        known = np.asarray(own, dtype=np.float64)[:, : len(history) + horizon]
        known = np.pad(known, ((0, 0), (0, len(history) + horizon - known.shape[1])), constant_values=np.nan)
        effect = covariate_effect(history, known, season)
        left.append(history - effect[: len(history)])
        ahead[row] = effect[len(history) :]
    return left, ahead


def covariate_effect(history: FloatArray, known: FloatArray, season: int) -> FloatArray:
    """What the covariates add to each step of a history and its horizon (T + H,); 0 where they prove of no use.

    Args:
        history: (T,), NaN for missing.
        known: (C, T + H), NaN for unknown, which counts as usual.
        season: in steps, 1 for none.

    Raises:
        ValueError: the covariates end before the history.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> open_days = (rng.random((1, 70)) < 0.8).astype(float)
        >>> sales = 5 + 20 * open_days[0] + rng.normal(size=70)
        >>> effect = covariate_effect(sales[:60], open_days, season=7)
        >>> bool(abs(effect[open_days[0] == 1].mean() - effect[open_days[0] == 0].mean() - 20) < 3)
        True
    """
    history = np.asarray(history, dtype=np.float64)
    known = np.asarray(known, dtype=np.float64)
    if known.ndim != 2 or known.shape[1] < len(history):
        raise ValueError(f"covariates must have the shape (C, ≥ {len(history)}), got {known.shape}")
    unit = _standardised(known, len(history))
    lag = season if len(history) >= 3 * season + PARTS else 1
    memory = max(MEMORY * season, LEAST_MEMORY)
    first = max(0, len(history) - REACH * memory)
    change, moved = history[first + lag :] - history[first:-lag], unit[:, first + lag : len(history)]
    moved = moved - unit[:, first : len(history) - lag]
    there = np.isfinite(change)
    change, moved = change[there], moved[:, there]
    size = np.abs(change).mean() if len(change) else 0.0
    if len(change) < PARTS * (len(unit) + 2) or size == 0:
        return np.zeros(known.shape[1])
    # Divided first: squares of numbers near the largest of float64 would overflow.
    share = _share(change / size, moved, memory)
    return np.asarray(share * size * (_coefficients(change / size, moved, memory) @ unit))


def _standardised(known: FloatArray, length: int) -> FloatArray:
    """Covariates less their means in the history, over their deviations; 0 where unknown or constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        past = np.where(np.isfinite(known), known, np.nan)[:, :length]
        there = np.isfinite(past)
        count = np.maximum(there.sum(1, keepdims=True), 1)
        mean = np.where(there, past, 0.0).sum(1, keepdims=True) / count
        deviation = np.sqrt((np.where(there, past - mean, 0.0) ** 2).sum(1, keepdims=True) / count)
        unit = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300), (known - mean) / deviation, 0.0)
    return np.clip(np.nan_to_num(unit, posinf=0.0, neginf=0.0), -LARGEST, LARGEST)


def _coefficients(change: FloatArray, moved: FloatArray, memory: float) -> FloatArray:
    """Ridge coefficients (C,) of changes (T',) on those of the covariates (C, T'), robust (Huber).

    What is left of a change counts up to `LARGEST` times the usual: a spike is no covariate's, but an effect that the
    covariates explain may be of any size.
    """
    weights = np.exp((np.arange(len(change)) - len(change)) / memory)
    weighed = moved * weights
    inverse = np.linalg.inv(weighed @ moved.T + RIDGE * np.eye(len(moved)))
    found = np.zeros(len(moved))
    for _ in range(ROUNDS):
        explained = found @ moved
        left = change - explained
        most = LARGEST * np.abs(left).mean()
        found = inverse @ (weighed @ (explained + np.clip(left, -most, most)))
    return np.asarray(found)


def _share(change: FloatArray, moved: FloatArray, memory: float) -> float:
    """How much of the effect of coefficients lessens the errors of later steps, by parts of the history in turn."""
    edges = np.linspace(0, len(change), PARTS + 2).astype(int)[1:]
    losses = np.zeros(len(SHARES))
    for start, stop in itertools.pairwise(edges):
        effect = _coefficients(change[:start], moved[:, :start], memory) @ moved[:, start:stop]
        error = np.abs(change[start:stop] - SHARES[:, None] * effect)
        losses += np.minimum(error, LARGEST + np.abs(effect)).sum(1)
    best = int(np.argmin(losses))
    return float(SHARES[best]) if losses[best] < (1 - LEAST_GAIN) * losses[0] else 0.0
