"""Fits of one kind of counted features on different parts of the sequences.

Shapes: n sequences, F features, K classes, labels or targets.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import Features
from titans_ts.genomics.linear.gram import coordinates, inner_products, worthwhile
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.model import LinearModel

IntArray = npt.NDArray[np.int64]


class Candidate:
    """Linear models on one kind of features.

    Args:
        features: to count.
        codes: all n sequences.
        targets: of all of them.

    Attributes:
        seconds: that the choice of the penalty took.
    """

    def __init__(self, features: Features, codes: Sequence[Codes], targets: Targets) -> None:
        self.features, self.codes, self.targets = features, codes, targets
        self.seconds = 0.0
        self._products: npt.NDArray[np.float32] | None = None

    def choose(self, rows: IntArray, held: IntArray, deadline: float = float("inf")) -> tuple[LinearModel, float]:
        """The model fitted on some rows with the penalty that is best on others, and its loss there.

        Args:
            rows, held: numbers of the sequences.
            deadline: `time.monotonic` time at which the best model so far is taken.
        """
        started = time.monotonic()
        x = self.features(self.codes)
        targets, held_targets = self.targets.take(rows), self.targets.take(held)
        columns = 1 if targets.task == "classes" and targets.outputs == 2 else targets.outputs
        if worthwhile(x, columns):
            self._products = inner_products(x)
            space = coordinates(self._products[np.ix_(rows, rows)], self._products[np.ix_(held, rows)])
            found, loss = choose_linear(self.features, space.fitted, targets, space.held, held_targets, deadline)
            found.weight = space.weights(x[rows], found.weight)
        else:
            found, loss = choose_linear(self.features, x[rows], targets, x[held], held_targets, deadline)
        self.seconds = time.monotonic() - started
        return found, loss

    def refit(
        self, model: LinearModel, rows: IntArray, start: LinearModel | None = None, deadline: float = float("inf")
    ) -> LinearModel:
        """The same model fitted on other rows, with its penalty.

        Args:
            model: what `choose` returned.
            rows: numbers of the sequences.
            start: a model to start from; None where it must not know what the model has seen.
            deadline: `time.monotonic` time at which the weights so far are taken.
        """
        x, targets = self._counted(rows), self.targets.take(rows)
        if self._products is None:
            return fit_linear(self.features, x, targets, model.inverse_penalty, start, deadline)
        square = self._products[np.ix_(rows, rows)]
        space = coordinates(square, square[:0])
        found = fit_linear(self.features, space.fitted, targets, model.inverse_penalty, None, deadline)
        found.weight = space.weights(x, found.weight)
        return found

    def _counted(self, rows: IntArray) -> csr_matrix:
        return self.features([self.codes[i] for i in rows])
