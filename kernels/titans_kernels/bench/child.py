"""One run of one row in a process of its own: its time, and the memory it takes above what was there before.

    python -m titans_kernels.bench.child '{"row": "chunked", "shape": ["x", "mlp", ...], ...}'

On the CPU the peak is the largest resident set of the process (VmHWM, which Linux lets a process set back) less the
resident set before the run; it holds everything, allocator waste too. On CUDA it is torch's own peak. A first run on
32 tokens (all of them where it compiles) pays for imports, thread pools and library handles, so that they do not count.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import torch

from titans_kernels.bench.peers import PEERS
from titans_kernels.bench.rows import COMPILED, Row, our_rows
from titans_kernels.bench.shapes import Shape

STATUS: Final = Path("/proc/self/status")
WARM_UP_TOKENS: Final = 32
SHORT: Final = 1.0
"""Seconds under which a run is repeated: the first one still finds caches and the allocator cold."""
SHARE_OF_MEMORY: Final = 0.8
"""Of the free memory; a run that wants more fails instead of bringing the machine to its knees."""


class Once(NamedTuple):
    """What one run of a row took: seconds (CPU time on the CPU with one thread), MiB, or why there is no answer."""

    seconds: float | None
    mebibytes: float | None
    error: str = ""


class Order(NamedTuple):
    """What the child is to run: `training` (forward and backward) or a forward of `calls` times T tokens."""

    row: str
    shape: Shape
    device: str
    training: bool
    calls: int = 1
    threads: int = 1


def run_in_child(order: Order, timeout: float) -> Once:
    """Runs an order in a fresh process; errors, out of memory and timeouts come back as text."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(order.threads),
    }
    command = [sys.executable, "-m", "titans_kernels.bench.child", json.dumps(order._asdict())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return Once(None, None, f"longer than {timeout:.0f} s")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Once(None, None, last[:200])
    return Once(**json.loads(lines[-1]))


def run_once(order: Order, row: Row) -> Once:
    """The order in this process: a warm-up, a run with time and memory, two more for the time when it was short."""
    device = torch.device(order.device)
    job = row.build(order.shape, device, order.calls)
    short = order.shape._replace(T=min(order.shape.T, WARM_UP_TOKENS))
    small = job if job.compiles else row.build(short, device, 1)
    runs = [each.training if order.training else each.forward for each in (small, job)]
    if runs[0] is None or runs[1] is None:
        return Once(None, None, job.note)
    clock = time.process_time if device.type == "cpu" and order.threads == 1 else time.perf_counter
    with torch.set_grad_enabled(order.training):
        _timed(runs[0], clock, device)
        before = settle(device)
        seconds = _timed(runs[1], clock, device)
        reached = peak(device)
        if seconds < SHORT:
            seconds = min(seconds, *(_timed(runs[1], clock, device) for _ in range(2)))
    return Once(seconds, None if before is None or reached is None else (reached - before) / 2**20)


def _timed(run: Callable[[], object], clock: Callable[[], float], device: torch.device) -> float:
    start = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def settle(device: torch.device) -> int | None:
    """Gives freed memory back, sets the peak to now; bytes in use, None where the system does not tell."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError, TypeError):  # Windows takes no None for the program itself
        return None
    return _status("VmRSS")


def peak(device: torch.device) -> int | None:
    """Most bytes in use since `settle`; None where the system does not tell."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(name: str) -> int | None:
    if not STATUS.exists():
        return None
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def limit_memory() -> None:
    """Lets this process allocate most of what is free now, and no more (Linux only)."""
    if not STATUS.exists():
        return
    import resource

    free = next(line for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if "Available" in line)
    used = _status("VmSize") or 0
    most = used + int(SHARE_OF_MEMORY * int(free.split()[1]) * 1024)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(text: str) -> None:
    """Prints a `Once` as JSON."""
    order = Order(**json.loads(text))
    order = order._replace(shape=Shape(*order.shape))
    torch.set_num_threads(order.threads)
    row = next(row for row in (*our_rows(order.row == COMPILED), *PEERS) if row.name == order.row)
    if order.device == "cpu":
        limit_memory()
    try:
        once = run_once(order, row)
    except (MemoryError, torch.OutOfMemoryError):
        once = Once(None, None, "out of memory")
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        once = Once(None, None, "out of memory")
    print(json.dumps(once._asdict()))


if __name__ == "__main__":
    main(sys.argv[1])
