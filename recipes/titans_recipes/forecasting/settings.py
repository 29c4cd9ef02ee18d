"""Settings of the runs of forecasting recipes, in groups, over the recipe's defaults."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from titans_recipes.task import Recipe, Selection

GROUPS = ("network", "backbone", "memory", "training", "windows")


class Job(NamedTuple):
    """One model of a recipe: name and settings of its run, horizon in steps, seed."""

    run: str
    settings: dict[str, Any]
    horizon: int
    seed: int


def jobs(recipe: Recipe, selection: Selection) -> Iterator[Job]:
    """Every selected run at every horizon with every seed."""
    for run, own in selection.runs.items():
        settings = settings_of(recipe, own)
        for horizon, seed in itertools.product(selection.horizons or recipe["horizons"], selection.seeds):
            yield Job(run, settings, int(horizon), seed)


def settings_of(recipe: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings over the recipe's defaults: a dict for each group, `context_length`, and those of members."""
    defaults = recipe.get("defaults", {})
    merged: dict[str, Any] = {group: {**defaults.get(group, {}), **run.get(group, {})} for group in GROUPS}
    merged["context_length"] = int(run.get("context_length", defaults.get("context_length", 0)))
    merged["members"] = {
        name: settings_of({"defaults": merged}, one or {}) for name, one in (run.get("members") or {}).items()
    }
    return merged


def check_settings(path: Path, recipe: Recipe) -> None:
    """Refuse unknown entries of the defaults, of runs and of their members.

    Raises:
        ValueError: with what is known.
    """
    members = [one for run in recipe["runs"].values() for one in ((run or {}).get("members") or {}).items()]
    for name, run in [("defaults", recipe.get("defaults", {})), *recipe["runs"].items(), *members]:
        unknown = set(run or {}) - {*GROUPS, "context_length", "members"}
        if unknown:
            raise ValueError(
                f"{path}: {name} has unknown entries {sorted(unknown)}: known are context_length, members, {GROUPS}"
            )
