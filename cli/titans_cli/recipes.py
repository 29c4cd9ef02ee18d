"""Running a recipe: one YAML file, one table.

Shapes: B windows, P horizon steps.
"""

from __future__ import annotations

import csv
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from titans_datasets.series.benchmarks import LongHorizonTask
    from titans_datasets.series.windows import Windows
    from titans_ts.forecasting.network import ForecastNetwork

GROUPS = ("network", "backbone", "memory", "training")
TASKS = ("long_horizon",)


class Row(NamedTuple):
    """One trained model: test errors of the linear map alone and of the model, and what training did."""

    run: str
    seed: int
    linear_mse: float
    linear_mae: float
    validation_mse: float
    validation_mae: float
    mse: float
    mae: float
    steps: int
    best_step: int
    parameters: int
    cpu_seconds: float


def load_recipe(path: Path) -> dict[str, Any]:
    """The recipe, checked.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no recipe, or has an unknown task or group.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no recipe at {path}: pass the path of a YAML file, such as recipes/forecasting/etth1.yaml"
        )
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict) or recipe.get("task") not in TASKS or not recipe.get("runs"):
        raise ValueError(f"{path} is no recipe: it must be a mapping with task (one of {TASKS}) and runs")
    for name, run in {"defaults": recipe.get("defaults", {}), **recipe["runs"]}.items():
        unknown = set(run) - {*GROUPS, "context_length"}
        if unknown:
            raise ValueError(
                f"{path}: {name} has unknown entries {sorted(unknown)}: known are context_length, {GROUPS}"
            )
    return recipe


def run_recipe(path: Path, seeds: list[int] | None = None, only: list[str] | None = None) -> Iterator[Row]:
    """Train every run of a recipe with every seed.

    Args:
        path: the YAML file.
        seeds: instead of the recipe's.
        only: names of the runs wanted, all where None.

    Raises:
        ValueError: an unknown run or a broken recipe.
    """
    recipe = load_recipe(path)
    missing = sorted(set(only or []) - set(recipe["runs"]))
    if missing:
        raise ValueError(f"{path} has no run {missing[0]!r}: choose among {list(recipe['runs'])}")
    for name, run in recipe["runs"].items():
        if only and name not in only:
            continue
        settings = {group: {**recipe.get("defaults", {}).get(group, {}), **run.get(group, {})} for group in GROUPS}
        context = int(run.get("context_length", recipe.get("defaults", {}).get("context_length", 0)))
        for seed in recipe["seeds"] if seeds is None else seeds:
            yield train_once(recipe, name, context, settings, int(seed))


def train_once(
    recipe: Mapping[str, Any], name: str, context: int, settings: Mapping[str, dict[str, Any]], seed: int
) -> Row:
    """One model of a long-horizon recipe; the checks use every fourth validation window, the scores all of them."""
    import torch

    from titans_datasets.series.benchmarks import long_horizon
    from titans_ts.core.config import MemoryConfig, TitansConfig
    from titans_ts.forecasting.network import ForecastNetwork, NetworkConfig, linear_map
    from titans_ts.forecasting.training import TrainingConfig, train

    task = long_horizon(recipe["set"], context, recipe["horizon"])
    backbone = TitansConfig(memory=MemoryConfig(**settings["memory"]), **settings["backbone"])
    lengths = {"context_length": context, "prediction_length": recipe["horizon"], "season": recipe["season"]}
    torch.manual_seed(seed)
    network = ForecastNetwork(
        NetworkConfig(**lengths, time_features=task.store.num_time_features, backbone=backbone, **settings["network"])
    )
    started = time.process_time()
    checks = task.validation.take(slice(None, None, 4))
    result = train(
        network, task.store, task.train, checks, TrainingConfig(seed=seed, progress=False, **settings["training"])
    )
    spent = time.process_time() - started
    parameters = sum(p.numel() for p in network.parameters())
    errors = (
        *window_errors(linear_map(network), task, task.test),
        *window_errors(network, task, task.validation),
        *window_errors(network, task, task.test),
    )
    return Row(name, seed, *errors, result.steps, result.best_step, parameters, round(spent, 1))


def window_errors(network: ForecastNetwork, task: LongHorizonTask, windows: Windows) -> tuple[float, float]:
    """Mean squared and mean absolute error over windows × horizon, on standardised values."""
    import torch

    from titans_ts.forecasting.training import store_batches

    squared = absolute = count = 0.0
    with torch.inference_mode():
        for batch in store_batches(task.store, windows, torch.device("cpu")):
            error = (network(batch).mean - batch["future_target"]).double()
            squared, absolute = squared + float(error.square().sum()), absolute + float(error.abs().sum())
            count += error.numel()
    return squared / count, absolute / count


def append_rows(path: Path, recipe: Path, rows: list[Row]) -> None:
    """Append results to a CSV, with machine and versions; the file is replaced as a whole."""
    import torch

    import titans_ts

    where = {
        "recipe": recipe.stem,
        "version": titans_ts.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.machine()} {platform.system()} {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    names = [*where, *Row._fields]
    beside = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(old)
        writer.writerows(
            {**where, **{k: round(v, 5) if isinstance(v, float) else v for k, v in row._asdict().items()}}
            for row in rows
        )
    os.replace(beside, path)


def summary(rows: list[Row]) -> list[tuple[str, ...]]:
    """A line a run: seeds, test MSE and MAE as mean ± standard deviation, the linear map's, CPU seconds."""
    from statistics import mean, pstdev

    lines: list[tuple[str, ...]] = []
    for run in dict.fromkeys(row.run for row in rows):
        mine = [row for row in rows if row.run == run]
        mse, mae = [row.mse for row in mine], [row.mae for row in mine]
        lines.append(
            (
                run,
                str(len(mine)),
                f"{mean(mse):.4f} ± {pstdev(mse):.4f}",
                f"{mean(mae):.4f} ± {pstdev(mae):.4f}",
                f"{mine[0].linear_mse:.4f} / {mine[0].linear_mae:.4f}",
                f"{mean(row.validation_mse for row in mine):.4f}",
                f"{mean(row.best_step for row in mine):.0f}",
                f"{mean(row.cpu_seconds for row in mine):.0f}",
            )
        )
    return lines


HEADER = ("run", "seeds", "test MSE", "test MAE", "linear map MSE / MAE", "validation MSE", "best step", "CPU s")


def report_recipe(path: str, seeds: list[int] | None, only: list[str] | None, output: str | None) -> None:
    """Run a recipe, a line as each model is done, the table at the end.

    Raises:
        ValueError, FileNotFoundError: as in `run_recipe`, or the data are not there.
    """
    from rich.table import Table

    from titans_cli.tables import make_console

    console = make_console(quiet=False)
    rows: list[Row] = []
    for row in run_recipe(Path(path), seeds, only):
        rows.append(row)
        console.print(f"{row.run}, seed {row.seed}: MSE {row.mse:.4f} MAE {row.mae:.4f}, {row.cpu_seconds:.0f} CPU s")
        if output:
            append_rows(Path(output), Path(path), [row])
    table = Table(*HEADER, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for line in summary(rows):
        table.add_row(*line)
    console.print(table)
