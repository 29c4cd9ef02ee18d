"""Examples: encoded sequences with labels, and their batches for an epoch of training.

Shapes: n sequences, B sequences of a batch, T bases, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from titans_datasets.dna.alphabet import Codes
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_ts.genomics.model.network import Batch
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.genomics.training.holdout import IntArray


class Examples(NamedTuple):
    """Encoded sequences with their labels.

    Attributes:
        codes: n arrays of letters.
        labels: (n,) class numbers, (n, K) zeros and ones or numbers; for bases a list of n arrays (T,) or (T, K).
        weight: (n,) of the sequences.
        class_weight: (K,) by class number, for labels of bases; None elsewhere (it is part of `weight`).
    """

    codes: Sequence[Codes]
    labels: Any
    weight: npt.NDArray[np.float64]
    class_weight: npt.NDArray[np.float64] | None = None

    def take(self, rows: IntArray) -> Examples:
        """The examples at these places."""
        labels = [self.labels[i] for i in rows] if isinstance(self.labels, list) else self.labels[rows]
        return Examples([self.codes[i] for i in rows], labels, self.weight[rows], self.class_weight)

    def batch(self, rows: IntArray) -> Batch:
        """Sequences of one batch, padded on the right."""
        ids, mask = pad([self.codes[i] for i in rows])
        batch = {"input_ids": ids, "attention_mask": mask}
        weight = torch.from_numpy(self.weight[rows]).float()
        if not isinstance(self.labels, list):
            return {**batch, "labels": torch.from_numpy(self.labels[rows]), "weight": weight}
        first = torch.from_numpy(self.labels[int(rows[0])])
        labels = first.new_zeros(*mask.shape, *first.shape[1:])
        labels[mask] = torch.cat([torch.from_numpy(self.labels[i]) for i in rows])
        each = weight[:, None] * mask
        if self.class_weight is not None:
            each = each * torch.from_numpy(self.class_weight).float()[labels]
        return {**batch, "labels": labels, "weight": each}


class EpochBatches(IterableDataset[Batch]):
    """Batches of sequences of similar length in a new order each epoch, some bases replaced by random ones.

    Args:
        examples: the training sequences.
        config: batch size, mutation rate and seed.
    """

    def __init__(self, examples: Examples, config: TrainingConfig) -> None:
        super().__init__()
        self.examples, self.config = examples, config
        self.lengths = np.array([len(x) for x in examples.codes])
        self.tokens = int(config.batch_size * max(1.0, float(np.median(self.lengths))))
        self.random = np.random.default_rng(config.seed)

    def steps(self) -> int:
        """Approximate number of batches of an epoch: padding differs from order to order."""
        return len(bucketed(self.lengths, self.tokens, np.random.default_rng(self.config.seed)))

    def __iter__(self) -> Iterator[Batch]:
        for rows in bucketed(self.lengths, self.tokens, self.random):
            batch = self.examples.batch(rows)
            yield {**batch, "input_ids": self._mutated(batch["input_ids"], batch["attention_mask"])}

    def _mutated(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.config.mutation_rate == 0:
            return ids
        hit = torch.from_numpy(self.random.random(ids.shape) < self.config.mutation_rate) & mask
        return torch.where(hit, torch.from_numpy(self.random.integers(0, 4, ids.shape)), ids)
