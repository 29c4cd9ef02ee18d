"""RegressionReport: correlations and errors of a regressor with intervals, beside baselines.

Shapes: n test sequences, T bases of one, K targets, R rows (sequences, or bases).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from titans_datasets.dna.alphabet import Codes, decode
from titans_datasets.dna.leakage import leakage
from titans_datasets.dna.leakage.report import LeakageReport
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import Features, KmerFeatures
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.regression.targets import FloatArray, TargetScale, Values
from titans_ts.genomics.report.classes import LINEAR
from titans_ts.genomics.training.holdout import hold_out, related

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IntArray = npt.NDArray[np.int64]
METRICS = ("pearson", "spearman", "r2", "mse")
DRAWS, TAILS = 1000, (0.025, 0.975)
UNKNOWN_TRAINING = "training sequences are not known: no baselines; pass train=(X, y)"
# A difference in Pearson's correlation that is worth a note.
CLOSE = 0.02
# What the baseline "k-mer ridge" chooses from.
KMERS = tuple(KmerFeatures(k, k, strands) for k in (2, 3, 4, 5, 6) for strands in (1, 2))
HELD_OUT = 0.1
# Inverse penalty of one or two columns: as good as none.
FREE = 1000.0


@dataclass(frozen=True)
class RegressionReport:
    """Metrics of a regressor on test sequences; printed, it is a table.

    Attributes:
        table: one row per model, one column per metric, means over targets. Rows: "DNARegressor"; "linear part alone",
            its ridge regressions without the network, where it has them; then baselines.
        low, high: ends of the 95 % bootstrap intervals, shaped as `table`.
        by_target: as `table`, with rows (target, model).
        notes: remarks on baselines that are about as good.
        predictions: model → (R, K).
        truth: (R, K) targets.
        names: (K,) of the targets.
        lengths: (n,) bases of the test sequences, where bases have the targets; None where sequences have them.
    """

    table: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    by_target: pd.DataFrame
    notes: tuple[str, ...]
    predictions: dict[str, FloatArray] = field(repr=False)
    truth: FloatArray = field(repr=False)
    names: list[Any]
    lengths: tuple[int, ...] | None = None

    def plot(self, path: str | PathLike[str] | None = None, *, title: str | None = None) -> Figure:
        """Predictions against truth, a panel for each target, written to the path if there is one.

        Raises:
            ValueError: the path has no suffix of a picture.
        """
        from titans_ts.genomics.report.value_plot import plot_values

        return plot_values(self.predictions["DNARegressor"], self.truth, self.names, title=title, path=path)

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """The report as one HTML file with tables and pictures, written to the path if there is one; docs/report.md.

        Raises:
            ValueError: the path has no suffix of a page.
            OSError: it cannot be written.
        """
        from titans_ts.genomics.regression.web_page import value_report

        return value_report(self).to_html(path)

    def _repr_html_(self) -> str:
        from titans_ts.genomics.regression.web_page import value_report

        return value_report(self)._repr_html_()

    def to_frame(self, ids: Sequence[str]) -> pd.DataFrame:
        """A row per sequence, or per base (position from 0): id, targets, predicted targets."""
        ours, names = self.predictions["DNARegressor"], [str(name) for name in self.names]
        found = pd.DataFrame({"id": list(ids)})
        if self.lengths is not None:
            found = found.loc[np.repeat(found.index, self.lengths)].reset_index(drop=True)
            found["position"] = np.concatenate([np.arange(length) for length in self.lengths])
        found[names] = self.truth
        found[[f"predicted {name}" for name in names]] = ours
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        models = {
            model: {
                name: {"value": value, "low": self.low.at[model, name], "high": self.high.at[model, name]}
                for name, value in row.items()
            }
            for model, row in self.table.to_dict("index").items()
        }
        targets: dict[str, dict[str, Any]] = {str(name): {} for name in self.names}
        for (name, model), row in zip(self.by_target.index, self.by_target.to_dict("records"), strict=True):
            targets[str(name)][model] = row
        return {"models": models, "targets": targets, "notes": list(self.notes)}

    def __str__(self) -> str:
        shown = self.table.map("{:.4g}".format)
        first = self.table.index[0]
        for end, frame in (("from", self.low), ("to", self.high)):
            shown.loc[f"{first}, 95 % {end}"] = [f"{value:.4g}" for value in frame.loc[first]]
        if len(self.names) > 1:
            for name in self.names:
                shown.loc[f"{first}, {name}"] = [f"{value:.4g}" for value in self.by_target.loc[(name, first)]]
        return "\n".join([shown.to_string(), *self.notes])


def make_value_report(
    predicted: FloatArray | Sequence[FloatArray],
    linear: FloatArray | None,
    codes: list[Codes],
    test: Values,
    train: tuple[list[Codes], Values] | None,
) -> RegressionReport:
    """Score a regressor and the baselines on test sequences.

    Args:
        predicted: (n, K) of the regressor, or n arrays (T, K) of bases.
        linear: (n, K) of its linear part alone, None where it has none.
        codes: the n test sequences.
        test: their targets.
        train: training sequences and targets; None where they are not known.
    """
    per_base = isinstance(test.numbers, list)
    found = {"DNARegressor": np.concatenate(list(predicted)) if per_base else np.asarray(predicted)}
    if linear is not None:
        found[LINEAR] = linear
    notes = [UNKNOWN_TRAINING]
    if train is not None:
        found.update(_base_mean(train[1], codes) if per_base else value_baselines(train[0], train[1], codes))
        notes = _leak_notes(leakage([decode(x) for x in train[0]], [decode(x) for x in codes]))
    lengths = tuple(len(x) for x in codes) if per_base else None
    return scored(found, test.flat, test.names, lengths, notes)


def scored(
    found: dict[str, FloatArray],
    truth: FloatArray,
    names: list[Any],
    lengths: tuple[int, ...] | None = None,
    notes: Sequence[str] = (),
) -> RegressionReport:
    """The report of predictions.

    Args:
        found: model → (R, K).
        truth: (R, K).
        names: (K,) of the targets.
        lengths: (n,) bases of the sequences where rows are bases; None where they are sequences.
        notes: to be followed by remarks on baselines.
    """
    owner = np.arange(len(truth)) if lengths is None else np.repeat(np.arange(len(lengths)), lengths)
    table, low, high, rows = {}, {}, {}, {}
    for model, each in found.items():
        columns = [value_metrics(each[:, k], truth[:, k]) for k in range(truth.shape[1])]
        rows.update({(name, model): one for name, one in zip(names, columns, strict=True)})
        table[model] = {metric: _mean([one[metric] for one in columns]) for metric in METRICS}
        low[model], high[model] = value_intervals(each, truth, owner)
    by_target = pd.DataFrame.from_records(list(rows.values()))
    by_target.index = pd.MultiIndex.from_tuples(rows, names=["target", "model"])
    values, lower, upper = (pd.DataFrame.from_dict(one, orient="index") for one in (table, low, high))
    told = (*notes, *_close_notes(values))
    return RegressionReport(values, lower, upper, by_target, told, found, truth, names, lengths)


def pooled(reports: Sequence[RegressionReport], parts: Sequence[IntArray]) -> RegressionReport:
    """One report of all folds of a cross-validation: each sequence is predicted by the model that has not seen it.

    Args:
        reports: of the folds.
        parts: places of the test sequences of each fold, together 0 … n − 1.
    """
    order = np.argsort(np.concatenate(parts))
    models = [name for name in reports[0].predictions if all(name in one.predictions for one in reports)]
    each = [length for one in reports for length in one.lengths or ()]
    place, lengths = order, None
    if each:
        lengths, starts = tuple(each[i] for i in order), np.cumsum([0, *each])
        place = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
    found = {name: np.concatenate([one.predictions[name] for one in reports])[place] for name in models}
    truth = np.concatenate([one.truth for one in reports])[place]
    return scored(found, truth, reports[0].names, lengths)


def _leak_notes(leaked: LeakageReport) -> list[str]:
    dirty, copies = int((~leaked.clean).sum()), int((leaked.verbatim | leaked.reverse).sum())
    if not dirty:
        return []
    return [
        f"{dirty} of {len(leaked.clean)} test sequences share {leaked.k} bases or more with training sequences, "
        f"{copies} of them are copies or reverse complements: scores of new sequences will be lower"
    ]


def value_metrics(predicted: FloatArray, truth: FloatArray) -> dict[str, float]:
    """Pearson, Spearman, R² and MSE of numbers (R,); a correlation with what does not vary is NaN."""
    ranks = rankdata(predicted), rankdata(truth)
    units = np.ones((1, len(truth)))
    pearson = _correlations(units, _moments(predicted, truth))
    spearman = _correlations(units, _moments(*ranks))
    error = float(((predicted - truth) ** 2).mean())
    explained = 1 - error / max(float(truth.var()), 1e-300)
    return {"pearson": float(pearson[0]), "spearman": float(spearman[0]), "r2": explained, "mse": error}


def value_intervals(
    predicted: FloatArray, truth: FloatArray, owner: IntArray, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Ends of the 95 % percentile bootstrap intervals of the metrics' means over targets.

    Sequences are drawn, with all of their bases. Spearman's correlation is drawn with the ranks of all rows. With a
    single sequence there is nothing to draw, and the ends are NaN.

    Args:
        predicted, truth: (R, K).
        owner: (R,) sequence of each row, ascending from 0.
        seed: of the draws.
    """
    n = int(owner[-1]) + 1
    if n == 1:
        nothing = dict.fromkeys(METRICS, float("nan"))
        return nothing, dict(nothing)
    starts = np.searchsorted(owner, np.arange(n))
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
    each: dict[str, list[FloatArray]] = {metric: [] for metric in METRICS}
    for k in range(truth.shape[1]):
        x, y = predicted[:, k], truth[:, k]
        sums = np.add.reduceat(_moments(x, y), starts)
        each["pearson"].append(_correlations(draws, sums))
        each["spearman"].append(_correlations(draws, np.add.reduceat(_moments(rankdata(x), rankdata(y)), starts)))
        count, total, square = (draws @ sums[:, place] for place in (0, 2, 4))
        error = draws @ np.add.reduceat((x - y) ** 2, starts) / count
        each["mse"].append(error)
        centred = square / count - (total / count) ** 2
        each["r2"].append(1 - error / np.maximum(centred, 1e-300))
    ends: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for metric, columns in each.items():
        values = np.mean(columns, axis=0)
        values = values[np.isfinite(values)]
        for end, tail in zip(ends, TAILS, strict=True):
            end[metric] = float(np.quantile(values, tail)) if len(values) else float("nan")
    return ends


def _moments(x: FloatArray, y: FloatArray) -> FloatArray:
    """(R, 6): 1, x, y, x², y², xy of centred numbers."""
    x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _correlations(draws: FloatArray, moments: FloatArray) -> FloatArray:
    """Pearson's correlation of each draw: counts (D, n) of units with moments (n, 6) → (D,), NaN without spread."""
    count, x, y, xx, yy, xy = (draws @ moments).T
    both = np.maximum(xx - x * x / count, 0) * np.maximum(yy - y * y / count, 0)
    known = both > 1e-12 * np.maximum(xx * yy, 1e-300)
    return np.where(known, (xy - x * y / count) / np.sqrt(np.where(known, both, 1.0)), np.nan)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _close_notes(table: pd.DataFrame) -> list[str]:
    """Remarks on models that come close to the regressor in the first row, or surpass it."""
    ours = table["pearson"].iloc[0]
    return [
        f"{model} (Pearson {value:.3f}) is {'better than' if value > ours else 'about as good as'} the regressor "
        f"({ours:.3f}): {_EXPLANATIONS[str(model)]}"
        for model, value in table["pearson"].iloc[1:].items()
        if value > ours - CLOSE
    ]


_EXPLANATIONS = {
    LINEAR: "the network adds little or nothing",
    "mean": "the mean is enough for this score",
    "length": "sequence length is enough for this score",
    "GC": "the share of G and C is enough for this score",
    "k-mer ridge": "k-mer counts are enough for this score",
}


def _base_mean(train: Values, codes: list[Codes]) -> dict[str, FloatArray]:
    return {"mean": np.tile(train.flat.mean(0), (sum(len(x) for x in codes), 1))}


def value_baselines(train: list[Codes], values: Values, codes: list[Codes]) -> dict[str, FloatArray]:
    """Predictions (n, K) of simple models: the mean, ridge regressions on length and on the share of G and C, and
    `ridge_of` k-mer counts."""
    scale = TargetScale.of(values, "mse", False)
    targets = Targets(scale.learned(values.numbers), np.ones(len(train)), len(values.names), "mse")
    found = {"mean": np.tile(values.numbers.mean(0), (len(codes), 1))}
    for name, read in (("length", _lengths), ("GC", _gc)):
        x, test = _standardised(read(train), read(codes))
        # The fitted model is only applied to such columns, never to sequences.
        found[name] = scale.targets(fit_linear(KmerFeatures(1, 1, 1), x, targets, FREE).outputs(test))
    found["k-mer ridge"] = ridge_of(KMERS, train, values, codes)[0]
    return found


def ridge_of(
    candidates: Sequence[Features],
    train: list[Codes],
    values: Values,
    codes: list[Codes],
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> tuple[FloatArray, float]:
    """Predictions (n, K) of a ridge regression, and its squared error (of standardised targets) on a held-out tenth.

    Features and penalty are the best on the held-out tenth; then it is fitted on all.

    Args:
        candidates: features to choose from.
        train, values: sequences and targets to learn from.
        codes: n sequences.
        seed: of the held-out tenth.
        groups: of the training sequences, see `related`.
    """
    scale = TargetScale.of(values, "mse", False)
    targets = Targets(scale.learned(values.numbers), np.ones(len(train)), len(values.names), "mse")
    everything = np.arange(len(train))
    try:
        held = hold_out(related(train, groups), values.strata(), HELD_OUT, 1, seed)[0]
        rest = np.setdiff1d(everything, held)
    except ValueError:
        # Too few sequences to hold some out: the choice is made on all.
        held = rest = everything
    tried = []
    for features in candidates:
        x = features(train)
        chosen, loss = choose_linear(features, x[rest], targets.take(rest), x[held], targets.take(held))
        tried.append((loss, features, chosen.inverse_penalty, x))
    loss, features, penalty, x = min(tried, key=lambda one: one[0])
    return scale.targets(fit_linear(features, x, targets, penalty)(codes)), loss


def _lengths(codes: list[Codes]) -> FloatArray:
    length = np.array([len(x) for x in codes], dtype=np.float64)
    return np.stack([length, np.log(length)], axis=1)


def _gc(codes: list[Codes]) -> FloatArray:
    return np.array([[((x == 1) | (x == 2)).mean()] for x in codes])


def _standardised(x: FloatArray, test: FloatArray) -> tuple[csr_matrix, csr_matrix]:
    # A column that is constant in training is ignored, whatever it holds in the test.
    mean, scale = x.mean(0), np.where(x.std(0) > 1e-9, 1 / np.maximum(x.std(0), 1e-9), 0.0)
    learned, tested = ((part - mean) * scale for part in (x, test))
    return csr_matrix(learned, dtype=np.float32), csr_matrix(tested, dtype=np.float32)
