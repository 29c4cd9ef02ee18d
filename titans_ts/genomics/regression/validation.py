"""Cross-validation of regressors.

Shapes: n sequences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.read.measured import Measured
from titans_ts.genomics.regression.regressor import DNARegressor
from titans_ts.genomics.regression.targets import read_targets
from titans_ts.genomics.report.values import RegressionReport, pooled
from titans_ts.genomics.training.holdout import folds_of

IntArray = npt.NDArray[np.int64]


def cross_validated(
    fit: Callable[[Measured], DNARegressor], measured: Measured, clusters: IntArray, folds: int, seed: int
) -> RegressionReport:
    """One report of sequences each of which is predicted by a model that has not seen it.

    Args:
        fit: from training sequences to a fitted regressor.
        measured: n sequences with their targets.
        clusters: (n,) numbers of `related`; whole clusters are in one fold.
        folds: how many.
        seed: of the folds.

    Raises:
        TypeError, ValueError: see `read_targets`; too few clusters for so many folds.
    """
    count = len(measured.data.sequences)
    strata = read_targets(measured.targets(), count, measured.per_base).strata()
    parts, everything = folds_of(clusters, strata, folds, seed), np.arange(count)
    reports = []
    for part in parts:
        model, held = fit(measured.take(np.setdiff1d(everything, part))), measured.take(part)
        reports.append(model.report(held.data.sequences, held.targets()))
    return pooled(reports, parts)
