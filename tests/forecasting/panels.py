"""Random panels of every kind that tables hold, for tests of what may be said of any forecast."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]

# Steps of a season by frequency, the horizons and the greatest length that are drawn.
FREQUENCIES = {
    "h": (24, (6, 24, 48), 5000),
    "D": (7, (7, 14, 30), 5000),
    "W-MON": (52, (4, 13), 1500),
    "MS": (12, (3, 6, 12, 18), 600),
    "QS": (4, (4, 8), 200),
    "YS": (1, (1, 4, 6), 100),
}
# Histories that can fall below 0 in the future though they never did.
TRENDED = ("line", "trend and season", "walk")
KINDS = (
    *("noise", "zeros", "step", "line", "sentinel", "gaps", "fresh", "late", "intermittent", "growth", "constant"),
    *("seasonal", "walk", "trend and season", "counts"),
)


class RandomPanel(NamedTuple):
    """Series that end together.

    Attributes:
        freq: alias of the time step; season: its steps; horizon: H.
        kinds: of the series.
        histories: (T,) as a table has them, with gaps and sentinels; clean: without; futures: (H,).
    """

    freq: str
    season: int
    horizon: int
    kinds: list[str]
    histories: list[FloatArray]
    clean: list[FloatArray]
    futures: list[FloatArray]

    def table(self) -> pd.DataFrame:
        """In long form, series "00", "01", … ."""
        stamps = pd.date_range("1900-01-01", periods=max(map(len, self.histories)), freq=self.freq)
        return pd.concat(
            pd.DataFrame({"item_id": f"{i:02d}", "timestamp": stamps[len(stamps) - len(x) :], "target": x})
            for i, x in enumerate(self.histories)
        )


def random_panel(seed: int, cells: int = 12_000) -> RandomPanel:
    """1 to 50 series of 2 to 5,000 steps, about `cells` values at most, of one to five kinds, at any level or scale."""
    random = np.random.default_rng([18, seed])
    freq = str(random.choice(list(FREQUENCIES)))
    season, horizons, longest = FREQUENCIES[freq]
    count = int(np.round(np.exp(random.uniform(0, np.log(50)))))
    longest = min(longest, max(2, cells // count))
    lengths = np.round(np.exp(random.uniform(np.log(2), np.log(longest), size=count))).astype(int)
    if random.random() < 0.5:
        lengths[:] = lengths[0]
    horizon = int(random.choice(horizons))
    pool = random.choice(KINDS, size=random.integers(1, 6), replace=False)
    kinds = [str(random.choice(pool)) for _ in range(count)]
    scales = 10.0 ** (random.uniform(-4, 8, size=count) if random.random() < 0.5 else random.uniform(-4, 8))
    found = RandomPanel(freq, season, horizon, kinds, [], [], [])
    for kind, length, scale in zip(kinds, lengths.tolist(), np.broadcast_to(scales, count), strict=True):
        unit = 1.0 if kind in ("counts", "intermittent") else scale
        values = unit * _values(kind, length, horizon, season, random)
        clean = values[:length]
        if kind == "late" and length > 6:
            clean = clean[-int(random.integers(2, length // 4 + 2)) :]
        found.histories.append(_spoiled(kind, clean, random))
        found.clean.append(clean)
        found.futures.append(values[length:])
    return found


def _values(kind: str, length: int, horizon: int, season: int, random: np.random.Generator) -> FloatArray:
    """History and future (T + H,) with a spread of about 1."""
    steps = length + horizon
    time, noise, level = np.arange(steps), random.normal(size=steps), 10.0 ** random.uniform(-1, 2)
    shape = random.normal(size=max(season, 2))
    wave = (shape - shape.mean())[time % len(shape)]
    if kind == "zeros":
        return np.where(random.random(steps) < random.uniform(0.3, 0.9), 0.0, np.abs(level + noise))
    if kind == "step":
        # Of one or two readings nobody can tell whether they are a step.
        at = int(random.integers(1, steps))
        at = min(at, max(1, length - 3)) if at <= length else at
        return level + random.uniform(0.05, 1) * noise + (time >= at) * random.choice([-1, 1]) * random.uniform(3, 30)
    if kind == "line":
        return level + random.choice([-1, 1]) * random.uniform(0.05, 2) * time + random.choice([0, 0.1, 1]) * noise
    if kind == "fresh":
        begun = int(random.integers(3, max(3, length // 3) + 1))
        return np.where(time < length - begun, 0.0, np.abs(level + noise))
    if kind == "intermittent":
        sold = random.random(steps) < random.uniform(0.02, 0.3)
        return np.where(sold, np.round(random.exponential(5, steps)) + 1, 0.0)
    if kind == "growth":
        growth = np.minimum(random.uniform(0.001, 0.03) * time, 12)
        return np.asarray(level * np.exp(growth + random.choice([0, 0.02]) * noise))
    if kind == "counts":
        return random.poisson(random.uniform(0.2, 20), steps).astype(float)
    trend = random.uniform(-0.2, 0.2) * time
    others = {
        "constant": np.full(steps, level),
        "walk": level + noise.cumsum(),
        "seasonal": level + random.uniform(1, 5) * wave + random.uniform(0.1, 1) * noise,
        "trend and season": level + trend + random.uniform(1, 5) * wave + noise,
        "gaps": level + 2 * wave + noise,
        "late": level + 2 * wave + noise,
    }
    return np.asarray(others.get(kind, level + noise))


def _spoiled(kind: str, clean: FloatArray, random: np.random.Generator) -> FloatArray:
    """The history (T,) with missing values or sentinels, at least one value left."""
    history, length = clean.copy(), len(clean)
    if kind == "sentinel" and length >= 8:
        history[random.random(length) < 0.02] = random.choice([-999.0, -9999.0, 99999.0])
    if kind == "gaps":
        history[random.random(length) < random.uniform(0.05, 0.6)] = np.nan
        begin = int(random.integers(0, length))
        history[begin : begin + int(random.integers(1, length // 4 + 2))] = np.nan
        if not np.isfinite(history).any():
            history[-1] = clean[-1]
    return history
