"""Stacking, held-out windows and intervals."""

import numpy as np
import pytest

from tests.forecasting.experts.panels import seasonal
from titans_ts.forecasting.experts import Panel
from titans_ts.forecasting.experts.intervals import horizon_profile
from titans_ts.forecasting.experts.sanity import replace_wild
from titans_ts.forecasting.experts.weights import Shrinkage, mixture_weights, splits
from titans_ts.forecasting.experts.windows import held_out_cutoffs, horizon_groups, targets


def test_the_better_expert_gets_the_weight_and_few_windows_stay_near_equal():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(3, 5, 20, 6))
    errors[0] *= 0.05
    many = mixture_weights(errors, Shrinkage())
    few = mixture_weights(errors[:, :1, :1], Shrinkage(panel=50))
    assert (many[:, 0] > 0.9).all()
    assert few[:, 0].max() < 0.6


def test_a_series_of_its_own_kind_gets_its_own_weights():
    errors = np.random.default_rng(0).normal(size=(2, 6, 20, 6))
    errors[0, :5] *= 0.1
    errors[1, 5] *= 0.1
    weights = mixture_weights(errors, Shrinkage(series=1.0))
    assert (weights[:5, 0] > 0.8).all() and (weights[5, 1] > 0.6).all()


def test_unknown_targets_count_for_nothing():
    errors = np.random.default_rng(0).normal(size=(3, 4, 8, 6))
    errors[:, :, 5:, 3:] = np.nan
    assert np.isfinite(mixture_weights(errors, Shrinkage())).all()
    errors[:] = np.nan
    assert mixture_weights(errors, Shrinkage()) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("count", "independence"), [(0, 1.0), (1, 1.0), (3, 0.3), (4, 1.0), (16, 0.2), (16, 1.0)])
def test_windows_are_judged_by_others(count, independence):
    seen = np.zeros(count, dtype=int)
    parts = list(splits(count, independence))
    for part, others in parts:
        seen[part] += 1
        assert others.any() or count == 0
        assert len(parts) == 1 or not others[part].any()
    assert (seen == 1).all()


def test_cutoffs_lie_whole_seasons_apart_in_long_histories():
    panel = Panel.of(seasonal(2, 2000, 24), 24)
    cutoffs = held_out_cutoffs(panel, 48, 24, 16)
    assert len(cutoffs) == 16 and set(np.diff(cutoffs)) == {24} and cutoffs[-1] == 1976


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 9, 30])
def test_cutoffs_of_short_histories(steps):
    panel = Panel.of(seasonal(2, steps), 12)
    cutoffs = held_out_cutoffs(panel, 12, 12, 16)
    assert all(0 < c < steps for c in cutoffs) and bool(cutoffs) == (steps > 1)
    if cutoffs:
        assert np.isfinite(targets(panel, cutoffs, 12)[:, -1, 0]).all()


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 7, 48, 720])
def test_groups_cover_the_horizon(horizon):
    assert np.concatenate([np.arange(horizon)[g] for g in horizon_groups(horizon)]).tolist() == list(range(horizon))


def test_profile_grows_with_the_errors_and_beyond_what_was_seen():
    size = np.repeat(np.sqrt(np.arange(1.0, 13))[None, None], 20, axis=1)
    there = np.broadcast_to(np.arange(12) < 6, size.shape)
    profile = horizon_profile(np.where(there, size, 0.0), there)
    assert (np.diff(profile) > 0).all()
    assert profile[11] / profile[5] == pytest.approx(np.sqrt(2), rel=0.05)


def test_wild_drafts_are_replaced_by_the_median_of_the_rest():
    drafts = np.array([1.0, 2, 3, 1e6, np.nan]).reshape(5, 1, 1, 1)
    kept, wild = replace_wild(drafts, np.zeros((1, 1)), np.full((1, 1), 10.0))
    assert kept.ravel().tolist() == [1, 2, 3, 2, 2]
    assert wild.ravel().tolist() == [False, False, False, True, False]
