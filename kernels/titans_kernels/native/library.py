"""The compiled ops of the CPU, built from the C files here by the machine's own C compiler when first asked for."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import torch

SOURCES: Final = ("memory.c", "rows.c", "attention.c")
HEADERS: Final = ("products.h",)
FLAGS: Final = ("-O2", "-ftree-vectorize", "-std=gnu11", "-shared", "-fPIC")
GCC: Final = ("-fno-ivopts", "-fvect-cost-model=dynamic")
TARGETS: Final = (("-march=native", *GCC), ("-march=native",), ("-mcpu=native",), ())
"""Tried in turn: compilers differ in how they are told to use all that this processor has, and gcc's ivopts is in the
way of the products (B=2, H=4, 64-256-64, T=1024, C=64, forward + backward: 75 ms without, 89 with; clang 80)."""
AROUND: Final = ("convolve", "convolve_backward", "gated", "gated_backward", "attend", "attend_backward", "turn_over")
"""Functions of rows.c and attention.c."""
TYPES: Final = {torch.float32: "float", torch.float64: "double"}
SECONDS: Final = 120


class BuildError(RuntimeError):
    """The ops cannot be compiled on this machine; the text says why."""


@cache
def problem() -> str | None:
    """Why the compiled ops cannot run here, None when they can; compiles them at the first call (seconds)."""
    try:
        load(torch.float32)
    except (BuildError, OSError) as error:
        return str(error)
    return None


@cache
def load(dtype: torch.dtype) -> ctypes.CDLL:
    """The library for float32 or float64.

    Raises:
        BuildError: there is no C compiler, or it fails.
    """
    library = ctypes.CDLL(str(_built(TYPES[dtype])))
    for name in ("scratch_numbers", "attention_scratch", "lanes"):
        getattr(library, name).restype = ctypes.c_int64
    library.attention_scratch.argtypes = [ctypes.c_char_p]
    for name in ("forward", "backward", "token"):
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
        function.restype = None
    for name in AROUND:
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_char_p] + [ctypes.c_int64] * 2, None
    return library


def _built(real: str) -> Path:
    compiler = shlex.split(os.environ.get("CC", "")) or [_compiler()]
    text = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in (*SOURCES, *HEADERS))
    parts = (text, real, *FLAGS, str(TARGETS), *compiler, _processor())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder = _folder()
    found = folder / f"memory-{real}-{key}.so"
    if not found.exists():
        _compile(compiler, real, folder, found)
    return found


def _compiler() -> str:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    raise BuildError("there is no C compiler (cc, gcc or clang) on the path, nor one named by CC")


def _compile(compiler: list[str], real: str, folder: Path, to: Path) -> None:
    sources = [str(Path(__file__).parent / name) for name in SOURCES]
    for target in TARGETS:
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            made = Path(beside) / to.name
            command = [*compiler, *FLAGS, *target, f"-DREAL={real}", *sources, "-o", str(made)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise BuildError(f"{command[0]} does not run: {error}") from error
            if done.returncode == 0:
                made.replace(to)  # in one step: another process sees all of it or nothing
                return
    raise BuildError(f"{compiler[0]} cannot compile {sources[0]}: {' '.join(done.stderr.split())[:300]}")


def _processor() -> str:
    """What `native` means here: a cache may be shared by machines of several kinds."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"


def _folder() -> Path:
    """$XDG_CACHE_HOME/titans-ts or ~/.cache/titans-ts, where this user alone may write."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "titans-ts"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"{folder} cannot be made: {error}; set XDG_CACHE_HOME to a folder of your own") from error
    return folder
