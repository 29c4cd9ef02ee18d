"""What the entry `task:` of a recipe stands for: how a recipe is checked and run, and how its rows are shown.

A task is one module that defines ``TASK``, named in one line of `titans_recipes.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from titans_recipes.tables import Rows, Table

Recipe = Mapping[str, Any]
"""The content of a YAML file."""


class Row(Protocol):
    """What every row of results has. Rows are dataclasses; their fields are the columns of the CSV file."""

    @property
    def run(self) -> str:
        """Name of the model in the recipe."""

    @property
    def seed(self) -> int:
        """Seed of the model."""

    @property
    def cpu_seconds(self) -> float | None:
        """CPU seconds of training; None where nothing was trained."""


@dataclass(frozen=True)
class Selection:
    """Which part of a recipe is run.

    Attributes:
        runs: name → settings.
        seeds: one model each.
        horizons: instead of the recipe's; None where they are not given.
        known: rows of the recipe that are in the file of results already; see `Task.known`.
    """

    runs: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]
    horizons: Sequence[int] | None = None
    known: Rows = ()

    def models(self) -> Iterator[tuple[str, Mapping[str, Any], int]]:
        """Name of the run, settings and seed of each model: all runs with the first seed, then with the next."""
        for seed in self.seeds:
            for name, settings in self.runs.items():
                yield name, settings, seed


@dataclass(frozen=True)
class Task:
    """One kind of recipe.

    Attributes:
        row: dataclass of the rows (see :class:`Row`); fields with the metadata ``{"column": False}`` are not stored.
        results: name of the CSV file in ``recipes/`` that holds the published rows.
        check: called with the file and its content; raises ValueError for a recipe that cannot be run.
        run: yields each row as soon as it is known.
        table: from rows as a CSV file gives them (column → text or number) to the table of results.
        scores: columns that are printed while a recipe runs.
        needs: what a recipe must have besides task, runs and seeds.
        reads: what else it may have.
        keys: columns that, with recipe, run and seed, identify a row: of rows with the same values the newest counts.
        label: what else is printed of a row, such as ", horizon 96".
        horizons: whether `Selection.horizons` can be given.
        plot: draws rows into a file, with a title; None where there is no picture.
        notes: lines to print before anything is run, such as what is not installed.
        known: whether a row was taken from `Selection.known` instead of computed again: it is in the file already. None
            where everything is computed always.
    """

    row: type[Any]
    results: str
    check: Callable[[Path, Recipe], None]
    run: Callable[[Recipe, Selection], Iterator[Row]]
    table: Callable[[Rows], Table]
    scores: tuple[str, ...]
    needs: tuple[str, ...] = ("set",)
    reads: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    label: Callable[[Any], str] = lambda row: ""
    horizons: bool = False
    plot: Callable[[Sequence[Any], Path, str], None] | None = None
    notes: Callable[[Recipe, Selection], Sequence[str]] = lambda recipe, selection: ()
    known: Callable[[Any], bool] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the rows in a CSV file."""
        return tuple(field.name for field in fields(self.row) if field.metadata.get("column", True))

    def values(self, row: Any) -> dict[str, Any]:
        """A row as column → value."""
        return {name: getattr(row, name) for name in self.columns}
