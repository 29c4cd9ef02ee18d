"""`titans-ts recipes table`: files of results as tables in a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from titans_cli.input.options import add_options, option, read_options


@dataclass(frozen=True, kw_only=True)
class TableJob:
    """Write the tables of files of results into a page, between its two marks."""

    results: Sequence[str] | None = option(
        "FILE", "files of results; by default the published ones in the page's folder", nargs="+"
    )
    page: str = option("FILE", "page to write", default="recipes/README.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, TableJob)


def run(arguments: argparse.Namespace) -> None:
    """Write the page; see `titans_recipes.page.write_page`.

    Raises:
        ValueError, FileNotFoundError: a file is missing, or lacks its marks or its column task.
    """
    from titans_recipes.page import published_results, write_page

    job = read_options(arguments, TableJob)
    page = Path(job.page)
    write_page([Path(file) for file in job.results or ()] or published_results(page.parent), page)
