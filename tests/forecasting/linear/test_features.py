"""What the linear part reads of a window."""

from __future__ import annotations

import pytest
import torch

from titans_ts.forecasting.linear.features import LinearFeatures, harmonics
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.heads import Units
from titans_ts.forecasting.model.window import Window


def window(values: torch.Tensor) -> Window:
    rows, steps = values.shape
    generator = torch.Generator().manual_seed(7)
    # Covariates end alike, whatever the length of the window.
    past = torch.randn(rows, 64, 2, generator=generator)[:, -steps:]
    future = torch.randn(rows, 3, 2, generator=generator)
    loc, one = values.mean(1, keepdim=True), torch.ones(rows, 1)
    codes = torch.full((rows,), -1)
    return Window(values, torch.ones_like(values), loc, one, Units(one * 0, one), past, future, codes)


@pytest.mark.parametrize("cyclic", [True, False])
def test_steps_before_its_own_context_do_not_change_the_features(cyclic: bool) -> None:
    """The error of the linear part must not depend on how much longer the network's window is."""
    torch.manual_seed(0)
    values = torch.randn(5, 48)
    sizes: dict[str, int] = {
        "prediction_length": 3,
        "season": 4,
        "time_features": 2,
        "phase_column": 0,
        "linear_context": 16,
    }
    long = LinearFeatures(NetworkConfig(context_length=48, cyclic=cyclic, **sizes))
    short = LinearFeatures(NetworkConfig(context_length=16, cyclic=cyclic, **sizes))
    torch.testing.assert_close(long(window(values)), short(window(values[:, -16:])))
    other = torch.cat([10 + torch.randn(5, 32), values[:, -16:]], dim=1)
    torch.testing.assert_close(long(window(other)), long(window(values)))


def test_harmonics_are_sines_and_cosines_of_multiples() -> None:
    angle = torch.linspace(0, 6, 50, dtype=torch.float64)
    found = harmonics(torch.stack([angle.sin(), angle.cos()], dim=1), 3)
    expected = torch.stack([f(k * angle) for f in (torch.sin, torch.cos) for k in (1, 2, 3)], dim=1)
    torch.testing.assert_close(found, expected)
