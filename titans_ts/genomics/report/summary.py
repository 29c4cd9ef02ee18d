"""What is said about labelled sequences, a trained classifier and the sequences it is scored on.

Shapes: n sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from titans_datasets.dna.leakage.report import LeakageReport
from titans_datasets.dna.read.labelled import Labelled
from titans_datasets.dna.read.measured import Measured
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.regression.regressor import DNARegressor
from titans_ts.genomics.training.holdout import IntArray

MOST_CLASSES = 8
# A cluster of more than this share of the sequences makes folds uneven.
LARGE = 0.25


def data_lines(data: Labelled, together: IntArray | None, advice: str = "") -> list[str]:
    """Lines about labelled sequences: their number, lengths, classes, and groups of related ones.

    Args:
        data: the n sequences.
        together: (n,) cluster numbers; None leaves groups out.
        advice: what to do where one group is large.
    """
    lengths = [len(text) for text in data.sequences]
    bases = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    names, counts = _counts(data)
    listed = [f"{name} {count:,}" for name, count in zip(names, counts, strict=True)][:MOST_CLASSES]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    what = "classes" if data.label_names is None else "labels "
    lines = [f"{data.name}: {len(lengths):,} sequences of {bases} bases", f"  {what}  {', '.join(listed)}{more}"]
    if together is not None:
        sizes = np.bincount(np.unique(together, return_inverse=True)[1])
        note = f"; {advice}" if advice and sizes.max() > LARGE * len(lengths) else ""
        lines.append(f"  related  {len(sizes):,} groups, the largest of {sizes.max():,}{note}")
    return lines


def number_lines(measured: Measured, together: IntArray) -> list[str]:
    """Lines about sequences with numbers: their number, lengths, the range of each target, groups of related ones.

    Args:
        measured: the n sequences.
        together: (n,) cluster numbers.
    """
    lengths = [len(text) for text in measured.data.sequences]
    bases = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    lines = [f"{measured.data.name}: {len(lengths):,} sequences of {bases} bases"]
    flat = np.concatenate(measured.numbers) if measured.per_base else measured.numbers
    of = " of bases" if measured.per_base else ""
    for name, column in list(zip(measured.names, flat.T, strict=True))[:MOST_CLASSES]:
        lines.append(f"  {name}{of}  {column.min():.4g} to {column.max():.4g}, mean {column.mean():.4g}")
    sizes = np.bincount(np.unique(together, return_inverse=True)[1])
    return [*lines, f"  related  {len(sizes):,} groups, the largest of {sizes.max():,}"]


def _counts(data: Labelled) -> tuple[list[Any], list[int]]:
    """Classes, and how many sequences or bases are of each."""
    if data.label_names is not None:
        return data.label_names, [int(np.count_nonzero(column == 1)) for column in data.labels.T]
    labels = np.array(list("".join(data.targets()))) if data.per_base else data.labels
    names, counts = np.unique(labels, return_counts=True)
    return names.tolist(), counts.tolist()


def parts_line(model: DNAClassifier | DNARegressor) -> str:
    """The parts of a model, and how its training ended."""
    fitted, training = model.model_.parts, model.training_[0]
    strands = "the given strand" if fitted.config.strands == "one" else "both strands"
    weights = " + ".join(f"{value:.2f}" for value in fitted.weights.reshape(len(fitted.weights), -1).mean(1).tolist())
    epochs, seconds = training["epochs"], sum(one["seconds"] for one in model.training_)
    return (
        f"{fitted.config.head} head on {strands}; {epochs} epochs, {seconds:.0f} s, {training['stopped']}; weights of "
        f"network{' + linear part' if fitted.linear else ''}: {weights}"
    )


def headline_of(count: int, leaked: LeakageReport | None) -> str:
    """How many sequences of a test there are, and how many of them training has seen.

    Args:
        count: n test sequences.
        leaked: overlap of test and training; None where training sequences are not known.
    """
    if leaked is None:
        return f"{count:,} sequences; those of training are not known"
    copies = int((leaked.verbatim | leaked.reverse).sum())
    shared = int((~leaked.clean).sum())
    if copies:
        return f"{count:,} sequences, {copies:,} of which are copies of training sequences, on one strand or the other"
    if shared:
        return f"{count:,} sequences, {shared:,} of which share {leaked.k} bases or more with training sequences"
    return f"{count:,} sequences that training has not seen"
