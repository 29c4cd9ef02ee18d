"""Rows of the linear part: kept or worked out again, they are the same, and a fit by them too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.forecasting.networks import network_for, series, store_of
from titans_ts.forecasting.linear import linear_part
from titans_ts.forecasting.linear.window_rows import KeptRows, WindowRows
from titans_ts.forecasting.model.window import LabelledWindow


class Counted:
    """The windows of a small store in batches of 30, and how often they were gone through."""

    def __init__(self) -> None:
        self.store = store_of(series())
        self.network = network_for(self.store)
        self.passes = 0

    def batches(self) -> Iterator[dict[str, torch.Tensor]]:
        self.passes += 1
        windows = self.store.windows()
        for first in range(0, len(windows), 30):
            yield self.store.batch(windows.take(slice(first, first + 30)))

    def __call__(self) -> Iterator[LabelledWindow]:
        return self.network.window.labelled(self.batches)


@pytest.mark.parametrize(("budget", "passes"), [(1 << 30, 1), (10_000, 3), (0, 3)])
def test_rows_within_the_budget_are_worked_out_once(budget: int, passes: int) -> None:
    windows = Counted()
    rows = KeptRows(windows, windows.network.linear.features, budget)
    found = [WindowRows.cat(list(rows)) for _ in range(3)]
    assert windows.passes == passes
    for name, first, later in zip(WindowRows._fields, found[0], found[2], strict=True):
        torch.testing.assert_close(later, first, rtol=0, atol=0, msg=name)


def test_a_pass_that_was_given_up_is_not_taken_for_the_whole() -> None:
    windows = Counted()
    rows = KeptRows(windows, windows.network.linear.features)
    next(iter(rows))
    assert len(WindowRows.cat(list(rows)).x) == len(windows.store.windows())


def test_rows_do_not_hold_the_windows_they_come_from() -> None:
    """A view would keep the batch that it is a part of."""
    windows = Counted()
    for part in KeptRows(windows, windows.network.linear.features):
        assert all(tensor.untyped_storage().nbytes() < 1.5 * tensor.nbytes for tensor in part)


@pytest.mark.parametrize("few", [10, 100_000])
def test_a_fit_is_the_same_without_keeping(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_part, "FEW_WINDOWS", few)
    found = []
    for budget in (1 << 30, 0):
        monkeypatch.setattr(linear_part, "KEPT", budget)
        windows = Counted()
        residuals, _ = windows.network.linear.fit([windows], windows)
        found.append((residuals, windows.network.linear.ridge.weight, windows.network.linear.reach))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0, equal_nan=True)
