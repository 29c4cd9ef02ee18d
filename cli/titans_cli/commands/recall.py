"""`titans-ts recall`: train on short sequences, evaluate recall on long ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from titans_cli.output.tables import make_console


def recall(arguments: argparse.Namespace) -> None:
    """Run a recall recipe."""
    from titans_recipes.catalogue import find_recipe
    from titans_recipes.recall.report import report_recall

    report_recall(
        find_recipe(arguments.task),
        make_console(quiet=False),
        only=arguments.only,
        lengths=arguments.lengths,
        seeds=arguments.seeds,
        output=Path(arguments.output) if arguments.output else None,
        plot=arguments.plot,
        networks=Path(arguments.networks) if arguments.networks else None,
    )
