"""Which backend runs an op: chosen in one place, with a reason for every choice."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Final, NamedTuple, TypeVar

import torch

from titans_kernels.native import library

BACKENDS: Final = ("reference", "torch", "native", "triton")
OLDEST: Final = (8, 0)
"""Compute capability from which the kernels are compiled (Ampere); the ahead-of-time check covers 8.0 and 9.0."""

NATIVE: Final = "TITANS_TS_NATIVE"
"""Environment variable: 0 leaves the compiled ops out; 1 asks for them on processors where they were never timed too;
anything else is an error. Without it they are the choice on x86-64 with AVX2 or AVX-512."""

TIMED: Final = ("AVX2", "AVX512")
"""`torch.backends.cpu.get_cpu_capability()` where the compiled ops are known to be the faster ones."""

Refusal = Callable[[], str | None]
"""Why the kernels cannot take a call's shapes and dtypes, None when they can; called only where kernels could run."""

_TRITON: Final = find_spec("triton") is not None  # looked up once: Dynamo of torch 2.10 does not trace find_spec
_log = logging.getLogger("titans_kernels")


Function = TypeVar("Function", bound=Callable[..., object])


def _constant(function: Function) -> Function:
    """`torch.compiler.assume_constant_result`, without its import of torch._dynamo, which takes more than a second."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


class Choice(NamedTuple):
    """A backend and why it was taken."""

    backend: str
    reason: str


def explain(device: torch.device | str = "cpu", backend: str | None = None, refusal: Refusal | None = None) -> Choice:
    """The backend that an op takes for tensors on `device`, and the reason, e.g. for a `doctor` command.

    Args:
        device: of the tensors.
        backend: `backend=` of the call; None leaves the choice to the device.
        refusal: checks the call's shapes and dtypes for the kernels; without it only the device counts.

    Raises:
        ValueError: an unknown backend, or TITANS_TS_NATIVE is neither 0 nor 1.
        RuntimeError: "triton" or "native" was requested and cannot run here; the text says why.

    Example:
        >>> explain("cpu", backend="torch")
        Choice(backend='torch', reason='requested by backend=')
    """
    where = torch.device(device)
    if backend is not None:
        _check_name(backend)
        if backend == "triton":
            reason = None if interpreting() else _no_kernels(where.type, where.index)
            reason = reason or (None if refusal is None else refusal())
            if reason:
                raise RuntimeError(f"backend='triton' cannot run: {reason}; use backend='torch', or leave backend out")
        if backend == "native":
            reason = _not_native(where.type)
            if reason:
                raise RuntimeError(f"backend='native' cannot run: {reason}; use backend='torch', or leave backend out")
        return Choice(backend, "requested by backend=")
    if where.type == "cpu":
        reason = _not_chosen(os.environ.get(NATIVE, ""))
        if reason is None:
            return Choice("native", "the tensors are on the CPU, for which the ops are compiled here")
        return Choice("torch", f"the tensors are on the CPU; {reason}")
    reason = _no_kernels(where.type, where.index)
    if reason is None and refusal is not None:
        reason = refusal()
        if reason and not torch.compiler.is_compiling():
            _log_once(f"memory op on torch: {reason}")
    if reason:
        return Choice("torch", reason)
    return Choice("triton", f"the tensors are on {where.type} and the Triton kernels take them")


@_constant
def _not_chosen(asked: str) -> str | None:
    """Why a CPU's tensors are not for the compiled ops, None when they are; `asked` is what the environment says."""
    if asked not in ("", "0", "1"):
        raise ValueError(f"{NATIVE} must be 0 (no compiled ops) or 1 (compiled ops), got {asked!r}")
    if asked == "0":
        return f"{NATIVE}=0 leaves the compiled ops out"
    if not asked and torch.backends.cpu.get_cpu_capability() not in TIMED:
        return f"the compiled ops are the choice on x86-64 with AVX2 or AVX-512 ({NATIVE}=1 asks for them here)"
    reason = _not_native("cpu")
    if reason:
        _log_once(f"no compiled ops: {reason}", logging.WARNING if asked else logging.DEBUG)
    return reason and f"no compiled ops: {reason}"


@_constant
def _not_native(kind: str) -> str | None:
    """Why the compiled ops do not run on a kind of device, None when they do."""
    return library.problem() if kind == "cpu" else f"the compiled ops are for the CPU, the tensors are on {kind}"


@_constant
def interpreting() -> bool:
    """Whether Triton runs its kernels in the interpreter, on the CPU (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0") and _TRITON


@_constant
def _no_kernels(kind: str, index: int | None) -> str | None:
    """Why no kernel runs on a kind of device, None when they do."""
    if kind == "cpu":
        return "the tensors are on the CPU"
    if kind != "cuda":
        return f"the tensors are on {kind}, which the Triton kernels do not support"
    if not _TRITON:
        return "Triton is not installed (pip install triton)"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    return _too_old(torch.cuda.current_device() if index is None else index)


@cache
def _too_old(index: int) -> str | None:
    if torch.version.hip:
        return "the kernels are untested on AMD devices: pass backend='triton' to try them"
    found = torch.cuda.get_device_capability(index)
    if found < OLDEST:
        return f"the kernels need compute capability {OLDEST[0]}.{OLDEST[1]}, device {index} has {found[0]}.{found[1]}"
    return None


@cache
def _log_once(text: str, level: int = logging.DEBUG) -> None:
    _log.log(level, text)


def _check_name(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
