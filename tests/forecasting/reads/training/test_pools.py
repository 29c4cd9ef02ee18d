"""Pools: generated series of every kind, the same for a seed, and batches that are a function of their number."""

import numpy as np
import pytest
import torch

from titans_ts.forecasting.reads.expert_drafts import SLOTS
from titans_ts.forecasting.reads.training.batches import PoolBatches, PoolLoader, Visible
from titans_ts.forecasting.reads.training.business import business
from titans_ts.forecasting.reads.training.pools import POOLS, pool_file, write_pool

NAMES = ("short", "middle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pools")
    for name in NAMES:
        write_pool(folder, name, 0, seed=3, share=0.01)
    return folder


def test_pools_are_what_their_description_says(folder):
    for name in NAMES:
        pool = POOLS[name]
        with np.load(pool_file(folder, name, 0)) as file:
            values, drafts = file["values"], file["drafts"]
            assert values.shape[1] == pool.length + pool.ahead
            assert drafts.shape[2:] == (len(SLOTS), len(pool.kept))
            past = values[:, : pool.length]
            assert (np.isfinite(past).sum(1) >= 8).all()
            np.testing.assert_allclose(np.nanmean(past, 1), 0, atol=0.2)
            np.testing.assert_allclose(np.nanstd(past, 1), 1, atol=0.2)
            assert np.isfinite(drafts).all()


def test_a_pool_is_the_same_for_a_seed_and_an_existing_one_is_kept(folder, tmp_path):
    again = np.load(write_pool(tmp_path, "short", 0, seed=3, share=0.01))
    other = np.load(write_pool(tmp_path, "short", 1, seed=3, share=0.01))
    first = np.load(pool_file(folder, "short", 0))
    np.testing.assert_array_equal(first["values"], again["values"])
    np.testing.assert_array_equal(first["drafts"], again["drafts"])
    assert first["values"].shape != other["values"].shape or not np.allclose(first["values"], other["values"])
    written = pool_file(tmp_path, "short", 0).stat().st_mtime_ns
    write_pool(tmp_path, "short", 0, seed=4, share=0.01)
    assert pool_file(tmp_path, "short", 0).stat().st_mtime_ns == written


def test_steps_of_drafts_are_dense_near_and_reach_the_end():
    for pool in POOLS.values():
        assert (pool.kept[:48] == np.arange(1, 49)).all()
        assert pool.kept[-1] == max(48, pool.ahead)
        assert (np.diff(pool.kept) > 0).all()


@pytest.mark.parametrize(("season", "second"), [(1, 0), (12, 0), (24, 168)])
def test_business_series_repeat_their_seasons(season, second):
    rng = np.random.default_rng(0)
    count = 200
    values = business(rng, np.full(count, season), np.full(count, second), 6 * max(second, 24))
    assert np.isfinite(values).all()
    assert (values.std(1) > 0).all()
    lag = second or season

    def repeats(lag):
        moved = values - values.mean(1, keepdims=True)
        return np.median((moved[:, lag:] * moved[:, :-lag]).mean(1) / (moved**2).mean(1))

    if season > 1:
        assert repeats(lag) > repeats(lag // 2 + 1)


def test_a_batch_is_a_function_of_its_number(folder):
    first, second = (PoolBatches(folder, 1, 6, seed=0, names=NAMES) for _ in range(2))
    second[7]
    for one, two in zip(first[3], second[3], strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, two)
    assert torch.equal(first[3].inputs.features, second[3].inputs.features)
    assert not torch.equal(first[3].targets, first[4].targets)


def test_what_comes_after_a_boundary_is_no_input(folder):
    """Another future changes the targets of the last boundaries and none of the inputs."""
    pool = POOLS["short"]
    with np.load(pool_file(folder, "short", 0)) as file:
        values, zeros, drafts = (torch.tensor(file[name]).float() for name in ("values", "zeros", "drafts"))
        seasons, seconds = file["seasons"], file["seconds"]
    changed = values.clone()
    changed[:, pool.length :] += 3
    batches = []
    for own in (values, changed):
        draws = torch.Generator().manual_seed(0)
        visible = Visible.of(own, zeros, drafts, pool.length, flipped=False, draws=draws)
        batches.append(visible.batch(pool, seasons, seconds, draws))
    for one, two in zip(batches[0].inputs, batches[1].inputs, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(batches[0].targets, batches[1].targets)


def test_a_loader_goes_on_where_it_was(folder):
    batches = PoolBatches(folder, 1, 4, seed=0, names=NAMES)
    whole, cut = PoolLoader(batches, 3), PoolLoader(batches, 3)
    expected = [batch.targets for _ in range(2) for batch in whole]
    assert len(expected) == 6
    found = []
    for batch in cut:
        found.append(batch.targets)
        if len(found) == 2:
            break
    resumed = PoolLoader(batches, 3)
    resumed.load_state_dict(cut.state_dict())
    found += [batch.targets for batch in resumed] + [batch.targets for batch in resumed]
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))
    repeated = PoolLoader(batches, 2, repeats=True)
    first, second = ([batch.targets for batch in repeated] for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def test_processes_take_turns(folder):
    batches = PoolBatches(folder, 1, 4, seed=0, names=NAMES)
    alone = [batch.targets for batch in PoolLoader(batches, 4)]
    shared = [[batch.targets for batch in PoolLoader(batches, 2, rank, 2)] for rank in range(2)]
    assert all(torch.equal(alone[2 * at + rank], shared[rank][at]) for rank in range(2) for at in range(2))
    with pytest.raises(ValueError, match="begun with 2 processes and has 1 now"):
        PoolLoader(batches, 4).load_state_dict(PoolLoader(batches, 4, 0, 2).state_dict())


def test_missing_pools_are_named(folder):
    with pytest.raises(FileNotFoundError, match="short-001"):
        PoolBatches(folder, 2, 4, seed=0, names=NAMES)
