"""Drafts and their running errors: causal, equivariant, right on series that they fit, open to more."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forecasting.reads.batches import batch
from titans_ts.forecasting.reads import Series
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import NAMES, drafts
from titans_ts.forecasting.reads.features import boundary_inputs, feature_count
from titans_ts.forecasting.reads.held_out import held_out
from titans_ts.forecasting.reads.series import BLOCK

STEPS = torch.tensor([1, 2, 7, 12, 13, 48, 49, 100])


def series_of(values, period=0.0, zero=None):
    values = torch.as_tensor(values, dtype=torch.float64)[None]
    periods = torch.tensor([[period, 0.0]])
    return Series.of(values, torch.ones_like(values), periods, zero)


def draft(series, name, steps=STEPS):
    return drafts(Boundaries.of(series, 1), steps)[0, 0, NAMES.index(name)]


@settings(max_examples=10, deadline=None)
@given(st.integers(8, 15), st.integers(0, 1000))
def test_the_future_changes_nothing_before_it(place, seed):
    """Drafts and errors at a boundary are those of the series cut there."""
    series = batch(length=160, seed=seed)
    whole = Boundaries.of(series, 16)
    end = int(whole.end[0, place])
    changed = series.values.clone()
    changed[:, end:] = 100 * torch.randn(changed[:, end:].shape, generator=torch.Generator().manual_seed(seed)).double()
    seen = series.observed.clone()
    seen[:, end:] = 1.0
    other = Boundaries.of(Series.of(changed, seen, series.periods, series.zero), 16)
    for one, two in ((whole, other),):
        torch.testing.assert_close(drafts(one, STEPS)[:, place], drafts(two, STEPS)[:, place])
        a, b = held_out(one), held_out(two)
        torch.testing.assert_close(a.errors[:, place], b.errors[:, place])
        torch.testing.assert_close(a.known[:, place], b.known[:, place])
    places = torch.full((4, 1), place)
    torch.testing.assert_close(
        boundary_inputs(whole, places, STEPS).features, boundary_inputs(other, places, STEPS).features
    )


def test_a_boundary_reads_what_a_series_cut_there_gives():
    series = batch(length=160)
    cut = Series.of(series.values[:, :120], series.observed[:, :120], series.periods, series.zero)
    place = torch.full((4, 1), 10)
    long = boundary_inputs(Boundaries.of(series, 16), place, STEPS)
    short = boundary_inputs(Boundaries.of(cut, 11), place, STEPS)
    for one, other in zip(long, short, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_steps_in_front_of_a_series_change_nothing():
    series = batch(length=160)
    pad = torch.zeros(4, 240, dtype=torch.float64)
    longer = Series.of(
        torch.cat([pad, series.values], 1), torch.cat([pad, series.observed], 1), series.periods, series.zero
    )
    one, other = (Boundaries.of(x, 12) for x in (series, longer))
    torch.testing.assert_close(drafts(one, STEPS), drafts(other, STEPS), rtol=1e-6, atol=1e-6)


def test_the_sign_of_a_series_is_that_of_its_drafts():
    series = batch()
    plain = replace(series, zero=torch.full_like(series.zero, torch.nan))
    turned = replace(plain, values=-plain.values, filled=-plain.filled)
    one, other = (drafts(Boundaries.of(x, 4), STEPS) for x in (plain, turned))
    torch.testing.assert_close(one, -other)


def test_a_line_goes_on_as_drift_and_growth_as_growth():
    line = draft(series_of(torch.arange(80) * 0.02), "drift")
    torch.testing.assert_close(line, 0.02 * (79 + STEPS.double()))
    grown = series_of(0.1 * 1.02 ** torch.arange(80.0), zero=torch.zeros(1, dtype=torch.float64))
    expected = 0.1 * 1.02 ** (79 + STEPS.double())
    torch.testing.assert_close(draft(grown, "growth"), expected, rtol=1e-3, atol=1e-3)


def test_seasons_repeat_and_a_growing_fold_multiplies():
    season = torch.tensor([1.0, 2.0, 4.0, 3.0])
    flat = series_of(season.repeat(12), 4.0, zero=torch.zeros(1, dtype=torch.float64))
    expected = season[(STEPS - 1) % 4].double()
    for name in ("season", "season before", "fold last", "fold flat", "fold multiplied", "fold growing"):
        torch.testing.assert_close(draft(flat, name), expected, rtol=2e-3, atol=2e-3, msg=name)
    years = 1.1 ** torch.arange(12).repeat_interleave(4)
    growing = series_of(season.repeat(12) * years, 4.0, zero=torch.zeros(1, dtype=torch.float64))
    ratio = draft(growing, "fold growing", torch.arange(1, 5)) / growing.values[0, -4:]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1.1), rtol=0.04, atol=0)


def test_drafts_from_elsewhere_come_last_and_have_errors():
    series = batch()
    given = torch.randn(4, 10, 2, 100, dtype=torch.float64)
    at = Boundaries.of(series, 10, given)
    found = drafts(at, STEPS)
    assert found.shape[2] == len(NAMES) + 2
    torch.testing.assert_close(found[:, :, -2:], given[..., STEPS - 1])
    inputs = boundary_inputs(at, torch.tensor([[9]] * 4), STEPS)
    assert inputs.errors.shape[2] == len(NAMES) + 2
    assert inputs.features.shape[-1] == feature_count(len(NAMES) + 2)
    with pytest.raises(ValueError, match="101"):
        drafts(at, torch.tensor([101]))


def test_running_errors_are_means_over_past_boundaries():
    series = batch(length=400)
    at = Boundaries.of(series, 31)
    tested = held_out(at)
    last = tested.errors[:, -1, 0]
    for row in range(4):
        total = count = 0.0
        for back in (1, 2, 3):
            end = 400 - BLOCK * back
            actual, seen = series.values[row, end : end + 8], series.observed[row, end : end + 8]
            total += float(((actual - series.filled[row, end - 1]).abs() * seen).sum())
            count += float(seen.sum())
        assert float(last[row, 0]) == pytest.approx(total / count, rel=1e-3)
    assert (tested.known <= 1).all()


def test_covariates_known_ahead_are_read():
    rng = torch.Generator().manual_seed(0)
    known = torch.randn(1, 2, 248, generator=rng, dtype=torch.float64)
    values = 2 * known[:, 0, :200] + 0.05 * torch.randn(1, 200, generator=rng, dtype=torch.float64)
    periods = torch.zeros(1, 2)
    at = Boundaries.of(Series.of(values, torch.ones_like(values), periods, covariates=known), 1)
    name = NAMES.index("phases all")
    found = drafts(at, torch.arange(1, 49))[0, 0, name]
    torch.testing.assert_close(found, 2 * known[0, 0, 200:], atol=0.15, rtol=0.1)


def test_series_of_odd_length_or_with_short_covariates_are_refused():
    values = torch.zeros(1, 12)
    with pytest.raises(ValueError, match="multiple of 8"):
        Series.of(values, values, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="covariates"):
        Series.of(torch.zeros(1, 16), torch.ones(1, 16), torch.zeros(1, 2), covariates=torch.zeros(1, 1, 8))
