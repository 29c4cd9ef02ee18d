"""Cross-validation of regressors.

Shapes: n sequences, K targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts.genomics.regression.regressor import DNARegressor
from titans_ts.genomics.regression.targets import read_targets
from titans_ts.genomics.report.values import RegressionReport, pooled
from titans_ts.genomics.training.holdout import folds_of

IntArray = npt.NDArray[np.int64]


def cross_validated(
    fit: Callable[[IntArray], DNARegressor],
    sequences: Sequence[str],
    targets: pd.DataFrame,
    clusters: IntArray,
    folds: int,
    seed: int,
) -> RegressionReport:
    """One report of sequences each of which is predicted by a model that has not seen it.

    Args:
        fit: from places of training sequences to a fitted regressor.
        sequences: n sequences.
        targets: (n, K).
        clusters: (n,) numbers of `related`; whole clusters are in one fold.
        folds: how many.
        seed: of the folds.

    Raises:
        TypeError, ValueError: see `read_targets`; too few clusters for so many folds.
    """
    strata = read_targets(targets, len(sequences), False).strata()
    parts = folds_of(clusters, strata, folds, seed)
    everything = np.arange(len(sequences))
    reports = []
    for part in parts:
        model = fit(np.setdiff1d(everything, part))
        reports.append(model.report([sequences[i] for i in part], targets.iloc[part]))
    return pooled(reports, parts)
