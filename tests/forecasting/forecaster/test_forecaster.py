"""The forecaster on tables of series: what comes back, in which order, and what it may depend on."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.forecasting.common import ROLES, SMALL, forecaster, frame, network_only, values, with_covariates
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

LEVELS = ["0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.95"]


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    return forecaster().fit(frame())


def numbers(forecast: pd.DataFrame) -> np.ndarray:
    return forecast[["mean", *LEVELS]].to_numpy()


def test_forecast_frame(fitted: TitansForecaster) -> None:
    forecast = fitted.predict()
    assert list(forecast.columns) == ["item_id", "timestamp", "mean", *LEVELS]
    assert list(forecast["item_id"]) == ["b"] * 6 + ["a"] * 6
    assert list(forecast["timestamp"][:6]) == list(pd.date_range("2024-01-07 16:00", periods=6, freq="h"))
    assert (np.diff(forecast[LEVELS].to_numpy(), axis=1) > 0).all()
    assert np.isfinite(numbers(forecast)).all()


def test_forecast_is_near_the_wave(fitted: TitansForecaster) -> None:
    expected = 10 + 3 * np.sin(2 * np.pi * np.arange(160, 166) / 24)
    assert np.abs(fitted.predict()["0.5"][:6] - expected).max() < 1


@pytest.mark.parametrize("order", [["b", "a"], ["a", "b"]])
def test_order_of_items_and_rows(order: list[str], fitted: TitansForecaster) -> None:
    data = frame()
    shuffled = pd.concat([data[data["item_id"] == item] for item in order]).sample(frac=1, random_state=0)
    first = list(pd.unique(shuffled["item_id"]))
    with pytest.warns(UserWarning, match="sorted"):
        found = fitted.predict(shuffled)
    assert list(pd.unique(found["item_id"])) == first
    expected = fitted.predict(data).set_index(["item_id", "timestamp"])
    pd.testing.assert_frame_equal(found.set_index(["item_id", "timestamp"]), expected.loc[found["item_id"].unique()])


def test_items_do_not_influence_each_other_at_predict(fitted: TitansForecaster) -> None:
    data = frame()
    alone = fitted.predict(data[data["item_id"] == "a"])
    both = fitted.predict(data)
    pd.testing.assert_frame_equal(alone, both[both["item_id"] == "a"].reset_index(drop=True), rtol=1e-5)


def test_own_names_and_kinds_of_timestamps() -> None:
    data = frame().rename(columns={"item_id": "shop", "timestamp": "day", "target": "sales"})
    data["day"] = np.tile(np.arange(160), 2)
    model = forecaster(id_column="shop", timestamp_column="day", target_column="sales", freq="h").fit(data)
    forecast = model.predict()
    assert list(forecast.columns[:3]) == ["shop", "day", "mean"]
    assert list(forecast["day"][:6]) == list(range(160, 166))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_time_zones_come_back(zone: str) -> None:
    data = frame(("a",))
    data["timestamp"] = data["timestamp"].dt.tz_localize(zone)
    with pytest.warns(UserWarning, match="time zone"):
        stamps = forecaster().fit(data).predict()["timestamp"]
    assert stamps[0] == pd.Timestamp("2024-01-07 16:00", tz=zone)
    assert str(stamps.dt.tz) == zone


def test_periods_come_back() -> None:
    series = pd.Series(values(60), index=pd.period_range("2010-01", periods=60, freq="M"))
    stamps = forecaster(context_length=12).fit(series).predict()["timestamp"]
    assert stamps[0] == pd.Period("2015-01", "M")


def test_shorter_horizon_is_the_start_of_the_trained_one(fitted: TitansForecaster) -> None:
    short, full = fitted.predict(prediction_length=2), fitted.predict()
    expected = full.groupby("item_id", sort=False).head(2).reset_index(drop=True)
    pd.testing.assert_frame_equal(short, expected)


def test_longer_horizon_is_rolled(fitted: TitansForecaster) -> None:
    long, full = fitted.predict(prediction_length=15), fitted.predict()
    assert len(long) == 30
    pd.testing.assert_frame_equal(long.groupby("item_id", sort=False).head(6).reset_index(drop=True), full)
    assert long["timestamp"][14] == pd.Timestamp("2024-01-08 06:00")
    quantiles = long[LEVELS].to_numpy()
    assert (np.diff(quantiles, axis=1) > 0).all()
    expected = 10 + 3 * np.sin(2 * np.pi * np.arange(160, 175) / 24)
    assert np.abs(long["0.5"][:15] - expected).max() < 1.5


def test_rolled_intervals_of_a_random_walk_keep_growing() -> None:
    walks = np.random.default_rng(0).normal(size=(8, 300)).cumsum(axis=1)
    model = forecaster(max_steps=0).fit(walks)
    long = model.predict(prediction_length=24)
    width = (long["0.9"] - long["0.1"]).to_numpy().reshape(8, 24).mean(axis=0)
    assert 1.2 < width[23] / width[5] < 2.7
    assert width[6] > width[4]


def test_quantiles(fitted: TitansForecaster) -> None:
    found = fitted.predict_quantiles(quantiles=[0.9, 0.1])
    assert list(found.columns) == ["item_id", "timestamp", "0.9", "0.1"]
    assert (found["0.9"] == fitted.predict()["0.9"]).all()
    assert list(fitted.predict_quantiles().columns) == ["item_id", "timestamp", *LEVELS]
    rolled = fitted.predict_quantiles(quantiles=[0.9], prediction_length=9)
    assert (rolled["0.9"] == fitted.predict(prediction_length=9)["0.9"]).all()


@pytest.mark.parametrize("head", ["quantile", "student_t", "point"])
@pytest.mark.parametrize(("factor", "shift"), [(1000.0, -300.0), (0.01, 5.0)])
def test_forecasts_follow_units(head: str, factor: float, shift: float) -> None:
    data = frame()
    model = network_only(options={"head": head})
    one = model.fit(data).predict()
    other = model.fit(data.assign(target=data["target"] * factor + shift)).predict()
    assert np.abs(numbers(other) - (numbers(one) * factor + shift)).max() < 1e-3 * factor * data["target"].std()


def test_units_of_fresh_history_are_its_own(fitted: TitansForecaster) -> None:
    data = frame()
    one, other = fitted.predict(data), fitted.predict(data.assign(target=data["target"] * 50 + 7))
    assert np.abs(numbers(other) - (numbers(one) * 50 + 7)).max() < 0.05


@pytest.mark.parametrize("head", ["student_t", "negative_binomial"])
def test_distribution_heads_give_any_level(head: str) -> None:
    counts = np.random.default_rng(0).poisson(20, size=160).astype(float)
    found = forecaster(options={"head": head}).fit(counts).predict_quantiles(quantiles=[0.01, 0.123, 0.99])
    assert (np.diff(found[["0.01", "0.123", "0.99"]].to_numpy(), axis=1) >= 0).all()
    assert np.isfinite(found[["0.01", "0.99"]].to_numpy()).all()


@pytest.mark.parametrize("block", ["lmm", "mac", "mag", "mal", "attention"])
def test_every_block(block: str) -> None:
    model = forecaster(block=block, options={"memory": {"kind": "mlp", "depth": 1}}).fit(frame())
    assert model.network_.config.backbone.block == block
    assert np.isfinite(numbers(model.predict())).all()


def test_missing_values_in_the_middle() -> None:
    data = frame()
    data.loc[100:110, "target"] = np.nan
    rows_gone = data.drop(index=range(130, 140))
    with pytest.warns(UserWarning, match="10 missing steps"):
        model = forecaster().fit(rows_gone)
    assert np.isfinite(numbers(model.predict())).all()


def test_missing_values_at_the_end_are_steps(fitted: TitansForecaster) -> None:
    data = frame(("a",))
    data.loc[155:, "target"] = np.nan
    forecast = fitted.predict(data)
    assert forecast["timestamp"][0] == pd.Timestamp("2024-01-07 16:00")
    assert np.isfinite(numbers(forecast)).all()


def test_history_shorter_than_the_context(fitted: TitansForecaster) -> None:
    assert np.isfinite(numbers(fitted.predict(frame(("a",), 3)))).all()
    assert np.isfinite(numbers(fitted.predict(frame(("a",), 1), prediction_length=20))).all()


def test_known_covariates_reach_the_forecast() -> None:
    model = forecaster(**ROLES, max_steps=0).fit(with_covariates())
    data = with_covariates(ahead=6)
    with pytest.warns(UserWarning, match="known future"):
        forecast = model.predict(data)
    expected = 10 + 3 * np.sin(2 * np.pi * np.arange(160, 166) / 24) + 4 * data["price"][160:].to_numpy()
    assert np.abs(forecast["0.5"].to_numpy() - expected).mean() < 1.5
    ahead = data[160:].drop(columns="target")
    pd.testing.assert_frame_equal(model.predict(data[:160], future=ahead), forecast)
    dearer = model.predict(data[:160], future=ahead.assign(price=ahead["price"] + 1))
    assert ((dearer["0.5"] - forecast["0.5"]) > 1).all()


def test_shorter_and_longer_horizons_with_known_covariates() -> None:
    model, data = forecaster(**ROLES).fit(with_covariates()), with_covariates(ahead=15)
    for steps in (2, 15):
        found = model.predict(data[:160], future=data[160 : 160 + steps], prediction_length=steps)
        assert np.isfinite(numbers(found)).all()
        assert len(found) == steps


def test_several_targets_are_channels() -> None:
    data = frame().assign(other=lambda x: 2 * x["target"] + 1)
    model = forecaster(target_column=("target", "other"), options={"channel_mixing": True}).fit(data)
    forecast = model.predict()
    assert list(forecast.columns[:4]) == ["item_id", "target", "timestamp", "mean"]
    assert list(forecast["target"]) == (["target"] * 6 + ["other"] * 6) * 2
    assert list(forecast["item_id"]) == ["b"] * 12 + ["a"] * 12
    wide = forecast.pivot(index=["item_id", "timestamp"], columns="target", values="0.5")
    assert np.abs(wide["other"] - (2 * wide["target"] + 1)).max() < 0.1
    assert len(model.predict(prediction_length=9)) == 36


def test_items_as_channels() -> None:
    data = frame(("b", "a", "c"))
    late = data[~((data["item_id"] == "a") & (data["timestamp"] < data["timestamp"][30]))]
    model = forecaster(options={"channel_mixing": True}).fit(late)
    forecast = model.predict()
    assert list(forecast["item_id"]) == ["b"] * 6 + ["a"] * 6 + ["c"] * 6
    assert list(forecast.columns) == ["item_id", "timestamp", "mean", *LEVELS]
    again = model.predict(late[::-1].sort_values("timestamp", kind="stable"))
    pd.testing.assert_frame_equal(again, forecast)


def test_score_is_higher_for_better_forecasts() -> None:
    data = frame()
    model = forecaster(max_steps=0).fit(data[data["timestamp"] < data["timestamp"][150]])
    later = data[data["timestamp"] >= data["timestamp"][150]]
    good, poor = model.score(later), model.score(later.assign(target=later["target"].iloc[::-1].to_numpy()))
    assert -0.1 < good < 0
    assert poor < good
    # On its own history the last horizon is held back.
    held = model.score(data)
    merged = model.predict(data[data["timestamp"] < data["timestamp"][154]])
    actual = data[data["timestamp"] >= data["timestamp"][154]]["target"].to_numpy()
    error = np.abs(merged["0.5"].to_numpy() - actual).sum() / np.abs(actual).sum()
    assert -2 * error < held < 0


def test_score_of_mixed_series() -> None:
    data = frame()
    model = forecaster(options={"channel_mixing": True}).fit(data[data["timestamp"] < data["timestamp"][150]])
    assert -0.1 < model.score(data[data["timestamp"] >= data["timestamp"][150]]) < 0


def test_score_of_later_series_with_known_covariates() -> None:
    data = with_covariates(170)
    model = forecaster(**ROLES, max_steps=0).fit(data[:160])
    assert -0.3 < model.score(data[160:]) < 0


def test_same_seed_same_forecast() -> None:
    one, two = (network_only(random_state=7).fit(frame()).predict() for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    torch.manual_seed(99)
    pd.testing.assert_frame_equal(network_only(random_state=7).fit(frame()).predict(), one)
    assert not network_only(random_state=8, max_steps=6).fit(frame()).predict().equals(one)
    assert forecaster(random_state=np.random.RandomState(3)).fit(frame()).predict().shape == one.shape


def test_fit_leaves_the_random_state_of_the_process_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    forecaster().fit(frame())
    assert torch.equal(torch.rand(1), expected)


def test_caller_data_stays_as_it_is() -> None:
    data = with_covariates()
    before = data.copy()
    forecaster(**ROLES).fit(data).predict(data, future=data.assign(timestamp=data["timestamp"] + pd.Timedelta("160h")))
    pd.testing.assert_frame_equal(data, before)


def test_context_and_patches_are_chosen() -> None:
    config = TitansForecaster(24, max_steps=0, options=SMALL).fit(frame(length=800)).network_.config
    assert (config.context_length, config.patch_length, config.patch_stride) == (400, 24, 24)
    passengers = TitansForecaster(12, max_steps=0, options=SMALL).fit("builtin:air_passengers").network_.config
    assert (passengers.context_length, passengers.season) == (36, 12)
    short = TitansForecaster(6, max_steps=0, options=SMALL).fit(frame(length=60)).network_.config
    assert short.context_length == 30


def test_builtin_roles() -> None:
    with pytest.warns(SeriesWarning, match="75 missing steps"):
        model = forecaster(max_steps=0).fit("builtin:weather")
    assert model.schema_.target_column == "temp"
    assert "humid" in model.schema_.past_covariates
    assert len(model.predict()) == 18


def test_options_reach_their_place() -> None:
    options = {"memory": {"kind": "linear"}, "patch_length": 4, "validation_windows": 2, "min_history": 5}
    model = forecaster(options=options).fit(frame())
    assert model.network_.config.backbone.memory.kind == "linear"
    assert (model.network_.config.patch_length, model.network_.config.patch_stride) == (4, 2)


def test_time_budget_ends_training() -> None:
    model = forecaster(max_steps=100_000, time_budget=0.5, options={"experts": False}).fit(frame())
    assert model.training_.stopped in ("time budget", "early stopping")
    assert model.training_.seconds < 5


def test_quiet_and_tidy(tmp_path: Path) -> None:
    code = (
        "from tests.forecasting.common import forecaster, frame\n"
        "model = forecaster(options={'progress': False}).fit(frame())\n"
        "model.predict(); model.backtest(frame(), windows=1)\n"
    )
    root = Path(__file__).resolve().parents[3]
    paths = os.pathsep.join(str(root / part) for part in ("", "kernels", "datasets", "cli"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == ""
    assert run.stderr == ""
    assert os.listdir(tmp_path) == []


def test_forecasting_does_not_import_the_trainer(tmp_path: Path) -> None:
    forecaster().fit(frame()).save(tmp_path / "model")
    code = (
        "import sys\nfrom tests.forecasting.common import frame\n"
        "from titans_ts import TitansForecaster\n"
        f"TitansForecaster.load({str(tmp_path / 'model')!r}).predict(frame())\n"
        "print([name for name in ('lightning', 'matplotlib') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    paths = os.pathsep.join(str(root / part) for part in ("", "kernels", "datasets", "cli"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_warning_on_clean_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = forecaster().fit(frame())
        model.predict(frame())


def test_plot(tmp_path: Path) -> None:
    model = forecaster().fit(frame())
    figure: Any = model.plot(items=["a"], path=tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 1000
    assert len(figure.axes) >= 1


def test_plot_of_several_targets() -> None:
    data = frame(("a",)).assign(other=values(160, 3, 5))
    figure: Any = forecaster(target_column=("target", "other")).fit(data).plot()
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["a · target", "a · other"]
    mixed: Any = forecaster(options={"channel_mixing": True}).fit(frame()).plot(items=["a"])
    assert [panel.get_title(loc="left") for panel in mixed.axes] == ["a"]


def test_update_takes_rows_that_agree() -> None:
    data, longer = frame(), frame(length=166)
    longer.loc[:165, "target"] = [*data["target"][:160], *longer["target"][160:166]]
    longer.loc[166:, "target"] = [*data["target"][160:], *longer["target"][326:]]
    hole = data.assign(target=data["target"].where(data.index != 155))
    model = forecaster(max_steps=0, options={"experts": False}).fit(hole)
    overlapping = longer[longer["timestamp"] >= longer["timestamp"][150]]
    records = model.update(overlapping).panel_.records  # type: ignore[union-attr]
    assert [record.length for record in records] == [166, 166]
    np.testing.assert_array_equal(records[0].target, longer["target"][:166])
    # Nothing new, and nothing changed.
    again = model.update(overlapping).panel_.records  # type: ignore[union-attr]
    np.testing.assert_array_equal(again[1].target, longer["target"][166:])
    wrong = overlapping.assign(target=overlapping["target"] + (overlapping["timestamp"] >= longer["timestamp"][158]))
    with pytest.raises(ValueError, match=r"item 'b' has other values at 2024-01-07 14:00:00 than the later data"):
        model.update(wrong)
    with pytest.raises(ValueError, match="known from 2024-01-01 00:00:00 on, the later data begin at 2023-12-31"):
        model.update(data.assign(timestamp=data["timestamp"] - pd.Timedelta("1D")))


def test_single_steps_ahead_and_residuals() -> None:
    model = forecaster(max_steps=0, options={"experts": False}).fit(frame())
    every, some = model.predict(prediction_length=9), model.predict(prediction_length=(9, 2))
    assert some.equals(every[every.groupby("item_id").cumcount().isin([1, 8])].reset_index(drop=True))
    for nothing in ((), (1, None), (0,)):
        with pytest.raises(ValueError, match="prediction_length must"):
            model.predict(prediction_length=nothing)  # type: ignore[arg-type]
    found = model.residuals(windows=2)
    assert found.columns.tolist() == ["item_id", "cutoff", "timestamp", "actual", "0.5", "residual"]
    assert len(found) == 2 * 2 * 6
    np.testing.assert_allclose(found["residual"], found["actual"] - found["0.5"])
    assert (found["timestamp"] > found["cutoff"]).all()
