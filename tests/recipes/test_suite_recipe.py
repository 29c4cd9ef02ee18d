"""The task `suite` from the command line: baseline first, peers that are absent or fail, rows that are not repeated."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from titans_cli.main import main
from titans_recipes.suite import SuiteTask, Window, evaluate, forecasters, load_tasks, published, recipe, seasonal_naive
from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.peers import PEERS, Peer, filled
from titans_recipes.suite.rows import suite_table
from titans_recipes.suite.tasks import CHRONOS, FEV, GIFT

Run = Callable[..., int]
RUNS = {"mixture": {"forecaster": "experts"}}


def write_yearly(folder: Path) -> None:
    """Two sets of Chronos Benchmark II, five series each."""
    (folder / "monash").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("m1_yearly", "m3_yearly"):
        lines = [f"T{i}:1990-01-01 00-00-00:{','.join(f'{v:.3f}' for v in 50 + rng.random(24))}" for i in range(5)]
        text = "@attribute series_name string\n@attribute start_timestamp date\n@data\n" + "\n".join(lines)
        (folder / "monash" / f"{name}_dataset.tsf").write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a recipe on the two sets, whose published seasonal naive forecast is ours; `scale` makes it another."""
    write_yearly(tmp_path)
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path))
    tasks = [task for name in ("m1_yearly", "m3_yearly") for task in load_tasks(tmp_path, [name], (CHRONOS,))]
    own = {task.name: evaluate(seasonal_naive, task) for task in tasks}

    def call(*options: str, scale: float = 1.0, **changes: Any) -> int:
        lines = ["suite,task,model,MASE,WQL"]
        for name, score in own.items():
            lines.append(f"{CHRONOS},{name},seasonal_naive,{scale * score.mase},{scale * score.wql}")
            lines.append(f"{CHRONOS},{name},rival,{0.5 * score.mase},{0.25 * score.wql}")
        (tmp_path / "published.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        monkeypatch.setattr(published, "FILE", tmp_path / "published.csv")
        content = {"task": "suite", "suite": CHRONOS, "tasks": ["m1_yearly", "m3_yearly"], "seeds": [0], "runs": RUNS}
        (tmp_path / "small.yaml").write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
        return main(["recipes", "run", str(tmp_path / "small.yaml"), *options])

    return call


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_recipe_gives_a_row_for_each_task_and_a_table_beside_published_scores(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--output", str(tmp_path / "rows.csv"), "--plot", str(tmp_path / "suite.png")) == 0
    rows = read(tmp_path / "rows.csv")
    assert [row["run"] for row in rows] == ["seasonal naive", "mixture"] * 2
    assert {row["set"] for row in rows} == {"monash_m1_yearly", "monash_m3_yearly"}
    assert all(float(row["coverage_90"]) >= float(row["coverage_50"]) for row in rows)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rival,", "published", "2", "0.500", "0.250", *"––––"] in lines
    assert next(line for line in lines if line[:2] == ["seasonal", "naive"] and "1.000" in line)[3:5] == ["1.000"] * 2
    assert (tmp_path / "suite.png").stat().st_size > 10_000


def test_nothing_is_scored_where_the_seasonal_naive_forecast_is_another(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--output", str(tmp_path / "rows.csv"), scale=1.01) == 1
    assert "monash_m1_yearly: the seasonal naive forecast has MASE" in capsys.readouterr().err
    assert not (tmp_path / "rows.csv").exists()


def test_rows_with_the_same_settings_are_not_computed_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--output", str(tmp_path / "rows.csv"))
    assert run(*output) == 0
    first, table = read(tmp_path / "rows.csv"), capsys.readouterr().out.splitlines()[-4:]
    called: list[str] = []
    ours = recipe.OURS["experts"]

    def counted(task: SuiteTask, settings: Any, seed: int) -> Any:
        called.append(task.name)
        return ours(task, settings, seed)

    monkeypatch.setitem(recipe.OURS, "experts", counted)
    assert run(*output) == 0
    printed = capsys.readouterr().out
    assert not called and read(tmp_path / "rows.csv") == first
    assert "stored before" in printed and printed.splitlines()[-4:] == table
    rows = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "rows.csv").write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    assert run(*output) == 0 and called == ["monash_m3_yearly"]
    assert run(*output, runs={"mixture": {"forecaster": "experts", "windows": 3}}) == 0 and len(called) == 3
    assert run() == 0 and len(called) == 5


def test_peers_are_run_left_out_or_reported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(task: SuiteTask, seed: int) -> Any:
        def forecast(window: Window) -> FloatArray:
            if window.task.name == "monash_m1_yearly":
                raise RuntimeError("no luck")
            return seasonal_naive(window)

        return forecast

    monkeypatch.setitem(PEERS, "AutoETS", Peer(("a-package-nobody-has",), make))
    monkeypatch.setitem(PEERS, "MSTL", Peer(("numpy",), make))
    options = ("--output", str(tmp_path / "rows.csv"), "--only", "AutoETS", "--only", "MSTL")
    assert run(*options, peers=["AutoETS", "MSTL", "FLAIR"]) == 0
    printed = capsys.readouterr().out
    assert 'AutoETS: not installed: pip install "titans-ts[peers]"' in printed and "FLAIR" not in printed
    rows = [row for row in read(tmp_path / "rows.csv") if row["run"] == "MSTL"]
    assert [(row["set"], bool(row["mase"]), row["note"]) for row in rows] == [
        ("monash_m1_yearly", False, "failed: RuntimeError: no luck"),
        ("monash_m3_yearly", True, ""),
    ]
    assert rows[1]["settings"] == f"numpy {np.__version__}"
    assert "1 of 2" in printed and not any(row["run"] == "mixture" for row in read(tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suite": "m5"}, "has no suite 'm5': suite must be one of ['gift_eval'"),
        (
            {"tasks": ["m1_yearly", "m5"]},
            "no task of chronos_benchmark_ii has 'm5' in its name: choose among exch",
        ),
        ({"peers": ["Prophet"]}, "has unknown peers ['Prophet']: known are ['AutoETS'"),
        ({"runs": {"ours": {}}}, "ours must have a forecaster, one of ['titans', 'experts', 'reads'], got None"),
        ({"runs": {"ours": {"forecaster": "experts", "max_steps": 0}}}, "ours has unknown entries ['max_steps']"),
    ],
)
def test_mistakes_in_a_recipe(
    run: Run, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    assert run(**changes) == 1
    assert message in capsys.readouterr().err


def test_missing_data_are_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "monash" / "m3_yearly_dataset.tsf").unlink()
    assert run() == 1 and "m3_yearly_dataset.tsf is not here" in capsys.readouterr().err
    monkeypatch.delenv("TITANS_TS_DATA")
    assert run() == 1 and "TITANS_TS_DATA is not set: set it to the folder" in capsys.readouterr().err


def priced(windows: int = 2) -> SuiteTask:
    """Three series that follow a covariate which is known ahead."""
    rng = np.random.default_rng(0)
    known = [rng.standard_normal((240, 1)).cumsum(axis=0) for _ in range(3)]
    series = [10 + 3 * x[:, 0] + 0.1 * rng.standard_normal(240) for x in known]
    starts = [np.datetime64("2024-01-01", "s")] * 3
    return SuiteTask(FEV, "test", series, 6, 1, windows, "D", starts, known, ("load",), by_window=True)


def test_titans_is_fitted_once_reads_covariates_and_forecasts_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    task, fits = priced(), []
    fit = forecasters.TitansForecaster.fit

    def counted(self: Any, X: pd.DataFrame, y: object = None) -> Any:
        fits.append(X["target"].count())
        return fit(self, X, y)

    monkeypatch.setattr(forecasters.TitansForecaster, "fit", counted)
    score = evaluate(forecasters.titans(task, {"max_steps": 0}, 0), task)
    assert fits == [3 * (240 - 12)] and score.wql < 0.5 * evaluate(seasonal_naive, task).wql
    monkeypatch.setattr(forecasters, "PART", 2)
    parts = evaluate(forecasters.titans(task, {"max_steps": 0}, 0), task)
    assert (parts.mase, parts.wql) == pytest.approx((score.mase, score.wql))
    assert score.seconds > 0


def test_what_arrives_between_windows_gives_the_forecasts_of_the_whole_history(monkeypatch: pytest.MonkeyPatch) -> None:
    task = priced(windows=4)
    late = SuiteTask(
        *(FEV, "test", [*task.series, task.series[0][:19]], 6, 1, 4, "D", [*task.starts, task.starts[0]]),
        known=[*task.known, task.known[0][:19]],
        covariates=("load",),
    )
    found = []
    for whole in (False, True):
        monkeypatch.setattr(forecasters, "_has_silence", lambda task, whole=whole: whole)
        found.append(evaluate(forecasters.titans(late, {"max_steps": 0}, 0), late))
    assert found[0].forecasts == 4 * 3 + 2 and found[0].coverage == found[1].coverage
    assert (found[0].mase, found[0].wql) == pytest.approx((found[1].mase, found[1].wql), rel=1e-5)


def test_a_task_whose_series_fall_silent_is_read_as_a_whole() -> None:
    series = np.sin(np.arange(200.0))
    series[185:190] = np.nan
    task = SuiteTask(GIFT, "test", [series], 5, 1, 4)
    score = evaluate(forecasters.titans(task, {"max_steps": 0}, 0), task)
    assert score.forecasts == 4 and score.mase < 1


def test_the_mixture_keeps_the_order_of_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    series = [level + rng.standard_normal(length) for level, length in ((100, 40), (500, 25), (900, 60))]
    task = SuiteTask(GIFT, "test", series, 4, 1, 1)
    monkeypatch.setattr(forecasters, "PART", 2)
    assert evaluate(forecasters.experts(task, {}, 0), task).mase < 3


def test_a_table_averages_seeds_and_orders_by_wql_with_partial_ones_last() -> None:
    shared = {"suite": GIFT, "naive_mase": 1.0, "naive_wql": 1.0, "cpu_seconds": 3}
    shared |= {"coverage_50": 0.5, "coverage_80": 0.8, "coverage_90": ""}
    scores = [("a", 0, "x", 1.0), ("a", 1, "x", 3.0), ("a", 0, "y", 2.0), ("b", 0, "x", 0.5)]
    scores += [("c", 0, "x", 1.0), ("c", 0, "y", 1.0)]
    rows = [{**shared, "run": run, "seed": seed, "set": name, "mase": v, "wql": v} for run, seed, name, v in scores]
    lines = suite_table(rows).lines
    assert [line[0] for line in lines] == ["c", "a", "b"] and lines[2][1] == "1 of 2"
    assert lines[1] == ("a", "2", "2.000", "2.000", "50", "80", "–", "6")


def test_gaps_are_filled_for_peers_but_not_what_lies_before_a_series() -> None:
    found = filled(np.array([[np.nan, 1.0, np.nan, 3.0, np.nan]]))
    np.testing.assert_array_equal(found, [[np.nan, 1, 2, 3, 3]])


@pytest.mark.parametrize("name", PEERS)
def test_peers_that_are_installed_forecast(name: str) -> None:
    if missing := PEERS[name].missing():
        pytest.skip(f"{', '.join(missing)} not installed")
    task = priced()
    assert evaluate(PEERS[name].make(task, 0), task).mase < 4
