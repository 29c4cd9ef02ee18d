"""Small data for reports, and a reader of their HTML."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from titans_ts.report import Columns, ForecastRecord, HTMLReport

# Names that break a page which writes them as they are.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "</title></style><svg onload=alert(4)>",
    "javascript:alert(5)",
    "<!-- <b>&amp;</b>\u2028\x00",
)
FOREIGN = ("متجر الرياض", "東京 本店", "Zürich", "חנות")
COLUMNS = Columns("shop", "day", "units")


class Scores(NamedTuple):
    """What a backtest found."""

    metrics: pd.DataFrame
    by_window: pd.DataFrame
    notes: list[str]
    verdict: list[str]


class Tags(HTMLParser):
    """Tags of a page outside of its scripts, with their attributes, and its text."""

    VOID = ("meta", "img", "input", "br", "hr", "link")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def read(page: str) -> Tags:
    """The tags of a page; every one that is opened is closed."""
    found = Tags()
    found.feed(page)
    assert found.wrong == [] and found.open == []
    return found


def data_of(page: str) -> dict[str, Any]:
    """The data of the charts, as the page's script reads them."""
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, flags=re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def own_size(report: HTMLReport) -> int:
    """Bytes of a report without the library."""
    from titans_ts.report.page import library

    return len(report.to_html().encode()) - len(library().encode())


def forecast_frame(names: list[str], steps: int, start: str = "2024-03-01", seed: int = 0) -> pd.DataFrame:
    """A forecast of `steps` days for each name."""
    count = len(names)
    middle = 100.0 + 10 * np.repeat(np.arange(count), steps) + np.random.default_rng(seed).normal(0, 1, count * steps)
    levels = {f"{x:g}": middle + 8 * (x - 0.5) for x in (0.05, 0.25, 0.5, 0.75, 0.95)}
    days = np.tile(pd.date_range(start, periods=steps).to_numpy(), count)
    ids = pd.Series(names, dtype=object).repeat(steps).to_numpy()
    return pd.DataFrame({"shop": ids, "day": days, "mean": middle, **levels})


def record(names: list[str], steps: int = 7, length: int = 60, windows: int = 2, **changes: Any) -> ForecastRecord:
    """A forecast with its backtest."""
    rng = np.random.default_rng(1)
    days = pd.date_range(end="2024-02-29", periods=length)
    past = pd.DataFrame(
        {
            "shop": pd.Series(names, dtype=object).repeat(length).to_numpy(),
            "day": np.tile(days.to_numpy(), len(names)),
            "units": 100 + rng.normal(0, 3, (len(names), length)).cumsum(axis=1).reshape(-1),
        }
    )
    earlier = []
    for window in range(windows):
        cutoff = days[-1] - pd.Timedelta(days=steps * (windows - window))
        one = forecast_frame(names, steps, str((cutoff + pd.Timedelta(days=1)).date()), window)
        one.insert(1, "cutoff", cutoff)
        earlier.append(one.assign(actual=one["0.5"] + rng.normal(0, 3, len(one))))
    metrics = pd.DataFrame(
        {"MASE": [0.6, 0.5, 0.9], "WQL": [0.1, 0.2, 0.3], "coverage 50%": [0.5, 0.4, 0.7], "coverage 90%": [0.9] * 3},
        index=["titans", "theta 7", "seasonal naive"],
    )
    by_window = pd.DataFrame(
        [
            {"window": w, "model": m, "MASE": metrics.at[m, "MASE"], "WQL": 0.1}
            for w in range(windows)
            for m in metrics.index
        ]
    )
    weights = pd.DataFrame({"network": 0.7, "theta 7": 0.3}, index=pd.Index(names, dtype=object))
    given: dict[str, Any] = {
        **{"name": "sales.csv", "columns": COLUMNS, "step": "1 D", "history": past},
        **{"forecast": forecast_frame(names, steps), "earlier": pd.concat(earlier, ignore_index=True)},
        "backtest": Scores(metrics, by_window, ["2 windows of 7 steps"], ["best row of the backtest: theta 7"]),
        **{"weights": weights, "told": ["forecast by: 70 % network, 30 % theta"], "data": ["series   2"]},
        "settings": {"prediction_length": steps, "block": "mag"},
    }
    return ForecastRecord(**(given | changes))
