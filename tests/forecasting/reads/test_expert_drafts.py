"""Drafts of the experts: from the past alone, in slots that mean the same at every season, with gaps filled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts.forecasting.experts import ExpertMixture
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork, forecast
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts

CUTOFFS = [8 * back for back in range(6, -1, -1)]


def waves(length=100, season=12, seed=0):
    rng = np.random.default_rng(seed)
    steps = np.arange(length)
    return 20 + 0.1 * steps + 3 * np.sin(2 * np.pi * steps / season) + rng.normal(size=length)


def slot(found, name):
    return found[:, :, SLOTS.index(f"experts: {name}")]


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 5), st.sampled_from([1, 4, 12]), st.integers(0, 1000))
def test_the_future_changes_nothing_before_it(place, season, seed):
    series = waves(seed=seed)
    source = ExpertDrafts(season)
    whole = source([series], CUTOFFS, 48)
    changed = series.copy()
    changed[len(series) - CUTOFFS[place] :] *= np.random.default_rng(seed).uniform(0.5, 3, CUTOFFS[place])
    other = source([changed], CUTOFFS, 48)
    # Units of the panel are those of all values: the ridges of two experts see them.
    np.testing.assert_allclose(other[:, : place + 1], whole[:, : place + 1], rtol=2e-2)
    assert not np.allclose(other[:, place + 1 :], whole[:, place + 1 :], rtol=1e-2)


@pytest.mark.parametrize("season", [0, 1, 4, 12])
def test_slots_hold_the_experts_of_their_names(season):
    series = waves()
    found = ExpertDrafts(season)([series], [0], 48)
    assert found.shape == (1, 1, len(SLOTS), 48)
    mixture = ExpertMixture(max(season, 1)).forecast(series[None], 48)
    for name in ("damped trend", "log theta"):
        own = mixture.drafts[mixture.names.index(f"{name} {max(season, 1)}")]
        np.testing.assert_allclose(slot(found, name)[:, 0], own, rtol=1e-6)
    memory = max(20 * season, 120)
    phase = f"{season} {memory}" if season > 1 else f"{memory}"
    own = mixture.drafts[mixture.names.index(f"phases and autoregression {phase}")]
    np.testing.assert_allclose(slot(found, "phases and autoregression slow")[:, 0], own, rtol=1e-6)
    np.testing.assert_allclose(slot(found, "median of experts")[:, 0], np.median(mixture.drafts, 0), rtol=1e-6)


def test_where_an_expert_has_no_draft_the_slot_has_the_median():
    below = ExpertDrafts(12)([waves() - 30], CUTOFFS, 20)
    np.testing.assert_allclose(slot(below, "log theta"), slot(below, "median of experts"))
    alone = ExpertDrafts(1)([waves()], CUTOFFS, 20)
    np.testing.assert_allclose(slot(alone, "Holt-Winters"), slot(alone, "median of experts"))
    short = ExpertDrafts(12)([waves(20)], [0], 20)
    np.testing.assert_allclose(slot(short, "fold"), slot(short, "median of experts"))


def test_errors_so_far_choose_among_experts():
    series = np.tile(np.array([0.0, 5, 1, 9, -3, 2, 7]), 20)
    found = ExpertDrafts(7)([series], CUTOFFS, 14)
    actual = series[:14]
    weighed, median = (
        np.abs(slot(found, name)[0, -1] - actual).mean() for name in ("mean of experts by errors", "median of experts")
    )
    assert weighed < 0.5
    assert np.isfinite([weighed, median]).all()


def test_gaps_and_histories_of_different_lengths():
    """A history does not change with what it stands beside; missing values leave no hole; nothing seen is NaN."""
    series, gaps = waves(), waves(seed=1)
    gaps[30:50:3] = np.nan
    gaps[-1] = np.nan
    source = ExpertDrafts(4)
    both = source([series, gaps, waves(10)], CUTOFFS, 30)
    assert np.isfinite(both[:2]).all()
    assert np.isnan(both[2, 0]).all() and np.isfinite(both[2, -1]).all()
    np.testing.assert_allclose(both[0], source([series], CUTOFFS, 30)[0], rtol=1e-6)


def test_boundaries_before_the_first_step():
    found = ExpertDrafts(4)([waves(10)], [24, 16, 8, 0], 10)
    assert np.isnan(found[0, :2]).all() and np.isfinite(found[0, 2:]).all()


def test_a_network_reads_them():
    network = ReadingNetwork(ReadingConfig((*NAMES, *SLOTS), width=8, depth=1, step_width=8))
    rows = [waves(), waves(33), np.full(20, 3.0)]
    found = forecast(network, rows, 60, 12, given=ExpertDrafts(12))
    assert found.shape == (3, 60, 9) and np.isfinite(found).all()


def test_wrong_options():
    with pytest.raises(ValueError, match="season"):
        ExpertDrafts(-1)
    with pytest.raises(ValueError, match="context"):
        ExpertDrafts(7, context=0)
