"""The task `electricity_prices`: members, their mean, and its scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from titans_datasets.series import SeriesSchema
from titans_datasets.series.public.benchmarks import RollingTask
from titans_recipes.catalogue import load_recipe
from titans_recipes.forecasting.electricity_prices import daily_ridge, scores
from titans_recipes.forecasting.settings import settings_of
from titans_recipes.runner import run_recipe

LEVELS = tuple(level / 10 for level in range(1, 10))
RECIPE = {
    "task": "electricity_prices",
    "market": "NP",
    "horizons": [24],
    "seeds": [0],
    "defaults": {
        "context_length": 48,
        "network": {"patch_length": 24, "patch_stride": 24},
        "backbone": {"width": 8, "layers": 1, "heads": 2},
        "training": {"max_steps": 2, "batch_size": 16},
    },
    "runs": {"both": {"members": {"map": {}, "no map": {"network": {"linear": "none"}}}}},
}


def market() -> RollingTask:
    """Prices that follow two known covariates, 60 days."""
    rng = np.random.default_rng(0)
    hours = np.arange(60 * 24)
    load, wind = 5 + np.sin(hours * 2 * np.pi / 24), rng.gamma(2.0, size=len(hours))
    frame = pd.DataFrame(
        {
            "item_id": "NP",
            "timestamp": pd.date_range("2020-01-01", periods=len(hours), freq="h"),
            "target": 10 * load - 3 * wind + rng.normal(size=len(hours)),
            "load": load,
            "wind": wind,
        }
    )
    return RollingTask(frame, SeriesSchema(freq="h", known_covariates=("load", "wind")), 24, 3, 24, 24, LEVELS)


def write(folder: Path, recipe: dict[str, object]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_members_get_rows_of_their_own_and_their_mean_scores_at_least_as_well_as_they_do_on_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titans_datasets.series.public.benchmarks.electricity_price", lambda name: market())
    rows = {row.run: row for row in run_recipe(write(tmp_path, RECIPE))}
    assert list(rows) == ["seasonal naive", "daily ridge", "map", "no map", "both"]
    losses = [rows[name].wql for name in ("map", "no map")]
    assert losses[0] != losses[1]
    # The quantile loss is convex.
    assert rows["both"].wql is not None and rows["both"].wql <= np.mean(losses) + 1e-9  # type: ignore[arg-type]
    assert rows["both"].parameters == rows["map"].parameters + rows["no map"].parameters  # type: ignore[operator]


def test_a_perfect_forecast_scores_zero_and_a_constant_error_its_share() -> None:
    task = market()
    actual = task.frame["target"].to_numpy()[-72:].reshape(3, 24)
    exact = np.repeat(actual[..., None], 9, axis=2)
    assert scores(task, actual, exact) == (0.0, 0.0)
    wql, _ = scores(task, actual, exact + 1.0)
    # All levels too high by 1: the loss of level q is 2 (1 - q), 1 on average.
    assert wql == pytest.approx(np.mean(24 / np.abs(actual).sum(1)))


def test_a_daily_ridge_uses_known_covariates() -> None:
    wql, mase = daily_ridge(market(), penalty=1e-3)
    assert wql < 0.1 and mase < 0.7


def test_members_start_from_the_defaults_and_belong_to_electricity_prices(tmp_path: Path) -> None:
    settings = settings_of(RECIPE, RECIPE["runs"]["both"])  # type: ignore[index]
    assert settings["members"]["no map"]["network"] == {"patch_length": 24, "patch_stride": 24, "linear": "none"}
    assert settings["members"]["map"]["context_length"] == 48
    with pytest.raises(ValueError, match="members are for task electricity_prices"):
        other = {name: value for name, value in RECIPE.items() if name != "market"}
        load_recipe(write(tmp_path, {**other, "task": "long_horizon", "set": "ETTh1", "season": 24}))
    typo = {**RECIPE, "runs": {"both": {"members": {"map": {"netwrk": {}}}}}}
    with pytest.raises(ValueError, match="map has unknown entries \\['netwrk'\\]"):
        load_recipe(write(tmp_path, typo))
