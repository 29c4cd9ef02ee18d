"""Histories that the tests of the experts share."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def seasonal(series: int = 4, steps: int = 120, season: int = 12, seed: int = 0, level: float = 0.0) -> FloatArray:
    """Histories (series, steps): a season, a slow walk and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    shape = np.sin(2 * np.pi * (t + rng.integers(season, size=(series, 1))) / season)
    walk = rng.normal(size=(series, steps)).cumsum(axis=1) * 0.1
    return np.asarray(level + 2 * shape + walk + 0.3 * rng.normal(size=(series, steps)))
