"""TitansStream: a forecaster that keeps up with its series, observation by observation.

What a session carries (`StreamState`; its size does not depend on how much has been seen):

- the last `context_length` values of every series and their features: the window that `predict` reads;
- count, mean and spread of everything observed, the units of a series;
- the state of the backbone: fast weights and past surprise of every memory, inputs of the convolutions, the last keys
  and values of attention. It reads *tokens*, patches of `patch_length` steps, every `patch_stride` steps;
- for surprise, a memory of steps (`step_memory`) and what its errors and the losses of tokens have been (`detection`).

What it means, step by step. Step 0 is the earliest step of the history. When step `context_length` is there, all tokens
of this first window are read at once, as `predict` reads them. Every token after that is the last token of the window
that ends with it, in the units of this window and of everything observed up to there. So a session says the same
wherever the history given to `stream` ends and however the rest arrives: `stream(all)`, or `stream(part)` and one
`observe` for what is left, or one for every step. This one read is what "re-reading the history" means here.

Observations lie aside until 32 tokens are complete (or until somebody asks), and are then read in one go. Blocks end at
the same steps however observations arrive, so that the numbers are equal to the last bit as long as nobody asks in
between, and up to rounding otherwise.

Forecasts come from one of two memories:

- ``memory="window"``: the network reads the last `context_length` steps anew at each forecast. This is `predict` on the
  whole history, at any time, up to rounding.
- ``memory="carried"``: it goes on from the state of the backbone, which has read everything. With exactly
  `context_length` steps of history this too is `predict`; afterwards it is not: tokens were read in the units of their
  own time, the fast weights have seen more than one window, and steps behind the last token are read as a patch that
  overlaps it by more than the stride. Before the first window is full, it is the window's forecast.

The linear map, the units and the width of the intervals are the window's in both. Measured (`docs/streaming.md`): on
held-out weather and ETTh1 the carried memory is neither better nor worse beyond the noise, and the window, which is
`predict`, is the default. The surprise is that of the carried memory in both.

Series of one session share one clock: tokens end at the same steps for all. A session of several series equals that of
each alone when they begin together; window forecasts are equal in any case.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.series import SeriesPanel, SeriesSchema
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.forecaster.predict import roll
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork, PrefilledContext
from titans_ts.forecasting.streaming.detection import conformal_threshold, score
from titans_ts.forecasting.streaming.observations import Columns, Late, open_panel
from titans_ts.forecasting.streaming.state import Block, Clock, Read, StreamReader, StreamState
from titans_ts.support.device import resolve_device

if TYPE_CHECKING:
    from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

MemoryUse = Literal["window", "carried"]
LateUse = Literal["error", "fill", "ignore"]
# Scores of the history that `detect` compares with; the last ones.
MOST_SCORES = 4096


class Surprise(NamedTuple):
    """What the memories did not expect of the last token.

    Attributes:
        timestamp: of the token's last step.
        loss: (C, N, H), the inner loss ‖M(k) − v‖² of each column, memory (one a block) and head; NaN where nothing of
            the token was observed.
        gradient: (C, N, H), the norm of its gradient by the fast weights.
        departure: (C, 4), standard deviations by which patch, step, dynamics and season (`detection.PARTS`) lie from
            what they were so far; NaN while too little was read.
        score: (C,), what alarms compare, see `detection.score`.
    """

    timestamp: Any
    loss: npt.NDArray[np.float64]
    gradient: npt.NDArray[np.float64]
    departure: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]


class _Held:
    """State, and the observations (at most a block) that have not been read yet."""

    __slots__ = ("count", "pending", "state")

    def __init__(self, state: StreamState, pending: Block, count: int) -> None:
        self.state, self.pending, self.count = state, pending, count


class TitansStream:
    """A session of a fitted forecaster: made by `TitansForecaster.stream`, or by `restore`.

    Attributes:
        columns: series and target of every column of `observe`, in order.
        memory: "window" or "carried", what forecasts come from.
        late: "error", "fill" or "ignore", what happens to values for steps that have passed.
        model: hash of the forecaster; a snapshot is restored with the same one.
    """

    def __init__(
        self,
        reader: StreamReader,
        columns: Columns,
        levels: list[float],
        memory: MemoryUse = "window",
        late: LateUse = "error",
        scores: Tensor | None = None,
    ) -> None:
        check_uses(memory, late)
        self.memory, self.late = memory, late
        self._reader, self._columns, self._levels = reader, columns, levels
        self.model = ""
        self._told: tuple[object, Surprise] | None = None
        self._scores = torch.zeros(columns.count, 0, dtype=torch.float64) if scores is None else scores
        self._held = _Held(reader.initial_state(), self._empty(), 0)

    @property
    def columns(self) -> list[tuple[Hashable, str]]:
        """Series and target of every column."""
        return self._columns.names

    @property
    def schema(self) -> SeriesSchema:
        """Columns of the long tables that `observe` takes."""
        return self._columns.schema

    @property
    def steps(self) -> int:
        """Steps seen since the first one of the history."""
        return self._held.state.steps + self._held.count

    @property
    def next_timestamp(self) -> Any:
        """When the next observation is due, as the caller writes time."""
        return self._stamp(self.steps)

    def observe(
        self, values: npt.ArrayLike | pd.DataFrame, covariates: Mapping[str, npt.ArrayLike] | None = None
    ) -> None:
        """Take in what came next; when it fails, nothing has changed.

        Args:
            values: with one column a number or (n,); with C columns (C,), one step (a Series with the series' names may
                have them in any order), or (n, C). NaN is a missing value. Or a table as in the fit, also a Series with
                a time index: rows lie on the session's clock, steps and series without a row are missing.
            covariates: past and known covariates of these steps by name, (n,) or (n, I), beside an array; a long table
                has them as columns.

        Raises:
            TypeError, ValueError: no numbers, wrong number of columns, infinite values, unknown series, doubled rows,
                stamps off the grid, missing covariates, or values for steps that have passed (see `late`).
        """
        if (rows := self._columns.rows(values, covariates)) is not None:
            self._observe_rows(rows)
            return
        block = self._columns.array_block(values, covariates)
        held, steps = self._held, len(block.values)
        if held.count + steps < self._room(held.state):
            held.pending.place(block, held.count)
            held.count += steps
        else:
            self._held, _ = self._added(held, block)

    def _observe_rows(self, data: pd.DataFrame) -> list[Read]:
        """`observe` for a long table; says what the memory read on the way."""
        if len(data) == 0:
            return []
        block, late = self._columns.frame_block(data, self.steps)
        held, read = self._held, list[Read]()
        if len(late.values) and self.late != "ignore":
            held, read = self._with_late(late)
        held, more = self._added(held, block)
        self._held = held
        return [*read, *more]

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
        network = self._reader.network
        trained = network.config.prediction_length
        horizon = trained if prediction_length is None else prediction_length
        if not isinstance(horizon, (int, np.integer)) or isinstance(horizon, bool) or horizon < 1:
            raise ValueError(f"prediction_length must be an integer ≥ 1 (steps to forecast), got {horizon!r}")
        if self.memory == "carried":
            self.catch_up()
        held, total = self._held, -(-int(horizon) // trained) * trained
        state = self._state()
        known = self._columns.future(future, state.steps, int(horizon))
        known = np.pad(known, ((0, 0), (0, total - known.shape[1]), (0, 0)), mode="edge")
        with torch.no_grad():
            batch = self._reader.batch(state, total, torch.from_numpy(known).to(self._reader.device))
            found = roll(network, batch, total // trained, self._levels, self._prefilled(held.state, state.steps))
        mean, quantiles = (x[:, :horizon].double().cpu() for x in found)
        columns = self._columns
        if columns.channels == 1 and (columns.schema.multichannel or columns.mixed):
            mean, quantiles = mean.unsqueeze(2), quantiles.unsqueeze(2)
        panel = columns.panel(state.steps - 1, visible=False)
        channels = columns.ids if columns.mixed else None
        return forecast_frame(panel, Forecast(mean, quantiles), self._levels, columns.schema, channels)

    @property
    def surprise(self) -> Surprise | None:
        """Of the last complete token, read for it; None before the first context is full, or without a memory."""
        self.catch_up()
        found, departure = self._held.state.surprise, self._held.state.departure
        if found is None or departure is None:
            return None
        if self._told is None or self._told[0] is not found:
            loss, gradient = (x.double().cpu().numpy() for x in found)
            stamp = self._stamp(self._reader.last_end(self.steps) - 1)
            self._told = (found, Surprise(stamp, loss, gradient, departure[:, 0].numpy(), score(departure).numpy()))
        return self._told[1]

    def detect(self, false_alarm_rate: float = 0.01) -> npt.NDArray[np.bool_]:
        """Whether the last token surprised the memories of each column (C,) more than the history did.

        The threshold is the conformal quantile of the scores of the history given to `stream`, without its first
        context and a third of what follows, while the memory was young: if what comes is like the history, at most this
        share of the tokens is an alarm. A token of which nothing was observed is none.

        Raises:
            ValueError: the rate is not in (0, 1), the history too short for it, or no token has been read.
        """
        threshold = conformal_threshold(self._scores, false_alarm_rate)
        self.catch_up()
        departure = self._held.state.departure
        if departure is None:
            raise ValueError("no token has been read: the model has no memory, or the first context is not full")
        alarms: npt.NDArray[np.bool_] = (score(departure) > threshold).numpy()
        return alarms

    def snapshot(self, path: str | PathLike[str]) -> Path:
        """Write the session as a folder (config.json, model.safetensors), replaced as a whole or not at all.

        Raises:
            FileExistsError: something else lies at the path.
        """
        from titans_ts.forecasting.streaming.snapshot import save_stream

        return save_stream(self, path)

    @classmethod
    def restore(cls, forecaster: TitansForecaster, path: str | PathLike[str]) -> TitansStream:
        """The session of a folder, on the device of this forecaster; it goes on with the same numbers.

        Args:
            forecaster: the one that the session was made with, or the same one loaded from its folder.
            path: what `snapshot` wrote.

        Raises:
            FileNotFoundError, ValueError: no such folder, or it is damaged, of another model or of a newer version.
        """
        from titans_ts.forecasting.streaming.snapshot import load_stream

        return load_stream(forecaster, path)

    def catch_up(self) -> list[Read]:
        """Make the memory read every complete token now."""
        held = self._held
        if not self._reader.ends(held.state.steps, held.state.steps + held.count):
            return []
        state, read = self._reader.advance(held.state, held.pending.cut(0, held.count))
        self._held = _Held(state, held.pending, 0)
        return [] if read is None else [read]

    def _state(self) -> StreamState:
        """The state with every observation in its window; those that have not been read stay unread."""
        held = self._held
        return self._reader.slide(held.state, held.pending.cut(0, held.count))

    def _calibrate(self, history: list[Read]) -> None:
        """Keep the scores of what was read in the history; what lies aside is read for it, and once more later.

        Not those of the first context and of a third of what follows: a young memory is surprised by everything.
        """
        held = self._held
        _, read = self._reader.advance(held.state, held.pending.cut(0, held.count))
        history = history if read is None else [*history, read]
        context = self._reader.context
        scores = [score(x.departure)[:, [end > context for end in x.ends]] for x in history]
        if scores:
            found = torch.cat(scores, dim=1)
            self._scores = found[:, found.shape[1] // 3 :][:, -MOST_SCORES:].clone()

    def threshold(self, false_alarm_rate: float) -> Tensor:
        """The score (C,) above which a token is an alarm; see `detect`."""
        return conformal_threshold(self._scores, false_alarm_rate)

    def _read_all(self, block: Block) -> list[Read]:
        """Take in a block of any length and say what the memory read on the way."""
        self._held, read = self._added(self._held, block)
        return read

    def _stamps(self, first: int, last: int) -> pd.Index[Any]:
        """Timestamps of the steps first … last − 1, as the caller writes time."""
        clock = self._columns.clock
        index = clock.frequency.range(clock.frequency.shift(clock.start, first), last - first)
        return self._columns.time.restore(index, clock.frequency)

    def _empty(self) -> Block:
        config, steps, items = self._reader.network.config, self._reader.block, self._reader.items
        known = np.zeros((steps, items, config.known_covariates), dtype=np.float32)
        past = np.zeros((steps, items, config.past_features), dtype=np.float32)
        return Block(np.full((steps, self._columns.count), np.nan), known, past)

    def _room(self, state: StreamState) -> int:
        """Steps up to the end of the open block."""
        return self._reader.block - state.steps % self._reader.block

    def _added(self, held: _Held, block: Block) -> tuple[_Held, list[Read]]:
        """The session after a block of any length; what it holds now stays as it is."""
        rest, state, reads = Block.join([held.pending.cut(0, held.count), block]), held.state, []
        while len(rest.values) >= (size := self._room(state)):
            state, read = self._reader.advance(state, rest.cut(0, size))
            rest = rest.cut(size)
            reads += [] if read is None else [read]
        pending = self._empty()
        pending.place(rest, 0)
        return _Held(state, pending, len(rest.values)), reads

    def _with_late(self, late: Late) -> tuple[_Held, list[Read]]:
        """The session with late values in the places of missing ones; tokens read before stay as they were."""
        held, names = self._held, self.columns
        state, read = self._reader.advance(held.state, held.pending.cut(0, held.count))
        for column, step, value in zip(*(x.tolist() for x in late), strict=True):
            stamp, (item, target) = self._stamp(step), names[column]
            what = f"{target!r} of item {item!r} at {stamp}"
            if self.late == "error":
                raise ValueError(
                    f"{what} comes late: the session stands at {self.next_timestamp}. Observe steps in order, those of "
                    "all series together, or start the session with late='fill' (put into missing steps of the last "
                    f"{self._reader.context}) or late='ignore'"
                )
            if step < max(0, state.steps - self._reader.context):
                raise ValueError(
                    f"{what} comes too late: late values are kept for the last {self._reader.context} steps, before "
                    f"{self.next_timestamp}; leave it out"
                )
            if not bool(state.values[column, step - state.steps].isnan()):
                raise ValueError(f"{what} has been observed already: late values fill missing ones, leave it out")
            state = self._reader.fill(state, column, step, value)
        return _Held(state, self._empty(), 0), [] if read is None else [read]

    def _prefilled(self, state: StreamState, steps: int) -> PrefilledContext | None:
        if self.memory == "window" or state.memory is None or state.last is None:
            return None
        return PrefilledContext(state.memory, state.last, steps != self._reader.last_end(steps))

    def _stamp(self, step: int) -> Any:
        return self._stamps(step, step + 1)[0]


def check_uses(memory: str, late: str) -> None:
    """Raise ValueError for an unknown memory or late."""
    for name, value, known in (("memory", memory, get_args(MemoryUse)), ("late", late, get_args(LateUse))):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")


def start_stream(
    forecaster: TitansForecaster, panel: SeriesPanel, memory: MemoryUse = "window", late: LateUse = "error"
) -> tuple[TitansStream, list[Read]]:
    """A session that has read the panel, and what was surprising on the way."""
    # Imported here: it builds on this module.
    from titans_ts.forecasting.streaming.snapshot import fingerprint

    check_uses(memory, late)
    columns, block = open_panel(panel, forecaster)
    reader = reader_of(forecaster, columns.clock)
    stream = TitansStream(reader, columns, list(forecaster.levels_), memory, late)
    stream.model = fingerprint(forecaster)
    reads = stream._read_all(block)
    stream._calibrate(reads)
    return stream, reads


def reader_of(forecaster: TitansForecaster, clock: Clock) -> StreamReader:
    """A reader with the forecaster's network as it is now, on the forecaster's device."""
    network: ForecastNetwork = copy.deepcopy(forecaster.network_)
    return StreamReader(network.to(resolve_device(forecaster.device)).eval().requires_grad_(False), clock)
