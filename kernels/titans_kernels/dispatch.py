"""Which backend runs an op: one choice in one place, one override, and a reason for every answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

import torch

BACKENDS: Final = ("reference", "torch", "triton")
_NO_TRITON: Final = "the Triton kernels are not part of this version; use backend='torch'"
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
        ValueError: an unknown backend. RuntimeError: one that cannot run here.
    """
    _refuse(backend)
    token = _override.set(backend)
    try:
        yield
    finally:
        _override.reset(token)


def explain(device: torch.device | str = "cpu", backend: str | None = None) -> Choice:
    """The backend that an op would take for tensors on `device`, and the reason, e.g. for a `doctor` command.

    Raises:
        ValueError: an unknown backend. RuntimeError: one that cannot run here.
    """
    if backend is not None:
        _refuse(backend)
        return Choice(backend, "asked for by backend=")
    override = _override.get()
    if override is not None:
        return Choice(override, "asked for by use_backend(...)")
    kind = torch.device(device).type
    if kind == "cpu":
        return Choice("torch", "the tensors are on the CPU: the chunk-parallel torch form is the CPU path")
    return Choice("torch", f"the tensors are on {kind}, but the Triton kernels are not part of this version")


def _refuse(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
    if backend == "triton":
        raise RuntimeError(_NO_TRITON)
