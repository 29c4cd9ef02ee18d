"""Settings of trainings: their checks, in both domains."""

from __future__ import annotations

import pytest

from titans_ts.forecasting.training.config import TrainingConfig as ForecastTraining
from titans_ts.genomics.training.config import TrainingConfig as SequenceTraining

WRONG = {
    "batch_size": 0,
    "learning_rate": 0.0,
    "weight_decay": -1.0,
    "patience": 0,
    "ema_decay": 1.0,
    "gradient_clip": 0.0,
    "time_budget": 0.0,
}


@pytest.mark.parametrize("config", [ForecastTraining, SequenceTraining])
@pytest.mark.parametrize("name", WRONG)
def test_values_out_of_range_are_refused(config: type, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*, got {WRONG[name]}"):
        config(**{name: WRONG[name]})


def test_domains_have_their_own_defaults_and_checks() -> None:
    assert (ForecastTraining().batch_size, SequenceTraining().batch_size) == (128, 64)
    with pytest.raises(ValueError, match="checks must be ≥ 1"):
        ForecastTraining(checks=0)
    with pytest.raises(ValueError, match="mutation_rate must be in"):
        SequenceTraining(mutation_rate=1.0)
