"""ClassificationReport: metrics with intervals, beside baselines, with and without sequences that training has seen.

Shapes: n test sequences, K classes or labels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import Codes, decode
from titans_datasets.dna.leakage import leakage
from titans_datasets.dna.leakage.report import LeakageReport
from titans_ts.genomics.inputs import Labels
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import KmerFeatures
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.model import positions
from titans_ts.genomics.report.metrics import FloatArray, class_metrics, intervals, label_metrics
from titans_ts.genomics.training.holdout import hold_out, related

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINEAR = "linear part alone"
UNKNOWN_TRAINING = "training sequences are not known: no baselines, no check for leaked sequences; pass train=(X, y)"
# Test sequences that a table of the clean part must have at least.
FEWEST_CLEAN = 20
# A difference in MCC that is worth a note.
CLOSE = 0.03


@dataclass(frozen=True)
class ClassificationReport:
    """Metrics of a classifier on test sequences; printed, it is a table.

    Attributes:
        table: one row per model, one column per metric. Rows: "DNAClassifier"; "linear part alone", its logistic
            regressions without the network, where it has them; then baselines.
        low, high: ends of the 95 % bootstrap intervals, shaped as `table`.
        clean: as `table`, on the test sequences that share nothing with the training set; None where training
            sequences are not known, nothing is shared, or fewer than 20 are left.
        leaked: overlap of test and training set; None where training sequences are not known.
        notes: remarks on leaked sequences and on baselines that are about as good.
        probabilities: model → (n, K).
        truth: (n,) numbers of the true classes, or (n, K) zeros and ones.
        classes: (K,) names.

    With a class per base, n counts bases in `probabilities` and `truth`; `clean` and `leaked` are about sequences.
    """

    table: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    clean: pd.DataFrame | None
    leaked: LeakageReport | None
    notes: tuple[str, ...]
    probabilities: dict[str, FloatArray] = field(repr=False)
    truth: npt.NDArray[np.int64] = field(repr=False)
    classes: npt.NDArray[Any] = field(repr=False)

    def plot(self, path: str | PathLike[str] | None = None, *, title: str | None = None) -> Figure:
        """The figure of `titans_ts.genomics.report.plot.plot_report`, written to the path if there is one.

        Raises:
            ValueError: sequences may have several labels, or the path has no suffix of a picture.
        """
        from titans_ts.genomics.report.plot import plot_report

        return plot_report(self.probabilities, self.truth, self.classes, title=title, path=path)

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """The report as one HTML file with tables and curves, written to the path if there is one; docs/report.md.

        Raises:
            ValueError: the path has no suffix of a page.
            OSError: it cannot be written.
        """
        from titans_ts.genomics.report.web_page import class_report

        return class_report(self).to_html(path)

    def _repr_html_(self) -> str:
        from titans_ts.genomics.report.web_page import class_report

        return class_report(self)._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = {
            model: {
                name: {"value": value, "low": self.low.at[model, name], "high": self.high.at[model, name]}
                for name, value in row.items()
            }
            for model, row in self.table.to_dict("index").items()
        }
        clean = None if self.clean is None else self.clean.to_dict("index")
        return {"models": found, "clean": clean, "notes": list(self.notes)}

    def __str__(self) -> str:
        shown = self.table.map("{:.3f}".format)
        first = self.table.index[0]
        shown.loc[f"{first}, 95 % from"] = [f"{value:.3f}" for value in self.low.loc[first]]
        shown.loc[f"{first}, 95 % to"] = [f"{value:.3f}" for value in self.high.loc[first]]
        if self.clean is not None:
            for model, row in self.clean.iterrows():
                shown.loc[f"{model}, clean part"] = [f"{value:.3f}" for value in row]
        return "\n".join([shown.to_string(), *self.notes])


def make_report(
    probability: FloatArray,
    linear: FloatArray | None,
    codes: list[Codes],
    test: Labels,
    train: tuple[list[Codes], Labels] | None,
) -> ClassificationReport:
    """Score a classifier and the baselines on test sequences.

    Args:
        probability: (n, K) of the classifier.
        linear: (n, K) of its linear part alone, None where it has none.
        codes: the n test sequences.
        test: their labels.
        train: training sequences and labels, by the same numbers; None where they are not known.
    """
    found = {"DNAClassifier": probability}
    if linear is not None:
        found[LINEAR] = linear
    leaked, notes, truth = None, [UNKNOWN_TRAINING], test.numbers
    if train is not None:
        found.update(_baselines(train[0], train[1], codes))
        leaked = leakage([decode(x) for x in train[0]], [decode(x) for x in codes])
        notes = leak_notes(leaked)
    metrics = class_metrics if test.task == "classes" else label_metrics
    with warnings.catch_warnings():
        # A bootstrap draw without one of the classes has no ranking metrics; it is left out of their intervals.
        warnings.simplefilter("ignore", RuntimeWarning)
        rows = {model: metrics(p, truth) for model, p in found.items()}
        ends = {model: intervals(metrics, p, truth) for model, p in found.items()}
        clean = None
        if leaked is not None and FEWEST_CLEAN <= leaked.clean.sum() < len(truth):
            clean = metrics_frame({model: metrics(p[leaked.clean], truth[leaked.clean]) for model, p in found.items()})
    table = metrics_frame(rows)
    low = metrics_frame({model: {name: pair[0] for name, pair in row.items()} for model, row in ends.items()})
    high = metrics_frame({model: {name: pair[1] for name, pair in row.items()} for model, row in ends.items()})
    notes += close_notes(table)
    return ClassificationReport(table, low, high, clean, leaked, tuple(notes), found, truth, test.classes)


def metrics_frame(rows: dict[str, dict[str, float]]) -> pd.DataFrame:
    """One row per model, one column per metric."""
    return pd.DataFrame.from_dict(rows, orient="index")


def leak_notes(leaked: LeakageReport) -> list[str]:
    """Remarks on sequences that test and training share."""
    dirty = int((~leaked.clean).sum())
    if dirty == 0:
        return []
    copies = int((leaked.verbatim | leaked.reverse).sum())
    rest = ": see the clean part" if leaked.clean.sum() >= FEWEST_CLEAN else ""
    return [
        f"{dirty} of {len(leaked.clean)} test sequences share {leaked.k} bases or more with training sequences, "
        f"{copies} of them are copies or reverse complements{rest}"
    ]


def close_notes(table: pd.DataFrame) -> list[str]:
    """Remarks on models that come close to the classifier in the first row, or surpass it."""
    ours, others = table["mcc"].iloc[0], table["mcc"].iloc[1:]
    return [
        f"{model} (MCC {value:.3f}) is {'better than' if value > ours else 'about as good as'} the classifier "
        f"({ours:.3f}): {what}"
        for model, value in others.items()
        if value > ours - CLOSE and (what := _EXPLANATIONS.get(str(model)))
    ]


_EXPLANATIONS = {
    LINEAR: "the network adds little or nothing",
    "majority": "predicting the most frequent class is enough for this score",
    "length": "sequence length is enough for this score",
    "composition": "base composition is enough for this score",
    "k-mers": "k-mer counts are enough for this score",
    "positions": "letters at fixed positions are enough for this score",
}


def _baselines(train: list[Codes], labels: Labels, codes: list[Codes]) -> dict[str, FloatArray]:
    """Probabilities (n, K) of simple models, fitted on the training sequences."""
    numbers, outputs = labels.numbers, len(labels.classes)
    targets = Targets(numbers, np.ones(len(train)), outputs, labels.task)
    share = np.bincount(numbers, minlength=outputs) / len(train) if labels.task == "classes" else numbers.mean(0)
    found = {"majority": np.tile(share, (len(codes), 1))}
    tables: dict[str, Any] = {"length": _lengths, "composition": _composition, "k-mers": KmerFeatures(7, 5, 1)}
    where = positions(train)
    if where is not None and {len(x) for x in codes} == {where.length}:
        tables["positions"] = where
    held = hold_out(related(train, None), labels.strata, 0.1, 1, 0)[0]
    rest = np.setdiff1d(np.arange(len(train)), held)
    for name, features in tables.items():
        x, test = _standardised(features, train, codes) if name in ("length", "composition") else (None, None)
        x, test = (features(train), features(codes)) if x is None else (x, test)
        chosen, _ = choose_linear(features, x[rest], targets.take(rest), x[held], targets.take(held))
        found[name] = probabilities(fit_linear(features, x, targets, chosen.inverse_penalty).outputs(test), labels.task)
    return found


def _lengths(codes: list[Codes]) -> FloatArray:
    length = np.array([len(x) for x in codes], dtype=np.float64)
    return np.stack([length, np.log(length)], axis=1)


def _composition(codes: list[Codes]) -> FloatArray:
    """Shares of A, C, G, T, N and of the pair CG."""
    shares = [np.bincount(x, minlength=5)[:5] / len(x) for x in codes]
    pairs = [((x[:-1] == 1) & (x[1:] == 2)).mean() if len(x) > 1 else 0.0 for x in codes]
    return np.concatenate([np.array(shares), np.array(pairs)[:, None]], axis=1)


def _standardised(features: Any, train: list[Codes], codes: list[Codes]) -> tuple[csr_matrix, csr_matrix]:
    x, test = features(train), features(codes)
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-9)
    # A column that is constant in training is ignored, whatever it holds in the test.
    scale = np.where(x.std(0) > 1e-9, 1 / spread, 0.0)
    return csr_matrix((x - mean) * scale, dtype=np.float32), csr_matrix((test - mean) * scale, dtype=np.float32)
