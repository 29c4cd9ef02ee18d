"""Effects, maps and attributions of regressors: changes of the prediction, in units of the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.genomics.common import measured, regressor
from titans_ts.genomics import DNARegressor, integrated_gradients, mutate, variant_effects

X, Y = measured(120)


@pytest.fixture(scope="module")
def model() -> DNARegressor:
    return regressor(max_epochs=1, linear=False).fit(X, pd.DataFrame({"strength": Y, "rate": 5 - 100 * Y}))


def test_effects_are_differences_of_predictions(model: DNARegressor) -> None:
    found = mutate(model, X[0], output="rate")
    changed = "ACGT"["ACGT".index(X[0][4]) - 1]
    both = model.predict([X[0], X[0][:4] + changed + X[0][5:]])[:, 1]
    assert found.score == pytest.approx(both[0])
    assert found.effects[4, "ACGT".index(changed)] == pytest.approx(both[1] - both[0], rel=1e-3, abs=1e-3)
    assert found.output == "predicted rate"


def test_variants(model: DNARegressor) -> None:
    variants = pd.DataFrame({"chrom": ["c"], "pos": [15], "ref": [X[0][14]], "alt": ["ACGT"["TGCA".index(X[0][14])]]})
    found = variant_effects(model, variants, {"c": X[0]}, window=20, output="strength")
    assert found["effect"].iloc[0] == pytest.approx(found["alt_score"].iloc[0] - found["ref_score"].iloc[0])


def test_targets_are_named(model: DNARegressor) -> None:
    for explain in (mutate, integrated_gradients):
        with pytest.raises(ValueError, match=r"one of the targets \['strength', 'rate'\], got None"):
            explain(model, X[0])
        with pytest.raises(ValueError, match="got 'colour'"):
            explain(model, X[0], output="colour")
    with pytest.raises(ValueError, match="not fitted"):
        mutate(DNARegressor(), X[0])
    with pytest.raises(ValueError, match="answer per base"):
        rows = [np.arange(30.0)] * 40
        mutate(regressor(per_base=True, max_epochs=0).fit(X[:40], rows), X[0])


@pytest.mark.filterwarnings("ignore:attributions add up")
def test_attributions_add_up_to_predictions(model: DNARegressor) -> None:
    found = integrated_gradients(model, X[0], output="rate")
    assert found.score == pytest.approx(model.predict(X[:1])[0, 1], rel=1e-3)
    assert found.importance.sum() - found.gap == pytest.approx(found.score - found.baseline_score)


@pytest.mark.parametrize("changes", [{}, {"loss": "poisson"}, {"options": {"log1p": True}}])
def test_the_linear_part_is_attributed_too(changes: dict[str, Any]) -> None:
    counts = np.abs(Y) * 10
    linear = regressor(max_epochs=0, **changes).fit(X, counts)
    assert not np.any(linear.model_.parts.weights[0])
    found = integrated_gradients(linear, X[0], steps=1)
    predicted = linear.predict(X[:1])[0]
    score = {"loss": np.log(predicted), "options": np.log1p(predicted)}.get(next(iter(changes), ""), predicted)
    assert found.score == pytest.approx(score, rel=1e-3)
    assert found.importance.sum() == pytest.approx(found.score - found.baseline_score, rel=1e-4, abs=1e-6)


def test_other_regressors() -> None:
    counted = make_pipeline(
        FunctionTransformer(lambda texts: np.array([[text.count("G")] for text in texts])), LinearRegression()
    ).fit(X, [2 * text.count("G") for text in X])
    found = mutate(counted, "AAGA")
    assert found.importance[2] == pytest.approx(2)
