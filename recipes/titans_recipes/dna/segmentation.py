"""The segmentation task of recipes: which bases of a genome code, and on which strand, learned on one stretch.

Shapes: n bases of a stretch, W bases of a window, three classes (0 none, 1 strand +, 2 strand −).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from titans_datasets.dna.alphabet import Codes
    from titans_datasets.dna.read.genome import MemoryGenome

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
CLASSES = 3
RULES = {"majority": set[str](), "longest ORF": {"shortest", "overlaps", "windows"}}
# Neighbouring windows of training that are held out together, with their other strands.
NEIGHBOURS = 8
# In front of a window, and its reverse complement behind: start codons in every frame into the window, and stop codons
# for every frame of the other strand out of it, so that frames may run past its ends.
OPEN_END = "TTAN" * 3 + "ATGN" * 3


class SegmentationRow(NamedTuple):
    """One model on one stretch that it has not seen; scores are over bases.

    Attributes:
        run, seed: which model.
        genome: of the stretch.
        mcc, accuracy: over three classes, with the ends of 95 % bootstrap intervals over the stretch's windows.
        learned, tested: bases of the two stretches.
        validation: log loss of windows that training held out, in nats; epochs; parameters.
        cpu_seconds: of training.
        protocol: stretches and labels.
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
    validation: float | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


class _Fitted(NamedTuple):
    """From letters (n,) to probabilities (n, 3), and fields of the row that only the model knows."""

    read: Callable[[Codes], FloatArray]
    fields: dict[str, Any]


def check_segmentation(path: Any, recipe: Mapping[str, Any]) -> None:
    """Refuse stretches that are none or overlap, windows that are no even number, and unknown runs.

    Raises:
        ValueError: with what is known.
    """
    from titans_ts.genomics import DNAClassifier

    learn, window, tests = recipe.get("learn"), recipe.get("window"), recipe.get("tests")
    if not isinstance(tests, Mapping) or not tests:
        raise ValueError(f"{path} must say tests: a mapping of genomes and stretches, got {tests!r}")
    for name, found in (("learn", learn), *tests.items()):
        sound = isinstance(found, Sequence) and len(found) == 2 and all(isinstance(n, int) for n in found)
        if not sound or not 0 <= found[0] < found[1]:
            raise ValueError(f"{path} must say {name}: [first base, the base behind the last], got {found!r}")
    start, end = tests.get(recipe["set"], (0, 0))
    if start < learn[1] and learn[0] < end:  # type: ignore[index]
        raise ValueError(f"{path}: learn {learn} and test {[start, end]} overlap: the test must be unseen")
    if not isinstance(window, int) or window < 12 or window % 4:
        raise ValueError(f"{path} must say window: bases of a window, a multiple of 4 that is ≥ 12, got {window!r}")
    known = sorted(set(DNAClassifier().get_params()) - {"random_state", "per_base"})
    for name, run in recipe["runs"].items():
        values = run or {}
        rule = values.get("rule")
        if "rule" in values and (rule not in RULES or set(values) - {"rule", *RULES[rule]}):
            shown = "; ".join(f"{one} with any of {sorted(others)}" for one, others in RULES.items())
            raise ValueError(f"{path}: run {name!r} must name a rule ({shown}) and nothing else, got {values}")
        if "rule" not in values and (unknown := sorted(set(values).difference(known))):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {known}")


def segmentation_rows(
    recipe: Mapping[str, Any], run: str, settings: Mapping[str, Any], seed: int
) -> Iterator[SegmentationRow]:
    """One model, trained once, then a row a test stretch.

    Args:
        recipe: the checked recipe; ``set`` and the names of ``tests`` are those of
            `titans_datasets.dna.public.benchmarks.reference_genome`, whose first records are read.
        run: its name.
        settings: {"rule": name, …}, or parameters of `DNAClassifier`.
        seed: of the network; rules have none.

    Raises:
        FileNotFoundError: a genome is not there, or pyrodigal, which makes the labels, is not installed.
        ValueError: a genome is not the known one, or shorter than a stretch.
    """
    codes, labels = _stretch(recipe["set"], recipe["learn"])
    window = int(recipe["window"])
    first, last = recipe["learn"]
    if "rule" in settings:
        fitted = _Fitted(_rule(settings, labels, window), {})
    else:
        fitted = _network(settings, seed, codes, labels, window)
    protocol = _protocol(recipe)
    for genome, (start, end) in recipe["tests"].items():
        tested, truth = _stretch(genome, (start, end))
        scores = _scores(fitted.read(tested), truth, window)
        yield SegmentationRow(
            run, seed, genome, **scores, learned=last - first, tested=end - start, protocol=protocol, **fitted.fields
        )


def _protocol(recipe: Mapping[str, Any]) -> str:
    """Stretches and labels, in words."""
    (first, last), window = recipe["learn"], recipe["window"]
    tests = ", ".join(f"{start:,} to {end:,} of {genome}" for genome, (start, end) in recipe["tests"].items())
    return (
        f"bases {first:,} to {last:,} of {recipe['set']} to learn from, {tests} to test, windows of {window:,}; silver "
        "standard: genes that Prodigal predicts, bases on both strands count as +"
    )


def prodigal_genes(codes: Codes) -> list[tuple[int, int, str]]:
    """Start, end (from 0, the end not included) and strand of the genes that Prodigal predicts, trained on these bases.

    Raises:
        FileNotFoundError: pyrodigal is not installed.
    """
    from titans_datasets.dna.alphabet import decode

    try:
        from pyrodigal import GeneFinder
    except ImportError as error:
        raise FileNotFoundError(
            "recipes of task segmentation take their labels from Prodigal, by way of pyrodigal (GPL-3), which is not "
            "there: pip install pyrodigal"
        ) from error
    text, finder = decode(codes).encode(), GeneFinder()
    finder.train(text)
    return [(gene.begin - 1, gene.end, "+" if gene.strand > 0 else "-") for gene in finder.find_genes(text)]


@cache
def _genome(name: str) -> MemoryGenome:
    from titans_datasets.dna.public.benchmarks import reference_genome

    return reference_genome(name)


@cache
def _labels(name: str) -> Labels:
    """(n,) of the whole first record: Prodigal learns a genome's codons from all of it."""
    import pandas as pd

    from titans_datasets.dna import DNAWarning, interval_labels

    record, length = next(iter(_genome(name).lengths.items()))
    genes = prodigal_genes(_genome(name).fetch(record, 0, length))
    table = pd.DataFrame([(record, *gene) for gene in genes], columns=["chrom", "start", "end", "strand"])
    with warnings.catch_warnings():
        # Genes of both strands that share bases: the protocol says how they are read.
        warnings.simplefilter("ignore", DNAWarning)
        return interval_labels(table, record, length)


def _stretch(name: str, stretch: Sequence[int]) -> tuple[Codes, Labels]:
    """Letters and labels (n,)."""
    start, end = stretch
    record, length = next(iter(_genome(name).lengths.items()))
    if end > length:
        raise ValueError(f"a stretch must lie in {name}, {length:,} bases of {record}, got {[start, end]}")
    return _genome(name).fetch(record, start, end), _labels(name)[start:end]


def _middles(length: int, window: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows that half overlap, and of each the half that it answers for: its middle, at the ends of all also those.

    Yields:
        first base, base behind the last, and the same of what it answers for.
    """
    starts = [*range(0, max(length - window, 0), window // 2), max(length - window, 0)]
    kept = 0
    for start in starts:
        end = min(start + window, length)
        behind = length if end == length else end - window // 4
        yield start, end, kept, behind
        kept = behind


def _rule(settings: Mapping[str, Any], learned: Labels, window: int) -> Callable[[Codes], FloatArray]:
    from titans_datasets.dna import encode, reading_frame_labels, reverse_complement

    certain = np.eye(CLASSES)
    if settings["rule"] == "majority":
        most = int(np.bincount(learned, minlength=CLASSES).argmax())
        return lambda codes: certain[np.full(len(codes), most)]
    options = {name: settings[name] for name in ("shortest", "overlaps") if name in settings}

    if not settings.get("windows"):
        return lambda codes: certain[reading_frame_labels(codes, **options)]
    before = encode(OPEN_END)
    behind, size = reverse_complement(before), len(before)

    def read(codes: Codes) -> FloatArray:
        """Window by window."""
        found = []
        for start, end, first, last in _middles(len(codes), window):
            labels = reading_frame_labels(np.concatenate([before, codes[start:end], behind]), **options)
            found.append(labels[size + first - start : size + last - start])
        return certain[np.concatenate(found)]

    return read


def _network(settings: Mapping[str, Any], seed: int, codes: Codes, labels: Labels, window: int) -> _Fitted:
    """A `DNAClassifier` of bases that learned from windows of both strands."""
    from titans_datasets.dna import reverse_complement, reverse_labels
    from titans_ts.genomics import DNAClassifier

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
    return _Fitted(lambda tested: _both_strands(model, tested, window), fields)


def _both_strands(model: Any, codes: Codes, window: int) -> FloatArray:
    """Probabilities (n, 3): the mean of what both strands of each window say, + and − exchanged on the other one."""
    from titans_datasets.dna import reverse_complement

    places = list(_middles(len(codes), window))
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
    from titans_datasets.dna.alphabet import decode

    return [decode(one) for one in codes]


def _scores(probability: FloatArray, truth: Labels, window: int) -> dict[str, Any]:
    """MCC and accuracy of the bases, with intervals over windows that do not overlap."""
    from titans_ts.genomics.report.bases import base_intervals, base_metrics

    names = ["none", "+", "-"]
    borders = np.arange(window, len(truth), window)
    numbers = truth.astype(np.int64)
    found = base_metrics(probability, numbers, names)
    ends = base_intervals(np.split(probability, borders), np.split(numbers, borders), names)
    scores: dict[str, Any] = {}
    for name in ("mcc", "accuracy"):
        scores |= {name: found[name], f"{name}_low": ends[0][name], f"{name}_high": ends[1][name]}
    return scores
