"""Metrics of classifiers in NumPy, fast enough to be computed a thousand times for bootstrap intervals.

Shapes: n sequences, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BINS = 10
TINY = 1e-7


def confusion(truth: IntArray, found: IntArray, classes: int) -> FloatArray:
    """Counts (K, K): rows are the true classes, columns the predicted ones."""
    counts = np.bincount(truth * classes + found, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.float64)


def matthews(table: FloatArray) -> float:
    """Matthews' correlation coefficient of a confusion table; 0 where only one class is true or predicted."""
    total, right = table.sum(), np.trace(table)
    true, found = table.sum(1), table.sum(0)
    spread = (total**2 - (true**2).sum()) * (total**2 - (found**2).sum())
    return float((right * total - true @ found) / np.sqrt(spread)) if spread > 0 else 0.0


def balanced_accuracy(table: FloatArray) -> float:
    """Mean recall over the classes that occur."""
    true = table.sum(1)
    return float((np.diag(table)[true > 0] / true[true > 0]).mean())


def f1(table: FloatArray) -> float:
    """F1 of the second of two classes; the mean over the classes that occur where there are more."""
    both = table.sum(0) + table.sum(1)
    each = 2 * np.diag(table) / np.maximum(both, 1)
    return float(each[1]) if len(table) == 2 else float(each[both > 0].mean())


def auroc(truth: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Share of (positive, negative) pairs in the right order, ties count half; NaN if one of the two is missing."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    if positive == 0 or negative == 0:
        return float("nan")
    return float((rankdata(score)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def auprc(truth: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Average precision; NaN without a positive."""
    positive = int(truth.sum())
    if positive == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits, ordered = np.cumsum(truth[order]), score[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    gained = np.diff(np.concatenate([[0], hits[last]])) / positive
    return float((gained * hits[last] / (last + 1)).sum())


def calibration_error(right: npt.NDArray[np.bool_], confidence: FloatArray) -> float:
    """Expected calibration error over ten bins of confidence."""
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(place, right.astype(np.float64) - confidence, minlength=BINS)
    return float(np.abs(gap).sum() / len(right))


def class_metrics(probability: FloatArray, truth: IntArray) -> dict[str, float]:
    """All metrics of classes that exclude each other.

    Args:
        probability: (n, K).
        truth: (n,) class numbers.
    """
    classes, found = probability.shape[1], probability.argmax(1)
    table = confusion(truth, found, classes)
    ranked = [1] if classes == 2 else range(classes)
    return {
        "accuracy": float(np.trace(table) / table.sum()),
        "balanced_accuracy": balanced_accuracy(table),
        "mcc": matthews(table),
        "f1": f1(table),
        "auroc": _mean(auroc(truth == k, probability[:, k]) for k in ranked),
        "auprc": _mean(auprc(truth == k, probability[:, k]) for k in ranked),
        "log_loss": float(-np.log(np.maximum(probability[np.arange(len(truth)), truth], TINY)).mean()),
        "calibration_error": calibration_error(found == truth, probability.max(1)),
    }


def label_metrics(probability: FloatArray, truth: IntArray) -> dict[str, float]:
    """Means over labels that do not exclude each other; accuracy is the share of sequences with all labels right.

    Args:
        probability, truth: (n, K).
    """
    each = [
        class_metrics(np.stack([1 - probability[:, k], probability[:, k]], axis=1), truth[:, k])
        for k in range(probability.shape[1])
    ]
    means = {name: _mean(one[name] for one in each) for name in each[0]}
    return {**means, "accuracy": float(((probability > 0.5) == truth).all(1).mean())}


def _mean(values: object) -> float:
    found = np.array(list(values), dtype=np.float64)  # type: ignore[call-overload]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def intervals(
    metrics: Callable[[FloatArray, IntArray], dict[str, float]],
    probability: FloatArray,
    truth: IntArray,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of every metric over the sequences."""
    random = np.random.default_rng(seed)
    drawn = [metrics(probability[rows], truth[rows]) for rows in random.integers(0, len(truth), (draws, len(truth)))]
    tails = ((1 - level) / 2, (1 + level) / 2)
    found = {}
    for name in drawn[0]:
        values = np.array([one[name] for one in drawn])
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, tails) if len(values) else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found
