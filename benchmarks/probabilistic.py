#!/usr/bin/env python
"""Probabilistic forecasts with gluonts' metrics: TitansEstimator beside baselines and gluonts' own networks.

    TITANS_TS_DATA=data python benchmarks/probabilistic.py --set etth1
    TITANS_TS_DATA=data python benchmarks/probabilistic.py --set exchange_rate --models titans,naive --seeds 0,1,2

Sets: `etth1` (7 series, hourly, horizon 24, 120 windows over the last four of twenty months) and `exchange_rate` (8
series, business days, horizon 30, 5 windows). A model is fitted once, before the first window; windows are one horizon
apart. Metrics: mean weighted sum quantile loss over nine deciles (pinball loss over Σ|y|), MASE of the median,
coverage. TitansEstimator runs with its defaults. gluonts' networks are trained for 20 epochs of 50 batches with the
protocol's context. Seconds are CPU seconds of the process, one thread. A row is printed, and appended to the CSV, as
soon as it is known.

Shapes: W windows, C context steps, P horizon steps, Q quantile levels.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series.public.fetching import fetch
from titans_ts.support.lightning import quiet_lightning
from titans_ts.support.run_log import append_csv, commit, machine

Array = npt.NDArray[np.float64]
Entry = dict[str, Any]
LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
EPOCHS, BATCHES = 20, 50
FIELDS = (
    *("date", "commit", "titans_ts", "gluonts", "torch", "pandas", "python", "machine"),
    *("set", "model", "seed", "context", "wql", "mase", "coverage_10", "coverage_90", "forecasts"),
    *("fit_cpu_s", "predict_cpu_s"),
)


@dataclass(frozen=True)
class Task:
    """A set: `entries` hold all steps, `train` ends before the first of `windows` horizons."""

    name: str
    freq: str
    horizon: int
    windows: int
    season: int
    context: int
    entries: list[Entry]

    @property
    def train(self) -> list[Entry]:
        held = self.horizon * self.windows
        return [{**entry, "target": entry["target"][:-held]} for entry in self.entries]


def load(name: str) -> Task:
    """One of the sets."""
    file, freq, horizon, windows, season, context, start, rows = {
        "etth1": ("ETTh1", "h", 24, 120, 24, 168, "2016-07-01", 14_400),
        "exchange_rate": ("Exchange", "B", 30, 5, 5, 120, "1990-01-01", None),
    }[name]
    values = pd.read_csv(fetch(file)).iloc[:rows, 1:]
    first = pd.Period(start, freq=freq)
    entries = [
        {"start": first, "target": values[column].to_numpy(np.float32), "item_id": str(column)} for column in values
    ]
    return Task(name, freq, horizon, windows, season, context, entries)


class ResidualQuantiles:
    """A point forecast and the quantiles of its errors on the last 15 % of the training steps.

    Errors are measured in the mean step of the window, so that series of all sizes share them.

    Args:
        kind: "naive" (the last value) or "ridge" (one ridge regression of the window minus its mean, penalty 1e-3).
        task: horizon and context.
    """

    def __init__(self, kind: str, task: Task) -> None:
        self.kind, self.horizon, self.context = kind, task.horizon, task.context
        self.weight: Array = np.zeros((task.context, task.horizon))

    def train(self, entries: list[Entry]) -> ResidualQuantiles:
        """Fit the regression on the first 85 % and the errors on the rest."""
        cut = int(0.85 * len(entries[0]["target"]))
        if self.kind == "ridge":
            x, y = self._windows(entries, 0, cut)
            level, unit = x.mean(-1, keepdims=True), _unit(x)
            x, y = (x - level) / unit, (y - level) / unit
            self.weight = np.linalg.solve(x.T @ x + 1e-3 * len(x) * np.eye(self.context), x.T @ y)
        x, y = self._windows(entries, cut - self.context, None)
        self.errors = np.quantile((y - self._point(x)) / _unit(x), LEVELS, axis=0)
        return self

    def predict(self, entries: Iterable[Entry]) -> Iterator[Any]:
        """gluonts forecasts."""
        from gluonts.model.forecast import QuantileForecast

        for entry in entries:
            x = np.asarray(entry["target"][-self.context :], dtype=np.float64)
            start = entry["start"] + len(entry["target"])
            values = self._point(x) + self.errors * _unit(x)
            yield QuantileForecast(
                values, forecast_keys=[*map(str, LEVELS)], start_date=start, item_id=entry["item_id"]
            )

    def _windows(self, entries: list[Entry], first: int, last: int | None) -> tuple[Array, Array]:
        """Windows (W, C) and futures (W, P) of all series."""
        parts = [
            np.lib.stride_tricks.sliding_window_view(
                np.asarray(entry["target"][first:last], dtype=np.float64), self.context + self.horizon
            )
            for entry in entries
        ]
        windows = np.concatenate(parts)
        return windows[:, : self.context], windows[:, self.context :]

    def _point(self, x: Array) -> Array:
        if self.kind == "naive":
            return np.repeat(x[..., -1:], self.horizon, -1)
        level, unit = x.mean(-1, keepdims=True), _unit(x)
        return np.asarray(((x - level) / unit) @ self.weight * unit + level)


def _unit(x: Array) -> Array:
    """Mean step (…, 1) of the windows."""
    return np.maximum(np.abs(np.diff(x, axis=-1)).mean(-1, keepdims=True), 1e-8)


class SeasonalNaive:
    """gluonts' seasonal naive forecast, which has no training."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def train(self, entries: list[Entry]) -> Any:
        """The predictor."""
        from gluonts.model.seasonal_naive import SeasonalNaivePredictor

        return SeasonalNaivePredictor(prediction_length=self.task.horizon, season_length=self.task.season)


def trainer_kwargs() -> dict[str, Any]:
    """For gluonts' networks: quiet, on the CPU, files in a temporary folder."""
    folder = tempfile.mkdtemp()
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return {"max_epochs": EPOCHS, "accelerator": "cpu", "default_root_dir": folder, **quiet}


def gluonts_network(name: str, task: Task) -> Any:
    """DeepAR or PatchTST of gluonts, its defaults otherwise."""
    common: dict[str, Any] = {
        "prediction_length": task.horizon,
        "context_length": task.context,
        "num_batches_per_epoch": BATCHES,
        "batch_size": 32,
        "trainer_kwargs": trainer_kwargs(),
    }
    if name == "deepar":
        from gluonts.torch.model.deepar import DeepAREstimator

        return DeepAREstimator(freq=task.freq, **common)
    from gluonts.torch.model.patch_tst import PatchTSTEstimator

    return PatchTSTEstimator(patch_len=16, **common)


def titans(task: Task, seed: int, **changes: Any) -> Any:
    """TitansEstimator with its defaults."""
    from titans_ts.forecasting.gluonts.estimator import TitansEstimator

    kwargs = {"accelerator": "cpu", **changes.pop("trainer_kwargs", {})}
    return TitansEstimator(task.horizon, freq=task.freq, seed=seed, trainer_kwargs=kwargs, **changes)


MODELS: dict[str, Callable[[Task, int], Any]] = {
    "seasonal_naive": lambda task, seed: SeasonalNaive(task),
    "naive": lambda task, seed: ResidualQuantiles("naive", task),
    "ridge": lambda task, seed: ResidualQuantiles("ridge", task),
    "titans": titans,
    "titans-linear": lambda task, seed: titans(task, seed, trainer_kwargs={"max_epochs": 0}),
    "deepar": lambda task, seed: gluonts_network("deepar", task),
    "patchtst": lambda task, seed: gluonts_network("patchtst", task),
}
WITHOUT_SEED = ("seasonal_naive", "naive", "ridge", "titans-linear")


def score(forecasts: list[Any], task: Task) -> dict[str, float]:
    """gluonts' metrics over all windows and series."""
    from gluonts.dataset.split import split
    from gluonts.ev.metrics import MASE, Coverage, MeanWeightedSumQuantileLoss
    from gluonts.model.evaluation import evaluate_forecasts

    _, template = split(task.entries, offset=-task.horizon * task.windows)
    test = template.generate_instances(task.horizon, windows=task.windows, distance=task.horizon)
    metrics = [MeanWeightedSumQuantileLoss(LEVELS), MASE(), Coverage(0.1), Coverage(0.9)]
    found = evaluate_forecasts(forecasts, test_data=test, metrics=metrics, seasonality=task.season).iloc[0]
    names = ("mean_weighted_sum_quantile_loss", "MASE[0.5]", "coverage[0.1]", "coverage[0.9]")
    columns = ("wql", "mase", "coverage_10", "coverage_90")
    return {column: round(float(found[name]), 5) for column, name in zip(columns, names, strict=True)}


def run(name: str, task: Task, seed: int) -> dict[str, Any]:
    """Fit, forecast and score one model."""
    from gluonts.dataset.split import split

    _, template = split(task.entries, offset=-task.horizon * task.windows)
    test = template.generate_instances(task.horizon, windows=task.windows, distance=task.horizon)
    torch.manual_seed(seed)
    np.random.seed(seed)
    model = MODELS[name](task, seed)
    begun = time.process_time()
    with quiet_lightning():
        predictor = model.train(task.train)
    fitted = time.process_time()
    forecasts = list(predictor.predict(test.input))
    done = time.process_time()
    network = getattr(getattr(predictor, "prediction_net", None), "network", None)
    context = network.config.context_length if network is not None else task.context
    seconds = {"fit_cpu_s": round(fitted - begun, 1), "predict_cpu_s": round(done - fitted, 1)}
    label = {"set": task.name, "model": name, "seed": seed, "context": context, "forecasts": len(forecasts)}
    return {**label, **score(forecasts, task), **seconds}


def circumstances() -> dict[str, str]:
    """Date, commit (a star: with changes), versions and machine."""
    packages = {"titans_ts": "titans-ts", "gluonts": "gluonts", "torch": "torch", "pandas": "pandas"}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        **{column: version(package) for column, package in packages.items()},
        "python": platform.python_version(),
        "machine": machine(),
    }


def main() -> None:
    """Run the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="etth1", choices=("etth1", "exchange_rate"))
    parser.add_argument(
        "--models", default="seasonal_naive,naive,ridge,titans,deepar,patchtst", help="of " + ", ".join(MODELS)
    )
    parser.add_argument("--seeds", default="0,1,2", help="of the models that have one")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("probabilistic.csv"))
    given = parser.parse_args()
    wanted = given.models.split(",")
    unknown = [name for name in wanted if name not in MODELS]
    if unknown:
        parser.error(f"--models must be of {', '.join(MODELS)}, got {unknown[0]!r}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task, where = load(given.set), circumstances()
    for name in wanted:
        for seed in [0] if name in WITHOUT_SEED else map(int, given.seeds.split(",")):
            row = run(name, task, seed)
            print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
            append_csv(given.csv, FIELDS, [{**where, **row}])


if __name__ == "__main__":
    main()
