"""Sessions as folders: config.json and model.safetensors, plain values and tensors only.

Shapes: those of `StreamState`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.series.time.timestamps import TimeKind
from titans_ts.core.surprise import InnerLoss
from titans_ts.forecasting.streaming.observations import Columns
from titans_ts.forecasting.streaming.session import TitansStream, reader_of
from titans_ts.forecasting.streaming.state import Block, Clock, StreamState
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model
from titans_ts.version import __version__

if TYPE_CHECKING:
    from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

KIND = "stream"
# Of what a session carries and how it reads; a snapshot of another one would go on with other numbers.
STREAM_VERSION = 2
_STATE = ("values", "times", "past", "seen", "last")
_CLOCK = ("first", "codes", "cat", "real")


def save_stream(stream: TitansStream, path: str | PathLike[str]) -> Path:
    """Write a session; see `core.checkpoint.save_model`.

    Raises:
        FileExistsError: something else lies at the path.
        TypeError: the series have names that are no strings or numbers.
    """
    columns, held, state = stream._columns, stream._held, stream._held.state
    tensors: dict[str, Tensor] = {"scores": stream._scores}
    tensors |= {f"clock.{name}": getattr(columns.clock, name) for name in _CLOCK}
    tensors |= {f"state.{name}": getattr(state, name) for name in _STATE if getattr(state, name) is not None}
    numbers: dict[str, int] = {}
    _flatten(state.watch, "watch", tensors, numbers)
    if state.memory is not None:
        _flatten(state.memory, "memory", tensors, numbers)
    if state.surprise is not None and state.departure is not None:
        tensors |= {"surprise.loss": state.surprise.loss, "surprise.gradient": state.surprise.gradient}
        tensors["surprise.departure"] = state.departure
    for name, array in held.pending._asdict().items():
        tensors[f"pending.{name}"] = torch.from_numpy(array[: held.count].copy())
    config = {
        "stream_version": STREAM_VERSION,
        "library": __version__,
        "model": stream.model,
        "memory": stream.memory,
        "late": stream.late,
        "steps": state.steps,
        "numbers": numbers,
        "start": columns.clock.start.isoformat(),
        "ids": [_name(item) for item in columns.ids],
        "time": {**asdict(replace(columns.time, timezone=None)), "timezone": _zone(columns.time)},
    }
    return save_model(path, KIND, config, tensors)


def load_stream(forecaster: TitansForecaster, path: str | PathLike[str]) -> TitansStream:
    """The session that `save_stream` wrote, with the network of the same forecaster.

    Raises:
        FileNotFoundError, ValueError: see `core.checkpoint.load_model`; or it belongs to another model or version.
    """
    if not hasattr(forecaster, "network_"):
        raise ValueError(
            "this TitansForecaster is not fitted: restore a session with the fitted one that made it, or with that one "
            "loaded from its folder"
        )
    config, tensors = load_model(path, KIND)
    version = config.get("stream_version")
    if version != STREAM_VERSION:
        raise ValueError(
            f"{path} holds a session of stream version {version} (titans-ts {config.get('library')}), this titans-ts "
            f"{__version__} reads version {STREAM_VERSION}: start a new session from the history"
        )
    if config.get("model") != fingerprint(forecaster):
        raise ValueError(
            f"{path} is a session of another model: restore it with the forecaster that made it (or one loaded from "
            "its folder), or start a new session from the history"
        )
    with rebuilding(path):
        columns = _columns(forecaster, config, tensors)
        reader = reader_of(forecaster, columns.clock)
        stream = TitansStream(
            reader, columns, list(forecaster.levels_), config["memory"], config["late"], tensors["scores"]
        )
        stream.model = config["model"]
        held = stream._held
        held.state = _state(stream, config, {name: x.to(reader.device) for name, x in tensors.items()})
        kept = Block(*(tensors[f"pending.{name}"].numpy() for name in Block._fields))
        held.pending.place(kept, 0)
        held.count = len(kept.values)
    return stream


def fingerprint(forecaster: TitansForecaster) -> str:
    """What a forecaster computes, as a hash: sizes, weights, columns, covariate codes and time step."""
    network = forecaster.network_
    facts = {
        "network": plain(network.config.to_dict()),
        "schema": plain(asdict(forecaster.schema_)),
        "frequency": forecaster.frequency_.offset_alias,
        "encoder": None if forecaster.encoder_ is None else plain(forecaster.encoder_.to_dict()),
    }
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return found.hexdigest()


def _columns(forecaster: TitansForecaster, config: dict[str, Any], tensors: dict[str, Tensor]) -> Columns:
    clock = Clock(pd.Timestamp(config["start"]), forecaster.frequency_, *(tensors[f"clock.{name}"] for name in _CLOCK))
    saved = dict(config["time"])
    zone = saved.pop("timezone")
    time = TimeKind(**saved, timezone=None if zone is None else pd.Timestamp(0, tz=zone).tz)
    channels, mixed = forecaster.network_.config.channels, forecaster.channels_ is not None
    return Columns(config["ids"], forecaster.schema_, forecaster.encoder_, time, clock, channels, mixed)


def _state(stream: TitansStream, config: dict[str, Any], tensors: dict[str, Tensor]) -> StreamState:
    kept: dict[str, Any] = {name: tensors.get(f"state.{name}") for name in _STATE}
    state = stream._held.state
    for name in ("values", "times", "past", "seen"):
        expected, got = getattr(state, name).shape, tensors[f"state.{name}"].shape
        if expected != got:
            raise ValueError(f"state.{name} must be {tuple(expected)}, got {tuple(got)}")
    watch = _rebuild(state.watch, "watch", lambda name: tensors[name], config["numbers"])
    watch = watch._replace(running=watch.running.cpu())
    memory, surprise, departure = None, None, None
    if kept["last"] is not None:
        template = stream._reader.network.backbone.initial_state(stream._columns.count)
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


def _name(item: Any) -> Any:
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
