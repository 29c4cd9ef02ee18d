"""Headers of training checkpoints, and whether a checkpoint fits a network."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from titans_datasets.text import some
from titans_ts.support.model_folder import FORMAT

# Version 1 was that of titans-ts 0.1.
KIND, VERSION = "forecasting module", 2
HEADER = {"format": FORMAT, "kind": KIND, "version": VERSION}


def read_checkpoint(path: str | PathLike[str], kind: str = KIND) -> dict[str, Any]:
    """A checkpoint on the CPU; nothing in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, foreign or of a newer version.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {file.absolute()}: pass a .ckpt file that `titans-ts fit` wrote")
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{file} is damaged or no checkpoint of plain values and tensors "
            f"({str(error).splitlines()[0]}): pass a .ckpt file that `titans-ts fit` wrote"
        ) from error
    check_header(checkpoint, str(file), kind)
    return dict(checkpoint)


def check_header(checkpoint: Any, name: str, kind: str = KIND) -> None:
    """Refuse what another program, another module or another version wrote.

    Args:
        checkpoint: a Lightning checkpoint.
        name: what the message calls it.
        kind: of the module.

    Raises:
        ValueError: format, kind or version differ.
    """
    found = checkpoint.get("hyper_parameters") if isinstance(checkpoint, Mapping) else None
    header = {key: (found or {}).get(key) for key in HEADER}
    if (header["format"], header["kind"]) != (FORMAT, kind):
        raise ValueError(
            f"{name} is no checkpoint of a {FORMAT} {kind} (its format is {header['format']!r}, its kind "
            f"{header['kind']!r}): pass a .ckpt file that `titans-ts fit` wrote"
        )
    if header["version"] != VERSION:
        newer = isinstance(header["version"], int) and header["version"] > VERSION
        advice = "upgrade with pip install -U titans-ts" if newer else "train it again"
        raise ValueError(
            f"{name} was written in checkpoint version {header['version']}, this titans-ts reads version {VERSION}: "
            f"{advice}"
        )


def check_architecture(checkpoint: Mapping[str, Any], network: Mapping[str, Any], name: str) -> None:
    """Refuse a checkpoint of another network.

    Args:
        checkpoint: a Lightning checkpoint with a header.
        network: plain values of the network's configuration.
        name: what the message calls it.

    Raises:
        ValueError: a value differs; the message lists all that do.
    """
    saved = dict(flat(checkpoint["hyper_parameters"]["network"]))
    wanted = dict(flat(network))
    differing = [key for key in {**saved, **wanted} if saved.get(key) != wanted.get(key)]
    if differing:
        values = ", ".join(f"{key} is {saved.get(key)!r} there and {wanted.get(key)!r} here" for key in differing)
        raise ValueError(
            f"{name} holds a network of another architecture: {values}; use the recipe it was trained with, or train "
            "again"
        )


def check_tensors(checkpoint: Mapping[str, Any], module: nn.Module, name: str) -> None:
    """Refuse a checkpoint whose weights have other names: one of another state of this library.

    Raises:
        ValueError: names are on one side only; the message lists them.
    """
    saved = set(checkpoint["state_dict"])
    parameters = {_unwrapped(key) for key, _ in module.named_parameters()}
    buffers = {_unwrapped(key) for key, _ in module.named_buffers()}
    absent, unknown = sorted(parameters - saved), sorted(saved - parameters - buffers)
    if absent or unknown:
        raise ValueError(
            f"{name} was written by another version of {FORMAT}: it lacks {some(absent) or 'nothing'} and has "
            f"{some(unknown) or 'nothing'} in addition; train again, or use the version that wrote it"
        )


def _unwrapped(key: str) -> str:
    """A parameter's name without what FSDP adds to it."""
    return key.replace("_fsdp_wrapped_module.", "")


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by dotted name, lists as tuples."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, tuple(value) if isinstance(value, (list, tuple)) else value
