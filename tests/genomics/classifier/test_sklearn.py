"""scikit-learn manners: clone, cross-validation, searches, calibration, pipelines, stacking, pickles."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from tests.genomics.common import classifier, sequences
from titans_ts.genomics.classifier.classifier import DNAClassifier

X, Y = sequences(60)


def quick(**params: Any) -> DNAClassifier:
    """The linear part only: the tests are about scikit-learn, not about the network."""
    return classifier(**{"max_epochs": 0, **params})


def test_clone_and_parameters() -> None:
    model = quick(head="segments", class_weight={"yes": 2.0})
    twin = clone(model)
    assert twin is not model
    assert twin.get_params() == model.get_params()
    assert twin.set_params(ensemble_size=3).ensemble_size == 3
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        model.set_params(no_such=1)


def test_init_only_stores() -> None:
    options = {"width": 8}
    model = DNAClassifier(head="nonsense", options=options)
    assert model.options is options
    assert not [name for name in vars(model) if name.endswith("_")]


def test_tags() -> None:
    tags = get_tags(quick())
    assert is_classifier(quick())
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array


@pytest.mark.parametrize(
    "kind",
    [list, pd.Series, np.array, lambda X: [SeqRecord(Seq(one)) for one in X]],
    ids=["list", "Series", "array", "records"],
)
def test_cross_validation(kind: Any) -> None:
    assert cross_val_score(quick(), kind(X), Y, cv=3).mean() > 0.7


def test_groups() -> None:
    groups = np.arange(60) // 3
    folds = StratifiedGroupKFold(3)
    scores = cross_val_score(quick(), X, Y, groups=groups, cv=folds)
    assert scores.mean() > 0.7
    assert cross_val_predict(quick(), X, Y, groups=groups, cv=folds, method="predict_proba").shape == (60, 2)


def test_grid_search() -> None:
    grid = {"reverse_complement": ["augment", "none"], "class_weight": [None, "balanced"]}
    search = GridSearchCV(quick(), grid, cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.7
    assert search.best_estimator_.score(X, Y) > 0.9


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method: str) -> None:
    found = CalibratedClassifierCV(quick(), method=method, cv=2).fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(found.sum(1), 1)


def test_pipeline() -> None:
    trim = FunctionTransformer(lambda X: [one[5:] for one in X])
    pipeline = Pipeline([("trim", trim), ("classify", quick())])
    assert pipeline.fit(X, Y).score(X, Y) > 0.9
    assert cross_val_score(pipeline, X, Y, cv=2).mean() > 0.6


def test_stacking_and_voting() -> None:
    members = [("one", quick(reverse_complement="none")), ("two", quick(reverse_complement="augment"))]
    for model in (
        StackingClassifier(members, LogisticRegression(), cv=2),
        VotingClassifier(members, voting="soft"),
    ):
        assert model.fit(np.array(X), Y).score(np.array(X), Y) > 0.9


def test_learning_curve() -> None:
    sizes, train, test = learning_curve(quick(), np.array(X), Y, train_sizes=[0.5, 1.0], cv=2, shuffle=True)
    assert len(sizes) == len(train) == len(test) == 2


def test_pickle() -> None:
    model = quick().fit(X, Y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


def test_a_search_over_single_options() -> None:
    search = GridSearchCV(quick(), {"options__kmers": [(3, 3), (5, 4)], "ensemble_size": [1]}, cv=2).fit(X, Y)
    assert search.best_params_["options__kmers"] in [(3, 3), (5, 4)]
    assert search.best_estimator_.options["width"] == 8
    model = DNAClassifier(options={"layers": 1})
    given = model.options
    assert model.set_params(options__width=16, head="pooled").options == {"layers": 1, "width": 16}
    assert given == {"layers": 1} and DNAClassifier().set_params(options__width=16).options == {"width": 16}
    with pytest.raises(ValueError, match=r"option 'witdh' is unknown \(did you mean 'width'\?\)"):
        quick().set_params(options__witdh=16).fit(X, Y)


@pytest.mark.parametrize("kind", [list, set, np.array], ids=["lists", "sets", "arrays"])
def test_lists_of_tags(kind: Any) -> None:
    tags = [[name for name, there in (("motif", i >= 30), ("odd", i % 2)) if there] for i in range(60)]
    columns = pd.DataFrame({"motif": np.arange(60) >= 30, "odd": np.arange(60) % 2})
    model, same = quick().fit(X, [kind(row) for row in tags]), quick().fit(X, columns)
    assert model.classes_.tolist() == ["motif", "odd"]
    np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X))
    assert model.score(X, tags) == model.score(X, columns.to_numpy()) == same.score(X, pd.Series(tags))
    with pytest.raises(ValueError, match="y has the tag 'even', training had"):
        model.score(X, [*tags[:-1], ["even"]])
