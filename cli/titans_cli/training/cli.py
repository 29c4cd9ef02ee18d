"""Training with Lightning's command line, configured by YAML files.

A recipe has the sections `data`, `model` and `trainer` (Lightning's Trainer), several `-c` are merged in their order,
and any key can be given as an option with its dotted name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import make_console, score_table
from titans_cli.training.parser import RecipeParser
from titans_cli.training.run_folder import BEST, RunFolder, progress
from titans_datasets.series import write_table
from titans_datasets.series.public.module_source import SourceDataModule
from titans_datasets.series.read.files import suffix_of
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.training.checkpoint import read_checkpoint
from titans_ts.forecasting.training.fit import fit_linear
from titans_ts.forecasting.training.recipe import recipe_module
from titans_ts.forecasting.training.score_callback import ScoreForecasts
from titans_ts.support.lightning import quiet_lightning

PROG = "titans-ts"
DEFAULTS = {"max_epochs": 10, "gradient_clip_val": 1.0, "log_every_n_steps": 10, "enable_model_summary": False}


class TrainingCLI(LightningCLI):
    """Lightning's command line around `recipe_module` and `SourceDataModule`.

    Args:
        argv: fit, validate, test or predict, and its options.
    """

    checkpoint: dict[str, Any] | None = None
    parser: RecipeParser
    subcommand: str

    def __init__(self, argv: Sequence[str]) -> None:
        self.command = argv[0]
        super().__init__(
            recipe_module,
            SourceDataModule,
            args=list(argv),
            save_config_kwargs={"overwrite": True},
            trainer_defaults=dict(DEFAULTS),
            seed_everything_default=0,
            parser_kwargs={"prog": PROG},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the one that runs: each takes most of a second to describe."""
        return {self.command: LightningCLI.subcommands()[self.command]}

    def init_parser(self, **kwargs: Any) -> RecipeParser:
        """A parser with one-line errors."""
        parser = RecipeParser(**kwargs)
        parser.add_argument("-c", "--config", action=ActionConfigFile, help="YAML file; later ones change earlier ones")
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Lightning's, with one more option for `predict`."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        self.parser.recipe_parsers = self._subcommand_parsers
        if self.command == "predict":
            self._subcommand_parsers["predict"].add_argument(
                "--output", type=str, default="forecast.csv", help="csv, csv.gz or parquet file to write"
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links between sections, and how often the newest state is saved."""
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        parser.add_argument(
            "--checkpoint_every_n_steps", type=int, default=100, help="steps after which last.ckpt is replaced"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Lightning's, which would warn of arguments that do not come from `sys.argv`."""
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would take hyper-parameters of the checkpoint for keys of the recipe."""

    @property
    def settings(self) -> Any:
        """The parsed recipe of the command."""
        return self.config[self.subcommand]

    def before_instantiate_classes(self) -> None:
        """Find and check the checkpoint; data are read with its codes of covariates."""
        settings = self.settings
        self.folder = RunFolder(settings.trainer.default_root_dir, settings.config or [])
        path = self.folder.resolve(self.subcommand, settings.ckpt_path)
        self.checkpoint = None if path is None else read_checkpoint(path)
        settings.ckpt_path = path
        if self.subcommand == "fit" and path is None and not settings.trainer.fast_dev_run:
            self.folder.require_fresh()
        if self.subcommand == "predict":
            suffix_of(settings.output)
        if self.subcommand != "fit":
            self.save_config_callback = None
        self.parser.add_instantiator(self._make_data, SourceDataModule, subclasses=False)

    def _make_data(self, kind: type[SourceDataModule], *args: Any, **kwargs: Any) -> SourceDataModule:
        module = kind(*args, **{name: value for name, value in kwargs.items() if name != "applied_instantiation_links"})
        if self.checkpoint is not None:
            module.load_state_dict(self.checkpoint[SourceDataModule.__qualname__])
        return module

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Lightning's trainer with our folder, loggers and callbacks."""
        given = self.config_init[self.subcommand].trainer
        fitting, task = self.subcommand == "fit", self.datamodule.task
        callbacks = given.callbacks if isinstance(given.callbacks, list) else [given.callbacks] * bool(given.callbacks)
        bars, has_bar = progress(callbacks, given.enable_progress_bar, fitting)
        ours = [*bars]
        if fitting:
            ours += self.folder.callbacks(task, callbacks, self.settings.checkpoint_every_n_steps)
        if self.subcommand == "test":
            self.scores = ScoreForecasts(task.store, task.test)
            ours.append(self.scores)
        given.callbacks = [*callbacks, *ours]
        given.logger = self.folder.logger(given.logger) if fitting else given.logger or False
        given.enable_checkpointing = given.enable_checkpointing if fitting else False
        return super().instantiate_trainer(
            default_root_dir=str(self.folder.root), enable_progress_bar=has_bar, **kwargs
        )

    def report(self, *lines: str) -> None:
        """Print in the first process."""
        if self.trainer.is_global_zero:
            print(*lines, sep="\n", flush=True)

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
        else:
            assert self.checkpoint is not None
            self.report(f"resumed  {options['ckpt_path']}, step {self.checkpoint['global_step']:,}")
        try:
            self.trainer.fit(**options)
        except SystemExit as stop:
            # Lightning has shut down after Ctrl-C.
            if self.trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise
        best = self.folder.checkpoints / BEST
        if best.is_file():
            self.report(f"best     {best}")

    def validate(self, **options: Any) -> None:
        """Print the validation loss."""
        (found,) = self.trainer.validate(**{**options, "verbose": False}) or [{}]
        self.report(*(f"{name} {value:.6g}" for name, value in found.items()))

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


def run_training(argv: Sequence[str]) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Args:
        argv: fit, validate, test or predict, and its options.

    Raises:
        ValueError, TypeError, OSError: invalid input (one-line message).
    """
    with notes_on_stderr(shown=[]), quiet_lightning():
        try:
            TrainingCLI(argv)
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error
