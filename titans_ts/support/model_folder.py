"""Models as folders: config.json and model.safetensors. Nothing in them is executable, none is ever half written."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

FORMAT = "titans-ts"
# 1 was that of titans-ts 0.1.
VERSION = 2
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_model(path: str | PathLike[str], kind: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write a model folder; a reader sees the old model or the whole new one.

    The folder is written beside its place and moved there when it is complete. A model of the same kind is replaced,
    anything else that lies there stays. Should the machine stop between the two renames, the old model is in the hidden
    folder beside it whose name ends in ".old".

    Args:
        path: the folder.
        kind: what the model is ("forecaster"); `load_model` asks for the same.
        config: plain values for JSON.
        tensors: the weights by name.

    Raises:
        FileExistsError: the path holds something that is no model of this library, or a model of another kind.
        TypeError: config holds something that JSON cannot hold.
    """
    folder = Path(path).expanduser().absolute()
    if folder.exists() and not _is_ours(folder):
        raise FileExistsError(
            f"{folder} exists and is no model of {FORMAT} (no {CONFIG} of this format in it): choose another path or "
            "remove it first"
        )
    other = _kind_of(folder)
    if other not in (None, kind):
        raise FileExistsError(f"{folder} holds a {other}, a {kind} would replace it: choose another path or remove it")
    # Only the numbers go into the file: views, devices and gradients do not.
    weights = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    head = {"format": FORMAT, "version": VERSION, "kind": kind, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps({**head, **config}, indent=2, ensure_ascii=False, allow_nan=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".writing"))
    try:
        _write(fresh / WEIGHTS, weights)
        _write(fresh / CONFIG, (text + "\n").encode())
        fresh.chmod(0o755)
        _sync_folder(fresh)
        _move_into_place(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def load_model(
    path: str | PathLike[str], kind: str, *, oldest: int = 1, again: str = "fit again and save"
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors (on the CPU) of a folder that `save_model` wrote.

    Args:
        path: the folder.
        kind: what the model must be.
        oldest: the oldest format version whose entries the caller reads.
        again: how a folder of an older version is made anew, for the message.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is foreign, damaged, of another kind, from a newer version or from one too old.
    """
    folder = Path(path).expanduser().absolute()
    config = _read_config(folder)
    if config["kind"] != kind:
        raise ValueError(f"{folder} holds a {config['kind']}, expected a {kind}: load it with the class that saved it")
    if config["version"] < oldest:
        raise ValueError(
            f"{folder} holds a {kind} written by {FORMAT} 0.1 (format version {config['version']}), which this version "
            f"does not read: {again}"
        )
    file = folder / WEIGHTS
    if not file.is_file():
        raise ValueError(f"{folder} lacks {WEIGHTS}: the copy is incomplete, save or copy the model again")
    weights = file.read_bytes()
    if hashlib.sha256(weights).hexdigest() != config["weights_sha256"]:
        raise ValueError(
            f"{file} ({len(weights):,} bytes) does not belong to the {CONFIG} beside it or is damaged (checksums "
            "differ): save or copy the model again"
        )
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise ValueError(f"{file} is no safetensors file ({error}): save or copy the model again") from error
    return config, tensors


def kind_of(path: str | PathLike[str]) -> str:
    """What the model of a folder is, as `save_model` was told; its weights are not read.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    return str(_read_config(Path(path).expanduser().absolute())["kind"])


@contextmanager
def rebuilding(path: str | PathLike[str]) -> Iterator[None]:
    """Around what makes a model of config and tensors: whatever does not fit means a damaged folder.

    Raises:
        ValueError: instead of the errors of a missing entry, a wrong type or weights of other shapes.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{Path(path).absolute()} is damaged or was written by another version: {type(error).__name__}: {error}"
        ) from error


def plain(value: Any) -> Any:
    """Values that JSON holds: NumPy numbers as Python's, tuples as lists, NaN as null, a RandomState as null.

    Raises:
        TypeError: something that cannot be written without code.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, dict):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    # The state of a generator says nothing about a fitted model.
    if isinstance(value, np.random.RandomState):
        return None
    if hasattr(value, "freqstr"):
        return value.freqstr
    raise TypeError(f"a parameter of type {type(value).__name__} cannot be saved: use plain numbers, strings and lists")


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: pass the folder that save() wrote")
    file = folder / CONFIG
    if not file.is_file():
        raise ValueError(f"{folder} is no model of {FORMAT}: it lacks {CONFIG}; pass the folder that save() wrote")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): save or copy the model again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{folder} is no model of {FORMAT}: its {CONFIG} is of another format")
    version = config.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"{folder} was written by a newer {FORMAT} (format version {version}, this one reads up to {VERSION}): "
            f"upgrade with pip install -U {FORMAT}"
        )
    absent = [name for name in ("kind", "weights_sha256") if not isinstance(config.get(name), str)]
    if absent:
        raise ValueError(f"{file} is damaged: it lacks {', '.join(absent)}; save or copy the model again")
    return config


def _is_ours(folder: Path) -> bool:
    """Whether a folder may be replaced: empty, or holding a config.json of this format (of any version)."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    config = _peek(folder)
    return isinstance(config, dict) and config.get("format") == FORMAT


def _kind_of(folder: Path) -> Any:
    """What kind of model a folder says it holds, None where it says nothing."""
    config = _peek(folder)
    return config.get("kind") if isinstance(config, dict) else None


def _peek(folder: Path) -> Any:
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_into_place(fresh: Path, folder: Path) -> None:
    """Rename, with the old folder set aside until the new one is there."""
    if not folder.exists():
        os.rename(fresh, folder)
    else:
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
        os.rename(folder, aside / folder.name)
        try:
            os.rename(fresh, folder)
        except BaseException:
            os.rename(aside / folder.name, folder)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    _sync_folder(folder.parent)
