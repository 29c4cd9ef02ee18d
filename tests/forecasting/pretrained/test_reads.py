"""Forecasts by pretrained reads: whatever the history, and by each history alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts.forecasting.pretrained import Card, PretrainedReads
from titans_ts.forecasting.pretrained.weights import Pretrained
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS

LEVELS = (0.1, 0.5, 0.9)


def trained(flip: bool = True) -> Pretrained:
    """Weights as those after training: none are zeros, all small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = ReadingNetwork(ReadingConfig((*NAMES, *SLOTS), width=16, depth=1, step_width=16))
        for layer in (network.out, network.weights):
            torch.nn.init.normal_(layer.weight, std=0.05)
    card = Card(version="1", data="none", compute="none", licence="none", limits="a test", flip=flip)
    return Pretrained("test", "0" * 64, card, network.eval())


READS = PretrainedReads(24, 168, trained())


def history(length: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10 + np.sin(np.arange(length) * np.pi / 12) + 0.2 * rng.normal(size=length)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(1, 60))
def test_each_history_is_forecast_by_itself(lengths, horizon):
    rows = [history(length, seed) for seed, length in enumerate(lengths)]
    together = READS.quantiles([history(2100), *rows], horizon, LEVELS)[1:]
    assert np.isfinite(together).all() and (np.diff(together, axis=2) >= -1e-9).all()
    alone = np.concatenate([READS.quantiles([row], horizon, LEVELS) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_missing_values_in_front_say_nothing():
    rows = [history(100), np.r_[np.full(900, np.nan), history(100)]]
    found = READS.quantiles(rows, 5, LEVELS)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_histories_without_a_value_have_no_forecast():
    rows = [np.array([]), np.full(30, np.nan), np.r_[1.0, 2.0, np.full(2048, np.nan)], history(50), np.array([np.inf])]
    found = READS.quantiles(rows, 4, LEVELS)
    assert np.isnan(found[[0, 1, 2, 4]]).all() and np.isfinite(found[3]).all()
    assert np.isnan(READS.quantiles(rows[:2], 4, LEVELS)).all() and READS.quantiles([], 4, LEVELS).shape == (0, 4, 3)


def test_one_value_and_constants_go_on():
    rows = [np.array([3.0]), np.full(40, -2.5), np.zeros(9)]
    np.testing.assert_array_equal(
        READS.quantiles(rows, 30, LEVELS)[:, :, 1], np.array([[3.0], [-2.5], [0.0]]) + np.zeros(30)
    )


def test_a_horizon_of_ten_thousand():
    found = READS.quantiles([history(300)], 10_000, LEVELS)
    assert found.shape == (1, 10_000, 3) and np.isfinite(found).all()


@pytest.mark.parametrize("flip", [False, True])
def test_the_flip_is_that_of_the_card(flip):
    source, row = PretrainedReads(24, 0, trained(flip)), history(120) - 10
    found = source.quantiles([row], 6, LEVELS) + source.quantiles([-row], 6, LEVELS)[..., ::-1]
    assert (np.abs(found).max() < 1e-5) == flip


def test_covariates_are_read_as_far_as_they_are_known():
    rng = np.random.default_rng(0)
    known = [rng.normal(size=(2, 230)), rng.normal(size=(2, 60))]
    rows = [3 * known[0][0, :200] + 10, history(50)]
    found = READS.quantiles(rows, 30, LEVELS, known)
    assert np.abs(found - READS.quantiles(rows, 30, LEVELS)).max() > 0.1
    longer = [
        np.pad(known[0], ((0, 0), (0, 9)), constant_values=5.0),
        np.pad(known[1], ((0, 0), (0, 20)), constant_values=np.nan),
    ]
    np.testing.assert_array_equal(READS.quantiles(rows, 30, LEVELS, longer), found)
    np.testing.assert_array_equal(
        READS.quantiles(rows, 30, LEVELS, [np.empty((0, 230)), np.empty((0, 60))]), READS.quantiles(rows, 30, LEVELS)
    )


def test_written_and_read_again():
    source = PretrainedReads(12, 0)
    assert PretrainedReads.from_dict(source.to_dict()) == source
    with pytest.raises(ValueError, match="other pretrained weights"):
        PretrainedReads.from_dict({**source.to_dict(), "sha256": "1" * 64})
