"""WallClock: series of a time zone with clock changes, as they look on local clocks.

A daily pattern follows local clocks, so that methods which read a season by its lag go wrong by an hour after each
change. On the wall-clock grid every day has 24 hours.

Shapes: T steps of history, H steps ahead, both in UTC; T' and H' of the wall-clock grid; Q quantile levels.
"""

from __future__ import annotations

from datetime import tzinfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.time.calendar_features import local_index
from titans_datasets.series.time.frequency import Frequency, Int64Array

FloatArray = npt.NDArray[np.float64]


class WallClock:
    """Maps the steps of a UTC grid onto local clocks, and forecasts back.

    In spring the steps of the missing hour are NaN, in autumn the mean of both readings of the doubled hour. A change
    that is no multiple of the step (half an hour on Lord Howe, hourly data) moves nothing; so does a step without a
    fixed length. A history that ends within the doubled hour loses those readings of it whose second pass is still to
    be forecast.

    Args:
        start: first step in UTC, without a zone.
        frequency: the step.
        length: T ≥ 1.
        horizon: H ≥ 0.
        timezone: of the clocks; None for none that change.

    Attributes:
        changes: whether the clocks change within history or horizon; otherwise everything is mapped to itself.
        wall_start: local stamp of the first wall-clock step.
        history: T', wall-clock steps of the history.
        horizon: H', wall-clock steps to be forecast for H steps.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> from titans_datasets.series import parse_frequency
        >>> start = pd.Timestamp("2024-03-31 00:00")  # 1 o'clock; at 2 o'clock it is 3 o'clock.
        >>> clock = WallClock(start, parse_frequency("h"), 3, 2, ZoneInfo("Europe/Berlin"))
        >>> clock.to_wall(np.array([1.0, 2.0, 3.0])).tolist(), clock.horizon
        ([1.0, nan, 2.0, 3.0], 2)
        >>> clock.from_wall(np.array([4.0, 5.0]), axis=-1).tolist()
        [4.0, 5.0]
    """

    def __init__(
        self, start: pd.Timestamp, frequency: Frequency, length: int, horizon: int, timezone: tzinfo | None
    ) -> None:
        places = _places(start, frequency, length + horizon, timezone)
        if horizon and places[length:].min() <= places.min():
            # All that was read lies within a doubled hour: nothing would be left of it.
            places = np.arange(length + horizon, dtype=np.int64)
        origin = int(places.min())
        local = local_index(pd.DatetimeIndex([start]), timezone)[0]
        self.wall_start: pd.Timestamp = local if not origin else frequency.shift(local, origin)
        self._past, self._ahead = places[:length] - origin, places[length:] - origin
        # What is still to be forecast begins the future, whatever was read of it an hour ago.
        self.history = int(self._ahead.min() if horizon else self._past.max() + 1)
        self.horizon = int(self._ahead.max()) + 1 - self.history if horizon else 0
        self.changes = bool((np.diff(places) != 1).any())

    def to_wall(self, values: FloatArray) -> FloatArray:
        """History (…, T) on the wall clock (…, T')."""
        self._check(values.shape[-1], len(self._past), "the history", -1)
        kept = self._past < self.history
        return values if not self.changes else _averaged(values[..., kept], self._past[kept], self.history)

    def covariates_to_wall(self, values: FloatArray) -> FloatArray:
        """What is known of history and horizon (…, T + H) on the wall clock (…, T' + H')."""
        places = np.concatenate([self._past, self._ahead])
        self._check(values.shape[-1], len(places), "what is known", -1)
        return values if not self.changes else _averaged(values, places, self.history + self.horizon)

    def from_wall(self, values: FloatArray, axis: int = -2) -> FloatArray:
        """A forecast of H' wall-clock steps as one of H steps: the absent hour is dropped, the doubled one repeated.

        Args:
            values: (…, H', Q), or (…, H') with axis −1.
            axis: the one of the H' steps.
        """
        self._check(values.shape[axis], self.horizon, "the forecast", axis)
        return values if not self.changes else np.take(values, self._ahead - self.history, axis=axis)

    @staticmethod
    def _check(got: int, expected: int, what: str, axis: int) -> None:
        if got != expected:
            raise ValueError(f"{what} must have {expected} steps along axis {axis}, got {got}")


def _averaged(values: FloatArray, places: Int64Array, length: int) -> FloatArray:
    """Values (…, n) at their places (n,) of a grid (…, length): the mean where two fall on one, NaN where none does."""
    first, last = (np.full((*values.shape[:-1], length), np.nan) for _ in range(2))
    # Of a place that comes twice the later assignment stays.
    first[..., places[::-1]], last[..., places] = values[..., ::-1], values
    both = ~np.isnan(first) & ~np.isnan(last)
    return np.where(both, (first + last) / 2, np.where(np.isnan(first), last, first))


def _places(start: pd.Timestamp, frequency: Frequency, count: int, timezone: tzinfo | None) -> Int64Array:
    """Wall-clock step (n,) of each UTC step, counted from the first one, which is 0."""
    steps = np.arange(count, dtype=np.int64)
    if timezone is None or frequency.unit != "ns":
        return steps
    index = frequency.range(start, count)
    ahead = (local_index(index, timezone) - index).to_numpy().astype("timedelta64[ns]").astype(np.int64)
    # Towards zero: a clock that moves by less than a step moves by none.
    return np.asarray(steps + np.trunc((ahead - ahead[:1]) / frequency.multiple).astype(np.int64))
