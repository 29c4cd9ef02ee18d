"""The report of a forecast: how good it was in the backtest, its pictures, where errors lie, what it was made of.

Shapes: R rows (series × channels), E experts, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from titans_ts.report import elements, figures
from titans_ts.report.errors import Errors, errors_of
from titans_ts.report.page import HTMLReport, Page
from titans_ts.report.series import (
    ByItem,
    Columns,
    Plan,
    dated,
    intervals,
    middle,
    moments,
    numbers,
    plan,
    recent,
    rounder,
)
from titans_ts.report.settings import add_settings
from titans_ts.report.tables import data_table, metric_table, number

MODEL, NAIVE = "titans", "seasonal naive"
# Most experts with a bar, and with a column in the table of weights.
MOST_EXPERTS = 8
METRICS_IN_WORDS = (
    "MASE: mean absolute error over that of the seasonal naive forecast in the history (below 1: less than there); "
    "WQL: weighted quantile loss; MAE and RMSE in the units of the data; coverage: share of actual values inside the "
    "interval, best near its nominal share."
)


class Scores(Protocol):
    """What a backtest found, as `titans_ts.forecasting.backtest.result.BacktestResult` tells it."""

    @property
    def metrics(self) -> pd.DataFrame:
        """One row a model, one column a metric."""

    @property
    def by_window(self) -> pd.DataFrame:
        """Columns window, model, MASE, WQL."""

    @property
    def notes(self) -> list[str]:
        """Sentences about the protocol."""

    @property
    def verdict(self) -> list[str]:
        """Sentences about the best row."""


@dataclass(frozen=True, kw_only=True)
class ForecastRecord:
    """What a report of a forecast tells.

    Attributes:
        name: of the data.
        columns: names of the frames' columns.
        step: the time step in words, such as "1 D".
        history: long frame with the target.
        forecast: long frame with mean and quantile levels.
        backtest: scores; None without a backtest.
        earlier: forecasts of the backtest with "cutoff" and "actual".
        weights: (R, E) what forecast each series.
        told: sentences on what the forecasts were made of.
        data: lines about the data.
        settings: of the forecaster.
        items: series to have a picture; None has them chosen.

    Example:
        >>> past = pd.DataFrame({"shop": "a", "day": pd.date_range("2024-01-01", periods=3), "units": [1.0, 2, 3]})
        >>> ahead = pd.DataFrame({"shop": ["a"], "day": [pd.Timestamp("2024-01-04")], "mean": 4.0, "0.5": 4.0})
        >>> columns = Columns("shop", "day", "units")
        >>> ForecastRecord(name="sales", columns=columns, step="1 D", history=past, forecast=ahead).step
        '1 D'
    """

    name: str
    columns: Columns
    step: str
    history: pd.DataFrame
    forecast: pd.DataFrame
    backtest: Scores | None = None
    earlier: pd.DataFrame | None = None
    weights: pd.DataFrame = field(default_factory=pd.DataFrame)
    told: Sequence[str] = ()
    data: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    items: Sequence[Hashable] | None = None


def forecast_report(record: ForecastRecord) -> HTMLReport:
    """The report of a forecast.

    Raises:
        ValueError: items that are not in the forecast.

    Example:
        >>> past = pd.DataFrame({"shop": "a", "day": pd.date_range("2024-01-01", periods=3), "units": [1.0, 2, 3]})
        >>> ahead = pd.DataFrame({"shop": ["a"], "day": [pd.Timestamp("2024-01-04")], "mean": 4.0, "0.5": 4.0})
        >>> columns = Columns("shop", "day", "units")
        >>> forecast_report(ForecastRecord(name="sales", columns=columns, step="1 D", history=past, forecast=ahead))
        HTMLReport('Forecast of units: sales')
    """
    history, forecast, earlier = dated((record.history, record.forecast, record.earlier), record.columns.timestamp)
    assert history is not None and forecast is not None
    record = replace(record, history=history, forecast=forecast, earlier=earlier)
    series = ByItem(forecast, record.columns)
    horizon = series.longest
    found = None if earlier is None else errors_of(earlier, record.columns)
    page = Page(
        f"Forecast of {elements.shortened(record.columns.target)}{f': {record.name}' if record.name else ''}",
        f"{len(series):,} series, {horizon} steps of {record.step} ahead",
    )
    _add_summary(page, record, series, horizon)
    _add_pictures(page, record, series, horizon, found)
    if found is not None:
        _add_errors(page, record, found)
    _add_parts(page, record)
    page.section("The data")
    page.add(elements.pre("\n".join(record.data)) if record.data else elements.paragraph("Nothing was noted."))
    add_settings(page, record.settings)
    return page.finished()


def _add_summary(page: Page, record: ForecastRecord, series: Mapping[Hashable, Any], horizon: int) -> None:
    facts = {
        "Series": (f"{len(series):,}", f"{int(record.history[record.columns.target].notna().sum()):,} values"),
        "Forecast": (f"{horizon} steps", f"of {record.step}"),
    }
    scores = None if record.backtest is None else record.backtest.metrics
    if scores is None or scores.empty:
        page.add(elements.facts(facts))
        text = "There was no backtest: nothing here tells how good the forecast is."
        page.add(elements.paragraph(text, "verdict"))
        return
    assert record.backtest is not None
    ours = scores.iloc[0]
    naive = float(scores["MASE"].get(NAIVE, math.nan))
    error = float(ours["MASE"])
    compared = _compared(error, naive)
    facts["Error (MASE)"] = (number(error), compared)
    facts["90 % interval"] = (_share(float(ours["coverage 90%"])), "of actual values were inside")
    page.add(elements.facts(facts))
    if compared:
        page.add(
            elements.paragraph(
                f"In the backtest the mean absolute error of the forecast was {compared}: MASE {number(error)} against "
                f"{number(naive)}.",
                "verdict",
            )
        )
    page.section("How good it was: the backtest")
    page.add(metric_table(scores, "Forecasts of windows that training has not seen. ★ marks the best.", ours=MODEL))
    page.add(elements.listed([*record.backtest.verdict, *record.backtest.notes]))
    page.add(elements.paragraph(METRICS_IN_WORDS))


def _compared(error: float, naive: float) -> str:
    """How an error compares with that of the seasonal naive forecast, in words."""
    if not (math.isfinite(error) and math.isfinite(naive) and naive > 0):
        return ""
    share = round(100 * (1 - error / naive))
    if share == 0:
        return "about that of the seasonal naive forecast"
    return f"{abs(share)} % {'below' if share > 0 else 'above'} that of the seasonal naive forecast"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if math.isfinite(value) else "–"


def _add_pictures(
    page: Page, record: ForecastRecord, series: Mapping[Hashable, pd.DataFrame], horizon: int, found: Errors | None
) -> None:
    page.section("The forecast")
    if not series:
        page.add(elements.paragraph("There is no forecast: no series was left."))
        return
    chosen = plan(list(series), max(horizon, 1), found.worst if found is not None else (), record.items)
    past = ByItem(record.history, record.columns)
    earlier = {} if record.earlier is None else ByItem(record.earlier, record.columns)
    items = [
        _item(page, record, item, past.get(item), series[item], earlier.get(item), chosen) for item in chosen.items
    ]
    page.add(page.chooser(items, "Series", x="", y=elements.label(record.columns.target)))
    if chosen.note:
        page.add(elements.paragraph(chosen.note))


def _item(
    page: Page,
    record: ForecastRecord,
    item: Hashable,
    past: pd.DataFrame | None,
    forecast: pd.DataFrame,
    earlier: pd.DataFrame | None,
    chosen: Plan,
) -> dict[str, Any]:
    """The picture of one series."""
    timestamp, target = record.columns.timestamp, record.columns.target
    shown = record.history.iloc[:0] if past is None else past.tail(chosen.steps)
    values = shown[target].to_numpy(np.float64, na_value=np.nan)
    stamps = [*moments(shown[timestamp]), *moments(forecast[timestamp])]
    axis, ahead = page.axis(stamps), len(shown)
    found = middle(forecast)
    decimals = rounder(values if np.isfinite(values).any() or found is None else found[1])
    tracks: list[dict[str, Any]] = [
        {"name": name, "role": role, "axis": axis, "at": ahead, "ahead": 1}
        | {"low": numbers(low, decimals), "high": numbers(high, decimals)}
        for name, role, low, high in intervals(forecast)
    ]
    tracks += _earlier_tracks(earlier, stamps[:ahead], axis, timestamp, decimals)
    tracks.append({"name": "history", "role": "history", "axis": axis, "at": 0, "values": numbers(values, decimals)})
    if found is not None:
        line = {"name": found[0], "role": "forecast", "axis": axis, "at": ahead, "ahead": 1}
        tracks.append({**line, "values": numbers(found[1], decimals)})
    text = _described(values, forecast, stamps, ahead)
    begin = recent(axis, ahead, len(forecast))
    return {
        "name": str(item),
        "text": text,
        "tracks": tracks,
        "end": stamps[ahead - 1] if ahead else None,
        "from": begin,
    }


def _earlier_tracks(
    earlier: pd.DataFrame | None, stamps: list[Any], axis: int, timestamp: str, decimals: int
) -> list[dict[str, Any]]:
    """Median and widest band of each window of a backtest that lies in the drawn part of the history."""
    if earlier is None:
        return []
    places = {stamp: place for place, stamp in enumerate(stamps)}
    tracks: list[dict[str, Any]] = []
    for _, window in earlier.groupby("cutoff", sort=True):
        window = window.sort_values(timestamp, kind="stable")
        place = places.get(moments(window[timestamp])[0])
        found = middle(window)
        if place is None or found is None:
            continue
        for name, _, low, high in intervals(window)[:1]:
            ends = {"low": numbers(low, decimals), "high": numbers(high, decimals)}
            tracks.append({"name": f"backtest: {name}", "role": "past", "axis": axis, "at": place} | ends)
        line = {"name": f"backtest: {found[0]}", "role": "backtest", "axis": axis, "at": place}
        tracks.append({**line, "values": numbers(found[1], decimals)})
    return tracks


def _described(values: Any, forecast: pd.DataFrame, stamps: list[Any], ahead: int) -> str:
    """A sentence on a series for readers who do not see its picture."""
    known = values[np.isfinite(values)]
    past = f"{ahead:,} steps up to {stamps[ahead - 1]}" if ahead else "none"
    past += (
        f", the last value {number(float(known[-1]))}, between {number(known.min())} and {number(known.max())}"
        if len(known)
        else ""
    )
    found = middle(forecast)
    if found is None or not np.isfinite(found[1]).any():
        return f"History: {past}. There is no forecast."
    name, line = found
    ahead_text = f"{name} from {number(float(line[0]))} to {number(float(line[-1]))} at {stamps[-1]}"
    bands = intervals(forecast)
    width = (
        f", {bands[0][0]} at the end {number(float(bands[0][2][-1]))} to {number(float(bands[0][3][-1]))}"
        if bands
        else ""
    )
    return f"History: {past}. Forecast: {ahead_text}{width}."


def _add_errors(page: Page, record: ForecastRecord, found: Errors) -> None:
    page.section("Where the errors lie")
    charts = [_steps_figure(page, record, found), *_coverage_figure(page, found), *_calibration_figure(page, found)]
    windows = _windows_figure(page, record)
    page.add(f'<div class="pair">{"".join([*charts, *windows])}</div>')
    if len(found.by_series) > 1:
        caption = "Errors by series, the largest relative error first. Bias: mean of median − actual."
        page.add("<h3>Series</h3>", data_table(found.by_series, caption, percent=("relative error", "in 90 %")))


def _steps_figure(page: Page, record: ForecastRecord, found: Errors) -> str:
    """Mean absolute error of each step ahead."""
    steps, errors = found.by_step.index.tolist(), found.by_step["MAE"]
    title, markers = f"MAE of {elements.label(record.columns.target)}", len(steps) < 40
    drawn = figures.lines(steps, {"MAE": errors}, "steps ahead", title, markers=markers, rangemode="tozero")
    first, last = (number(float(errors.iloc[place])) for place in (0, -1))
    text = f"Mean absolute error {first} one step ahead" + (f", {last} at step {steps[-1]}." if len(steps) > 1 else ".")
    return page.figure(drawn, "Error by steps ahead", text)


def _coverage_figure(page: Page, found: Errors) -> list[str]:
    """Shares of actual values inside the intervals, for each step ahead."""
    shares = {f"{name} interval": found.by_step[name] for name in ("90 %", "50 %") if name in found.by_step}
    if not shares:
        return []
    steps = found.by_step.index.tolist()
    drawn = figures.lines(steps, shares, "steps ahead", "share inside", range=[0, 1.02], tickformat=".0%")
    inside = "; ".join(f"{name}: {_share(float(one.mean()))} inside" for name, one in shares.items())
    return [page.figure(figures.with_level(drawn, 0.5, 0.9), "Coverage by steps ahead", f"{inside}. Dashed: nominal.")]


def _calibration_figure(page: Page, found: Errors) -> list[str]:
    """Shares of actual values below each quantile."""
    if len(found.levels) < 3:
        return []
    points = {"share": (list(found.levels), list(found.levels.values()))}
    drawn = figures.curves(points, "quantile level", "share of actual values below")
    drawn["data"][0] |= {"mode": "lines+markers", "marker": {"color": "@forecast"}}
    drawn["layout"]["showlegend"] = False
    worst = max(found.levels, key=lambda level: abs(found.levels[level] - level))
    text = (
        f"On the diagonal quantiles hold what they promise. Furthest from it: level {worst:g}, with "
        f"{_share(found.levels[worst])} of actual values below."
    )
    return [page.figure(figures.with_diagonal(drawn), "Calibration", text)]


def _windows_figure(page: Page, record: ForecastRecord) -> list[str]:
    """MASE of each window: the forecast, the seasonal naive one and the best of the others."""
    if record.backtest is None or record.backtest.by_window["window"].nunique() < 2:
        return []
    table = record.backtest.by_window.pivot(index="window", columns="model", values="MASE")
    scores = record.backtest.metrics["MASE"]
    others = scores.drop(labels=[scores.index[0], NAIVE], errors="ignore").dropna().sort_values().index[:1]
    models = [str(name) for name in [scores.index[0], NAIVE, *others] if name in table.columns]
    drawn = figures.lines(
        [int(x) + 1 for x in table.index],
        {name: table[name] for name in models},
        "window, the oldest first",
        "MASE",
        markers=True,
        rangemode="tozero",
    )
    best = int((table[models].idxmin(axis=1) == models[0]).sum())
    text = f"The forecast has the least error of these in {best} of {len(table)} windows."
    return [page.figure(drawn, "Error by window", text)]


def _add_parts(page: Page, record: ForecastRecord) -> None:
    if record.weights.empty:
        return
    page.section("What the forecast is made of")
    page.add(elements.listed(record.told))
    mean = record.weights.mean(axis=0).dropna().sort_values(ascending=False)
    mean = mean[mean >= 0.005]
    if mean.empty:
        return
    drawn = mean.head(MOST_EXPERTS)
    text = "; ".join(f"{name} {_share(float(value))}" for name, value in drawn.items())
    figure = figures.bars(list(drawn.index), drawn.to_numpy(), "mean weight", percent=True)
    page.add(page.figure(figure, "Weights, mean over series", f"{text}."))
    if len(record.weights) > 1:
        table = record.weights[list(drawn.index)].rename_axis(record.columns.item).reset_index()
        caption = "Weights in the forecast of each series; the experts with the largest mean weights."
        shown = data_table(table, caption, percent=[str(name) for name in drawn.index])
        page.add(elements.details("Weights of each series", shown))
