"""Targets of linear models and blends, and their losses in NumPy.

Shapes: n sequences (or bases), K classes, labels or targets.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import log_expit, log_softmax, xlogy

from titans_ts.genomics.model.config import HIGHEST_LOG_RATE, TaskName, ValueTask

FloatArray = npt.NDArray[np.float64]
VALUE_TASKS = get_args(ValueTask)


class Targets(NamedTuple):
    """Targets of a fit.

    Attributes:
        labels: (n,) class numbers, (n, K) zeros and ones, or (n, K) standardised targets.
        weight: (n,).
        outputs: K.
        task: see :class:`titans_ts.genomics.model.config.SequenceConfig`.
    """

    labels: npt.NDArray[Any]
    weight: FloatArray
    outputs: int
    task: TaskName

    def take(self, rows: npt.NDArray[np.int64]) -> Targets:
        """Some of the sequences."""
        return self._replace(labels=self.labels[rows], weight=self.weight[rows])

    def column(self, place: int) -> Targets:
        """One of several targets."""
        return self._replace(labels=self.labels[:, place : place + 1], outputs=1)


def mean_loss(outputs: FloatArray, targets: Targets) -> float:
    """Weighted mean of `losses`."""
    found = losses(outputs, targets)
    return float((found * targets.weight).sum() / max(targets.weight.sum(), 1e-12))


def losses(outputs: FloatArray, targets: Targets) -> FloatArray:
    """(n,) loss of each sequence: log loss in nats, or one of the `value_losses`; the mean over labels or targets."""
    if targets.task == "classes":
        found: FloatArray = -np.take_along_axis(log_softmax(outputs, axis=1), targets.labels[:, None], axis=1)[:, 0]
        return found
    if targets.task == "labels":
        signs = 2 * targets.labels - 1
        return np.asarray(-log_expit(signs * outputs).mean(1))
    return np.asarray(value_losses(outputs, targets)[0].mean(1))


def value_losses(outputs: FloatArray, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """Loss of each number and its derivative by the output, both (n, K).

    "mse": squared error. "huber": squared error / 2 up to 1, then linear. "poisson": half the deviance in nats of a
    count with exp(output) as its mean.
    """
    truth = np.asarray(targets.labels, dtype=np.float64)
    error = outputs - truth
    if targets.task == "mse":
        return error**2, 2 * error
    if targets.task == "huber":
        size = np.abs(error)
        return np.where(size <= 1, error**2 / 2, size - 0.5), np.clip(error, -1, 1)
    log_rate = np.minimum(outputs, HIGHEST_LOG_RATE)
    rate = np.exp(log_rate)
    return rate - truth * log_rate + xlogy(truth, truth) - truth, rate - truth
