"""What `titans-ts classify` prints: about the data, the trained models, the scores of all folds.

Shapes: n sequences, K classes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_cli.input.dna_labelled import IntArray, Labelled
from titans_datasets.writing import in_place_of
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.report.classes import CLOSE, ClassificationReport

MOST_CLASSES = 8
# A cluster of more than this share of the sequences makes folds uneven.
LARGE = 0.25


def summary(data: Labelled, together: IntArray | None) -> list[str]:
    """Lines about labelled sequences: their number, lengths, classes, and groups of related ones."""
    lengths = [len(text) for text in data.sequences]
    bases = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    names, counts = np.unique(data.labels, return_counts=True)
    listed = [f"{name} {count:,}" for name, count in zip(names.tolist(), counts.tolist(), strict=True)][:MOST_CLASSES]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    lines = [f"{data.name}: {len(lengths):,} sequences of {bases} bases", f"  classes  {', '.join(listed)}{more}"]
    if together is not None:
        sizes = np.bincount(np.unique(together, return_inverse=True)[1])
        note = "; --related 0 groups only copies" if sizes.max() > LARGE * len(lengths) else ""
        lines.append(f"  related  {len(sizes):,} groups, the largest of {sizes.max():,}{note}")
    return lines


def parts_line(model: DNAClassifier) -> str:
    """The parts of a classifier, and how its training ended."""
    fitted, training = model.model_, model.training_[0]
    strands = "the given strand" if fitted.config.strands == "one" else "both strands"
    weights = " + ".join(f"{value:.2f}" for value in fitted.weights.tolist())
    epochs, seconds = training["epochs"], sum(one["seconds"] for one in model.training_)
    return (
        f"{fitted.config.head} head on {strands}; {epochs} epochs, {seconds:.0f} s, {training['stopped']}; weights of "
        f"network{' + linear part' if fitted.linear else ''}: {weights}"
    )


def report_dict(report: ClassificationReport) -> dict[str, Any]:
    """Plain values, with what test and training set share."""
    return {**report.to_dict(), "leakage": None if report.leaked is None else report.leaked.summary()}


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write a report as JSON; a file is replaced as a whole."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    with in_place_of(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


class FoldScores:
    """The reports of all folds together.

    Args:
        count: n sequences.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[IntArray] = []
        self._reports: list[ClassificationReport] = []

    def add(self, part: IntArray, report: ClassificationReport) -> None:
        """Add the report of a fold whose test sequences are those at the indices `part`."""
        self._parts.append(part)
        self._reports.append(report)

    def _models(self) -> list[str]:
        """Models that every fold has: the baseline `positions` needs sequences of one length."""
        first = [str(name) for name in self._reports[0].table.index]
        return [name for name in first if all(name in report.table.index for report in self._reports)]

    def _values(self) -> npt.NDArray[np.float64]:
        """(folds, models, metrics)."""
        return np.stack([report.table.loc[self._models()].to_numpy(np.float64) for report in self._reports])

    def table(self) -> pd.DataFrame:
        """Mean ± standard deviation over the folds, as text: one row per model, one column per metric."""
        found, columns = self._values(), self._reports[0].table.columns
        text = [[_mean_and_spread(found[:, i, j]) for j in range(found.shape[2])] for i in range(found.shape[1])]
        return pd.DataFrame(text, index=self._models(), columns=columns)

    def notes(self) -> list[str]:
        """Notes: what test and training parts share, and baselines that are about as good."""
        reports = self._reports
        dirty = sum(int((~report.leaked.clean).sum()) for report in reports if report.leaked is not None)
        first = (
            f"leakage: {dirty:,} of {self._count:,} sequences share 31 bases or more with those that their model saw"
            if dirty
            else "leakage: no sequence shares 31 bases with those that its model saw"
        )
        found = self._values()[:, :, list(reports[0].table.columns).index("mcc")].mean(0)
        near = [
            f"{name} has a mean MCC of {value:.3f}, the classifier {found[0]:.3f}"
            for name, value in zip(self._models()[1:], found[1:].tolist(), strict=True)
            if value > found[0] - CLOSE
        ]
        return [first, *near]

    def probabilities(self) -> dict[str, npt.NDArray[np.float64]]:
        """Model → (n, K), each sequence by the model that was not trained on it."""
        found = {}
        for name in self._models():
            whole = np.empty((self._count, len(self._reports[0].classes)))
            for part, report in zip(self._parts, self._reports, strict=True):
                whole[part] = report.probabilities[name]
            found[name] = whole
        return found

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, one dict per fold."""
        return [report_dict(report) for report in self._reports]


def _mean_and_spread(values: npt.NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return f"{known.mean():.3f} ± {spread:.3f}"
