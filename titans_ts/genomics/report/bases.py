"""Reports of classifiers of bases: metrics with intervals over sequences, beside baselines.

Shapes: n test sequences, T bases of one, R bases of all of them, K classes, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import Codes, N, decode
from titans_datasets.dna.leakage import leakage
from titans_ts.genomics.inputs import Labels
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.linear.choice import choose_linear
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.model import LinearModel
from titans_ts.genomics.report.classes import (
    FEWEST_CLEAN,
    UNKNOWN_TRAINING,
    ClassificationReport,
    close_notes,
    leak_notes,
    metrics_frame,
)
from titans_ts.genomics.report.metrics import FloatArray, IntArray, auroc, balanced_accuracy, confusion, matthews
from titans_ts.genomics.training.holdout import hold_out, related

# Half a window of the baselines, in bases: 20 codons on either side.
AROUND = 60
# Most training bases of a baseline, drawn from all sequences.
LEARNED_BASES = 20_000
DRAWS, TAILS = 500, (0.025, 0.975)
# Bins of the scores from which the intervals of AUROC are computed.
STEPS = 256
TINY = 1e-7
# Longer sequences are counted in segments of this many bases: 192 counts per base.
SEGMENT = 20_000


def make_base_report(
    probability: Sequence[FloatArray],
    codes: list[Codes],
    test: Labels,
    train: tuple[list[Codes], Labels] | None,
) -> ClassificationReport:
    """Score a classifier of bases and the baselines on test sequences.

    Args:
        probability: n arrays (T, K) of the classifier.
        codes: the n test sequences.
        test: their labels, n arrays (T,).
        train: training sequences and labels, by the same numbers; None where they are not known.

    Returns:
        One row per model; the bootstrap draws sequences, all bases of one together. `probabilities` and `truth` hold
        the bases of all sequences one after another.
    """
    truth, classes = test.numbers, test.classes
    found: dict[str, Sequence[FloatArray]] = {"DNAClassifier": probability}
    leaked, notes = None, [UNKNOWN_TRAINING]
    if train is not None:
        found.update(base_baselines(train[0], train[1], codes, len(classes)))
        leaked = leakage([decode(x) for x in train[0]], [decode(x) for x in codes])
        notes = leak_notes(leaked)
    names = [f"f1 {name}" for name in classes.tolist()]
    rows, low, high = {}, {}, {}
    for model, each in found.items():
        rows[model] = base_metrics(np.concatenate(each), np.concatenate(truth), names)
        low[model], high[model] = base_intervals(each, truth, names)
    clean = None
    if leaked is not None and FEWEST_CLEAN <= leaked.clean.sum() < len(truth):
        kept = np.flatnonzero(leaked.clean).tolist()
        true = np.concatenate([truth[i] for i in kept])
        clean = metrics_frame(
            {model: base_metrics(np.concatenate([each[i] for i in kept]), true, names) for model, each in found.items()}
        )
    table = metrics_frame(rows)
    notes += close_notes(table)
    flat = {model: np.concatenate(each) for model, each in found.items()}
    ends = metrics_frame(low), metrics_frame(high)
    return ClassificationReport(table, *ends, clean, leaked, tuple(notes), flat, np.concatenate(truth), classes)


def base_metrics(probability: FloatArray, truth: IntArray, names: Sequence[str]) -> dict[str, float]:
    """All metrics over bases; AUROC is the mean over the classes that occur, each against the others.

    Args:
        probability: (R, K).
        truth: (R,) class numbers.
        names: (K,) of the columns with the F1 of each class.
    """
    places = np.arange(len(truth))
    ranks = [auroc(truth == k, probability[:, k]) for k in range(probability.shape[1])]
    loss = -np.log(np.maximum(probability[places, truth], TINY)).mean()
    table = confusion(truth, probability.argmax(1), probability.shape[1])
    return _named(table, _mean(ranks), float(loss), names)


def _named(table: FloatArray, ranks: float, loss: float, names: Sequence[str]) -> dict[str, float]:
    both = table.sum(0) + table.sum(1)
    f1 = np.where(both > 0, 2 * np.diag(table) / np.maximum(both, 1), np.nan)
    return {
        "accuracy": float(np.trace(table) / table.sum()),
        "balanced_accuracy": balanced_accuracy(table),
        "mcc": matthews(table),
        "auroc": ranks,
        "log_loss": loss,
        **dict(zip(names, f1.tolist(), strict=True)),
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def base_intervals(
    probability: Sequence[FloatArray], truth: Sequence[IntArray], names: Sequence[str], seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Ends of the 95 % percentile bootstrap intervals: sequences are drawn, with all of their bases.

    Bases of one sequence are not independent: drawing bases would make the intervals far too narrow. AUROC is computed
    from scores in 256 bins. With a single sequence there is nothing to draw, and the ends are NaN.
    """
    if len(truth) == 1:
        nothing = dict.fromkeys(base_metrics(probability[0], truth[0], names), float("nan"))
        return nothing, nothing
    n, classes = len(truth), probability[0].shape[1]
    tables = np.stack([confusion(t, p.argmax(1), classes) for p, t in zip(probability, truth, strict=True)])
    losses = np.array(
        [-np.log(np.maximum(p[np.arange(len(t)), t], TINY)).sum() for p, t in zip(probability, truth, strict=True)]
    )
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
    drawn = (draws @ tables.reshape(n, -1)).reshape(DRAWS, classes, classes)
    ranks = np.stack([_drawn_auroc(draws, probability, truth, k) for k in range(classes)], axis=1)
    loss = draws @ losses / drawn.sum((1, 2))
    each = [_named(drawn[i], _mean(ranks[i].tolist()), float(loss[i]), names) for i in range(DRAWS)]
    ends: list[dict[str, float]] = [{}, {}]
    for name in each[0]:
        values = np.array([one[name] for one in each])
        values = values[np.isfinite(values)]
        for end, tail in zip(ends, TAILS, strict=True):
            end[name] = float(np.quantile(values, tail)) if len(values) else float("nan")
    return ends[0], ends[1]


def _drawn_auroc(draws: FloatArray, probability: Sequence[FloatArray], truth: Sequence[IntArray], k: int) -> FloatArray:
    """(draws,) AUROC of class k against the others; NaN where a draw lacks one of them."""
    scores = np.concatenate([p[:, k] for p in probability])
    borders = np.unique(np.quantile(scores, np.arange(1, STEPS) / STEPS))
    counts = np.zeros((2, len(truth), len(borders) + 1))
    for row, (p, t) in enumerate(zip(probability, truth, strict=True)):
        place = np.searchsorted(borders, p[:, k], side="right")
        for side, chosen in enumerate((t != k, t == k)):
            counts[side, row] = np.bincount(place[chosen], minlength=len(borders) + 1)
    negative, positive = draws @ counts[0], draws @ counts[1]
    below = negative.cumsum(1) - negative / 2
    pairs = negative.sum(1) * positive.sum(1)
    return np.where(pairs > 0, (positive * below).sum(1) / np.maximum(pairs, 1), np.nan)


def base_baselines(train: list[Codes], labels: Labels, codes: list[Codes], classes: int) -> dict[str, list[FloatArray]]:
    """Probabilities (T, K) of simple models.

    "majority": the classes' shares in training. "composition": logistic regression on the shares of A, C, G, T in the
    121 bases around. "k-mers": the same on the shares of the 64 3-mers there, counted separately in each of the three
    frames: how far periodicity alone identifies coding bases.
    """
    share = np.bincount(np.concatenate(labels.numbers), minlength=classes).astype(np.float64)
    found = {"majority": [np.tile(share / share.sum(), (len(x), 1)) for x in codes]}
    borders = np.cumsum([0, *map(len, train)])
    chosen = np.sort(np.random.default_rng(0).permutation(borders[-1])[:LEARNED_BASES])
    owner = np.searchsorted(borders, chosen, side="right") - 1
    numbers = np.concatenate(labels.numbers)[chosen]
    targets = Targets(numbers, np.ones(len(numbers)), classes, "classes")
    held = np.isin(owner, hold_out(related(train, None), labels.strata, 0.1, 1, 0)[0]) if len(train) > 1 else None
    for name, features in (("composition", WindowCounts(1)), ("k-mers", WindowCounts(3))):
        x = np.concatenate([features.at(train[i], chosen[owner == i] - borders[i]) for i in np.unique(owner)])
        mean, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        fitted = _fitted(csr_matrix((x - mean) / spread), targets, held)
        found[name] = [
            np.concatenate(
                [probabilities(fitted.outputs(csr_matrix((part - mean) / spread)), "classes") for part in features(one)]
            )
            for one in codes
        ]
    return found


def _fitted(x: csr_matrix, targets: Targets, held: npt.NDArray[np.bool_] | None) -> LinearModel:
    """A logistic regression, its penalty chosen on bases of held-out sequences (of a single one: its last fifth)."""
    if held is None or not 0 < held.sum() < len(held):
        held = np.arange(x.shape[0]) >= 0.8 * x.shape[0]
    part, rest = np.flatnonzero(held), np.flatnonzero(~held)
    # The model is only applied to such columns, never to sequences.
    features: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found, _ = choose_linear(features, x[rest], targets.take(rest), x[part], targets.take(part))
    return found


class WindowCounts:
    """Shares of k-mers in the bases around each base, counted separately by frame.

    Args:
        k: letters of a k-mer; for k > 1 there are three frames: k-mers that begin 0, 1 or 2 bases (modulo 3) after the
            base itself.
    """

    def __init__(self, k: int) -> None:
        self.k, self.frames = k, 1 if k == 1 else 3

    def __call__(self, codes: Codes) -> Iterator[npt.NDArray[np.float32]]:
        """Codes (T,) → segments of (T, F), F = 4^k · frames. k-mers with N or past an end are not counted."""
        margin = AROUND + self.k
        for start in range(0, len(codes), SEGMENT):
            left = max(start - margin, 0)
            counts = self._counted(codes[left : start + SEGMENT + margin])
            yield counts[start - left : start - left + min(SEGMENT, len(codes) - start)]

    def at(self, codes: Codes, places: IntArray) -> npt.NDArray[np.float32]:
        """Only the rows of some bases, in order."""
        segments = enumerate(self(codes))
        return np.concatenate([x[places[places // SEGMENT == i] - i * SEGMENT] for i, x in segments])

    def _counted(self, codes: Codes) -> npt.NDArray[np.float32]:
        length, kmers, step = len(codes), N**self.k, self.frames
        found = np.zeros((length, kmers * step), dtype=np.float32)
        if length < self.k:
            return found
        letters = np.lib.stride_tricks.sliding_window_view(codes, self.k).astype(np.int64)
        number = letters @ N ** np.arange(self.k)[::-1]
        known = np.flatnonzero((letters < N).all(1))
        # Sums along each frame: row t + step counts the k-mers that begin at t, t − step, t − 2·step …
        total = np.zeros((length + step, kmers), dtype=np.float32)
        total[known + step, number[known]] = 1
        for frame in range(step):
            total[frame::step] = total[frame::step].cumsum(0)
        place = np.arange(length)
        for frame in range(step):
            last, first = _ends(place, frame, step, length)
            found[:, frame * kmers : (frame + 1) * kmers] = total[last + step] - total[first]
        found /= 2 * AROUND // step + 1
        return found


def _ends(place: IntArray, frame: int, step: int, length: int) -> tuple[IntArray, IntArray]:
    """Of each base the last and the first start of a k-mer of this frame in its window.

    Starts are ≡ base + frame modulo `step`, between base − AROUND and base + AROUND, and within the sequence.
    """
    last = place + (AROUND - frame) // step * step + frame
    last -= np.maximum(-(-(last - length + 1) // step), 0) * step
    first = place - (AROUND + frame) // step * step + frame
    first += np.maximum(-(first // step), 0) * step
    return last, first
