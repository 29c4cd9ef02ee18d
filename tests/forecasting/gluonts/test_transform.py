"""What the gluonts estimator takes and gives: outputs, features, frequencies, kinds of data sets, wrong input."""

from __future__ import annotations

import copy
import json
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

pytest.importorskip("gluonts")

from gluonts.dataset.common import FileDataset, ListDataset, load_datasets
from gluonts.dataset.pandas import PandasDataset
from gluonts.dataset.split import split
from gluonts.ev.metrics import MASE, MeanWeightedSumQuantileLoss
from gluonts.evaluation import Evaluator, backtest_metrics, make_evaluation_predictions
from gluonts.model.evaluation import evaluate_model
from gluonts.model.forecast import QuantileForecast, SampleForecast
from gluonts.model.predictor import Predictor
from gluonts.time_feature import day_of_week, hour_of_day
from gluonts.torch.distributions import (
    GammaOutput,
    NegativeBinomialOutput,
    NormalOutput,
    QuantileOutput,
    StudentTOutput,
)
from gluonts.torch.model.forecast import DistributionForecast
from gluonts.torch.model.predictor import PyTorchPredictor

from tests.forecasting.common import frame
from tests.forecasting.gluonts.data import COUNTS, FEATURES, HORIZON, TINY, Entry, estimator, featured, numbers, plain
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting import TitansEstimator, TitansPredictor

OUTPUTS = {
    "quantile": (QuantileOutput([0.1, 0.5, 0.9]), QuantileForecast),
    "student_t": (StudentTOutput(), DistributionForecast),
    "normal": (NormalOutput(), DistributionForecast),
    "negative_binomial": (NegativeBinomialOutput(), DistributionForecast),
}


@pytest.fixture(scope="module")
def trained() -> TitansPredictor:
    """A predictor of plain series, for tests that only read it."""
    return estimator(freq="h").train(plain())


@pytest.mark.parametrize("features", [False, True], ids=["plain", "features"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_train_predict_serialise_reload(output: str, features: bool, tmp_path: Path) -> None:
    distr_output, kind = OUTPUTS[output]
    data = featured() if features else plain()
    made = estimator(freq="h", distr_output=distr_output, **(FEATURES if features else {}))
    predictor = made.train(data, cache_data=True)
    assert isinstance(predictor, PyTorchPredictor)
    forecasts = list(predictor.predict(data))
    assert [one.item_id for one in forecasts] == [entry["item_id"] for entry in data]
    for one, entry in zip(forecasts, data, strict=True):
        assert isinstance(one, kind)
        assert one.start_date == entry["start"] + len(entry["target"])
        assert one.mean.shape == (HORIZON,) and one.prediction_length == HORIZON
    found = numbers(forecasts)
    assert np.isfinite(found).all() and (np.diff(found[:, 1:], axis=1) >= 0).all()
    predictor.serialize(tmp_path / "model")
    for cls in (Predictor, PyTorchPredictor, TitansPredictor):
        again = cls.deserialize(tmp_path / "model")
        assert isinstance(again, TitansPredictor) and again == predictor
        np.testing.assert_array_equal(numbers(again.predict(data)), found)


def test_a_fresh_process_reads_a_predictor(tmp_path: Path) -> None:
    data = featured()
    predictor = estimator(freq="h", time_features=[hour_of_day, day_of_week], **FEATURES).train(data)
    predictor.serialize(tmp_path / "model")
    expected = np.stack([one.mean for one in predictor.predict(data)])
    rows = [{**entry, "start": str(entry["start"])} for entry in data]
    (tmp_path / "data.json").write_text(json.dumps(rows, default=lambda array: array.tolist()))
    code = (
        "import sys, json, numpy as np, pandas as pd; from pathlib import Path; folder = Path(sys.argv[1])\n"
        "from gluonts.model.predictor import Predictor\n"
        "rows = json.loads((folder / 'data.json').read_text())\n"
        "rows = [{**row, 'start': pd.Period(row['start'], 'h'), 'target': np.array(row['target'])} for row in rows]\n"
        "print(json.dumps([one.mean.tolist() for one in Predictor.deserialize(folder / 'model').predict(rows)]))"
    )
    root = Path(__file__).resolve().parents[3]
    paths = os.pathsep.join(str(root / part) for part in (".", "kernels", "datasets"))
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    np.testing.assert_allclose(np.array(json.loads(out.stdout.splitlines()[-1])), expected, rtol=1e-5)


@pytest.mark.parametrize("freq", ["h", "D", "MS", "ME", "QS", "W-MON", "B", "15min"])
def test_frequencies(freq: str) -> None:
    data = plain(freq, items=2, length=60)
    made = estimator(freq=freq, context_length=None, trainer_kwargs={"max_epochs": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # gluonts' own periods of business days are deprecated in pandas.
        warnings.filterwarnings("ignore", "Period with BDay", FutureWarning)
        forecasts = list(made.train(data).predict(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert [one.start_date for one in forecasts] == [entry["start"] + len(entry["target"]) for entry in data]
        assert all(len(one.index) == HORIZON for one in forecasts)
    assert np.isfinite(numbers(forecasts)).all()


def test_gluonts_evaluation_takes_the_predictor(trained: TitansPredictor) -> None:
    training, template = split(plain(), offset=-4 * HORIZON)
    assert len(list(training)) == 3
    test = template.generate_instances(HORIZON, windows=4)
    found = evaluate_model(trained, test_data=test, metrics=[MASE(), MeanWeightedSumQuantileLoss([0.1, 0.5, 0.9])])
    assert np.isfinite(found.to_numpy()).all()
    forecasts, truths = make_evaluation_predictions(plain(), trained)
    assert len(list(forecasts)) == len(list(truths)) == 3
    total, each = backtest_metrics(plain(), trained, Evaluator(quantiles=(0.1, 0.5, 0.9), num_workers=0))
    assert np.isfinite(total["mean_wQuantileLoss"]) and len(each) == 3


def test_kinds_of_data_sets_give_the_same_forecasts(trained: TitansPredictor, tmp_path: Path) -> None:
    data = plain()
    expected = numbers(trained.predict(data))
    rows = [{**entry, "start": str(entry["start"])} for entry in data]
    lines = [json.dumps({**row, "target": [None if np.isnan(x) else x for x in row["target"]]}) for row in rows]
    (tmp_path / "data.json").write_text("\n".join(lines))
    series = {
        entry["item_id"]: pd.Series(entry["target"], pd.period_range(entry["start"], periods=len(entry["target"])))
        for entry in data
    }
    listed, filed = ListDataset(rows, freq="h"), FileDataset(tmp_path / "data.json", freq="h")
    loaded = load_datasets(_with_metadata(tmp_path / "loaded", lines), tmp_path / "loaded" / "train", None).train
    for dataset in (listed, filed, loaded, PandasDataset(series, freq="h")):
        np.testing.assert_allclose(numbers(trained.predict(dataset)), expected, rtol=1e-4)


def _with_metadata(folder: Path, lines: list[str]) -> Path:
    """A data set folder as gluonts writes them."""
    (folder / "train").mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"freq": "h", "prediction_length": HORIZON}))
    (folder / "train" / "data.json").write_text("\n".join(lines))
    return folder


def test_frames_behind_a_data_set_stay_as_they_are() -> None:
    table = frame(("a",), length=90)[["timestamp", "target"]].iloc[::-1]
    before = table.copy()
    dataset = PandasDataset({"a": table}, timestamp="timestamp", freq="h")
    list(estimator().train(dataset).predict(dataset))
    pd.testing.assert_frame_equal(table, before)


def test_entries_stay_as_they_are() -> None:
    data = featured()
    before = copy.deepcopy(data)
    list(estimator(**FEATURES).train(data, data).predict(data))
    for entry, old in zip(data, before, strict=True):
        assert entry.keys() == old.keys()
        for name, value in entry.items():
            np.testing.assert_array_equal(value, old[name])


def test_samples_instead_of_a_distribution() -> None:
    data = plain()
    predictor = estimator(distr_output=StudentTOutput(), num_parallel_samples=50).train(data)
    found = list(predictor.predict(data))
    assert all(isinstance(one, SampleForecast) and one.samples.shape == (50, HORIZON) for one in found)
    assert next(iter(predictor.predict(data, num_samples=7))).samples.shape == (7, HORIZON)


@pytest.mark.parametrize("scaling", ["std", "mean", None, True, False])
def test_scaling_sets_the_units(scaling: str | bool | None) -> None:
    predictor = estimator(scaling=scaling).train(plain())
    near = numbers(predictor.predict(plain()))
    assert np.isfinite(near).all()
    far = numbers(predictor.predict([{**entry, "target": 1000 * entry["target"]} for entry in plain()]))
    # Without units of the series the intercept of the linear part stays what it was in training.
    assert np.allclose(far, 1000 * near, rtol=1e-3) == bool(scaling)


def test_short_irregular_and_many_series() -> None:
    random = np.random.default_rng(0)
    data: list[Entry] = []
    for item in range(300):
        target = 5 + random.normal(size=int(random.integers(3, 40)))
        data.append({"item_id": str(item), "start": pd.Period("2020-01", "M") + item % 50, "target": target})
    unseen = [
        {"start": pd.Period("1999-11", "M"), "target": np.array([3.0])},
        {"start": pd.Period("1999-12", "M"), "target": np.full(30, np.nan)},
    ]
    forecasts = list(estimator(freq="ME").train(data).predict(data + unseen))
    assert len(forecasts) == 302 and np.isfinite(numbers(forecasts)).all()
    assert forecasts[-1].item_id is None and forecasts[-2].start_date == pd.Period("1999-12", "M")


@pytest.mark.parametrize("context", [24, None])
def test_one_very_short_series(context: int | None) -> None:
    data = [{"start": pd.Period("2020-01", "M"), "target": np.arange(9.0)}]
    forecast = next(iter(estimator(context_length=context).train(data).predict(data)))
    assert np.isfinite(forecast.mean).all() and np.abs(forecast.mean).max() < 30


def test_features_matter_and_their_units_do_not() -> None:
    data = featured(length=300)
    made = estimator(freq="h", trainer_kwargs={"max_epochs": 0}, **FEATURES)
    predictor = made.train(data)
    before = numbers(predictor.predict(data))
    moved = copy.deepcopy(data)
    for entry in moved:
        entry["feat_dynamic_real"][0, -HORIZON:] += 20
    # The target follows 3/20 of the first known covariate.
    np.testing.assert_allclose((numbers(predictor.predict(moved)) - before)[:, 0], 3.0, atol=0.6)
    other = copy.deepcopy(data)
    for entry in other:
        entry["feat_dynamic_real"] = 1e6 + 1e4 * entry["feat_dynamic_real"]
    np.testing.assert_allclose(numbers(made.train(other).predict(other)), before, rtol=1e-3)


def test_features_that_are_not_counted_are_ignored(trained: TitansPredictor) -> None:
    data = plain()
    found = numbers(trained.predict([{**entry, "feat_static_cat": [5]} for entry in data]))
    np.testing.assert_array_equal(found, numbers(trained.predict(data)))


def test_an_unknown_category_is_said_and_says_nothing() -> None:
    data = featured()
    predictor = estimator(**{**FEATURES, "cardinality": [5, 2]}).train(data)
    never, unknown = ([{**data[0], "feat_static_cat": np.array([code, 0])}] for code in (4, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = numbers(predictor.predict(never))
    with pytest.warns(SeriesWarning, match=r"feat_static_cat\[0\] = 7 is no category of the training data \(0 … 4\)"):
        found = numbers(predictor.predict(unknown))
    np.testing.assert_array_equal(found, expected)


def test_from_inputs_counts_the_features() -> None:
    assert TitansEstimator.derive_auto_fields(featured()) == {"freq": "h", **FEATURES}
    none = dict.fromkeys((*COUNTS, "num_feat_static_cat"), 0)
    assert TitansEstimator.derive_auto_fields(plain()) == {"freq": "h", **none}
    made = TitansEstimator.from_inputs(featured(), **TINY, trainer_kwargs={"max_epochs": 1})
    assert np.isfinite(numbers(made.train(featured()).predict(featured()))).all()


def test_a_predictor_saved_for_a_gpu_opens_on_the_cpu(trained: TitansPredictor, tmp_path: Path) -> None:
    trained.serialize(tmp_path)
    settings = json.loads((tmp_path / "predictor.json").read_text())
    settings["kwargs"]["device"] = "cuda:99"
    (tmp_path / "predictor.json").write_text(json.dumps(settings))
    for again in (Predictor.deserialize(tmp_path), Predictor.deserialize(tmp_path, device="cuda:99")):
        assert again.device == torch.device("cpu")
        np.testing.assert_array_equal(numbers(again.predict(plain())), numbers(trained.predict(plain())))


def test_a_folder_of_another_version_or_half_a_folder_is_refused(trained: TitansPredictor, tmp_path: Path) -> None:
    trained.serialize(tmp_path)
    header = tmp_path / "titans-ts.json"
    kept = header.read_text()
    header.write_text(json.dumps({**json.loads(kept), "version": 99}))
    with pytest.raises(
        ValueError, match=r"'version': 99.*this titans-ts reads .*'version': 2.*train the predictor again"
    ):
        Predictor.deserialize(tmp_path)
    header.unlink()
    with pytest.raises(ValueError, match="no finished predictor of TitansEstimator"):
        Predictor.deserialize(tmp_path)
    header.write_text(kept)
    assert isinstance(Predictor.deserialize(tmp_path), TitansPredictor)


def test_weights_of_another_architecture_and_damaged_files_are_refused(
    trained: TitansPredictor, tmp_path: Path
) -> None:
    trained.serialize(tmp_path)
    other = estimator(freq="h", width=16, trainer_kwargs={"max_epochs": 0}).train(plain())
    other.serialize(tmp_path / "other")
    state = tmp_path / "prediction-net-state.pt"
    state.write_bytes((tmp_path / "other" / state.name).read_bytes())
    with pytest.raises(ValueError, match="damaged, its files do not fit each other"):
        Predictor.deserialize(tmp_path)
    state.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="is damaged"):
        Predictor.deserialize(tmp_path)


def test_weights_saved_on_a_gpu_open_on_the_cpu(trained: TitansPredictor, tmp_path: Path) -> None:
    trained.serialize(tmp_path)
    locations: set[str] = set()

    def remember(storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
        locations.add(location)
        return storage

    torch.load(tmp_path / "prediction-net-state.pt", map_location=remember, weights_only=True)
    assert locations == {"cpu"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"calibration_horizons": -1}, "calibration_horizons must be ≥ 0"),
        ({"prediction_length": 0}, "prediction_length must be ≥ 1"),
        ({"scaling": "max"}, "scaling must be 'std', 'mean' or None"),
        ({"distr_output": GammaOutput()}, "distr_output must be one of QuantileOutput, .* got 'GammaOutput'"),
        ({"distr_output": NormalOutput(beta=0.5)}, "without beta"),
        ({"num_feat_static_cat": 2, "cardinality": [3]}, "cardinality must be num_feat_static_cat = 2 numbers ≥ 1"),
        ({"freq": "fortnight"}, "freq='fortnight' is not a frequency"),
        ({"heads": 3}, "width must be a multiple of"),
        ({"block": "mix"}, "block must be one of"),
        ({"memory": {"sort": "mlp"}}, "memory option 'sort' is unknown"),
        ({"options": {"patch_strid": 2}}, "did you mean 'patch_stride'"),
        ({"lr": 0.0}, "lr must be > 0"),
    ],
)
def test_wrong_parameters(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        estimator(**changes)


def test_wrong_training_data() -> None:
    first = featured()[0]
    few = {**first, "past_feat_dynamic_real": np.zeros((1, 4))}
    cases: list[tuple[dict[str, Any], list[Entry], str]] = [
        ({}, [], "no entries"),
        ({}, plain("D"), "steps of freq='h', got steps of 'D'"),
        ({"num_feat_dynamic_real": 3}, [first], r"item 'item 0': feat_dynamic_real must be \(3, steps\), got an array"),
        ({"num_feat_static_real": 1}, plain(), r"feat_static_real must be \(1,\), got none"),
        ({"num_past_feat_dynamic_real": 1}, [few], r"must be \(1, 90\), got \(1, 4\)"),
        ({"num_feat_static_cat": 2, "cardinality": [2, 2]}, featured(), r"0 … 1, got 2: raise cardinality\[0\] to 3"),
        ({}, [{**first, "target": np.array([1.0, np.inf, 2.0])}], "infinite values"),
        ({}, [{**first, "target": np.ones((2, 50))}], r"single series \(T,\), got shape \(2, 50\)"),
        ({}, [{"target": np.ones(50)}], "must have 'start' and 'target'"),
    ]
    for changes, entries, text in cases:
        with pytest.raises(ValueError, match=text):
            estimator(freq="h", **changes).train(entries)


def test_wrong_data_to_forecast() -> None:
    ends_early = featured(ahead=2)
    predictor = estimator(freq="h", **FEATURES).train(ends_early)
    text = r"feat_dynamic_real must be \(2, 96\), got \(2, 92\): pass its values for the 6 steps after the target"
    daily = [{**entry, "start": pd.Period("2024-01-01", "D")} for entry in featured()]
    for data, expected in ((ends_early, text), (plain(), "got none"), (daily, "with the freq of these")):
        with pytest.raises(ValueError, match=expected):
            list(predictor.predict(data))
