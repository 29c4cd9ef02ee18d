"""ReadingStream: forecasts by a pretrained `ReadingNetwork` that keep up with their series from the first value on.

Shapes: B series, T steps, H horizon, Q levels, G drafts from elsewhere, J boundaries.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_ts.core.config import require
from titans_ts.forecasting.reads.forecast import deciles_after
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.network import LEVELS, ReadingNetwork, at_levels
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.streaming.given import Given
from titans_ts.forecasting.reads.streaming.history import ReadingHistory, state_arrays
from titans_ts.forecasting.reads.streaming.snapshot import load_history, save_history
from titans_ts.forecasting.reads.streaming.units import Totals, Units

FloatArray = npt.NDArray[np.float64]
# Values further from 0 are refused: their squares would overflow.
LARGEST_VALUE = 1e100
# Series that are read at once.
BATCH = 64


class ReadingStream:
    """Forecasts of series that go on, from an empty start, without a fit, by a state of constant size.

    The state: the last few thousand values, the normal equations of the phase and lag memories over all that came
    before them, and the sums behind trend, mean and deviation. A forecast reads what `forecast` would read of the whole
    history at any length (up to rounding; values beyond 30 standard deviations are clipped in the units of their time),
    with periods that are fixed when the first steps leave the buffer. Results do not depend on how observations were
    split. Several threads may use one stream.

    Args:
        network: trained; with the drafts `NAMES`, or those and the experts' `SLOTS`.
        series: B, columns that go on together.
        season: declared, in steps; below 2 periods are computed, which the experts do not read where it is 1.
        second: a longer one; 0 takes the calendar's beside the season.
        flip: average with the negative of the forecast of the negative history; doubles the time of a forecast.

    Raises:
        ValueError: an argument is out of its range, or the network reads other drafts.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
        >>> from titans_ts.forecasting.reads.streaming.stream import ReadingStream
        >>> stream = ReadingStream(ReadingNetwork(ReadingConfig()), season=24)  # or ReadingNetwork.load(path)
        >>> stream.observe(np.sin(np.arange(100) * np.pi / 12))
        >>> stream.observe(0.87)
        >>> stream.steps, stream.forecast(12, levels=(0.1, 0.5, 0.9)).shape
        (101, (1, 12, 3))

    Attributes:
        network, season, second, flip: as given.
        history: what is kept of the observations.
        given: the drafts that the network reads beside its own.
    """

    def __init__(
        self, network: ReadingNetwork, series: int = 1, season: float = 0.0, second: float = 0.0, *, flip: bool = False
    ) -> None:
        require(series >= 1, "series", "≥ 1", series)
        self.network, self.season, self.second, self.flip = network, season, second, flip
        self.given = Given.of(network, season, second)
        self.history = ReadingHistory(series, season, second)
        self._lock = threading.RLock()

    @property
    def series(self) -> int:
        """B."""
        return len(self.history.values)

    @property
    def steps(self) -> int:
        """Steps observed, missing ones among them."""
        return self.history.steps

    @property
    def state_bytes(self) -> int:
        """Bytes of everything that is carried; they do not grow once the buffer is full."""
        with self._lock:
            return sum(array.nbytes for array in {**state_arrays(self.history), "values": self.history.values}.values())

    def observe(self, values: npt.ArrayLike, at: int | None = None) -> None:
        """Take in what came next; when it fails, nothing has changed.

        Args:
            values: a number or (T,) with one series, (B, T) with any number; NaN for missing.
            at: step of the first of them, 0 for the first of all; steps that are left out are missing. The next step
                by default.

        Raises:
            TypeError: values are complex, text or objects.
            ValueError: the shape is wrong, values are infinite or too large, or `at` is a step that has passed.
        """
        block = self._block(values)
        with self._lock:
            steps = self.steps
            at = steps if at is None else at
            if at < steps:
                raise ValueError(f"step {at} has passed, the next one is {steps}: observe steps in order, each once")
            if at > steps:
                self.history.append(np.full((self.series, at - steps), np.nan))
            self.history.append(block)

    def forecast(self, horizon: int, levels: Sequence[float] = LEVELS) -> FloatArray:
        """Quantiles (B, H, Q) of the next steps, finite; the stream stays where it is.

        A series that does not vary goes on as it is; one without negative values gets no negative quantiles.

        Raises:
            ValueError: a series has no observed value yet, or horizon or levels are out of range.
        """
        require(horizon >= 1, "horizon", "≥ 1 step", horizon)
        require(len(levels) > 0 and all(0 < level < 1 for level in levels), "levels", "between 0 and 1", list(levels))
        with self._lock:
            totals = self.history.totals()
            if not (totals.count > 0).all():
                empty = np.flatnonzero(totals.count == 0).tolist()
                raise ValueError(f"series {empty} have no observed value yet: observe at least one before a forecast")
            parts = [slice(first, first + BATCH) for first in range(0, self.series, BATCH)]
            found = torch.cat([self._deciles(rows, totals, horizon) for rows in parts])
        numbers = at_levels(found, tuple(levels)).numpy()
        quantiles = totals.units.restored(numbers)
        return np.where((totals.low >= 0)[:, None, None], np.maximum(quantiles, 0.0), quantiles)

    def snapshot(self, path: str | PathLike[str], more: Mapping[str, Any] | None = None) -> Path:
        """Write the stream's state into one safetensors file; a file that is there is replaced at once.

        Args:
            path: of the file.
            more: plain values and arrays of the caller, for `snapshot.load_history`.
        """
        with self._lock:
            written = {"own": dict(flip=self.flip), **(more or {})}
            return save_history(Path(path).expanduser(), self.history, checksum(self.network), written)

    @classmethod
    def restore(cls, network: ReadingNetwork, path: str | PathLike[str]) -> ReadingStream:
        """The stream of a file that `snapshot` wrote; it goes on with the same numbers.

        Args:
            network: of the same sizes and drafts as the one that made it.
            path: of the file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no stream, is damaged, or belongs to a network of other sizes.
        """
        return cls.restore_with_more(network, path)[0]

    @classmethod
    def restore_with_more(
        cls, network: ReadingNetwork, path: str | PathLike[str]
    ) -> tuple[ReadingStream, dict[str, Any]]:
        """`restore`, and the caller's values and arrays that were given to `snapshot`."""
        history, more = load_history(Path(path).expanduser(), checksum(network))
        stream = cls(network, len(history.values), history.season, history.second, **more.pop("own"))
        stream.history = history
        return stream, more

    def _block(self, values: npt.ArrayLike) -> FloatArray:
        numbers = np.asarray(values)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(f"observe takes real numbers (NaN for a missing one), got an array of {numbers.dtype}")
        block = numbers.astype(np.float64, copy=False)
        if block.ndim < 2 and self.series == 1:
            block = block.reshape(1, -1)
        if block.ndim != 2 or len(block) != self.series:
            raise ValueError(
                f"this stream has {self.series} series: observe takes (series, steps) = ({self.series}, T)"
                f"{', (T,) or a number' if self.series == 1 else ''}, got the shape {np.shape(values)}"
            )
        if (np.abs(block) > LARGEST_VALUE).any():
            raise ValueError(f"values are infinite or beyond {LARGEST_VALUE:g}: pass NaN for missing ones")
        return block

    def _deciles(self, rows: slice, totals: Totals, horizon: int) -> Tensor:
        """Deciles (B, H, 9) of some of the series in their units."""
        found = self._read(rows, totals, totals.units, horizon, totals.low >= 0)
        if not self.flip:
            return found
        negative = Units(totals.units.location, -totals.units.scale)
        turned = self._read(rows, totals, negative, horizon, np.zeros(self.series, dtype=bool))
        return (found - turned.flip(-1)) / 2

    def _read(
        self, rows: slice, totals: Totals, units: Units, horizon: int, nonnegative: npt.NDArray[np.bool_]
    ) -> Tensor:
        series, carried = self.history.read(rows, units)
        own = units.part(rows)
        series = replace(series, zero=torch.from_numpy(own.zero(nonnegative[rows])))
        boundaries = min(series.length // BLOCK, NEEDED)
        last = list(self.history.last[rows])
        given = self.given.at(last, own, series.periods.numpy(), boundaries, horizon)
        return deciles_after(self.network, series, horizon, given, carried)


def checksum(network: ReadingNetwork) -> str:
    """Of the sizes and drafts of a network; a state does not depend on its weights."""
    text = json.dumps(network.config.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
