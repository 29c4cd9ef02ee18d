"""The figure of a report: ROC and precision-recall curves beside the baselines, confusion matrix, reliability.

Shapes: n test sequences, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from titans_datasets.writing import in_place_of
from titans_ts.genomics.analysis.plot import DOTS_PER_INCH, WIDTH_INCHES, check_picture
from titans_ts.genomics.report.metrics import BINS, auprc, auroc, confusion

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Most classes with curves, counts and names that are still legible.
MOST_CURVES, MOST_COUNTS, MOST_NAMES = 8, 12, 40
_OURS, _DARK, _FAINT = "#0b6e99", "#444444", "#d8d8d8"
_OTHERS = {
    "linear part alone": "#d1495b",
    "k-mers": "#e59a1a",
    "positions": "#2a9d4a",
    "composition": "#a05195",
    "length": "#888888",
}
_CLASSES = ("#0b6e99", "#d1495b", "#e59a1a", "#2a9d4a", "#a05195", "#6b4f3a", "#888888", "#17becf")


def plot_report(
    probabilities: Mapping[str, npt.ArrayLike],
    truth: npt.ArrayLike,
    classes: npt.ArrayLike,
    *,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Plot the performance of a classifier on test sequences.

    Two classes: the ROC curve and the precision-recall curve beside those of the baselines. More classes: the confusion
    matrix and the ROC curve of each class against the rest. Both: reliability, observed shares against predicted
    probabilities with 95 % (Wilson) intervals.

    Args:
        probabilities: name of a model → (n, K), the classifier first; as `ClassificationReport.probabilities`.
        truth: (n,) class numbers.
        classes: (K,) names.
        title: above the figure.
        path: file to write (png, svg, pdf, jpg, webp); readers see the old file or the whole new one.

    Returns:
        The figure, 1200 pixels wide.

    Raises:
        ValueError: no model, probabilities of another shape, several labels per sequence, or an unknown suffix.
    """
    check_picture(path)
    numbers, names = np.asarray(truth), [str(name) for name in np.asarray(classes).tolist()]
    found = {name: np.asarray(p, dtype=np.float64) for name, p in probabilities.items()}
    _check(found, numbers, names)
    ours = next(iter(found.values()))
    figure = Figure(figsize=(WIDTH_INCHES, 4.3 if len(names) == 2 else 4.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    if len(names) == 2:
        positive = numbers == 1
        _curves(left, middle, {name: p[:, 1] for name, p in found.items()}, positive, names[1])
        _reliability(right, ours[:, 1], positive, f"predicted probability of {_short(names[1])}")
    else:
        table = confusion(numbers, ours.argmax(1), len(names))
        _matrix(figure, left, table, names)
        _class_curves(middle, ours, numbers, names)
        _reliability(right, ours.max(1), ours.argmax(1) == numbers, "probability of the predicted class")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color="#222222")
    if path is not None:
        with in_place_of(path) as beside:
            figure.savefig(beside, dpi=DOTS_PER_INCH)
    return figure


def _check(found: dict[str, FloatArray], numbers: IntArray, names: list[str]) -> None:
    if not found:
        raise ValueError("probabilities must hold at least one model, got none")
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"truth must be (n,) class numbers, one class per sequence, got shape {numbers.shape}")
    for name, p in found.items():
        if p.shape != (len(numbers), len(names)):
            raise ValueError(f"probabilities of {name} must be ({len(numbers)}, {len(names)}), got shape {p.shape}")


def roc_points(truth: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """False and true positive rates (m,), from (0, 0) to (1, 1), a point per distinct score."""
    hits, called = _passed(truth, score)
    return (called - hits) / max(float((~truth).sum()), 1.0), hits / max(float(truth.sum()), 1.0)


def precision_points(truth: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Recall and precision (m,), a point per distinct score."""
    hits, called = _passed(truth, score)
    return hits[1:] / max(float(truth.sum()), 1.0), hits[1:] / called[1:]


def _passed(truth: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Numbers of positives and of all sequences with at least each distinct score, from none on."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits = np.cumsum(truth[order])[last]
    return np.append(0.0, hits), np.append(0.0, last + 1.0)


def _curves(left: Axes, right: Axes, scores: dict[str, FloatArray], positive: BoolArray, name: str) -> None:
    """ROC and precision-recall of every model; the first one, the classifier, is on top."""
    left.plot([0, 1], [0, 1], color=_FAINT, linewidth=1)
    share = float(positive.mean())
    right.axhline(share, color=_FAINT, linewidth=1)
    place: dict[str, Any] = {"xytext": (0, -3), "textcoords": "offset points", "ha": "right", "va": "top"}
    right.annotate(f"chance {share:.2f}", (1.0, share), fontsize=8, color=_DARK, **place)
    first = next(iter(scores))
    for model, score in scores.items():
        ours = model == first
        if not ours and np.ptp(score) == 0:
            # A constant score is chance.
            continue
        style: dict[str, Any] = {
            "color": _OURS if ours else _OTHERS.get(model, "#888888"),
            "linewidth": 2.4 if ours else 1.2,
            "zorder": 3 if ours else 2,
        }
        left.plot(*roc_points(positive, score), label=f"{model}  {auroc(positive, score):.3f}", **style)
        recall, precision = precision_points(positive, score)
        label = f"{model}  {auprc(positive, score):.3f}"
        right.step(np.append(0, recall), np.append(precision[:1], precision), where="pre", label=label, **style)
    _square(left, f"true positive rate of {_short(name)}", "false positive rate", "ROC")
    _square(right, "precision", f"recall of {_short(name)}", "Precision and recall")
    _legend(left, "area", "lower right")
    _legend(right, "average precision", "lower left")


def _class_curves(panel: Axes, probability: FloatArray, numbers: IntArray, names: list[str]) -> None:
    """ROC of the most frequent classes against the rest."""
    panel.plot([0, 1], [0, 1], color=_FAINT, linewidth=1)
    counts = np.bincount(numbers, minlength=len(names))
    shown = np.sort(np.argsort(-counts, kind="stable")[:MOST_CURVES])
    for colour, place in zip(_CLASSES, (k for k in shown if 0 < counts[k] < len(numbers)), strict=False):
        positive, score = numbers == place, probability[:, place]
        label = f"{_short(names[place])}  {auroc(positive, score):.3f}"
        panel.plot(*roc_points(positive, score), color=colour, linewidth=1.8, label=label)
    what = "each class" if len(names) <= MOST_CURVES else f"the {MOST_CURVES} most frequent classes"
    _square(panel, "true positive rate", "false positive rate", f"ROC of {what}")
    _legend(panel, "area", "lower right")


def _matrix(figure: Figure, panel: Axes, table: FloatArray, names: list[str]) -> None:
    """Counts; colours are shares of the true class."""
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    image = panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= MOST_COUNTS:
        for (row, column), count in np.ndenumerate(table):
            colour = "white" if share[row, column] > 0.6 else _DARK
            panel.text(column, row, f"{count:,.0f}", ha="center", va="center", color=colour, fontsize=9)
    if len(names) <= MOST_NAMES:
        places, shown = range(len(names)), [_short(name) for name in names]
        wide = sum(map(len, shown)) > 24
        panel.set_xticks(places, shown, rotation=45 if wide else 0, ha="right" if wide else "center")
        panel.set_yticks(places, shown)
    panel.set_xlabel("predicted", color=_DARK, fontsize=9)
    panel.set_ylabel("true", color=_DARK, fontsize=9)
    panel.set_title("Counts", loc="left", fontsize=10, color=_DARK)
    panel.tick_params(colors=_DARK, labelsize=9, length=0)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panel, fraction=0.045, pad=0.02)
    bar.set_label("share of the true class", color=_DARK, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=_DARK)


def _reliability(panel: Axes, probability: FloatArray, hit: BoolArray, what: str) -> None:
    """Observed shares in ten bins of probability; grey bars are the numbers of sequences."""
    mean, share, low, high, count = reliability(probability, hit)
    heights = 0.25 * count / count.max()
    panel.bar((np.arange(BINS) + 0.5) / BINS, heights, width=0.9 / BINS, color="#e8e8e8")
    panel.plot([0, 1], [0, 1], color=_FAINT, linewidth=1)
    errors = np.maximum([share - low, high - share], 0)
    panel.errorbar(mean, share, errors, fmt="o", color=_OURS, markersize=5, elinewidth=1.2, capsize=0)
    _square(panel, "observed share", what, f"Reliability (bars: sequences, {len(hit):,} in total)")


def reliability(
    probability: FloatArray, hit: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
    """Mean probability, observed share and the ends of its 95 % interval in the bins with sequences; counts of all."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    there = count > 0
    mean = np.bincount(place, probability, minlength=BINS)[there] / count[there]
    share = np.bincount(place, hit, minlength=BINS)[there] / count[there]
    return mean, share, *_wilson(share, count[there]), count


def _wilson(share: FloatArray, count: IntArray) -> tuple[FloatArray, FloatArray]:
    """95 % intervals of shares."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


def _square(panel: Axes, vertical: str, horizontal: str, title: str) -> None:
    panel.set_xlim(-0.01, 1.01)
    panel.set_ylim(-0.01, 1.03)
    panel.set_aspect("equal")
    panel.set_xlabel(horizontal, color=_DARK, fontsize=9)
    panel.set_ylabel(vertical, color=_DARK, fontsize=9)
    panel.set_title(title, loc="left", fontsize=10, color=_DARK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_FAINT)
    panel.tick_params(colors=_DARK, labelsize=9)


def _legend(panel: Axes, title: str, place: Literal["lower left", "lower right"]) -> None:
    legend = panel.legend(title=title, loc=place, fontsize=8, frameon=True, framealpha=0.85, edgecolor="none")
    legend.get_title().set_fontsize(8)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
