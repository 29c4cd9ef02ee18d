"""Weights of experts: convex stacking on held-out windows, first for the panel, then a series' own around it.

Both minimise the mean absolute error of the mixture over the simplex by mirror descent with a Kullback-Leibler pull
towards a prior: equal weights for the panel, the panel's weights for a series. The fewer windows, the stronger it is.

Shapes: N series, C cutoffs, H horizon steps, E drafts of experts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from titans_ts.forecasting.experts.panel import BoolArray, FloatArray
from titans_ts.forecasting.experts.windows import horizon_groups

STEPS_READ = 8
ROWS_READ = 20_000
# Windows of a group of steps from which its prior is nearer to equal weights than to the weights of all steps. On M1
# and M3 series cut to 8 to 30 points, one at a time, MASE fell by 0.4 to 3 %; panels of 40 changed by -0.3 to +0.7 %.
POOLED = 10.0


@dataclass(frozen=True)
class Shrinkage:
    """How strongly weights are pulled: windows that the prior of the panel and that of a series count as."""

    panel: float = 1.0
    series: float = 3.0
    rate: float = 1.5
    rounds: int = 60


def mixture_weights(
    errors: FloatArray, shrinkage: Shrinkage, independence: float = 1.0, panel: FloatArray | None = None
) -> FloatArray:
    """Weights (N, E, H), constant within a group of steps, from errors (E, N, C, H) in units of the series.

    NaN marks steps without an observed value; every draft has its error at the others.

    Args:
        errors: of held-out windows.
        shrinkage: towards the panel's weights.
        independence: share of a window that counts where windows overlap.
        panel: weights (E, H) of the panel, found before; None finds them from these errors.
    """
    found = panel_weights(errors, shrinkage, independence) if panel is None else panel
    own = len(errors[0]) > 1 or panel is not None
    return _series_weights(errors, (shrinkage,), independence, found, own=own)[0]


def _series_weights(
    errors: FloatArray, candidates: Sequence[Shrinkage], independence: float, panel: FloatArray, *, own: bool
) -> list[FloatArray]:
    """Weights (N, E, H) for each of some candidates, which differ in the pull of a series only.

    Args:
        errors, independence: see `mixture_weights`.
        candidates: of the shrinkage towards the panel's weights.
        panel: weights (E, H) of the panel.
        own: whether series have weights of their own.
    """
    experts, count, _, horizon = errors.shape
    result = np.empty((len(candidates), count, experts, horizon))
    for group in horizon_groups(horizon):
        rows, windows = _rows(errors, group, independence)
        shared = np.repeat(panel[None, :, group.start], len(candidates) * count, axis=0)
        weights = shared
        if own:
            pull = np.concatenate([each.series / (windows + 1e-9) for each in candidates])
            weights = descend(np.tile(rows, (len(candidates), 1, 1)), shared, pull[:, None], candidates[0])
            weights = np.where(np.tile(windows > 0, len(candidates))[:, None], weights, shared)
        result[..., group] = weights.reshape(len(candidates), count, experts)[..., None]
    return list(result)


def panel_weights(errors: FloatArray, shrinkage: Shrinkage, independence: float = 1.0) -> FloatArray:
    """The weights (E, H) that all series share; see `mixture_weights`."""
    experts, horizon = len(errors), errors.shape[3]
    result = np.empty((experts, horizon))
    equal = np.full((1, experts), 1 / experts)
    # Steps that few windows reach (a horizon as long as the history) lean on what all steps showed.
    pooled = _panel_weights(*_rows(errors, slice(0, horizon), independence), shrinkage, equal)
    for group in horizon_groups(horizon):
        rows, windows = _rows(errors, group, independence)
        lean = POOLED / (POOLED + windows.sum())
        result[:, group] = _panel_weights(rows, windows, shrinkage, lean * pooled + (1 - lean) * equal)[0][:, None]
    return result


def _rows(errors: FloatArray, group: slice, independence: float) -> tuple[FloatArray, FloatArray]:
    """Errors of some steps of a group as rows (N, M, E), 0 where unknown, and the windows (N,) they count as."""
    steps = np.unique(np.linspace(group.start, group.stop - 1, STEPS_READ).round().astype(int))
    part = errors[..., steps].transpose(1, 2, 3, 0)
    windows = independence * np.isfinite(part[..., 0]).mean(axis=2).sum(axis=1)
    rows = part.reshape(len(part), -1, len(errors))
    return np.where(np.isfinite(rows), rows, 0.0), windows


def _panel_weights(rows: FloatArray, windows: FloatArray, shrinkage: Shrinkage, prior: FloatArray) -> FloatArray:
    """Weights (1, E) from all rows (N, M, E), near the prior (1, E)."""
    flat = rows.reshape(1, -1, rows.shape[2])
    flat = _sample(flat[:, np.abs(flat[0]).sum(axis=1) > 0])
    return descend(flat, prior, shrinkage.panel / (windows.sum() + 1e-9), shrinkage)


# A candidate that is 1 % worse counts e⁻¹ as much.
SHARPNESS = 100.0
CANDIDATES = (Shrinkage(), Shrinkage(series=1.0), Shrinkage(series=12.0))


def splits(count: int, independence: float, most: int = 3) -> Iterator[tuple[slice, BoolArray]]:
    """Neighbouring windows in up to `most` parts of at least two, each with the windows (C,) that may judge it.

    Windows that overlap a part are left out of its judges while a third of all windows remains. Too few windows for two
    parts judge themselves.
    """
    parts = max(1, min(most, count // 2))
    edges = np.linspace(0, count, parts + 1).round().astype(int)
    overlap = int(np.ceil(2 / independence)) - 1 if independence < 1 else 1
    for start, stop in itertools.pairwise(edges):
        for gap in range(overlap, -1, -1):
            others = np.ones(count, dtype=bool)
            others[max(0, start - gap) : stop + gap] = parts == 1
            if others.sum() * 3 >= count:
                break
        yield slice(int(start), int(stop)), others


def cross_fitted(
    errors: FloatArray, candidates: Sequence[Shrinkage], independence: float, panel: FloatArray | None = None
) -> list[FloatArray]:
    """Errors (N, C, H) of the mixtures of some candidates, which differ in the pull of a series only, from errors
    (E, N, C, H): a window's by weights that other windows chose."""
    mixed = [np.empty(errors.shape[1:]) for _ in candidates]
    own = len(errors[0]) > 1 or panel is not None
    for part, others in splits(errors.shape[2], independence):
        judges = errors[:, :, others]
        found = panel_weights(judges, candidates[0], independence) if panel is None else panel
        for each, weights in zip(mixed, _series_weights(judges, candidates, independence, found, own=own), strict=True):
            each[:, part] = np.einsum("encH,neH->ncH", errors[:, :, part], weights)
    return mixed


def choose_shrinkage(
    errors: FloatArray, candidates: Sequence[Shrinkage], independence: float, panel: FloatArray | None = None
) -> tuple[Shrinkage, FloatArray]:
    """Shrinkage between candidates, by the errors of their cross-fitted mixtures, and its own errors (N, C, H).

    Candidates that are as good as each other count alike: were the best one taken, rounding could decide. They differ
    in the pull of a series only, of which the harmonic mean is taken.
    """
    found = cross_fitted(errors, candidates, independence, panel)
    if len(found) == 1:
        return candidates[0], found[0]
    losses = np.array([np.nanmean(np.abs(mixed)) if np.isfinite(mixed).any() else 0.0 for mixed in found])
    least = losses.min()
    share = np.exp(-SHARPNESS * (losses / least - 1)) if least > 0 else (losses == 0).astype(np.float64)
    share /= share.sum()
    pull = 1 / float(share @ np.array([1 / shrinkage.series for shrinkage in candidates]))
    return replace(candidates[0], series=pull), np.tensordot(share, np.stack(found), axes=1)


def _sample(rows: FloatArray) -> FloatArray:
    """At most ROWS_READ rows (1, M, E), chosen by their content, so that the order of series does not matter."""
    if rows.shape[1] <= ROWS_READ:
        return rows
    order = np.argsort(np.abs(rows[0]).mean(axis=1), kind="stable")
    return rows[:, order[np.linspace(0, len(order) - 1, ROWS_READ).astype(int)]]


def descend(rows: FloatArray, prior: FloatArray, pull: FloatArray | float, shrinkage: Shrinkage) -> FloatArray:
    """Weights (N, E) that make mean |rows · weights| + pull · KL(weights, prior) small, for rows (N, M, E).

    Losses are taken relative to the prior's own, so that units do not matter.
    """
    if rows.shape[1] == 0:
        return prior
    log_prior = np.log(prior)
    log_weights = log_prior.copy()
    mean = np.zeros_like(prior)
    scale = np.abs(np.einsum("nme,ne->nm", rows, prior)).mean(axis=1)[:, None] + 1e-12
    pull = np.minimum(pull, 10.0)
    for step in range(shrinkage.rounds):
        weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        if 2 * step >= shrinkage.rounds:
            mean += weights
        side = np.sign((rows @ weights[..., None])[..., 0])
        gradient = (side[:, None] @ rows)[:, 0] / rows.shape[1] / scale
        gradient = np.clip(gradient - (gradient * weights).sum(axis=1, keepdims=True), -3, 3)
        rate = shrinkage.rate / np.sqrt(1 + step / 4)
        log_weights = log_weights - rate * gradient
        log_weights = (log_weights + rate * pull * log_prior) / (1 + rate * pull)
    return mean / mean.sum(axis=1, keepdims=True)
