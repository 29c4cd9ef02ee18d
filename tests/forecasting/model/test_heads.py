"""Heads: quantiles never cross, untrained heads forecast the center, losses have their minimum at the truth."""

from __future__ import annotations

import pytest
import torch

from titans_ts.forecasting.model.heads import HEADS, Head, Units, make_head

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
NAMES = tuple(HEADS)


def setting(head: Head, rows: int = 6, steps: int = 4, loc: float = 0.0) -> dict[str, object]:
    generator = torch.Generator().manual_seed(1)
    return {
        "raw": torch.randn(rows, steps, head.outputs, generator=generator),
        "center": torch.randn(rows, steps, generator=generator),
        "spread": torch.rand(rows, 1, generator=generator) + 0.1,
        "units": Units(torch.full((rows, 1), loc), torch.full((rows, 1), 2.0)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_do_not_cross(name: str) -> None:
    head = make_head(name, 4, LEVELS)
    head.fit_residuals(torch.randn(500, 4))
    values = setting(head, loc=20.0)
    values["raw"] = 30 * values["raw"]  # type: ignore[operator]
    found = head.quantiles(levels=list(LEVELS), **values)  # type: ignore[arg-type]
    assert found.isfinite().all()
    assert (found.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("name", ["quantile", "student_t", "normal", "point"])
def test_an_untrained_head_forecasts_the_center(name: str) -> None:
    head = make_head(name, 4, LEVELS)
    values = setting(head)
    values["raw"] = torch.zeros_like(values["raw"])  # type: ignore[call-overload]
    median = head.quantiles(levels=[0.5], **values)[..., 0]  # type: ignore[arg-type]
    torch.testing.assert_close(median, values["center"])


def test_fitted_quantiles_are_those_of_the_residuals() -> None:
    head = make_head("quantile", 3, LEVELS)
    residuals = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 5.0])
    residuals[:50] = torch.nan
    head.fit_residuals(residuals)
    units = Units(torch.zeros(1, 1), torch.ones(1, 1))
    found = head.quantiles(torch.zeros(1, 3, head.outputs), torch.zeros(1, 3), torch.ones(1, 1), list(LEVELS), units)
    expected = torch.nanquantile(residuals, torch.tensor(LEVELS), dim=0).T
    torch.testing.assert_close(found[0], expected, atol=0.15, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_least_where_the_target_is(name: str) -> None:
    head = make_head(name, 1, LEVELS)
    units = Units(torch.full((1, 1), 50.0), torch.full((1, 1), 10.0))
    centers = torch.linspace(-2, 2, 41)
    raw = torch.zeros(1, 1, head.outputs)
    losses = torch.stack(
        [head.loss(raw, a.reshape(1, 1), torch.ones(1, 1), torch.tensor([[0.5]]), units).sum() for a in centers]
    )
    assert abs(float(centers[losses.argmin()]) - 0.5) < 0.35


def test_pinball_loss_equals_its_definition_and_is_the_absolute_error_at_the_median() -> None:
    head = make_head("quantile", 1, (0.5,))
    units = Units(torch.zeros(1, 1), torch.ones(1, 1))
    loss = head.loss(torch.zeros(1, 1, 1), torch.tensor([[1.0]]), torch.ones(1, 1), torch.tensor([[3.5]]), units)
    assert loss.item() == pytest.approx(2.5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite(name: str) -> None:
    head = make_head(name, 4, LEVELS)
    values = setting(head, loc=20.0)
    values["raw"] = values["raw"].requires_grad_()  # type: ignore[attr-defined]
    head.loss(target=torch.randn(6, 4), **values).sum().backward()  # type: ignore[arg-type]
    assert values["raw"].grad.isfinite().all()  # type: ignore[attr-defined]
    assert values["raw"].grad.abs().max() > 0  # type: ignore[attr-defined]


def test_unknown_quantile_names_the_trained_ones() -> None:
    head = make_head("quantile", 4, LEVELS)
    with pytest.raises(ValueError, match=r"0\.25 was not trained.*0\.3"):
        head.quantiles(levels=[0.25], **setting(head))  # type: ignore[arg-type]


def test_distribution_heads_give_any_level_inside_zero_and_one() -> None:
    head = make_head("student_t", 4, LEVELS)
    assert head.quantiles(levels=[0.001, 0.999], **setting(head)).isfinite().all()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        head.quantiles(levels=[1.0], **setting(head))  # type: ignore[arg-type]


def test_negative_binomial_forecasts_counts() -> None:
    head = make_head("negative_binomial", 4, LEVELS)
    values = setting(head, loc=3.0)
    units = values["units"]
    found = head.quantiles(levels=list(LEVELS), **values)  # type: ignore[arg-type]
    counts = found * units.scale[..., None] + units.loc[..., None]  # type: ignore[attr-defined]
    torch.testing.assert_close(counts, counts.round())
    assert (counts >= 0).all()


def test_unknown_head_and_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="head must be"):
        make_head("gauss", 4, LEVELS)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        make_head("quantile", 4, (0.0, 0.5))
