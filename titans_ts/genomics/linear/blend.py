"""From the outputs of several models to one, by weights fitted on held-out sequences.

Logits become one calibrated probability; of numbers each target has weights of its own.

Shapes: n sequences (or bases), S sources (the network, models of the linear part), K classes, labels or targets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from titans_ts.genomics.linear.losses import VALUE_TASKS, FloatArray, Targets, losses, mean_loss
from titans_ts.genomics.model.config import TaskName

# Strength of the pull towards equal weights: that of a few sequences, so that 200 of them decide freely.
PRIOR = 2.0
LIMIT = 10.0
# Of numbers: squared errors of a handful of sequences would double a source too easily. In units of the best source's
# loss, as the prior of a ridge regression is in units of the noise: where sources leave next to nothing, equal weights
# would cost more than all that they leave (pore_current: Pearson .9985 with a pull in units of the targets).
VALUE_PRIOR, VALUE_LIMIT = 10.0, 1.5


def blend(logits: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """Weighted sum of the sources' outputs: (n, S, K), (S,) or (S, K) → (n, K)."""
    each = np.asarray(weights, dtype=np.float64)
    return np.asarray((logits * each.reshape(len(each), -1)).sum(1))


def fit_blend(logits: FloatArray, targets: Targets) -> FloatArray:
    """Weights (S,), none negative, with the smallest loss of the blended outputs on held-out sequences.

    The weight of a single source is one over the temperature. The problem is convex; a weak pull towards equal weights
    keeps probabilities away from 0 and 1 where a handful of sequences is perfectly separated.

    Args:
        logits: (n, S, K) of models that did not see these sequences.
        targets: labels and weights of the n sequences.
    """
    # Imported here: it takes .3 s, and models that are only loaded do without it.
    from scipy.optimize import minimize

    sources = logits.shape[1]
    start = np.full(sources, 1.0 / sources)
    numbers = targets.task in VALUE_TASKS
    prior, limit = (VALUE_PRIOR, VALUE_LIMIT) if numbers else (PRIOR, LIMIT)
    pull = prior * _noise(logits, targets) / max(float(targets.weight.sum()), 1e-12)

    def _objective(weights: FloatArray) -> float:
        return mean_loss(blend(logits, weights), targets) + pull * float(((weights - start) ** 2).sum())

    found = minimize(_objective, start, method="L-BFGS-B", bounds=[(0.0, limit)] * sources).x
    return np.asarray(found, dtype=np.float64)


def _noise(outputs: FloatArray, targets: Targets) -> float:
    """Loss of the best source of standardised numbers, at most 1; 1 for all other tasks."""
    if targets.task not in ("mse", "huber"):
        return 1.0
    return min(1.0, *(mean_loss(outputs[:, place], targets) for place in range(outputs.shape[1])))


def fit_weights(outputs: FloatArray, targets: Targets, network: bool = True) -> FloatArray:
    """Blend weights of all sources: (S,) as `fit_blend`; (S, K) for numbers, those of each target by itself.

    The network of a target gets weight 0 where it does not help: where weights from one half of the sequences predict
    the other half no better with it than without.

    Args:
        outputs: (n, S, K) of models that did not see these sequences.
        targets: of the n sequences.
        network: whether the first source is the network.
    """
    if targets.task not in VALUE_TASKS:
        return fit_blend(outputs, targets)
    columns = []
    for k in range(targets.outputs):
        one, truth = outputs[:, :, k : k + 1], targets.column(k)
        if network and outputs.shape[1] > 1 and not helps(one, truth):
            columns.append(np.concatenate([[0.0], fit_blend(one[:, 1:], truth)]))
        else:
            columns.append(fit_blend(one, truth))
    return np.stack(columns, axis=1)


def helps(outputs: FloatArray, targets: Targets) -> bool:
    """Whether the first source helps the others, each half of the sequences predicted by weights from the other.

    Args:
        outputs: (n, S, K) of models that did not see these sequences.
        targets: of the n sequences.
    """
    if len(outputs) < 2:
        return False
    gain, order = 0.0, np.random.default_rng(0).permutation(len(outputs))
    halves = order[::2], order[1::2]
    for learnt, held in (halves, halves[::-1]):
        part, rest = targets.take(learnt), targets.take(held)
        for sign, sources in ((1, outputs[:, 1:]), (-1, outputs)):
            found = losses(blend(sources[held], fit_blend(sources[learnt], part)), rest)
            gain += sign * float((found * rest.weight).sum())
    return gain > 0


def probabilities(logits: FloatArray, task: TaskName) -> FloatArray:
    """(…, K) → (…, K): rows add up to 1 for classes; each label by itself for labels."""
    return np.asarray(softmax(logits, axis=-1) if task == "classes" else expit(logits))
