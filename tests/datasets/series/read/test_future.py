"""Known covariates of the steps to be forecast: whose they are, and categories that the fit has not seen."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import pytest

from titans_datasets.series import SeriesPanel, SeriesSchema, SeriesWarning, attach_future, to_records

SCHEMA = SeriesSchema(known_covariates=("promo",))
DAYS = pd.date_range("2022-01-01", periods=12)


def past(*items: Any) -> SeriesPanel:
    """Series of these names; one without the id column for None."""
    one = pd.DataFrame({"timestamp": DAYS[:9], "target": 1.0, "promo": ["none", "half", "full"] * 3})
    return to_records(one if items == (None,) else pd.concat([one.assign(item_id=item) for item in items]), SCHEMA)


def future(*items: Any, promo: str = "half") -> pd.DataFrame:
    frame = pd.DataFrame({"timestamp": DAYS[9:], "promo": promo})
    return frame if not items else pd.concat([frame.assign(item_id=item) for item in items])


@pytest.mark.parametrize(("items", "ids"), [(("a",), ()), ((None,), ()), ((None,), ("a",)), (("a",), ("a",))])
def test_one_series_needs_no_id(items: tuple[Any, ...], ids: tuple[Any, ...]) -> None:
    known = attach_future(past(*items), future(*ids), SCHEMA, 3).records[0].feat_dynamic_real
    assert known is not None and known[:, 9:].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_rows_that_are_not_used_are_named() -> None:
    with pytest.warns(SeriesWarning, match="3 rows of 1 item that the data do not have, not used: 'b'"):
        known = attach_future(past("a"), future("a", "b"), SCHEMA, 3).records[0].feat_dynamic_real
    assert known is not None and known[:, 9:].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    noon = future("a").assign(timestamp=DAYS[9:] + pd.Timedelta(hours=12))
    with pytest.warns(SeriesWarning, match="3 rows between two steps, not used: 'a'"):
        attach_future(past("a"), pd.concat([future("a"), noon]), SCHEMA, 3)


@pytest.mark.parametrize(("promo", "said"), [("none", 0), ("full", 1)])
def test_rows_of_the_past_that_say_something_else_are_named(promo: str, said: int) -> None:
    rows = pd.concat([future("a"), pd.DataFrame({"item_id": "a", "timestamp": DAYS[:1], "promo": promo})])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        known = attach_future(past("a"), rows, SCHEMA, 3).records[0].feat_dynamic_real
    assert known is not None and known[:, 0].tolist() == [0, 0, 1]
    assert ["1 row of the past with other values of 'promo'" in str(one.message) for one in caught] == [True] * said


def test_several_series_need_their_ids() -> None:
    with pytest.raises(ValueError, match=r"future frame lacks the column 'item_id' .*the data have 2 items: 'a', 'b'"):
        attach_future(past("a", "b"), future(), SCHEMA, 3)
    with pytest.raises(ValueError, match=r"'item_id' is '1', '2' there and 1, 2 in the data"):
        attach_future(past(1, 2), future("1", "2"), SCHEMA, 3)
    with pytest.raises(ValueError, match="'item_id' is 'b' there and 'a' in the data"):
        attach_future(past("a"), future("b"), SCHEMA, 3)


def test_an_unknown_category_is_one_warning() -> None:
    with pytest.warns(
        SeriesWarning, match=r"'promo' has levels not seen at fit: 'Half' \(in the future frame\)"
    ) as caught:
        known = attach_future(past("a", "b"), future("a", "b", promo="Half"), SCHEMA, 3).records[0].feat_dynamic_real
    assert len(caught) == 1 and known is not None and not known[:, 9:].any()
