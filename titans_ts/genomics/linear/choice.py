"""Linear models for any task, and their penalty chosen on held-out sequences.

Shapes: n sequences, F features.
"""

from __future__ import annotations

import time

from scipy.sparse import csr_matrix

from titans_ts.genomics.linear.features import Features
from titans_ts.genomics.linear.logistic import fit_logistic
from titans_ts.genomics.linear.losses import VALUE_TASKS, FloatArray, Targets, mean_loss
from titans_ts.genomics.linear.model import LinearModel
from titans_ts.genomics.linear.ridge import fit_ridge

# Inverse penalties in units of one sequence: features have length 1, so the same steps suit all of them.
INVERSE_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FIRST_PENALTY = 3


def fit_linear(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    inverse_penalty: float,
    start: LinearModel | None = None,
    deadline: float = float("inf"),
) -> LinearModel:
    """A logistic regression for classes and labels, a ridge regression for numbers.

    Args:
        features: kept in the model.
        x: (n, F) features of the sequences, or other coordinates of theirs.
        targets: of the n sequences.
        inverse_penalty: in units of one sequence.
        start: a model to start from.
        deadline: `time.monotonic` time at which a logistic regression takes its best weights so far.
    """
    if targets.task in VALUE_TASKS:
        return fit_ridge(features, x, targets, inverse_penalty, start)
    return fit_logistic(features, x, targets, inverse_penalty, start, deadline)


def choose_linear(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    held_x: csr_matrix | FloatArray,
    held: Targets,
    deadline: float = float("inf"),
) -> tuple[LinearModel, float]:
    """The model with the penalty that is best on held-out sequences, and its loss there.

    Starts at a middle penalty, tries weaker ones as long as that helps and, if it never does, stronger ones; each fit
    starts from the previous one. At the deadline (of `time.monotonic`) the best one so far is taken.
    """

    def tried(place: int, start: LinearModel | None) -> tuple[LinearModel, float]:
        found = fit_linear(features, x, targets, INVERSE_PENALTIES[place], start, deadline)
        return found, mean_loss(found.outputs(held_x), held)

    first = best = tried(FIRST_PENALTY, None)
    weaker, stronger = range(FIRST_PENALTY + 1, len(INVERSE_PENALTIES)), range(FIRST_PENALTY - 1, -1, -1)
    for places in (weaker, stronger):
        last = first
        for place in places:
            if time.monotonic() > deadline:
                return best
            last = tried(place, last[0])
            if last[1] >= best[1]:
                break
            best = last
        if best is not first:
            break
    return best
