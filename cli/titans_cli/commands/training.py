"""`titans-ts fit | validate | test | predict -c recipe.yaml`: training with Lightning, which parses its own options."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The description; the options are those of the recipe's sections, see `titans-ts fit --help`."""
    parser.description = "Train with Lightning by a recipe: -c recipe.yaml, and any key as --section.key VALUE."


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: argv has the command and its options."""
    from titans_cli.training.cli import run_training

    run_training(arguments.argv)
