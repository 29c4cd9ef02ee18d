"""Bad targets get a message that says what was expected, what came and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from tests.genomics.common import measured, regressor

X, Y = measured(40)


def put(value: Any, place: int = 3) -> list[Any]:
    found: list[Any] = Y.tolist()
    found[place] = value
    return found


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (put(np.nan), ValueError, r"1 missing or infinite targets \(the first at 3\): drop those sequences"),
        (put(None), ValueError, r"missing or infinite targets \(the first at 3\)"),
        (put(-np.inf), ValueError, r"missing or infinite targets \(the first at 3\)"),
        (pd.Series(put(pd.NA)), ValueError, r"missing or infinite targets \(the first at 3\)"),
        (put("high"), TypeError, r"y must hold numbers, got 'high' \(str\) at 3"),
        (pd.Series(put("1.5")), TypeError, r"y must hold numbers, got '1.5' \(str\) at 3"),
        (pd.Series(pd.date_range("2024", periods=40)), TypeError, "y must hold numbers"),
        (Y + 1j, TypeError, "y must hold numbers"),
        (Y[:39], ValueError, "40 sequences, 39 entries"),
        (np.full(40, 2.5), ValueError, "y must vary, but target 'target' is 2.5 everywhere"),
        (np.stack([Y, np.zeros(40)], 1), ValueError, "target 1 is 0 everywhere"),
        (np.zeros((40, 2, 2)), ValueError, "got shape"),
        ([[1.0, 2.0]] * 39 + [[1.0]], ValueError, "rows of several lengths"),
        (pd.DataFrame(np.stack([Y, Y], 1), columns=["a", "a"]), ValueError, "different names"),
        (None, ValueError, "y is missing"),
        (3.0, TypeError, "one number per sequence, got float"),
    ],
)
def test_bad_targets(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        regressor(max_epochs=0).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "poisson"}, r"counts or rates ≥ 0, but target 'target' holds -1 \(at 3\)"),
        ({"options": {"log1p": True}}, r"log1p needs targets ≥ 0, but target 'target' holds -1 \(at 3\)"),
        ({"options": {"log1p": 1}}, "log1p must be True or False"),
        ({"loss": "mae"}, "loss must be one of"),
        ({"target_column": 3}, "target_column must be"),
        ({"linear": "yes"}, "linear must be"),
        ({"validation_fraction": 0.7}, "validation_fraction must be"),
    ],
)
def test_bad_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regressor(**params).fit(X, put(-1))


def test_bad_targets_of_bases() -> None:
    rows = [np.arange(30.0) for _ in X]
    with pytest.raises(ValueError, match=r"y\[2\] must have 30 targets, one per base, got 29"):
        regressor(per_base=True).fit(X, [*rows[:2], rows[2][1:], *rows[3:]])
    with pytest.raises(ValueError, match=r"y\[2\] has 1 missing or infinite targets \(the first at 4\): drop those b"):
        regressor(per_base=True).fit(X, [*rows[:2], np.where(np.arange(30) == 4, np.nan, 1.0), *rows[3:]])
    with pytest.raises(ValueError, match="the same number of targets at every base"):
        regressor(per_base=True).fit(X, [*rows[:2], np.zeros((30, 2)), *rows[3:]])
    with pytest.raises(TypeError, match=r"y\[0\] must hold numbers"):
        regressor(per_base=True).fit(X, ["ACGTACGTAC" * 3] * 40)


def test_bad_weights_groups_and_tests() -> None:
    model = regressor(max_epochs=0)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match=r"one number per sequence \(40\), got shape \(39,\)"):
        model.fit(X, Y, sample_weight=np.ones(39))
    with pytest.raises(ValueError, match="finite, ≥ 0"):
        model.fit(X, Y, sample_weight=-np.ones(40))
    with pytest.raises(ValueError, match="40 sequences, 2 entries"):
        model.fit(X, Y, groups=["a", "b"])
    model.fit(X, Y)
    with pytest.raises(ValueError, match="y must have 1 targets, as in training, got 2"):
        model.score(X, np.stack([Y, Y], 1))
    with pytest.raises(ValueError, match="position 1: letter 'J'"):
        model.predict(["JJJ"])
