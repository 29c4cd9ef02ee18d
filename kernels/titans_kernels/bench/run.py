"""Timing the memory ops and their peers: `titans-ts bench memory` (explained in benchmarks/README.md).

Each of our rows is compared with the definition first and not timed when it is wrong. Rows are measured in turn (A, B,
C, A, B, C, ...), so that a machine that slows down slows all of them. On the CPU with one thread the clock is the
process's CPU time, which other processes hardly touch; on CUDA it is the device's own events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final, NamedTuple

import torch

from titans_kernels.bench.child import Order, run_in_child
from titans_kernels.bench.peers import PEERS
from titans_kernels.bench.rows import CHUNKED, Job, Row, WrongResult, check, our_rows
from titans_kernels.bench.shapes import DTYPES, Count, Shape, forward_count, training_count

SAMPLE_SECONDS: Final = 0.02
"""A sample repeats its run until it lasts about this long, far above the clock's resolution."""
ROW_SECONDS: Final = 20.0
"""A row that has used this much is not sampled again (titans-pytorch exact takes 7 to 15 s a forward)."""
CHILD_SECONDS: Final = 600.0
SCALING: Final = tuple(1024 * 4**i for i in range(6))
PIECE: Final = 4096
"""Tokens of a call where a long sequence is read in parts with the state carried."""

__all__ = ["Ceilings", "Options", "Point", "Result", "WrongResult", "measure", "measure_ceilings", "rows", "scaling"]


class Options(NamedTuple):
    """How to measure."""

    device: str = "cpu"
    only: tuple[str, ...] = ()
    threads: int = 1
    repeats: int = 5
    compiled: bool = False
    checked: bool = True
    memory: bool = True


class Timing(NamedTuple):
    """Seconds of one run: the median and the least of the samples."""

    median: float
    least: float


class Result(NamedTuple):
    """One row at one shape. `peak` is in MiB; without any timing `note` is the reason."""

    shape: Shape
    row: str
    forward: Timing | None
    training: Timing | None
    peak: float | None
    note: str

    @property
    def whole(self) -> Timing | None:
        """Forward and backward where there is one, else forward."""
        return self.training or self.forward

    @property
    def must(self) -> Count:
        """What `whole` must cost by the count of our op."""
        return training_count(self.shape) if self.training else forward_count(self.shape)


class Ceilings(NamedTuple):
    """What this machine reaches: operations a second in a large matrix product, bytes a second in a large copy."""

    flops: float
    bytes: float


class Point(NamedTuple):
    """One length of a scaling curve; seconds and MiB of a whole run, or `note` is the reason why there is none."""

    shape: Shape
    row: str
    training: bool
    T: int
    seconds: float | None
    peak: float | None
    note: str


def rows(options: Options) -> tuple[Row, ...]:
    """The rows wanted, in the order of the table.

    Raises:
        ValueError: `only` names an unknown one.
    """
    known = {row.name: row for row in (*our_rows(options.compiled), *PEERS)}
    unknown = [name for name in options.only if name not in known]
    if unknown:
        raise ValueError(f"no row named {unknown[0]!r}: choose among {', '.join(known)}")
    return tuple(row for row in known.values() if not options.only or row.name in options.only)


def measure(shape: Shape, options: Options) -> list[Result]:
    """All rows of one shape, each checked, timed in turn, and run once more in a process of its own for its memory.

    Raises:
        WrongResult: one of our rows disagrees with the definition; nothing of this shape is timed.
    """
    device = torch.device(options.device)
    wanted = rows(options)
    refused = {row.name: _checked(shape, row, options) for row in wanted}
    jobs = {row.name: _build(row, shape, device) for row in wanted if not refused[row.name]}
    built = {name: job for name, job in jobs.items() if isinstance(job, Job)}
    samples = _interleave(built, device, options, unit=shape.C if shape.decodes else 1)
    results = []
    for row in wanted:
        job = jobs.get(row.name, refused[row.name])
        if not isinstance(job, Job):
            results.append(Result(shape, row.name, None, None, None, job))
            continue
        forward, training = (samples.get((row.name, kind)) for kind in (False, True))
        broken = next((s for s in (forward, training) if isinstance(s, str)), "")
        peak, why = _peak(row, shape, options, training=isinstance(training, Timing)) if options.memory else (None, "")
        note = "; ".join(text for text in (broken, job.note, why) if text)
        results.append(
            Result(
                shape,
                row.name,
                forward if isinstance(forward, Timing) else None,
                training if isinstance(training, Timing) else None,
                peak,
                note,
            )
        )
    return results


def _checked(shape: Shape, row: Row, options: Options) -> str:
    """Why a row is not timed at this shape, empty when it is: it refuses, or its check could not run."""
    device = torch.device(options.device)
    refused = row.refuse(shape, device)
    if refused or not options.checked:
        return refused
    try:
        check(shape, row, device)
    except WrongResult:
        raise
    except Exception as error:
        return f"its check {_failure(error)}"
    return ""


def _build(row: Row, shape: Shape, device: torch.device) -> Job | str:
    try:
        return row.build(shape, device, 1)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> str:
    """A peer may fail in any way; that is its row's result and no reason to lose the other rows."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    return f"fails: {type(error).__name__}: {' '.join(str(error).split())[:160]}"


class _Clock:
    """Runs something and tells how long one run took."""

    def __init__(self, device: torch.device, threads: int) -> None:
        self.cuda = device.type == "cuda"
        self.now = time.process_time if threads == 1 else time.perf_counter

    def seconds(self, run: Callable[[], object], times: int) -> float:
        """Mean of `times` runs."""
        if self.cuda:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(times):
                run()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) / 1e3 / times
        begin = self.now()
        for _ in range(times):
            run()
        return (self.now() - begin) / times


Key = tuple[str, bool]


def _interleave(jobs: dict[str, Job], device: torch.device, options: Options, unit: int) -> dict[Key, Timing | str]:
    """Samples of every (row, training) in turn; a failure's text in place of a timing.

    Runs are counted in `unit`s: a step of a decoder that does most of its work at the end of a chunk is a chunk's mean.
    """
    clock = _Clock(device, options.threads)
    runs = {(name, False): job.forward for name, job in jobs.items()}
    runs |= {(name, True): job.training for name, job in jobs.items() if job.training is not None}
    taken: dict[Key, list[float]] = {key: [] for key in runs}
    failed: dict[Key, Timing | str] = {}
    for _ in range(options.repeats):
        for key, run in runs.items():
            if key in failed or sum(taken[key]) * unit > ROW_SECONDS:
                continue
            warm = bool(taken[key])
            try:
                with torch.set_grad_enabled(key[1]):
                    taken[key].append(_sample(clock, run, unit, None if warm else jobs[key[0]].compiles))
            except Exception as error:
                failed[key] = _failure(error)
    return {key: Timing(median(values), min(values)) for key, values in taken.items() if key not in failed} | failed


def _sample(clock: _Clock, run: Callable[[], object], unit: int, cold: bool | None) -> float:
    """Seconds of one run, the mean of enough of them, a multiple of `unit`.

    `cold` is None once the row is warm; before, whether its first run compiles and so can never be a sample. Another
    first run is one when it takes so long that nothing of a warm-up shows.
    """
    once = clock.seconds(run, unit)
    if cold or (cold is False and once * unit < ROW_SECONDS / 4):
        once = clock.seconds(run, unit)
    rounds = math.ceil(SAMPLE_SECONDS / max(once * unit, 1e-5))
    return once if rounds <= 1 else clock.seconds(run, unit * rounds)


def _peak(row: Row, shape: Shape, options: Options, training: bool) -> tuple[float | None, str]:
    """MiB above what was there before, and why there is no number."""
    order = Order(row.name, shape, options.device, training, 1, options.threads)
    once = run_in_child(order, CHILD_SECONDS)
    return once.mebibytes, f"no peak: {once.error}" if once.error else ""


def measure_ceilings(device: torch.device, dtype: str, threads: int = 1) -> Ceilings:
    """The best of five large matrix products in the tokens' dtype, and of five copies (bytes read plus written)."""
    clock = _Clock(device, threads)
    n, elements = (8192, 2**28) if device.type == "cuda" else (1024, 2**25)
    a, b = (torch.randn(n, n, device=device).to(DTYPES[dtype]) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.randn(elements, device=device)
    target = torch.empty_like(source)
    seconds = [
        min(clock.seconds(run, 1) for _ in range(6))
        for run in (lambda: torch.mm(a, b, out=product), lambda: target.copy_(source))
    ]
    return Ceilings(2 * n**3 / seconds[0], 2 * elements * 4 / seconds[1])


def scaling(shape: Shape, options: Options, limit: float, lengths: Sequence[int] = SCALING) -> Iterator[Point]:
    """Time and memory against the length: forwards in parts with the state carried, trainings at once.

    Every point is one run in a process of its own. A row stops at the first length that does not fit in the memory or
    that by the growth so far would take more than `limit` seconds.

    Raises:
        WrongResult: one of our rows disagrees with the definition.
    """
    for row in rows(options):
        first = shape._replace(T=lengths[0])
        why = _checked(first, row, options)
        if why:
            yield Point(shape, row.name, False, lengths[0], None, None, why)
            continue
        for training in (False, True):
            yield from _curve(shape, row, training, options, limit, lengths)


def _curve(
    shape: Shape, row: Row, training: bool, options: Options, limit: float, lengths: Sequence[int]
) -> Iterator[Point]:
    device = torch.device(options.device)
    last: list[float] = []
    for tokens in lengths:
        calls = 1 if training else max(1, tokens // PIECE)
        cut = shape._replace(T=tokens // calls)
        note = row.refuse(shape._replace(T=tokens) if row.package or calls == 1 else cut, device)
        if not note and last and last[-1] * _growth(last) > limit:
            note = f"longer than {limit:.0f} s by the growth so far"
        if note:
            yield Point(shape, row.name, training, tokens, None, None, note)
            return
        once = run_in_child(Order(row.name, cut, options.device, training, calls, options.threads), 4 * limit)
        yield Point(shape, row.name, training, tokens, once.seconds, once.mebibytes, once.error)
        if once.seconds is None:
            return
        last.append(once.seconds)


def _growth(seconds: list[float]) -> float:
    """By how much the next length will take longer: as the last one did, or four times at first."""
    return max(4.0, seconds[-1] / seconds[-2]) if len(seconds) > 1 and seconds[-2] > 0 else 4.0


def ratio(result: Result, results: Sequence[Result]) -> float | None:
    """Times as slow as the chunked row, both trained or both forward."""
    chunked = next((r for r in results if r.row == CHUNKED), None)
    if chunked is None:
        return None
    for mine, theirs in ((result.training, chunked.training), (result.forward, chunked.forward)):
        if mine and theirs:
            return mine.median / theirs.median
    return None
