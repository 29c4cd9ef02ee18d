"""`titans-ts recipes run`: train and score the models of a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from titans_cli.input.options import add_options, argument, option, read_options
from titans_cli.input.values import whole_numbers


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """Train every run of a recipe at every horizon with every seed, and print the table of scores. Data are read from
    the folder in the environment variable TITANS_TS_DATA."""

    name: str = argument("NAME", "such as etth1 (see `titans-ts recipes list`), or a YAML file")
    seeds: Sequence[int] | None = option("LIST", "such as 0,1,2, instead of the recipe's", type=whole_numbers)
    horizons: Sequence[int] | None = option(
        "LIST", "such as 96,192, instead of the recipe's (task recall: lengths)", type=whole_numbers
    )
    only: Sequence[str] | None = option("RUN", "only this run; may be repeated", action="append")
    output: str | None = option("FILE", "append one row per model to this csv; task suite goes on where it stopped")
    plot: str | None = option(
        "FILE", "picture (png, pdf, svg), for recipes of tasks suite, recall, demand, genome_recall"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, RunJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the recipe; see `titans_recipes.runner.report_recipe`.

    Raises:
        ValueError, FileNotFoundError: no such recipe or run, unknown settings, or data that are missing.
    """
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import make_console
    from titans_recipes.catalogue import find_recipe
    from titans_recipes.runner import report_recipe

    job = read_options(arguments, RunJob)
    with notes_on_stderr():
        report_recipe(
            find_recipe(job.name),
            make_console(quiet=False),
            seeds=job.seeds,
            only=job.only,
            horizons=job.horizons,
            output=job.output,
            plot=job.plot,
        )
