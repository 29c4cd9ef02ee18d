"""Batches of series for the tests of the reads."""

from __future__ import annotations

import numpy as np
import torch

from titans_ts.forecasting.reads import Series


def waves(count: int = 4, length: int = 160, seed: int = 0, missing: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 waves of period 12 with noise (B, L), some values missing, some series beginning later."""
    rng = np.random.default_rng(seed)
    steps = np.arange(length)
    values = np.sin(2 * np.pi * steps / 12 + rng.uniform(0, 6, (count, 1))) + 0.3 * rng.normal(size=(count, length))
    observed = rng.random((count, length)) >= missing
    observed[1::2, : length // 3] = False
    return torch.tensor(np.where(observed, values, 0.0)), torch.tensor(observed).double()


def batch(count: int = 4, length: int = 160, seed: int = 0, **options: object) -> Series:
    """A batch of `waves` with periods of 12 and, of the first series, 36 steps; half of them have a zero."""
    values, observed = waves(count, length, seed)
    periods = torch.tensor([[12.0, 0.0]] * count)
    periods[0, 1] = 36.0
    zero = torch.where(torch.arange(count) % 2 == 0, torch.tensor(-4.0), torch.tensor(torch.nan))
    return Series.of(values, observed, periods, zero.double(), **options)
