"""The recipes that ship with the package: found by name, read and checked."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from titans_recipes.registry import TASKS, task_named
from titans_ts.support.guards.yaml_files import read_yaml


def all_recipes() -> list[Path]:
    """Every recipe of ours that ships with the package, or lies in the checkout; not those of `titans-ts fit`."""
    return [file for file in _files() if re.search(r"^runs:", file.read_text(encoding="utf-8"), re.MULTILINE)]


def _files() -> list[Path]:
    here = Path(__file__).parent
    folder = next((f for f in (here / "yaml", here.parent) if f.is_dir()), None)
    return sorted(folder.glob("*/*.yaml")) if folder else []


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
    fitted = [path for path in _files() if path.stem == stem]
    if stem in known or fitted:
        # A recipe of `titans-ts fit` is told apart when it is read.
        return known.get(stem) or fitted[0]
    close = difflib.get_close_matches(stem, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise FileNotFoundError(f"no recipe {name!r}{hint}: pass a YAML file or one of {', '.join(known)}")


def load_recipe(path: Path) -> dict[str, Any]:
    """A recipe, checked by its task.

    Raises:
        ValueError: it is no recipe, its task is unknown, or the task refuses it.
    """
    recipe = read_yaml(path)
    if isinstance(recipe, dict) and "runs" not in recipe and {"data", "model", "trainer"} & recipe.keys():
        raise ValueError(f"{path} is a recipe for `titans-ts fit`: run `titans-ts fit -c {path}`")
    known = isinstance(recipe, dict) and recipe.get("task") in TASKS
    task = task_named(recipe["task"]) if known else None
    needed = ("runs", "seeds", *(task.needs if task is not None else ()))
    if task is None or not all(recipe.get(name) for name in needed):
        raise ValueError(
            f"{path} is no recipe: it must be a mapping with task (one of {', '.join(TASKS)}), {', '.join(needed)}"
        )
    task.check(path, recipe)
    found: dict[str, Any] = recipe
    return found
