"""Batches of a part of the data: each is a function of seed, epoch and number, so that training resumes anywhere.

Shapes: n sequences of a part, B of a batch, T bases of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import reverse_complement
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_ts.genomics.language.windows import BoolArray
from titans_ts.genomics.model.network import Batch
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.holdout import IntArray
from titans_ts.genomics.training.sources import Records

# The second draw of an epoch, after that of its order.
STRANDS = 1


class Part:
    """A part of the data as batches.

    Args:
        records: n sequences.
        labels: (n,) numbers, or n arrays (T,) of class numbers; None where there are none.
        turned: class numbers (K,) of the labels of bases on the other strand; None where strands are never exchanged.
    """

    def __init__(self, records: Records, labels: Any = None, turned: IntArray | None = None) -> None:
        self.records, self.labels, self.turned = records, labels, turned
        self.lengths = np.array([len(one) for one in records.codes], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def has_strands(self) -> bool:
        """Whether a window and its reverse complement are equally good examples."""
        return self.records.starts is not None and (self.labels is None or self.turned is not None)

    def batch(self, rows: IntArray, other: BoolArray) -> Batch:
        """The sequences at `rows` (B,), padded on the right, of the other strand where `other` (B,) says so.

        `index` (B,) holds the rows; `labels`, `weight` and `soft_mask` are there where they are known.
        """
        given = self.records
        both = list(zip(rows.tolist(), other.tolist(), strict=True))
        codes = [reverse_complement(given.codes[i]) if turn else given.codes[i] for i, turn in both]
        if self.labels is None:
            ids, mask = pad(codes)
            batch = {"input_ids": ids, "attention_mask": mask}
        else:
            labels = [self._turned(i) if turn else self.labels[i] for i, turn in both]
            numbers = labels if isinstance(self.labels, list) else np.array(labels, dtype=self.labels.dtype)
            examples = Examples(codes, numbers, np.ones(len(rows)))
            batch = examples.batch(np.arange(len(rows)))
        if given.soft is not None and self.labels is None:
            lower = torch.zeros_like(batch["attention_mask"])
            soft = [given.soft[i][::-1] if turn else given.soft[i] for i, turn in both]
            lower[batch["attention_mask"]] = torch.from_numpy(np.concatenate(soft))
            batch["soft_mask"] = lower
        return {**batch, "index": torch.from_numpy(rows)}

    def _turned(self, row: int) -> npt.NDArray[np.int64]:
        assert self.turned is not None
        return self.turned[self.labels[row][::-1]]


class PartLoader:
    """Batches of sequences of similar length: resumable within an epoch, shared by the processes of a distributed run.

    Each process takes every `world`-th sequence of each batch, so that all of them together take the same steps as one
    process alone; one for which a small batch has no sequence gets the first, which does not count (`counted` is 0). It
    is not a torch DataLoader, so that Lightning does not replace its order.

    Args:
        part: the sequences.
        tokens: most bases of a batch over all processes, padding included.
        seed: of the order, and of the strands of windows, in each epoch; None keeps the order from short to long.
        rank, world: number of this process, and number of processes.
    """

    # Lightning reads both attributes of a loader that has one of them.
    batch_sampler = None

    def __init__(self, part: Part, tokens: int, seed: int | None = None, rank: int = 0, world: int = 1) -> None:
        self.part, self.tokens, self.seed, self.rank, self.world = part, tokens, seed, rank, world
        self.epoch, self.batch, self._continues = 0, 0, True
        self._count = len(self._order())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        # Nothing changes before the first batch is requested: Lightning makes iterators that it never reads.
        if not self._continues or self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        self._continues = False
        order, other = self._order(), np.zeros(len(self.part), dtype=bool)
        if self.seed is not None and self.part.has_strands:
            other = np.random.default_rng((self.seed, self.epoch, STRANDS)).random(len(other)) < 0.5
        while self.batch < len(self):
            rows = order[self.batch]
            self.batch += 1
            share = rows[self.rank :: self.world]
            taken = share if len(share) else rows[:1]
            yield {**self.part.batch(taken, other[taken]), "counted": torch.tensor(float(len(share) > 0))}

    @property
    def sampler(self) -> PartLoader:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Begin that epoch, unless it is the current one."""
        if epoch != self.epoch:
            self.epoch, self.batch, self._continues = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """The position, the same in every process, and what determines the order."""
        return {"epoch": self.epoch, "batch": self.batch, "batches": len(self), "order": self._rule()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there.

        Raises:
            ValueError: the state lies within an epoch, and the batches have changed since it was saved.
        """
        now = self._rule()
        changed = [f"{name} was {was:,}, is {now[name]:,}" for name, was in state["order"].items() if was != now[name]]
        done = state["batch"] >= state["batches"]
        if changed and state["batch"] > 0 and not done:
            raise ValueError(
                f"training stopped within epoch {state['epoch']} and cannot continue with other batches: "
                f"{', '.join(changed)}; resume with the settings and data it was started with"
            )
        self.epoch, self.batch, self._continues = state["epoch"], len(self) if done else state["batch"], True

    def _rule(self) -> dict[str, Any]:
        bases = int(self.part.lengths.sum())
        return {"sequences": len(self.part), "bases": bases, "bases a batch": self.tokens, "seed": self.seed}

    def _order(self) -> list[IntArray]:
        drawn = None if self.seed is None else np.random.default_rng((self.seed, self.epoch))
        return bucketed(self.part.lengths, self.tokens, drawn)
