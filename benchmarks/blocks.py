#!/usr/bin/env python
"""CPU time of the blocks beside attention's: forward, and a training step (forward and backward).

    python benchmarks/blocks.py --csv benchmarks/blocks.csv --note after
    python benchmarks/blocks.py --shapes 48x64x128 --blocks attention,mag --profile
    python benchmarks/blocks.py --shapes 48x64x128 --blocks attention,mag,mag+compiled

A block is a layer of the backbone with its feed-forward: 4 heads, window 64, 4 persistent tokens, no dropout, the
default memory (32-64-32 at width 128, chunk 16). A shape is batch x tokens x width. The forward runs without gradients
from a new state; with one token it is a step of a stream: 16 of them, a chunk, are a run. One thread, CPU milliseconds
of the process, rows in turn (A B C A B C), median (fastest).

"+compiled" is the same block through torch.compile, whose first run is told with the compilers that it starts.

`--profile` says where the time of training steps goes (of forwards where there is one token), in shares of the whole:
operators by their name, those inside the memory op together. Its clock is wall time: run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
# What torch.compile costs is to be seen: nothing from earlier runs, no helpers whose time is told only at their end.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from torch.profiler import ProfilerActivity, profile

from titans_ts.core.blocks import BLOCKS
from titans_ts.core.config import TitansConfig
from titans_ts.support.run_log import append_csv, facts

SHAPES: Final = ("48x64x128", "8x512x128", "2x4096x256", "1x1x256")
NAMES: Final = ("attention", "lmm", "mac", "mag", "mal")
TIMES: Final = ("forward_ms", "forward_min_ms", "training_ms", "training_min_ms")
RATIOS: Final = ("forward_of_attention", "training_of_attention")
WHERE: Final = ("date", "commit", "version", "machine", "cores", "device", "python", "torch", "threads", "repeats")
COLUMNS: Final = (*WHERE, "note", "shape", "block", *TIMES, *RATIOS)
STREAMED: Final = 16
"""Tokens of a run where a shape has one: those of a chunk, at whose end more is done than inside."""

OWNERS: Final = {
    "memory op": ("_Walk",),
    "attention": ("_Attention", "_AtOnce", "_Thirds", "_Turn", "scaled_dot_product", "ScaledDotProduct"),
    "convolution": ("_Convolved", "conv1d", "ConvolutionBackward"),
    "projections": ("_Linear", "MmBackward", "AddmmBackward"),
    "norms and gates": ("_RMSNorm", "rms_norm", "_Gated", "_SwiGLU"),
}
"""Group → what begins the name of a Function or an operator in which everything is the group's."""
GROUPS: Final = {
    "attention": ("softmax", "bmm"),
    "projections": ("aten::mm", "aten::addmm", "mkldnn::"),
    "norms and gates": ("norm", "silu", "pow", "Pow", "rsqrt", "Rsqrt", "mean", "Mean", "vecdot"),
    "copies and fills": ("copy_", "fill_", "zero_", "aten::cat"),
}
"""Group → what is in the name of any other operator."""


class Runs(NamedTuple):
    """What is measured of a block."""

    forward: Callable[[], object]
    training: Callable[[], object] | None


def build(name: str, shape: str) -> Runs:
    """A block's runs at a shape; "mag+compiled" is the compiled block."""
    batch, tokens, width = map(int, shape.split("x"))
    torch.manual_seed(0)
    name, _, compiled = name.partition("+")
    block: Any = BLOCKS[name](TitansConfig(name, width=width, heads=4, layers=1, dropout=0.0))  # type: ignore[index,arg-type]
    if compiled:
        block = torch.compile(block, fullgraph=True)
    x, grad = torch.randn(2, batch, tokens, width)
    if tokens == 1:
        return Runs(stream(block.eval(), x), None)
    x.requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            block(x, block.initial_state(batch))

    def training() -> None:
        block.zero_grad()
        y, _ = block(x, block.initial_state(batch))
        y.backward(grad)

    return Runs(forward, training)


def stream(block: Any, x: torch.Tensor) -> Callable[[], object]:
    """A run of `STREAMED` tokens, the state carried on from run to run."""
    carried = []

    @torch.no_grad()
    def forward() -> None:
        state = carried.pop() if carried else block.initial_state(len(x))
        for _ in range(STREAMED):
            state = block(x, state)[1]
        carried.append(state)

    for _ in range(8):  # the window fills
        forward()
    return forward


def measure(shape: str, names: Iterable[str], repeats: int) -> list[dict[str, Any]]:
    """A line a block, samples taken in turn."""
    built = {name: build(name, shape) for name in names}
    runs = {
        (name, kind): run for name, both in built.items() for kind, run in zip(TIMES[::2], both, strict=True) if run
    }
    samples = defaultdict(list)
    for i in range(repeats + 1):
        for key, run in runs.items():
            started, all_started = time.process_time(), sum(os.times()[:4])
            run()
            took = time.process_time() - started
            if i:
                samples[key].append(1e3 * took / (STREAMED if shape.split("x")[1] == "1" else 1))
            elif "+" in key[0]:
                whole = sum(os.times()[:4]) - all_started
                print(f"{key[0]}, {key[1].split('_')[0]}: {whole:.0f} CPU s of the first run", flush=True)
    lines = []
    for name in built:
        line: dict[str, Any] = {"shape": shape, "block": name}
        for kind, fastest, ratio in zip(TIMES[::2], TIMES[1::2], RATIOS, strict=True):
            if taken := samples.get((name, kind)):
                line |= {kind: median(taken), fastest: min(taken)}
                if base := samples.get(("attention", kind)):
                    line[ratio] = median(taken) / median(base)
        lines.append(line)
    return lines


def printed(line: dict[str, Any]) -> str:
    """A line of the table."""
    text = f"{line['shape']:>11} {line['block']:<10}"
    for kind, fastest, ratio in zip(TIMES[::2], TIMES[1::2], RATIOS, strict=True):
        if kind in line:
            text += f" {line[kind]:>9.3f} ({line[fastest]:.3f})"
            text += f" {line[ratio]:>6.2f} x" if ratio in line else " " * 9
    return text


def where(run: Callable[[], object], times: int) -> dict[str, float]:
    """Share of a run's time by group; "the rest" has the interpreter's too."""
    run()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        started = time.perf_counter()
        for _ in range(times):
            run()
        whole = 1e6 * (time.perf_counter() - started)
    shares: dict[str, float] = defaultdict(float)
    for event in found.events() or ():
        if group := group_of(event):
            shares[group] += event.self_cpu_time_total / whole
    shares["the rest"] = 1 - sum(shares.values())
    return dict(shares)


def group_of(event: Any) -> str | None:
    """The group of an operator: that of what it runs in, else by its own name."""
    above = event
    while above is not None:
        name = above.name.removeprefix("aten::").removeprefix("_")
        for group, marks in OWNERS.items():
            if any(name.startswith(mark.removeprefix("_")) for mark in marks):
                return group
        above = above.cpu_parent
    return next((group for group, marks in GROUPS.items() if any(mark in event.name for mark in marks)), None)


def main() -> None:
    """Measure, or profile, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="batch x tokens x width, with commas between")
    parser.add_argument("--blocks", default=",".join(NAMES), help="attention is what the others are compared with")
    parser.add_argument("--repeats", type=int, default=11, help="samples of each row")
    parser.add_argument(
        "--precision",
        default="highest",
        choices=("highest", "medium"),
        help="torch's switch; medium: bfloat16 products",
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    parser.add_argument("--csv", type=Path, help="append to this file")
    parser.add_argument("--note", default="", help="for the column of the CSV")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(chosen.precision)
    names = chosen.blocks.split(",")
    print(
        ""
        if chosen.profile
        else f"{'shape':>11} {'block':<10} forward ms (least), of attention; training ms (least), …"
    )
    for shape in chosen.shapes.split(","):
        if chosen.profile:
            for name in names:
                runs = build(name, shape)
                shares = sorted(where(runs.training or runs.forward, 5).items(), key=lambda item: -item[1])
                print(f"{shape} {name}: " + ", ".join(f"{group} {share:.0%}" for group, share in shares), flush=True)
            continue
        lines = measure(shape, names, chosen.repeats)
        print("\n".join(map(printed, lines)), flush=True)
        if chosen.csv:
            about = {**facts("cpu", {}), "threads": 1, "repeats": chosen.repeats, "note": chosen.note}
            rounded = [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in line.items()} for line in lines]
            append_csv(chosen.csv, COLUMNS, [{**about, **line} for line in rounded])


if __name__ == "__main__":
    main()
