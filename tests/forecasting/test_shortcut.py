"""The linear part: an exact map is found exactly, gaps and scale do not matter, nested maps are averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from titans_ts.forecasting.linear.linear_part import LinearPart, nested_lookbacks
from titans_ts.forecasting.linear.ridge import PENALTIES, Basis, Moments, Rows, Tally, ridge, squared_error
from titans_ts.forecasting.model.window import harmonics


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
    linear = LinearPart(24, 0, 2, 24)
    folds = [[unnamed(x[i : i + 20], y[i : i + 20])] for i in (0, 20, 40)]
    crossed = linear.fit(folds, [unnamed(x, y)])
    inside, outside = (
        torch.cat([one(x[i : i + 20].float()) - y[i : i + 20] for one, i in zip(maps, (0, 20, 40), strict=True)])
        .square()
        .mean()
        for maps in ([linear] * 3, crossed)
    )
    assert outside > 1.2 * inside
    changed = [folds[0], [unnamed(x[20:40], 100 * y[20:40])], folds[2]]
    torch.testing.assert_close(linear.fit(changed)[1].weight, crossed[1].weight)


def test_squared_error_from_moments_equals_the_sum_over_rows() -> None:
    x, y = rows(50, 4, 2)
    weight, bias = torch.randn(4, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    direct = (y - x @ weight - bias).square().sum()
    assert squared_error(Moments.of([unnamed(x, y)]), weight, bias) == pytest.approx(float(direct))


def test_rows_of_weight_zero_do_not_count() -> None:
    x, y = rows(40, 8, 2)
    weight = torch.ones(40)
    weight[30:] = 0
    some, all_ = LinearPart(8, 0, 2, 2), LinearPart(8, 0, 2, 2)
    some.fit([[unnamed(x[:30], y[:30])]])
    wild = torch.cat([x[:30], 1e3 * x[30:]])
    all_.fit([[unnamed(wild, y, weight)]])
    torch.testing.assert_close(some.weight, all_.weight)


def test_a_seasonal_series_is_continued() -> None:
    steps = torch.arange(600.0)
    series = torch.sin(2 * torch.pi * steps / 12) + 3
    windows = series.unfold(0, 60, 1)
    linear = LinearPart(48, 0, 12, 12)
    linear.fit([[unnamed(windows[:400, :48], windows[:400, 48:])]])
    torch.testing.assert_close(linear(windows[450:, :48]), windows[450:, 48:], atol=2e-3, rtol=0)


def test_a_refit_keeps_the_penalties_and_uses_the_new_windows() -> None:
    x, y = rows(300, 16, 2)
    one = [unnamed(x[:100], y[:100])]
    linear = LinearPart(16, 0, 2, 4)
    linear.fit([one], [unnamed(x[100:], y[100:])])
    chosen, weight = linear.penalties, linear.weight.clone()
    linear.fit([[unnamed(x, y)]])
    assert linear.penalties == chosen and max(chosen or []) > PENALTIES[0]
    assert not torch.allclose(linear.weight, weight)


def test_no_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one training window"):
        LinearPart(8, 0, 2, 2).fit([[]])


def two_series(count: int, seed: int = 0) -> Rows:
    """Windows of two series with opposite maps, named 7 and 3, and of one without a name."""
    x, noise = rows(3 * count, 4, 2, seed)
    x = x - x.mean(1, keepdim=True)
    codes = torch.tensor([7, 3, -1]).repeat(count)
    y = x[:, -2:] * torch.where(codes == 3, -1.0, 1.0)[:, None] + 0.01 * noise
    return x, y, torch.ones(3 * count), codes


def test_series_get_maps_of_their_own_where_these_are_better() -> None:
    linear = LinearPart(4, 0, 2, 1)
    linear.fit([[two_series(60)]], [two_series(30, 1)])
    assert linear.by_item and linear.items.codes.tolist() == [3, 7]
    x, y, _, codes = (tensor[:6].float() if tensor.is_floating_point() else tensor[:6] for tensor in two_series(2, 2))
    found = linear(x, codes)
    named = codes >= 0
    torch.testing.assert_close(found[named], y[named], atol=0.1, rtol=0)
    torch.testing.assert_close(found[~named], linear(x)[~named])


def test_series_share_a_map_where_one_does_for_all() -> None:
    x, noise = rows(120, 4, 2)
    y = x[:, -2:] + noise
    codes = torch.arange(4).repeat(30)
    linear = LinearPart(4, 0, 2, 1)
    held = rows(90, 4, 2, 1)
    linear.fit([[(x, y, torch.ones(120), codes)]], [(held[0], held[0][:, -2:], torch.ones(90), codes[:90])])
    assert linear.by_item is False and len(linear.items.codes) == 0


def test_an_unknown_series_takes_the_shared_map_and_short_ones_get_none() -> None:
    x, y, weight, codes = two_series(60)
    few = torch.cat([torch.arange(180)[codes != 3], torch.arange(180)[codes == 3][:3]])
    linear = LinearPart(4, 0, 2, 1, by_item=True)
    linear.fit([[(x[few], y[few], weight[few], codes[few])]], [two_series(30, 1)])
    assert linear.items.codes.tolist() == [7]
    torch.testing.assert_close(linear(x.float(), torch.full((180,), 5)), linear(x.float()))


def test_own_maps_come_back_with_the_state() -> None:
    fitted, fresh = LinearPart(4, 0, 2, 1), LinearPart(4, 0, 2, 1)
    fitted.fit([[two_series(60)]], [two_series(30, 1)])
    fresh.load_state_dict(fitted.state_dict())
    x, _, _, codes = two_series(5, 3)
    torch.testing.assert_close(fresh(x.float(), codes), fitted(x.float(), codes), rtol=0, atol=0)


def test_a_refit_keeps_who_has_a_map() -> None:
    linear = LinearPart(4, 0, 2, 1)
    linear.fit([[two_series(60)]], [two_series(30, 1)])
    before = linear.items.weight.clone()
    crossed = linear.fit([[two_series(60, 4)], [two_series(60, 5)]])
    assert linear.items.codes.tolist() == [3, 7] and not torch.equal(before, linear.items.weight)
    alone = LinearPart(4, 0, 2, 1)
    alone.penalties, alone.item_penalties, alone.by_item = linear.penalties, linear.item_penalties, True
    alone.fit([[two_series(60, 5)]])
    torch.testing.assert_close(crossed[0].items.weight, alone.items.weight)


def test_sums_of_single_series_stay_within_their_budget() -> None:
    one = two_series(10)
    assert Tally.of([one], 0).items is None and Tally.of([one], 40).items is None
    found = Tally.of([one], 1000).items
    assert found is not None and set(found) == {3, 7}
    mine = one[3] == 3
    torch.testing.assert_close(found[3].xy, one[0][mine].T @ one[1][mine])


def test_windows_wanted_grow_with_series_only_where_these_may_get_maps_of_their_own() -> None:
    plenty = 10**6
    linear = LinearPart(96, 0, 24, 24)
    one, two = linear.wanted(plenty, 2), linear.wanted(plenty, 4)
    assert one > 0 and two == 2 * one
    # One series alone, too few windows for each, sums beyond their budget, a caller who wants one map for all.
    assert linear.wanted(plenty, 1) == linear.wanted(3 * 96, 2) == linear.wanted(10**12, 10**6) == 0
    assert LinearPart(96, 0, 24, 24, by_item=False).wanted(plenty, 2) == 0
    assert LinearPart(96, 0, 24, 24, nested=False).wanted(plenty, 2) == 0


def test_harmonics_are_sines_and_cosines_of_multiples() -> None:
    angle = torch.linspace(0, 6, 50, dtype=torch.float64)
    found = harmonics(torch.stack([angle.sin(), angle.cos()], dim=1), 3)
    expected = torch.stack([f(k * angle) for f in (torch.sin, torch.cos) for k in (1, 2, 3)], dim=1)
    torch.testing.assert_close(found, expected)
