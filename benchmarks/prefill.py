#!/usr/bin/env python
"""Two million tokens through a model on the CPU: time, memory, and whether reading in chunks changes the outputs.

    python benchmarks/prefill.py --csv benchmarks/prefill.csv

A backbone of 2 layers and width 128 reads 2,097,152 embedded random bytes with `Titans.prefill`, one thread, each block
in its own process. "peak" is the largest resident set of that process, PyTorch (about 250 MiB) included;
"difference" is the largest one between the outputs of the first 16,384 tokens and those of one call without chunks,
divided by the largest output. Attention alone is measured beside the blocks with memory: it has the same window and
forgets everything before it.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from titans_ts import __version__
from titans_ts.core import MemoryConfig, Titans, TitansConfig
from titans_ts.core.blocks import BLOCKS
from titans_ts.support.run_log import append_csv, commit, machine

# Tokens that are also read in one call.
COMPARED = 16_384


@dataclass(frozen=True)
class Case:
    """One model, one length.

    Attributes:
        block: of `TitansConfig`; kind: of its memory.
        tokens: how many are read; chunk: how many at a time.
        width, layers: of the backbone.
    """

    block: str
    kind: str
    tokens: int
    chunk: int
    width: int = 128
    layers: int = 2

    def model(self) -> Titans:
        """The untrained backbone."""
        anchor, chunk = ("token", 32) if self.kind == "linear" else ("chunk", 64)
        memory = MemoryConfig(kind=self.kind, anchor=anchor, chunk_size=chunk, expansion=1, horizon=(64, 2**24))  # type: ignore[arg-type]
        return Titans(
            TitansConfig(
                self.block, self.width, heads=4, layers=self.layers, window=128, segment=128, dropout=0.0, memory=memory
            )
        ).eval()


def peak_mib() -> float:
    """Largest resident set of this process so far; NaN where the system does not report it."""
    try:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return float("nan")
    return int(line.split()[1]) / 1024


@torch.inference_mode()
def measure(case: Case) -> dict[str, Any]:
    """One row; run in a fresh process, for its peak memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, embedding = case.model(), nn.Embedding(256, case.width)
    tokens = torch.randint(0, 256, (1, case.tokens), dtype=torch.uint8)
    first: list[Tensor] = []

    def keep(start: int, y: Tensor) -> None:
        """Copy the outputs that will be compared."""
        if start < COMPARED:
            first.append(y[:, : COMPARED - start].clone())

    wall, cpu = time.perf_counter(), time.process_time()
    last, _ = model.prefill(tokens, chunk=case.chunk, embed=lambda piece: embedding(piece.long()), visit=keep)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_mib()
    if not bool(last.isfinite().all()):
        raise ArithmeticError(f"{case}: the last output is not finite")
    whole, _ = model(embedding(tokens[:, :COMPARED].long()))
    off = float((torch.cat(first, dim=1) - whole).abs().max() / whole.abs().max())
    return {
        "date": date.today().isoformat(),
        "commit": commit(),
        "titans_ts": __version__,
        "machine": machine(),
        "torch": torch.__version__,
        "block": case.block,
        "memory": case.kind if case.block != "attention" else "",
        "width": case.width,
        "layers": case.layers,
        "tokens": case.tokens,
        "chunk": case.chunk,
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "tokens_per_cpu_second": round(case.tokens / cpu),
        "peak_mib": round(peak),
        "difference": f"{off:.1e}",
    }


def main() -> None:
    """Measure, print a table, append it to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=2_097_152)
    parser.add_argument("--chunk", type=int, default=4096, help="tokens read at a time (default 4096)")
    parser.add_argument("--blocks", type=lambda text: text.split(","), default=list(BLOCKS))
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["linear", "mlp"])
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    print(f"{'block':>9}  {'memory':>6}  {'tokens':>9}  {'minutes':>7}  {'CPU min':>7}  {'peak MiB':>8}  difference")
    for block in arguments.blocks:
        for kind in arguments.kinds if block != "attention" else arguments.kinds[:1]:
            # Spawned: a forked process would begin with this one's memory.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                row = pool.submit(measure, Case(block, kind, arguments.tokens, arguments.chunk)).result()
            print(
                f"{block:>9}  {row['memory']:>6}  {row['tokens']:>9,}  {row['seconds'] / 60:>7.1f}  "
                f"{row['cpu_seconds'] / 60:>7.1f}  {row['peak_mib']:>8,}  {row['difference']}",
                flush=True,
            )
            if arguments.csv:
                append_csv(arguments.csv, list(row), [row])


if __name__ == "__main__":
    main()
