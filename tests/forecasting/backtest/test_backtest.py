"""Backtests: no leak, the same forecasts as predict, baselines as defined, a readable table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import ROLES, forecaster, frame, values, with_covariates
from titans_datasets.series import parse_frequency
from titans_datasets.series.read.records import ShortSeriesWarning
from titans_ts.forecasting import metrics
from titans_ts.forecasting.backtest.result import METRICS, BacktestResult
from titans_ts.forecasting.backtest.windows import NoBacktestError, windows_in_days
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

LEVELS = [f"{level / 10:g}" for level in range(1, 10)]


@pytest.fixture(scope="module")
def result() -> BacktestResult[TitansForecaster]:
    return forecaster().backtest(frame(), windows=3)


# After the forecaster itself.
ROWS = [
    "linear part alone",
    "expert mixture",
    "last value",
    "damped trend 24",
    "theta 24",
    "Holt-Winters 24",
    "fold 24",
]
ROWS += ["phases and autoregression 24 480", "ridge regression", "seasonal naive"]


def test_table(result: BacktestResult[TitansForecaster]) -> None:
    assert list(result.metrics.index) == ["titans", *ROWS]
    assert list(result.metrics.columns) == list(METRICS)
    assert np.isfinite(result.metrics.to_numpy()).all()
    assert list(result.by_window["window"].unique()) == [0, 1, 2]
    assert "fitted once, on what lies before the first cutoff" in repr(result)
    assert "6 windows of 6 steps over 2 series" in str(result)
    assert "seasonal naive" in str(result)


def test_forecasts_are_those_of_predict_from_the_history_alone(result: BacktestResult[TitansForecaster]) -> None:
    data = frame()
    columns = ["item_id", "timestamp", "mean", *LEVELS]
    for steps in (142, 148, 154):
        cutoff = data["timestamp"][steps - 1]
        again = result.forecaster.predict(data[data["timestamp"] <= cutoff])
        found = result.forecasts[result.forecasts["cutoff"] == cutoff]
        pd.testing.assert_frame_equal(found[columns].reset_index(drop=True), again[columns], rtol=1e-5)


def test_actual_values_stand_beside_the_forecasts(result: BacktestResult[TitansForecaster]) -> None:
    merged = result.forecasts.merge(frame(), on=["item_id", "timestamp"])
    assert len(merged) == len(result.forecasts) == 36
    assert (merged["actual"] == merged["target"]).all()
    assert (result.forecasts["cutoff"] < result.forecasts["timestamp"]).all()


def test_metrics_are_those_of_the_forecasts(result: BacktestResult[TitansForecaster]) -> None:
    found, row = result.forecasts, result.metrics.loc["titans"]
    actual, levels = found["actual"].to_numpy(), [float(level) for level in LEVELS]
    assert row["WQL"] == pytest.approx(metrics.weighted_quantile_loss(actual, found[LEVELS].to_numpy(), levels))
    assert row["MAE"] == pytest.approx(np.abs(actual - found["0.5"]).mean())
    assert row["RMSE"] == pytest.approx(np.sqrt(((actual - found["mean"]) ** 2).mean()))
    assert row["coverage 90%"] == pytest.approx(((actual >= found["0.05"]) & (actual <= found["0.95"])).mean())


def test_seasonal_naive_row_by_the_plain_formula() -> None:
    series = values(160)
    result = forecaster().backtest(series, windows=2, step=6)
    table = forecaster(freq="h").backtest(series, windows=2, step=6).metrics.loc["seasonal naive"]
    naive, scaled, losses, total = [], [], 0.0, 0.0
    levels = np.arange(1, 10) / 10
    for cutoff in (148, 154):
        history, actual = series[:cutoff], series[cutoff : cutoff + 6]
        median = history[-24:-18]
        sigma = np.sqrt(np.mean((history[24:] - history[:-24]) ** 2))
        quantiles = metrics.normal_quantiles(median, np.full(6, sigma), levels.tolist())
        naive.append(np.abs(actual - median))
        scaled.append(naive[-1].mean() / np.abs(history[24:] - history[:-24]).mean())
        losses += metrics.quantile_loss(actual, quantiles, levels.tolist()).sum(axis=0)
        total += np.abs(actual).sum()
    assert table["MAE"] == pytest.approx(np.mean(naive))
    assert table["MASE"] == pytest.approx(np.mean(scaled))
    assert table["WQL"] == pytest.approx(np.mean(losses) / total)
    # Without freq an array is daily: another season, another baseline.
    assert result.metrics.loc["seasonal naive", "MAE"] != table["MAE"]


def test_what_comes_after_a_cutoff_does_not_change_its_forecast(result: BacktestResult[TitansForecaster]) -> None:
    data = frame()
    late = data["timestamp"] > data["timestamp"][147]
    changed = data.assign(target=data["target"].where(~late, data["target"] * -50 + 1000))
    other = forecaster().backtest(changed, windows=3).forecasts
    early = result.forecasts["cutoff"] < data["timestamp"][147]
    pd.testing.assert_frame_equal(
        other.loc[early].drop(columns="actual"), result.forecasts.loc[early].drop(columns="actual")
    )


def test_covariates_after_the_first_cutoff_do_not_change_the_fit() -> None:
    data = with_covariates()
    late = data.index >= 148
    changed = data.assign(noise=data["noise"].where(~late, 1e6), kind=data["kind"].where(~late, "new level"))
    with pytest.warns(UserWarning, match="levels not seen at fit"):
        other = forecaster(**ROLES).backtest(changed, windows=2)
    same = forecaster(**ROLES).backtest(data, windows=2)
    assert other.forecaster.encoder_ == same.forecaster.encoder_
    assert len(same.forecasts) == 12


def test_covariates_from_a_file(tmp_path: Path) -> None:
    data = with_covariates()
    data.to_csv(tmp_path / "data.csv", index=False)
    one = forecaster(**ROLES).backtest(data, windows=2)
    two = forecaster(**ROLES).backtest(tmp_path / "data.csv", windows=2)
    pd.testing.assert_frame_equal(one.metrics, two.metrics)


def test_forecaster_stays_as_it_is() -> None:
    model = forecaster()
    result = model.backtest(frame(), windows=1)
    assert not hasattr(model, "network_")
    assert result.forecaster.get_params() == model.get_params()
    assert result.forecaster.predict(frame()).shape == (12, 14)


def test_a_fitted_or_loaded_forecaster_is_scored_as_it_is(
    result: BacktestResult[TitansForecaster], tmp_path: Path
) -> None:
    again = result.forecaster.backtest(frame(), windows=3, refit=False)
    assert again.forecaster is result.forecaster
    pd.testing.assert_frame_equal(again.metrics, result.metrics)
    loaded = TitansForecaster.load(result.forecaster.save(tmp_path / "model")).backtest(frame(), 3, refit=False)
    pd.testing.assert_frame_equal(loaded.forecasts, result.forecasts)
    pd.testing.assert_frame_equal(loaded.metrics, result.metrics)
    assert "scored as it was fitted before" in repr(loaded)


def test_attention_instead_of_memory() -> None:
    # Without held-out windows everything is kept that two steps have learned.
    options = {"validation_windows": 0}
    result = forecaster(options=options).backtest(frame(), windows=3)
    both = forecaster(options=options).backtest(frame(), windows=3, ablation=True)
    rows = ["titans", "attention instead of memory", *ROWS]
    assert list(both.metrics.index) == rows
    assert both.by_window["model"].tolist() == rows * 3
    # All other rows, and the forecaster, are those of a backtest without it.
    pd.testing.assert_frame_equal(both.metrics.drop(index=rows[1]), result.metrics)
    pd.testing.assert_frame_equal(both.forecasts, result.forecasts)
    assert both.forecaster.get_params() == result.forecaster.get_params()
    # It is the same forecaster with another block.
    other = forecaster(options=options, block="attention").backtest(frame(), windows=3)
    pd.testing.assert_series_equal(both.metrics.loc[rows[1]], other.metrics.loc["titans"].rename(rows[1]))
    assert both.metrics["WQL"].nunique() == len(rows)
    assert f"{rows[1]}: the same forecaster, fitted with block='attention'" in both.notes


def test_ablation_that_is_none_is_refused(result: BacktestResult[TitansForecaster]) -> None:
    with pytest.raises(ValueError, match="leaves out the memory, and the block 'attention' has none"):
        forecaster(block="attention").backtest(frame(), windows=1, ablation=True)
    with pytest.raises(ValueError, match="ablation=True needs a second fit, got refit=False"):
        result.forecaster.backtest(frame(), windows=1, refit=False, ablation=True)


def test_missing_actual_values_and_series_of_different_ends() -> None:
    data = frame(("a", "b", "c"))
    data = data[~((data["item_id"] == "b") & (data["timestamp"] > data["timestamp"][120]))]
    data.loc[data["timestamp"] == data["timestamp"][155], "target"] = np.nan
    result = forecaster().backtest(data, windows=2)
    assert result.forecasts["actual"].isna().sum() == 2
    assert np.isfinite(result.metrics.to_numpy()).all()
    assert result.forecasts.groupby("item_id")["cutoff"].nunique().tolist() == [2, 2, 2]


def test_short_series_have_fewer_windows() -> None:
    data = frame()
    data = data[(data["item_id"] == "b") | (data["timestamp"] < data["timestamp"][20])]
    with pytest.warns(ShortSeriesWarning, match="left out of training"):
        result = forecaster().backtest(data, windows=4)
    assert result.forecasts.groupby("item_id")["cutoff"].nunique().to_dict() == {"a": 2, "b": 4}


def test_overlapping_windows() -> None:
    result = forecaster().backtest(frame(), windows=5, step=2)
    assert len(result.forecasts) == 2 * 5 * 6
    assert result.by_window["window"].nunique() == 5


def test_levels_that_were_not_trained_are_reported() -> None:
    result = forecaster(quantiles=(0.25, 0.5, 0.75)).backtest(frame(), windows=1)
    assert any("WQL over the trained levels 0.5 only" in note for note in result.notes)
    assert np.isnan(result.metrics.loc["titans", "coverage 90%"])


def test_several_channels() -> None:
    data = frame(("a",)).assign(other=values(160, 3, 5))
    result = forecaster(target_column=("target", "other")).backtest(data, windows=2)
    assert list(result.forecasts["target"].unique()) == ["target", "other"]
    first = result.forecasts[result.forecasts["target"] == "other"].merge(data, on="timestamp")
    assert (first["actual"] == first["other"]).all()


def test_items_as_channels() -> None:
    result = forecaster(options={"channel_mixing": True}).backtest(frame(), windows=2)
    merged = result.forecasts.merge(frame(), on=["item_id", "timestamp"])
    assert list(result.forecasts["item_id"].unique()) == ["b", "a"]
    assert (merged["actual"] == merged["target"]).all()


def test_refused() -> None:
    with pytest.raises(ValueError, match="windows and step must be ≥ 1, got windows=0"):
        forecaster().backtest(frame(), windows=0)
    with pytest.raises(ValueError, match=r"9 steps are needed .* the longest has 8 \(1 missing\)"):
        forecaster().backtest(values(8))


def test_weights_of_the_windows_and_the_best_row(result: BacktestResult[TitansForecaster]) -> None:
    assert result.weights.sum() == pytest.approx(1.0)
    assert result.weights.index[0] in ("network", "linear part")
    best, ours = result.metrics["MASE"].idxmin(), result.metrics.loc["titans", "MASE"]
    if best == "titans":
        assert result.verdict == []
    else:
        (sentence,) = result.verdict
        assert sentence.startswith(f"best row of the backtest: {best} (MASE ")
        assert result.verdict[0] in repr(result)
    for least, part in (("theta 24", "it has "), ("ridge regression", "it is no part of the forecast")):
        changed = result.metrics.assign(MASE=np.where(result.metrics.index == least, ours / 2, ours))
        (sentence,) = replace(result, metrics=changed).verdict
        assert sentence.startswith(f"best row of the backtest: {least} (MASE ") and part in sentence


def test_too_short_says_by_how_much() -> None:
    with pytest.raises(NoBacktestError, match=r"15 steps are needed .* the longest has 12 \(3 missing\)") as caught:
        forecaster(prediction_length=12).backtest(values(12))
    assert caught.value.reason == "the longest series has 12 steps, a window of 12 needs 15"


def test_windows_of_the_last_days() -> None:
    hour, month = parse_frequency("h"), parse_frequency("MS")
    assert [windows_in_days(days, 24, hour) for days in (1, 1.9, 14)] == [1, 1, 14]
    with pytest.raises(ValueError, match=r"days must be at least one horizon, 1 days, got 0\.5"):
        windows_in_days(0.5, 24, hour)
    with pytest.raises(ValueError, match="days needs steps of fixed length, but the data's step is MS"):
        windows_in_days(14, 12, month)
