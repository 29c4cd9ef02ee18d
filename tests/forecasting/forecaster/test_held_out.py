"""Held-out windows by which a network is weighed: which of many are kept."""

from __future__ import annotations

import torch

from titans_datasets.series import Windows
from titans_ts.forecasting.forecaster.held_out import thinned


def windows_of(items: torch.Tensor, position: int = 50) -> Windows:
    return Windows(items, torch.full((len(items),), position))


def test_thinned_windows_are_of_all_parts_of_the_panel() -> None:
    lengths = torch.full((2000,), 60)
    kept = thinned(windows_of(torch.arange(2000)), lengths, 800)
    assert 400 <= len(kept) <= 800 and int(kept.items.max()) > 1900


def test_windows_of_every_other_series_alone_are_kept_too() -> None:
    # Series too short for a window stand between the others.
    lengths = torch.where(torch.arange(1800) % 2 == 1, 60, 3)
    kept = thinned(windows_of(torch.arange(1, 1800, 2)), lengths, 800)
    assert 400 <= len(kept) <= 800 and bool((kept.items % 2 == 1).all())


def test_few_windows_are_all_kept() -> None:
    assert len(thinned(windows_of(torch.arange(9)), torch.full((9,), 60), 800)) == 9
