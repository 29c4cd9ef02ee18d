"""Lightning's command line for the recipes of any task: parsing, the run's folder, trainer, resuming.

A recipe has the sections `data`, `model` and `trainer` (Lightning's Trainer), several `-c` are merged in their order,
and any key can be given as an option with its dotted name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from titans_cli.training.parser import RecipeParser
from titans_cli.training.saved_recipe import SavedRecipe
from titans_datasets.series.read.files import suffix_of
from titans_ts.support.checkpoint import read_checkpoint
from titans_ts.support.guards.outputs import Place, check_outputs
from titans_ts.support.run_folder import BEST, RunFolder, progress

PROG = "titans-ts"
DEFAULTS = {"max_epochs": 10, "gradient_clip_val": 1.0, "log_every_n_steps": 10, "enable_model_summary": False}


class RecipeCLI(LightningCLI):
    """Lightning's command line around a module and a data module.

    Args:
        argv: fit, validate, test or predict, and its options.
        task: as which recipes are read.
    """

    module: Callable[..., LightningModule]
    data: ClassVar[type[LightningDataModule]]
    refused: ClassVar[Mapping[str, str]] = {}
    # File that predict writes by default.
    output: ClassVar[str | None] = None

    checkpoint: dict[str, Any] | None = None
    parser: RecipeParser
    subcommand: str

    def __init__(self, argv: Sequence[str], task: str) -> None:
        self.command, self.task = argv[0], task
        super().__init__(
            self.module,
            self.data,
            args=list(argv),
            save_config_callback=SavedRecipe,
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
        """Lightning's; errors name the keys of the command and the task, and `predict` has one more option."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        self.parser.recipe_parsers = self._subcommand_parsers
        for parser in (self.parser, *self._subcommand_parsers.values()):
            parser.task = self.task  # type: ignore[attr-defined]
        if self.command == "predict" and self.output:
            self._subcommand_parsers["predict"].add_argument(
                "--output", type=str, default=self.output, help="csv, csv.gz or parquet file to write"
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The task, one seed for all, and how often the newest state is saved."""
        parser.add_argument("--task", type=str, default=self.task, help=f"kind of recipe: {self.task}")
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

    @property
    def validated(self) -> bool:
        """Whether the data have something to validate on."""
        raise NotImplementedError

    def before_instantiate_classes(self) -> None:
        """Find and check the checkpoint; data are read as its data were."""
        if self.subcommand in self.refused:
            raise ValueError(f"{self.subcommand} is not part of task {self.task}: {self.refused[self.subcommand]}")
        settings = self.settings
        self.folder = RunFolder(settings.trainer.default_root_dir, settings.config or [])
        path = self.folder.resolve(self.subcommand, settings.ckpt_path)
        self.checkpoint = None if path is None else read_checkpoint(path, self.task)
        settings.ckpt_path = path
        if self.subcommand == "fit" and path is None and not settings.trainer.fast_dev_run:
            self.folder.require_fresh()
        if self.subcommand != "fit":
            self.save_config_callback = None
        if self.subcommand == "predict":
            suffix_of(settings.output)
            sources = [getattr(settings.data, "source", None), path, *(str(one) for one in settings.config or [])]
            inputs = [Place("source", "the input", str(one)) for one in sources if one]
            check_outputs([*inputs, Place("output", "--output", settings.output)])
        self.parser.add_instantiator(self._make_data, self.data, subclasses=False)

    def _make_data(self, kind: type[Any], *args: Any, **kwargs: Any) -> Any:
        module = kind(*args, **{name: value for name, value in kwargs.items() if name != "applied_instantiation_links"})
        state = (self.checkpoint or {}).get(self.data.__qualname__)
        if state:
            module.load_state_dict(state)
        return module

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Lightning's trainer with our folder, loggers and callbacks."""
        given = self.config_init[self.subcommand].trainer
        fitting = self.subcommand == "fit"
        callbacks = given.callbacks if isinstance(given.callbacks, list) else [given.callbacks] * bool(given.callbacks)
        bars, has_bar = progress(callbacks, given.enable_progress_bar, fitting)
        ours = [*bars, *self.extra_callbacks()]
        if fitting:
            ours += self.folder.callbacks(self.validated, callbacks, self.settings.checkpoint_every_n_steps)
        given.callbacks = [*callbacks, *ours]
        given.logger = self.folder.logger(given.logger) if fitting else given.logger or False
        given.enable_checkpointing = given.enable_checkpointing if fitting else False
        return super().instantiate_trainer(
            default_root_dir=str(self.folder.root), enable_progress_bar=has_bar, **kwargs
        )

    def extra_callbacks(self) -> list[Callback]:
        """Of the task; none here."""
        return []

    def report(self, *lines: str) -> None:
        """Print in the first process."""
        if self.trainer.is_global_zero:
            print(*lines, sep="\n", flush=True)

    def data_lines(self) -> list[str]:
        """What is printed of the data."""
        raise NotImplementedError

    def begin(self) -> None:
        """What comes before the first gradient step of a new run; nothing here."""

    def end(self) -> None:
        """Say where the best state is."""
        best = self.folder.checkpoints / BEST
        if best.is_file():
            self.report(f"best     {best}")

    def fit(self, **options: Any) -> None:
        """Take gradient steps; or resume from a checkpoint."""
        network = self.model.network
        name = getattr(getattr(network.config, "backbone", None), "block", "network of reads")
        parameters = sum(p.numel() for p in network.parameters())
        model = f"model    {name}, {parameters:,} parameters"
        self.report(*self.data_lines(), model, f"run      {self.folder.root}")
        if options.get("ckpt_path") is None:
            self.begin()
        self.train(**options)
        self.end()

    def train(self, **options: Any) -> None:
        """Lightning's fit; Ctrl-C comes out as KeyboardInterrupt."""
        if options.get("ckpt_path") is not None:
            assert self.checkpoint is not None
            self.report(f"resumed  {options['ckpt_path']}, step {self.checkpoint['global_step']:,}")
        try:
            self.trainer.fit(**options)
        except SystemExit as stop:
            # Lightning has shut down after Ctrl-C.
            if self.trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise

    def validate(self, **options: Any) -> None:
        """Print the validation loss."""
        (found,) = self.trainer.validate(**{**options, "verbose": False}) or [{}]
        self.report(*(f"{name} {value:.6g}" for name, value in found.items()))

    def predicted(self, **options: Any) -> list[Any]:
        """The parts of Lightning's predict.

        Raises:
            ValueError: there are several processes.
        """
        if self.trainer.world_size > 1:
            raise ValueError("predict runs in one process: add --trainer.devices 1 --trainer.strategy auto")
        return self.trainer.predict(**options) or []
