"""Frequencies: every pandas alias, old or new, becomes one frozen `Frequency`.

Shapes: N stamps.  Stamps are int64 nanoseconds since 1970 (UTC or wall time, without a zone).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DAY_NS = 86_400_000_000_000
EVERY_DAY, BUSINESS_DAYS = "1111111", "1111100"
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
# Days of the month on which a half-monthly grid lies.
HALVES = (1, 15)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_FIXED_NS = {"D": DAY_NS, "h": DAY_NS // 24, "min": DAY_NS // 1440, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_FIXED_NAMES = {"d": "D", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "u": "us", "N": "ns", "n": "ns"}
# Old names on the left; on the right what pandas 2.2 to 3.1 all understand.
_MONTH_NAMES = {
    **{"M": "ME", "BM": "BME", "Q": "QE", "BQ": "BQE", "A": "YE", "Y": "YE", "AS": "YS"},
    **{"BA": "BYE", "BY": "BYE", "BAS": "BYS"},
}
_MONTHS_PER_STEP = {"M": 1, "Q": 3, "Y": 12}
_HELP = (
    "known: ns us ms s min h D B W[-MON] M MS ME Q QS QE Y YS YE and multiples such as 15min, and SMS (half-monthly)"
)


@dataclass(frozen=True)
class Frequency:
    """A regular time step.

    Args:
        offset_alias: pandas offset alias understood by pandas 2.2 to 3.1, for example "15min", "ME", "W-MON".
        period_alias: pandas period alias of the same step ("15min", "M", "W-MON"), the one gluonts wants.
        unit: what `multiple` counts: nanoseconds, months, half months or business days (the open days of `weekmask`).
        multiple: units per step, ≥ 1.

    Example:
        >>> monthly = parse_frequency("ME")
        >>> monthly.seasonality, monthly.shift(pd.Timestamp("2024-01-31"), 1)
        (12, Timestamp('2024-02-29 00:00:00'))
    """

    offset_alias: str
    period_alias: str
    unit: Literal["ns", "month", "half", "business"]
    multiple: int

    def __str__(self) -> str:
        return self.offset_alias

    @property
    def rule(self) -> str:
        """The offset's name without number and anchor: "min", "W", "ME", "BQS"."""
        return self.offset_alias.lstrip("0123456789").split("-")[0]

    @property
    def anchor(self) -> str | None:
        """Weekday of a weekly step ("MON"), month of a quarterly or yearly one ("DEC"), weekmask of open days
        ("1111110"), else None."""
        _, _, anchor = self.offset_alias.partition("-")
        return anchor or None

    @property
    def weekmask(self) -> str:
        """Open days of the week, Monday first: "1111100" for business days, all of them for other steps."""
        if self.unit != "business":
            return EVERY_DAY
        return self.anchor or BUSINESS_DAYS

    @property
    def seasonality(self) -> int:
        """Steps of the usual season: h 24, 30min 48, 15min 96, D 7, B 5, W 52, SMS 24, M 12, Q 4, Y 1.

        Under a weekmask the open days of a week.
        """
        if self.unit == "half":
            return 24
        if self.unit == "business":
            week = self.weekmask.count("1")
            return week // self.multiple if week % self.multiple == 0 else 1
        if self.unit == "month":
            return 12 // self.multiple if 12 % self.multiple == 0 else 1
        for season, longest in _SEASONS:
            if self.multiple < longest:
                return season // self.multiple if season % self.multiple == 0 else 1
        return max(364 * DAY_NS // self.multiple, 1)

    def range(self, start: pd.Timestamp, length: int) -> pd.DatetimeIndex:
        """`length` stamps, the first one being `start`, which must lie on the grid.

        Raises:
            ValueError: they go past the year 2261, the end of pandas' nanosecond stamps.
        """
        if self.unit == "ns":
            last = start.as_unit("ns").value + length * self.multiple
            if last > pd.Timestamp.max.value:
                raise pd.errors.OutOfBoundsDatetime(_too_far(start, length, self))
            return pd.DatetimeIndex(start.as_unit("ns").value + np.arange(length, dtype=np.int64) * self.multiple)
        if self.unit == "business":
            return self._open_days(start, np.arange(length, dtype=np.int64) * self.multiple)
        try:
            return pd.date_range(start, periods=length, freq=self.offset_alias).as_unit("ns")
        except (ValueError, OverflowError) as error:
            raise pd.errors.OutOfBoundsDatetime(_too_far(start, length, self)) from error

    def shift(self, start: pd.Timestamp, steps: int) -> pd.Timestamp:
        """The stamp `steps` (any sign) after `start`."""
        if self.unit == "ns":
            return pd.Timestamp(start.as_unit("ns").value + steps * self.multiple)
        if self.unit == "business":
            return self._open_days(start, np.array([steps * self.multiple], dtype=np.int64))[0] if steps else start
        offset: Any = to_offset(self.offset_alias)
        return pd.Timestamp(start + steps * offset) if steps else start

    def _open_days(self, start: pd.Timestamp, days: Int64Array) -> pd.DatetimeIndex:
        """The stamps that many open days after `start` (or after the first open day that follows it)."""
        first = np.datetime64(start.date(), "D")
        found = np.busday_offset(first, days, roll="forward", weekmask=self.weekmask)
        if len(found) and found.max() >= pd.Timestamp.max.to_datetime64().astype("datetime64[D]"):
            raise pd.errors.OutOfBoundsDatetime(_too_far(start, len(days), self))
        return pd.DatetimeIndex(found.astype("datetime64[ns]") + (start - start.normalize()).to_numpy()).as_unit("ns")

    def positions(self, stamps: Int64Array, first: Int64Array) -> tuple[Int64Array, BoolArray]:
        """Step numbers of `stamps` (N,) counted from `first` (N,), and whether each stamp lies on the grid.

        A step number is meaningful only where the second array is True.
        """
        if self.unit == "ns":
            distance = stamps - first
            on_grid = distance % self.multiple == 0
            if self.rule == "W":
                on_grid &= weekday(stamps) == WEEKDAYS.index(str(self.anchor))
            return distance // self.multiple, on_grid
        if self.unit == "half":
            distance = half_ordinals(stamps) - half_ordinals(first)
            return distance, (stamps % DAY_NS == first % DAY_NS) & np.isin(day_of_month(stamps), HALVES)
        distance, origin = (unit_ordinals(x, self.unit, self.weekmask) for x in (stamps, first))
        distance = distance - origin
        on_grid = (distance % self.multiple == 0) & (stamps % DAY_NS == first % DAY_NS)
        return distance // self.multiple, on_grid & on_calendar_rule(stamps, self.rule, self.anchor)


# (season, steps shorter than this have it): a second, an hour, a day, a week.
_SEASONS = ((10**9, 10**9), (_FIXED_NS["h"], _FIXED_NS["min"]), (DAY_NS, DAY_NS), (7 * DAY_NS, 7 * DAY_NS))


def parse_frequency(freq: str | timedelta | pd.offsets.BaseOffset | Frequency) -> Frequency:
    """Parse a frequency: any alias of pandas 1 to 3, an offset object or a timedelta.

    Raises:
        ValueError: the text names no supported frequency.

    Example:
        >>> [str(parse_frequency(freq)) for freq in ("M", "15T", "W", "Q", timedelta(hours=24))]
        ['ME', '15min', 'W-SUN', 'QE-DEC', 'D']
    """
    if isinstance(freq, Frequency):
        return freq
    if isinstance(freq, (timedelta, np.timedelta64)):
        return fixed_frequency(pd.Timedelta(freq).as_unit("ns").value)
    text = freq if isinstance(freq, str) else freq.freqstr
    if re.fullmatch(r"1?SM[SE]?(-15)?", text.strip()):
        return Frequency("SMS-15", "15D", "half", 1)
    match = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-([A-Za-z]{3}|[01]{7}))?", text.strip())
    parsed = _from_parts(int(match[1] or 1), match[2], (match[3] or "").upper()) if match else None
    parsed = parsed or _from_offset(text)
    if parsed is None:
        raise ValueError(f"freq={text!r} is not a frequency: pass a pandas alias ({_HELP})")
    return parsed


def seasonality(freq: str | timedelta | pd.offsets.BaseOffset | Frequency) -> int:
    """Steps in the season of a frequency; see `Frequency.seasonality`.

    Example:
        >>> seasonality("h"), seasonality("30min"), seasonality("D")
        (24, 48, 7)
    """
    return parse_frequency(freq).seasonality


def fixed_frequency(step: int) -> Frequency:
    """Frequency of `step` nanoseconds, spelled with the largest unit that divides it (60 min is "h")."""
    if step <= 0:
        raise ValueError(f"a time step must be positive, got {step} ns")
    name, size = next((name, size) for name, size in _FIXED_NS.items() if step % size == 0)
    alias = name if step == size else f"{step // size}{name}"
    return Frequency(alias, alias, "ns", step)


def monthly_frequency(rule: str, count: int, anchor: str = "") -> Frequency:
    """Frequency of `count` months, quarters or years; `rule` is the pandas name: ME, MS, QS, BYE …"""
    kind = rule.removeprefix("B")[0]
    months = _MONTHS_PER_STEP[kind]
    at_start = rule.endswith("S")
    number = "" if count == 1 else str(count)
    if kind == "M":
        return Frequency(f"{number}{rule}", f"{number}M", "month", count)
    anchor = anchor or ("JAN" if at_start else "DEC")
    # Periods are named by the month their year ends in: QS-JAN and Q-DEC are the same quarters.
    last_month = MONTHS[MONTHS.index(anchor) - 1] if at_start else anchor
    return Frequency(f"{number}{rule}-{anchor}", f"{number}{kind}-{last_month}", "month", count * months)


def weekly_frequency(anchor: str, count: int = 1) -> Frequency:
    """Frequency of `count` weeks whose stamps fall on the weekday `anchor` ("MON" … "SUN")."""
    alias = f"{'' if count == 1 else count}W-{anchor}"
    return Frequency(alias, alias, "ns", 7 * DAY_NS * count)


def open_days_frequency(weekmask: str, count: int = 1) -> Frequency:
    """Frequency of `count` open days of a weekmask ("1111110" for Monday to Saturday): "C-1111110", which pandas calls
    CustomBusinessDay; "B" for Monday to Friday and "D" for all days.

    Example:
        >>> frequency = open_days_frequency("1111110")
        >>> frequency.seasonality, frequency.shift(pd.Timestamp("2024-01-06"), 1)
        (6, Timestamp('2024-01-08 00:00:00'))
    """
    if weekmask == EVERY_DAY:
        return fixed_frequency(count * DAY_NS)
    alias = f"{'' if count == 1 else count}{'B' if weekmask == BUSINESS_DAYS else f'C-{weekmask}'}"
    return Frequency(alias, alias, "business", count)


def _from_parts(count: int, name: str, anchor: str) -> Frequency | None:
    if count < 1:
        return None
    fixed = _FIXED_NAMES.get(name, name)
    if fixed in _FIXED_NS and not anchor:
        return fixed_frequency(count * _FIXED_NS[fixed])
    if name == "B" and not anchor:
        return open_days_frequency(BUSINESS_DAYS, count)
    if name == "C" and "1" in anchor:
        return open_days_frequency(anchor, count)
    if name in ("W", "w") and anchor in ("", *WEEKDAYS):
        return weekly_frequency(anchor or "SUN", count)
    rule = _MONTH_NAMES.get(name, name)
    if re.fullmatch(r"B?[MQY][ES]", rule) and anchor in ("", *MONTHS):
        return monthly_frequency(rule, count, anchor)
    return None


def _from_offset(text: str) -> Frequency | None:
    """Compound steps such as "1h30min", which only pandas itself can add up."""
    try:
        offset: Any = to_offset(text)
        return fixed_frequency(pd.Timedelta(offset).as_unit("ns").value)
    except (ValueError, TypeError):
        return None


def _too_far(start: pd.Timestamp, length: int, frequency: Frequency) -> str:
    return f"{length} steps of {frequency} after {start} leave the years 1678 to 2261 that timestamps can hold"


def weekday(stamps: Int64Array) -> Int64Array:
    """Weekday of stamps (N,), Monday = 0; 1970-01-01 was a Thursday."""
    return (stamps // DAY_NS + 3) % 7


def unit_ordinals(stamps: Int64Array, unit: str, weekmask: str = BUSINESS_DAYS) -> Int64Array:
    """Number of the month, or of the open day of the weekmask, that each stamp (N,) falls in."""
    moments = stamps.view("datetime64[ns]")
    if unit == "month":
        return moments.astype("datetime64[M]").astype(np.int64)
    days = moments.astype("datetime64[D]")
    return np.asarray(np.busday_count(np.datetime64("1970-01-01"), days, weekmask=weekmask), dtype=np.int64)


def day_of_month(stamps: Int64Array) -> Int64Array:
    """Day of the month (1 … 31) of stamps (N,)."""
    moments = stamps.view("datetime64[ns]")
    first = moments.astype("datetime64[M]").astype("datetime64[D]")
    return (moments.astype("datetime64[D]") - first).astype(np.int64) + 1


def half_ordinals(stamps: Int64Array) -> Int64Array:
    """Number of the half month, 1st to 14th or 15th to last day, that each stamp (N,) falls in."""
    return np.asarray(2 * unit_ordinals(stamps, "month") + (day_of_month(stamps) >= HALVES[1]), dtype=np.int64)


def on_calendar_rule(stamps: Int64Array, rule: str, anchor: str | None) -> BoolArray:
    """Whether each stamp (N,) falls on a day that a calendar rule (B, C, MS, BQE …) names, whatever the time of day."""
    moments = stamps.view("datetime64[ns]")
    days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
    if rule in ("B", "C"):
        return np.array([day == "1" for day in anchor or BUSINESS_DAYS])[weekday(stamps)]
    first, next_first = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    if rule.startswith("B"):
        first = np.busday_offset(first, 0, roll="forward")
        # The business day before the first one of the next month.
        last = np.busday_offset(next_first, -1, roll="forward")
    else:
        last = next_first - 1
    fits = days == (first if rule.endswith("S") else last)
    if anchor:
        cycle = _MONTHS_PER_STEP[rule.removeprefix("B")[0]]
        fits &= (months.astype(np.int64) - MONTHS.index(anchor)) % cycle == 0
    return np.asarray(fits)
