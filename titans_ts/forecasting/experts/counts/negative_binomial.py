"""Distribution functions of negative binomial counts, from a table.

Shapes: R rows, K thresholds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from titans_ts.forecasting.experts.counts.lattice import THRESHOLDS
from titans_ts.forecasting.experts.panel import FloatArray

LOWEST, HIGHEST, STEPS = 1e-3, 3e4, 200
# Variance of a mean μ is μ + dispersion · μ².
DISPERSIONS = np.r_[0.0, 0.02 * 2.0 ** np.arange(11)]


@lru_cache(maxsize=1)
def _table() -> FloatArray:
    """P(count ≤ threshold) of (dispersions, means, thresholds)."""
    from scipy.special import betainc, pdtr

    mean = np.geomspace(LOWEST, HIGHEST, STEPS)[:, None]
    spread = [
        betainc(1 / d, THRESHOLDS + 1, (1 / d) / (1 / d + mean)) if d > 0 else pdtr(THRESHOLDS, mean)
        for d in DISPERSIONS
    ]
    return np.stack(spread)


def distribution(mean: FloatArray, dispersion: FloatArray, size: int) -> FloatArray:
    """P(count ≤ threshold) (R, …, K) of means (R, …) and dispersions (R,) at the first K = `size` thresholds."""
    table = _table()[..., :size]
    where = np.interp(dispersion, DISPERSIONS, np.arange(len(DISPERSIONS)))
    low = np.minimum(where.astype(int), len(DISPERSIONS) - 2)
    share = where - low
    place = np.log(np.clip(mean, LOWEST, HIGHEST) / LOWEST) / np.log(HIGHEST / LOWEST) * (STEPS - 1)
    at = np.minimum(place.astype(int), STEPS - 2)
    part = (place - at)[..., None]
    shape = (-1, *(1,) * (mean.ndim - 1))
    low, share = low.reshape(shape), share.reshape(*shape, 1)
    found = (1 - share) * ((1 - part) * table[low, at] + part * table[low, at + 1])
    found += share * ((1 - part) * table[low + 1, at] + part * table[low + 1, at + 1])
    rare = np.clip(mean / LOWEST, 0.0, 1.0)[..., None]
    return np.asarray(1 - rare * (1 - found))
