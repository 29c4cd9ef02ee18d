"""Inner products of sequences, from which a logistic regression with many features and few sequences is fitted.

The weights of a penalised regression are sums of the sequences' features (representer theorem; Schölkopf et al. 2001):
for n sequences a fit needs n numbers per class, whatever the number of features.

Shapes: n sequences, m of another part, F features, C columns of weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
# Steps of a choice among penalties, about: 82 with 2,948 sequences of two classes (mouse_2, 10 bases with 7 letters).
STEPS = 80
# Most sequences: the inner products take 8 n² bytes.
MOST_SEQUENCES = 6_000
# Columns that more than this share of the sequences have are multiplied as dense blocks of so many columns. 2,396 RNA
# sequences, 8 bases with 6 letters: 7.5 CPU s with a share of .1, 4.0 with .04 (one core, AVX-512).
DENSE_SHARE, BLOCK = 0.04, 4_096
# Added to the inner product of a sequence with itself, which is 1: the rounding error of float32.
RIDGE = 1e-4


def worthwhile(x: csr_matrix, columns: int) -> bool:
    """Whether fits from inner products cost less than fits from the features (n, F) with C columns of weights.

    By rough counts of seconds of one core, see `_seconds_of_gram`.
    """
    n = x.shape[0]
    if n > MOST_SEQUENCES:
        return False
    count = np.bincount(x.indices, minlength=x.shape[1])
    per_step = 3e-9 * x.nnz * columns + 4e-8 * float((count > 0).sum()) * columns
    return _seconds_of_gram(n, count, columns) < STEPS * per_step


def _seconds_of_gram(n: int, count: npt.NDArray[np.int64], columns: int) -> float:
    dense = float((count > DENSE_SHARE * n).sum())
    light = count[count <= DENSE_SHARE * n].astype(np.float64)
    products = 1e-11 * n * n * dense + 1.5e-8 * float((light * light).sum())
    return products + 2e-11 * n**3 + STEPS * (1e-9 * n * n + 1e-8 * n * columns)


def inner_products(x: csr_matrix) -> npt.NDArray[np.float32]:
    """(n, n) of the rows of features (n, F)."""
    n = x.shape[0]
    count = np.bincount(x.indices, minlength=x.shape[1])
    dense = count > DENSE_SHARE * n
    by_column = x.tocsc()
    light = by_column[:, np.flatnonzero(~dense & (count > 1))].tocsr()
    found = (light @ light.T).toarray().astype(np.float32)
    alone = by_column[:, np.flatnonzero(~dense & (count == 1))].tocsr()
    found[np.diag_indices(n)] += np.asarray(alone.multiply(alone).sum(axis=1)).ravel()
    for places in np.array_split(np.flatnonzero(dense), dense.sum() // BLOCK + 1):
        block = by_column[:, places].toarray()
        found += block @ block.T
    return np.asarray(found)


class Coordinates(NamedTuple):
    """Sequences in the space that those of a fit span.

    Attributes:
        fitted: (n, n), lower triangular: the Cholesky factor of the inner products.
        held: (m, n) of the other sequences.
    """

    fitted: FloatArray
    held: FloatArray

    def weights(self, x: csr_matrix, in_space: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Weights of the features (F, C) from those in the space (n, C); x (n, F) of the sequences of the fit."""
        per_sequence = solve_triangular(self.fitted, in_space.astype(np.float64), lower=True, trans="T")
        return np.asarray(x.T @ per_sequence.astype(np.float32))


def coordinates(fitted: npt.NDArray[np.float32], between: npt.NDArray[np.float32]) -> Coordinates:
    """From inner products of the sequences of a fit (n, n), and of m others with them (m, n)."""
    factor = cholesky(fitted.astype(np.float64) + RIDGE * np.eye(len(fitted)), lower=True, overwrite_a=True)
    return Coordinates(factor, np.asarray(solve_triangular(factor, between.T.astype(np.float64), lower=True).T))
