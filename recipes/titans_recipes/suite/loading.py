"""The tasks of a suite by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from titans_recipes.suite.defaults import default_tasks
from titans_recipes.suite.public import MARKETS, price_task, public_entries
from titans_recipes.suite.tasks import DEFAULTS, FEV, SUITES, SuiteTask


def load_tasks(data: Path, names: Sequence[str] = (), suites: Sequence[str] = SUITES) -> Iterator[SuiteTask]:
    """Tasks in the suites' order, read as they are asked for.

    Args:
        data: folder of the public archives.
        names: parts of names; none for all.
        suites: of the tasks.

    Raises:
        FileNotFoundError: a file of a task is not in the folder.
    """

    def wanted(suite: str, name: str) -> bool:
        return suite in suites and (not names or any(part in name for part in names))

    yield from (entry.load() for entry in public_entries(data) if wanted(entry.suite, entry.name))
    yield from (price_task(market) for market in MARKETS if wanted(FEV, f"epf_{market.lower()}"))
    yield from (task.load() for task in default_tasks(data) if wanted(DEFAULTS, task.name))
