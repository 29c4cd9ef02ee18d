"""fev tasks on the forecaster: conversion of windows (without fev), and real tasks where fev is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesSchema
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.fev.frames import fev_columns, forecast_window, point_forecast, task_schema, window_frames

HORIZON, STEPS = 4, 30
LEVELS = [0.1, 0.5, 0.9]


def halves(known: bool = True) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Past, future and statics of items b, a (in this order), shaped as fev's pandas adapter gives them."""
    stamps = pd.date_range("2024-01-01", periods=STEPS + HORIZON, freq="D")
    parts = []
    for place, name in enumerate("ba"):
        steps = np.arange(len(stamps))
        promotion = (steps % 5 == place).astype(float)
        frame = pd.DataFrame({"id": name, "day": stamps, "sales": 100 * place + steps + 50 * promotion})
        parts.append(frame.assign(promotion=promotion, visits=steps * 2.0))
    frame = pd.concat(parts, ignore_index=True)
    is_past = frame["day"] <= stamps[STEPS - 1]
    columns = ["id", "day", "promotion"] if known else ["id", "day"]
    static = pd.DataFrame({"id": ["a", "b"], "region": ["north", "south"]})
    past = frame[is_past] if known else frame[is_past].drop(columns="promotion")
    return past.reset_index(drop=True), frame.loc[~is_past, columns].reset_index(drop=True), static


def schema_of(known: bool = True) -> SeriesSchema:
    task = SimpleNamespace(
        id_column="id",
        timestamp_column="day",
        target_columns=["sales"],
        static_columns=["region"],
        past_dynamic_columns=["visits"],
        known_dynamic_columns=["promotion"] if known else [],
    )
    return task_schema(task, "D")


def stamped(value: Callable[[str, pd.Timestamp], float], calls: list[Any]) -> Any:
    """A forecaster's `predict` whose forecasts tell the item and the stamp."""

    def predict(history: pd.DataFrame, future: pd.DataFrame | None, steps: int) -> pd.DataFrame:
        calls.append((history, future, steps))
        parts = []
        for name, rows in history.groupby("id", sort=False):
            days = pd.date_range(rows["day"].max() + pd.Timedelta("1D"), periods=steps, freq="D")
            values = np.array([value(str(name), day) for day in days])
            columns = {"mean": values, "0.1": values - 1, "0.5": values + 0.5, "0.9": values + 1}
            parts.append(pd.DataFrame({"id": name, "day": days, **columns}))
        return pd.concat(parts, ignore_index=True)

    return predict


def code(name: str, day: pd.Timestamp) -> float:
    return 1000 * (name == "a") + day.dayofyear


def test_columns_and_roles_come_from_the_task() -> None:
    schema = schema_of()
    assert (schema.id_column, schema.timestamp_column, schema.target_column, schema.freq) == ("id", "day", "sales", "D")
    assert (schema.static_covariates, schema.past_covariates) == (("region",), ("visits",))
    assert schema.known_covariates == ("promotion",)
    two = SimpleNamespace(
        id_column="id",
        timestamp_column="day",
        target_columns=["x", "y"],
        static_columns=[],
        past_dynamic_columns=[],
        known_dynamic_columns=[],
    )
    assert task_schema(two).target_column == ("x", "y")


def test_statics_join_the_past_by_id_and_items_keep_the_order_of_the_window() -> None:
    past, future, static = halves()
    window = window_frames(past, future, static, schema_of())
    assert list(window.items) == ["b", "a"]
    assert window.past.groupby("id")["region"].unique().map(list).to_dict() == {"a": ["north"], "b": ["south"]}
    assert len(window.past) == len(past)
    pd.testing.assert_frame_equal(window.past[list(past.columns)], past)


def test_other_items_in_the_future_are_refused() -> None:
    past, future, static = halves()
    with pytest.raises(ValueError, match="same items"):
        window_frames(past, future[future["id"] == "b"], static, schema_of())


@pytest.mark.parametrize("known", [True, False])
def test_every_item_gets_its_own_forecast_of_the_horizon(known: bool) -> None:
    schema, calls = schema_of(known), []
    window = window_frames(*halves(known), schema)
    found = forecast_window(window, schema, HORIZON, LEVELS, stamped(code, calls))
    days = window.future.loc[window.future["id"] == "b", "day"]
    expected = np.array([[code(name, day) for day in days] for name in "ba"])
    np.testing.assert_array_equal(found["mean"][:, 0], expected)
    np.testing.assert_array_equal(found["0.9"][:, 0], expected + 1)
    (history, future, steps), *others = calls
    assert steps == HORIZON and not others
    assert (future is not None) == known
    assert "region" in history.columns and "visits" in history.columns


def test_missing_targets_before_the_cutoff_are_forecast_through() -> None:
    past, future, static = halves()
    schema, calls = schema_of(), []
    late = (past["id"] == "a") & (past["day"] > past["day"].max() - pd.Timedelta("3D"))
    past.loc[late, "sales"] = np.nan
    window = window_frames(past, future, static, schema)
    found = forecast_window(window, schema, HORIZON, LEVELS, stamped(code, calls))
    days = future.loc[future["id"] == "a", "day"]
    np.testing.assert_array_equal(found["mean"][1, 0], [code("a", day) for day in days])
    assert [steps for _, _, steps in calls] == [HORIZON, HORIZON + 3]
    history, ahead, _ = calls[1]
    assert history["sales"].notna().all() and set(history["id"]) == {"a"}
    pd.testing.assert_series_equal(
        ahead["promotion"],
        pd.concat([past.loc[late, "promotion"], future.loc[future["id"] == "a", "promotion"]], ignore_index=True),
    )


def test_an_item_without_any_value_is_named() -> None:
    past, future, static = halves()
    past.loc[past["id"] == "a", "sales"] = np.nan
    schema = schema_of()
    with pytest.raises(ValueError, match="'a' has no observed value before the cutoff"):
        forecast_window(window_frames(past, future, static, schema), schema, HORIZON, LEVELS, stamped(code, []))


def test_a_forecast_on_other_stamps_is_refused() -> None:
    past, future, static = halves()
    future["day"] += pd.Timedelta("1D")
    schema = schema_of()
    with pytest.raises(ValueError, match=r"'b' must be forecast at 2024-02-01.* leads to 2024-01-31"):
        forecast_window(window_frames(past, future, static, schema), schema, HORIZON, LEVELS, stamped(code, []))


def test_columns_are_named_as_fev_names_them() -> None:
    found = {name: np.full((2, 2, 3), value) for name, value in (("mean", 1.0), ("0.1", 0.0), ("0.5", 2.0))}
    found["0.5"][:, 1] = 3.0
    columns = fev_columns(found, ("x", "y"), [0.1], "median")
    assert list(columns) == ["x", "y"]
    assert list(columns["x"]) == ["predictions", "0.1"]
    assert columns["x"]["predictions"].shape == (2, 3)
    assert (columns["x"]["predictions"] == 2).all() and (columns["y"]["predictions"] == 3).all()
    assert (fev_columns(found, ("x", "y"), [], "mean")["y"]["predictions"] == 1).all()


def test_point_forecast_follows_the_metric() -> None:
    assert point_forecast("auto", "MASE") == "median"
    assert point_forecast("auto", {"name": "rmse", "epsilon": 0.1}) == "mean"
    assert point_forecast("mean", "MASE") == "mean"
    with pytest.raises(ValueError, match="point must be 'auto', 'mean' or 'median', got 'mode'"):
        point_forecast("mode", "MASE")


def test_without_fev_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fev", None)
    monkeypatch.delitem(sys.modules, "titans_ts.forecasting.fev.model", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'titans-ts\[fev\]'"):
        import titans_ts.forecasting.fev.model  # noqa: F401


def quick() -> TitansForecaster:
    return TitansForecaster(max_steps=0, context_length=16, device="cpu", options={"progress": False})


def write_task(folder: Path, targets: list[str], **fields: Any) -> Any:
    fev = pytest.importorskip("fev")
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=80, freq="D")
    parts = []
    for place, name in enumerate(("s2", "s10", "s1")):
        promotion = rng.integers(0, 2, len(stamps)).astype(float)
        frame = pd.DataFrame({"id": name, "timestamp": stamps, "promotion": promotion, "visits": rng.normal(size=80)})
        for target in targets:
            frame[target] = 10 * place + 5 * promotion + rng.normal(0, 0.1, 80)
        parts.append(frame.assign(region="north" if place else "south"))
    file = folder / "long.parquet"
    pd.concat(parts, ignore_index=True).to_parquet(file, index=False)
    target = targets[0] if len(targets) == 1 else targets
    return fev.Task(
        dataset_path=str(file), horizon=HORIZON, seasonality=7, quantile_levels=LEVELS, target=target, **fields
    )


@pytest.mark.parametrize("refit", [False, True])
def test_a_real_task_with_covariates_beats_the_level(tmp_path: Path, refit: bool) -> None:
    task = write_task(
        tmp_path,
        ["sales"],
        num_windows=2,
        eval_metric="WQL",
        extra_metrics=["MASE"],
        known_dynamic_columns=["promotion"],
        past_dynamic_columns=["visits"],
        static_columns=["region"],
    )
    from titans_ts.forecasting.fev import TitansModel

    template = quick()
    model = TitansModel(template, refit=refit)
    predictions = model.fit_predict(task)
    assert not hasattr(template, "network_")
    assert model.training_time > 0 and model.inference_time > 0
    summary = task.evaluation_summary(predictions, model_name="titans")
    # Without the promotion (±2.5 around its mean) the error would be about 25 times the noise.
    assert summary["num_forecasts"] == 6
    assert summary["MASE"] < 0.3
    # Refitting changes the second window and leaves the first as it was.
    other = TitansModel(quick(), refit=not refit).fit_predict(task)
    for window, same in ((0, True), (1, False)):
        ours, theirs = (np.asarray(found[window]["sales"]["predictions"]) for found in (predictions, other))
        assert np.array_equal(ours, theirs) == same


def test_a_real_task_of_two_targets(tmp_path: Path) -> None:
    task = write_task(tmp_path, ["x", "y"], eval_metric="RMSE", known_dynamic_columns=["promotion"])
    from titans_ts.forecasting.fev import TitansModel

    model = TitansModel(quick())
    (predictions,) = model.fit_predict(task)
    assert set(predictions) == {"x", "y"}
    # fev orders items by id: s1, s10, s2 lie around 20, 10 and 0.
    level = np.asarray(predictions["y"]["predictions"]).mean(axis=1)
    assert np.all(np.diff(level) < -5)
    assert task.evaluation_summary([predictions], model_name="titans")["test_error"] < 1.0


def test_fev_finds_the_model_by_name() -> None:
    fev = pytest.importorskip("fev")
    from titans_ts.forecasting.fev import TitansModel

    assert fev.ForecastingModel.get_model_cls("titans") is TitansModel


def test_a_real_task_without_training(tmp_path: Path) -> None:
    task = write_task(tmp_path, ["sales"], eval_metric="WQL", known_dynamic_columns=["promotion"])
    from titans_ts.forecasting.fev import TitansModel

    model = TitansModel(pretrained="zero")
    assert task.evaluation_summary(model.fit_predict(task), model_name="titans")["num_forecasts"] == 3
    assert not model.forecaster_.fitted_.has_network
    with pytest.raises(ValueError, match="takes the place of a forecaster"):
        TitansModel(quick(), pretrained="zero")
