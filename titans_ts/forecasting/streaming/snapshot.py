"""Sessions as folders: config.json and model.safetensors, plain values and tensors only.

Shapes: those of `StreamState`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.series.time.timestamps import TimeKind
from titans_ts.core.surprise import InnerLoss
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.streaming.buffer import Buffer
from titans_ts.forecasting.streaming.observations import Columns
from titans_ts.forecasting.streaming.reader import StreamReader, reader_of
from titans_ts.forecasting.streaming.state import Block, Clock, LateUse, MemoryUse, StreamState
from titans_ts.support.model_folder import load_model, rebuilding, save_model
from titans_ts.version import __version__

KIND = "stream"
# Of what a session carries and how it reads; a snapshot of another one would go on with other numbers.
STREAM_VERSION = 2
# The first version of model folders whose sessions are read.
OLDEST_VERSION = 2
ANEW = "start a new session from the history, forecaster.stream(history)"
_STATE = ("values", "times", "past", "seen", "last")
_CLOCK = ("first", "codes", "cat", "real")


@dataclass
class Session:
    """All that a session is.

    Attributes:
        columns: its series.
        memory: "window" or "carried", what forecasts come from.
        late: "error", "fill" or "ignore", what happens to values for steps that have passed.
        model: fingerprint of the forecaster; a snapshot is restored with the same one.
        scores: (C, n), surprise of the history, which alarms are compared with.
        buffer: the network that reads, what it has read, and what waits to be read.
    """

    columns: Columns
    memory: MemoryUse
    late: LateUse
    model: str
    scores: Tensor
    buffer: Buffer


def save_session(path: str | PathLike[str], session: Session) -> Path:
    """Write a session; see `support.model_folder.save_model`.

    Raises:
        FileExistsError: something else lies at the path.
        TypeError: the series have names that are no strings or numbers.
    """
    columns, state = session.columns, session.buffer.state
    tensors: dict[str, Tensor] = {"scores": session.scores}
    tensors |= {f"clock.{name}": getattr(columns.clock, name) for name in _CLOCK}
    tensors |= {f"state.{name}": getattr(state, name) for name in _STATE if getattr(state, name) is not None}
    numbers: dict[str, int] = {}
    _flatten(state.watch, "watch", tensors, numbers)
    if state.memory is not None:
        _flatten(state.memory, "memory", tensors, numbers)
    if state.surprise is not None and state.departure is not None:
        tensors |= {"surprise.loss": state.surprise.loss, "surprise.gradient": state.surprise.gradient}
        tensors["surprise.departure"] = state.departure
    for name, array in session.buffer.waiting._asdict().items():
        tensors[f"pending.{name}"] = torch.from_numpy(array.copy())
    config = {
        "stream_version": STREAM_VERSION,
        "library": __version__,
        "model": session.model,
        "memory": session.memory,
        "late": session.late,
        "steps": state.steps,
        "numbers": numbers,
        "start": columns.clock.start.isoformat(),
        "ids": [item_name(item) for item in columns.ids],
        "time": time_values(columns.time),
    }
    return save_model(path, KIND, config, tensors, gaps=True)


def load_session(path: str | PathLike[str], fitted: FittedForecaster) -> Session:
    """The session that `save_session` wrote, with the network of the same forecaster.

    Raises:
        FileNotFoundError, ValueError: see `support.model_folder.load_model`; or it belongs to another model or version.
    """
    config, tensors = load_model(path, KIND, oldest=OLDEST_VERSION, again=ANEW, gaps=True)
    version = config.get("stream_version")
    if version != STREAM_VERSION:
        raise ValueError(
            f"{path} holds a session of stream version {version} (titans-ts {config.get('library')}), this titans-ts "
            f"{__version__} reads version {STREAM_VERSION}: {ANEW}"
        )
    if config.get("model") != fitted.fingerprint():
        raise ValueError(
            f"{path} is a session of another model: restore it with the forecaster that made it (or one loaded from "
            f"its folder), or {ANEW}"
        )
    with rebuilding(path):
        columns = _columns(fitted, config, tensors)
        reader = reader_of(fitted, columns.clock)
        moved = {name: x.to(reader.device) for name, x in tensors.items()}
        buffer = Buffer(reader, _state(reader, config, moved))
        buffer.append(Block(*(tensors[f"pending.{name}"].numpy() for name in Block._fields)))
        scores = tensors["scores"]
        return Session(columns, config["memory"], config["late"], config["model"], scores, buffer)


def _columns(fitted: FittedForecaster, config: dict[str, Any], tensors: dict[str, Tensor]) -> Columns:
    time = time_kind(config["time"])
    parts = {part: tensors[f"clock.{part}"] for part in _CLOCK}
    zone = None if time.wall else time.timezone
    clock = Clock(pd.Timestamp(config["start"]), fitted.frequency, timezone=zone, **parts)
    channels, mixed = fitted.network.config.channels, fitted.channels is not None
    return Columns(config["ids"], fitted.schema, fitted.encoder, time, clock, channels, mixed)


def _state(reader: StreamReader, config: dict[str, Any], tensors: dict[str, Tensor]) -> StreamState:
    kept: dict[str, Any] = {name: tensors.get(f"state.{name}") for name in _STATE}
    state = reader.initial_state()
    for name in ("values", "times", "past", "seen"):
        expected, got = getattr(state, name).shape, tensors[f"state.{name}"].shape
        if expected != got:
            raise ValueError(f"state.{name} must be {tuple(expected)}, got {tuple(got)}")
    watch = _rebuild(state.watch, "watch", lambda name: tensors[name], config["numbers"])
    watch = watch._replace(running=watch.running.cpu())
    memory, surprise, departure = None, None, None
    if kept["last"] is not None:
        template = reader.network.backbone.initial_state(reader.items * reader.channels)
        memory = _rebuild(template, "memory", lambda name: tensors[name], config["numbers"])
    if "surprise.loss" in tensors:
        surprise = InnerLoss(tensors["surprise.loss"], tensors["surprise.gradient"])
        departure = tensors["surprise.departure"].cpu()
    return StreamState(
        int(config["steps"]),
        **kept,
        watch=watch,
        memory=memory,
        surprise=surprise,
        departure=departure,
    )


def _flatten(part: Any, name: str, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
    """Every leaf of nested tuples under a name of its own."""
    if isinstance(part, Tensor):
        tensors[name] = part
    elif isinstance(part, int):
        numbers[name] = part
    else:
        for place, leaf in enumerate(part):
            _flatten(leaf, f"{name}.{place}", tensors, numbers)


def _rebuild(template: Any, name: str, tensor: Callable[[str], Tensor], numbers: dict[str, int]) -> Any:
    """Nested tuples like the template, with the leaves that `_flatten` named."""
    if isinstance(template, Tensor):
        return tensor(name)
    if isinstance(template, int):
        return int(numbers[name])
    leaves = [_rebuild(leaf, f"{name}.{place}", tensor, numbers) for place, leaf in enumerate(template)]
    return type(template)(*leaves) if hasattr(template, "_fields") else tuple(leaves)


def time_values(time: TimeKind) -> dict[str, Any]:
    """A kind of timestamps as JSON has it."""
    return {**asdict(replace(time, timezone=None)), "timezone": _zone(time)}


def time_kind(values: dict[str, Any]) -> TimeKind:
    """Inverse of `time_values`."""
    saved = dict(values)
    name = saved.pop("timezone")
    return TimeKind(**saved, timezone=None if name is None else pd.Timestamp(0, tz=name).tz)


def item_name(item: Any) -> Any:
    """A series' name as JSON has it."""
    item = item.item() if isinstance(item, np.generic) else item
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        raise TypeError(
            f"a series named {item!r} ({type(item).__name__}) cannot be written: name series by strings or numbers"
        )
    return int(item) if isinstance(item, int) else item


def _zone(time: TimeKind) -> str | None:
    """The time zone as pandas reads it; an offset without a name as UTC+HH:MM."""
    if time.timezone is None:
        return None
    name = str(time.timezone)
    try:
        pd.Timestamp(0, tz=name)
        return name
    except (KeyError, ValueError):
        offset = time.timezone.utcoffset(None)
    if offset is None:
        raise ValueError(f"time zone {name} has no name that pandas reads: convert the timestamps to one such as UTC")
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}" if minutes else "UTC"
