"""A classifier tried on labelled sequences: checks before training, the report, and its files.

Shapes: n sequences, R their bases, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import encode_all
from titans_datasets.dna.read.labelled import Labelled, like
from titans_datasets.dna.tracks import is_track
from titans_datasets.rows import rows
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.inputs import Labels, encode_labels, known_labels
from titans_ts.genomics.report.classes import ClassificationReport
from titans_ts.genomics.report.folds import FoldScores, cross_validated, report_dict
from titans_ts.genomics.report.predictions import check_tracked, class_header, class_rows, track_place, write_values
from titans_ts.genomics.report.summary import headline_of
from titans_ts.genomics.training.holdout import IntArray

if TYPE_CHECKING:
    from titans_ts.report import HTMLReport


@dataclass(frozen=True)
class Scored:
    """Sequences whose predictions were scored.

    Attributes:
        model: one of those that predicted.
        data: the n sequences.
        probabilities: name of a model → (n, K), the classifier first; of bases (R, K).
        truth: (n,) class numbers, (n, K) zeros and ones, or (R,).
        headline: how many they are.
        text: the report, for people.
        content: the report, for programs.
        report: of the model; with folds that of the last one.
        folds: scores of all folds; None for a single test.
    """

    model: DNAClassifier
    data: Labelled
    probabilities: dict[str, npt.NDArray[np.float64]]
    truth: npt.NDArray[np.int64]
    headline: str
    text: str
    content: dict[str, Any]
    report: ClassificationReport
    folds: FoldScores | None = None

    def write(self, path: str, name: str | None) -> None:
        """Write the predictions: a table, or a bedGraph or bigWig.

        Args:
            path: the file.
            name: class whose probability a track holds; None for the second of two.

        Raises:
            ValueError: a track of sequences without places.
        """
        rows_found = class_rows(
            self.model, self.data.ids, self._lengths(), next(iter(self.probabilities.values())), self.truth
        )
        header = class_header(self.model, labelled=True)
        if is_track(path):
            place = track_place(self.model, header, name, path)
            values = np.array([row[place] for row in rows_found])
            write_values(path, self.data.intervals, self.data.contigs, values, header[place])
            return
        with rows(path, header) as table:
            for row in rows_found:
                table.write(*row)

    def page(self, settings: Mapping[str, object]) -> HTMLReport:
        """The report as a web page, with the settings of the classifier."""
        from titans_ts.genomics.report.web_page import class_report

        name = Path(self.data.name).name
        return class_report(self.report, name, folds=self.folds, truth=self.truth, settings=settings)

    def _lengths(self) -> list[int]:
        return [len(text) for text in self.data.sequences]

    def plot(self, path: str) -> None:
        """Draw the report."""
        from titans_ts.genomics.report.plot import plot_report

        title = f"{Path(self.data.name).name}: {self.headline}"
        plot_report(self.probabilities, self.truth, self.model.classes_, title=title, path=path)


def checked(data: Labelled, column: str, *, drawn: bool, output: str | None = None) -> Labels:
    """The labels of training, encoded.

    Args:
        data: n sequences.
        column: that held the labels, in words.
        drawn: whether a picture of the report is wanted.
        output: file of predictions of these sequences, if any.

    Raises:
        ValueError: labels that no classifier can learn, several labels in a picture, or see `check_tracked`.
    """
    try:
        labels = encode_labels(data.targets(), len(data.sequences), data.per_base)
    except ValueError as error:
        raise ValueError(f"{data.name}, {column}: {error}") from error
    if drawn and labels.task == "labels":
        raise ValueError(
            "a picture shows classes that exclude each other, not several labels: leave --plot and --report out"
        )
    check_tracked(output, data.intervals, data.name)
    return labels


def known(test: Labelled, labels: Labels, output: str | None = None) -> Labelled:
    """Test sequences, checked before anything is trained: labels in the type of training, letters, lengths.

    Args:
        test: n sequences.
        labels: classes and task of training.
        output: file of their predictions, if any.

    Raises:
        ValueError: a label that training does not have, a letter that is not DNA, or see `check_tracked`.
    """
    if labels.task == "classes" and not test.per_base:
        test = test._replace(labels=like(labels.classes, test.labels))
    names = labels.classes.tolist()
    if (labels.task == "labels") != (test.label_names is not None) or test.label_names not in (None, names):
        raise ValueError(
            f"{test.name} has the labels {', '.join(test.label_names or ['of one column'])}, training had "
            f"{', '.join(map(str, names))}: name the same columns in the same order by --label"
        )
    try:
        known_labels(test.targets(), len(test.labels), labels.classes, labels.task, test.per_base)
        encode_all(test.sequences)
    except ValueError as error:
        raise ValueError(f"{test.name}: {error}") from error
    check_tracked(output, test.intervals, test.name)
    return test


def tested(model: DNAClassifier, training: Labelled, test: Labelled) -> Scored:
    """The report of a model on test sequences.

    Raises:
        ValueError: sequences that the model cannot read.
    """
    try:
        report = model.report(test.sequences, test.targets(), train=(training.sequences, training.targets()))
    except ValueError as error:
        raise ValueError(f"{test.name}: {error}") from error
    headline = headline_of(len(test.labels), report.leaked)
    lines = [f"{test.name}, {headline}:", str(report)]
    if report.leaked is not None and report.leaked.clean.all():
        lines.append(f"leakage: no test sequence shares {report.leaked.k} bases with a training sequence")
    text = "\n".join(lines)
    return Scored(model, test, report.probabilities, report.truth, headline, text, report_dict(report), report)


def folds(
    data: Labelled,
    together: IntArray,
    fit: Callable[[IntArray], DNAClassifier],
    settings: tuple[int, int],
    told: Callable[[str], None],
) -> Scored:
    """The report of K folds; the arguments are those of `cross_validated`.

    Raises:
        ValueError: see `cross_validated`.
    """
    try:
        scores, model = cross_validated(data, together, fit, settings, told)
    except ValueError as error:
        hint = ", or --related 0 if k-mers shared by chance or repeats connect them" if "empty" in str(error) else ""
        raise ValueError(str(error).replace("folds=", "--cv ") + hint) from error
    count = settings[0]
    lines = [f"{data.name}, mean ± sd of {count} folds:", scores.table().to_string(), *scores.notes()]
    headline = f"{len(data.labels):,} sequences in {count} folds"
    found = scores.probabilities()
    text, content = "\n".join(lines), {"folds": scores.to_dict()}
    return Scored(model, data, found, scores.truth(), headline, text, content, scores.last(), scores)
