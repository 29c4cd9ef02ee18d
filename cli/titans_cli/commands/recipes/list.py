"""`titans-ts recipes list`: the recipes that ship with the package."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The description; there are no options."""
    parser.description = "Print the name and the title of every recipe that ships with the package."


def run(arguments: argparse.Namespace) -> None:
    """One line per recipe."""
    from titans_recipes.catalogue import all_recipes, title

    for path in all_recipes():
        print(f"{path.stem:<22} {title(path)}")
