"""Records of measurements: columns and rows of a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from titans_kernels.bench.rows import OURS
from titans_kernels.bench.run import Ceilings, Point, Result, ratio
from titans_kernels.bench.shapes import Shape

PEERS: Final = {"titans_pytorch": "titans-pytorch", "fla": "flash-linear-attention"}
WHERE: Final = (
    *("date", "commit", "version", "machine", "cores", "device", "python", "torch", "triton", *PEERS),
    *("threads", "repeats", "checked"),
)
RESULT_COLUMNS: Final = (
    *WHERE,
    *("shape", *Shape._fields[1:], "row"),
    *("forward_ms", "forward_min_ms", "training_ms", "training_min_ms", "decode_us", "tokens_per_s", "peak_mib"),
    *("gflop", "mbytes", "tflops", "gbytes_per_s", "of_floor", "times_chunked"),
    *("product_tflops", "copy_gbytes_per_s", "note"),
)
POINT_COLUMNS: Final = (*WHERE, "shape", "row", "training", "T", "seconds", "us_per_token", "peak_mib", "note")


def counted(result: Result) -> bool:
    """Whether the counts hold for a row: they are those of our ops, a peer may compute something else."""
    return result.row in OURS


def tokens_per_second(result: Result) -> float:
    """Tokens of the whole batch: forward and backward where the row was trained, else forward."""
    assert result.whole is not None
    return result.shape.B * result.shape.T / result.whole.median


def result_values(result: Result, results: Sequence[Result], ceilings: Ceilings) -> dict[str, str]:
    """A row of the CSV; what was not measured is empty."""
    values: dict[str, object] = {"shape": result.shape.name, **result.shape._asdict(), "row": result.row}
    for name, timing in (("forward", result.forward), ("training", result.training)):
        if timing is not None and not result.shape.decodes:
            values |= {f"{name}_ms": 1e3 * timing.median, f"{name}_min_ms": 1e3 * timing.least}
    if result.whole is not None:
        count, seconds = result.must, result.whole.median
        values |= {"tokens_per_s": tokens_per_second(result), "times_chunked": ratio(result, results)}
        if result.shape.decodes:
            values["decode_us"] = 1e6 * seconds
        if counted(result):
            values |= {"gflop": count.flops / 1e9, "mbytes": count.bytes / 1e6, "tflops": count.flops / seconds / 1e12}
            values |= {"gbytes_per_s": count.bytes / seconds / 1e9, "of_floor": count.floor(*ceilings) / seconds}
    values |= {"peak_mib": result.peak, "product_tflops": ceilings.flops / 1e12}
    values |= {"copy_gbytes_per_s": ceilings.bytes / 1e9, "note": result.note}
    return {name: _text(values[name]) for name in RESULT_COLUMNS if name in values}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def point_values(point: Point) -> dict[str, str]:
    """A row of the scaling CSV."""
    values = {
        **point._asdict(),
        "shape": point.shape.name,
        "us_per_token": microseconds_per_token(point),
        "peak_mib": point.peak,
    }
    return {name: _text(values[name]) for name in POINT_COLUMNS if name in values}


def microseconds_per_token(point: Point) -> float | None:
    """Microseconds per position: one token of every sequence of the batch."""
    return None if point.seconds is None else 1e6 * point.seconds / point.T
