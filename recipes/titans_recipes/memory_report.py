"""What `titans-ts bench memory` prints and writes: tables, lines of a CSV, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from titans_kernels.bench.records import PEERS, counted, microseconds_per_token, tokens_per_second
from titans_kernels.bench.run import Ceilings, Point, Result, Timing, ratio
from titans_kernels.bench.shapes import Shape, forward_count, training_count

H100: Final = {"bfloat16": Ceilings(989e12, 3.35e12), "float32": Ceilings(494e12 / 3, 3.35e12)}
"""Datasheet rates of an H100 SXM: tensor cores without sparsity (float32 as three TF32 products), HBM3."""


def title(where: Mapping[str, str]) -> str:
    """Machine and versions in one line."""
    peers = "".join(f", {package} {where[column]}" for column, package in PEERS.items() if where[column])
    threads = "1 thread" if where["threads"] == "1" else f"{where['threads']} threads"
    return f"{where['machine']}, {threads}, torch {where['torch']}{peers}, commit {where['commit'] or '–'}"


def heading(shape: Shape, ceilings: Ceilings) -> list[str]:
    """The shape, its counted cost, and what this machine can do."""
    forward = forward_count(shape)
    counted = f"counted forward {forward.flops / 1e9:.4g} GFLOP, {forward.bytes / 1e6:.4g} MB"
    if not shape.decodes:
        training = training_count(shape)
        counted += f"; f+b {training.flops / 1e9:.4g} GFLOP, {training.bytes / 1e6:.4g} MB"
    here = f"this machine: {ceilings.flops / 1e12:.3g} TFLOP/s, {ceilings.bytes / 1e9:.3g} GB/s"
    return ["", shape.describe(), f"{counted}; {here}"]


def _grid(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def results_table(results: Sequence[Result], ceilings: Ceilings) -> Table:
    """One line per row that ran: the median, the fastest sample in brackets."""
    ran = [result for result in results if result.whole is not None]
    decodes = any(result.shape.decodes for result in ran)
    times = ("µs/token",) if decodes else ("forward ms", "f+b ms")
    table = _grid("", *times, "tokens/s", "peak MiB", "TFLOP/s", "GB/s", "of floor", "× chunked")
    for result in ran:
        slower = ratio(result, results)
        shown = (_time(result.forward, 1e6),) if decodes else (_time(result.forward), _time(result.training))
        table.add_row(
            result.row,
            *shown,
            f"{tokens_per_second(result):,.0f}",
            "–" if result.peak is None else f"{result.peak:,.1f}",
            *_achieved(result, ceilings),
            "–" if slower is None else f"{slower:.2f}",
        )
    return table


def _achieved(result: Result, ceilings: Ceilings) -> tuple[str, str, str]:
    assert result.whole is not None
    if not counted(result):
        return "–", "–", "–"
    count, seconds = result.must, result.whole.median
    share = 100 * count.floor(*ceilings) / seconds
    shown = f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"
    return f"{count.flops / seconds / 1e12:.2g}", f"{count.bytes / seconds / 1e9:.2g}", shown


def _time(timing: Timing | None, unit: float = 1e3) -> str:
    """Median and, in brackets, the fastest; three digits."""
    if timing is None:
        return "–"
    median, least = (f"{unit * x:.0f}" if unit * x >= 1000 else f"{unit * x:.3g}" for x in timing)
    return f"{median} ({least})"


def point_line(point: Point) -> str:
    """One length of a scaling curve, in words."""
    start = f"  {point.row:<22}{'f+b' if point.training else 'forward':<9}{point.T:>9,}"
    took = microseconds_per_token(point)
    if took is None:
        return f"{start}  {point.note}"
    memory = "" if point.peak is None else f"{point.peak:>12,.1f} MiB"
    return f"{start}{took:>12,.2f} µs/token{memory}"


def floors_table(shapes: Sequence[Shape]) -> Table:
    """Counted operations, bytes and roofline bounds of every shape at the datasheet rates of an H100."""
    table = _grid("H100", "pass", "GFLOP", "MB", "arithmetic ms", "traffic ms", "floor ms", "bound by")
    for shape in shapes:
        passes = {"forward": forward_count(shape)} | ({} if shape.decodes else {"f+b": training_count(shape)})
        rates = H100[shape.dtype]
        for name, count in passes.items():
            arithmetic, traffic = 1e3 * count.flops / rates.flops, 1e3 * count.bytes / rates.bytes
            table.add_row(
                shape.name,
                name,
                *(f"{x:.4g}" for x in (count.flops / 1e9, count.bytes / 1e6, arithmetic, traffic)),
                f"{max(arithmetic, traffic):.4g}",
                "arithmetic" if arithmetic > traffic else "traffic",
            )
    return table


def plot_results(results: Sequence[Result], path: Path) -> None:
    """Bars on a log scale: tokens per second of each row, one panel per shape."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ran = [result for result in results if result.whole is not None]
    shapes = list(dict.fromkeys(result.shape for result in ran))
    figure, axes = plt.subplots(len(shapes), 1, figsize=(8, 1 + 1.6 * len(shapes)), squeeze=False)
    for axis, shape in zip(axes[:, 0], shapes, strict=True):
        mine = [result for result in ran if result.shape == shape][::-1]
        axis.barh([r.row for r in mine], [tokens_per_second(r) for r in mine])
        axis.set(xscale="log", title=shape.describe(), xlabel="tokens per second, forward and backward where trained")
        axis.title.set_fontsize("small")
    _save(figure, path)


def plot_scaling(points: Sequence[Point], path: Path) -> None:
    """Time per token and peak memory against the length, one colour per row, dashed for forward and backward."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shapes = list(dict.fromkeys(point.shape for point in points))
    figure, axes = plt.subplots(len(shapes), 2, figsize=(13, 4 * len(shapes)), squeeze=False)
    colours = {row: f"C{place}" for place, row in enumerate(dict.fromkeys(point.row for point in points))}
    for pair, shape in zip(axes, shapes, strict=True):
        for label, mine in _curves([point for point in points if point.shape == shape]):
            style: dict[str, Any] = {"label": label, "marker": "o", "color": colours[mine[0].row]}
            style["linestyle"] = "--" if mine[0].training else "-"
            pair[0].plot([p.T for p in mine], [microseconds_per_token(p) for p in mine], **style)
            pair[1].plot([p.T for p in mine], [p.peak for p in mine], **style)
        for axis, name in zip(pair, ("µs per token", "peak MiB"), strict=True):
            axis.set(xscale="log", yscale="log", xlabel="T", ylabel=name, title=shape.name)
        pair[1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5))
    _save(figure, path)


def _curves(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    for row, training in dict.fromkeys((point.row, point.training) for point in points):
        mine = [p for p in points if (p.row, p.training) == (row, training) and p.seconds is not None]
        if mine:
            yield f"{row}, {'f+b' if training else 'forward'}", mine


def _save(figure: object, path: Path) -> None:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
