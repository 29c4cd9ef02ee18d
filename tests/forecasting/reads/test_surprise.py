"""Surprise of reads: of each value from what came before alone, of any units; alarms at the wanted rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forecasting.reads.test_forecast import NETWORK, network
from titans_ts.forecasting.reads import forecast
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS
from titans_ts.forecasting.reads.streaming.surprise import (
    TOKEN,
    detect,
    forecast_scores,
    lasting,
    normal_places,
    running_alarms,
    surprises,
)


def wave(length=600, seed=0):
    rng = np.random.default_rng(seed)
    return 10 * np.sin(2 * np.pi * np.arange(length) / 12) + rng.normal(size=length)


@pytest.mark.parametrize("length", [0, 1, 16, 17, 40, 600, 1200])
def test_every_observed_value_after_the_first_steps_has_one(length):
    values = wave(length)
    values[50:60] = np.nan
    found = surprises(NETWORK, values, 12)
    assert found.shape == (length,) and np.isnan(found[:16]).all()
    np.testing.assert_array_equal(np.isfinite(found[16:]), np.isfinite(values[16:]))


@settings(max_examples=10, deadline=None)
@given(st.integers(20, 580), st.sampled_from([0, 12]))
def test_no_score_depends_on_what_follows(cut, season):
    values = wave()
    found = forecast_scores(NETWORK, values[:cut], season)
    values[cut:] = 1000
    np.testing.assert_allclose(forecast_scores(NETWORK, values, season)[:cut], found, rtol=1e-4, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-6, 1e9), st.floats(-100, -30))
def test_units_do_not_matter(scale, shift):
    values = wave(200) - 30
    found = surprises(NETWORK, values, 12)
    np.testing.assert_allclose(surprises(NETWORK, (values + shift) * scale, 12), found, rtol=1e-2, atol=1e-2)


def test_a_score_is_the_place_in_the_forecast():
    values = wave(512)
    before = 256
    scores = forecast_scores(NETWORK, values, 12)
    ahead = forecast(NETWORK, [values[:before]], 8, 12)[0]
    for step in range(8):
        inside = np.interp(values[before + step], ahead[step], np.arange(9), left=-1, right=9)
        expected = np.array([-np.inf, *np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0])])
        if 0 <= inside <= 4:
            low = int(np.floor(inside))
            assert expected[low + 1] - 0.02 <= scores[before + step] <= expected[min(low + 2, 5)] + 0.02
        else:
            assert scores[before + step] > -0.02 or inside == -1


def test_normal_places_are_those_of_a_normal_distribution():
    deciles = 3 + 2 * torch.special.ndtri(torch.arange(1, 10, dtype=torch.float64) / 10)
    values = torch.tensor([-4.0, 0.0, 3.0, 5.5, 30.0], dtype=torch.float64)
    torch.testing.assert_close(normal_places(deciles.repeat(5, 1), values), (values - 3) / 2)


def test_a_spike_and_a_flat_line_are_found():
    values = wave(6000)
    values[4000] += 20
    values[5000:5100] = 3.0
    scores = forecast_scores(NETWORK, values, 12)
    assert np.nanargmax(np.abs(scores[3900:4100])) == 100
    tokens = lasting(scores)
    assert 5000 - TOKEN <= TOKEN * int(np.nanargmax(tokens)) <= 5100 + 3 * TOKEN
    alarms = detect(NETWORK, values, 12, false_alarm_rate=0.02)
    assert alarms[4000] and alarms[5000:5100].any() and alarms[:3900].mean() < 0.04


def test_a_constant_has_no_alarms_and_its_end_is_one():
    values = np.full(400, 5.0)
    assert not detect(NETWORK, values, false_alarm_rate=0.05).any()
    values[350] = 6.0
    found = surprises(NETWORK, values)
    assert detect(NETWORK, values, false_alarm_rate=0.05)[350] and found[350] == found[16:].max()
    np.testing.assert_array_equal(found[16:350], 0)


def test_a_gap_of_any_length_changes_nothing_before_it_and_ends():
    values = wave(5000)
    values[100:4000] = np.nan
    found = surprises(NETWORK, values, 12)
    np.testing.assert_array_equal(np.isfinite(found[16:]), np.isfinite(values[16:]))
    np.testing.assert_allclose(found[:100], surprises(NETWORK, values[:100], 12), rtol=1e-4, atol=1e-4)
    assert np.median(found[4500:]) < 3


def test_exchangeable_scores_raise_alarms_at_the_rate():
    scores = np.random.default_rng(0).exponential(size=20_000)
    scores[::7] = np.nan
    alarms = running_alarms(scores, 0.05)
    assert 0.04 < alarms[1000:].mean() / (6 / 7) < 0.06 and not alarms[::7].any() and not alarms[:19].any()
    assert not running_alarms(np.full(5, np.nan), 0.5).any()


def test_a_network_with_the_experts():
    found = surprises(network((*NAMES, *SLOTS)), wave(160), 12)
    assert np.isfinite(found[16:]).all()


def test_wrong_arguments_are_refused():
    for history in (np.zeros((2, 30)), np.array([1.0, np.inf])):
        with pytest.raises(ValueError, match=r"\(steps,\), finite or NaN"):
            surprises(NETWORK, history)
    with pytest.raises(ValueError, match="false_alarm_rate"):
        detect(NETWORK, wave(30), false_alarm_rate=0)
    with pytest.raises(ValueError, match="season"):
        surprises(NETWORK, wave(30), -1)
