"""WallClock: histories on local clocks and forecasts back, across clock changes of any zone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.series import parse_frequency
from titans_datasets.series.time.calendar_features import local_index
from titans_datasets.series.time.wall_clock import WallClock

BERLIN, HOURLY = ZoneInfo("Europe/Berlin"), parse_frequency("h")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC")
# Change of the clocks as a multiple of the step; hourly data of Lord Howe do not see theirs.
SEEN = [
    (zone, freq) for zone in ZONES for freq in ("h", "30min", "15min") if (zone, freq) != ("Australia/Lord_Howe", "h")
]


def pattern(local: pd.DatetimeIndex) -> np.ndarray:
    """Values of a local time of day."""
    return np.asarray(local.hour * 60 + local.minute, dtype=np.float64)


def test_in_spring_the_missing_hour_is_nan_and_dropped_from_the_forecast() -> None:
    # On 2023-03-26 at 1:00 UTC, 2 o'clock becomes 3 o'clock.
    clock = WallClock(pd.Timestamp("2023-03-25 23:00"), HOURLY, 4, 0, BERLIN)
    assert (clock.wall_start, clock.history, clock.changes) == (pd.Timestamp("2023-03-26 00:00"), 5, True)
    np.testing.assert_array_equal(clock.to_wall(np.array([[0.0, 1, 3, 4]])), [[0, 1, np.nan, 3, 4]])
    ahead = WallClock(pd.Timestamp("2023-03-25 22:00"), HOURLY, 1, 4, BERLIN)
    assert (ahead.history, ahead.horizon) == (1, 5)
    quantiles = np.arange(5.0)[:, None] + np.array([0.0, 0.5])
    np.testing.assert_array_equal(ahead.from_wall(quantiles), quantiles[[0, 1, 3, 4]])


def test_in_autumn_the_doubled_hour_is_averaged_and_repeated_in_the_forecast() -> None:
    # On 2023-10-29 at 1:00 UTC, 3 o'clock becomes 2 o'clock again.
    clock = WallClock(pd.Timestamp("2023-10-28 23:00"), HOURLY, 4, 0, BERLIN)
    np.testing.assert_array_equal(clock.to_wall(np.array([1.0, 2.0, 4.0, 7.0])), [1, 3, 7])
    np.testing.assert_array_equal(clock.to_wall(np.array([1.0, np.nan, 4.0, np.nan])), [1, 4, np.nan])
    ahead = WallClock(pd.Timestamp("2023-10-28 22:00"), HOURLY, 1, 4, BERLIN)
    assert ahead.horizon == 3
    np.testing.assert_array_equal(ahead.from_wall(np.array([1.0, 2.0, 3.0]), axis=-1), [1, 2, 2, 3])


def test_a_history_that_ends_within_the_doubled_hour_leaves_it_to_the_forecast() -> None:
    clock = WallClock(pd.Timestamp("2023-10-28 22:00"), HOURLY, 3, 2, BERLIN)
    np.testing.assert_array_equal(clock.to_wall(np.array([0.0, 1.0, 2.0])), [0, 1])
    np.testing.assert_array_equal(clock.from_wall(np.array([[2.0], [3.0]])), [[2], [3]])
    # One reading, and its hour comes again: it is kept.
    alone = WallClock(pd.Timestamp("2023-10-29 00:00"), HOURLY, 1, 2, BERLIN)
    assert (alone.changes, alone.history, alone.horizon) == (False, 1, 2)


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(SEEN),
    days=st.integers(0, 720),
    offset=st.integers(0, 95),
    length=st.integers(5, 900),
    horizon=st.integers(0, 200),
)
def test_a_local_pattern_is_the_same_on_the_wall_clock_and_comes_back(
    case: tuple[str, str], days: int, offset: int, length: int, horizon: int
) -> None:
    zone, frequency = ZoneInfo(case[0]), parse_frequency(case[1])
    start = pd.Timestamp("2022-01-01") + pd.Timedelta(days=days) + offset * pd.Timedelta(frequency.multiple)
    clock = WallClock(start, frequency, length, horizon, zone)
    local = local_index(frequency.range(start, length + horizon), zone)
    wall = frequency.range(clock.wall_start, clock.history + clock.horizon)
    seen = clock.to_wall(np.stack([pattern(local[:length]), np.ones(length)]))
    there = ~np.isnan(seen[0])
    np.testing.assert_array_equal(seen[0][there], pattern(wall[: clock.history])[there])
    assert clock.history - int(there.sum()) <= 4 * (1 + length * frequency.multiple // (180 * 86_400 * 10**9))
    back = clock.from_wall(pattern(wall[clock.history :])[:, None])
    np.testing.assert_array_equal(back[:, 0], pattern(local[length:]))


@pytest.mark.parametrize(
    ("zone", "freq"), [("Australia/Lord_Howe", "h"), ("Europe/Berlin", "3h"), ("Europe/Berlin", "D")]
)
def test_a_change_of_less_than_a_step_moves_nothing(zone: str, freq: str) -> None:
    clock = WallClock(pd.Timestamp("2023-01-01"), parse_frequency(freq), 3000, 7, ZoneInfo(zone))
    assert (clock.changes, clock.history, clock.horizon) == (False, 3000, 7)


@pytest.mark.parametrize("zone", [None, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), BERLIN])
def test_without_a_change_everything_is_itself(zone: ZoneInfo | None) -> None:
    clock = WallClock(pd.Timestamp("2023-05-01"), HOURLY, 100, 24, zone)
    values, ahead = np.arange(100.0), np.arange(48.0).reshape(24, 2)
    assert not clock.changes
    assert clock.to_wall(values) is values
    assert clock.from_wall(ahead) is ahead


def test_other_lengths_are_refused() -> None:
    clock = WallClock(pd.Timestamp("2023-03-25"), HOURLY, 24, 24, BERLIN)
    with pytest.raises(ValueError, match="the history must have 24 steps along axis -1, got 25"):
        clock.to_wall(np.zeros(25))
    with pytest.raises(ValueError, match=f"the forecast must have {clock.horizon} steps along axis -2, got 3"):
        clock.from_wall(np.zeros((3, 2)))
