"""Recipes of networks that read DNA: classes and numbers of sequences, labels of bases, language models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from titans_cli.training.recipe_cli import RecipeCLI
from titans_datasets.series import write_table
from titans_ts.genomics.training.data import DNADataModule
from titans_ts.genomics.training.recipe import MODULES
from titans_ts.genomics.training.scores import CollectAnswers, in_order, prediction_table, score


class DNACLI(RecipeCLI):
    """`DNADataModule` and the module of a task."""

    data = DNADataModule
    output = "predictions.csv"

    def __init__(self, argv: Sequence[str], task: str) -> None:
        self.module = MODULES[task]
        super().__init__(argv, task)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data are read for the task, and classes and length follow from them."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("task", "data.task")
        parser.link_arguments("data.outputs", "model.outputs", apply_on="instantiate")

    @property
    def validated(self) -> bool:
        """Whether there are validation sequences."""
        return bool(self.datamodule.has("validation"))

    def data_lines(self) -> list[str]:
        """Sequences of each part, and the classes."""
        return list(self.datamodule.summary())

    def extra_callbacks(self) -> list[Callback]:
        """The answers of the test part, for `test`."""
        if self.subcommand != "test":
            return []
        self.collected = CollectAnswers()
        return [self.collected]

    def test(self, **options: Any) -> None:
        """Print the metrics of the test part with 95 % intervals."""
        self.trainer.test(**{**options, "verbose": False})
        data = self.datamodule
        found = score(data.outputs, data.part("test"), self.collected.answers)
        source, count = data.spec.source("test") or data.spec.train, len(data.part("test"))
        self.report(f"{count:,} test sequences of {source}", found.map("{:.4g}".format).to_string())

    def predict(self, **options: Any) -> None:
        """Write the answers as a table.

        Raises:
            ValueError: there are several processes.
        """
        found, data = in_order(self.predicted(**options)), self.datamodule
        frame = prediction_table(data.outputs, data.part("predict"), found)
        self.report(f"predictions {write_table(frame, self.settings.output)}: {len(frame):,} rows")
