"""`titans-ts bench memory`: check and time the memory ops; what is printed is in `titans_recipes.memory_report`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from titans_cli.input.options import add_options, option, read_options, switch
from titans_cli.input.values import at_least, names, positive

if TYPE_CHECKING:
    from rich.console import Console

    from titans_kernels.bench.run import Options, Result
    from titans_kernels.bench.shapes import Shape

SCALING_SHAPES: Final = {"cpu": ("mlp-c64-1k", "linear-token-1k"), "cuda": ("gpu-mlp-256", "gpu-linear-token")}
CSV: Final = {False: "benchmarks/memory.csv", True: "benchmarks/scaling.csv"}


@dataclass(frozen=True, kw_only=True)
class BenchJob:
    """Check the memory ops against their definition, then time them against other implementations. The columns are
    explained in benchmarks/README.md."""

    device: str = option("NAME", "auto, cpu, cuda or cuda:N", default="auto")
    shapes: tuple[str, ...] | None = option("NAME,..", "cpu, gpu, or names of single shapes", type=names)
    only: tuple[str, ...] | None = option("ROW,..", "only these rows, such as chunked,triton", type=names)
    threads: int = option("N", "CPU threads", type=at_least(1), default=1)
    repeats: int = option("N", "samples of each row", type=at_least(1), default=5)
    compile: bool = switch("add a row with torch.compile (takes minutes)")
    skip_check: bool = switch("time without checking the results first")
    skip_peak: bool = switch("do not measure peak memory, for which each row runs in its own process")
    scaling: bool = switch("measure time per token and memory from T = 1k to 1M instead")
    limit: float = option("S", "longest run of --scaling in seconds", type=positive, default=120)
    floors: bool = switch("print FLOPs, bytes and H100 roofline bounds, without running")
    csv: str | None = option(
        "FILE",
        "append to this file; without FILE to benchmarks/memory.csv or benchmarks/scaling.csv",
        nargs="?",
        const="",
    )
    plot: str | None = option("FILE", "write a picture")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, BenchJob)


def run(arguments: argparse.Namespace) -> None:
    """Measure and print; benchmarks/README.md explains the columns.

    Raises:
        ValueError: an unknown shape, row or device, a CSV with other columns, an op that disagrees with its definition.
    """
    import torch

    from titans_cli.output.tables import make_console
    from titans_kernels.bench import records
    from titans_kernels.bench.run import Options, rows
    from titans_kernels.bench.shapes import choose
    from titans_recipes import memory_report as report
    from titans_ts.support.run_log import check_columns

    job = read_options(arguments, BenchJob)
    console = make_console(quiet=False)
    if job.floors:
        console.print(report.floors_table(choose(job.shapes or ("gpu",), "cuda")))
        return
    device = _device(job.device)
    shapes = choose(job.shapes or (SCALING_SHAPES[device.split(":")[0]] if job.scaling else None), device)
    if job.csv == "":
        job = replace(job, csv=CSV[job.scaling])
    options = Options(
        device, job.only or (), job.threads, job.repeats, job.compile, not job.skip_check, not job.skip_peak
    )
    rows(options)
    if job.csv:
        check_columns(Path(job.csv), records.POINT_COLUMNS if job.scaling else records.RESULT_COLUMNS)
    torch.set_num_threads(job.threads)
    where = provenance(options)
    console.print(report.title(where))
    (_scale if job.scaling else _table)(shapes, options, job, console, where)


def provenance(options: Options) -> dict[str, str]:
    """Date, commit, machine and versions, as in the first columns of every CSV."""
    from titans_kernels.bench.records import PEERS
    from titans_ts.support.run_log import facts

    settings = {"threads": options.threads, "repeats": options.repeats, "checked": options.checked}
    found = facts(options.device, {"triton": "triton", **PEERS})
    return {**found, **{name: str(value) for name, value in settings.items()}}


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if name != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch sees no CUDA device here")
    return name


def _table(shapes: Sequence[Shape], options: Options, job: BenchJob, console: Console, where: dict[str, str]) -> None:
    import torch

    from titans_kernels.bench import records
    from titans_kernels.bench.run import measure, measure_ceilings
    from titans_recipes import memory_report as report
    from titans_ts.support.run_log import append_csv

    everything: list[Result] = []
    noted: set[tuple[str, str]] = set()
    for shape in shapes:
        ceilings = measure_ceilings(torch.device(options.device), shape.dtype, options.threads)
        results = measure(shape, options)
        everything += results
        for line in report.heading(shape, ceilings):
            console.print(line)
        console.print(report.results_table(results, ceilings))
        for result in results:
            if result.note and (result.row, result.note) not in noted:
                console.print(f"  {result.row}: {result.note}")
        noted |= {(result.row, result.note) for result in results}
        if job.csv:
            values = [where | records.result_values(result, results, ceilings) for result in results]
            append_csv(Path(job.csv), records.RESULT_COLUMNS, values)
    if job.plot:
        report.plot_results(everything, Path(job.plot))


def _scale(shapes: Sequence[Shape], options: Options, job: BenchJob, console: Console, where: dict[str, str]) -> None:
    from titans_kernels.bench import records
    from titans_kernels.bench.run import scaling
    from titans_recipes import memory_report as report
    from titans_ts.support.run_log import append_csv

    points = []
    for shape in shapes:
        console.print(f"\n{shape.describe()}; its T is replaced by the lengths below")
        for point in scaling(shape, options, job.limit):
            points.append(point)
            console.print(report.point_line(point))
            if job.csv:
                append_csv(Path(job.csv), records.POINT_COLUMNS, [where | records.point_values(point)])
    if job.plot:
        report.plot_scaling(points, Path(job.plot))
