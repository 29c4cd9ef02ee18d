"""Snapshots of reading histories: one safetensors file, plain numbers and a few values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, from_numpy

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads.memories.carried import Carried
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
from titans_ts.forecasting.reads.streaming.history import Absorbed, ReadingHistory, state_arrays
from titans_ts.forecasting.reads.streaming.units import Totals, Units

# Of what a history carries and how it is read; one of another version would go on with other numbers.
VERSION = 1
# Before the names of arrays that are written beside a history.
MORE = "more."


def save_history(path: Path, history: ReadingHistory, network: str, more: Mapping[str, Any]) -> Path:
    """Write a history, the checksum of its network, and more: plain values, and arrays under names that begin so."""
    own = {"version": VERSION, "network": network, "season": history.season, "second": history.second}
    own |= {"steps": history.steps, "capacity": history.capacity}
    settings = {name: value for name, value in more.items() if not isinstance(value, np.ndarray)}
    more_arrays = {f"{MORE}{name}": value for name, value in more.items() if isinstance(value, np.ndarray)}
    # Copied: views of a larger array cannot be written.
    arrays = {name: np.array(array, order="C") for name, array in {**state_arrays(history), **more_arrays}.items()}
    with in_place_of(path) as beside:
        save_file(arrays, beside, metadata={"stream": json.dumps({**own, "more": settings})})
    return path


def load_history(path: Path, network: str) -> tuple[ReadingHistory, dict[str, Any]]:
    """The history that `save_history` wrote, and what it wrote beside it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none, damaged, of another version or of another network.
    """
    try:
        with safe_open(path, "numpy") as file:
            settings = json.loads((file.metadata() or {}).get("stream", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no stream, or a damaged one ({error}): start a new one") from error
    if settings.get("version") != VERSION:
        raise ValueError(
            f"{path} holds no stream of version {VERSION}, but {settings.get('version', 'something else')}: start a "
            "new one"
        )
    if settings["network"] != network:
        raise ValueError(f"{path} is a stream of a network of other sizes or drafts: restore it with the one it had")
    more = {name.removeprefix(MORE): array for name, array in arrays.items() if name.startswith(MORE)}
    try:
        return _history(settings, arrays), {**settings["more"], **more}
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} holds a damaged stream ({error!r}): start a new one") from error


def _history(settings: dict[str, Any], arrays: dict[str, Any]) -> ReadingHistory:
    values = arrays["values"]
    history = ReadingHistory(len(values), settings["season"], settings["second"])
    history.restore(values, int(settings["steps"]), int(settings["capacity"]), arrays.get("periods"))
    if "phases.gram" in arrays:
        history.absorbed = _absorbed(history, arrays)
    return history


def _absorbed(history: ReadingHistory, arrays: dict[str, Any]) -> Absorbed:
    keys = PhaseKeys(from_numpy(arrays["periods"]))
    carried = Carried.empty(keys).at_step(history.steps - history.kept)
    names = iter([f"{part.name}.{own}" for part in fields(Carried) for own in _tensors(getattr(carried, part.name))])

    def stored(like: Tensor) -> Tensor:
        """The array in the place of a tensor."""
        name = next(names)
        found = from_numpy(arrays[name])
        if found.shape != like.shape or found.dtype != like.dtype:
            raise TypeError(f"{name} must be {tuple(like.shape)} {like.dtype}, got {tuple(found.shape)} {found.dtype}")
        return found

    units, totals = (
        [arrays[f"{name}.{field.name}"] for field in fields(kind)]
        for name, kind in (("units", Units), ("totals", Totals))
    )
    return Absorbed(carried.mapped(stored), Units(*units), Totals(*totals))


def _tensors(state: Any) -> list[str]:
    return [field.name for field in fields(state) if isinstance(getattr(state, field.name), Tensor)]
