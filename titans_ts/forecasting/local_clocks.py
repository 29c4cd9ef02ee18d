"""Forecasts made on local clocks, back on the steps of their series.

Shapes: I records, M channels, R = I · M rows, H horizon steps, H' of them on local clocks, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from titans_datasets.series.time.wall_clock import WallClock
from titans_ts.forecasting.combination import Combined, Rows


class Part(NamedTuple):
    """What some records were forecast as, and their places among all."""

    found: Combined
    places: list[int]


def back_from_wall(found: Combined, places: list[int], clocks: Sequence[WallClock]) -> Part:
    """Rows of H' steps as rows of H."""
    if not any(clock.changes for clock in clocks):
        return Part(found, places)
    channels = len(found.rows.mean) // len(clocks)
    mean, quantiles = found.rows
    back = Rows(
        np.stack([clocks[row // channels].from_wall(values, axis=-1) for row, values in enumerate(mean)]),
        np.stack([clocks[row // channels].from_wall(values, axis=-2) for row, values in enumerate(quantiles)]),
    )
    return Part(Combined(back, found.replaced, found.weights, found.names), places)


def together(parts: Sequence[Part], records: int) -> Combined:
    """The rows of all parts, in the order of the records."""
    if len(parts) == 1:
        return parts[0].found
    channels = len(parts[0].found.rows.mean) // len(parts[0].places)
    order = np.concatenate(
        [np.add.outer(np.array(part.places) * channels, np.arange(channels)).ravel() for part in parts]
    )
    back = np.argsort(order)
    replaced = {}
    for part in parts:
        for row, reason in part.found.replaced.items():
            replaced[part.places[row // channels] * channels + row % channels] = reason
    assert len(back) == records * channels
    rows = [part.found.rows for part in parts]
    return Combined(
        Rows(np.concatenate([x.mean for x in rows])[back], np.concatenate([x.quantiles for x in rows])[back]),
        replaced,
        np.concatenate([part.found.weights for part in parts])[back],
        parts[0].found.names,
    )
