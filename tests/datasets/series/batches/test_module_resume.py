"""Loaders that go on where they stopped, and that several processes share."""

from __future__ import annotations

import pytest
import torch

from titans_datasets.series import SyntheticSpec, WindowSpec, WindowStore, synthetic_frame, to_records
from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, WindowLoader

STORE = WindowStore(
    to_records(synthetic_frame(SyntheticSpec(length=40, missing=0.1, gaps=0.1))).records, WindowSpec(12, 6)
)
WINDOWS = STORE.windows()


def epochs(numbers: BatchNumbers, count: int) -> list[list[int]]:
    """All batches of so many iterations, one after the other."""
    return [batch.tolist() for _ in range(count) for batch in numbers]


@pytest.mark.parametrize("steps", [None, 4])
def test_batches_go_on_from_any_place(steps: int | None) -> None:
    whole = epochs(BatchNumbers(33, 10, steps, seed=5), 3)
    assert len({tuple(batch) for batch in whole}) == 12
    for stop in range(12):
        first = BatchNumbers(33, 10, steps, seed=5)
        seen = []
        while len(seen) < stop:
            for batch in first:
                seen.append(batch.tolist())
                if len(seen) == stop:
                    break
        second = BatchNumbers(33, 10, steps, seed=5)
        second.load_state_dict(first.state_dict())
        # Iterators that nobody reads, as Lightning makes them, move nothing.
        iter(second)
        iter(second)
        assert seen + epochs(second, 3)[: 12 - stop] == whole


def test_an_epoch_cut_short_is_not_taken_up_again() -> None:
    """As with limit_train_batches: the next iteration is the next epoch, also when it is announced."""
    whole = epochs(BatchNumbers(33, 10, seed=5), 2)
    numbers = BatchNumbers(33, 10, seed=5)
    assert next(iter(numbers)).tolist() == whole[0]
    assert next(iter(numbers)).tolist() == whole[4]
    restored = BatchNumbers(33, 10, seed=5)
    restored.load_state_dict({**numbers.state_dict(), "epoch": 0})
    restored.set_epoch(1)
    assert next(iter(restored)).tolist() == whole[4]


def test_other_batches_are_refused_within_an_epoch_only() -> None:
    numbers = BatchNumbers(33, 10, seed=5)
    iterator = iter(numbers)
    next(iterator)
    with pytest.raises(ValueError, match=r"within epoch 0 .* batch_size was 10, is 8, seed was 5, is 6"):
        BatchNumbers(33, 8, seed=6).load_state_dict(numbers.state_dict())
    list(iterator)
    other = BatchNumbers(33, 8, seed=6)
    other.load_state_dict(numbers.state_dict())
    assert next(iter(other)).tolist() == epochs(BatchNumbers(33, 8, seed=6), 2)[5]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch(world: int) -> None:
    """Together they have every window of the batch once; whoever has none weighs nothing."""
    windows = WINDOWS.take(slice(0, 31))

    def loader(rank: int, world: int) -> list[dict[str, torch.Tensor]]:
        return list(WindowLoader(WindowBatches(STORE, windows), BatchNumbers(31, 10, seed=1), rank, world))

    whole, parts = loader(0, 1), [loader(rank, world) for rank in range(world)]
    assert len(whole[-1]["item_index"]) == 1 and all(len(part) == len(whole) for part in parts)
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        weighing = [share for share in shares if share["future_observed_values"].any()]
        taken = torch.cat([share["window_index"] for share in weighing])
        assert taken.sort().values.equal(batch["window_index"].sort().values)
        total = sum(share["future_observed_values"].sum() for share in shares)
        assert total == batch["future_observed_values"].sum()
