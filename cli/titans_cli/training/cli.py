"""Training with Lightning's command line, configured by YAML files: what each task does beyond `RecipeCLI`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import make_console, score_table
from titans_cli.training.recipe_cli import RecipeCLI
from titans_datasets.series import write_table
from titans_datasets.series.public.module_source import SourceDataModule
from titans_datasets.series.read.files import suffix_of
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.reads.training.data import PoolDataModule
from titans_ts.forecasting.reads.training.module import PRETRAINING_KIND, PretrainingModule
from titans_ts.forecasting.reads.training.weights import write_weights
from titans_ts.forecasting.training.checkpoint import KIND
from titans_ts.forecasting.training.fit import fit_linear
from titans_ts.forecasting.training.recipe import recipe_module
from titans_ts.forecasting.training.score_callback import ScoreForecasts
from titans_ts.support.lightning import quiet_lightning
from titans_ts.support.run_folder import BEST

FORECASTING, PRETRAINING = "forecasting", "pretraining"


class ForecastingCLI(RecipeCLI):
    """`recipe_module` and `SourceDataModule`: forecasts of the series of a data source."""

    module = staticmethod(recipe_module)
    data = SourceDataModule
    task = FORECASTING
    kind = KIND

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """With one more option for `predict`."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        if self.command == "predict":
            self._subcommand_parsers["predict"].add_argument(
                "--output", type=str, default="forecast.csv", help="csv, csv.gz or parquet file to write"
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The network's sizes follow from the data."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")

    @property
    def validated(self) -> bool:
        """Whether there are validation windows."""
        return bool(len(self.datamodule.task.validation))

    def before_instantiate_classes(self) -> None:
        """Find and check the checkpoint; data are read with its codes of covariates."""
        super().before_instantiate_classes()
        if self.subcommand == "predict":
            suffix_of(self.settings.output)
        self.parser.add_instantiator(self._make_data, SourceDataModule, subclasses=False)

    def _make_data(self, kind: type[SourceDataModule], *args: Any, **kwargs: Any) -> SourceDataModule:
        module = kind(*args, **{name: value for name, value in kwargs.items() if name != "applied_instantiation_links"})
        if self.checkpoint is not None:
            module.load_state_dict(self.checkpoint[SourceDataModule.__qualname__])
        return module

    def extra_callbacks(self) -> list[Callback]:
        """Scores of the test windows, for `test`."""
        if self.subcommand != "test":
            return []
        self.scores = ScoreForecasts(self.datamodule.task.store, self.datamodule.task.test)
        return [self.scores]

    def fit(self, **options: Any) -> None:
        """Fit the linear part in closed form, then take gradient steps; or resume from a checkpoint."""
        task, network = self.datamodule.task, self.model.network
        parameters = sum(p.numel() for p in network.parameters())
        windows = f"{len(task.train):,} training, {len(task.validation):,} validation, {len(task.test):,} test windows"
        self.report(
            f"data     {self.datamodule.spec.source}: {len(task.store.item_ids):,} series, {windows}",
            *(f"  · {note}" for note in task.notes),
            f"model    {network.config.backbone.block}, {parameters:,} parameters",
            f"run      {self.folder.root}",
        )
        if options.get("ckpt_path") is None:
            fit_linear(network, task.store, task.train, task.validation)
        self.train(**options)
        best = self.folder.checkpoints / BEST
        if best.is_file():
            self.report(f"best     {best}")

    def test(self, **options: Any) -> None:
        """Print the scores of the test windows."""
        self.trainer.test(**{**options, "verbose": False})
        if self.trainer.is_global_zero:
            console = make_console(quiet=False)
            console.print(f"{len(self.datamodule.task.test):,} test windows of {self.datamodule.spec.source}")
            console.print(score_table(self.scores.scores, console.is_terminal), no_wrap=True)

    def predict(self, **options: Any) -> None:
        """Write the forecast of each series as a table.

        Raises:
            ValueError: the source is a benchmark, or there are several processes.
        """
        task = self.datamodule.task
        if task.panel is None:
            raise ValueError(
                f"{self.datamodule.spec.source} is a benchmark with standardised values: score it with test, or give "
                "predict a table with --data.source FILE"
            )
        if self.trainer.world_size > 1:
            raise ValueError("predict runs in one process: add --trainer.devices 1 --trainer.strategy auto")
        parts = cast(list[Forecast], self.trainer.predict(**options))
        mean, quantiles = (torch.cat(tensors).float().cpu() for tensors in zip(*parts, strict=True))
        frame = forecast_frame(task.panel, Forecast(mean, quantiles), self.model.levels, task.schema)
        self.report(f"forecast {write_table(frame, self.settings.output)}: {len(frame):,} rows")


class PretrainingCLI(RecipeCLI):
    """`PretrainingModule` and `PoolDataModule`: a network that reads memories, trained on generated series alone."""

    module = PretrainingModule
    data = PoolDataModule
    task = PRETRAINING
    kind = PRETRAINING_KIND
    refused = {  # noqa: RUF012
        "test": "python benchmarks/zero.py --weights FILE scores pretrained weights on real series",
        "predict": "titans-ts forecast FILE --horizon N --pretrained forecasts with those that are installed",
    }

    @property
    def validated(self) -> bool:
        """Whether there are validation batches."""
        return bool(self.datamodule.validation_batches)

    def fit(self, **options: Any) -> None:
        """Make the pools that are missing, train or resume, and write the weights with their card."""
        parameters = sum(p.numel() for p in self.model.network.parameters())
        data = self.datamodule
        self.report(
            f"data     {data.folder}: {data.rounds} rounds of generated series, made where they are missing",
            f"model    network of reads, {parameters:,} parameters",
            f"run      {self.folder.root}",
        )
        self.train(**options)
        if self.trainer.is_global_zero and not self.settings.trainer.fast_dev_run:
            written = write_weights(self.model, data, self.trainer, self.folder.root)
            self.report(f"weights  {written}")


TASKS: dict[str, type[RecipeCLI]] = {cli.task: cli for cli in (ForecastingCLI, PretrainingCLI)}


def run_training(argv: Sequence[str]) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Args:
        argv: fit, validate, test or predict, and its options.

    Raises:
        ValueError, TypeError, OSError: invalid input (one-line message).
    """
    task = task_of(argv)
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown: it is one of {', '.join(TASKS)}")
    with notes_on_stderr(shown=[]), quiet_lightning():
        try:
            TASKS[task](argv)
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error


def task_of(argv: Sequence[str]) -> str:
    """The task that the last of the recipes or options names; forecasting where none does.

    A recipe that cannot be read is left to the parser, which says what is wrong.
    """
    task = FORECASTING
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for option, value in itertools.pairwise(words):
        if option == "--task":
            task = value
        elif option in ("-c", "--config") and Path(value).is_file():
            with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
                task = str(yaml.safe_load(Path(value).read_text(encoding="utf-8")).get("task", task))
    return task
