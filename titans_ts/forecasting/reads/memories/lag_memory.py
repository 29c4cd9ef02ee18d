"""Lag memory: a ridge regression of the next 48 steps on the last ones, relative to the last value.

All horizons share one matrix of normal equations: a key is written once the 48 steps after it are known. The state is
that matrix, the cross products and the steps whose keys are not complete.

Shapes: B series, T steps, K numbers of a key, S = SPAN steps of a value, W = WINDOW steps kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.model.scaling import fill_forward
from titans_ts.forecasting.reads.memories.phase_memory import solved_positive
from titans_ts.forecasting.reads.series import BLOCK

LAGS = torch.tensor([*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 80, 96])
SPAN = 48
REACH = int(LAGS.max())
WINDOW = REACH + SPAN
SIZE = len(LAGS) + 1
# Steps after the first observed one before keys count: their lags would be copies of it.
WARM_UP = 24
CONSTANT = 0.3
PENALTIES = (2.0, 30.0)
# Of a value relative to the last one, in standard deviations of the series.
LARGEST = 8.0


@dataclass(frozen=True)
class LagState:
    """Sums over complete keys, of constant size.

    Attributes:
        gram: (B, K, K) of k k'.
        cross: (B, K, S) of k v'.
        energy: (B,) of the mean square of the first half of v.
        count: (B,) keys.
        filled: (B, W) the last steps, gaps closed.
        observed: (B, W), 1 or 0.
        age: (B,) steps since the first observed one, that included; 0 before it.
    """

    gram: Tensor
    cross: Tensor
    energy: Tensor
    count: Tensor
    filled: Tensor
    observed: Tensor
    age: Tensor


def empty(count: int, dtype: torch.dtype = torch.float32) -> LagState:
    """The state of so many series before the first step."""
    flat = torch.zeros(count, dtype=dtype)
    window = torch.zeros(count, WINDOW, dtype=dtype)
    gram, cross = torch.zeros(count, SIZE, SIZE, dtype=dtype), torch.zeros(count, SIZE, SPAN, dtype=dtype)
    return LagState(gram, cross, flat, flat, window, window, torch.zeros(count, dtype=torch.long))


class _Steps(NamedTuple):
    """The window of a state and T more steps: filled, observed (B, W + T); age (B,) after them."""

    filled: Tensor
    observed: Tensor
    age: Tensor


class _Sums(NamedTuple):
    """Over complete keys, as in `LagState`."""

    gram: Tensor
    cross: Tensor
    energy: Tensor
    keys: Tensor


def update(state: LagState, values: Tensor, observed: Tensor) -> LagState:
    """The state after T more steps: values (B, T), 0 where missing; observed (B, T), 1 or 0."""
    steps = _appended(state, values, observed)
    sums = _sums(steps, 1)
    gram, cross, energy, count = (before + part[:, 0] for before, part in zip(_counted(state), sums, strict=True))
    return LagState(gram, cross, energy, count, steps.filled[:, -WINDOW:], steps.observed[:, -WINDOW:], steps.age)


def read(state: LagState) -> Tensor:
    """Forecasts (B, 2, S) of the next steps, one for each penalty."""
    sums = _counted(state)
    return _forecasts(_Sums(*(part[:, None] for part in sums)), state.filled, torch.tensor([WINDOW - 1]))[:, 0]


def reads_at(values: Tensor, observed: Tensor, boundaries: int, before: LagState | None = None) -> Tensor:
    """`read` at the last J boundaries of series (B, L), `BLOCK` steps apart: (B, J, 2, S).

    `before` is the state before the first of these steps, an empty one by default.
    """
    begin = values.shape[1] - (boundaries - 1) * BLOCK
    state = update(before or empty(len(values), values.dtype), values[:, :begin], observed[:, :begin])
    if boundaries == 1:
        return read(state)[:, None]
    steps = _appended(state, values[:, begin:], observed[:, begin:])
    new = _sums(steps, boundaries - 1)
    sums = _Sums(
        *(torch.cat([before[:, None], part], 1).cumsum(1) for before, part in zip(_counted(state), new, strict=True))
    )
    ends = WINDOW - 1 + BLOCK * torch.arange(boundaries)
    return _forecasts(sums, steps.filled, ends)


def _counted(state: LagState) -> _Sums:
    return _Sums(state.gram, state.cross, state.energy, state.count)


def _appended(state: LagState, values: Tensor, observed: Tensor) -> _Steps:
    begun = state.age > 0
    row = torch.cat([state.filled, values], 1)
    known = torch.cat([begun[:, None].expand(-1, WINDOW).to(observed), observed], 1)
    seen = observed.cumsum(1) > 0
    age = torch.where(begun, state.age + values.shape[1], seen.sum(1))
    return _Steps(fill_forward(row, known), torch.cat([state.observed, observed], 1), age)


def _sums(steps: _Steps, blocks: int) -> _Sums:
    """Of the keys that became complete in each of N blocks of new steps, (B, N, …)."""
    count, length = steps.filled.shape
    new = length - WINDOW
    places = torch.arange(REACH, REACH + new)
    key = _keys(steps.filled, places)
    value = steps.filled.unfold(1, SPAN, 1)[:, REACH + 1 : REACH + 1 + new] - steps.filled[:, places, None]
    since_first = steps.age[:, None] - (length - places)
    weight = steps.observed[:, places] * (since_first >= WARM_UP)
    shape = (count, blocks, new // blocks)
    weighed = (key * weight[..., None]).view(*shape, SIZE).transpose(2, 3)
    energy = value[..., : SPAN // 2].square().mean(-1) * weight
    return _Sums(
        weighed @ key.view(*shape, SIZE),
        weighed @ value.reshape(*shape, SPAN),
        energy.view(shape).sum(2),
        weight.view(shape).sum(2),
    )


def _keys(filled: Tensor, places: Tensor) -> Tensor:
    """Keys (B, M, K) at columns (M,)."""
    lagged = filled[:, places[:, None] - LAGS] - filled[:, places, None]
    return torch.cat([lagged, torch.full_like(lagged[..., :1], CONSTANT)], -1)


def _forecasts(sums: _Sums, filled: Tensor, ends: Tensor) -> Tensor:
    """Forecasts (B, J, 2, S) from sums (B, J, …) and the rows (B, T) whose last steps are the columns `ends` (J,)."""
    gram, cross, energy, count = sums
    key, last = _keys(filled, ends), filled[:, ends]
    scale = energy / (count + 1) + 1e-4
    diagonal = gram.diagonal(dim1=-2, dim2=-1).mean(-1)
    found = []
    for penalty in PENALTIES:
        ridge = penalty * scale + 2e-4 * diagonal + 1e-4
        # The read k' (A⁻¹ C) as (A⁻¹ k)' C: one right-hand side instead of S.
        weights = solved_positive(gram + ridge[..., None, None] * torch.eye(SIZE, dtype=gram.dtype), key)
        ahead = (weights[..., None, :] @ cross)[..., 0, :].clamp(-LARGEST, LARGEST)
        found.append(last[..., None] + ahead)
    return torch.stack(found, 2)
