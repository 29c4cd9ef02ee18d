"""Scaling: missing values change no statistic, constants stay finite, outliers weigh little."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from titans_ts.forecasting.model.scaling import InstanceScaler, fill_forward, log_width_slopes


def test_missing_values_do_not_change_loc_and_scale() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 999.0, 4.0]])
    observed = torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0]])
    scaled, loc, scale = InstanceScaler()(values, observed)
    _, loc_alone, scale_alone = InstanceScaler()(values[:, [0, 1, 2, 4]], torch.ones(1, 4))
    torch.testing.assert_close((loc, scale), (loc_alone, scale_alone))
    assert scaled[0, 3] == 0


@given(a=st.floats(0.1, 100), b=st.floats(-100, 100))
def test_instance_scaling_is_affine_equivariant(a: float, b: float) -> None:
    values = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).double()
    one = torch.ones_like(values)
    scaled, loc, scale = InstanceScaler()(values, one)
    scaled_too, loc_too, scale_too = InstanceScaler()(a * values + b, one)
    torch.testing.assert_close(scaled_too, scaled)
    torch.testing.assert_close(loc_too, a * loc + b)
    torch.testing.assert_close(scale_too, a * scale)


def test_a_constant_window_scales_to_zeros_with_scale_one() -> None:
    scaled, loc, scale = InstanceScaler()(torch.full((1, 8), 7.0), torch.ones(1, 8))
    assert scaled.abs().max() == 0 and loc.item() == 7 and scale.item() == 1


def test_one_outlier_counts_less_than_in_the_standard_deviation() -> None:
    values = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([500.0])])[None]
    scale = InstanceScaler()(values, torch.ones_like(values)).scale.item()
    assert scale < 0.8 * values.std().item()


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ([1, 1, 1, 1], [5, 6, 7, 8]),
        ([0, 1, 0, 1], [6, 6, 6, 8]),
        ([1, 0, 0, 0], [5, 5, 5, 5]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_fill_forward_carries_the_last_value_and_the_first_one_back(observed: list[int], expected: list[int]) -> None:
    filled = fill_forward(torch.tensor([[5.0, 6.0, 7.0, 8.0]]), torch.tensor([observed]).float())
    assert filled.tolist() == [expected]


def test_widths_that_vary_with_the_phase_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(20_000, generator=generator)
    phase = torch.stack([angle.sin(), angle.cos()], dim=1)
    slopes = torch.tensor([[0.5, 0.0], [0.0, -0.3]])
    residuals = torch.randn(20_000, 2, generator=generator) * torch.exp(phase @ slopes)
    residuals[::7, 0] = torch.nan
    torch.testing.assert_close(log_width_slopes(residuals, phase), slopes, atol=0.05, rtol=0)
