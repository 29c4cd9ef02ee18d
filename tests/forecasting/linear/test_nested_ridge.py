"""NestedRidge: series are continued, folds are crossed, series get models of their own where these are better."""

from __future__ import annotations

import pytest
import torch

from tests.forecasting.linear.data import rows, two_series, unnamed
from titans_ts.forecasting.linear.nested_ridge import NestedRidge, nested_lookbacks
from titans_ts.forecasting.linear.ridge import PENALTIES, RegressionRows


@pytest.mark.parametrize(
    ("context", "season", "expected"),
    [(672, 24, [672, 336, 168, 96, 48]), (96, 24, [96, 48]), (30, 24, [30]), (16, 1, [16, 8, 4]), (36, 12, [36, 24])],
)
def test_nested_lookbacks_are_whole_seasons(context: int, season: int, expected: list[int]) -> None:
    assert nested_lookbacks(context, season) == expected


def test_crossed_models_have_not_seen_their_fold() -> None:
    x, y = rows(60, 24, 2)
    model = NestedRidge(24, 0, 2, 24)
    folds = [[unnamed(x[i : i + 20], y[i : i + 20])] for i in (0, 20, 40)]
    crossed = model.fit(folds, [unnamed(x, y)])
    inside, outside = (
        torch.cat([one(x[i : i + 20].float()) - y[i : i + 20] for one, i in zip(models, (0, 20, 40), strict=True)])
        .square()
        .mean()
        for models in ([model] * 3, crossed)
    )
    assert outside > 1.2 * inside
    changed = [folds[0], [unnamed(x[20:40], 100 * y[20:40])], folds[2]]
    torch.testing.assert_close(model.fit(changed)[1].weight, crossed[1].weight)


def test_rows_of_weight_zero_do_not_count() -> None:
    x, y = rows(40, 8, 2)
    weight = torch.ones(40)
    weight[30:] = 0
    some, all_ = NestedRidge(8, 0, 2, 2), NestedRidge(8, 0, 2, 2)
    some.fit([[unnamed(x[:30], y[:30])]])
    wild = torch.cat([x[:30], 1e3 * x[30:]])
    all_.fit([[unnamed(wild, y, weight)]])
    torch.testing.assert_close(some.weight, all_.weight)


def test_a_seasonal_series_is_continued() -> None:
    steps = torch.arange(600.0)
    series = torch.sin(2 * torch.pi * steps / 12) + 3
    windows = series.unfold(0, 60, 1)
    model = NestedRidge(48, 0, 12, 12)
    model.fit([[unnamed(windows[:400, :48], windows[:400, 48:])]])
    torch.testing.assert_close(model(windows[450:, :48]), windows[450:, 48:], atol=2e-3, rtol=0)


def test_a_refit_keeps_the_penalties_and_uses_the_new_windows() -> None:
    x, y = rows(300, 16, 2)
    one = [unnamed(x[:100], y[:100])]
    model = NestedRidge(16, 0, 2, 4)
    model.fit([one], [unnamed(x[100:], y[100:])])
    chosen, weight = model.penalties, model.weight.clone()
    model.fit([[unnamed(x, y)]])
    assert model.penalties == chosen and max(chosen or []) > PENALTIES[0]
    assert not torch.allclose(model.weight, weight)


def test_no_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one training window"):
        NestedRidge(8, 0, 2, 2).fit([[]])


def test_series_get_models_of_their_own_where_these_are_better() -> None:
    model = NestedRidge(4, 0, 2, 1)
    model.fit([[two_series(60)]], [two_series(30, 1)])
    assert model.per_series and model.series.codes.tolist() == [3, 7]
    x, y, _, codes = (tensor[:6].float() if tensor.is_floating_point() else tensor[:6] for tensor in two_series(2, 2))
    found = model(x, codes)
    named = codes >= 0
    torch.testing.assert_close(found[named], y[named], atol=0.1, rtol=0)
    torch.testing.assert_close(found[~named], model(x)[~named])


def test_series_share_a_model_where_one_suits_all() -> None:
    x, noise = rows(120, 4, 2)
    y = x[:, -2:] + noise
    codes = torch.arange(4).repeat(30)
    model = NestedRidge(4, 0, 2, 1)
    held, _ = rows(90, 4, 2, 1)
    check = RegressionRows(held, held[:, -2:], torch.ones(90), codes[:90])
    model.fit([[RegressionRows(x, y, torch.ones(120), codes)]], [check])
    assert model.per_series is False and len(model.series.codes) == 0


def test_an_unknown_series_uses_the_shared_model_and_short_ones_get_none() -> None:
    x, y, weight, codes = two_series(60)
    few = torch.cat([torch.arange(180)[codes != 3], torch.arange(180)[codes == 3][:3]])
    model = NestedRidge(4, 0, 2, 1, per_series=True)
    model.fit([[RegressionRows(x[few], y[few], weight[few], codes[few])]], [two_series(30, 1)])
    assert model.series.codes.tolist() == [7]
    torch.testing.assert_close(model(x.float(), torch.full((180,), 5)), model(x.float()))


def test_models_of_series_are_restored_with_the_state() -> None:
    fitted, fresh = NestedRidge(4, 0, 2, 1), NestedRidge(4, 0, 2, 1)
    fitted.fit([[two_series(60)]], [two_series(30, 1)])
    fresh.load_state_dict(fitted.state_dict())
    x, _, _, codes = two_series(5, 3)
    torch.testing.assert_close(fresh(x.float(), codes), fitted(x.float(), codes), rtol=0, atol=0)


def test_a_refit_keeps_which_series_have_models() -> None:
    model = NestedRidge(4, 0, 2, 1)
    model.fit([[two_series(60)]], [two_series(30, 1)])
    before = model.series.weight.clone()
    crossed = model.fit([[two_series(60, 4)], [two_series(60, 5)]])
    assert model.series.codes.tolist() == [3, 7] and not torch.equal(before, model.series.weight)
    alone = NestedRidge(4, 0, 2, 1)
    alone.penalties, alone.series_penalties, alone.per_series = model.penalties, model.series_penalties, True
    alone.fit([[two_series(60, 5)]])
    torch.testing.assert_close(crossed[0].series.weight, alone.series.weight)


def test_windows_grow_with_series_only_where_these_may_get_models_of_their_own() -> None:
    plenty = 10**6
    model = NestedRidge(96, 0, 24, 24)
    one, two = model.windows_for_series(plenty, 2), model.windows_for_series(plenty, 4)
    assert one > 0 and two == 2 * one
    # One series alone, too few windows for each, sums beyond their budget, a caller who wants one model for all.
    for windows, series in ((plenty, 1), (3 * 96, 2), (10**12, 10**6)):
        assert model.windows_for_series(windows, series) == 0
    assert NestedRidge(96, 0, 24, 24, per_series=False).windows_for_series(plenty, 2) == 0
    assert NestedRidge(96, 0, 24, 24, nested=False).windows_for_series(plenty, 2) == 0
