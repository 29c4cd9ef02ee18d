"""From the logits of several models to one calibrated probability, by weights fitted on held-out sequences.

Shapes: n sequences (or bases), S sources (the network, models of the linear part), K classes or labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, softmax

from titans_ts.genomics.linear.logistic import FloatArray, Targets, log_loss
from titans_ts.genomics.model.config import TaskName

# Strength of the pull towards equal weights: that of a few sequences, so that 200 of them decide freely.
PRIOR = 2.0
LIMIT = 10.0


def blend(logits: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """Weighted sum of the sources' logits: (n, S, K), (S,) → (n, K)."""
    return np.asarray(np.einsum("nsk,s->nk", logits, np.asarray(weights, dtype=np.float64)))


def fit_blend(logits: FloatArray, targets: Targets) -> FloatArray:
    """Weights (S,), none negative, with the smallest log loss of the blended logits on held-out sequences.

    The weight of a single source is one over the temperature. The problem is convex; a weak pull towards equal weights
    keeps probabilities away from 0 and 1 where a handful of sequences is perfectly separated.

    Args:
        logits: (n, S, K) of models that did not see these sequences.
        targets: labels and weights of the n sequences.
    """
    sources = logits.shape[1]
    start = np.full(sources, 1.0 / sources)
    pull = PRIOR / max(float(targets.weight.sum()), 1e-12)

    def _objective(weights: FloatArray) -> float:
        return log_loss(blend(logits, weights), targets) + pull * float(((weights - start) ** 2).sum())

    found = minimize(_objective, start, method="L-BFGS-B", bounds=[(0.0, LIMIT)] * sources).x
    return np.asarray(found, dtype=np.float64)


def probabilities(logits: FloatArray, task: TaskName) -> FloatArray:
    """(…, K) → (…, K): rows add up to 1 for classes; each label by itself for labels."""
    return np.asarray(softmax(logits, axis=-1) if task == "classes" else expit(logits))
