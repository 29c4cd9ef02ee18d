"""Ridge regression from sums over windows: the normal equations written out, errors, budgets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.forecasting.linear.data import rows, two_series, unnamed
from titans_ts.forecasting.linear.ridge import Basis, Moments, Tally, ridge, squared_error


@pytest.mark.parametrize("basis", [Basis(6, 6, 6, False), Basis(6, 4, 8, True), Basis(6, 3, 9, False)])
@pytest.mark.parametrize("penalty", [1e-5, 0.1, 10.0])
def test_ridge_equals_the_normal_equations_written_out(basis: Basis, penalty: float) -> None:
    x, y = rows(200, 9, 3)
    weight, bias = ridge(
        Moments.sum([Moments.of([unnamed(x[:90], y[:90])]), Moments.of([unnamed(x[90:], y[90:])])]),
        basis,
        penalty,
    )
    window = x[:, 6 - basis.lookback : 6].numpy()
    level = window.mean(1, keepdims=True)
    parts = [level] * basis.level + [window - level, x[:, 6 : basis.stop].numpy()]
    z = np.concatenate(parts, axis=1)
    target = y.numpy() - level
    centred = z - z.mean(0)
    gram = centred.T @ centred
    solved = np.linalg.solve(
        gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), centred.T @ (target - target.mean(0))
    )
    np.testing.assert_allclose((x @ weight + bias).numpy(), centred @ solved + target.mean(0) + level, atol=1e-8)


def test_squared_error_from_moments_equals_the_sum_over_rows() -> None:
    x, y = rows(50, 4, 2)
    weight, bias = torch.randn(4, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    direct = (y - x @ weight - bias).square().sum()
    assert squared_error(Moments.of([unnamed(x, y)]), weight, bias) == pytest.approx(float(direct))


def test_sums_of_single_series_stay_within_their_budget() -> None:
    one = two_series(10)
    assert Tally.of([one], 0).series is None and Tally.of([one], 40).series is None
    found = Tally.of([one], 1000).series
    assert found is not None and set(found) == {3, 7}
    mine = one[3] == 3
    torch.testing.assert_close(found[3].xy, one[0][mine].T @ one[1][mine])


@pytest.mark.parametrize("features", [1, 127, 128, 129, 300])
def test_moments_of_any_number_of_features(features: int) -> None:
    x, y = torch.randn(40, features), torch.randn(40, 3)
    weight = torch.rand(40)
    found = Moments.of_batch(x, y, weight)
    exact = x.double() * weight.double()[:, None]
    torch.testing.assert_close(found.xx, exact.T @ x.double(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(found.xx, found.xx.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.xy, exact.T @ y.double(), rtol=1e-7, atol=1e-7)
