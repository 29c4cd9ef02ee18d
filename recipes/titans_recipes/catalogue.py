"""The recipes that ship with the package: found by name, read and checked."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from titans_recipes.registry import TASKS, task_named
from titans_recipes.settings import GROUPS
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

    Warns:
        UserWarning: sections that the task does not use; the warning names them.
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
    _check_kinds(path, recipe)
    ignored = sorted(str(name) for name in set(recipe) - {"task", "runs", "seeds", *task.needs, *task.reads})
    if ignored:
        warnings.warn(f"{path}: {', '.join(ignored)} is not used by task {recipe['task']}", UserWarning, stacklevel=2)
    task.check(path, recipe)
    found: dict[str, Any] = recipe
    return found


def _sections(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and content of the sections that hold settings."""
    yield "runs", recipe["runs"]
    runs = recipe["runs"] if isinstance(recipe["runs"], Mapping) else {}
    for name, settings in {"defaults": recipe.get("defaults"), **runs}.items():
        yield name, settings
        if isinstance(settings, Mapping):
            yield from ((f"{name}.{group}", settings.get(group)) for group in GROUPS)


def _check_kinds(path: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse sections of the wrong kind.

    Raises:
        ValueError: runs are no mapping of names to settings, seeds no list of numbers ≥ 0, or another section that
            holds settings is none.
    """
    for name, value in _sections(recipe):
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"{path}: {name} must be a mapping of names to settings, got {value!r}")
    strange = [name for name in recipe["runs"] if not isinstance(name, str)]
    if strange:
        raise ValueError(f"{path}: names of runs must be texts, got {strange[0]!r}: put it in quotes")
    seeds = recipe["seeds"]
    if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"{path}: seeds must be a list of whole numbers from 0 to 4,294,967,295, got {seeds!r}")
