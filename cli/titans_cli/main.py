"""The console script `titans-ts`: arguments in, exit status out.

A command is one module with ``add_arguments(parser)`` and ``run(arguments)``, and one line in `VERBS`;
``arguments.started`` is the `time.monotonic` time at which the program was called. For invalid
input ``run`` raises ValueError, TypeError or OSError, whose message is printed as one line. Only the module of the
given command is imported, and nothing heavy before it runs, so that `--help` and usage errors are immediate. What else
is raised is one line too, and a traceback only with ``--debug``.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from titans_ts.support.guards.answers import answered, without_debug
from titans_ts.support.guards.outputs import FOLDERS, OUTPUTS
from titans_ts.version import __version__


class Verb(NamedTuple):
    """A command.

    Attributes:
        module: below `titans_cli.commands`.
        help: one line.
        own_parser: whether the module parses its options itself; it gets them as ``arguments.argv``.
    """

    module: str
    help: str
    own_parser: bool = False


# Name, of two words for the commands of a group → module and help.
VERBS = {
    "forecast": Verb("forecast", "train (or load) a model, backtest it, forecast"),
    "detect": Verb("detect", "anomaly detection by memory surprise"),
    "doctor": Verb("doctor", "versions, devices, memory backend, data"),
    "recipes run": Verb("recipes.run", "train and score the models of a recipe"),
    "recipes list": Verb("recipes.list", "names of the recipes that ship with the package"),
    "recipes table": Verb("recipes.table", "write tables of results into a page"),
    "recall": Verb("recall", "train on short sequences, evaluate recall on long ones"),
    "bench memory": Verb("bench.memory", "the ops linear_memory and mlp_memory"),
    "leakage": Verb("leakage", "what a DNA test set shares with its training set"),
    "classify": Verb("classify", "train and score a DNA classifier, or label sequences with one"),
    "regress": Verb("regress", "train and score a regressor of DNA, or predict numbers with one"),
    "dna pretrain": Verb("dna.pretrain", "train a language model on unlabelled DNA"),
    "dna score": Verb("dna.score", "log-likelihood of each sequence under a language model"),
    "dna embed": Verb("dna.embed", "embedding of each sequence, from a language model or a classifier"),
    "dna effects": Verb("dna.effects", "how variants, or all single substitutions, change a model's score"),
    "fit": Verb("training", "train by a recipe on any number of devices, or resume training", own_parser=True),
    "validate": Verb("training", "validation loss of a trained recipe", own_parser=True),
    "test": Verb("training", "test scores of a trained recipe", own_parser=True),
    "predict": Verb("training", "forecasts of a trained recipe", own_parser=True),
}
# Commands that always write files, and those whose --model is only read.
WRITING, LOADING = ("fit", "predict", "recipes table"), ("dna score", "dna effects")
# New objects after which a program looks for garbage.
GARBAGE = 10_000
GROUPS = {
    "recipes": "reproduce results on public benchmarks",
    "bench": "check the memory ops, and time them against other implementations",
    "dna": "language models of DNA, embeddings, effects of mutations",
}
EPILOG = """examples:
  titans-ts forecast builtin:weather --horizon 24 --backtest-days 14 --plot forecast.png --output forecast.csv
  titans-ts forecast sales.csv --id shop --timestamp day --target units --horizon 28 --model models/sales
  titans-ts fit -c recipes/forecasting/fit_weather.yaml --trainer.max_epochs 5
  titans-ts forecast sales_by_region/ --horizon 28 --model models/sales --output forecasts/ --workers 2
  titans-ts detect builtin:weather --false-alarm-rate 0.01 --plot alarms.png
  titans-ts recipes run etth1
  titans-ts bench memory --device cpu
  titans-ts leakage train.csv test.csv
  titans-ts classify train.csv --test test.csv --model models/promoters --plot report.png
  titans-ts classify --model models/promoters new.fa --output found.csv
  titans-ts regress promoters.csv --target strength --cv 5
  titans-ts dna pretrain genome.fa --model models/genome
  titans-ts dna effects --model models/promoters --vcf variants.vcf --fasta genome.fa --window 300
  titans-ts recall passkey --only lmm --lengths 512,16384
  titans-ts doctor"""


def verb_of(argv: Sequence[str]) -> str | None:
    """The name of the command that the arguments begin with; None where they begin with none."""
    return next((name for name in (" ".join(argv[:2]), " ".join(argv[:1])) if name in VERBS), None)


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The command line, with the options of one command only: those of others would have to be imported."""
    parser = argparse.ArgumentParser(
        prog="titans-ts",
        description="Forecasting of series and learning from DNA with a neural memory that learns at test time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from; may stand anywhere")
    parser.add_argument("--version", action="version", version=f"titans-ts {__version__}")
    commands = {"": parser.add_subparsers(dest="command", metavar="COMMAND", required=True)}
    for name, entry in VERBS.items():
        group, _, last = name.rpartition(" ")
        if group not in commands:
            text = GROUPS[group]
            home = commands[""].add_parser(group, help=text, description=f"{text[0].upper()}{text[1:]}.")
            commands[group] = home.add_subparsers(dest="command", metavar="COMMAND", required=True)
        one = commands[group].add_parser(last, help=entry.help)
        one.set_defaults(verb=name)
        if name == verb:
            import_module(f"titans_cli.commands.{entry.module}").add_arguments(one)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command; `verb` is its name in `VERBS`."""
    verb = verb_of(argv)
    if verb is not None and VERBS[verb].own_parser:
        return argparse.Namespace(verb=verb, argv=list(argv))
    return build_parser(verb).parse_args(argv)


def has_outputs(argv: Sequence[str]) -> bool:
    """Whether a command's results go to files, so that it goes on where nobody reads its standard output."""
    verb = verb_of(argv)
    named = {f"--{name}" for name in OUTPUTS} | {f"--{name}" for name in FOLDERS if verb not in LOADING}
    return verb in WRITING or any(word.partition("=")[0] in named for word in argv)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    import_module(f"titans_cli.commands.{VERBS[arguments.verb].module}").run(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Returns:
        0 on success, 1 for invalid input and every other error (one line on stderr), 130, 143 and 129 after SIGINT
        (Ctrl-C), SIGTERM and SIGHUP, 141 where the reader of standard output is gone. Usage errors exit through
        argparse with status 2.
    """
    started = time.monotonic()
    if argv is None:
        # The default is passed a thousand times while packages are imported, which takes .4 s.
        gc.set_threshold(GARBAGE)
    given, debug = without_debug(sys.argv[1:] if argv is None else argv)

    def work() -> None:
        """Parse, then run the command."""
        arguments = parse(given)
        arguments.started = started
        run(arguments)

    status = answered(work, debug, files=has_outputs(given))
    if argv is None:
        # Modules are no garbage: Python would look through all of them again at its end, which takes as long.
        gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
