"""The report of a detection: how many alarms, when, and the series with their surprise.

Shapes: n rows, K tokens of a series.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.text import counted
from titans_ts.report import elements
from titans_ts.report.page import HTMLReport, Page
from titans_ts.report.series import MOST_NUMBERS, ByItem, Columns, dated, moments, numbers, plan, rounder
from titans_ts.report.settings import add_settings
from titans_ts.report.tables import data_table, number

# The component of surprise that is most unusual, in words.
MEANINGS = {
    "patch": "unusual shape",
    "step": "unusual changes from step to step",
    "dynamics": "changes follow each other differently",
    "season": "off its seasonal profile",
}
# Most steps of a picture.
LONGEST = 20_000


@dataclass(frozen=True, kw_only=True)
class AlarmRecord:
    """What a report of a detection tells.

    Attributes:
        name: of the data.
        columns: names of the frames' columns.
        series: long frame of what was watched.
        found: a row a series and token, as `TitansForecaster.detect` returns it.
        rate: the false-alarm rate.
        data: lines about the data.
        settings: of the forecaster.
        items: series to have a picture; None has them chosen.

    Example:
        >>> found = pd.DataFrame({"item_id": "a", "timestamp": [1, 2], "surprise": [0.1, 3]})
        >>> found = found.assign(threshold=1, alarm=found["surprise"] > 1)
        >>> series, columns = found.assign(target=[5.0, 9.0]), Columns("item_id", "timestamp", "target")
        >>> AlarmRecord(name="pumps", columns=columns, series=series, found=found, rate=0.01).rate
        0.01
    """

    name: str
    columns: Columns
    series: pd.DataFrame
    found: pd.DataFrame
    rate: float
    data: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    items: Sequence[Hashable] | None = None


def alarm_segments(found: pd.DataFrame, timestamp: str) -> pd.DataFrame:
    """Segments of consecutive alarms, those with the largest surprise first.

    Args:
        found: as `TitansForecaster.detect` returns it.
        timestamp: its column of timestamps.

    Returns:
        The columns that name the series, "after" (the last step before the segment), "up to", "surprise" and
        "threshold" at its peak, and "most unusual", where the parts of surprise are known.

    Example:
        >>> found = pd.DataFrame({"item_id": "a", "timestamp": [1, 2, 3], "surprise": [0.1, 3, 2]})
        >>> found = found.assign(threshold=1, alarm=found["surprise"] > 1)
        >>> alarm_segments(found, "timestamp")[["after", "up to", "surprise"]].values.tolist()
        [[1, 3, 3.0]]
    """
    names = [name for name in found.columns[: list(found.columns).index("surprise")] if name != timestamp]
    stamps, series = found[timestamp], [found[name] for name in names] or [pd.Series(0, index=found.index)]
    before = stamps.astype(object).groupby(series, sort=False).shift(1)
    new = found["alarm"] & ~found["alarm"].groupby(series, sort=False).shift(1, fill_value=False)
    rows = found.assign(after=before.where(before.notna(), stamps), segment=new.cumsum())[found["alarm"]]
    groups = rows.groupby("segment")
    peaks = rows.loc[groups["surprise"].idxmax()].set_index("segment")
    table = peaks[names].assign(**{"after": groups["after"].first(), "up to": groups[timestamp].last()})
    table = table.assign(surprise=peaks["surprise"], threshold=peaks["threshold"])
    if len(peaks) and set(MEANINGS) <= set(peaks.columns):
        table["most unusual"] = peaks[list(MEANINGS)].abs().idxmax(axis=1).map(MEANINGS)
    return table.sort_values("surprise", ascending=False, kind="stable").reset_index(drop=True)


def alarm_report(record: AlarmRecord) -> HTMLReport:
    """The report of a detection.

    Raises:
        ValueError: items that were not watched.

    Example:
        >>> found = pd.DataFrame({"item_id": "a", "timestamp": [1, 2], "surprise": [0.1, 3]})
        >>> found = found.assign(threshold=1, alarm=found["surprise"] > 1)
        >>> series, columns = found.assign(target=[5.0, 9.0]), Columns("item_id", "timestamp", "target")
        >>> alarm_report(AlarmRecord(name="pumps", columns=columns, series=series, found=found, rate=0.01))
        HTMLReport('Alarms: pumps')
    """
    series, found = dated((record.series, record.found), record.columns.timestamp)
    assert series is not None and found is not None
    tokens, alarms = ByItem(found, record.columns), int(found["alarm"].sum())
    page = Page(f"Alarms{f': {record.name}' if record.name else ''}", f"{len(tokens):,} series watched")
    segments = alarm_segments(found, record.columns.timestamp)
    share = alarms / len(found) if len(found) else 0.0
    page.add(
        elements.facts(
            {
                "Series": (f"{len(tokens):,}", f"{len(found):,} tokens read"),
                "Alarms": (f"{alarms:,}", f"{100 * share:.2g} % of the tokens"),
                "Segments": (f"{len(segments):,}", "of alarms in a row"),
                "False-alarm rate": (f"{100 * record.rate:g} %", "of tokens at most, where nothing changes"),
            }
        )
    )
    page.add(elements.paragraph(_verdict(share, record.rate, len(segments)), "verdict"))
    if len(segments):
        page.section("The alarms")
        shown = segments.assign(**{name: moments(segments[name]) for name in ("after", "up to")})
        shown = shown if record.columns.item in shown.columns else shown.assign(series="series")
        first = record.columns.item if record.columns.item in shown.columns else "series"
        order = [first, *(name for name in shown.columns if name != first)]
        page.add(data_table(shown[order], "Segments of alarms, the largest surprise first.", left=("most unusual",)))
    _add_pictures(page, record, series, tokens)
    page.section("The data")
    page.add(elements.pre("\n".join(record.data)) if record.data else elements.paragraph("Nothing was noted."))
    add_settings(page, record.settings)
    return page.finished()


def _verdict(share: float, rate: float, segments: int) -> str:
    if not segments:
        return "There is no alarm: nothing surprised the memory more than the history did."
    if share <= rate:
        return (
            f"The share of alarms, {100 * share:.2g} %, is not above the {100 * rate:g} % that are expected where "
            "nothing changes: look at the largest ones first."
        )
    return f"There are {share / rate:.2g} times as many alarms as are expected where nothing changes."


def _add_pictures(
    page: Page, record: AlarmRecord, series: pd.DataFrame, tokens: Mapping[Hashable, pd.DataFrame]
) -> None:
    page.section("The series")
    if not tokens:
        page.add(elements.paragraph("There is nothing to show: no token was read."))
        return
    alarms = {item: int(rows["alarm"].sum()) for item, rows in tokens.items()}
    by_alarms = sorted(tokens, key=lambda item: -alarms[item])
    ordered = by_alarms if record.items is None else list(tokens)
    chosen = plan(ordered, 1, by_alarms, record.items, "with most alarms")
    steps = min(LONGEST, MOST_NUMBERS // (2 * len(chosen.items)))
    values = ByItem(series, record.columns)
    items = [_item(page, record.columns, item, values.get(item), tokens[item], steps) for item in chosen.items]
    page.add(page.chooser(items, "Series", x="", y=elements.label(record.columns.target), below="surprise"))
    if chosen.note:
        page.add(elements.paragraph(chosen.note))


def _item(
    page: Page, columns: Columns, item: Hashable, series: pd.DataFrame | None, tokens: pd.DataFrame, steps: int
) -> dict[str, Any]:
    """The picture of one series: its values, and below them its surprise beside the threshold."""
    tracks: list[dict[str, Any]] = []
    count = 0 if series is None else len(series)
    if series is not None:
        shown = series.tail(steps)
        tokens = tokens[tokens[columns.timestamp] >= shown[columns.timestamp].iloc[0]]
        values = shown[columns.target].to_numpy(np.float64, na_value=np.nan)
        line = {"name": "values", "role": "history", "axis": page.axis(moments(shown[columns.timestamp])), "at": 0}
        tracks.append({**line, "values": numbers(values, rounder(values))})
    axis = page.axis(moments(tokens[columns.timestamp]))
    for name, role in (("surprise", "surprise"), ("threshold", "threshold")):
        line = {"name": name, "role": role, "axis": axis, "at": 0, "panel": 1}
        tracks.append({**line, "values": numbers(tokens[name], 3)})
    found = alarm_segments(tokens, columns.timestamp)
    spans = list(zip(moments(found["after"]), moments(found["up to"]), strict=True)) if len(found) else []
    text = f"{counted(len(found), 'segment')} of alarms, shaded." if len(found) else "No alarms."
    if len(found):
        text += f" The largest surprise, {number(float(found['surprise'].iloc[0]))}, up to {spans[0][1]}."
    if count > steps:
        text += f" Shown: the last {steps:,} of {count:,} steps."
    return {"name": str(item), "text": text, "tracks": tracks, "spans": [list(span) for span in spans]}
