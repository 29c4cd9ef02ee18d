"""Values of options: their types, and values from text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.forecasting.common import forecaster, frame
from titans_ts.core.config import MemoryConfig, TitansConfig
from titans_ts.forecasting.sizes import split_options, trained_option
from titans_ts.forecasting.training.config import TrainingConfig
from titans_ts.support.params import check_types, literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32", 32),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("none", "none"),
        ("no", "no"),
        ("'1'", "1"),
        ("student_t", "student_t"),
        ("[1, 2e-1, a]", [1, 0.2, "a"]),
        ("{kind: linear, momentum: false}", {"kind": "linear", "momentum": False}),
        ("{'kind': 'linear'}", {"kind": "linear"}),
    ],
)
def test_values_from_text(text: str, value: Any) -> None:
    found = literal(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["{a: ", "[1, 2", "{[1]: 2}"])
def test_open_brackets_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        literal(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": "wide"}, "width must be an integer, got 'wide'"),
        ({"width": 8.0}, "width must be an integer, got 8.0"),
        ({"layers": True}, "layers must be an integer, got True"),
        ({"dropout": "x"}, "dropout must be a number, got 'x'"),
        ({"batch_size": None}, "batch_size must be an integer, got None"),
        ({"learning_rate": [1]}, r"learning_rate must be a number, got \[1\]"),
        ({"progress": 1}, "progress must be True or False, got 1"),
        ({"threads": "all"}, "threads must be an integer or None, got 'all'"),
        ({"memory": 3}, "memory must be a dict of MemoryConfig's fields"),
        ({"memory": {"depth": "deep"}}, "depth must be an integer, got 'deep'"),
    ],
)
def test_options_of_another_type_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_options(options)


def test_numbers_of_any_kind_are_numbers() -> None:
    check_types({"width": np.int64(8), "dropout": 0, "learning_rate": np.float32(1), "threads": None}, TitansConfig)
    found = split_options({"threads": None, "batch_size": np.int32(4), "memory": MemoryConfig(kind="linear")})
    assert found.training == {"threads": None, "batch_size": 4}


def test_what_a_model_was_trained_with() -> None:
    model = forecaster(max_steps=0, options={"memory": {"kind": "linear"}}).fit(frame())
    config, options = model.network_.config, model.options
    assert trained_option("width", 8, config, options) == 8
    assert trained_option("head", "point", config, options) == "quantile"
    assert trained_option("batch_size", 1, config, options) == 32
    assert trained_option("checks", 1, config, options) == TrainingConfig().checks
    assert trained_option("validation_windows", 4, config, options) is None
    assert trained_option("memory", {"kind": "mlp"}, config, options) == {"kind": "linear"}
