"""PretrainedStream: sessions of a pretrained network of reads, with names and timestamps, from an empty start.

It has the names of `TitansStream`; what it carries is a `ReadingStream` (states of exact memories, no fit).

Shapes: n steps, C columns (series), H horizon, Q levels.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series import SeriesPanel, SeriesSchema, parse_frequency, to_records
from titans_datasets.series.read.panel import warn
from titans_ts.core.config import require
from titans_ts.forecasting.forecaster.frames import forecast_frame, history_frame
from titans_ts.forecasting.forecaster.params import check_horizon
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.pretrained.weights import Pretrained
from titans_ts.forecasting.reads.network import LEVELS, ReadingNetwork
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.streaming.given import Given
from titans_ts.forecasting.reads.streaming.stream import ReadingStream
from titans_ts.forecasting.reads.streaming.watch import Watch
from titans_ts.forecasting.sizes import seasons
from titans_ts.forecasting.streaming.detection import conformal_threshold
from titans_ts.forecasting.streaming.observations import Columns, numeric_array, open_columns
from titans_ts.forecasting.streaming.snapshot import item_name, time_kind, time_values
from titans_ts.forecasting.streaming.state import Clock, SessionLock, locked

FloatArray = npt.NDArray[np.float64]


class StepSurprise(NamedTuple):
    """How much the last step surprised.

    Attributes:
        timestamp: of the step.
        score: (C,), distance of the value from its forecast median in normal scores, see
            `reads.streaming.surprise.forecast_scores`; NaN where it is missing or too little was read.
    """

    timestamp: Any
    score: FloatArray


@dataclass(frozen=True)
class StreamSettings:
    """What a session was asked for.

    Attributes:
        schema: columns of long tables; its `freq` is the time step, None for that of the first observations.
        prediction_length: steps of a forecast where none are asked for.
        levels: Q.
        season, second: in steps; None for those of the time step.
        flip: see `ReadingStream`.
    """

    schema: SeriesSchema
    prediction_length: int
    levels: tuple[float, ...]
    season: float | None
    second: float | None
    flip: bool


class _Open(NamedTuple):
    """What there is once the first observations have said which series there are."""

    columns: Columns
    reads: ReadingStream
    watch: Watch


class PretrainedStream:
    """A session without a fit: the first observations say which series there are and when they begin.

    Several threads may use one session, see `TitansStream`.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
        >>> from titans_ts.forecasting.streaming.pretrained import start_pretrained_stream
        >>> network = ReadingNetwork(ReadingConfig())  # or a trained one
        >>> stream = start_pretrained_stream(network, "h", prediction_length=2, levels=(0.1, 0.5, 0.9))
        >>> stream.observe(10 + np.sin(np.arange(48) * np.pi / 12))
        >>> stream.observe(10.0)
        >>> stream.forecast().columns.tolist()
        ['item_id', 'timestamp', 'mean', '0.1', '0.5', '0.9']

    Attributes:
        network: that reads.
        settings: as asked for.
        lock: see `TitansStream`.
    """

    def __init__(self, network: ReadingNetwork, settings: StreamSettings, opened: _Open | None = None) -> None:
        self.network, self.settings, self._opened, self.lock = network, settings, opened, SessionLock()

    @property
    def columns(self) -> list[tuple[Hashable, str]]:
        """Series and target of every column; none before the first observation."""
        return [] if self._opened is None else self._opened.columns.names

    @property
    def schema(self) -> SeriesSchema:
        """Columns of the long tables that `observe` takes."""
        return self.settings.schema

    @property
    def steps(self) -> int:
        """Steps seen since the first one observed."""
        return 0 if self._opened is None else self._opened.reads.steps

    @property
    def next_timestamp(self) -> Any:
        """When the next observation is due, in the caller's kind of timestamps."""
        return self._timestamp(self.steps)

    def timestamps(self, first: int, last: int) -> pd.Index[Any]:
        """Timestamps of the steps first … last − 1, in the caller's kind."""
        columns = self._there().columns
        index = columns.clock.frequency.range(columns.clock.frequency.shift(columns.clock.start, first), last - first)
        return columns.time.restore(index, columns.clock.frequency)

    @locked
    def observe(self, values: object, ahead: int | None = None) -> None:
        """Take in what came next; when it fails, nothing has changed.

        Args:
            values: as in `TitansStream.observe`: a number, (n,), (C,) or (n, C), or a table; NaN is a missing value.
                The first observations may be any kind of series that a fit takes.
            ahead: steps without a row that a table may leave, as in `TitansStream.observe`.

        Raises:
            TypeError, ValueError: no numbers, wrong number of columns, infinite values, unknown series, doubled rows,
                stamps off the grid or far ahead, or values for steps that have passed.
        """
        if self._opened is None:
            self._opened = self._begin(values)
            return
        columns, reads, _ = self._opened
        rows = columns.rows(values, None)
        if rows is None:
            reads.observe(columns.array_block(values, None).values.T)
        elif len(rows):
            block, late = columns.frame_block(rows, self.steps, ahead)
            if len(late.values):
                item, stamp = self.columns[int(late.columns[0])][0], self._timestamp(int(late.steps[0]))
                raise ValueError(
                    f"the value of item {item!r} at {stamp} comes late: the session stands at {self.next_timestamp}. "
                    "Observe steps in order, those of all series together"
                )
            reads.observe(block.values.T)

    @locked
    def forecast(self, prediction_length: int | None = None) -> pd.DataFrame:
        """Forecast the steps after the last one seen; the session stays where it is.

        Args:
            prediction_length: steps, those of the start where None.

        Returns:
            A frame as `TitansForecaster.predict` gives it: id, timestamp, mean (of the deciles) and the levels.

        Raises:
            ValueError: a wrong length, or a series has no value yet.
        """
        columns, reads, _ = self._there()
        levels = self.settings.levels
        horizon = check_horizon(prediction_length, self.settings.prediction_length)
        found = reads.forecast(horizon, (*LEVELS, *levels))
        mean, quantiles = found[..., : len(LEVELS)].mean(-1), found[..., len(LEVELS) :]
        panel = columns.panel(reads.steps - 1, visible=True)
        forecast = Forecast(torch.from_numpy(mean), torch.from_numpy(quantiles))
        return forecast_frame(panel, forecast, list(levels), columns.schema)

    @property
    @locked
    def surprise(self) -> StepSurprise | None:
        """Of the last step; None before the first observation. The first question reads all steps that are kept."""
        if self._opened is None:
            return None
        return StepSurprise(self._timestamp(self.steps - 1), np.abs(self._scores()[:, -1]))

    @locked
    def detect(self, false_alarm_rate: float = 0.01) -> npt.NDArray[np.bool_]:
        """Whether the last step of each column (C,) surprised more than the few thousand steps before it did.

        The threshold is their conformal quantile, without the last 8 steps: while a series goes on like that, at most
        this share of the steps is an alarm. A missing value is none.

        Raises:
            ValueError: the rate is not in (0, 1), too few steps have been read for it, or none.
        """
        require(0 < false_alarm_rate < 1, "false_alarm_rate", "between 0 and 1", false_alarm_rate)
        scores = np.abs(self._scores())
        before = scores[:, : scores.shape[1] - 1 - (self.steps - 1) % BLOCK]
        known, need = int(np.isfinite(before).sum(axis=1).min()), math.ceil(round(1 / false_alarm_rate - 1, 9))
        if known < need:
            raise ValueError(
                f"a false-alarm rate of {false_alarm_rate:g} needs at least {need} earlier steps with a score, got "
                f"{known}: observe more, or take a higher rate"
            )
        return np.asarray(scores[:, -1] > conformal_threshold(torch.from_numpy(before), false_alarm_rate).numpy())

    @locked
    def snapshot(self, path: str | PathLike[str]) -> Path:
        """Write the session into one safetensors file; a file that is there is replaced at once.

        Raises:
            ValueError: nothing has been observed.
            TypeError: the series have names that are no strings or numbers.
        """
        columns, reads, watch = self._there()
        settings = asdict(self.settings)
        more = {
            "settings": settings,
            "ids": [item_name(item) for item in columns.ids],
            "start": columns.clock.start.isoformat(),
            "frequency": columns.clock.frequency.offset_alias,
            "time": time_values(columns.time),
            "scored": watch.steps,
            "scores": watch.scores,
        }
        return reads.snapshot(path, more)

    @classmethod
    def restore(cls, network: ReadingNetwork, path: str | PathLike[str]) -> PretrainedStream:
        """The session of a file that `snapshot` wrote, with the same network; it goes on with the same numbers.

        Raises:
            TypeError: the network is none.
            FileNotFoundError, ValueError: no such file, or it is damaged, of another network or of another version.
        """
        if not isinstance(network, ReadingNetwork):
            raise TypeError(
                f'restore needs the network of the session (session.network, load_pretrained("zero").network), got a '
                f"{type(network).__name__}"
            )
        reads, more = ReadingStream.restore_with_more(network, path)
        if "settings" not in more:
            raise ValueError(f"{path} is the snapshot of a ReadingStream without names: use ReadingStream.restore")
        saved = dict(more["settings"])
        schema = SeriesSchema(**saved.pop("schema"))
        settings = StreamSettings(schema, levels=tuple(saved.pop("levels")), **saved)
        time = time_kind(more["time"])
        nothing = torch.zeros(len(more["ids"]), 0)
        flat = torch.zeros(len(more["ids"]), dtype=torch.int64)
        zone = None if time.wall else time.timezone
        frequency = parse_frequency(more["frequency"])
        clock = Clock(pd.Timestamp(more["start"]), frequency, flat, flat, nothing.long(), nothing, timezone=zone)
        columns = Columns(list(more["ids"]), schema, None, time, clock, 1, False)
        return cls(network, settings, _Open(columns, reads, Watch(more["scores"], int(more["scored"]))))

    def _begin(self, values: object) -> _Open:
        """What the first observations say."""
        data = values
        if isinstance(values, np.ndarray):
            # Steps by columns here, series by steps there.
            data = numeric_array(values).T
        elif np.ndim(cast(Any, values)) == 0 and not isinstance(values, str):
            data = np.atleast_1d(np.asarray(values, dtype=np.float64))
        panel = to_records(data, self.schema, all_missing="error" if data is not values else "skip")
        warn(panel.notes, stacklevel=4)
        columns, block = open_columns(panel, self.schema)
        usual = seasons(columns.clock.frequency)
        season, second = self.settings.season, self.settings.second
        season = float(usual[0]) if season is None else season
        second = (float(usual[1]) if season == usual[0] else 0.0) if second is None else second
        reads = ReadingStream(self.network, columns.count, season, second, flip=self.settings.flip)
        reads.observe(block.values.T)
        return _Open(columns, reads, Watch(np.zeros((columns.count, 0))))

    def _timestamp(self, step: int) -> Any:
        return self.timestamps(step, step + 1)[0]

    def _there(self) -> _Open:
        if self._opened is None:
            raise ValueError("nothing has been observed: observe at least one value")
        return self._opened

    def _scores(self) -> FloatArray:
        _, reads, watch = self._there()
        return watch.read(self.network, reads.given, reads.history)


def start_pretrained_stream(
    network: ReadingNetwork,
    freq: str | None,
    prediction_length: int,
    levels: Sequence[float] = LEVELS,
    *,
    season: float | None = None,
    second: float | None = None,
    flip: bool = False,
    schema: SeriesSchema | None = None,
) -> PretrainedStream:
    """A session that has observed nothing.

    Args:
        network: pretrained.
        freq: the time step; None for that of the first observations.
        prediction_length: steps of a forecast where none are asked for.
        levels: Q, each between 0 and 1.
        season, second: in steps; None for those of the time step.
        flip: see `ReadingStream`.
        schema: columns of long tables, a single target without covariates; its own freq counts where none is given.

    Raises:
        ValueError: a season is out of range, the network reads drafts that a stream does not make, or the schema has
            covariates or several targets.
    """
    schema = schema or SeriesSchema()
    if schema.covariates or schema.multichannel:
        raise ValueError(
            f"a pretrained stream reads one target without covariates, got {[*schema.targets, *schema.covariates]}: "
            "leave the others out"
        )
    schema = SeriesSchema(**{**asdict(schema), "freq": freq or schema.freq})
    check_horizon(None, prediction_length)
    Given.of(network, season or 0.0, second or 0.0)
    return PretrainedStream(network, StreamSettings(schema, prediction_length, tuple(levels), season, second, flip))


class Asks(Protocol):
    """What a session needs to know of a forecaster."""

    prediction_length: int
    quantiles: Sequence[float]


def pretrained_session(
    pretrained: Pretrained,
    forecaster: Asks,
    schema: SeriesSchema,
    history: object = None,
    panel: SeriesPanel | None = None,
) -> PretrainedStream:
    """A session of pretrained weights that has read a history or a panel, or nothing.

    Args:
        pretrained: the weights, installed or tuned.
        forecaster: with prediction_length and quantiles.
        schema: columns of long tables.
        history: series of any kind that a fit takes.
        panel: what was read before, where there is no history.
    """
    levels = tuple(sorted(float(level) for level in forecaster.quantiles))
    flip, steps = pretrained.card.flip, forecaster.prediction_length
    session = start_pretrained_stream(pretrained.network, schema.freq, steps, levels, flip=flip, schema=schema)
    if history is not None or panel is not None:
        session.observe(history_frame(panel, schema) if history is None and panel is not None else history)
    return session
