#!/usr/bin/env python
"""Peak memory and time of training against `segment_length=`.

    python benchmarks/training_memory.py            # 64-256-64, B = 2, H = 4, C = 64, T = 16,384, CPU, one thread

"autograd" is the same chunk form differentiated by plain autograd, which keeps every intermediate; "default" is the
op's own choice. Each row runs forward and backward in its own process; the peak is the growth of its resident set (as
in `titans-ts bench memory`), the time CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from titans_kernels import MemoryState, mlp_memory
from titans_kernels.bench.child import peak, settle
from titans_kernels.bench.rows import draw, gradients
from titans_kernels.bench.shapes import CPU
from titans_kernels.inputs import MemoryInputs, prepare
from titans_kernels.mlp_memory.chunked import differentiable

ROWS = ("autograd", "1", "2", "4", "8", "16", "32", "default")


def measure(row: str, tokens: int) -> tuple[float, float]:
    """Peak MiB and CPU seconds of one forward and backward in this process, after a short one that does not count."""
    shape = next(shape for shape in CPU if shape.name == "mlp-c64-1k")
    cpu = torch.device("cpu")

    def run(length: int) -> None:
        given = draw(shape._replace(T=length), cpu)
        leaves = [x.requires_grad_() for x in (*given.tokens, *given.weights)]
        state = MemoryState.start(tuple(leaves[6:]))
        if row == "autograd":
            y, _ = differentiable(*prepare(MemoryInputs(*leaves[:6], None), state), shape.C, residual=True)
        else:
            segment = None if row == "default" else int(row)
            y, _ = mlp_memory(*leaves[:6], state, chunk_size=shape.C, segment_length=segment)
        gradients(y, leaves, given.tokens[2].detach())

    run(2 * shape.C)
    before, started = settle(cpu), time.process_time()
    run(tokens)
    seconds, reached = time.process_time() - started, peak(cpu)
    if before is None or reached is None:
        raise OSError("this system does not tell peaks of memory: run on Linux")
    return (reached - before) / 2**20, seconds


def main() -> None:
    """One process per row, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=16_384, metavar="T")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.row:
        print(*measure(arguments.row, arguments.tokens))
        return
    print(f"{'chunks a segment':>16}  {'peak MiB':>8}  {'KiB/token':>9}  {'of autograd':>11}  {'CPU s':>6}")
    whole = 0.0
    for row in ROWS:
        command = [sys.executable, __file__, "--row", row, "--tokens", str(arguments.tokens)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        reached, seconds = map(float, done.stdout.split())
        whole = whole or reached
        each = reached * 1024 / (2 * arguments.tokens)
        print(f"{row:>16}  {reached:>8.0f}  {each:>9.1f}  {reached / whole:>11.2f}  {seconds:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
