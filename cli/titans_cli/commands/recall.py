"""`titans-ts recall`: train on short sequences, evaluate recall on long ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from titans_cli.input.options import add_options, argument, option, read_options
from titans_cli.input.values import whole_numbers


@dataclass(frozen=True, kw_only=True)
class RecallJob:
    """Train small models to recall what a sequence stated once, and evaluate them at the end of sequences of up to
    millions of tokens. No data are needed."""

    task: str = argument("TASK", "passkey, number, word, associative, repeat, reverse_repeat, or a YAML file")
    only: Sequence[str] | None = option("RUN", "only this model, such as lmm; may be repeated", action="append")
    lengths: Sequence[int] | None = option("LIST", "only these lengths of the recipe", type=whole_numbers)
    seeds: Sequence[int] | None = option("LIST", "such as 0,1,2, instead of the recipe's", type=whole_numbers)
    output: str | None = option("FILE", "append one row per model and length to this csv")
    plot: str | None = option(
        "FILE", "accuracy against length as png, pdf or svg; includes the earlier rows of --output"
    )
    networks: str | None = option("FOLDER", "keep trained networks here, and load them instead of training again")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, RecallJob)


def run(arguments: argparse.Namespace) -> None:
    """Run a recall recipe; see `titans_recipes.recall.report.report_recall`.

    Raises:
        ValueError, FileNotFoundError: no such recipe, run or length, a picture of unknown format, or a folder of
            networks with other settings.
    """
    from titans_cli.output.tables import make_console
    from titans_recipes.catalogue import find_recipe
    from titans_recipes.recall.report import report_recall

    job = read_options(arguments, RecallJob)
    report_recall(
        find_recipe(job.task),
        make_console(quiet=False),
        only=job.only,
        lengths=job.lengths,
        seeds=job.seeds,
        output=Path(job.output) if job.output else None,
        plot=job.plot,
        networks=Path(job.networks) if job.networks else None,
    )
