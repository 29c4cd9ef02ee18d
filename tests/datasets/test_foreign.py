"""Tables of other libraries: Arrow's interface, polars where it is installed, the interchange protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest

from titans_datasets.foreign import as_pandas
from titans_datasets.series import SeriesSchema, attach_future, to_records

FRAME = pd.DataFrame(
    {"item_id": ["a"] * 9, "timestamp": pd.date_range("2022-01-01", periods=9), "target": np.arange(9.0)}
)


class OnlyStream:
    """What polars, duckdb and others have in common."""

    def __init__(self, table: pyarrow.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


class OnlyInterchange:
    """A table that knows the older protocol."""

    def __dataframe__(self, *args: Any, **named: Any) -> Any:
        return pyarrow.Table.from_pandas(FRAME).__dataframe__(*args, **named)


def tables() -> dict[str, Any]:
    table = pyarrow.Table.from_pandas(FRAME)
    days = table.set_column(1, "timestamp", table["timestamp"].cast(pyarrow.date32()))
    return {
        "arrow": table,
        "batch": table.to_batches()[0],
        "stream": OnlyStream(table),
        "days": OnlyStream(days),
        "interchange": OnlyInterchange(),
    }


@pytest.mark.parametrize("name", list(tables()))
def test_a_table_of_another_library_is_read_as_one_of_pandas(name: str) -> None:
    record = to_records(tables()[name]).records[0]
    expected = to_records(FRAME).records[0]
    assert (record.item_id, record.start, record.freq) == (expected.item_id, expected.start, expected.freq)
    np.testing.assert_array_equal(record.target, expected.target)


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    test = to_records(polars.DataFrame(FRAME.to_dict("list"))).records[0]
    np.testing.assert_array_equal(test.target, FRAME["target"])
    np.testing.assert_array_equal(to_records(polars.Series("y", [1.0, 2.0])).records[0].target, [1, 2])


def test_a_column_is_a_series() -> None:
    np.testing.assert_array_equal(to_records(pyarrow.chunked_array([[1.0, 2.0], [3.0]])).records[0].target, [1, 2, 3])


def test_a_future_frame_of_another_library() -> None:
    frame = FRAME.assign(x=np.arange(9.0))
    schema = SeriesSchema(known_covariates=("x",))
    future = OnlyStream(pyarrow.Table.from_pandas(frame[7:]))
    record = attach_future(to_records(frame[:7], schema), future, schema, 2).records[0]  # type: ignore[arg-type]
    assert record.feat_dynamic_real is not None and record.feat_dynamic_real.shape == (1, 9)


def test_other_things_stay_what_they_are() -> None:
    for thing in (FRAME, FRAME["target"], 3, "text", [1], np.zeros(2)):
        assert as_pandas(thing) is thing
