"""Problem: what a classifier is fitted to.

Shapes: n sequences, K classes or labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.inputs import Labels
from titans_ts.genomics.linear.logistic import FloatArray, Targets
from titans_ts.genomics.training.holdout import IntArray


class Problem(NamedTuple):
    """Training sequences with everything that is known of them.

    Attributes:
        codes: n encoded sequences.
        labels: their labels.
        weight: (n,) of the sequences, times the weight of their class unless bases have the labels.
        class_weight: (K,), used for labels of bases.
        clusters: (n,) numbers of related sequences.
    """

    codes: list[Codes]
    labels: Labels
    weight: FloatArray
    class_weight: FloatArray
    clusters: IntArray

    @property
    def per_base(self) -> bool:
        """Whether bases have the labels."""
        return isinstance(self.labels.numbers, list)

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.labels.classes)

    @property
    def length(self) -> int:
        """Bases of every sequence, 0 where they differ."""
        lengths = {len(x) for x in self.codes}
        return lengths.pop() if len(lengths) == 1 else 0

    def targets(self, rows: IntArray) -> Targets:
        """Of some sequences, or of all their bases."""
        numbers, task = self.labels.numbers, self.labels.task
        if not self.per_base:
            return Targets(numbers[rows], self.weight[rows], self.outputs, task)
        flat = np.concatenate([numbers[i] for i in rows])
        weight = np.concatenate([np.full(len(numbers[i]), self.weight[i]) for i in rows])
        return Targets(flat, weight * self.class_weight[flat], self.outputs, task)
