"""Weights of several distributions of a count: least continuous ranked probability score, shrunk to the panel's.

The score of a mixture of distribution functions is a quadratic form of their weights, so that one small matrix a series
says all about its held-out windows.

Shapes: N series, J distributions.
"""

from __future__ import annotations

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray

# Held-out windows that the panel's matrix counts as beside those of a series, and the usual one beside the panel's.
SERIES_PRIOR, PANEL_PRIOR = 6.0, 4.0
ROUNDS, RATE = 150, 2.0
# Added to the diagonal: how much better one distribution must be to have all the weight.
RIDGE = 0.1


def relative(products: FloatArray) -> FloatArray:
    """Matrices (N, J, J) of summed products of errors, relative to the score of equal weights; 0 where that is 0."""
    score = products.mean(axis=(1, 2))
    return np.asarray(products / np.where(score > 1e-12, score, np.inf)[:, None, None])


def weights(matrix: FloatArray) -> FloatArray:
    """Weights (N, J) on the simplex that make w · matrix · w least, by mirror descent from equal weights."""
    number = matrix.shape[-1]
    matrix = matrix + RIDGE * np.eye(number)
    found = np.full(matrix.shape[:-1], 1 / number)
    for step in range(ROUNDS):
        gradient = (matrix @ found[..., None])[..., 0]
        size = (gradient * found).sum(axis=1, keepdims=True) + 1e-12
        found = found * np.exp(-RATE / np.sqrt(1 + step / 8) * np.clip(gradient / size - 1, -3, 3))
        found /= found.sum(axis=1, keepdims=True)
    return found
