"""Recipes of forecasts, and of the pretraining behind forecasts without a fit."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from titans_cli.output.tables import make_console, score_table
from titans_cli.training.recipe_cli import RecipeCLI
from titans_datasets.series import write_table
from titans_datasets.series.public.module_source import SourceDataModule
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.reads.training.data import PoolDataModule
from titans_ts.forecasting.reads.training.module import PretrainingModule
from titans_ts.forecasting.reads.training.weights import write_weights
from titans_ts.forecasting.training.closed_form import fit_linear
from titans_ts.forecasting.training.recipe import recipe_module
from titans_ts.forecasting.training.score_callback import ScoreForecasts


class ForecastingCLI(RecipeCLI):
    """`recipe_module` and `SourceDataModule`: forecasts of the series of a data source."""

    module = staticmethod(recipe_module)
    data = SourceDataModule
    output = "forecast.csv"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The network's sizes follow from the data."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")

    @property
    def validated(self) -> bool:
        """Whether there are validation windows."""
        return bool(len(self.datamodule.task.validation))

    def extra_callbacks(self) -> list[Callback]:
        """Scores of the test windows, for `test`."""
        if self.subcommand != "test":
            return []
        self.scores = ScoreForecasts(self.datamodule.task.store, self.datamodule.task.test)
        return [self.scores]

    def data_lines(self) -> list[str]:
        """Series and windows, and how they were read."""
        task = self.datamodule.task
        windows = f"{len(task.train):,} training, {len(task.validation):,} validation, {len(task.test):,} test windows"
        first = f"data     {self.datamodule.spec.source}: {len(task.store.item_ids):,} series, {windows}"
        return [first, *(f"  · {note}" for note in task.notes)]

    def begin(self) -> None:
        """Fit the linear part in closed form."""
        task = self.datamodule.task
        fit_linear(self.model.network, task.store, task.train, task.validation)

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
        parts = self.predicted(**options)
        mean, quantiles = (torch.cat(tensors).float().cpu() for tensors in zip(*parts, strict=True))
        frame = forecast_frame(task.panel, Forecast(mean, quantiles), self.model.levels, task.schema)
        self.report(f"forecast {write_table(frame, self.settings.output)}: {len(frame):,} rows")


class PretrainingCLI(RecipeCLI):
    """`PretrainingModule` and `PoolDataModule`: a network that reads memories, trained on generated series alone."""

    module = PretrainingModule
    data = PoolDataModule
    refused = {  # noqa: RUF012
        "test": "python benchmarks/zero.py --weights FILE scores pretrained weights on real series",
        "predict": "titans-ts forecast FILE --horizon N --pretrained forecasts with those that are installed",
    }

    @property
    def validated(self) -> bool:
        """Whether there are validation batches."""
        return bool(self.datamodule.validation_batches)

    def data_lines(self) -> list[str]:
        """The folder of pools."""
        data = self.datamodule
        return [f"data     {data.folder}: {data.rounds} rounds of generated series, made where they are missing"]

    def end(self) -> None:
        """Write the weights with their card."""
        if self.trainer.is_global_zero and not self.settings.trainer.fast_dev_run:
            written = write_weights(self.model, self.datamodule, self.trainer, self.folder.root)
            self.report(f"weights  {written}")
