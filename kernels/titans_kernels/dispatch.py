"""Which backend runs an op: one choice in one place, one override, and a reason for every answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Final, NamedTuple

import torch

BACKENDS: Final = ("reference", "torch", "triton")
OLDEST: Final = (8, 0)
"""Compute capability from which the kernels are compiled (Ampere); the ahead-of-time check covers 8.0 and 9.0."""

Refusal = Callable[[], str | None]
"""Why the kernels cannot take a call's shapes and dtypes, None when they can; asked only where kernels could run."""

_log = logging.getLogger("titans_kernels")
_override: ContextVar[str | None] = ContextVar("titans_kernels_backend", default=None)


class Choice(NamedTuple):
    """A backend and why it was taken."""

    backend: str
    reason: str


@contextmanager
def use_backend(backend: str) -> Iterator[None]:
    """Runs every op in the `with` block on this backend ("reference", "torch" or "triton").

    A `backend=` of the call itself wins over the block. Holds for the current thread or async task.

    Raises:
        ValueError: an unknown backend. RuntimeError: "triton" where no kernel can run.
    """
    _check_name(backend)
    if backend == "triton" and not interpreting():
        reason = _no_kernels("cuda")
        if reason:
            raise RuntimeError(_cannot(reason))
    token = _override.set(backend)
    try:
        yield
    finally:
        _override.reset(token)


def explain(device: torch.device | str = "cpu", backend: str | None = None, refusal: Refusal | None = None) -> Choice:
    """The backend that an op takes for tensors on `device`, and the reason, e.g. for a `doctor` command.

    Args:
        backend: what the call asks for; None leaves the choice to `use_backend` and then to the device.
        refusal: what the kernels say to the call's shapes and dtypes; without it only the device counts.

    Raises:
        ValueError: an unknown backend. RuntimeError: "triton" was asked for and cannot run here; the text says why.
    """
    where = torch.device(device)
    asked, by = (backend, "backend=") if backend is not None else (_override.get(), "use_backend(...)")
    if asked is not None:
        _check_name(asked)
        if asked == "triton":
            reason = None if interpreting() else _no_kernels(where.type, where)
            reason = reason or (refusal() if refusal else None)
            if reason:
                raise RuntimeError(_cannot(reason))
        return Choice(asked, f"asked for by {by}")
    reason = _no_kernels(where.type, where)
    if reason is None and refusal is not None:
        reason = refusal()
        if reason:
            _say_once(reason)
    if reason:
        return Choice("torch", reason)
    return Choice("triton", f"the tensors are on {where.type} and the Triton kernels take them")


def interpreting() -> bool:
    """Whether Triton runs its kernels in the interpreter, on the CPU (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0") and find_spec("triton") is not None


def _no_kernels(kind: str, device: torch.device | None = None) -> str | None:
    """Why no kernel runs on a kind of device, None when they do."""
    if kind == "cpu":
        return "the tensors are on the CPU: the chunk-parallel torch form is the CPU path"
    if kind != "cuda":
        return f"the tensors are on {kind}, which the Triton kernels do not know"
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    return _too_old(torch.cuda.current_device() if device is None or device.index is None else device.index)


@cache
def _too_old(index: int) -> str | None:
    if torch.version.hip:
        return "the kernels have not been tried on AMD devices; backend='triton' is the way to try"
    found = torch.cuda.get_device_capability(index)
    if found < OLDEST:
        return f"the kernels need compute capability {OLDEST[0]}.{OLDEST[1]}, device {index} has {found[0]}.{found[1]}"
    return None


@cache
def _say_once(reason: str) -> None:
    _log.debug("memory op on torch instead of Triton: %s", reason)


def _cannot(reason: str) -> str:
    return f"backend='triton' cannot run: {reason}; use backend='torch', or leave backend out"


def _check_name(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
