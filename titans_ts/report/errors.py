"""Where the errors of a backtest lie: by step, by window, by series; and whether intervals hold what they promise.

Shapes: n rows of a frame of forecasts (windows × horizon), P steps ahead.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.quantile_columns import levels_of, quantile_at
from titans_ts.report.series import Columns, middle

FloatArray = npt.NDArray[np.float64]


class Errors(NamedTuple):
    """Errors of a backtest's forecasts.

    Attributes:
        by_step: index step (from 1), columns MAE, "50 %" and "90 %" (shares of actual values inside the intervals; a
            column is absent where the levels do not give the interval).
        by_series: one row a series, the largest relative error first: the id's column, "windows", "MAE", "relative
            error" (Σ|actual − median| over Σ|actual|), "bias" (mean of median − actual), "in 90 %".
        levels: quantile level → share of actual values at or below it.
    """

    by_step: pd.DataFrame
    by_series: pd.DataFrame
    levels: dict[float, float]

    @property
    def worst(self) -> list[Hashable]:
        """Series by falling relative error."""
        return list(self.by_series.iloc[:, 0])


def errors_of(forecasts: pd.DataFrame, columns: Columns) -> Errors | None:
    """Errors of forecasts with their "cutoff" and "actual"; None where no actual value is known.

    Args:
        forecasts: n rows, see `titans_ts.forecasting.backtest.result.BacktestResult.forecasts`.
        columns: names of its columns.
    """
    found = middle(forecasts)
    known = forecasts["actual"].notna().to_numpy() if len(forecasts) else np.zeros(0, dtype=bool)
    if found is None or not known.any():
        return None
    item = columns.item if columns.item in forecasts.columns else None
    ids = forecasts[item] if item is not None else pd.Series("series", index=forecasts.index)
    actual, median = forecasts["actual"].to_numpy(np.float64), found[1]
    step = forecasts.groupby([ids, forecasts["cutoff"]], sort=False, dropna=False).cumcount().to_numpy() + 1
    rows = pd.DataFrame({"id": ids.to_numpy(), "step": step, "cutoff": forecasts["cutoff"].to_numpy()})
    rows = rows.assign(error=np.abs(actual - median), size=np.abs(actual), bias=median - actual)
    for share in (50, 90):
        inside = _inside(forecasts, actual, share / 100)
        if inside is not None:
            rows[f"{share} %"] = inside
    rows = rows[known]
    shares = [name for name in ("50 %", "90 %") if name in rows.columns]
    by_step = rows.groupby("step")[["error", *shares]].mean().rename(columns={"error": "MAE"})
    levels = {
        level: float((actual[known] <= forecasts[column].to_numpy(np.float64)[known]).mean())
        for level, column in levels_of(forecasts).items()
    }
    return Errors(by_step, _by_series(rows, columns.item if item is not None else "series"), levels)


def _inside(forecasts: pd.DataFrame, actual: FloatArray, share: float) -> FloatArray | None:
    low, high = (quantile_at(forecasts, (1 + sign * share) / 2) for sign in (-1, 1))
    if low is None or high is None:
        return None
    return ((low <= actual) & (actual <= high)).astype(np.float64)


def _by_series(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    groups = rows.groupby("id", sort=False, dropna=False)
    size = groups["size"].sum()
    found = pd.DataFrame(
        {
            "windows": groups["cutoff"].nunique(),
            "MAE": groups["error"].mean(),
            "relative error": groups["error"].sum() / size.where(size > 0),
            "bias": groups["bias"].mean(),
        }
    )
    if "90 %" in rows.columns:
        found["in 90 %"] = groups["90 %"].mean()
    found = found.sort_values("relative error", ascending=False, kind="stable", na_position="last")
    return found.rename_axis(name).reset_index()
