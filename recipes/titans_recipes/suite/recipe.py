"""The task `suite`: forecasters of a recipe, and those of other packages, on the tasks of a public suite."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from titans_datasets.data_folder import VARIABLE, data_folder
from titans_recipes.suite.archives.loading import load_tasks
from titans_recipes.suite.baseline import BASELINE, check_baseline, seasonal_naive
from titans_recipes.suite.forecasters import OURS, SETTINGS
from titans_recipes.suite.peers import INSTALL, PEERS
from titans_recipes.suite.plot import plot_suite
from titans_recipes.suite.protocol import Forecaster, Score, evaluate
from titans_recipes.suite.published import published_scores
from titans_recipes.suite.rows import SEASONAL_NAIVE, SuiteRow, label, stored_row, suite_table
from titans_recipes.suite.tasks import DEFAULTS, SUITES, SuiteTask
from titans_recipes.task import Recipe, Selection, Task


class Job(NamedTuple):
    """One forecaster of a recipe.

    Attributes:
        run, seed: which one.
        settings: as text, by which stored rows are known again.
        make: it for a task.
        peer: whether it is of another package, whose errors don't stop a recipe.
    """

    run: str
    seed: int
    settings: str
    make: Callable[[SuiteTask], Forecaster]
    peer: bool = False


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown suites, forecasters, settings and peers.

    Raises:
        ValueError: with what is known.
    """
    if recipe["suite"] not in SUITES:
        raise ValueError(f"{path} has no suite {recipe['suite']!r}: suite must be one of {list(SUITES)}")
    unknown = sorted(set(recipe.get("peers") or ()) - set(PEERS))
    if unknown:
        raise ValueError(f"{path} has unknown peers {unknown}: known are {list(PEERS)}")
    for name, run in recipe["runs"].items():
        kind = (run or {}).get("forecaster")
        if kind not in OURS:
            raise ValueError(f"{path}: {name} must have a forecaster, one of {list(OURS)}, got {kind!r}")
        wrong = sorted(set(run) - {"forecaster", *SETTINGS[kind]})
        if wrong:
            raise ValueError(f"{path}: {name} has unknown entries {wrong}: {kind} takes {list(SETTINGS[kind])}")


def notes(recipe: Recipe, selection: Selection) -> list[str]:
    """A line for each selected peer that is not installed."""
    wanted = [name for name in recipe.get("peers") or () if name in selection.runs]
    return [f"{name}: not installed: {INSTALL}" for name in wanted if PEERS[name].missing()]


def run(recipe: Recipe, selection: Selection) -> Iterator[SuiteRow]:
    """A row for each task and forecaster, tasks in the outer loop; the seasonal naive forecast comes first.

    Raises:
        ValueError: the seasonal naive forecast is not the published one.
        FileNotFoundError: files of a task are missing.
    """
    folder = data_folder()
    if folder is None or not folder.is_dir():
        state = "is not set" if folder is None else f"is {folder}, which is no folder"
        raise FileNotFoundError(f"{VARIABLE} {state}: set it to the folder of the public archives (recipes/README.md)")
    suite, first = recipe["suite"], min(selection.seeds)
    known = {_key(row): stored_row(row) for row in selection.known if row["mase"]}
    published = {} if suite == DEFAULTS else published_scores(suite)[BASELINE]
    for task in load_tasks(folder, recipe.get("tasks") or (), (suite,)):
        naive = evaluate(seasonal_naive, task)
        if task.name in published:
            check_baseline(task, naive, published[task.name])
        base = Job(SEASONAL_NAIVE, first, "", lambda task: seasonal_naive)
        yield known.get(_key_of(base, task)) or _row(base, task, naive, naive)
        for job in _jobs(recipe, selection):
            yield known.get(_key_of(job, task)) or _scored(job, task, naive)


def _jobs(recipe: Recipe, selection: Selection) -> Iterator[Job]:
    """Every selected forecaster that can be run; peers with the first seed only."""
    peers = set(recipe.get("peers") or ())
    for name, settings, seed in selection.models():
        if name not in peers:
            own = {key: value for key, value in settings.items() if key != "forecaster"}
            text = json.dumps(settings, sort_keys=True)
            yield Job(name, seed, text, _maker(OURS[settings["forecaster"]], own, seed))
        elif seed == min(selection.seeds) and not PEERS[name].missing():
            yield Job(name, seed, PEERS[name].versions(), _peer_maker(name, seed), peer=True)


def _maker(
    make: Callable[[SuiteTask, Mapping[str, Any], int], Forecaster], settings: Mapping[str, Any], seed: int
) -> Callable[[SuiteTask], Forecaster]:
    return lambda task: make(task, settings, seed)


def _peer_maker(name: str, seed: int) -> Callable[[SuiteTask], Forecaster]:
    return lambda task: PEERS[name].make(task, seed)


def _scored(job: Job, task: SuiteTask, naive: Score) -> SuiteRow:
    """The row of a forecaster; a peer's error is its note."""
    if not job.peer:
        return _row(job, task, evaluate(job.make(task), task), naive)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _row(job, task, evaluate(job.make(task), task), naive)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return _row(job, task, None, naive, f"failed: {type(error).__name__}: {text}")


def _row(job: Job, task: SuiteTask, score: Score | None, naive: Score, note: str = "") -> SuiteRow:
    covered = (None, None, None) if score is None else score.coverage
    return SuiteRow(
        *(job.run, job.seed, task.suite, task.name),
        mase=None if score is None else score.mase,
        wql=None if score is None else score.wql,
        naive_mase=naive.mase,
        naive_wql=naive.wql,
        coverage_50=covered[0],
        coverage_80=covered[1],
        coverage_90=covered[2],
        series=naive.series,
        windows=naive.windows,
        forecasts=naive.forecasts,
        cpu_seconds=0.0 if score is None else round(score.seconds, 2),
        settings=job.settings,
        note=note,
    )


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return str(row["run"]), str(row["seed"]), str(row["set"]), str(row["settings"])


def _key_of(job: Job, task: SuiteTask) -> tuple[str, ...]:
    return job.run, str(job.seed), task.name, job.settings


TASK = Task(
    row=SuiteRow,
    results="results_suite.csv",
    check=check,
    run=run,
    reads=("tasks", "peers"),
    table=suite_table,
    scores=("mase", "wql"),
    needs=("suite",),
    keys=("suite", "set"),
    label=label,
    plot=plot_suite,
    notes=notes,
    known=lambda row: row.known,
)
