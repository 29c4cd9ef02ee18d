"""The memory of steps: errors made before a step is seen, the same for any split and any unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from titans_ts.forecasting.streaming.lms_filter import StepMemory

CONTEXT = 60
STEPS = 900


def series(columns: int = 2) -> Tensor:
    """Daily waves with correlated noise (C, CONTEXT + STEPS), some missing."""
    random = np.random.default_rng(0)
    steps = CONTEXT + STEPS
    noise = np.zeros((columns, steps))
    for step in range(1, steps):
        noise[:, step] = 0.9 * noise[:, step - 1] + 0.2 * random.normal(size=columns)
    values = np.sin(2 * np.pi * np.arange(steps) / 24) + noise
    values[:, 300:305], values[0, 500] = np.nan, np.nan
    return torch.from_numpy(values)


def read(
    values: Tensor, memory: StepMemory, cuts: tuple[int, ...] = (), scale: float = 1.0, loc: float = 0.0
) -> Tensor:
    """Errors (C, 2, STEPS), read in pieces."""
    state, found = memory.initial_state(len(values), values.device), []
    for first, last in zip((0, *cuts), (*cuts, STEPS), strict=True):
        units = [torch.full((len(values), last - first), x).double() for x in (loc, scale)]
        errors, state = memory.read(state, values[:, first : CONTEXT + last], *units, first)
        found.append(errors)
    return torch.cat(found, dim=-1)


def test_errors_become_smaller_than_those_of_no_change() -> None:
    values = series()
    errors = read(values, StepMemory(24, CONTEXT))
    change = values.diff(dim=1)[:, CONTEXT - 1 :]
    late = slice(STEPS // 2, None)
    assert (errors[:, 0, late].square().nanmean(1) < 0.8 * change[:, late].square().nanmean(1)).all()
    wave = values[:, CONTEXT:]
    assert (errors[:, 1, late].square().nanmean(1) < 0.8 * wave[:, late].square().nanmean(1)).all()
    missing = change.isnan()
    assert torch.equal(errors[:, 0].isnan(), missing) and torch.equal(errors[:, 1].isnan(), missing)


@pytest.mark.parametrize("season", [1, 2, 7, 24, 700])
def test_any_split_and_any_company(season: int) -> None:
    values, memory = series(), StepMemory(season, CONTEXT)
    whole = read(values, memory)
    assert whole.isfinite().float().mean() > 0.95
    for other in (read(values, memory, (1, 2, 65, 400)), torch.cat([read(x[None], memory) for x in values])):
        assert torch.allclose(whole, other, atol=1e-4, equal_nan=True)


def test_the_future_changes_nothing_and_units_do_not_matter() -> None:
    values, memory = series(), StepMemory(24, CONTEXT)
    errors = read(values, memory)
    later = values.clone()
    later[:, CONTEXT + 700 :] += 9
    assert torch.allclose(read(later, memory)[..., :700], errors[..., :700], atol=1e-5, equal_nan=True)
    moved = read(1e3 * values + 1e6, memory, scale=1e3, loc=1e6)
    assert torch.allclose(moved, errors, atol=1e-3, equal_nan=True)
