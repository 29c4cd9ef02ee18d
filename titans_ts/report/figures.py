"""Charts of a report, as plain values for Plotly.js; a colour such as "@forecast" is a name of the style sheet's.

Shapes: n points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_ts.report.elements import label

Figure = dict[str, Any]
# Colour and dash of lines, told apart without colours too.
STYLES = (
    ("@forecast", "solid"),
    ("@backtest", "dash"),
    ("@other", "dot"),
    ("@fourth", "dashdot"),
    ("@history", "solid"),
)


def plain(values: npt.ArrayLike, digits: int = 5) -> list[Any]:
    """Numbers for JSON, with so many significant digits; None where they are not finite."""
    return [_plain(float(value), digits) for value in np.asarray(values, dtype=np.float64).ravel().tolist()]


def _plain(value: float, digits: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    found = float(f"{value:.{digits}g}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found


def lines(
    x: Sequence[Any],
    values: Mapping[str, npt.ArrayLike],
    x_title: str,
    y_title: str,
    *,
    markers: bool = False,
    **y: Any,
) -> Figure:
    """Lines over the same points.

    Args:
        x: n points.
        values: name of a line → (n,).
        x_title, y_title: of the axes.
        markers: whether points are marked.
        y: further properties of the vertical axis.
    """
    mode = "lines+markers" if markers or len(x) == 1 else "lines"
    data = [
        {
            "type": "scatter",
            "mode": mode,
            "name": label(name),
            "x": list(x),
            "y": plain(one),
            "line": {"color": STYLES[place % len(STYLES)][0], "dash": STYLES[place % len(STYLES)][1], "width": 2},
            "marker": {"color": STYLES[place % len(STYLES)][0]},
        }
        for place, (name, one) in enumerate(values.items())
    ]
    layout = {
        "xaxis": {"title": {"text": x_title}},
        "yaxis": {"title": {"text": y_title}, **y},
        "hovermode": "x unified",
    }
    return {"data": data, "layout": {**layout, "showlegend": len(data) > 1}}


def with_level(figure: Figure, *levels: float) -> Figure:
    """The figure with dashed horizontal lines, such as nominal coverages."""
    shapes = [
        {
            **{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level},
            "line": {"color": "@faint", "width": 1, "dash": "dash"},
        }
        for level in levels
    ]
    return {**figure, "layout": {**figure["layout"], "shapes": shapes}}


def with_diagonal(figure: Figure) -> Figure:
    """The figure with a thin line from (0, 0) to (1, 1)."""
    line = {
        "type": "line",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@faint", "width": 1},
        "layer": "below",
    }
    return {**figure, "layout": {**figure["layout"], "shapes": [line]}}


def curves(found: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], x_title: str, y_title: str) -> Figure:
    """Lines with points of their own, both axes from 0 to 1; the first one is the widest.

    Args:
        found: name → x (n,) and y (n,).
        x_title, y_title: of the axes.
    """
    data = []
    for place, (name, (x, y)) in enumerate(found.items()):
        colour, dash = STYLES[place % len(STYLES)]
        line = {"color": colour, "dash": dash, "width": 2.6 if place == 0 else 1.5}
        data.append({"mode": "lines", "name": label(name), "x": plain(x, 4), "y": plain(y, 4), "line": line})
    axis = {"range": [-0.01, 1.02]}
    layout = {"xaxis": {"title": {"text": x_title}, **axis}, "yaxis": {"title": {"text": y_title}, **axis}}
    return {"data": data, "layout": layout}


def scatter(x: npt.ArrayLike, y: npt.ArrayLike, x_title: str, y_title: str) -> Figure:
    """Points, and the line on which both numbers are equal; both axes have one range.

    Args:
        x, y: (n,).
        x_title, y_title: of the axes.
    """
    both = np.concatenate([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    known = both[np.isfinite(both)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    edge = 0.03 * (high - low) or 0.5
    ends = plain([low - edge, high + edge])
    points = {
        **{"type": "scatter", "mode": "markers", "x": plain(x, 4), "y": plain(y, 4)},
        "marker": {"color": "@forecast", "size": 5, "opacity": 0.5},
    }
    line = {"color": "@faint", "width": 1.5, "dash": "dash"}
    equal = {"mode": "lines", "x": ends, "y": ends, "line": line, "hoverinfo": "skip"}
    axes = {
        f"{axis}axis": {"title": {"text": label(name)}, "range": ends}
        for axis, name in (("x", x_title), ("y", y_title))
    }
    return {"data": [equal, points], "layout": {**axes, "showlegend": False}}


def bars(names: Sequence[object], values: npt.ArrayLike, x_title: str, *, percent: bool = False) -> Figure:
    """Horizontal bars, the first one at the top, with their values."""
    found = plain(values)
    shown = [("–" if x is None else f"{100 * x:.0f} %" if percent else f"{x:.4g}") for x in found]
    data = [
        {
            **{"type": "bar", "orientation": "h", "x": found, "y": list(range(len(found))), "text": shown},
            **{"textposition": "outside", "cliponaxis": False, "hoverinfo": "x", "marker": {"color": "@forecast"}},
        }
    ]
    ticks = {"tickvals": list(range(len(found))), "ticktext": [label(name) for name in names], "autorange": "reversed"}
    top = max([x for x in found if x is not None], default=1)
    x_axis = {"title": {"text": x_title}, "range": [0, 1.15 * top or 1], **({"tickformat": ".0%"} if percent else {})}
    return {"data": data, "layout": {"xaxis": x_axis, "yaxis": ticks}}


def histogram(values: npt.NDArray[np.float64], x_title: str, y_title: str) -> Figure:
    """Counts in at most 60 bins."""
    known = values[np.isfinite(values)]
    counts, edges = np.histogram(known, bins=min(60, max(10, int(math.sqrt(len(known))))))
    data = [
        {
            **{"type": "bar", "x": plain((edges[1:] + edges[:-1]) / 2), "y": counts.tolist()},
            "marker": {"color": "@forecast"},
        }
    ]
    layout = {"xaxis": {"title": {"text": x_title}}, "yaxis": {"title": {"text": y_title}}, "bargap": 0.04}
    return {"data": data, "layout": layout}


def heat_map(
    values: npt.NDArray[np.float64], rows: Sequence[str], columns: Sequence[Any], x_title: str, *, signed: bool = False
) -> Figure:
    """A map of colours.

    Args:
        values: (rows, columns).
        rows: names, the first one at the top.
        columns: names or places.
        x_title: of the horizontal axis.
        signed: whether 0 is the middle of the colours.
    """
    # Blue to orange: told apart by readers without red or green, and in grey by its sign marks in the hover text.
    scale = [[0, "#b35900"], [0.5, "#f3f3f3"], [1, "#0072b2"]] if signed else [[0, "#f2f6fa"], [1, "#005a8f"]]
    top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    colours = {"colorscale": scale, "zmin": -top if signed else 0, "zmax": top or 1, "colorbar": {"thickness": 12}}
    z = [plain(row, 4) for row in values]
    heat = {"type": "heatmap", "z": z, "x": list(columns), "y": list(rows), "hoverongaps": False, **colours}
    layout = {"xaxis": {"title": {"text": x_title}}, "yaxis": {"autorange": "reversed", "type": "category"}}
    return {"data": [heat], "layout": layout}
