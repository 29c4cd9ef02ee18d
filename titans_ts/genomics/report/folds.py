"""Scores of a cross-validation: the reports of all folds together.

Shapes: n sequences, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.read.labelled import Labelled
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.inputs import encode_labels
from titans_ts.genomics.report.classes import CLOSE, ClassificationReport
from titans_ts.genomics.report.summary import parts_line
from titans_ts.genomics.training.holdout import cross_validation, folds_of

IntArray = npt.NDArray[np.int64]


def report_dict(report: ClassificationReport) -> dict[str, Any]:
    """Plain values, with what test and training set share."""
    return {**report.to_dict(), "leakage": None if report.leaked is None else report.leaked.summary()}


def cross_validated(
    data: Labelled,
    together: IntArray,
    fit: Callable[[IntArray], DNAClassifier],
    settings: tuple[int, int],
    told: Callable[[str], None],
) -> tuple[FoldScores, DNAClassifier]:
    """The scores of K folds, each of whole clusters, and the last model.

    Args:
        data: n labelled sequences.
        together: (n,) cluster numbers.
        fit: places of training sequences to a fitted classifier.
        settings: number of folds, and seed of their order.
        told: is given a line about each fold.

    Raises:
        ValueError: too few clusters, or see `cross_validation`.
    """
    n, targets = len(data.sequences), data.targets()
    # Folds keep proportions of classes, sets of labels, or most frequent classes of the bases.
    single = data.label_names is None and not data.per_base
    if single:
        parts = cross_validation(together, data.labels, *settings)
    else:
        parts = folds_of(together, encode_labels(targets, n, data.per_base).strata, *settings)
    scores = FoldScores(n, [len(text) for text in data.sequences] if data.per_base else None)
    for number, part in enumerate(parts, start=1):
        model, held = fit(np.setdiff1d(np.arange(n), part)), data.take(part)
        report = model.report(held.sequences, held.targets())
        scores.add(part, report)
        told(f"fold {number}: {len(part):,} sequences, MCC {report.table['mcc'].iloc[0]:.3f}; {parts_line(model)}")
    return scores, model


class FoldScores:
    """The reports of all folds together.

    Args:
        count: n sequences.
        lengths: (n,) of them where bases have the answers, of all sequences one after another; None otherwise.
    """

    def __init__(self, count: int, lengths: list[int] | None = None) -> None:
        self._count = count
        self._borders = np.cumsum([0, *([1] * count if lengths is None else lengths)])
        self._parts: list[IntArray] = []
        self._reports: list[ClassificationReport] = []

    def add(self, part: IntArray, report: ClassificationReport) -> None:
        """Add the report of a fold whose test sequences are those at the indices `part`."""
        self._parts.append(part)
        self._reports.append(report)

    def last(self) -> ClassificationReport:
        """The report of the fold that was added last."""
        return self._reports[-1]

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

    def means(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Means and standard deviations over the folds: one row per model, one column per metric."""
        found, columns = self._values(), self._reports[0].table.columns
        with warnings.catch_warnings():
            # A metric that no fold has is NaN.
            warnings.simplefilter("ignore", RuntimeWarning)
            mean = np.nanmean(found, axis=0)
            spread = np.nanstd(found, axis=0, ddof=1) if len(found) > 1 else np.zeros_like(mean)
        return tuple(pd.DataFrame(part, self._models(), columns) for part in (mean, spread))  # type: ignore[return-value]

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
        """Model → (n, K), each sequence by the model that was not trained on it; of bases (R, K)."""
        return {name: self._whole([report.probabilities[name] for report in self._reports]) for name in self._models()}

    def truth(self) -> npt.NDArray[np.int64]:
        """(n,) class numbers or (n, K) zeros and ones; of bases (R,)."""
        return self._whole([report.truth for report in self._reports])

    def _whole(self, each: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Values of the folds in the order of all sequences, or of all bases."""
        whole = np.empty((self._borders[-1], *each[0].shape[1:]), dtype=each[0].dtype)
        for part, values in zip(self._parts, each, strict=True):
            whole[np.concatenate([np.arange(*self._borders[i : i + 2]) for i in part.tolist()])] = values
        return whole

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, one dict per fold."""
        return [report_dict(report) for report in self._reports]


def _mean_and_spread(values: npt.NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return f"{known.mean():.3f} ± {spread:.3f}"
