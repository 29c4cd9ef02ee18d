"""What the linear part reads of a window."""

from __future__ import annotations

import pytest
import torch

from titans_ts.forecasting.model.heads import Units
from titans_ts.forecasting.model.network import NetworkConfig
from titans_ts.forecasting.model.window import LinearFeatures, Window


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
def test_steps_before_the_map_s_own_do_not_change_what_it_reads(cyclic: bool) -> None:
    """The error of a map must not depend on how much longer the network's window is."""
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
