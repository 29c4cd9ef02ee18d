"""Each bad input gets an error that names the place and the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesSchema, to_records

HOURS = pd.date_range("2024-01-01", periods=10, freq="h")


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"item_id": "a", "timestamp": HOURS, "target": np.arange(10.0), **columns})


def refuse(data: object, match: str, kind: type[Exception] = ValueError, **schema: Any) -> None:
    with pytest.raises(kind, match=match):
        to_records(data, SeriesSchema(**schema))


def test_duplicate_stamps() -> None:
    refuse(
        pd.concat([frame(), frame().iloc[2:4]]),
        r"item 'a' has several rows .*2024-01-01 02:00:00.*2 duplicate rows in 1",
    )


def test_missing_columns_name_those_that_exist() -> None:
    refuse(frame(), r"'sales' not found, the data have 'item_id', 'timestamp', 'target'", target_column="sales")
    refuse(frame(), r"'shop' not found.*id_column=", id_column="shop")
    refuse(frame(), r"'promo' not found", known_covariates=("promo",))
    refuse(frame().drop(columns="timestamp"), r"^column 'timestamp' not found")
    both = r"^columns 'timestamp', 'target' not found.*nothing but numbers"
    refuse(frame().drop(columns=["timestamp", "target"]), both)


def test_target_that_is_no_number() -> None:
    refuse(frame(target=["1"] * 8 + ["n/a", None]), r"target 'target' must be numeric.*'1', 'n/a'", TypeError)
    few = [*(f"{k}.5" for k in range(8)), "closed", "closed"]
    refuse(frame(target=few), r"values such as 'closed': correct", TypeError)
    refuse(frame(target=HOURS), "must be numeric, got datetime64", TypeError)
    refuse(frame(target=pd.Categorical(["x"] * 10)), "must be numeric, got category", TypeError)
    refuse(frame(target=np.arange(10) + 1j), "must be numeric, got complex", TypeError)


def test_numbers_in_unusual_types_are_numbers() -> None:
    from decimal import Decimal

    for target in ([Decimal(k) for k in range(10)], pd.array(list(range(10)), "Int64"), [k > 4 for k in range(10)]):
        assert to_records(frame(target=target)).records[0].target.dtype == np.float64


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinite_value(value: float) -> None:
    refuse(frame(target=[0.0] * 7 + [value, 0, 0]), r"item 'a' has an infinite .* at 2024-01-01 07:00:00 \(1 row")


@pytest.mark.parametrize("data", [frame().iloc[:0], [], {}, np.empty((0, 3)), np.empty(0), pd.Series(dtype=float)])
def test_empty(data: object) -> None:
    refuse(data, "hold no rows")


def test_irregular_stamps() -> None:
    stamps = list(HOURS)
    stamps[6] += pd.Timedelta("7min")
    refuse(frame(timestamp=stamps), r"item 'a' .*freq='h' \(inferred.*2024-01-01 06:07:00.*freq= .*resample")
    refuse(frame(), r"freq='2h' \(given\).*01:00:00", freq="2h")


def test_one_stamp_has_no_frequency() -> None:
    refuse(frame().iloc[:1], "pass freq=")
    assert to_records(frame().iloc[:1], SeriesSchema(freq="h")).records[0].length == 1


def test_unreadable_stamps() -> None:
    refuse(frame(timestamp=["2024-01-01"] * 9 + ["yesterday"]), r"'timestamp' holds .* not timestamps.*'yesterday'")
    refuse(frame(timestamp=[*HOURS[:9], None]), r"1 of 10 rows have no 'timestamp'")
    refuse(frame(timestamp=np.arange(10) + 0.5), "float64")
    refuse(frame(timestamp=np.arange(10) + 1_700_000_000), "seconds since")


def test_row_without_a_series() -> None:
    refuse(frame(item_id=["a"] * 9 + [None]), r"1 rows have no 'item_id'")


def test_other_kinds_of_data() -> None:
    refuse(42, "expected a DataFrame.*got int", TypeError)
    refuse([[1, 2]], "item 0 must be a pandas Series or a 1-D array, got list", TypeError)
    refuse(np.zeros((2, 2, 2)), r"\(T,\) or \(N, T\)")
    refuse([pd.Series([1.0], index=HOURS[:1]), pd.Series([1.0])], "same kind of index")
    refuse(np.zeros((2, 20)), "need a long DataFrame", known_covariates=("x",))


def test_schema() -> None:
    with pytest.raises(ValueError, match="came up twice"):
        SeriesSchema(past_covariates=("x",), known_covariates=("x",))
    with pytest.raises(TypeError, match="write \\('x',\\)"):
        SeriesSchema(past_covariates="x")  # type: ignore[arg-type]


def test_static_covariate_that_changes() -> None:
    refuse(frame(size=range(10)), "static covariate 'size' changes within item 'a'", static_covariates=("size",))
