"""Weights of sources, fitted on held-out sequences."""

from __future__ import annotations

import numpy as np
import pytest

from titans_ts.genomics.linear.blend import blend, fit_blend, probabilities
from titans_ts.genomics.linear.losses import Targets, mean_loss


def test_weights_calibrate_and_leave_out_noise() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4000, 2))
    labels = (random.random(4000) < probabilities(truth, "classes")[:, 1]).astype(np.int64)
    sources = np.stack([4 * truth, random.normal(size=(4000, 2))], axis=1)
    targets = Targets(labels, np.ones(4000), 2, "classes")
    weights = fit_blend(sources, targets)
    assert weights[0] == pytest.approx(0.25, abs=0.03)
    assert 0 <= weights[1] < 0.08
    assert mean_loss(blend(sources, weights), targets) < mean_loss(sources[:, 0], targets)


def test_a_source_that_is_nearly_exact_is_not_pulled_to_the_mean() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(500, 1))
    sources = np.stack([truth + random.normal(0, sd, truth.shape) for sd in (0.02, 0.1)], axis=1)
    targets = Targets(truth, np.ones(500), 1, "mse")
    weights = fit_blend(sources, targets)
    assert weights[0] > 0.9 > 0.1 > weights[1]
    assert mean_loss(blend(sources, weights), targets) <= 1.01 * mean_loss(sources[:, 0], targets)
