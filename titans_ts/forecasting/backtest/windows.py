"""Windows of a backtest: where they begin, what lies before them, and the values that came.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels, T steps of a series. Arrays are
(W·M, P) with channels as rows of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.series import Frequency, SeriesRecord, Windows
from titans_datasets.text import counted
from titans_ts.forecasting import metrics
from titans_ts.forecasting.combination import Rows

FloatArray = npt.NDArray[np.float64]
# Steps that a series must have before its first window.
LEAST_HISTORY = 3
DAY_NS = 86_400_000_000_000


class NoBacktestError(ValueError):
    """No series is long enough for one window and some history; `reason` says it shortly."""

    def __init__(self, longest: int, prediction_length: int, least: int) -> None:
        need = least + prediction_length
        self.reason = f"the longest series has {counted(longest, 'step')}, a window of {prediction_length} needs {need}"
        super().__init__(
            f"no series is long enough to backtest: {need} steps are needed ({prediction_length} to forecast and "
            f"{least} of history), the longest has {longest} ({need - longest} missing)"
        )


class Scored(NamedTuple):
    """Forecasts of all windows and the values that came: actual, mean (W·M, P), quantiles (W·M, P, Q), scale (W·M,)."""

    actual: FloatArray
    mean: FloatArray
    quantiles: FloatArray
    scale: FloatArray


def choose_windows(lengths: Sequence[int], prediction_length: int) -> int:
    """Windows that fit into the last fifth of the median series, 1 to 20."""
    return int(np.clip(np.median(lengths) * 0.2 // prediction_length, 1, 20))


def windows_in_days(days: float, prediction_length: int, frequency: Frequency) -> int:
    """Windows of the last days, one horizon apart.

    Raises:
        ValueError: steps have no fixed length, or the days are fewer than a horizon.
    """
    if frequency.unit != "ns":
        raise ValueError(f"days needs steps of fixed length, but the data's step is {frequency}: leave it out")
    window = prediction_length * frequency.multiple / DAY_NS
    windows = int(days / window + 1e-9)
    if windows < 1:
        raise ValueError(f"days must be at least one horizon, {window:g} days, got {days:g}: raise it")
    return windows


def first_cutoffs(lengths: Sequence[int], prediction_length: int, windows: int, step: int, least: int) -> list[int]:
    """Steps of each series before its first window; short series (fewer than `least` steps left) have fewer windows.

    Raises:
        NoBacktestError: no series is long enough for one window and some history.
    """
    cutoffs = []
    for length in lengths:
        most = min(windows, length // step + 1)
        candidates = [length - prediction_length - back * step for back in range(most)]
        usable = [cutoff for cutoff in candidates if cutoff >= least]
        cutoffs.append(min(usable, default=length))
    if all(cutoff == length for cutoff, length in zip(cutoffs, lengths, strict=True)):
        raise NoBacktestError(max(lengths), prediction_length, least)
    return cutoffs


def rolling_windows(records: Sequence[SeriesRecord], cutoffs: Sequence[int], horizon: int, step: int) -> Windows:
    """Windows from each series' first cutoff on, `step` apart, oldest first."""
    items, positions = [], []
    for item, (record, cutoff) in enumerate(zip(records, cutoffs, strict=True)):
        starts = range(cutoff, record.length - horizon + 1, step)
        items += [item] * len(starts)
        positions += list(starts)
    return Windows(torch.tensor(items, dtype=torch.int64), torch.tensor(positions, dtype=torch.int64))


def window_numbers(windows: Windows, records: Sequence[SeriesRecord], step: int) -> npt.NDArray[np.int64]:
    """Number (W·M,) of each row's window, counted so that all items' last window has the same number."""
    lengths = torch.tensor([record.length for record in records])
    back = (lengths[windows.items] - windows.positions) // step
    numbers = (back.max() - back).numpy()
    return np.repeat(numbers, records[0].channels)


def window_rows(records: Sequence[SeriesRecord], windows: Windows) -> list[tuple[FloatArray, int]]:
    """Channel (T,) and cutoff of each row."""
    return [
        (channel, position)
        for item, position in zip(windows.items.tolist(), windows.positions.tolist(), strict=True)
        for channel in np.atleast_2d(records[item].target)
    ]


def actual_and_scale(records: Sequence[SeriesRecord], windows: Windows, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Actual values (R, H) of windows and the seasonal naive error of everything before each (R,)."""
    season = records[0].frequency.seasonality
    rows = window_rows(records, windows)
    actual = np.stack([channel[cutoff : cutoff + horizon] for channel, cutoff in rows])
    return actual, np.array([metrics.seasonal_error(channel[:cutoff], season) for channel, cutoff in rows])


def scored_rows(rows: Rows, records: Sequence[SeriesRecord], windows: Windows) -> Scored:
    """Forecasts of windows (rows: window × channel) with the actual values and the scales of MASE."""
    actual, scale = actual_and_scale(records, windows, rows.mean.shape[1])
    return Scored(actual, rows.mean, rows.quantiles, scale)
