"""Logistic regressions on counted features: the linear part of a classifier, and the baselines of its report.

Shapes: n sequences, F features, K classes or labels.
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax

from titans_ts.genomics.linear.features import Features
from titans_ts.genomics.linear.losses import FloatArray, Targets, losses
from titans_ts.genomics.linear.model import LinearModel, both_classes, occurring

ITERATIONS = 100


class _OutOfTime(Exception):
    """Ends a minimisation, whose best point so far is kept."""


def fit_logistic(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    inverse_penalty: float,
    start: LinearModel | None = None,
    deadline: float = float("inf"),
) -> LinearModel:
    """Minimise the log loss with a quadratic penalty on the weights (L-BFGS).

    Args:
        features: kept in the model.
        x: (n, F) features of the sequences, or other coordinates of theirs.
        targets: of the n sequences.
        inverse_penalty: in units of one sequence.
        start: a model to start from.
        deadline: `time.monotonic` time at which the best weights so far are taken.
    """
    # Imported here: it takes .3 s, and models that are only loaded do without it.
    from scipy.optimize import minimize

    pair = targets.task == "classes" and targets.outputs == 2
    # Weights of features that no sequence has stay zero: they are left out of the fit.
    every = x.shape[1]
    seen, x = occurring(x)
    columns, size = 1 if pair else targets.outputs, x.shape[1]
    total = max(targets.weight.sum(), 1e-12)
    penalty, share = 1.0 / (inverse_penalty * total), targets.weight / total
    onehot = targets.labels if targets.task == "labels" else np.eye(targets.outputs)[targets.labels]

    best = (math.inf, np.zeros(0))

    def _objective(flat: FloatArray) -> tuple[float, FloatArray]:
        nonlocal best
        w, b = flat[: size * columns].reshape(size, columns), flat[size * columns :]
        logits = both_classes(np.asarray(x @ w.astype(x.dtype), dtype=np.float64) + b, pair)
        loss = float((share * losses(logits, targets)).sum())
        if targets.task == "classes":
            error = softmax(logits, axis=1) - onehot
            error = error[:, 1:] if pair else error
        else:
            error = (expit(logits) - onehot) / targets.outputs
        error = error * share[:, None]
        slope = np.asarray(x.T @ error.astype(x.dtype), dtype=np.float64) + penalty * w
        loss += 0.5 * penalty * float((w * w).sum())
        if loss < best[0]:
            best = loss, flat.copy()
        if time.monotonic() > deadline:
            raise _OutOfTime
        return loss, np.concatenate([slope.ravel(), error.sum(0)])

    first = np.zeros(size * columns + columns)
    if start is not None:
        first = np.concatenate([start.weight[seen].ravel(), start.bias]).astype(np.float64)
    options = {"maxiter": ITERATIONS, "ftol": 1e-7}
    try:
        found = minimize(_objective, first, jac=True, method="L-BFGS-B", options=options).x
    except _OutOfTime:
        found = best[1]
    weight = np.zeros((every, columns), dtype=np.float32)
    weight[seen] = found[: size * columns].reshape(size, columns)
    return LinearModel(features, weight, found[size * columns :].astype(np.float32), pair, inverse_penalty)
