"""Rows of regressions shared by the tests of this folder."""

from __future__ import annotations

import torch

from titans_ts.forecasting.linear.ridge import RegressionRows


def unnamed(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None = None) -> RegressionRows:
    weight = torch.ones(len(x)) if weight is None else weight
    return RegressionRows(x, y, weight, torch.full((len(x),), -1))


def rows(count: int, features: int, horizon: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    y = torch.randn(count, horizon, generator=generator, dtype=torch.float64)
    return x, y


def two_series(count: int, seed: int = 0) -> RegressionRows:
    """Windows of two series with opposite coefficients, named 7 and 3, and of one without a name."""
    x, noise = rows(3 * count, 4, 2, seed)
    x = x - x.mean(1, keepdim=True)
    codes = torch.tensor([7, 3, -1]).repeat(count)
    y = x[:, -2:] * torch.where(codes == 3, -1.0, 1.0)[:, None] + 0.01 * noise
    return RegressionRows(x, y, torch.ones(3 * count), codes)
