"""What the forecaster chooses by itself, and where options go."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature

import pytest

from titans_datasets.series import parse_frequency
from titans_ts.core.config import MemoryConfig, TitansConfig
from titans_ts.forecasting import sizes
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.forecaster.params import RULES
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.training.config import TrainingConfig

TRAINING = {field.name for field in fields(TrainingConfig)}


@pytest.mark.parametrize(
    ("freq", "horizon", "length", "context"),
    [
        ("h", 24, 5000, 672),
        ("30min", 48, 5000, 720),
        ("15min", 96, 5000, 720),
        ("min", 60, 50_000, 720),
        ("2h", 12, 5000, 336),
        ("D", 7, 5000, 56),
        ("B", 5, 5000, 40),
        ("W", 8, 5000, 156),
        ("MS", 12, 500, 36),
        ("QS", 4, 500, 12),
        ("YS", 3, 100, 6),
        ("h", 300, 5000, 672),
        ("h", 24, 200, 100),
        ("h", 24, 1, 1),
    ],
)
def test_context(freq: str, horizon: int, length: int, context: int) -> None:
    assert sizes.choose_context(horizon, parse_frequency(freq), [length]) == context


@pytest.mark.parametrize("context", [1, 2, 5, 12, 24, 36, 56, 96, 168, 336, 512, 720, 1024])
def test_patches(context: int) -> None:
    patch, stride = sizes.choose_patches(context, season=1)
    tokens = 1 + max(0, -(-(context - patch) // stride))
    assert 1 <= stride <= patch <= context
    assert tokens <= 65
    assert tokens >= min(context, 20)


def test_patches_are_seasons_where_a_few_fit() -> None:
    assert sizes.choose_patches(672, season=24) == (24, 24)
    assert sizes.choose_patches(72, season=24) == sizes.choose_patches(72, season=1)
    assert sizes.choose_patches(720, season=96) == sizes.choose_patches(720, season=1)


@pytest.mark.parametrize("horizon", [1, 6, 24, 96])
@pytest.mark.parametrize("length", [10, 100, 1000, 10_000])
@pytest.mark.parametrize("items", [1, 50, 5000])
def test_validation_windows(horizon: int, length: int, items: int) -> None:
    count, step = sizes.choose_validation(horizon, [length] * items, None)
    held = horizon + (count - 1) * step
    assert count >= 1
    assert step >= 1
    assert count * items <= max(2000, items)
    assert held <= max(horizon, length // 10, min(2 * horizon, length // 4))
    if items == 1 and length >= 8 * (horizon + 8):
        assert count >= 8
    assert sizes.choose_validation(horizon, [length] * items, 3) == (3, horizon)


def test_every_option_has_one_home() -> None:
    homes = [NetworkConfig, TitansConfig, TrainingConfig, sizes.WindowOptions]
    names = [field.name for home in homes for field in fields(home)]
    assert len(names) == len(set(names))
    taken = set(signature(TitansForecaster).parameters)
    options = sizes.split_options({"width": 8, "patience": 2, "head": "point", "min_history": 3}, TRAINING)
    assert options.backbone == {"width": 8}
    assert options.training == {"patience": 2}
    assert options.network == {"head": "point"}
    assert options.windows.min_history == 3
    for name in taken:
        with pytest.raises(ValueError, match="is unknown"):
            sizes.split_options({name: 1}, TRAINING)


def test_memory_options() -> None:
    found = sizes.split_options({"memory": {"kind": "linear", "anchor": "token"}}, TRAINING)
    assert found.backbone["memory"] == MemoryConfig(kind="linear", anchor="token")


def test_signature_is_within_the_house_rule() -> None:
    """Sixteen, without those that name columns or say what the values and the calendar are."""
    parameters = signature(TitansForecaster).parameters
    about_the_data = {"id_column", "timestamp_column", "target_column", "freq", "lower", "upper"}
    about_the_data |= {"static_covariates", "past_covariates", "known_covariates", "holidays", "calendar", "weekmask"}
    assert len(set(parameters) - about_the_data) <= 9 and len(parameters) <= 21
    assert set(RULES) <= set(parameters)
