"""The memories' states: the same for any split, of constant size, what is read at boundaries, and ridge regressions."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forecasting.reads.batches import batch, waves
from titans_ts.forecasting.reads.memories import lag_memory, phase_memory
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
from titans_ts.forecasting.reads.series import BLOCK


def assert_same(one, other):
    for field in fields(one):
        a, b = (torch.as_tensor(getattr(state, field.name)) for state in (one, other))
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def pieces(length, cuts):
    edges = [0, *sorted(cuts), length]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def keys(covariates=0, length=160):
    series = batch()
    known = torch.randn(4, covariates, length, dtype=torch.float64) if covariates else None
    return PhaseKeys(series.periods, known)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 160), max_size=6), st.integers(0, 2))
def test_phase_state_is_the_same_for_any_split(cuts, covariates):
    values, observed = waves()
    key = keys(covariates)
    state = phase_memory.empty(key)
    for piece in pieces(160, cuts):
        state = phase_memory.update(key, state, values[:, piece], observed[:, piece])
    assert_same(state, phase_memory.update(key, phase_memory.empty(key), values, observed))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_lag_state_is_the_same_for_any_split(cuts):
    values, observed = waves(length=400)
    state = lag_memory.empty(4, torch.float64)
    for piece in pieces(400, cuts):
        state = lag_memory.update(state, values[:, piece], observed[:, piece])
    whole = lag_memory.update(lag_memory.empty(4, torch.float64), values, observed)
    assert_same(state, whole)
    torch.testing.assert_close(lag_memory.read(state), lag_memory.read(whole), rtol=1e-9, atol=1e-9)


def test_reads_at_boundaries_are_those_of_the_states():
    values, observed = waves(length=320)
    key = keys(1, 320)
    grams, crosses = phase_memory.states_at(key, values, observed, 12)
    ahead = lag_memory.reads_at(values, observed, 12)
    for place in range(12):
        end = 320 - BLOCK * (11 - place)
        part = values[:, :end], observed[:, :end]
        state = phase_memory.update(key, phase_memory.empty(key), *part)
        torch.testing.assert_close(grams[:, place], state.gram, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(crosses[:, place], state.cross, rtol=1e-9, atol=1e-9)
        lags = lag_memory.read(lag_memory.update(lag_memory.empty(4, torch.float64), *part))
        torch.testing.assert_close(ahead[:, place], lags, rtol=1e-9, atol=1e-9)


def test_states_do_not_grow():
    values, observed = waves(length=400)
    key = keys()
    short = phase_memory.update(key, phase_memory.empty(key), values[:, :8], observed[:, :8])
    long = phase_memory.update(key, phase_memory.empty(key), values, observed)
    assert short.gram.shape == long.gram.shape and short.cross.shape == long.cross.shape
    lags = [lag_memory.update(lag_memory.empty(4, torch.float64), values[:, :n], observed[:, :n]) for n in (8, 400)]
    assert all(getattr(lags[0], f.name).shape == getattr(lags[1], f.name).shape for f in fields(lags[0]))


def test_a_phase_memory_is_the_weighted_ridge_regression():
    values, observed = waves()
    key = keys()
    state = phase_memory.update(key, phase_memory.empty(key), values, observed)
    memory = phase_memory.solved(key, state.gram, state.cross)[0, 0].numpy()
    k = key.at(torch.arange(160).expand(4, -1))[0].numpy()
    weight = (phase_memory.forgetting(key.periods)[0, 0] ** torch.arange(159, -1, -1)).numpy() * observed[0].numpy()
    ridge = np.diag([phase_memory.CONSTANT, *[1.0] * (key.size - 1)]) * phase_memory.RIDGE[0]
    expected = np.linalg.solve(k.T @ (k * weight[:, None]) + ridge, k.T @ (values[0].numpy() * weight))
    np.testing.assert_allclose(memory, expected, rtol=1e-8, atol=1e-10)


def test_memories_of_the_first_period_alone_have_nothing_of_the_second():
    values, observed = waves()
    key = keys()
    state = phase_memory.update(key, phase_memory.empty(key), values, observed)
    memories = phase_memory.solved(key, state.gram, state.cross)
    second = sorted(set(range(key.size)) - set(key.alone.tolist()))
    assert (memories[:, 4:, second] == 0).all() and (memories[0, :4][:, second] != 0).any()


def test_aliased_harmonics_are_off():
    key = PhaseKeys(torch.tensor([[5.0, 0.0]])).at(torch.arange(20)[None])
    on = (key[0] != 0).any(0)
    assert on[0] and on[1:3].all() and not on[3:7].any() and not on[7:13].any() and on[13:15].all()
    assert not on[15:].any()


def test_phases_after_long_histories_keep_their_digits():
    keys = PhaseKeys(torch.tensor([[7.0, 365.25]]))
    torch.testing.assert_close(keys.at(torch.tensor([[3]])), keys.at(torch.tensor([[3 + 7 * 1461 * 4]])))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_wave_goes_on(missing):
    steps = torch.arange(400, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * steps / 12)[None]
    observed = (torch.rand(1, 400, generator=torch.Generator().manual_seed(0)) >= missing).double()
    ahead = lag_memory.read(lag_memory.update(lag_memory.empty(1, torch.float64), wave * observed, observed))
    if not missing:
        future = torch.sin(2 * torch.pi * (400 + torch.arange(48).double()) / 12)
        torch.testing.assert_close(ahead[0, 0], future, atol=0.05, rtol=0)
    assert ahead.abs().max() < 1.5
