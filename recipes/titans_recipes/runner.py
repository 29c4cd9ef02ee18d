"""Running a recipe: one YAML file, one table.

Shapes: B windows, P horizon steps.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from titans_recipes.demand.task import DemandRow, check_demand, demand_rows
from titans_recipes.dna.classification import DNARow, check_runs, dna_rows
from titans_recipes.dna.language_model import LanguageRow, check_language, language_rows
from titans_recipes.dna.segmentation import SegmentationRow, check_segmentation, segmentation_rows
from titans_recipes.forecasting.electricity_prices import electricity_rows
from titans_recipes.forecasting.long_horizon import Row, long_horizon_row
from titans_recipes.genome_recall.task import GenomeRow, check_genome, genome_rows
from titans_recipes.pictures import picture_path
from titans_recipes.recall.task import RecallRow, check_recall, recall_rows
from titans_ts.support.run_log import append_csv, commit, machine

GROUPS = ("network", "backbone", "memory", "training", "windows")
FORECASTS = {"long_horizon": long_horizon_row, "electricity": electricity_rows}
# Tasks with a set of their own instead of horizons, and what checks their recipes.
CHECKS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    "dna": check_runs,
    "recall": check_recall,
    "genome_recall": check_genome,
    "language_model": check_language,
    "segmentation": check_segmentation,
    "demand": check_demand,
}
TASKS = (*FORECASTS, *CHECKS)
PICTURED = ("demand", "genome_recall")
SCORES = ("mse", "mae", "wql", "mase", "mcc", "accuracy", "correct", "empty", "carried", "control", "bits", "wape")
AnyRow = Row | DNARow | RecallRow | GenomeRow | LanguageRow | SegmentationRow | DemandRow


def load_recipe(path: Path) -> dict[str, Any]:
    """The recipe, checked.

    Raises:
        ValueError: it is no recipe, or has an unknown task, group or run.
    """
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    named = isinstance(recipe, dict) and recipe.get("task") in CHECKS
    needed = ("runs", "seeds", "set") if named else ("runs", "seeds", "horizons")
    if not isinstance(recipe, dict) or recipe.get("task") not in TASKS or not all(recipe.get(n) for n in needed):
        raise ValueError(
            f"{path} is no recipe: it must be a mapping with task (one of {list(TASKS)}), {', '.join(needed)}; recipes "
            "with model, data and trainer are for titans-ts fit"
        )
    CHECKS.get(recipe["task"], _check_groups)(path, recipe)
    return recipe


def _check_groups(path: Path, recipe: Mapping[str, Any]) -> None:
    members = [one for run in recipe["runs"].values() for one in ((run or {}).get("members") or {}).items()]
    for name, run in [("defaults", recipe.get("defaults", {})), *recipe["runs"].items(), *members]:
        unknown = set(run or {}) - {*GROUPS, "context_length", "members"}
        if unknown:
            raise ValueError(
                f"{path}: {name} has unknown entries {sorted(unknown)}: known are context_length, members, {GROUPS}"
            )
    if members and recipe["task"] != "electricity":
        raise ValueError(f"{path}: members are for task electricity, got {recipe['task']!r}: make them runs")


def run_recipe(
    path: Path,
    seeds: list[int] | None = None,
    only: list[str] | None = None,
    horizons: list[int] | None = None,
    plot: Path | None = None,
) -> Iterator[AnyRow]:
    """Train every run of a recipe at every horizon with every seed.

    Args:
        path: the YAML file.
        seeds, horizons: instead of the recipe's; DNA has no horizons, those of a recall task are lengths of streams.
        only: names of the runs wanted, all where None.
        plot: a picture of one run of genome recall; `report_recipe` draws that of a demand recipe.

    Raises:
        ValueError: an unknown run, a broken recipe, horizons asked of DNA, or a picture of another task.
    """
    recipe = load_recipe(path)
    if plot is not None and recipe["task"] not in PICTURED:
        raise ValueError(f"{path} has no picture, recipes of tasks {', '.join(PICTURED)} have: leave --plot out")
    missing = sorted(set(only or []) - set(recipe["runs"]))
    if missing:
        raise ValueError(f"{path} has no run {missing[0]!r}: choose among {list(recipe['runs'])}")
    runs = {name: run or {} for name, run in recipe["runs"].items() if not only or name in only}
    if recipe["task"] == "demand":
        if horizons:
            raise ValueError(f"{path} forecasts a day ahead, which is its only horizon: leave --horizons out")
        for seed in seeds or recipe["seeds"]:
            yield from demand_rows(recipe, runs, int(seed))
        return
    if recipe["task"] in CHECKS:
        if horizons and recipe["task"] != "recall":
            raise ValueError(f"{path} is about DNA, which has no horizons: leave --horizons out")
        for seed, (name, run) in itertools.product(seeds or recipe["seeds"], runs.items()):
            yield from _named_rows(recipe, name, run, int(seed), horizons, plot)
        return
    rows = FORECASTS[recipe["task"]]
    for name, run in runs.items():
        settings = settings_of(recipe, run)
        for horizon, seed in itertools.product(horizons or recipe["horizons"], seeds or recipe["seeds"]):
            yield from rows(recipe, name, settings, int(horizon), int(seed))


def _named_rows(
    recipe: Mapping[str, Any],
    name: str,
    run: Mapping[str, Any],
    seed: int,
    horizons: list[int] | None,
    plot: Path | None,
) -> Iterator[AnyRow]:
    """One run of a task that has a set of its own, not horizons."""
    if recipe["task"] == "recall":
        return recall_rows(recipe, name, run, seed, horizons)
    if recipe["task"] == "genome_recall":
        return genome_rows(recipe, name, run, seed, plot)
    plain: dict[str, Callable[..., Iterator[AnyRow]]] = {
        "dna": dna_rows,
        "language_model": language_rows,
        "segmentation": segmentation_rows,
    }
    return plain[recipe["task"]](recipe, name, run, seed)


def settings_of(recipe: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings over the recipe's defaults, a dict a group, `context_length`, and those of its members."""
    defaults = recipe.get("defaults", {})
    merged: dict[str, Any] = {group: {**defaults.get(group, {}), **run.get(group, {})} for group in GROUPS}
    merged["context_length"] = int(run.get("context_length", defaults.get("context_length", 0)))
    merged["members"] = {
        name: settings_of({"defaults": merged}, one or {}) for name, one in (run.get("members") or {}).items()
    }
    return merged


def append_rows(path: Path, recipe: Path, rows: Sequence[AnyRow]) -> None:
    """Append results to a CSV, with machine, versions and commit; the file is replaced as a whole.

    Raises:
        ValueError: the file has other columns, those of another kind of task.
    """
    import torch

    import titans_ts

    where = {
        "recipe": recipe.stem,
        "version": titans_ts.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "machine": machine(),
        "threads": torch.get_num_threads(),
    }
    lines = [{**where, **{name: _short(value) for name, value in row._asdict().items()}} for row in rows]
    append_csv(path, [*where, *rows[0]._fields], lines)


def _short(value: object) -> object:
    return round(value, 5) if isinstance(value, float) else value


def report_recipe(
    path: Path,
    seeds: list[int] | None = None,
    only: list[str] | None = None,
    horizons: list[int] | None = None,
    output: str | None = None,
    plot: str | None = None,
) -> None:
    """Run a recipe, a line as each model is done, the table at the end, a picture where there is one.

    Raises:
        ValueError, FileNotFoundError: as in `run_recipe`, or the data are not there.
    """
    from rich.table import Table

    from titans_cli.output.tables import make_console
    from titans_recipes.tables import summary

    console = make_console(quiet=False)
    rows: list[AnyRow] = []
    picture = picture_path(plot) if plot else None
    for row in run_recipe(path, seeds, only, horizons, picture):
        rows.append(row)
        scores = [f"{name.upper()} {value:.4f}" for name in SCORES if (value := getattr(row, name, None)) is not None]
        spent = "" if row.cpu_seconds is None else f", {row.cpu_seconds:.0f} CPU s"
        horizon = f", horizon {row.horizon}" if isinstance(row, Row) else ""
        horizon = f", {row.length:,} tokens" if isinstance(row, RecallRow) else horizon
        horizon = f", {row.item}, from day {row.history:,}" if isinstance(row, DemandRow) else horizon
        horizon = f", {row.length:,} bases read, windows {row.windows}" if isinstance(row, GenomeRow) else horizon
        horizon = f", {row.genome}" if isinstance(row, SegmentationRow) else horizon
        console.print(f"{row.run}{horizon}, seed {row.seed}: {' '.join(scores)}{spent}")
        if output:
            append_rows(Path(output), path, [row])
    header, lines = summary([row._asdict() for row in rows])
    table = Table(*header, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if picture is not None:
        demand = [row for row in rows if isinstance(row, DemandRow)]
        if demand:
            from titans_recipes.demand.plot import plot_demand

            plot_demand(demand, picture, path.stem)
        console.print(f"plot: {picture}")


def run_verb(arguments: argparse.Namespace) -> None:
    """`titans-ts recipes run | list | table`."""
    if arguments.verb == "list":
        list_recipes()
    elif arguments.verb == "table":
        from titans_recipes.tables import write_table

        write_table([Path(file) for file in arguments.results], Path(arguments.page))
    else:
        path = find_recipe(arguments.name)
        report_recipe(path, arguments.seeds, arguments.only, arguments.horizons, arguments.output, arguments.plot)


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or a name such as `etth1` or `forecasting/etth1`.

    Raises:
        FileNotFoundError: there is none; the message has the closest one and all.
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


def all_recipes() -> list[Path]:
    """Every recipe of this task format that ships with the package, or lies in the checkout."""
    here = Path(__file__).parent
    folder = next((f for f in (here / "yaml", here.parent) if f.is_dir()), None)
    files = sorted(folder.glob("*/*.yaml")) if folder else []
    return [file for file in files if re.search(r"^task:", file.read_text(encoding="utf-8"), re.MULTILINE)]


def list_recipes() -> None:
    """Print name, and first line of the header, of every recipe."""
    for path in all_recipes():
        print(f"{path.stem:<22} {path.read_text(encoding='utf-8').splitlines()[0].lstrip('# ')}")
