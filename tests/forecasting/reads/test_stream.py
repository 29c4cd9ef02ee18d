"""Streams of reads: what a reading of the whole history says, however observations come; constant size; snapshots."""

import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forecasting.reads.test_forecast import NETWORK, network
from titans_ts.forecasting.reads import ForecastOptions, Series, forecast
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.features import boundary_inputs
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.memories.carried import Carried
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
from titans_ts.forecasting.reads.streaming.stream import ReadingStream

EVERYTHING = ForecastOptions(contexts=(10**6,))
LONG = 3500


def series(length=LONG, seed=0, missing=0.05):
    rng = np.random.default_rng(seed)
    steps = np.arange(length)
    values = 500 + 20 * np.sin(2 * np.pi * steps / 12) + 5 * np.cos(2 * np.pi * steps / 60) + 0.01 * steps
    values += rng.normal(size=length).cumsum()
    values[rng.random(length) < missing] = np.nan
    return values


def streamed(values, season=12.0, second=60.0, cuts=(), **options):
    values = np.atleast_2d(values)
    stream = ReadingStream(options.pop("network", NETWORK), len(values), season, second, **options)
    for block in np.split(values, sorted(cuts), axis=1):
        stream.observe(block)
    return stream


def read_whole(values, stream):
    """Features, drafts and memories of the last boundary from all steps at once, in float64."""
    totals = stream.history.totals()
    units = totals.units
    scaled = units.of(values[:, len(values[0]) % 8 :])
    observed = np.isfinite(scaled)
    zero = torch.from_numpy(np.where(totals.low >= 0, -units.location / units.scale, np.nan))
    periods = torch.from_numpy(stream.history.periods_of(units))
    whole = Series.of(torch.from_numpy(np.where(observed, scaled, 0.0)), torch.from_numpy(observed), periods, zero)
    return Boundaries.of(whole, NEEDED)


def read_streamed(stream, zero):
    part, carried = stream.history.read(slice(None), stream.history.totals().units)
    part = Series(**{**vars(part), "zero": zero})
    return Boundaries.of(part, NEEDED, None, carried)


@pytest.mark.parametrize("length", [2817, 3333, 6007])
def test_boundaries_are_those_of_the_whole_history(length):
    # The first step is observed and a whole number of blocks before the end, so that both read the same steps.
    values = np.stack([series(length, 0), series(length, 1) - 600, np.square(series(length, 2))])
    values[:, : length % 8 + 1] = values[:, length % 8 + 1 :][:, :1]
    values[:, : length % 8] = np.nan
    values[1, : length // 2] = np.nan
    values[2, :-100] = np.nan
    stream = streamed(values)
    one = read_whole(values, stream)
    other = read_streamed(stream, one.series.zero)
    last, steps = torch.full((3, 1), NEEDED - 1), torch.arange(1, 60)
    for name in ("fitted", "levels", "slope", "drift", "last", "gain", "lagged"):
        torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=1e-9, atol=1e-9)
    for expected, found in zip(boundary_inputs(one, last, steps), boundary_inputs(other, last, steps), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 17, 100, 700, 2815, 2816, LONG])
@pytest.mark.parametrize("season", [0, 12])
def test_a_forecast_is_that_of_the_whole_history(length, season):
    values = series(seed=3)[:length]
    values[0] = 500.0
    stream = ReadingStream(NETWORK, season=season)
    stream.observe(values)
    found = stream.forecast(30)
    assert found.shape == (1, 30, 9) and np.isfinite(found).all()
    # Later, periods are those fixed.
    if length == stream.history.kept:
        expected = forecast(NETWORK, [values], 30, season, options=EVERYTHING)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * (np.nanstd(values) + 1e-9))


def test_a_network_with_the_experts_gets_their_drafts():
    known = network((*NAMES, *SLOTS))
    values = series(2900, 5)
    found = streamed(values, network=known).forecast(50)
    options = ForecastOptions(second=60, contexts=(10**6,))
    expected = forecast(known, [values], 50, 12, given=ExpertDrafts(12, 60), options=options)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.nanstd(values))
    values[-2600:] = np.nan
    assert np.isfinite(streamed(np.stack([values, series(2900)]), 0, 0, network=known).forecast(5)).all()


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, LONG), max_size=6))
def test_results_are_the_same_to_the_bit_for_any_split(cuts):
    values = np.stack([series(), series(seed=1)])
    np.testing.assert_array_equal(streamed(values, cuts=cuts).forecast(9), streamed(values).forecast(9))


@pytest.mark.parametrize("length", [300, LONG])
@settings(max_examples=5, deadline=None)
@given(st.floats(1e-6, 1e9), st.floats(-1e6, 100))
def test_a_change_of_units_changes_the_forecast_alike(length, scale, shift):
    values = series(length) - 500
    # Below 0 in both units: neither has quantiles cut at 0.
    values[20] = -200.0
    one, other = streamed(values).forecast(20), streamed((values + shift) * scale).forecast(20)
    np.testing.assert_allclose(other, (one + shift) * scale, rtol=0, atol=2e-3 * scale * np.nanstd(values))


def test_the_flipped_forecast_of_a_negative_history_is_the_negative():
    values = series() - 500
    one, other = streamed(values, flip=True).forecast(20), streamed(-values, flip=True).forecast(20)
    np.testing.assert_allclose(other[..., ::-1], -one, rtol=0, atol=1e-4 * np.nanstd(values))
    options = ForecastOptions(second=60, contexts=(10**6,), flip=True)
    expected = forecast(NETWORK, [values], 20, 12, options=options)
    np.testing.assert_allclose(one, expected, rtol=0, atol=1e-4 * np.nanstd(values))


def test_series_do_not_affect_each_other():
    values = np.stack([series(seed=seed) for seed in range(3)])
    values[1, :3000] = np.nan
    together = streamed(values).forecast(12)
    for row, found in zip(values, together, strict=True):
        np.testing.assert_allclose(streamed(row).forecast(12)[0], found, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("level", [0.0, 7.0, -1e9])
def test_what_does_not_vary_goes_on(level):
    np.testing.assert_array_equal(streamed(np.full(LONG, level)).forecast(5), level)
    np.testing.assert_array_equal(streamed([level]).forecast(5), level)


def test_a_level_far_from_zero_and_a_shift_of_it_keep_their_digits():
    values = series(6000)
    values[4000:] += 1e7
    found = streamed(values).forecast(12)
    assert np.isfinite(found).all()
    expected = forecast(NETWORK, [values], 12, 12, options=ForecastOptions(second=60, contexts=(10**6,)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.nanstd(values))


def test_quantiles_of_what_is_never_negative_are_not():
    counts = np.random.default_rng(0).poisson(0.2, LONG).astype(float)
    found = streamed(counts).forecast(20)
    assert (found >= 0).all() and (np.diff(found, axis=2) >= 0).all()


def test_the_state_does_not_grow():
    stream = streamed(series())
    before = stream.state_bytes
    stream.observe(series(5000, 1))
    assert stream.state_bytes == before < 100_000 and stream.steps == LONG + 5000


def test_computed_periods_are_fixed_when_steps_leave():
    values = series(2816, missing=0)
    stream = streamed(values, 0, 0)
    assert stream.history.periods is None
    stream.observe(np.random.default_rng(0).normal(size=4000))
    assert stream.history.periods[0, 0] == 12
    long = np.sin(2 * np.pi * np.arange(9000) / 1000) + 0.01 * np.random.default_rng(0).normal(size=9000)
    stream = streamed(long, 0, 0)
    assert stream.history.periods[0, 0] == pytest.approx(1000, abs=10) and stream.history.capacity > 4000
    assert np.abs(stream.forecast(500)[0, :, 4] - long[8000:8500]).mean() < 1


def test_steps_left_out_are_missing():
    values = series()
    one, other = ReadingStream(NETWORK, season=12), ReadingStream(NETWORK, season=12)
    one.observe(values[:100])
    one.observe(values[130:], at=130)
    values[100:130] = np.nan
    other.observe(values)
    np.testing.assert_array_equal(one.forecast(4), other.forecast(4))


@pytest.mark.parametrize("length", [0, 3, 500, LONG])
@pytest.mark.parametrize("season", [0, 12])
def test_a_restored_stream_goes_on_with_the_same_numbers(tmp_path, length, season):
    values = np.stack([series(), series(seed=1)])
    stream = streamed(values[:, :length], season, 0, flip=True)
    restored = ReadingStream.restore(NETWORK, stream.snapshot(tmp_path / "stream.safetensors"))
    assert [file.name for file in tmp_path.iterdir()] == ["stream.safetensors"]
    for one in (stream, restored):
        one.observe(values[:, :1500])
    assert restored.steps == stream.steps and restored.flip
    np.testing.assert_array_equal(restored.forecast(7), stream.forecast(7))


def test_snapshots_that_do_not_fit_are_refused(tmp_path):
    path = streamed(series()).snapshot(tmp_path / "stream.safetensors")
    with pytest.raises(ValueError, match="other sizes or drafts"):
        ReadingStream.restore(network((*NAMES, *SLOTS)), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        ReadingStream.restore(NETWORK, path)
    NETWORK.save(path)
    with pytest.raises(ValueError, match="holds no stream of version 1"):
        ReadingStream.restore(NETWORK, path)
    with pytest.raises(FileNotFoundError):
        ReadingStream.restore(NETWORK, tmp_path / "none")


def test_wrong_arguments_are_refused_and_change_nothing():
    stream = streamed(np.stack([series(50), series(50)]))
    before = stream.forecast(3)
    for values, message in (
        (np.zeros(3), r"\(series, steps\) = \(2, T\)"),
        (np.zeros((3, 2)), r"\(2, T\)"),
        (np.full((2, 1), np.inf), "infinite"),
        (np.full((2, 1), 1e200), "infinite or beyond"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.observe(values)
    with pytest.raises(ValueError, match="step 49 has passed, the next one is 50"):
        stream.observe(np.zeros((2, 1)), at=49)
    np.testing.assert_array_equal(stream.forecast(3), before)
    with pytest.raises(ValueError, match="horizon"):
        stream.forecast(0)
    with pytest.raises(ValueError, match="levels"):
        stream.forecast(1, levels=())
    for arguments, message in (((0,), "series"), ((1, -1.0), "season"), ((1, 12.0, 12.0), "second")):
        with pytest.raises(ValueError, match=message):
            ReadingStream(NETWORK, *arguments)
    with pytest.raises(ValueError, match="reads"):
        ReadingStream(network((*NAMES, "strange")))


def test_nothing_observed_is_no_forecast():
    stream = ReadingStream(NETWORK, 2)
    with pytest.raises(ValueError, match=r"\[0, 1\] have no observed value"):
        stream.forecast(3)
    stream.observe([[1.0], [np.nan]])
    with pytest.raises(ValueError, match=r"\[1\] have no observed value"):
        stream.forecast(3)


def test_threads_may_share_a_stream():
    stream, errors = ReadingStream(NETWORK, season=12), []

    def work():
        try:
            for value in series(400, missing=0):
                stream.observe(value)
                if value % 1 < 0.02:
                    stream.forecast(2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and stream.steps == 1600


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=5), st.floats(0.01, 100), st.floats(-5, 5), st.integers(0, 300))
def test_carried_states_move_with_the_units(cuts, factor, shift, begin):
    keys = PhaseKeys(torch.tensor([[12.0, 60.0], [7.0, 0.0]], dtype=torch.float64))
    values = torch.randn(2, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(1)
    observed = (torch.rand(2, 300, generator=torch.Generator().manual_seed(1)) > 0.1).double()
    observed[0, :begin] = 0
    a, b = (torch.full((2,), x, dtype=torch.float64) for x in (factor, shift))
    state = Carried.empty(keys)
    edges = [0, *sorted(cuts), 300]
    for first, last in pairwise(edges):
        state = state.update(keys, (values * observed)[:, first:last], observed[:, first:last])
    found = state.moved(a, b)
    expected = Carried.empty(keys).update(keys, (values * factor + shift) * observed, observed)
    begun = found.trend.age > 0
    for name in ("phases", "lags", "trend"):
        for key, value in vars(getattr(found, name)).items():
            if isinstance(value, torch.Tensor):
                other = getattr(getattr(expected, name), key)
                torch.testing.assert_close(value[begun], other[begun], rtol=1e-9, atol=1e-7)
