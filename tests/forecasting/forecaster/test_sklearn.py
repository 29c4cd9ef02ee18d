"""scikit-learn manners: clone, searches, pipelines, pickles, and rows of covariates beside a target."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags

from tests.forecasting.common import ROLES, forecaster, frame, network_only, values, with_covariates
from titans_ts.forecasting import metrics
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

SPLITS = TimeSeriesSplit(n_splits=2, test_size=6)


def rows(length: int = 160) -> tuple[pd.DataFrame, np.ndarray]:
    """Covariates and a target that follows them."""
    data = with_covariates(length)
    return data[["timestamp", "price", "kind"]], data["target"].to_numpy()


def test_clone_and_parameters() -> None:
    model = forecaster(block="mal", known_covariates=("price",))
    twin = clone(model)
    assert twin is not model
    assert twin.get_params() == model.get_params()
    assert twin.set_params(max_steps=3, block="lmm").max_steps == 3
    assert "TitansForecaster(" in repr(twin)
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        model.set_params(no_such=1)


def test_init_only_stores() -> None:
    quantiles, options = [0.5], {"width": 8}
    model = TitansForecaster(prediction_length=-3, quantiles=quantiles, options=options)
    assert model.quantiles is quantiles
    assert model.options is options
    assert not [name for name in vars(model) if name.endswith("_")]


def test_fit_does_not_change_parameters() -> None:
    model = forecaster()
    before = repr(model.get_params())
    assert model.fit(frame()) is model
    assert repr(model.get_params()) == before


def test_pickle_of_the_fitted_forecaster() -> None:
    model = forecaster(**ROLES).fit(with_covariates())
    again = pickle.loads(pickle.dumps(model))
    data = with_covariates(ahead=6)
    pd.testing.assert_frame_equal(again.predict(future=data[160:]), model.predict(future=data[160:]))


def test_rows_continue_the_training_data() -> None:
    X, y = rows()
    model = forecaster(max_steps=0).fit(X[:150], y[:150])
    found = model.predict(X[150:])
    assert found.shape == (10,)
    assert np.abs(found - y[150:]).mean() < 1.5
    # Rows in another order, and only some of them.
    chosen = [157, 151, 150, 153, 152, 155, 154, 156]
    np.testing.assert_allclose(model.predict(X.iloc[chosen]), model.predict(X[150:158])[np.array(chosen) - 150])


def test_rows_are_the_same_series_as_a_table() -> None:
    X, y = rows()
    known = ("price", "kind")
    by_rows = forecaster(known_covariates=known).fit(X[:154], y[:154])
    table = forecaster(known_covariates=known).fit(X[:154].assign(target=y[:154]))
    expected = table.predict(future=X[154:])
    assert isinstance(expected, pd.DataFrame)
    assert np.array_equal(by_rows.predict(X[154:]), expected["0.5"])
    quantiles = by_rows.predict_quantiles(X[154:], [0.1, 0.9])
    assert np.array_equal(quantiles, expected[["0.1", "0.9"]])


def test_rows_of_several_items_in_any_order() -> None:
    data = frame()
    X, y = data[["item_id", "timestamp"]], data["target"]
    train = data["timestamp"] < data["timestamp"][154]
    model = forecaster().fit(X[train], y[train])
    later = X[~train].sample(frac=1, random_state=0)
    table = forecaster().fit(data[train]).predict().set_index(["item_id", "timestamp"])["0.5"]
    expected = [table[item, stamp] for item, stamp in zip(later["item_id"], later["timestamp"], strict=True)]
    np.testing.assert_allclose(model.predict(later), expected, rtol=1e-6)


def test_arrays_without_timestamps_follow_the_training_rows() -> None:
    X, y = rows()
    prices = X[["price"]].to_numpy()
    model = forecaster(freq="h", max_steps=0).fit(prices[:150], y[:150])
    stamped = forecaster(max_steps=0).fit(X[["timestamp", "price"]][:150], y[:150])
    one, two = model.predict(prices[150:]), stamped.predict(X[["timestamp", "price"]][150:])
    assert np.abs(one - two).max() < 0.5
    assert np.abs(one - y[150:]).mean() < 1.5


def test_a_time_index_is_the_timestamp() -> None:
    X, y = rows()
    indexed = X.set_index("timestamp")
    found = forecaster().fit(indexed[:150], y[:150]).predict(indexed[150:])
    assert np.array_equal(found, forecaster().fit(X[:150], y[:150]).predict(X[150:]))


def test_several_targets() -> None:
    X, y = rows()
    model = forecaster(target_column=("a", "b")).fit(X[:150], np.column_stack([y, 2 * y])[:150])
    assert model.predict(X[150:158]).shape == (8, 2)
    assert model.predict_quantiles(X[150:158]).shape == (8, 2, 11)


def test_score_of_rows() -> None:
    X, y = rows()
    model = forecaster().fit(X[:150], y[:150])
    quantiles = model.predict_quantiles(X[150:])
    assert isinstance(quantiles, np.ndarray)
    expected = -metrics.weighted_quantile_loss(y[150:], quantiles, model.levels_)
    assert model.score(X[150:], y[150:]) == pytest.approx(expected)
    assert model.score(X[150:], y[150:] + 20) < expected


def test_cross_validation() -> None:
    X, y = rows()
    scores = cross_val_score(forecaster(), X, y, cv=SPLITS, error_score="raise")
    assert scores.shape == (2,)
    assert (scores < 0).all()
    assert (scores > -0.5).all()


def test_cross_validation_of_the_values_alone() -> None:
    y = values(160)
    nothing = np.zeros((160, 1))
    scores = cross_val_score(forecaster(freq="h"), nothing, y, cv=SPLITS, error_score="raise")
    assert (scores > -0.1).all()


def test_grid_search_over_rows() -> None:
    X, y = rows()
    grid = {"block": ["lmm", "attention"], "max_steps": [0, 1]}
    search = GridSearchCV(network_only(), grid, cv=SPLITS, error_score="raise").fit(X, y)
    assert set(search.best_params_) == {"block", "max_steps"}
    assert len(search.cv_results_["params"]) == 4
    later = X.assign(timestamp=X["timestamp"] + pd.Timedelta(hours=160))[:6]
    assert search.predict(later).shape == (6,)


def test_grid_search_over_a_table() -> None:
    data = frame(("a",))
    search = GridSearchCV(network_only(), {"max_steps": [0, 1]}, cv=SPLITS, error_score="raise").fit(data)
    assert np.isfinite(search.best_score_)
    assert search.predict(data).shape == (6, 14)


def test_pipeline_with_a_column_transformer() -> None:
    X, y = rows()
    columns = ColumnTransformer([("price", StandardScaler(), ["price"]), ("kind", OneHotEncoder(), ["kind"])])
    pipe = Pipeline([("columns", columns), ("forecast", forecaster(freq="h", max_steps=0))])
    pipe.fit(X[:150], y[:150])
    assert np.abs(pipe.predict(X[150:]) - y[150:]).mean() < 1.5
    scores = cross_val_score(pipe, X, y, cv=SPLITS, error_score="raise")
    assert (scores > -0.5).all()
    pipe.set_params(forecast=network_only(freq="h"))
    search = GridSearchCV(pipe, {"forecast__max_steps": [0, 1]}, cv=SPLITS, error_score="raise").fit(X, y)
    assert search.best_params_["forecast__max_steps"] in (0, 1)


def test_pipeline_that_keeps_frames() -> None:
    X, y = rows()
    columns = ColumnTransformer(
        [("price", StandardScaler(), ["price"])], remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipe = Pipeline([("columns", columns), ("forecast", forecaster())]).fit(X[:150], y[:150])
    assert pipe.predict(X[150:]).shape == (10,)
    assert pipe[-1].schema_.known_covariates == ("price", "kind")


def test_sparse_rows() -> None:
    from scipy.sparse import csr_matrix

    X, y = rows()
    dense = X[["price"]].to_numpy()
    one, two = (forecaster().fit(x[:150], y[:150]).predict(x[150:]) for x in (dense, csr_matrix(dense)))
    assert np.array_equal(one, two)


def test_a_regressor_that_knows_its_columns() -> None:
    X, y = rows()
    prices = X[["price"]].to_numpy()
    model = forecaster(max_steps=0)
    assert is_regressor(model)
    assert get_tags(model).input_tags.allow_nan
    assert not hasattr(model.fit(frame()), "n_features_in_")
    model.fit(X[:150], y[:150])
    assert model.n_features_in_ == 3
    assert model.feature_names_in_.tolist() == ["timestamp", "price", "kind"]
    with pytest.raises(ValueError, match=r"X has 4 features, but TitansForecaster is expecting 3 features.*'more'"):
        model.predict(X[150:].assign(more=1))
    model.fit(prices[:150], y[:150])
    assert model.n_features_in_ == 1
    assert not hasattr(model, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 2 features, but TitansForecaster is expecting 1 feature"):
        model.predict(np.column_stack([prices, prices])[150:])
    with pytest.raises(ValueError, match="complex numbers in 'x0'"):
        model.fit(prices + 1j, y)
    model.fit(np.column_stack([prices, prices])[:150], y[:150])
    with pytest.raises(ValueError, match="X has 1 features, but TitansForecaster is expecting 2 features"):
        model.predict(prices[150:])
    X["price"] = X["price"].astype(object)
    X.at[X.index[3], "price"] = {"list": 2.0}
    with pytest.raises(TypeError, match="got dict in 'price' of X"):
        model.fit(X[:150], y[:150])


def test_voting_and_stacking() -> None:
    X, y = rows()
    prices, ours = X[["price"]].to_numpy(), forecaster(freq="h", max_steps=0)
    voting = VotingRegressor([("titans", ours), ("ridge", Ridge())]).fit(prices[:150], y[:150])
    parts = [part.predict(prices[150:]) for part in voting.estimators_]
    np.testing.assert_allclose(voting.predict(prices[150:]), np.mean(parts, axis=0))
    # Rows that were held out come after those of the fit: fitted before, not by folds.
    stacking = StackingRegressor(list(zip("ab", voting.estimators_, strict=True)), Ridge(), cv="prefit")
    assert stacking.fit(prices[150:], y[150:]).predict(prices[150:]).shape == (10,)


def test_cross_val_predict_is_told_that_rows_are_not_a_partition() -> None:
    X, y = rows()
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(forecaster(), X, y, cv=SPLITS)


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    """Fitted on the first 150 rows; a fit that fails leaves it as it was."""
    X, y = rows()
    return forecaster(max_steps=0).fit(X[:150], y[:150])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X, y: m.predict(), "pass the rows to be forecast"),
        (lambda m, X, y: m.predict(X[150:], prediction_length=3), "pass the rows to be forecast, and nothing else"),
        (lambda m, X, y: m.predict(X[140:155]), "10 lie before the end of the training data"),
        (lambda m, X, y: m.predict(X[155:]), "known covariates 'price', 'kind' are missing for item 'series'"),
        (lambda m, X, y: m.predict(X[150:].drop(columns="price")), "price"),
        (lambda m, X, y: m.predict(X[:0]), "X holds no rows"),
        (lambda m, X, y: m.fit(X, y[:10]), "got 160 and 10 rows"),
        (lambda m, X, y: m.fit(X, np.stack([y, y], 1)), r"y must have 1 column\(s\), got 2"),
    ],
)
def test_refused_rows(fitted: TitansForecaster, call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(fitted, *rows())


def test_data_that_are_no_rows() -> None:
    X, y = rows()
    with pytest.raises(ValueError, match="needs a table of series"):
        forecaster(options={"channel_mixing": True}).fit(X[["timestamp"]], y)
    with pytest.raises(TypeError, match="X must be a DataFrame or an array"):
        forecaster().fit("builtin:weather", y)


def test_not_fitted() -> None:
    from sklearn.exceptions import NotFittedError

    for call in ("predict", "predict_quantiles", "plot"):
        with pytest.raises(NotFittedError):
            getattr(forecaster(), call)()
    with pytest.raises(NotFittedError):
        forecaster().save("nowhere")
