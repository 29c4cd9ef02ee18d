"""Model folders: config.json and model.safetensors. Nothing in them is executed, and none is ever half written.

One checksum covers both: that of the weights is part of the configuration, whose own is its last entry.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from titans_datasets.writing import folder_in_place_of

FORMAT = "titans-ts"
# 1 was that of titans-ts 0.1; from 3 on the configuration has a checksum.
VERSION = 3
CHECKSUM = "sha256"
# Buffers that are infinite where there is no bound.
MAY_BE_INFINITE = ("fence", "reach")
# Bytes of a configuration: those of thousands of categories take a tenth of it.
MOST_BYTES = 50_000_000
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_model(
    path: str | PathLike[str], kind: str, config: dict[str, Any], tensors: dict[str, Tensor], *, gaps: bool = False
) -> Path:
    """Write a model folder; a reader sees the old model or the whole new one.

    A model of the same kind is replaced, anything else that is there stays; see
    `titans_datasets.writing.folder_in_place_of`.

    Args:
        path: the folder.
        kind: what the model is ("forecaster"); `load_model` needs the same.
        config: plain values for JSON.
        tensors: the weights by name.
        gaps: whether they hold observations too, which can be missing; weights have to be finite.

    Returns:
        The folder's absolute path.

    Raises:
        FileExistsError: the path holds something that is no model of this library, or a model of another kind.
        TypeError: config holds something that JSON cannot hold.
        ValueError: a weight is not finite.
    """
    if not gaps:
        check_finite(tensors, "this model")
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
    text = json.dumps(sealed({**head, **config}), indent=2, ensure_ascii=False, allow_nan=True)
    with folder_in_place_of(folder) as beside:
        (beside / WEIGHTS).write_bytes(weights)
        (beside / CONFIG).write_text(text + "\n", encoding="utf-8", newline="\n")
    return folder


def load_model(
    path: str | PathLike[str],
    kind: str,
    *,
    oldest: int = 1,
    again: str = "fit again and save",
    gaps: bool = False,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors (on the CPU) of a folder that `save_model` wrote.

    Args:
        path: the folder.
        kind: what the model must be.
        oldest: the oldest format version whose entries the caller reads.
        again: how a folder of an older version is made anew, for the message.
        gaps: as in `save_model`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is no model of this library, damaged or changed, of another kind, of a version that is
            newer or too old, or has weights that are not finite.
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
    if not gaps:
        check_finite(tensors, str(file))
    return config, tensors


def sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its checksum, the SHA-256 of it as JSON without spaces in the order of its names.

    Who changes a config.json by purpose has to seal it again.

    Example:
        >>> sealed({"format": "titans-ts"})["sha256"][:8]
        '262afdb8'
    """
    plain_config = {name: value for name, value in config.items() if name != CHECKSUM}
    # Once through JSON: what is written and what is read are the same then.
    content = json.loads(json.dumps(plain_config, allow_nan=True))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return {**plain_config, CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse weights that are infinite or no numbers: forecasts from them would be none.

    Raises:
        ValueError: there are some; the message names the first.

    Example:
        >>> from torch import tensor
        >>> check_finite({"gate": tensor([float("nan")])}, "this model")
        Traceback (most recent call last):
        ...
        ValueError: this model has weights that are not finite (gate): train it again, or take an earlier copy
    """
    for key, value in tensors.items():
        endless = key.rpartition(".")[2] in MAY_BE_INFINITE
        if value.is_floating_point() and not bool((~value.isnan() if endless else value.isfinite()).all()):
            raise ValueError(f"{name} has weights that are not finite ({key}): train it again, or take an earlier copy")


def kind_of(path: str | PathLike[str]) -> str:
    """The kind of the model in a folder, as given to `save_model`; its weights are not read.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    return str(_read_config(Path(path).expanduser().absolute())["kind"])


@contextmanager
def rebuilding(path: str | PathLike[str]) -> Iterator[None]:
    """Context in which a model is built from config and tensors: an error there means a damaged folder.

    Raises:
        ValueError: in place of the errors for a missing entry, a wrong type or weights of other shapes.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{Path(path).absolute()} is damaged or was written by another version: {type(error).__name__}: {error}"
        ) from error


def plain(value: Any) -> Any:
    """The value as JSON holds it: NumPy numbers as Python's, tuples as lists, NaN and a RandomState as null.

    Raises:
        TypeError: the value cannot be written as plain numbers, strings and lists.
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
    # The state of a generator is no part of a fitted model.
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
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"{file} has {file.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}: it is damaged, copy the model "
            "again"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{file} is damaged (nested too deeply): save or copy the model again") from error
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
    if version >= 3 and config.pop(CHECKSUM, None) != sealed(config)[CHECKSUM]:
        raise ValueError(
            f"{file} is damaged or was changed after it was written (checksums differ): save or copy the model again"
        )
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
    """The kind of model that a folder holds, None where its config does not tell."""
    config = _peek(folder)
    return config.get("kind") if isinstance(config, dict) else None


def _peek(folder: Path) -> Any:
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
