"""Headers of training checkpoints, and whether a checkpoint fits a network."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import nn

from titans_datasets.text import some
from titans_ts.support.model_folder import FORMAT, check_finite

# Version 1 was that of titans-ts 0.1.
VERSION = 2
MODULE = " module"


def header(task: str) -> dict[str, Any]:
    """What the hyper-parameters of a module of this task begin with."""
    return {"format": FORMAT, "kind": task + MODULE, "version": VERSION}


def read_checkpoint(path: str | PathLike[str], task: str) -> dict[str, Any]:
    """A checkpoint on the CPU; nothing in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, foreign, of another task or of a newer version, or a weight is not finite.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {file.absolute()}: pass a .ckpt file that `titans-ts fit` wrote")
    checkpoint: Any = None
    try:
        what = _damage(file)
        if not what:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message advises to run what is in the file.
        what = "it holds more than plain values and tensors, which is never run"
    except (BadZipFile, EOFError, OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        what = " ".join(str(error).split())[:100] or type(error).__name__
    if what:
        raise ValueError(
            f"{file} is damaged or no checkpoint of plain values and tensors ({what}): pass a .ckpt file that "
            "`titans-ts fit` wrote, such as best.ckpt beside it, or train again"
        )
    check_header(checkpoint, str(file), task)
    check_finite({name: value for name, value in checkpoint["state_dict"].items() if torch.is_tensor(value)}, str(file))
    return dict(checkpoint)


def _damage(file: Path) -> str:
    """What is wrong with the archive that a checkpoint is, by the checksums of its parts; empty where nothing is."""
    if file.stat().st_size == 0:
        return "it is empty, 0 bytes"
    with ZipFile(file) as archive:
        part = archive.testzip()
    return f"the checksum of its part {part} differs" if part else ""


def check_header(checkpoint: Any, name: str, task: str) -> None:
    """Refuse what another program, a module of another task or another version wrote.

    Args:
        checkpoint: a Lightning checkpoint.
        name: what the message calls it.
        task: of the module.

    Raises:
        ValueError: format, task or version differ.
    """
    values = checkpoint.get("hyper_parameters") if isinstance(checkpoint, Mapping) else None
    found, wanted = values or {}, header(task)
    form, kind, version = (found.get(key) for key in wanted)
    if form != FORMAT or not isinstance(kind, str):
        raise ValueError(
            f"{name} is no checkpoint of a {FORMAT} {wanted['kind']} (its format is {form!r}, its kind {kind!r}): pass "
            "a .ckpt file that `titans-ts fit` wrote"
        )
    if kind != wanted["kind"]:
        raise ValueError(
            f"{name} is of task {kind.removesuffix(MODULE)}, expected task {task}: use the recipe it was trained with, "
            f"or pass a checkpoint of task {task}"
        )
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        advice = "upgrade with pip install -U titans-ts" if newer else "train it again"
        raise ValueError(
            f"{name} was written in checkpoint version {version}, this titans-ts reads version {VERSION}: {advice}"
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
