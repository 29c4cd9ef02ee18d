"""Known covariates of the steps to be forecast: whose they are, and categories that the fit has not seen."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("items", "ids"), [(("a",), ()), ((None,), ()), ((None,), ("a",)), (("a",), ("a",)), (("a",), ("a", "b"))]
)
def test_one_series_needs_no_id(items: tuple[Any, ...], ids: tuple[Any, ...]) -> None:
    known = attach_future(past(*items), future(*ids), SCHEMA, 3).records[0].feat_dynamic_real
    assert known is not None and known[:, 9:].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


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
