"""`titans-ts where`: the folder of a package."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.util import find_spec

from titans_cli.input.options import add_options, argument, read_options


@dataclass(frozen=True, kw_only=True)
class WhereJob:
    """Print the folder of a package."""

    package: str = argument("PACKAGE", "such as titans_ts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, WhereJob)


def run(arguments: argparse.Namespace) -> None:
    """Print it."""
    spec = find_spec(read_options(arguments, WhereJob).package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("no such package")
    print(spec.submodule_search_locations[0])
