"""Covariates are encoded alike at fit and at predict; the future of known ones must be complete."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import (
    CovariateEncoder,
    SeriesPanel,
    SeriesSchema,
    SyntheticSpec,
    WindowSpec,
    WindowStore,
    attach_future,
    synthetic_frame,
    to_records,
)

SCHEMA = SeriesSchema(static_covariates=("region",), past_covariates=("load",), known_covariates=("promotion",))
FRAME = synthetic_frame(SyntheticSpec(length=40))
CUT = FRAME.timestamp.unique()[30]


def panel(**changes: Any) -> SeriesPanel:
    return to_records(FRAME[FRAME.timestamp < CUT].assign(**changes), SCHEMA)


def test_encoding() -> None:
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024", periods=6, freq="D"),
            "target": np.arange(6.0),
            "number": [1.0, 2, np.nan, 4, 5, 6],
            "flag": [True, False, True, True, False, False],
            "kind": ["x", "y", "x", None, "z", "y"],
        }
    )
    schema = SeriesSchema(past_covariates=("number", "flag", "kind"))
    known = to_records(frame, schema).records[0].past_feat_dynamic_real
    assert known is not None and known.shape == (6, 6)
    np.testing.assert_allclose(known[0], np.nan_to_num((frame.number - 3.6) / frame.number.std(ddof=0)), rtol=1e-5)
    assert known[1].tolist() == [0, 0, 1, 0, 0, 0]
    assert known[2].tolist() == [1, 0, 1, 1, 0, 0]
    assert known[3:].T.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_statics() -> None:
    frame = FRAME.assign(
        size=FRAME.item_id.map({"item_0": 1.0, "item_1": 2.0, "item_2": 3.0}), big=FRAME.item_id == "item_2"
    )
    schema = SeriesSchema(static_covariates=("region", "size", "big"))
    found = to_records(frame, schema)
    assert found.encoder is not None and found.encoder.cardinality == (3,) and found.encoder.static_real_width == 2
    assert [np.asarray(r.feat_static_cat).tolist() for r in found.records] == [[1], [2], [1]]
    np.testing.assert_allclose([np.asarray(r.feat_static_real)[1] for r in found.records], [0, 0, 1])
    unseen = to_records(frame.assign(region="moon"), schema, encoder=found.encoder)
    assert [np.asarray(r.feat_static_cat).tolist() for r in unseen.records] == [[0]] * 3
    assert "covariate 'region' has levels not seen at fit: 'moon'" in unseen.notes


def test_encoder_survives_json() -> None:
    fitted = panel(load=lambda data: data["load"].where(data.index % 7 > 0))
    assert fitted.encoder is not None
    again = CovariateEncoder.from_dict(json.loads(json.dumps(fitted.encoder.to_dict())))
    assert again == fitted.encoder
    assert again.width(("load",)) == 2 and again.width(("promotion",)) == 1


def test_predict_uses_the_scales_of_the_fit() -> None:
    fitted = panel()
    shifted = to_records(FRAME[FRAME.timestamp < CUT].assign(load=FRAME["load"] + 1), SCHEMA, encoder=fitted.encoder)
    assert fitted.encoder is not None
    one, two = fitted.records[0].past_feat_dynamic_real, shifted.records[0].past_feat_dynamic_real
    assert one is not None and two is not None
    np.testing.assert_allclose(two - one, 1 / fitted.encoder.codes["load"].scale, rtol=1e-4)


def test_constant_and_wild_columns_are_tame() -> None:
    for values in (np.full(90, 3.0), np.r_[np.zeros(89), 1e30], np.full(90, np.nan)):
        past = panel(load=values).records[-1].past_feat_dynamic_real
        assert past is not None and np.isfinite(past).all() and np.abs(past).max() <= 10


def test_columns_that_differ_from_fit() -> None:
    encoder = panel().encoder
    with pytest.raises(ValueError, match="'load' was numeric at fit and is category now"):
        to_records(FRAME.assign(load="high"), SCHEMA, encoder=encoder)
    with pytest.raises(ValueError, match="covariates differ from those of fit"):
        to_records(FRAME, SeriesSchema(past_covariates=("load",)), encoder=encoder)
    with pytest.raises(ValueError, match="'load' not found"):
        to_records(FRAME.drop(columns="load"), SCHEMA, encoder=encoder)
    with pytest.raises(ValueError, match="120 categories, at most 32"):
        to_records(FRAME.assign(load=FRAME.index.map(str)), SCHEMA)
    with pytest.raises(ValueError, match="covariate 'load' holds 1 infinite"):
        panel(load=np.r_[np.inf, np.zeros(89)])


def test_future_frame_and_appended_rows_agree() -> None:
    future = FRAME[FRAME.timestamp >= CUT].drop(columns="target").sample(frac=1, random_state=0)
    fitted = panel()
    attached = attach_future(fitted, future, SCHEMA, 10)
    appended = FRAME.assign(target=FRAME.target.where(FRAME.timestamp < CUT))
    both = attach_future(to_records(appended, SCHEMA, encoder=fitted.encoder), None, SCHEMA, 10)
    for one, two in zip(attached.records, both.records, strict=True):
        assert one.feat_dynamic_real is not None and one.feat_dynamic_real.shape == (1, 40)
        np.testing.assert_array_equal(one.feat_dynamic_real, np.asarray(two.feat_dynamic_real))
        np.testing.assert_array_equal(one.target, two.target)
    store = WindowStore(attached.records, WindowSpec(8, 10))
    batch = store.batch(store.last_window())
    expected = np.asarray(attached.records[1].feat_dynamic_real)[0, 30:]
    np.testing.assert_array_equal(batch["future_time_feat"][1, :, -1], expected)


def test_future_must_be_complete() -> None:
    future, fitted = FRAME[FRAME.timestamp >= CUT], panel()
    gone = (future.item_id == "item_1") & (future.timestamp == CUT + pd.Timedelta("3h"))
    message = r"'promotion' are missing for item 'item_1' at '2022-01-02 09:00:00'; 1 row in 1 item: 'item_1'"
    with pytest.raises(ValueError, match=message):
        attach_future(fitted, future[~gone], SCHEMA, 10)
    with pytest.raises(ValueError, match=message):
        attach_future(fitted, future.assign(promotion=future.promotion.where(~gone)), SCHEMA, 10)
    with pytest.raises(ValueError, match="6 rows in 3 items"):
        attach_future(fitted, future, SCHEMA, 12)
    with pytest.raises(ValueError, match="need values for the next 10 steps: pass a frame"):
        attach_future(fitted, None, SCHEMA, 10)
    with pytest.raises(ValueError, match="the future frame lacks 'promotion'"):
        attach_future(fitted, future.drop(columns="promotion"), SCHEMA, 10)
    with pytest.raises(ValueError, match="several rows for one timestamp of item 'item_0'"):
        attach_future(fitted, pd.concat([future, future.iloc[:1]]), SCHEMA, 10)


def test_future_in_a_time_zone() -> None:
    zoned = FRAME.assign(timestamp=FRAME.timestamp.dt.tz_localize("UTC").dt.tz_convert("America/New_York"))
    past, ahead = zoned[FRAME.timestamp < CUT], zoned[FRAME.timestamp == CUT]
    attached = attach_future(to_records(past, SCHEMA), ahead, SCHEMA, 1)
    expected = attach_future(panel(), FRAME[FRAME.timestamp == CUT], SCHEMA, 1)
    for one, two in zip(attached.records, expected.records, strict=True):
        np.testing.assert_array_equal(np.asarray(one.feat_dynamic_real), np.asarray(two.feat_dynamic_real))
