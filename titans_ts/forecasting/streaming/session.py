"""TitansStream: forecasts that keep up with their series, observation by observation.

A session carries (`StreamState`; its size does not depend on how much has been seen):

- the last `context_length` values of every series and their features: the window that `predict` reads;
- count, mean and spread of everything observed, the units of a series;
- the state of the backbone: fast weights and past surprise of every memory, inputs of the convolutions, the last keys
  and values of attention. It reads *tokens*, patches of `patch_length` steps, every `patch_stride` steps;
- for surprise, a memory of steps (`lms_filter`), and the running levels of its errors and of the tokens' losses
  (`detection`).

Definitions. Step 0 is the earliest step of the history. When step `context_length` is there, all tokens of this first
window are read at once, as `predict` reads them. Every token after that is the last token of the window that ends with
it, in the units of this window and of everything observed up to there. A session's results therefore do not depend on
where the history given to `stream` ends or how the rest arrives: `stream(all)`, or `stream(part)` and one `observe` for
the rest, or one for every step.

Observations are buffered and processed in blocks of 32 tokens, or when a result is requested. Blocks end at the same
steps however observations arrive, so that the numbers are equal to the last bit as long as no result is requested in
between, and up to rounding otherwise.

Forecasts come from one of two memories:

- ``memory="window"``: the network reads the last `context_length` steps anew at each forecast. This is `predict` on the
  whole history, at any time, up to rounding.
- ``memory="carried"``: it goes on from the state of the backbone, which has read everything. With exactly
  `context_length` steps of history this too is `predict`; afterwards it is not: tokens were read in the units of their
  own time, the fast weights have seen more than one window, and steps after the last token are read as a patch that
  overlaps it by more than the stride. Before the first window is full, it is the window's forecast.

The linear part, the units and the width of the intervals are the window's in both. Measured (`docs/streaming.md`): on
held-out weather and ETTh1 the carried memory is neither better nor worse beyond the noise, and the window, which is
`predict`, is the default. The surprise is that of the carried memory in both.

Series of one session share one clock: tokens end at the same steps for all. A session of several series equals that of
each alone when they begin together; window forecasts are equal in any case.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.series import SeriesPanel, SeriesSchema
from titans_ts.forecasting.fitted import FittedForecaster, HoldsFitted, fitted_of
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.forecaster.params import check_horizon
from titans_ts.forecasting.forecaster.predict import roll
from titans_ts.forecasting.model.network import Forecast, PrefilledContext
from titans_ts.forecasting.streaming.buffer import Buffer
from titans_ts.forecasting.streaming.detection import conformal_threshold, score
from titans_ts.forecasting.streaming.observations import Late, open_panel
from titans_ts.forecasting.streaming.reader import StreamReader, reader_of
from titans_ts.forecasting.streaming.snapshot import Session, load_session, save_session
from titans_ts.forecasting.streaming.state import (
    Block,
    LateUse,
    MemoryUse,
    Read,
    SessionLock,
    StreamState,
    locked,
)

# Scores of the history that `detect` compares with; the last ones.
MOST_SCORES = 4096


class Surprise(NamedTuple):
    """How much the last token surprised the memories.

    Attributes:
        timestamp: of the token's last step.
        loss: (C, N, H), the inner loss ‖M(k) − v‖² of each column, memory (one a block) and head; NaN where nothing of
            the token was observed.
        gradient: (C, N, H), the norm of its gradient by the fast weights.
        departure: (C, 4), standard deviations by which patch, step, dynamics and season (`detection.PARTS`) lie from
            their running means; NaN while too little was read.
        score: (C,), the score that alarms compare, see `detection.score`.
    """

    timestamp: Any
    loss: npt.NDArray[np.float64]
    gradient: npt.NDArray[np.float64]
    departure: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]


class TitansStream:
    """A session of a fitted forecaster: made by `TitansForecaster.stream`, or by `restore`.

    Several threads may use one session: each call sees the observations of those before it whole, none of later ones.

    Example:
        >>> import numpy as np
        >>> from titans_ts import TitansForecaster
        >>> values = 10 + np.sin(np.arange(240) * np.pi / 12)
        >>> stream = TitansForecaster(prediction_length=3, freq="h", max_steps=0).fit(values[:200]).stream()
        >>> stream.observe(values[200:239])
        >>> stream.observe(values[239])
        >>> stream.forecast()[["timestamp", "0.5"]].round(2)
           timestamp    0.5
        0        240  10.00
        1        241  10.26
        2        242  10.50

    Attributes:
        columns: series and target of every column of `observe`, in order.
        memory: "window" or "carried", what forecasts come from.
        late: "error", "fill" or "ignore", what happens to values for steps that have passed.
        model: fingerprint of the forecaster; a snapshot is restored with the same one.
        buffer: the network that reads, what it has read, and the observations that wait to be read.
        lock: held while a thread observes, forecasts, detects or writes; ``with stream.lock:`` keeps the others out
            from one call to the next.
    """

    def __init__(self, session: Session, levels: list[float]) -> None:
        self._session, self._levels, self.lock = session, levels, SessionLock()
        self._last_surprise: tuple[object, Surprise] | None = None

    @property
    def columns(self) -> list[tuple[Hashable, str]]:
        """Series and target of every column."""
        return self._session.columns.names

    @property
    def schema(self) -> SeriesSchema:
        """Columns of the long tables that `observe` takes."""
        return self._session.columns.schema

    @property
    def memory(self) -> MemoryUse:
        """What forecasts come from."""
        return self._session.memory

    @property
    def late(self) -> LateUse:
        """What happens to values for steps that have passed."""
        return self._session.late

    @property
    def model(self) -> str:
        """Fingerprint of the forecaster."""
        return self._session.model

    @property
    def buffer(self) -> Buffer:
        """What was read, and what waits to be read."""
        return self._session.buffer

    @property
    def reader(self) -> StreamReader:
        """Reads observations with the network."""
        return self.buffer.reader

    @property
    def steps(self) -> int:
        """Steps seen since the first one of the history."""
        return self.buffer.steps

    @property
    def next_timestamp(self) -> Any:
        """When the next observation is due, in the caller's kind of timestamps."""
        return self._timestamp(self.steps)

    def timestamps(self, first: int, last: int) -> pd.Index[Any]:
        """Timestamps of the steps first … last − 1, in the caller's kind."""
        columns = self._session.columns
        clock = columns.clock
        index = clock.frequency.range(clock.frequency.shift(clock.start, first), last - first)
        return columns.time.restore(index, clock.frequency)

    @locked
    def observe(
        self,
        values: npt.ArrayLike | pd.DataFrame,
        covariates: Mapping[str, npt.ArrayLike] | None = None,
        ahead: int | None = None,
    ) -> None:
        """Take in what came next; when it fails, nothing has changed.

        Args:
            values: with one column a number or (n,); with C columns (C,), one step (a Series with the series' names may
                have them in any order), or (n, C). NaN is a missing value. Or a table as in the fit, also a Series with
                a time index: rows lie on the session's clock, steps and series without a row are missing.
            covariates: past and known covariates of these steps by name, (n,) or (n, I), beside an array; a long table
                has them as columns.
            ahead: steps without a row that a table may leave before its first row and between two of them. None: as
                many as the session has seen, at least 1,000. A stamp further ahead is refused as a mistake.

        Raises:
            TypeError, ValueError: no numbers (complex ones and arrays of objects are none), wrong number of columns,
                infinite values, unknown series, doubled rows, stamps off the grid or far ahead, missing covariates, or
                values for steps that have passed (see `late`).
        """
        columns = self._session.columns
        if (rows := columns.rows(values, covariates)) is not None:
            self.observe_table(rows, ahead)
            return
        block = columns.array_block(values, covariates)
        if self.buffer.fits(len(block.values)):
            self.buffer.append(block)
        else:
            self.observe_block(block)

    @locked
    def observe_table(self, data: pd.DataFrame, ahead: int | None = None) -> list[Read]:
        """`observe` for a long table; returns what the memory read on the way."""
        if len(data) == 0:
            return []
        block, late = self._session.columns.frame_block(data, self.steps, ahead)
        buffer, read = self.buffer, list[Read]()
        if len(late.values) and self.late != "ignore":
            buffer, read = self._with_late(late)
        self._session.buffer, more = buffer.take(block)
        return [*read, *more]

    @locked
    def observe_block(self, block: Block) -> list[Read]:
        """`observe` for encoded steps; returns what the memory read on the way."""
        self._session.buffer, reads = self.buffer.take(block)
        return reads

    @locked
    def catch_up(self) -> list[Read]:
        """Make the memory read every complete token now."""
        self._session.buffer, reads = self.buffer.catch_up()
        return reads

    @locked
    def forecast(self, prediction_length: int | None = None, *, future: pd.DataFrame | None = None) -> pd.DataFrame:
        """Forecast the steps after the last one seen; the session stays where it is.

        Args:
            prediction_length: steps, those of the fit where None; more are rolled as in `TitansForecaster.predict`.
            future: long frame with the known covariates of these steps.

        Returns:
            A frame as `TitansForecaster.predict` gives it.

        Raises:
            ValueError: a wrong length, or known covariates are missing.
        """
        network, columns = self.reader.network, self._session.columns
        trained = network.config.prediction_length
        horizon = check_horizon(prediction_length, trained)
        if self.memory == "carried":
            self.catch_up()
        total, state = -(-horizon // trained) * trained, self.buffer.window()
        known = columns.future(future, state.steps, horizon)
        known = np.pad(known, ((0, 0), (0, total - known.shape[1]), (0, 0)), mode="edge")
        with torch.no_grad():
            batch = self.reader.batch(state, total, torch.from_numpy(known).to(self.reader.device))
            found = roll(network, batch, total // trained, self._levels, self._prefilled(state.steps))
        mean, quantiles = (x[:, :horizon].double().cpu() for x in found)
        if columns.channels == 1 and (columns.schema.multichannel or columns.mixed):
            mean, quantiles = mean.unsqueeze(2), quantiles.unsqueeze(2)
        panel = columns.panel(state.steps - 1, visible=False)
        channels = columns.ids if columns.mixed else None
        return forecast_frame(panel, Forecast(mean, quantiles), self._levels, columns.schema, channels)

    @property
    @locked
    def surprise(self) -> Surprise | None:
        """Of the last complete token, read for it; None before the first context is full, or without a memory."""
        self.catch_up()
        found, departure = self.buffer.state.surprise, self.buffer.state.departure
        if found is None or departure is None:
            return None
        if self._last_surprise is None or self._last_surprise[0] is not found:
            loss, gradient = (x.double().cpu().numpy() for x in found)
            stamp = self._timestamp(self.reader.last_end(self.steps) - 1)
            parts = departure[:, 0].numpy()
            self._last_surprise = (found, Surprise(stamp, loss, gradient, parts, score(departure).numpy()))
        return self._last_surprise[1]

    @locked
    def threshold(self, false_alarm_rate: float) -> Tensor:
        """The score (C,) above which a token is an alarm; see `detect`."""
        return conformal_threshold(self._session.scores, false_alarm_rate)

    @locked
    def detect(self, false_alarm_rate: float = 0.01) -> npt.NDArray[np.bool_]:
        """Whether the last token surprised the memories of each column (C,) more than the history did.

        The threshold is the conformal quantile of the scores of the history given to `stream`, without its first
        context and the burn-in, a third of the rest: if what comes is like the history, at most this share of the
        tokens is an alarm. A token of which nothing was observed is none.

        Raises:
            ValueError: the rate is not in (0, 1), the history too short for it, or no token has been read.
        """
        threshold = self.threshold(false_alarm_rate)
        self.catch_up()
        departure = self.buffer.state.departure
        if departure is None:
            raise ValueError("no token has been read: the model has no memory, or the first context is not full")
        alarms: npt.NDArray[np.bool_] = (score(departure) > threshold).numpy()
        return alarms

    @locked
    def snapshot(self, path: str | PathLike[str]) -> Path:
        """Write the session as a folder (config.json, model.safetensors), replaced as a whole or not at all.

        Raises:
            FileExistsError: something else lies at the path.
        """
        return save_session(path, self._session)

    @classmethod
    def restore(cls, forecaster: HoldsFitted | FittedForecaster, path: str | PathLike[str]) -> TitansStream:
        """The session of a folder, on the device of this forecaster; it goes on with the same numbers.

        Args:
            forecaster: the `TitansForecaster` that the session was made with, or the same one loaded from its folder.
            path: what `snapshot` wrote.

        Raises:
            FileNotFoundError, ValueError: no such folder, or it is damaged, of another model or of another version.
        """
        advice = "restore a session with the fitted one that made it, or with that one loaded from its folder"
        fitted = fitted_of(forecaster, advice)
        return cls(load_session(path, fitted), fitted.levels)

    @locked
    def calibrate(self, history: list[Read]) -> None:
        """Keep the scores of a history that was read; what waits is read for it too, and once more later.

        Not those of the first context and of a third of the rest: surprise is high during burn-in.
        """
        _, read = self.buffer.read_waiting()
        history = history if read is None else [*history, read]
        context = self.reader.context
        scores = [score(x.departure)[:, [end > context for end in x.ends]] for x in history]
        if scores:
            found = torch.cat(scores, dim=1)
            self._session.scores = found[:, found.shape[1] // 3 :][:, -MOST_SCORES:].clone()

    def _with_late(self, late: Late) -> tuple[Buffer, list[Read]]:
        """The buffer with late values in the places of missing ones; tokens read before stay as they were."""
        state, read = self.buffer.read_waiting()
        for column, step, value in zip(*(x.tolist() for x in late), strict=True):
            self._check_late(state, column, step)
            state = self.reader.fill(state, column, step, value)
        return Buffer(self.reader, state), [] if read is None else [read]

    def _check_late(self, state: StreamState, column: int, step: int) -> None:
        context, (item, target) = self.reader.context, self.columns[column]
        what = f"{target!r} of item {item!r} at {self._timestamp(step)}"
        if self.late == "error":
            raise ValueError(
                f"{what} comes late: the session stands at {self.next_timestamp}. Observe steps in order, those of "
                "all series together, or start the session with late='fill' (put into missing steps of the last "
                f"{context}) or late='ignore'"
            )
        if step < max(0, state.steps - context):
            raise ValueError(
                f"{what} comes too late: late values are kept for the last {context} steps, before "
                f"{self.next_timestamp}; leave it out"
            )
        if not bool(state.values[column, step - state.steps].isnan()):
            raise ValueError(f"{what} has been observed already: late values fill missing ones, leave it out")

    def _prefilled(self, steps: int) -> PrefilledContext | None:
        state = self.buffer.state
        if self.memory == "window" or state.memory is None or state.last is None:
            return None
        return PrefilledContext(state.memory, state.last, steps != self.reader.last_end(steps))

    def _timestamp(self, step: int) -> Any:
        return self.timestamps(step, step + 1)[0]


def check_uses(memory: str, late: str) -> None:
    """Raise ValueError for an unknown memory or late."""
    for name, value, known in (("memory", memory, get_args(MemoryUse)), ("late", late, get_args(LateUse))):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")


def start_stream(
    fitted: FittedForecaster, panel: SeriesPanel, memory: MemoryUse = "window", late: LateUse = "error"
) -> tuple[TitansStream, list[Read]]:
    """A session that has read the panel, and what the memory read on the way."""
    check_uses(memory, late)
    if not fitted.has_network:
        raise ValueError(
            "surprise and alarms come from a network, and this forecaster was fitted without one (from pretrained "
            "weights, or with network=False): fit a TitansForecaster(...) with a network, or ask stream() of this one"
        )
    columns, block = open_panel(panel, fitted)
    reader = reader_of(fitted, columns.clock)
    scores = torch.zeros(columns.count, 0, dtype=torch.float64)
    buffer = Buffer(reader, reader.initial_state())
    stream = TitansStream(Session(columns, memory, late, fitted.fingerprint(), scores, buffer), fitted.levels)
    reads = stream.observe_block(block)
    stream.calibrate(reads)
    return stream, reads
