#!/usr/bin/env python
"""Other packages' own checks of our faces: sktime, scikit-learn, gluonts and fev, where they are installed.

    python benchmarks/conformance.py
    python benchmarks/conformance.py --only sktime,sklearn
    python benchmarks/conformance.py --only sktime --settings 0 --checks test_predict_interval,test_clone

A line a suite: checks passed, failed and skipped; under it every failed check with its error and every skipped one with
its reason. sktime's take minutes for each of the three settings of `TitansSktimeForecaster.get_test_params`: experts
alone, a tiny network, pretrained reads; a line is printed as soon as a test is through.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from titans_ts import TitansForecaster

TINY = {"width": 8, "heads": 1, "layers": 1, "progress": False, "experts": False, "pretrained": None}
# Checks of scikit-learn that are expected to fail, and what each asks for.
EXPECTED = {
    "check_fit2d_1sample": "asks for its own words; refused as a series that is too short",
    "check_fit1d": "asks for two dimensions; one covariate may have one",
    "check_methods_sample_order_invariance": "shuffles rows; without timestamps they are steps in their order",
    "check_methods_subset_invariance": "predicts parts of rows; without timestamps each part follows the fit",
    "check_estimators_pickle": "predicts rows with missing cells; covariates of steps ahead must be known",
    "check_regressor_multioutput": "passes five targets without names; several need them, target_column=(…)",
    "check_estimators_empty_data_messages": "refuses X without columns; a target may be forecast from itself alone",
}


class Check(NamedTuple):
    """One check: "passed", "failed" or "skipped", and why."""

    name: str
    outcome: str
    reason: str = ""


def sktime_checks(settings: list[int], names: list[str]) -> list[Check]:
    """`sktime.utils.estimator_checks.check_estimator` of the adapter, test by test.

    Args:
        settings: places in `get_test_params`.
        names: of sktime's tests; none takes all.
    """
    from sktime.tests.test_class_register import get_test_classes_for_obj
    from sktime.utils.estimator_checks import check_estimator

    from titans_ts.forecasting.sktime import TitansSktimeForecaster

    suites = get_test_classes_for_obj(TitansSktimeForecaster)
    known = dict.fromkeys(name for suite in suites for name in dir(suite) if name.startswith("test"))
    models, _ = TitansSktimeForecaster.create_test_instances_and_names()
    found: dict[str, object] = {}
    for place in settings:
        for name in names or known:
            # Tests of the class itself come with every setting: they are counted once.
            results = check_estimator(models[place], tests_to_run=name, raise_exceptions=False, verbose=False)
            found |= {f"{key} of setting {place}" if "-" in key else key: value for key, value in results.items()}
            print(f"  setting {place}, {name}: {len(results)}", file=sys.stderr, flush=True)
    return [Check(name, *_outcome(result)) for name, result in found.items()]


def _outcome(result: object) -> tuple[str, str]:
    """sktime's result of a check: "PASSED" or an exception."""
    if result == "PASSED":
        return "passed", ""
    return "skipped" if "skip" in type(result).__name__.lower() else "failed", f"{type(result).__name__}: {result}"


def sklearn_checks() -> list[Check]:
    """`sklearn.utils.estimator_checks.check_estimator` of the facade; see `EXPECTED` for what is left out."""
    from sklearn.utils.estimator_checks import check_estimator

    model = TitansForecaster(2, context_length=4, max_steps=0, freq="D", device="cpu", options=TINY)
    found = check_estimator(model, on_fail=None, on_skip=None, expected_failed_checks=EXPECTED)
    names = {"passed": "passed", "skipped": "skipped", "xfail": "skipped", "failed": "failed"}
    return _without_data() + [
        Check(
            row["check_name"],
            names[row["status"]],
            row["expected_to_fail_reason"] if row["status"] == "xfail" else str(row["exception"] or ""),
        )
        for row in found
    ]


def _without_data() -> list[Check]:
    """Those of scikit-learn's checks that feed no numbers, of the estimators that take sequences."""
    from sklearn.utils import estimator_checks

    from titans_ts import DNAClassifier, DNARegressor

    names = ("estimator_cloneable", "estimator_tags_renamed", "valid_tag_types", "estimator_repr")
    names += ("no_attributes_set_in_init", "parameters_default_constructible")
    found = []
    for model in (DNAClassifier(), DNARegressor()):
        kind = type(model).__name__
        for name in names:
            check = getattr(estimator_checks, f"check_{name}")
            found.append(_run(partial(check, kind, model), f"{kind} {check.__name__}"))
        found.append(Check(f"{kind}, all others", "skipped", "feed tables of numbers; it takes sequences"))
    return found


def gluonts_checks() -> list[Check]:
    """What gluonts' own tests ask of an estimator: train, predict, serialize, and evaluate."""
    from gluonts.dataset.common import ListDataset
    from gluonts.evaluation import Evaluator, make_evaluation_predictions
    from gluonts.model.predictor import Predictor

    from titans_ts import TitansEstimator

    data = ListDataset(
        [{"start": "2024-01-01", "target": np.sin(np.arange(60) / 3) + shift} for shift in (0.0, 5.0)], freq="D"
    )
    sizes = {"width": 8, "heads": 1, "layers": 1, "trainer_kwargs": {"max_epochs": 1}, "num_batches_per_epoch": 2}
    predictor = TitansEstimator(prediction_length=3, freq="D", batch_size=4, **sizes).train(data)

    def forecasts() -> None:
        found = list(predictor.predict(data))
        assert [len(forecast.mean) for forecast in found] == [3, 3]

    def serialized() -> None:
        with tempfile.TemporaryDirectory() as folder:
            predictor.serialize(Path(folder))
            again = list(Predictor.deserialize(Path(folder)).predict(data))
        for one, two in zip(predictor.predict(data), again, strict=True):
            np.testing.assert_allclose(one.quantile(0.9), two.quantile(0.9))

    def evaluated() -> None:
        found, actual = make_evaluation_predictions(data, predictor, num_samples=20)
        totals, _ = Evaluator(num_workers=0)(actual, found)
        assert np.isfinite(totals["mean_wQuantileLoss"])

    return [_run(check) for check in (forecasts, serialized, evaluated)]


def fev_checks() -> list[Check]:
    """A task of fev, forecast and scored by fev."""
    import fev

    from titans_ts.forecasting.fev import TitansModel

    def scored() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/data.parquet"
            days = pd.date_range("2024-01-01", periods=60, freq="D")
            pd.DataFrame({"id": "a", "timestamp": days, "target": np.arange(60.0) % 7}).to_parquet(path)
            task = fev.Task(dataset_path=path, horizon=3, num_windows=2, eval_metric="WQL", quantile_levels=[0.1, 0.9])
            found = TitansModel(TitansForecaster(max_steps=0, options=TINY)).fit_predict(task)
            assert np.isfinite(task.evaluation_summary(found, model_name="titans")["test_error"])

    return [_run(scored)]


def _run(check: Callable[[], None], name: str = "") -> Check:
    name = name or check.__name__
    try:
        check()
    except Exception as error:
        return Check(name, "failed", f"{type(error).__name__}: {error}")
    return Check(name, "passed")


SUITES: dict[str, Callable[..., list[Check]]] = {
    "sktime": sktime_checks,
    "sklearn": sklearn_checks,
    "gluonts": gluonts_checks,
    "fev": fev_checks,
}


def main() -> int:
    """Print counts and reasons; 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SUITES), help="suites, separated by commas")
    parser.add_argument("--settings", default="0,1,2", help="of the tests of sktime, separated by commas")
    parser.add_argument("--checks", default="", help="names of sktime's tests, separated by commas; all by default")
    warnings.filterwarnings("ignore")
    failed = 0
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        if find_spec(name) is None:
            print(f"{name}: not installed", flush=True)
            continue
        if name == "sktime":
            tests = [test for test in arguments.checks.split(",") if test]
            checks = sktime_checks([int(place) for place in arguments.settings.split(",")], tests)
        else:
            checks = SUITES[name]()
        counts = [sum(check.outcome == word for check in checks) for word in ("passed", "failed", "skipped")]
        print("{}: {} passed, {} failed, {} skipped".format(name, *counts), flush=True)
        for check in checks:
            if check.outcome != "passed":
                print(f"  {check.outcome} {check.name}: {' '.join(check.reason.split())[:300]}", flush=True)
        failed += counts[1]
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
