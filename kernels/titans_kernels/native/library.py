"""The compiled ops of the CPU, built from the C files here by the machine's own C compiler when first asked for.

They are kept in the user's cache folder, by compiler, flags and processor, and are used only after a trial in a process
of their own (trial.h). One process builds while others wait for it; a file that is not what was built is built again; a
failure is kept for an hour.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import math
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import forward_ad

HERE: Final = Path(__file__).parent
SOURCES: Final = ("memory.c", "rows.c", "attention.c")
HEADERS: Final = ("products.h", "trial.h")
FLAGS: Final = ("-O2", "-ftree-vectorize", "-std=gnu11", "-shared", "-fPIC")
GCC: Final = ("-fno-ivopts", "-fvect-cost-model=dynamic")
TARGETS: Final = (("-march=native", *GCC), ("-march=native",), ("-mcpu=native",), ())
"""Tried in turn: compilers differ in how they are told to use all that this processor has, and gcc's ivopts is in the
way of the products (B=2, H=4, 64-256-64, T=1024, C=64, forward + backward: 75 ms without, 89 with; clang 80)."""
AROUND: Final = ("convolve", "convolve_backward", "gated", "gated_backward", "attend", "attend_backward", "turn_over")
"""Functions of rows.c and attention.c."""
TYPES: Final = {torch.float32: "float", torch.float64: "double"}
WIDEST: Final = 64
"""Bytes of the widest vectors, those of AVX-512; where the processor has none of them, its own are taken."""
SECONDS: Final = 120
"""For the library, which takes two or three."""
FEW_SECONDS: Final = 20
"""For the trial's build and its run, 0.1 together: a compiler that hangs is found here first."""
HOUR: Final = 3600
PROCESS: Final = os.getpid()
"""That of the import of titans_kernels; a child of its fork has another."""
_log = logging.getLogger("titans_kernels")


class BuildError(RuntimeError):
    """The ops cannot be compiled on this machine; the text says why."""


@cache
def problem() -> str | None:
    """Why the compiled ops cannot run here, None when they can; compiles them at the first call (seconds)."""
    try:
        load(torch.float32)
    except (BuildError, OSError, ValueError) as error:  # ValueError: a CC with a quote that is not closed
        return str(error)
    return None


@cache
def ready(dtype: torch.dtype, vector: int) -> bool:
    """Whether there is this library; one that cannot be built beside the first is told as a warning."""
    try:
        load(dtype, vector)
    except (BuildError, OSError) as error:
        _log.warning("compiled ops for %s with vectors of %s bytes: %s", dtype, vector, error)
        return False
    return True


@cache
def load(dtype: torch.dtype, vector: int = WIDEST) -> ctypes.CDLL:
    """The library for float32 or float64, with vectors of at most so many bytes.

    Raises:
        BuildError: there is no C compiler, or it fails.
    """
    library = ctypes.CDLL(str(_built(TYPES[dtype], vector)))
    for name in ("scratch_numbers", "attention_scratch", "lanes"):
        getattr(library, name).restype = ctypes.c_int64
    library.attention_scratch.argtypes = [ctypes.c_char_p]
    for name in ("forward", "backward", "token"):
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
        function.restype = None
    for name in AROUND:
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2, None
    library.shared.argtypes = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 3
    library.shared.restype = None
    return library


def team() -> int | None:
    """Address of GOMP_parallel of the OpenMP that torch runs on; None where torch has other threads, and in the child
    of a fork, where it would wait for ever for the threads of the parent."""
    return _team() if os.getpid() == PROCESS else None


@cache
def _team() -> int | None:
    for name in (None, "libgomp.so.1"):  # wheels for ARM keep its names to themselves
        try:
            found = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel
            return ctypes.cast(found, ctypes.c_void_p).value
        except (AttributeError, OSError, TypeError):  # no such name or library; Windows has neither mode nor CDLL(None)
            continue
    return None


def reads(tensors: Iterable[Tensor]) -> bool:
    """Whether a library may read these at their addresses: they hold numbers, nobody watches the operations (make_fx, a
    counter of them), and nothing is to be derived forwards."""
    if torch._C._len_torch_dispatch_stack() or forward_ad._current_level >= 0:
        return False
    return all(type(x) in (Tensor, torch.nn.Parameter) and not x.is_neg() for x in tensors)


def vector_for(widths: Iterable[int], size: int) -> int:
    """Bytes of the vectors for matrices of these widths, of numbers of `size` bytes: the widest that they fill.

    Heads of 8 numbers would leave vectors of 16 to the loops for what is left over.
    """
    filled = math.gcd(*widths) * size
    return next((vector for vector in (WIDEST, WIDEST // 2) if filled % vector == 0), WIDEST // 4)


def _built(real: str, vector: int) -> Path:
    compiler = shlex.split(os.environ.get("CC", "")) or [_compiler()]
    if not shutil.which(compiler[0]):
        raise BuildError(f"{compiler[0]}, which CC names, is no program")
    text = "".join((HERE / name).read_text(encoding="utf-8") for name in (*SOURCES, *HEADERS))
    defined = [f"-DREAL={real}", f"-DMOST_BYTES={vector}"]
    parts = (text, *FLAGS, str(TARGETS), *defined, *compiler, _processor())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder = _folder()
    stem = f"memory-{real}-{vector}-{key}"
    found = _intact(folder, stem)
    if found is None:
        _check_writable(folder)
        with _alone(folder):
            found = _intact(folder, stem) or _compile(compiler, defined, folder, stem)
    return found


def _intact(folder: Path, stem: str) -> Path | None:
    """The library whose bytes are those that were built, by the digest in its name.

    One cut short, as by a power failure or a full disk, would end every process that loads it.
    """
    return next((path for path in sorted(folder.glob(f"{stem}-*.so")) if path.stem.endswith(_digest(path))), None)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise BuildError(f"{folder} cannot be written to; set XDG_CACHE_HOME to a folder of your own")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While another process builds, wait: twenty that start at once would build twenty times.

    On a file system without locks, and when it takes long (the other one may be suspended), everyone builds for
    himself, which does no harm.
    """
    with (folder / "lock").open("w") as file:
        until = time.monotonic() + 2 * FEW_SECONDS
        while not _locked(file.fileno()) and time.monotonic() < until:
            time.sleep(0.05)
        yield


def _locked(file: int) -> bool:
    """Whether nobody else holds the lock, which ends with its process."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _compiler() -> str:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    raise BuildError("there is no C compiler (cc, gcc or clang) on the path, nor one named by CC")


def _compile(compiler: list[str], defined: list[str], folder: Path, stem: str) -> Path:
    """Builds the library, or tells of a failure of the last hour."""
    failed = folder / f"{stem}.failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < HOUR:
        raise BuildError(f"{failed.read_text(encoding='utf-8')} (tried again after an hour, or without {failed})")
    for left in folder.glob("build-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > HOUR:
            shutil.rmtree(left, ignore_errors=True)
    _log.info("compiling the ops for this processor with %s into %s, once", " ".join(compiler), folder)
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as beside:
        made = Path(beside) / "memory.so"
        problem = _made(compiler, defined, made)
        if problem is None:
            return made.replace(folder / f"{stem}-{_digest(made)}.so")  # in one step: others see all of it or nothing
    text = f"{compiler[0]} cannot build {HERE / SOURCES[0]}: {problem}"
    with suppress(OSError):
        failed.write_text(text, encoding="utf-8")
    raise BuildError(text)


def _made(compiler: list[str], defined: list[str], to: Path) -> str | None:
    """Builds with the first target whose result passes its trial; else says what went wrong with the last."""
    trial = to.with_name("trial")
    problem = _ran([*compiler, "-O1", str(HERE / "trial.c"), "-o", str(trial), "-ldl"], FEW_SECONDS)
    for target in TARGETS if problem is None else ():
        flags = [*FLAGS, *target, *defined]
        problem = _ran([*compiler, *flags, *(str(HERE / name) for name in SOURCES), "-o", str(to), "-lm"], SECONDS)
        problem = problem or _ran([str(trial), str(to)], FEW_SECONDS)
        if problem is None:
            break
    return problem


def _ran(command: list[str], seconds: int) -> str | None:
    """None if the command ends well, else what went wrong."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(command, **options, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} does not run: {error}"
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split())[:300] or f"{Path(command[0]).name} ended with status {done.returncode}"


def _processor() -> str:
    """What `native` means here: a cache may be shared by machines of several kinds."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    flags = next((line for line in lines if line.lower().startswith(("flags", "features", "isa"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"


def _folder() -> Path:
    """$XDG_CACHE_HOME/titans-ts/native or ~/.cache/titans-ts/native, where this user alone may write."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "titans-ts" / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise BuildError(f"no folder for compiled ops: {error}; set XDG_CACHE_HOME to a folder of your own") from error
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise BuildError(f"others may write to {folder}, whose code would run here; set XDG_CACHE_HOME to your own")
    return folder
