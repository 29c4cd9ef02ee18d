"""Ridge regressions against scikit-learn's, their losses, and the blend of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import PoissonRegressor, Ridge

from titans_datasets.dna import encode_all
from titans_ts.genomics.linear.blend import blend, fit_weights
from titans_ts.genomics.linear.features import PositionFeatures
from titans_ts.genomics.linear.losses import Targets, mean_loss, value_losses
from titans_ts.genomics.linear.ridge import fit_ridge
from titans_ts.genomics.model.config import ValueTask

FEATURES = PositionFeatures(12)


def sample(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = FEATURES(encode_all(["".join(random.choice(list("ACGT"), 12)) for _ in range(count)]))
    return x, random.normal(size=(count, 2)) + x.toarray()[:, :2] * 3


@pytest.mark.parametrize("inverse_penalty", [0.3, 3.0, 100.0])
def test_squared_errors_are_ridge_regression(inverse_penalty: float) -> None:
    x, y = sample()
    weight = np.random.default_rng(1).random(120) + 0.5
    found = fit_ridge(FEATURES, x, Targets(y, weight, 2, "mse"), inverse_penalty).outputs(x)
    theirs = Ridge(alpha=1 / inverse_penalty, tol=1e-8).fit(x.toarray(), y, sample_weight=weight)
    np.testing.assert_allclose(found, theirs.predict(x.toarray()), atol=2e-3)


def test_counts_are_poisson_regression() -> None:
    x, y = sample()
    counts = np.round(np.abs(y[:, :1]) * 3)
    found = fit_ridge(FEATURES, x, Targets(counts, np.ones(120), 1, "poisson"), 5.0).outputs(x)
    theirs = PoissonRegressor(alpha=1 / (5.0 * 120), max_iter=1000, tol=1e-8).fit(x.toarray(), counts[:, 0])
    np.testing.assert_allclose(np.exp(found[:, 0]), theirs.predict(x.toarray()), rtol=2e-2)


def test_huber_minds_outliers_less() -> None:
    x, y = sample()
    y[7] = 1000
    squared, robust = (fit_ridge(FEATURES, x, Targets(y, np.ones(120), 2, task), 3.0) for task in ("mse", "huber"))
    rest = np.arange(120) != 7
    errors = [np.abs(model.outputs(x)[rest] - y[rest]).mean() for model in (squared, robust)]
    assert errors[1] < 0.3 * errors[0]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["mse", "huber", "poisson"]), st.floats(-3, 3), st.floats(0, 5))
def test_slopes_are_those_of_the_losses(task: ValueTask, output: float, truth: float) -> None:
    targets = Targets(np.array([[truth]]), np.ones(1), 1, task)
    step = 1e-6
    ends = [value_losses(np.array([[output + side * step]]), targets)[0][0, 0] for side in (-1, 1)]
    slope = value_losses(np.array([[output]]), targets)[1][0, 0]
    assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(slope, abs=1e-3)
    assert value_losses(np.array([[output]]), targets)[0][0, 0] >= -1e-9


def test_each_target_weighs_the_sources_by_itself() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(400, 2))
    network, linear = random.normal(size=(400, 2)), random.normal(size=(400, 2))
    network[:, 0], linear[:, 1] = truth[:, 0], truth[:, 1]
    sources, targets = np.stack([network, linear], axis=1), Targets(truth, np.ones(400), 2, "mse")
    weights = fit_weights(sources, targets)
    np.testing.assert_allclose(weights, [[1, 0], [0, 1]], atol=0.05)
    assert weights[0, 1] == 0, "a network that does not help has weight 0"
    assert mean_loss(blend(sources, weights), targets) < 0.01
