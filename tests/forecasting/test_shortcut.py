"""The linear shortcut: an exact map is found exactly, gaps and scale do not matter, nested maps are averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from titans_ts.forecasting.ridge import PENALTIES, Basis, Moments, Rows, ridge, squared_error
from titans_ts.forecasting.shortcut import LinearShortcut, nested_lookbacks


@pytest.mark.parametrize(
    ("context", "season", "expected"),
    [(672, 24, [672, 336, 168, 96, 48]), (96, 24, [96, 48]), (30, 24, [30]), (16, 1, [16, 8, 4]), (36, 12, [36, 24])],
)
def test_nested_lookbacks_are_whole_seasons(context: int, season: int, expected: list[int]) -> None:
    assert nested_lookbacks(context, season) == expected


def unnamed(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None = None) -> Rows:
    weight = torch.ones(len(x)) if weight is None else weight
    return x, y, weight, torch.full((len(x),), -1)


def rows(count: int, features: int, horizon: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    y = torch.randn(count, horizon, generator=generator, dtype=torch.float64)
    return x, y


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


def test_cross_maps_have_not_seen_their_fold() -> None:
    x, y = rows(60, 24, 2)
    shortcut = LinearShortcut(24, 0, 2, 24)
    folds = [[unnamed(x[i : i + 20], y[i : i + 20])] for i in (0, 20, 40)]
    crossed = shortcut.fit(folds, [unnamed(x, y)])
    inside, outside = (
        torch.cat([one(x[i : i + 20].float()) - y[i : i + 20] for one, i in zip(maps, (0, 20, 40), strict=True)])
        .square()
        .mean()
        for maps in ([shortcut] * 3, crossed)
    )
    assert outside > 1.2 * inside
    changed = [folds[0], [unnamed(x[20:40], 100 * y[20:40])], folds[2]]
    torch.testing.assert_close(shortcut.fit(changed)[1].weight, crossed[1].weight)


def test_squared_error_from_moments_equals_the_sum_over_rows() -> None:
    x, y = rows(50, 4, 2)
    weight, bias = torch.randn(4, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    direct = (y - x @ weight - bias).square().sum()
    assert squared_error(Moments.of([unnamed(x, y)]), weight, bias) == pytest.approx(float(direct))


def test_rows_of_weight_zero_do_not_count() -> None:
    x, y = rows(40, 8, 2)
    weight = torch.ones(40)
    weight[30:] = 0
    some, all_ = LinearShortcut(8, 0, 2, 2), LinearShortcut(8, 0, 2, 2)
    some.fit([[unnamed(x[:30], y[:30])]])
    wild = torch.cat([x[:30], 1e3 * x[30:]])
    all_.fit([[unnamed(wild, y, weight)]])
    torch.testing.assert_close(some.weight, all_.weight)


def test_a_seasonal_series_is_continued() -> None:
    steps = torch.arange(600.0)
    series = torch.sin(2 * torch.pi * steps / 12) + 3
    windows = series.unfold(0, 60, 1)
    shortcut = LinearShortcut(48, 0, 12, 12)
    shortcut.fit([[unnamed(windows[:400, :48], windows[:400, 48:])]])
    torch.testing.assert_close(shortcut(windows[450:, :48]), windows[450:, 48:], atol=2e-3, rtol=0)


def test_a_refit_keeps_the_penalties_and_uses_the_new_windows() -> None:
    x, y = rows(300, 16, 2)
    one = [unnamed(x[:100], y[:100])]
    shortcut = LinearShortcut(16, 0, 2, 4)
    shortcut.fit([one], [unnamed(x[100:], y[100:])])
    chosen, weight = shortcut.penalties, shortcut.weight.clone()
    shortcut.fit([[unnamed(x, y)]])
    assert shortcut.penalties == chosen and max(chosen or []) > PENALTIES[0]
    assert not torch.allclose(shortcut.weight, weight)


def test_no_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one training window"):
        LinearShortcut(8, 0, 2, 2).fit([[]])
