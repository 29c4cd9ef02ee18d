"""The task `segmentation`: which bases of a genome are coding, and on which strand, learned from one segment.

Shapes: n bases of a segment, W bases of a window, three classes (0 none, 1 strand +, 2 strand −).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna import (
    DNAWarning,
    encode,
    interval_labels,
    reading_frame_labels,
    reverse_complement,
    reverse_labels,
)
from titans_datasets.dna.alphabet import Codes, decode
from titans_datasets.dna.genes import prodigal_genes
from titans_datasets.dna.public import benchmarks
from titans_datasets.dna.read.genome import MemoryGenome
from titans_recipes.dna.segments import check_disjoint, check_segments
from titans_recipes.tables import Rows, Table, by_run, mean_of, number, numbers, spread
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.genomics import DNAClassifier
from titans_ts.genomics.report.bases import base_intervals, base_metrics

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
CLASSES = 3
RULES = {"majority": set[str](), "longest ORF": {"shortest", "overlaps", "windows"}}
# Neighbouring windows of training that are held out together, with their other strands.
NEIGHBOURS = 8
# Put before a window, and its reverse complement after it: start codons in every frame into the window, and stop codons
# for every frame of the other strand out of it, so that reading frames may run past the window's ends.
OPEN_END = "TTAN" * 3 + "ATGN" * 3


@dataclass(frozen=True)
class SegmentationRow:
    """One model on one segment that it has not seen; scores are over bases.

    Attributes:
        run, seed: which model.
        genome: of the segment.
        mcc, accuracy: over three classes, with the ends of 95 % bootstrap intervals over the segment's windows.
        learned, tested: bases of the two segments.
        read: bases of the windows in which the tested segment was read.
        validation: log loss of windows that training held out, in nats.
        epochs, parameters: of the network; cpu_seconds: of training.
        protocol: segments and labels.
    """

    run: str
    seed: int
    genome: str
    mcc: float
    mcc_low: float
    mcc_high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    learned: int
    tested: int
    read: int
    validation: float | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


class Fitted(NamedTuple):
    """A model.

    Attributes:
        read: from letters (n,) and the bases of a window to probabilities (n, 3).
        fields: columns of the row that only the model knows.
    """

    read: Callable[[Codes, int], FloatArray]
    fields: dict[str, Any]


def check(path: Path, recipe: Recipe) -> None:
    """Refuse segments that overlap, windows whose lengths are no multiples of 4, and unknown runs.

    Raises:
        ValueError: with what is known.
    """
    window, tests = recipe.get("window"), recipe.get("tests")
    if not isinstance(tests, Mapping) or not tests:
        raise ValueError(f"{path}: tests must be a mapping of genomes to segments, got {tests!r}")
    check_segments(path, recipe.get("learn"), tests)
    check_disjoint(path, recipe["learn"], tests.get(recipe["set"], (0, 0)))
    if not _is_window(window):
        raise ValueError(f"{path}: window must be a multiple of 4 bases that is ≥ 12, got {window!r}")
    reads = recipe.get("reads", [window])
    if not isinstance(reads, list) or not reads or not all(map(_is_window, reads)):
        raise ValueError(f"{path}: reads must be a list of windows, multiples of 4 bases ≥ 12, got {reads!r}")
    known = sorted(set(DNAClassifier().get_params()) - {"random_state", "per_base"})
    for name, run in recipe["runs"].items():
        values = run or {}
        rule = values.get("rule")
        if "rule" in values and (rule not in RULES or set(values) - {"rule", *RULES[rule]}):
            shown = "; ".join(f"{one} with any of {sorted(others)}" for one, others in RULES.items())
            raise ValueError(f"{path}: run {name!r} must name a rule ({shown}) and nothing else, got {values}")
        if "rule" not in values and (unknown := sorted(set(values).difference(known))):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {known}")


def _is_window(bases: Any) -> bool:
    return isinstance(bases, int) and bases >= 12 and bases % 4 == 0


def run(recipe: Recipe, selection: Selection) -> Iterator[SegmentationRow]:
    """Every selected run with every seed: trained once, then a row for each test segment and window of reading."""
    for name, settings, seed in selection.models():
        yield from rows_of(recipe, name, settings, seed)


def rows_of(recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int) -> Iterator[SegmentationRow]:
    """The rows of one model.

    Args:
        recipe: the checked recipe; ``set`` and the names of ``tests`` are those of
            `titans_datasets.dna.public.benchmarks.reference_genome`, whose first records are read.
        name: of the run.
        settings: {"rule": name, …}, or parameters of `DNAClassifier`.
        seed: of the network; rules have none.

    Raises:
        FileNotFoundError: a genome is missing, or pyrodigal, which makes the labels, is not installed.
        ValueError: a genome is not the known one, or shorter than a segment.
    """
    codes, labels = _segment(recipe["set"], recipe["learn"])
    window = int(recipe["window"])
    first, last = recipe["learn"]
    if "rule" in settings:
        fitted = Fitted(rule_reader(settings, labels), {})
    else:
        fitted = _network(settings, seed, codes, labels, window)
    protocol = _protocol(recipe)
    for genome, (start, end) in recipe["tests"].items():
        tested, truth = _segment(genome, (start, end))
        sizes = {"learned": last - first, "tested": end - start}
        for read in recipe.get("reads", [window]):
            scores = _scores(fitted.read(tested, read), truth, window)
            yield SegmentationRow(name, seed, genome, **scores, **sizes, read=read, protocol=protocol, **fitted.fields)


def _protocol(recipe: Mapping[str, Any]) -> str:
    """Segments and labels, in words."""
    (first, last), window = recipe["learn"], recipe["window"]
    tests = ", ".join(f"{start:,} to {end:,} of {genome}" for genome, (start, end) in recipe["tests"].items())
    return (
        f"bases {first:,} to {last:,} of {recipe['set']} to learn from, {tests} to test, windows of {window:,}; silver "
        "standard: genes that Prodigal predicts, bases on both strands count as +"
    )


@cache
def genome_of(name: str) -> MemoryGenome:
    """A reference genome, read once."""
    return benchmarks.reference_genome(name)


@cache
def labels_of(name: str) -> Labels:
    """Labels (n,) of the whole first record, predicted once: Prodigal learns a genome's codons from all of it."""
    record, length = next(iter(genome_of(name).lengths.items()))
    genes = prodigal_genes(genome_of(name).fetch(record, 0, length))
    table = pd.DataFrame([(record, *gene) for gene in genes], columns=["chrom", "start", "end", "strand"])
    with warnings.catch_warnings():
        # Genes of both strands that share bases: the protocol states how they are read.
        warnings.simplefilter("ignore", DNAWarning)
        return interval_labels(table, record, length)


def _segment(name: str, segment: Sequence[int]) -> tuple[Codes, Labels]:
    """Letters and labels (n,)."""
    start, end = segment
    record, length = next(iter(genome_of(name).lengths.items()))
    if end > length:
        raise ValueError(f"a segment must lie in {name}, {length:,} bases of {record}, got {[start, end]}")
    return genome_of(name).fetch(record, start, end), labels_of(name)[start:end]


def window_middles(length: int, window: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows that half overlap, and the bases that each of them labels: its middle half, and the ends of the segment.

    Yields:
        start and end (exclusive) of the window, and of the bases that it labels.
    """
    starts = [*range(0, max(length - window, 0), window // 2), max(length - window, 0)]
    kept = 0
    for start in starts:
        end = min(start + window, length)
        stop = length if end == length else end - window // 4
        yield start, end, kept, stop
        kept = stop


def rule_reader(settings: Mapping[str, Any], learned: Labels) -> Callable[[Codes, int], FloatArray]:
    """A rule as a model: from letters (n,) and the bases of a window to certain probabilities (n, 3).

    Args:
        settings: {"rule": name, …}, see `RULES`; only with ``windows`` does a rule read in windows.
        learned: labels of the segment to learn from.
    """
    certain = np.eye(CLASSES)
    if settings["rule"] == "majority":
        most = int(np.bincount(learned, minlength=CLASSES).argmax())
        return lambda codes, window: certain[np.full(len(codes), most)]
    options = {name: settings[name] for name in ("shortest", "overlaps") if name in settings}
    if not settings.get("windows"):
        return lambda codes, window: certain[reading_frame_labels(codes, **options)]
    before = encode(OPEN_END)
    after, size = reverse_complement(before), len(before)

    def read(codes: Codes, window: int) -> FloatArray:
        """Read window by window."""
        found = []
        for start, end, first, last in window_middles(len(codes), window):
            labels = reading_frame_labels(np.concatenate([before, codes[start:end], after]), **options)
            found.append(labels[size + first - start : size + last - start])
        return certain[np.concatenate(found)]

    return read


def _network(settings: Mapping[str, Any], seed: int, codes: Codes, labels: Labels, window: int) -> Fitted:
    """A `DNAClassifier` of bases, trained on windows of both strands."""
    found: list[Codes] = []
    rows: list[Labels] = []
    groups: list[int] = []
    for start in range(0, max(len(codes) - window, 0) + 1, window):
        one, row = codes[start : start + window], labels[start : start + window]
        found += [one, reverse_complement(one)]
        rows += [row, reverse_labels(row)]
        groups += [start // (NEIGHBOURS * window)] * 2
    options = {"progress": False, **(settings.get("options") or {})}
    values = {"reverse_complement": "none", **settings, "options": options}
    model = DNAClassifier(**{**values, "per_base": True, "random_state": seed})
    started = time.process_time()
    model.fit(_texts(found), rows, groups=groups)
    spent = time.process_time() - started
    fields = {
        "validation": model.training_[0]["best_loss"],
        "epochs": model.training_[0]["epochs"],
        "parameters": sum(p.numel() for network in model.model_.networks for p in network.parameters()),
        "cpu_seconds": round(spent, 1),
    }
    return Fitted(lambda tested, read: _both_strands(model, tested, read), fields)


def _both_strands(model: Any, codes: Codes, window: int) -> FloatArray:
    """Probabilities (n, 3): the mean over both strands of each window, + and − exchanged on the other one."""
    places = list(window_middles(len(codes), window))
    windows = [codes[start:end] for start, end, _, _ in places]
    columns = model.classes_.astype(np.int64)
    whole = np.zeros((len(codes), CLASSES))
    here = model.predict_proba(_texts(windows))
    there = model.predict_proba(_texts([reverse_complement(one) for one in windows]))
    for (start, end, first, last), one, other in zip(places, here, there, strict=True):
        both = np.zeros((end - start, CLASSES))
        both[:, columns] += one / 2
        both[:, np.array([0, 2, 1])[columns]] += other[::-1] / 2
        whole[first:last] = both[first - start : last - start]
    return whole


def _texts(codes: Sequence[Codes]) -> list[str]:
    return [decode(one) for one in codes]


def _scores(probability: FloatArray, truth: Labels, window: int) -> dict[str, Any]:
    """MCC and accuracy of the bases, with intervals over windows that do not overlap."""
    names = ["none", "+", "-"]
    borders = np.arange(window, len(truth), window)
    numbers = truth.astype(np.int64)
    found = base_metrics(probability, numbers, names)
    ends = base_intervals(np.split(probability, borders), np.split(numbers, borders), names)
    scores: dict[str, Any] = {}
    for name in ("mcc", "accuracy"):
        scores |= {name: found[name], f"{name}_low": ends[0][name], f"{name}_high": ends[1][name]}
    return scores


def segmentation_table(rows: Rows) -> Table:
    """A line for each run: MCC on each genome, of one seed with its interval, of several ± their spread."""
    genomes = list(dict.fromkeys(row["genome"] for row in rows))
    lines = []
    for name, mine in by_reading(rows).items():
        found = [_with_interval([row for row in mine if row["genome"] == genome]) for genome in genomes]
        shown = [mean_of(mine, "validation", "{:.3f}"), mean_of(mine, "epochs", "{:.0f}")]
        rest = [mean_of(mine, "parameters", "{:,.0f}"), mean_of(mine, "cpu_seconds", "{:.0f}")]
        lines.append((name, str(len({row["seed"] for row in mine})), *found, *shown, *rest))
    scores = [f"MCC, {genome}" for genome in genomes]
    return Table(("run", "seeds", *scores, "held-out log loss", "epochs", "parameters", "CPU s"), lines)


def by_reading(rows: Rows) -> dict[str, Rows]:
    """Rows by the name of their run, with the windows of reading where a run has several.

    Example:
        >>> list(by_reading([{"run": "lmm", "read": 1200}, {"run": "lmm", "read": 32768}]))
        ['lmm, windows of 1,200', 'lmm, windows of 32,768']
    """
    found: dict[str, Rows] = {}
    for name, every in by_run(rows).items():
        reads = sorted({int(row["read"]) for row in every})
        for read in reads:
            shown = f"{name}, windows of {read:,}" if len(reads) > 1 else name
            found[shown] = [row for row in every if int(row["read"]) == read]
    return found


def _with_interval(rows: Rows) -> str:
    if len(rows) != 1:
        return spread(numbers(rows, "mcc"), 3)
    return "{:.3f} ({:.3f} – {:.3f})".format(*(number(rows[0], name) for name in ("mcc", "mcc_low", "mcc_high")))


TASK = Task(
    row=SegmentationRow,
    results="results_segmentation.csv",
    check=check,
    run=run,
    reads=("learn", "window", "tests", "reads"),
    table=segmentation_table,
    scores=("mcc", "accuracy"),
    keys=("genome", "read"),
    label=lambda row: f", {row.genome}, windows of {row.read:,}",
)
