"""The task `demand`: what forecasts may read, what an emptied memory forgets, intervals, table, picture, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import titans_datasets.series.public.demand as demand
from titans_cli.main import main
from titans_datasets.series.public.demand import DemandPanel, electricity_demand
from titans_recipes.demand.model import FIRST, SHUT, DayNetwork, Days, LinearModel, days_of, forecasts
from titans_recipes.demand.rows import ALL
from titans_recipes.demand.task import paired_gain
from titans_recipes.demand.training import DayTraining, draw
from titans_recipes.page import END, START
from titans_ts.core import MemoryConfig, TitansConfig
from titans_ts.core.options import PLAIN

DAYS = 60
RECIPE = """
task: demand
set: aus_elec
held_out: [c]
train_days: 50
segments: [2, 40]
against: memory off
seeds: [0]
defaults:
  backbone: {block: mag, width: 8, heads: 2, layers: 1, window: 2}
  memory: {kind: linear, anchor: token}
  training: {steps: 2, rows: 2, segment: 20, settle: 2}
runs:
  memory off: {writes: false}
  memory on: {}
"""


def panel(days: int = DAYS) -> DemandPanel:
    rng = np.random.default_rng(0)
    shape = (3, days, 48)
    wave = 1000 + 200 * np.sin(np.arange(48) * 2 * np.pi / 48)
    holiday = (rng.random((3, days)) < 0.1).astype(np.float64)
    return DemandPanel(
        ("a", "b", "c"),
        pd.Timestamp("2012-01-01"),
        wave + 20 * rng.standard_normal(shape),
        18 + 8 * rng.standard_normal(shape),
        holiday,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = panel()
    frame = pd.DataFrame(
        {
            "State": np.repeat(made.names, DAYS * 48),
            "time_utc": np.tile(pd.date_range(made.start, periods=DAYS * 48, freq="30min"), 3),
            "Demand": made.demand.ravel(),
            "Temperature": made.temperature.ravel(),
            "Holiday": np.repeat(made.holiday.ravel() > 0, 48),
        }
    )
    (tmp_path / "aus_elec").mkdir()
    frame.to_csv(tmp_path / "aus_elec" / "aus_elec.csv", index=False)
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path))
    monkeypatch.setitem(demand.FILES, "aus_elec", demand.FILES["aus_elec"]._replace(rows=len(frame)))
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def model(days: Days) -> tuple[DayNetwork, LinearModel]:
    torch.manual_seed(0)
    memory = MemoryConfig(kind="linear", anchor="token", horizon=(64, 65536))
    network = DayNetwork(days.known().shape[-1], TitansConfig(width=8, heads=2, layers=1, window=2, memory=memory))
    torch.nn.init.normal_(network.head.weight)
    return network.eval(), LinearModel(days, slice(FIRST, 40))


def changed(days: Days, day: int) -> Days:
    """Other values on one day."""
    values = days.values.clone()
    values[:, day] += 1
    return days._replace(values=values)


def test_the_file_is_read_as_whole_days(folder: Path) -> None:
    found, made = electricity_demand(), panel()
    assert found.names == made.names and found.start == made.start
    for name in ("demand", "temperature", "holiday"):
        np.testing.assert_allclose(getattr(found, name), getattr(made, name))


def test_another_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(demand.FILES, "aus_elec", demand.FILES["aus_elec"]._replace(rows=7))
    with pytest.raises(ValueError, match="expected 7 rows"):
        electricity_demand()


def test_a_forecast_reads_no_value_of_its_day_or_later() -> None:
    days, _ = days_of(panel())
    network, linear = model(days)
    before, after = forecasts(network, days, linear), forecasts(network, changed(days, 30), linear)
    torch.testing.assert_close(before[:, : 30 + 1], after[:, : 30 + 1])
    assert not torch.allclose(before[:, 31], after[:, 31])


def test_what_lies_beyond_attention_counts_only_while_the_memory_writes() -> None:
    days, _ = days_of(panel())
    network, linear = model(days)
    other = changed(days, 10)
    for options, writes in ((PLAIN, True), (SHUT, False)):
        one, two = (forecasts(network, given, linear, options) for given in (days, other))
        assert (float((one - two)[:, 30:].abs().max()) > 1e-6) == writes


def test_random_responses_leave_what_is_known_as_it_is() -> None:
    days, _ = days_of(panel())
    plain, bent = (
        draw(days, DayTraining(rows=5, segment=20, mix=0.5, response=size), np.random.default_rng(0)) for size in (0, 1)
    )
    torch.testing.assert_close(plain.known(), bent.known())
    assert not torch.allclose(plain.values, bent.values)


def test_paired_gains() -> None:
    error = np.random.default_rng(0).random(200) + 1
    assert paired_gain(error, error) == (0, 0, 0)
    np.testing.assert_allclose(paired_gain(0.9 * error, error), 10)
    gain, low, high = paired_gain(error, error[::-1].copy())
    assert low < 0 < high and gain == pytest.approx(0)


def test_rows_table_and_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, plot, page = folder / "rows.csv", folder / "plot.png", folder / "page.md"
    command = ["recipes", "run", str(folder / "small.yaml"), "--output", str(rows), "--plot", str(plot)]
    assert main(command) == 0
    assert "memory emptied" in capsys.readouterr().out
    table = pd.read_csv(rows)
    assert set(table["item"]) == {"c", ALL} and table["wape"].between(0.5, 20).all()
    assert table.loc[table["run"] == "memory off", "emptied"].isna().all()
    own = table[table["run"] == "linear model of the series' own past"]
    assert own["history"].unique().tolist() == [40]
    assert plot.stat().st_size > 10_000
    page.write_text(f"before\n{START}\n{END}\nafter\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(rows), "--page", str(page)]) == 0
    assert "| memory on | 1 |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("against: memory off", "against: nothing", "against must be one of the runs"),
        ("held_out: [c]", "held_out: [d]", "held_out must be some, not all"),
        ("segments: [2, 40]", "segments: [40, 2]", "segments must be a rising list"),
        ("memory on: {}", "memory on: {network: {}}", "unknown entries ['network']"),
        ("settle: 2", "settle: 30", "settle must be 0 to segment"),
        ("settle: 2", "speed: 30", "unknown setting"),
        ("segment: 20", "segment: 90", "segment must be ≤ 48 days"),
    ],
)
def test_errors(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    recipe = folder / "small.yaml"
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(recipe)]) == 1
    assert message in capsys.readouterr().err


def test_a_day_ahead_is_the_only_horizon(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "run", str(folder / "small.yaml"), "--horizons", "3"]) == 1
    assert "leave --horizons out" in capsys.readouterr().err
