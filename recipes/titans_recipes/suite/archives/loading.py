"""The tasks of a suite by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from titans_recipes.suite.archives.defaults import default_tasks
from titans_recipes.suite.archives.public import MARKETS, price_task, public_entries
from titans_recipes.suite.tasks import DEFAULTS, FEV, SUITES, SuiteTask


class Found(NamedTuple):
    """A task before its series are read."""

    suite: str
    name: str
    load: Callable[[], SuiteTask]


def load_tasks(data: Path, names: Sequence[str] = (), suites: Sequence[str] = SUITES) -> Iterator[SuiteTask]:
    """Tasks in the suites' order, read as they are asked for.

    Args:
        data: folder of the public archives.
        names: parts of names; none for all.
        suites: of the tasks.

    Raises:
        ValueError: a part is in no name.
        FileNotFoundError: a file of a task is not in the folder.
    """
    found = [task for task in _all(data) if task.suite in suites]
    for part in names:
        if not any(part in task.name for task in found):
            known = ", ".join(task.name for task in found)
            raise ValueError(f"no task of {', '.join(suites)} has {part!r} in its name: choose among {known}")
    for task in found:
        if not names or any(part in task.name for part in names):
            yield task.load()


def _all(data: Path) -> Iterator[Found]:
    yield from (Found(entry.suite, entry.name, entry.load) for entry in public_entries(data))
    yield from (Found(FEV, f"epf_{market.lower()}", _prices(market)) for market in MARKETS)
    yield from (Found(DEFAULTS, table.name, table.load) for table in default_tasks(data))


def _prices(market: str) -> Callable[[], SuiteTask]:
    return lambda: price_task(market)
