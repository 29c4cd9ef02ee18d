"""Quantiles of frames whose columns are named by their levels: "0.1", "0.5".

Shapes: P rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


def levels_of(frame: pd.DataFrame) -> dict[float, str]:
    """Quantile level → column name, for the columns that are named by a level, in rising order."""
    found = {}
    for column in frame.columns:
        try:
            level = float(column)
        except (TypeError, ValueError):
            continue
        if 0 < level < 1:
            found[level] = column
    return dict(sorted(found.items()))


def quantile_at(frame: pd.DataFrame, level: float) -> FloatArray | None:
    """The quantile (P,) at a level, interpolated between neighbouring columns; None outside them."""
    levels = levels_of(frame)
    exact = next((column for x, column in levels.items() if abs(x - level) < 1e-9), None)
    if exact is not None:
        return frame[exact].to_numpy(np.float64)
    below = max((x for x in levels if x < level), default=None)
    above = min((x for x in levels if x > level), default=None)
    # Further apart than this, a straight line between two quantiles is no longer the quantile between them.
    if below is None or above is None or above - below > 0.21:
        return None
    share = (level - below) / (above - below)
    low, high = (frame[levels[x]].to_numpy(np.float64) for x in (below, above))
    return np.asarray((1 - share) * low + share * high)
