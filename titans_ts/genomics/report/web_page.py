"""The HTML report of a classifier: its scores beside the baselines, curves, counts, reliability, leaked sequences.

Shapes: n test sequences, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts.genomics.report.metrics import auprc, auroc, confusion
from titans_ts.genomics.report.plot import MOST_CURVES, MOST_NAMES, precision_points, reliability, roc_points
from titans_ts.report import figures
from titans_ts.report.elements import label
from titans_ts.report.page import HTMLReport
from titans_ts.report.scores import Picture, ScoreRecord, score_report
from titans_ts.report.tables import metric, number

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# Points of a curve that are drawn.
POINTS = 400


class ClassScores(Protocol):
    """What a report tells, as `titans_ts.genomics.report.classes.ClassificationReport`."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a model, one column a metric."""

    @property
    def low(self) -> pd.DataFrame:
        """Low ends of 95 % intervals."""

    @property
    def high(self) -> pd.DataFrame:
        """High ends."""

    @property
    def clean(self) -> pd.DataFrame | None:
        """On the sequences that share nothing with the training set."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks."""

    @property
    def probabilities(self) -> dict[str, FloatArray]:
        """Model → (n, K)."""

    @property
    def truth(self) -> npt.NDArray[np.int64]:
        """(n,) numbers or (n, K) zeros and ones."""

    @property
    def classes(self) -> npt.NDArray[Any]:
        """(K,) names."""


class Folds(Protocol):
    """The scores of a cross-validation, as `titans_ts.genomics.report.folds.FoldScores`."""

    def means(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Means and standard deviations over the folds."""

    def notes(self) -> list[str]:
        """Remarks."""

    def probabilities(self) -> dict[str, FloatArray]:
        """Model → (n, K), each sequence by the model that was not trained on it."""


def class_report(
    found: ClassScores,
    name: str = "",
    *,
    folds: Folds | None = None,
    truth: npt.NDArray[np.int64] | None = None,
    settings: Mapping[str, object] | None = None,
) -> HTMLReport:
    """The report of a classifier on test sequences, or of a cross-validation.

    Args:
        found: what it scored; with folds those of one of them.
        name: of the test data.
        folds: scores of all folds.
        truth: (n,) class numbers of all folds.
        settings: of the classifier.
    """
    probabilities, table, ends, notes = found.probabilities, found.table, (found.low, found.high), list(found.notes)
    truth = found.truth if folds is None or truth is None else truth
    caption = "Scores on sequences that training has not seen, with 95 % bootstrap intervals. ★ marks the best."
    if folds is not None:
        caption = "Mean over the folds, in brackets one standard deviation to either side. ★ marks the best."
        table, spread = folds.means()
        probabilities, ends, notes = folds.probabilities(), (table - spread, table + spread), folds.notes()
    clean = None if folds is not None else found.clean
    return score_report(
        ScoreRecord(
            **_told(table, truth, found.classes, name),
            table=table,
            ends=ends,
            caption=caption,
            others={} if clean is None else {"The same without leaked sequences.": clean},
            pictures=pictures(probabilities, truth, found.classes),
            notes=notes,
            settings=settings or {},
        )
    )


def _told(table: pd.DataFrame, truth: npt.NDArray[np.int64], classes: npt.NDArray[Any], name: str) -> dict[str, Any]:
    """Title, lead, numbers and first sentence."""
    ours, others = table.iloc[0], table.iloc[1:]
    told = [column for column in ("mcc", "auroc", "accuracy") if column in table.columns]
    facts = {column: (metric(float(ours[column]), column), "") for column in told}
    verdict = ""
    if len(others) and "mcc" in table.columns and others["mcc"].notna().any():
        best, value = others["mcc"].idxmax(), float(others["mcc"].max())
        word = "above" if float(ours["mcc"]) > value else "not above"
        verdict = (
            f"Its MCC, {number(float(ours['mcc']))}, is {word} that of the best baseline, {best} ({number(value)})."
        )
    return {
        "title": f"Classification{f': {name}' if name else ''}",
        "lead": f"{len(truth):,} test examples, {len(classes):,} classes",
        "facts": {"Tested": (f"{len(truth):,}", f"{len(classes):,} classes"), **facts},
        "verdict": verdict,
    }


def pictures(
    probabilities: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], classes: npt.NDArray[Any]
) -> list[Picture]:
    """Curves, counts and reliability; the classifier is the first of the models."""
    ours, names = np.asarray(next(iter(probabilities.values()))), [str(name) for name in classes.tolist()]
    if truth.ndim == 2:
        return [_class_curves(ours, truth == 1, names)]
    if len(names) == 2:
        positive = truth == 1
        scores = {model: np.asarray(p)[:, 1] for model, p in probabilities.items() if np.ptp(np.asarray(p)[:, 1]) > 0}
        curves = [_roc(scores, positive, names[1]), _precision(scores, positive, names[1])]
        return [*curves, _counts(ours, truth, names), _reliability(ours[:, 1], positive, f"probability of {names[1]}")]
    each = _class_curves(ours, truth[:, None] == np.arange(len(names)), names)
    right = ours.argmax(1) == truth
    return [each, _counts(ours, truth, names), _reliability(ours.max(1), right, "probability of the predicted class")]


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most `POINTS` points of a curve."""
    places = np.unique(np.linspace(0, max(len(x) - 1, 0), min(POINTS, len(x))).round().astype(np.int64))
    return x[places], y[places]


def _roc(scores: Mapping[str, FloatArray], positive: BoolArray, name: str) -> Picture:
    found = {f"{model} {auroc(positive, one):.3f}": _thin(*roc_points(positive, one)) for model, one in scores.items()}
    drawn = figures.with_diagonal(figures.curves(found, "false positive rate", "true positive rate"))
    text = f"Positive: {name}. Areas under the curve: {'; '.join(found)}. On the diagonal: chance."
    return Picture(drawn, "ROC", text)


def _precision(scores: Mapping[str, FloatArray], positive: BoolArray, name: str) -> Picture:
    found = {
        f"{model} {auprc(positive, one):.3f}": _thin(*precision_points(positive, one)) for model, one in scores.items()
    }
    drawn = figures.with_level(figures.curves(found, "recall", "precision"), float(positive.mean()))
    text = f"Positive: {name}. Average precision: {'; '.join(found)}. Dashed: chance, {positive.mean():.2f}."
    return Picture(drawn, "Precision and recall", text)


def _class_curves(probability: FloatArray, positive: BoolArray, names: Sequence[str]) -> Picture:
    """ROC of the most frequent classes, each against the rest."""
    counts = positive.sum(0)
    shown = [k for k in np.sort(np.argsort(-counts, kind="stable")[:MOST_CURVES]) if 0 < counts[k] < len(positive)]
    found = {
        f"{names[k]} {auroc(positive[:, k], probability[:, k]):.3f}": _thin(
            *roc_points(positive[:, k], probability[:, k])
        )
        for k in shown
    }
    drawn = figures.with_diagonal(figures.curves(found, "false positive rate", "true positive rate"))
    what = "each class" if len(names) <= MOST_CURVES else f"the {MOST_CURVES} most frequent classes"
    return Picture(drawn, f"ROC of {what}", f"Areas under the curves: {'; '.join(found)}.")


def _counts(probability: FloatArray, truth: npt.NDArray[np.int64], names: Sequence[str]) -> Picture:
    """How often each class was predicted for each class."""
    table = confusion(truth, probability.argmax(1), len(names))
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    labels = [label(name) for name in names]
    drawn = figures.heat_map(share, labels, labels, "predicted")
    if len(names) <= MOST_NAMES:
        drawn["data"][0] |= {"text": table.astype(int).tolist(), "texttemplate": "%{text}"}
    drawn["layout"]["xaxis"] |= {"type": "category"}
    drawn["layout"]["yaxis"] |= {"title": {"text": "true"}}
    right = float(np.trace(table) / max(table.sum(), 1))
    text = f"{100 * right:.1f} % are on the diagonal, which is right. Colours: shares of the true class."
    return Picture(drawn, "Counts", text)


def _reliability(probability: FloatArray, hit: BoolArray, what: str) -> Picture:
    mean, share, low, high, _ = reliability(probability, hit)
    drawn = figures.curves({"observed": (mean, share)}, label(what), "observed share")
    ends = {"array": figures.plain(high - share, 4), "arrayminus": figures.plain(share - low, 4)}
    error = {"type": "data", "symmetric": False, "thickness": 1.2, "width": 0, **ends}
    drawn["data"][0] |= {"mode": "lines+markers", "marker": {"color": "@forecast", "size": 8}, "error_y": error}
    drawn["layout"]["showlegend"] = False
    text = f"Observed shares against {what}, with 95 % intervals. On the diagonal probabilities hold what they promise."
    return Picture(figures.with_diagonal(drawn), "Reliability", text)
