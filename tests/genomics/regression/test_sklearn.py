"""scikit-learn manners of the regressor: clone, cross-validation, searches, pipelines, stacking, pickles."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.ensemble import StackingRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from tests.genomics.common import measured, regressor
from titans_ts.genomics import DNARegressor

X, Y = measured(150)


def quick(**params: Any) -> DNARegressor:
    """The linear part only: the tests are about scikit-learn, not about the network."""
    return regressor(**{"max_epochs": 0, "reverse_complement": "none", **params})


def test_clone_parameters_and_tags() -> None:
    model = quick(loss="huber")
    twin = clone(model)
    assert twin is not model and twin.get_params() == model.get_params()
    assert is_regressor(model) and get_tags(model).input_tags.string
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        model.set_params(no_such=1)
    options = {"width": 8}
    bare = DNARegressor(loss="nonsense", options=options)
    assert bare.options is options and not [name for name in vars(bare) if name.endswith("_")]


def test_cross_validation_and_search() -> None:
    assert cross_val_score(quick(), X, Y, cv=3).mean() > 0.3
    groups = np.arange(150) // 3
    assert cross_val_predict(quick(), X, Y, groups=groups, cv=GroupKFold(3)).shape == (150,)
    search = GridSearchCV(quick(), {"loss": ["mse", "huber"]}, cv=2).fit(X, Y)
    assert search.best_estimator_.score(X, Y) > 0.5


def test_pipeline_and_stacking() -> None:
    trim = FunctionTransformer(lambda X: [one[1:] for one in X])
    assert Pipeline([("trim", trim), ("regress", quick())]).fit(X, Y).score(X, Y) > 0.5
    members = [("one", quick(reverse_complement="none")), ("two", quick(reverse_complement="augment"))]
    assert StackingRegressor(members, cv=3).fit(np.array(X), Y).score(np.array(X), Y) > 0.5


def test_pickle() -> None:
    model = quick().fit(X, Y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
