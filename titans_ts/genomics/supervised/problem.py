"""Problem: what a classifier or regressor is fitted to.

Shapes: n sequences, T bases of one, K classes, labels or targets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.linear.losses import FloatArray, Targets
from titans_ts.genomics.model.config import TaskName
from titans_ts.genomics.training.holdout import IntArray


class Problem(NamedTuple):
    """Training sequences with everything that is known of them.

    Attributes:
        codes: n encoded sequences.
        numbers: (n,) class numbers, (n, K) zeros and ones, (n, K) standardised targets; or a list of n arrays (T,) or
            (T, K) for bases.
        task: what the numbers are; see :class:`titans_ts.genomics.model.config.SequenceConfig`.
        outputs: K.
        weight: (n,) of the sequences, times the weight of their class unless bases have the labels.
        class_weight: (K,), used for labels of bases; None for ones.
        clusters: (n,) numbers of related sequences.
        strata: (n,) numbers whose proportions held-out parts keep.
    """

    codes: list[Codes]
    numbers: npt.NDArray[Any] | list[npt.NDArray[Any]]
    task: TaskName
    outputs: int
    weight: FloatArray
    class_weight: FloatArray | None
    clusters: IntArray
    strata: IntArray

    @property
    def per_base(self) -> bool:
        """Whether bases have the labels."""
        return isinstance(self.numbers, list)

    @property
    def length(self) -> int:
        """Bases of every sequence, 0 where they differ."""
        lengths = {len(x) for x in self.codes}
        return lengths.pop() if len(lengths) == 1 else 0

    def targets(self, rows: IntArray) -> Targets:
        """Of some sequences, or of all their bases."""
        if not isinstance(self.numbers, list):
            return Targets(self.numbers[rows], self.weight[rows], self.outputs, self.task)
        flat = np.concatenate([self.numbers[i] for i in rows])
        weight = np.concatenate([np.full(len(self.numbers[i]), self.weight[i]) for i in rows])
        if self.class_weight is not None:
            weight = weight * self.class_weight[flat]
        return Targets(flat, weight, self.outputs, self.task)
