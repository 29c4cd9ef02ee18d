"""`titans-ts recipes run | list | table`."""

from __future__ import annotations

import argparse
from pathlib import Path

from titans_cli.output.tables import make_console


def run_verb(arguments: argparse.Namespace) -> None:
    """Run the verb."""
    from titans_recipes.catalogue import all_recipes, find_recipe, title

    if arguments.verb == "list":
        for path in all_recipes():
            print(f"{path.stem:<22} {title(path)}")
    elif arguments.verb == "table":
        from titans_recipes.page import published_results, write_page

        page = Path(arguments.page)
        files = [Path(file) for file in arguments.results or ()] or published_results(page.parent)
        write_page(files, page)
    else:
        from titans_recipes.runner import report_recipe

        report_recipe(
            find_recipe(arguments.name),
            make_console(quiet=False),
            seeds=arguments.seeds,
            only=arguments.only,
            horizons=arguments.horizons,
            output=arguments.output,
            plot=arguments.plot,
        )
