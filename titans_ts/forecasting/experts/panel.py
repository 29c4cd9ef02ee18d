"""What every expert reads: the histories of a panel in float64, aligned at their ends, each in units of its own.

Shapes: N series, T steps, C cutoffs, H horizon steps, E drafts of an expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """Histories that end together: column T − 1 is the last step of every series, shorter ones begin later.

    Values are (history − location) / scale, so that an expert works in float64 near 0 whatever the level is.

    Attributes:
        values: (N, T), NaN where nothing was observed.
        filled: (N, T), gaps closed from earlier steps only (a season ago, else the last value); NaN before `start`.
        start: (N,) column of the first observed value; T where there is none.
        location, scale: (N,).

    Example:
        >>> import numpy as np
        >>> panel = Panel.of(np.array([[np.nan, 4.0, np.nan, 8.0]]))
        >>> panel.start.tolist(), (panel.filled * panel.scale + panel.location).tolist()
        ([1], [[nan, 4.0, 4.0, 8.0]])
    """

    values: FloatArray
    filled: FloatArray
    start: IntArray
    location: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, history: FloatArray, season: int = 1) -> Panel:
        """A panel of histories (N, T) with NaN for missing values, in any units."""
        history = np.asarray(history, dtype=np.float64)
        observed = np.isfinite(history)
        history = np.where(observed, history, np.nan)
        start = np.where(observed.any(axis=1), observed.argmax(axis=1), history.shape[1])
        location, scale = typical(history)
        values = (history - location[:, None]) / scale[:, None]
        return cls(values, fill(values, start, season), start, location, scale)

    @property
    def length(self) -> int:
        """Columns T."""
        return self.values.shape[1]

    def raw(self) -> FloatArray:
        """The histories (N, T) in their own units."""
        return self.values * self.scale[:, None] + self.location[:, None]

    def restore(self, drafts: FloatArray, rows: IntArray | None = None) -> FloatArray:
        """Drafts (…, N, C, H), of some rows or all, in the units of the histories."""
        scale, location = (x if rows is None else x[rows] for x in (self.scale, self.location))
        return np.asarray(drafts * scale[:, None, None] + location[:, None, None])

    def known(self, cutoff: int) -> IntArray:
        """(N,) steps between the first observed value and a cutoff; 0 where nothing was observed before it."""
        return np.maximum(cutoff - self.start, 0)


class Expert(Protocol):
    """A forecasting method, or a few that share their work, for all series and cutoffs at once.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.experts import Expert, Panel, default_experts
        >>> first: Expert = default_experts(season=3)[0]
        >>> first.names, first.drafts(Panel.of(np.array([[1.0, 2, 3, 1, 2, 3]]), 3), cutoffs=[6], horizon=2).shape
        (('last value', 'drift', 'mean of 3', 'mean of 8'), (4, 1, 1, 2))
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its E drafts."""

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (E, N, C, H) in the panel's units, each from the columns before its cutoff alone.

        NaN where the history is too short for the method, or of the wrong kind. Whether a series is of the right kind
        (positive, with zeros) may be decided by all of it; what is forecast may not.
        """


def typical(history: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median (N,) and mean absolute deviation from it (N,) of histories (N, T).

    A history that never varies gets a tenth of its level, or 1, as deviation; an empty one 0 and 1.
    """
    observed = np.isfinite(history)
    count = observed.sum(axis=1)
    ordered = np.sort(np.where(observed, history, np.inf), axis=1)
    middle = np.maximum(count - 1, 0) // 2
    location = np.where(count > 0, ordered[np.arange(len(history)), middle], 0.0)
    deviation = np.where(observed, np.abs(history - location[:, None]), 0.0).sum(axis=1) / np.maximum(count, 1)
    level = np.where(location != 0, 0.1 * np.abs(location), 1.0)
    return location, np.where(deviation > 0, deviation, level)


def fill(values: FloatArray, start: IntArray, season: int) -> FloatArray:
    """Values (N, T) with gaps after `start` closed from earlier steps: a season ago, else the last value."""
    filled = values.copy()
    steps = np.arange(values.shape[1])
    gaps = np.isnan(values) & (steps >= start[:, None])
    for t in np.flatnonzero(gaps.any(axis=0)):
        rows = np.flatnonzero(gaps[:, t])
        ago = np.where(t - season >= start[rows], t - season, t - 1)
        filled[rows, t] = filled[rows, ago]
    return filled


def aligned(histories: Sequence[FloatArray]) -> FloatArray:
    """Histories (T,) of different lengths as (R, max T), their ends together, NaN in front."""
    rows = np.full((len(histories), max(1, *(len(history) for history in histories))), np.nan)
    for row, history in zip(rows, histories, strict=True):
        if len(history):
            row[-len(history) :] = history
    return rows


def last_columns(filled: FloatArray, cutoff: int, length: int) -> FloatArray:
    """The `length` columns (N, length) before a cutoff, NaN where the panel does not reach back so far."""
    part = filled[:, max(0, cutoff - length) : cutoff]
    missing = length - part.shape[1]
    if not missing:
        return part
    padded = np.full((len(filled), length), np.nan)
    padded[:, missing:] = part
    return padded


def rows_at(filled: FloatArray, cutoffs: Sequence[int], length: int) -> FloatArray:
    """The `length` columns before each cutoff as rows (N · C, length)."""
    rows = np.full((len(filled), len(cutoffs), length), np.nan)
    for place, cutoff in enumerate(cutoffs):
        first = max(0, cutoff - length)
        rows[:, place, length - (cutoff - first) :] = filled[:, first:cutoff]
    return rows.reshape(-1, length)
