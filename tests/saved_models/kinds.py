"""Every kind of thing the library saves, tiny: how it is made, and what it answers once it is loaded.

The folders beside this file were written by the version that their name says; later versions must load them and answer
the same (`test_saved_models.py`). To add those of a new version: ``python -m tests.saved_models.kinds``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from titans_ts import DNAClassifier, DNALanguageModel, DNARegressor, TitansForecaster, TitansStream
from titans_ts.version import __version__

HERE = Path(__file__).resolve().parent
BACKBONE: dict[str, Any] = {"width": 8, "heads": 2, "layers": 1, "memory": {"chunk_size": 4}}
QUIET = {"progress": False}


class Kind(NamedTuple):
    """How a thing is written into a folder, and the numbers it answers with after it was read back."""

    write: Callable[[Path], None]
    answer: Callable[[Path], np.ndarray]


def series() -> pd.DataFrame:
    """Two series of 60 hours, the same in every version: written out here, not generated."""
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    steps = np.arange(60)
    rows = []
    for name, level in (("a", 10.0), ("b", 40.0)):
        target = level + 3 * np.sin(2 * np.pi * steps / 24) + (steps * 7919 % 13) / 13
        warm = np.cos(2 * np.pi * steps / 24)
        rows.append(pd.DataFrame({"item_id": name, "timestamp": hours, "target": target, "warm": warm}))
    return pd.concat(rows, ignore_index=True)


def sequences() -> tuple[list[str], list[str]]:
    """Forty sequences of 24 bases; those of class "b" hold TATAAA."""
    letters, found = "ACGT", []
    for row in range(40):
        text = "".join(letters[(row * 31 + place * place * 7 + place * row) % 4] for place in range(24))
        found.append(text if row % 2 else f"{text[:9]}TATAAA{text[15:]}")
    return found, ["a" if row % 2 else "b" for row in range(40)]


def _forecaster() -> TitansForecaster:
    options = {**BACKBONE, **QUIET, "patch_length": 4, "patch_stride": 4, "validation_windows": 1}
    return TitansForecaster(
        6, context_length=24, quantiles=(0.1, 0.5, 0.9), known_covariates=("warm",), max_steps=3, options=options
    )


def write_forecaster(folder: Path) -> None:
    _forecaster().fit(series()).save(folder)


def answer_forecaster(folder: Path) -> np.ndarray:
    data = series()
    loaded = TitansForecaster.load(folder)
    known = data[["item_id", "timestamp", "warm"]].assign(timestamp=data.timestamp + pd.Timedelta(hours=60))
    return loaded.predict(data, future=known).drop(columns=["item_id", "timestamp"]).to_numpy(float)


def _session_model() -> TitansForecaster:
    options = {**BACKBONE, **QUIET, "patch_length": 4, "patch_stride": 4, "validation_windows": 1}
    data = series().drop(columns="warm")
    return TitansForecaster(6, context_length=24, quantiles=(0.1, 0.5, 0.9), max_steps=3, options=options).fit(data)


def write_session(folder: Path) -> None:
    """A forecaster and, in a folder within, a session of it."""
    model = _session_model()
    model.save(folder)
    model.stream().snapshot(folder.parent / f"{folder.name}_session")
    shutil.move(folder.parent / f"{folder.name}_session", folder / "session")


def answer_session(folder: Path) -> np.ndarray:
    session = TitansStream.restore(TitansForecaster.load(folder), folder / "session")
    later = series().drop(columns="warm")
    session.observe(later.assign(timestamp=later.timestamp + pd.Timedelta(hours=60)).groupby("item_id").head(5))
    return session.forecast().drop(columns=["item_id", "timestamp"]).to_numpy(float)


def write_classifier(folder: Path) -> None:
    texts, labels = sequences()
    options = {**BACKBONE, **QUIET, "kmers": (4, 3)}
    DNAClassifier(max_epochs=1, head="pooled", options=options).fit(texts, labels).save(folder)


def answer_classifier(folder: Path) -> np.ndarray:
    return np.asarray(DNAClassifier.load(folder).predict_proba(sequences()[0]))


def write_regressor(folder: Path) -> None:
    texts, _ = sequences()
    numbers = pd.DataFrame({"t": [text.count("T") + 1.0 for text in texts], "c": [text.count("C") for text in texts]})
    options = {**BACKBONE, **QUIET, "kmers": (4, 3)}
    model = DNARegressor(max_epochs=1, head="pooled", linear=False, loss="poisson", options=options)
    model.fit(texts, numbers).save(folder)


def answer_regressor(folder: Path) -> np.ndarray:
    return np.asarray(DNARegressor.load(folder).predict(sequences()[0]))


def write_language_model(folder: Path) -> None:
    model = DNALanguageModel(context_length=24, max_epochs=1, options={**BACKBONE, **QUIET})
    model.fit(sequences()[0]).save(folder)


def answer_language_model(folder: Path) -> np.ndarray:
    return np.asarray(DNALanguageModel.load(folder).log_likelihood(sequences()[0]))


def write_predictor(folder: Path) -> None:
    """A gluonts predictor."""
    from gluonts.dataset.pandas import PandasDataset

    from titans_ts import TitansEstimator

    data = PandasDataset.from_long_dataframe(series(), item_id="item_id", timestamp="timestamp", freq="h")
    estimator = TitansEstimator(
        prediction_length=6, freq="h", context_length=24, width=8, heads=2, layers=1, trainer_kwargs={"max_epochs": 1}
    )
    folder.mkdir(parents=True)
    estimator.train(data).serialize(folder)


def answer_predictor(folder: Path) -> np.ndarray:
    from gluonts.dataset.pandas import PandasDataset
    from gluonts.model.predictor import Predictor

    data = PandasDataset.from_long_dataframe(series(), item_id="item_id", timestamp="timestamp", freq="h")
    forecasts = Predictor.deserialize(folder).predict(data)
    return np.stack([forecast.quantile(level) for forecast in forecasts for level in ("0.1", "0.5", "0.9")])


def write_checkpoint(folder: Path) -> None:
    """The best checkpoint of a run of ``titans-ts fit``."""
    import yaml

    from titans_cli.main import main

    folder.mkdir(parents=True)
    with TemporaryDirectory() as name:
        table, recipe, root = (Path(name) / part for part in ("table.csv", "recipe.yaml", "run"))
        series().drop(columns="warm").to_csv(table, index=False)
        data = {"source": str(table), "context_length": 24, "prediction_length": 6}
        data |= {"steps_per_epoch": 2, "validation_windows": 1, "test_windows": 0}
        model = {"backbone": {"width": 8, "heads": 2, "layers": 1}}
        trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "default_root_dir": str(root)}
        recipe.write_text(yaml.safe_dump({"data": data, "model": model, "trainer": trainer}), encoding="utf-8")
        assert main(["fit", "-c", str(recipe)]) == 0
        shutil.copy(next(root.rglob("best.ckpt")), folder / "best.ckpt")


def answer_checkpoint(folder: Path) -> np.ndarray:
    import torch

    from titans_datasets.series import to_records
    from titans_ts.forecasting.forecaster.predict import forecast_records
    from titans_ts.forecasting.training.module import ForecastingModule

    network = ForecastingModule.load_from_checkpoint(folder / "best.ckpt", map_location="cpu").network
    records = to_records(series().drop(columns="warm")).records
    return forecast_records(network, records, 6, [0.1, 0.5, 0.9], torch.device("cpu")).quantiles.numpy()


KINDS = {
    "forecaster": Kind(write_forecaster, answer_forecaster),
    "session": Kind(write_session, answer_session),
    "dna_classifier": Kind(write_classifier, answer_classifier),
    "dna_regressor": Kind(write_regressor, answer_regressor),
    "dna_language_model": Kind(write_language_model, answer_language_model),
    "gluonts_predictor": Kind(write_predictor, answer_predictor),
    "checkpoint": Kind(write_checkpoint, answer_checkpoint),
}


def write_all(root: Path) -> None:
    """Every kind in a folder of its own, with answer.json: what it answered when it was written."""
    for name, kind in KINDS.items():
        shutil.rmtree(root / name, ignore_errors=True)
        kind.write(root / name)
        answer = kind.answer(root / name).astype(float).round(6).tolist()
        (root / name / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    write_all(HERE / __version__)
