"""Finding the frequency of timestamps, also when some are missing.

Shapes: N stamps of all series together, sorted by item and time; stamps are int64 nanoseconds.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from titans_datasets.series.time.frequency import (
    DAY_NS,
    HALVES,
    MONTHS,
    WEEKDAYS,
    BoolArray,
    Frequency,
    Int64Array,
    day_of_month,
    fixed_frequency,
    monthly_frequency,
    on_calendar_rule,
    parse_frequency,
    unit_ordinals,
    weekday,
    weekly_frequency,
)


def infer_frequency(stamps: Int64Array, codes: Int64Array) -> Frequency | None:
    """The frequency shared by all items, or None when no item has two stamps.

    Args:
        stamps: (N,) nanoseconds, ascending and unique within an item.
        codes: (N,) item of each stamp, ascending.

    Gaps do not matter: the most frequent step decides. Steps of a day are business days when no stamp falls on a
    weekend although weekends were passed; steps of four weeks and more are looked for in the calendar first.
    """
    within = codes[1:] == codes[:-1]
    steps = (stamps[1:] - stamps[:-1])[within]
    if steps.size == 0:
        return None
    step = most_frequent(steps)
    if 13 * DAY_NS <= step <= 17 * DAY_NS and steps.size > 1 and np.isin(day_of_month(stamps), HALVES).all():
        return parse_frequency("SMS")
    if step == DAY_NS and (weekday(stamps) < 5).all() and (steps == 3 * DAY_NS).any():
        return parse_frequency("B")
    if step >= 28 * DAY_NS:
        found = calendar_frequency(stamps, within)
        if found:
            return found
    if step % (7 * DAY_NS) == 0 and len(set(weekday(stamps).tolist())) == 1:
        return weekly_frequency(WEEKDAYS[int(weekday(stamps[:1])[0])], step // (7 * DAY_NS))
    return fixed_frequency(step)


def align_frequency(frequency: Frequency, stamps: Int64Array, first: Int64Array) -> Frequency:
    """The frequency of the same length on whose grid `stamps` (N,) lie.

    "M" is also used for month starts, "W" for Mondays. Returns `frequency` itself when it fits already or when no
    relative of it does.
    """
    if frequency.positions(stamps, first)[1].all():
        return frequency
    for relative in _relatives(frequency, stamps):
        if relative.positions(stamps, first)[1].all():
            return relative
    return frequency


def _relatives(frequency: Frequency, stamps: Int64Array) -> list[Frequency]:
    if frequency.rule == "W":
        return [weekly_frequency(WEEKDAYS[int(weekday(stamps[:1])[0])], frequency.multiple // (7 * DAY_NS))]
    if frequency.unit != "month":
        return []
    month = MONTHS[int(unit_ordinals(stamps[:1], "month")[0]) % 12]
    kind = frequency.rule.removeprefix("B")[0]
    count = frequency.multiple // {"M": 1, "Q": 3, "Y": 12}[kind]
    rules = [f"{business}{kind}{edge}" for business, edge in product(("", "B"), ("S", "E"))]
    return [monthly_frequency(rule, count, "" if kind == "M" else month) for rule in rules]


def calendar_frequency(stamps: Int64Array, within: BoolArray) -> Frequency | None:
    """The monthly, quarterly or yearly frequency whose rule (first or last day, also of business) all stamps follow.

    Args:
        stamps: (N,).
        within: (N − 1,) whether two neighbours are of one item.
    """
    months = unit_ordinals(stamps, "month")
    count = most_frequent((months[1:] - months[:-1])[within])
    month = MONTHS[int(months[0]) % 12]
    for edge in ("MS", "ME", "BMS", "BME"):
        if count < 1 or not on_calendar_rule(stamps, edge, None).all():
            continue
        for kind, length in (("Y", 12), ("Q", 3)):
            named = edge.replace("M", kind)
            if count % length == 0 and on_calendar_rule(stamps, named, month).all():
                return monthly_frequency(named, count // length, month if kind == "Y" else _quarter_anchor(month, edge))
        return monthly_frequency(edge, count)
    return None


def _quarter_anchor(month: str, edge: str) -> str:
    """The usual name of a quarterly grid: a month in the first quarter for starts, in the last one for ends."""
    place = MONTHS.index(month) % 3
    return MONTHS[place if edge.endswith("S") else 9 + place]


def fixed_steps(stamps: Int64Array, codes: Int64Array) -> bool:
    """Whether all steps are multiples of the most frequent one."""
    steps = (stamps[1:] - stamps[:-1])[codes[1:] == codes[:-1]]
    return bool(steps.size and (steps % most_frequent(steps) == 0).all())


def most_frequent(values: Int64Array) -> int:
    """The value that comes most often, the smallest of several."""
    levels, counts = np.unique(values, return_counts=True)
    return int(levels[counts.argmax()])
