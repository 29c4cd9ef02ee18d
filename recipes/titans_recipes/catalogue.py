"""The recipes that ship with the package: found by name, read and checked."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from titans_recipes.registry import TASKS, task_named

# Tasks of recipes that are for `titans-ts fit`.
TRAINED = ("forecasting", "pretraining")


def all_recipes() -> list[Path]:
    """Every recipe with a task of ours that ships with the package, or lies in the checkout; not those of `fit`."""
    here = Path(__file__).parent
    folder = next((f for f in (here / "yaml", here.parent) if f.is_dir()), None)
    files = sorted(folder.glob("*/*.yaml")) if folder else []
    named = {file: re.search(r"^task: *(\w+)", file.read_text(encoding="utf-8"), re.MULTILINE) for file in files}
    return [file for file, found in named.items() if found and found.group(1) not in TRAINED]


def title(path: Path) -> str:
    """The first line of a recipe's header."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or a name such as `etth1` or `forecasting/etth1`.

    Raises:
        FileNotFoundError: there is none; the message has the closest name and all others.
    """
    if Path(name).is_file():
        return Path(name)
    known = {path.stem: path for path in all_recipes()}
    stem = Path(name).stem
    if stem in known:
        return known[stem]
    close = difflib.get_close_matches(stem, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise FileNotFoundError(f"no recipe {name!r}{hint}: pass a YAML file or one of {', '.join(known)}")


def load_recipe(path: Path) -> dict[str, Any]:
    """A recipe, checked by its task.

    Raises:
        ValueError: it is no recipe, its task is unknown, or the task refuses it.
    """
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = isinstance(recipe, dict) and recipe.get("task") in TASKS
    task = task_named(recipe["task"]) if known else None
    needed = ("runs", "seeds", *(task.needs if task is not None else ()))
    if task is None or not all(recipe.get(name) for name in needed):
        raise ValueError(
            f"{path} is no recipe: it must be a mapping with task (one of {', '.join(TASKS)}), {', '.join(needed)}; "
            "recipes with model, data and trainer are for titans-ts fit"
        )
    task.check(path, recipe)
    found: dict[str, Any] = recipe
    return found
