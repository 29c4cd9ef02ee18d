"""Batches of sequences for Lightning.

Shapes: B sequences of a batch, T tokens of its longest one.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from titans_datasets.dna.batches.buckets import Batch, BucketSampler, LabelledSequences, SequenceBatches


class DNADataModule(LightningDataModule):
    """Training, validation and prediction batches of DNA; no sequence is cut or left out.

    Args:
        train, validation, predict: labelled sequences, or plain sequences without labels; None where not needed.
        tokens_per_batch: maximum of tokens B · T in a batch, padding included.
        seed: of the order of the training batches.

    Example:
        >>> module = DNADataModule(LabelledSequences(["ACGT", "GG", "ACGTA"], [0, 1, 0]), predict=["TTT"])
        >>> next(iter(module.predict_dataloader()))["input_ids"].tolist()
        [[3, 3, 3]]
    """

    def __init__(
        self,
        train: LabelledSequences | Any,
        validation: LabelledSequences | Any = None,
        predict: LabelledSequences | Any = None,
        *,
        tokens_per_batch: int = 16_384,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tokens_per_batch, self.seed = tokens_per_batch, seed
        self.sets = {"train": train, "validation": validation, "predict": predict}
        self._encoded: dict[str, SequenceBatches] = {}

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled training batches."""
        return self._loader("train", self.seed)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Validation batches from short to long; an empty list without a validation set."""
        return [] if self.sets["validation"] is None else self._loader("validation")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches from short to long; `index` holds the numbers of their sequences."""
        return self._loader("predict")

    def _loader(self, name: str, seed: int | None = None) -> DataLoader[Batch]:
        if name not in self._encoded:
            data = self.sets[name]
            if data is None:
                raise ValueError(f"there are no sequences to {name}: pass {name}= to DNADataModule")
            labelled = data if isinstance(data, LabelledSequences) else LabelledSequences(data)
            self._encoded[name] = SequenceBatches(labelled)
        batches = self._encoded[name]
        sampler = BucketSampler(batches.lengths, self.tokens_per_batch, seed)
        return DataLoader(batches, sampler=sampler, batch_size=None)
