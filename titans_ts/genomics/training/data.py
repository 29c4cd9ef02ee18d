"""DNADataModule: the sequences, labels and windows that a recipe names, as batches for Lightning.

Shapes: n sequences, B of a batch, T bases of one, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from lightning.pytorch import LightningDataModule

from titans_ts.core.config import require
from titans_ts.genomics.inputs import encode_labels, known_labels
from titans_ts.genomics.model.inference import TOKENS
from titans_ts.genomics.training.batches import Part, PartLoader
from titans_ts.genomics.training.holdout import IntArray, hold_out, related
from titans_ts.genomics.training.sources import (
    DataSpec,
    Records,
    SequenceColumns,
    TaskName,
    as_numbers,
    read_part,
)

MOST_CLASSES = 8
# The class of a base on the other strand.
OTHER_STRAND = {"+": "-", "-": "+"}


class Outputs(NamedTuple):
    """What a network for the data answers, as plain values.

    Attributes:
        task: of the recipe.
        classes: K classes in order; none where numbers or bases are predicted.
        length: bases of every training sequence, 0 where they differ.
        context_length: bases of a window.
        mean, spread: of the numbers of a regression.
        sequences: n of the training data, those that are held out of them included.
        seed: of what is held out.
        counts: (K,) sequences (or bases) of each class in the training data; none in checkpoints of 0.2.0.
    """

    task: TaskName
    classes: list[Any]
    length: int
    context_length: int
    mean: float
    spread: float
    sequences: int
    seed: int
    counts: tuple[int, ...] = ()


class DNADataModule(LightningDataModule):
    """Training, validation, test and prediction batches of DNA files, public sets and genomes.

    Sequences are read as they are, whatever their lengths; genomes as adjacent windows. What has no file of its own is
    held out of the training data: equal sequences, reverse complements and members of one group always together. Its
    checkpoint state holds the classes and the seed of what is held out, so that `test` meets what `fit` did not. For
    sequences in memory see `titans_datasets.dna.DNADataModule`.

    Args:
        train: a public set ("mouse_3"), a csv or tsv, one file per class ("promoter=a.fa,other=b.fa"), a .bed file with
            `genome`; for windows a FASTA or GenBank file or a reference genome ("ecoli_k12").
        task: sequence_classification, sequence_regression, base_labels or language_model.
        validation, test: the same of their own; of a public set its test part is the test.
        predict: what `predict` reads, without labels; null takes the test.
        validation_fraction, test_fraction: shares of the training data that are held out where there is no file.
        columns: names of a table's columns.
        genome: file or name of the genome on which intervals of a .bed file lie: the class of an interval is its name,
            the number of a regression its score.
        labels: of the bases of a genome: a .bed file (in an interval or not, and on which strand), or "prodigal": genes
            that Prodigal predicts. Without it bases have their labels in a table.
        regions: of windows: part → [start, end) from 0 on the first record of its genome, instead of all of it; regions
            of parts without a file of their own are of the training genome.
        context_length: bases of a window.
        batch_size: sequences of median length in a training step, over all devices; longer ones come in smaller
            batches.
        seed: of what is held out, the order of training batches and the strands of windows (half of them are read on
            the other one, drawn anew in each epoch).

    Raises:
        ValueError: a value is out of range, or does not belong to the task.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> table = Path(tempfile.mkdtemp()) / "table.csv"
        >>> rows = [f"ACGTACG{a}{b}{c},yes" for a in "ACGT" for b in "ACGT" for c in "ACGT"] + ["AAAACAA,no", "CC,no"]
        >>> written = table.write_text("sequence,label\\n" + "\\n".join(rows))
        >>> data = DNADataModule(str(table), batch_size=16)
        >>> data.outputs.classes, len(data.part("train")) + len(data.part("validation"))
        (['no', 'yes'], 66)
        >>> sorted(next(iter(data.train_dataloader())))
        ['attention_mask', 'counted', 'index', 'input_ids', 'labels', 'weight']
    """

    def __init__(
        self,
        train: str,
        *,
        task: TaskName = "sequence_classification",
        validation: str | None = None,
        test: str | None = None,
        predict: str | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.0,
        columns: SequenceColumns = SequenceColumns(),  # noqa: B008
        genome: str | None = None,
        labels: str | None = None,
        regions: dict[str, tuple[int, int]] | None = None,
        context_length: int = 1024,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require(batch_size >= 1, "batch_size", "≥ 1", batch_size)
        self.spec = DataSpec(
            train=train,
            task=task,
            validation=validation,
            test=test,
            predict=predict,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            columns=columns,
            genome=genome,
            labels=labels,
            regions=dict(regions or {}),
            context_length=context_length,
            seed=seed,
        )
        self.batch_size, self.seed = batch_size, seed
        self._fitted: Outputs | None = None
        self._parts: dict[str, Part] = {}

    @cached_property
    def outputs(self) -> Outputs:
        """Those of the checkpoint, or what the training data hold."""
        if self._fitted is not None:
            return self._fitted
        spec, records = self.spec, self._training
        lengths, classes, mean, spread = {len(one) for one in records.codes}, [], 0.0, 1.0
        counts: tuple[int, ...] = ()
        if spec.task == "sequence_regression":
            values = as_numbers(spec.train, records.labels or [])
            mean, spread = float(values.mean()), float(values.std()) or 1.0
        elif spec.task != "language_model":
            found = encode_labels(records.labels, len(records.codes), spec.task == "base_labels")
            classes = found.classes.tolist()
            flat = np.concatenate(found.numbers) if isinstance(found.numbers, list) else found.numbers
            counts = tuple(np.bincount(flat, minlength=len(classes)).tolist())
        length = lengths.pop() if len(lengths) == 1 else 0
        facts = (mean, spread, len(records.codes), spec.seed)
        return Outputs(spec.task, classes, length, spec.context_length, *facts, counts)

    def state_dict(self) -> dict[str, Any]:
        """Classes, lengths and the seed of what is held out, plain values."""
        return self.outputs._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the data as those of the checkpoint were read.

        Raises:
            ValueError: they were read already, in another way.
        """
        fitted = Outputs(**state_dict)
        if "outputs" in self.__dict__ and self.outputs != fitted:
            raise ValueError(
                f"{self.spec.train} has other classes or sequences than the checkpoint's data: load the checkpoint's "
                "state before the data, or train again"
            )
        # What is held out is that of training; the order of batches keeps the seed it was given.
        self._fitted, self.spec = fitted, replace(self.spec, seed=fitted.seed)

    def part(self, name: str) -> Part:
        """The sequences of train, validation, test or predict.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not there, or its labels are others than those of training.
        """
        if name not in self._parts:
            self._parts[name] = self._made(name)
        return self._parts[name]

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        fraction = {"validation": self.spec.validation_fraction, "test": self.spec.test_fraction}.get(name, 0.0)
        return self.spec.source(name) is not None or fraction > 0 or (name == "predict" and self.has("test"))

    def summary(self) -> list[str]:
        """Lines about the data: sequences of each part, and the first classes."""
        counts = [f"{len(self.part(name)):,} {name}" for name in ("train", "validation", "test") if self.has(name)]
        what = "windows" if self.spec.windowed else "sequences"
        lines = [f"data     {self.spec.train}: {', '.join(counts)} {what}"]
        if classes := self.outputs.classes:
            more = f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
            lines.append(f"classes  {', '.join(map(str, classes[:MOST_CLASSES]))}{more}")
        return lines

    def train_dataloader(self) -> PartLoader:
        """Batches of similar length in a new order each epoch."""
        return self._loader("train", self._tokens, self.seed)

    def val_dataloader(self) -> PartLoader | list[PartLoader]:
        """Batches from short to long; an empty list where nothing is held out."""
        return self._loader("validation", self._tokens) if self.has("validation") else []

    def test_dataloader(self) -> PartLoader:
        """Batches from short to long.

        Raises:
            ValueError: there is no test part.
        """
        return self._loader("test", TOKENS)

    def predict_dataloader(self) -> PartLoader:
        """Batches from short to long; every process has all of them.

        Raises:
            ValueError: there is nothing to predict.
        """
        return PartLoader(self.part("predict"), TOKENS)

    def _loader(self, name: str, tokens: int, seed: int | None = None) -> PartLoader:
        trainer = self.trainer
        return PartLoader(
            self.part(name), tokens, seed, *((trainer.global_rank, trainer.world_size) if trainer else ())
        )

    @property
    def _tokens(self) -> int:
        return int(self.batch_size * max(1.0, float(np.median(self.part("train").lengths))))

    @cached_property
    def _training(self) -> Records:
        return read_part(self.spec, "train", self.spec.train)

    def _made(self, name: str) -> Part:
        if not self.has(name):
            option = {"predict": "data.predict FILE or data.test FILE", "test": "data.test FILE or data.test_fraction"}
            raise ValueError(f"{self.spec.train} has no {name} part: give it as {option[name]}")
        if self.spec.source(name) is None:
            return self.part("test") if name == "predict" else self._numbered(self._held_out[name], self.spec.train)
        source = self.spec.source(name)
        assert source is not None
        if name == "train":
            return self._numbered(self._held_out[name], source)
        return self._numbered(read_part(self.spec, name, source), source)

    def _numbered(self, records: Records, source: str) -> Part:
        """Labels as numbers of the training classes."""
        outputs, labels = self.outputs, records.labels
        if labels is None or self.spec.task == "language_model":
            return Part(records)
        if self.spec.task == "sequence_regression":
            return Part(records, as_numbers(source, labels).astype(np.float32))
        per_base, classes = self.spec.task == "base_labels", np.array(outputs.classes)
        if classes.dtype.kind == "U":
            # What is text in one file may be numbers in another.
            labels = labels if per_base else [str(one) for one in labels]
        try:
            numbers = known_labels(labels, len(labels), classes, "classes", per_base)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        turned = None
        if self.spec.labels is not None:
            other = [OTHER_STRAND.get(one, one) for one in outputs.classes]
            turned = (
                np.array([outputs.classes.index(one) for one in other]) if set(other) <= {*outputs.classes} else None
            )
        return Part(records, numbers, turned)

    @cached_property
    def _held_out(self) -> dict[str, Records]:
        """The training data without what is held out, and that.

        Raises:
            ValueError: the data have changed since training, or too few related sequences to hold some out.
        """
        records, outputs, spec = self._training, self.outputs, self.spec
        wanted = {"test": spec.test_fraction, "validation": spec.validation_fraction}
        wanted = {name: share for name, share in wanted.items() if share > 0 and spec.source(name) is None}
        if wanted and outputs.sequences != len(records.codes):
            raise ValueError(
                f"{spec.train} has {len(records.codes):,} sequences, it had {outputs.sequences:,} in training: what is "
                f"held out of it would be other sequences; give {' and '.join(f'data.{name}' for name in wanted)}"
            )
        left, found = np.arange(len(records.codes)), {}
        clusters = related(records.codes, records.groups) if wanted else left
        strata = self._strata(records)
        for name, share in wanted.items():
            fraction = share * len(records.codes) / len(left)
            try:
                (part,) = hold_out(clusters[left], strata[left], fraction, 1, spec.seed)
            except ValueError as error:
                raise ValueError(str(error).replace("validation_fraction", f"{name}_fraction")) from error
            found[name] = records.take(left[part])
            left = np.delete(left, part)
        return {**found, "train": records.take(left) if wanted else records}

    def _strata(self, records: Records) -> IntArray:
        """(n,) numbers whose proportions are kept: classes, most frequent classes of bases, quarters of numbers."""
        count = len(records.codes)
        if self.spec.task == "language_model" or records.labels is None:
            return np.zeros(count, dtype=np.int64)
        if self.spec.task == "sequence_regression":
            values = as_numbers(self.spec.train, records.labels)
            quarters: npt.NDArray[np.int64] = np.digitize(values, np.quantile(values, (0.25, 0.5, 0.75)))
            return quarters
        return encode_labels(records.labels, count, self.spec.task == "base_labels").strata
