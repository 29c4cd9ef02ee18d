"""Small random series with known components, for tests and examples.

Shapes: I items, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import parse_frequency


@dataclass(frozen=True)
class SyntheticSpec:
    """Components of `synthetic_frame`.

    Args:
        items: number of series I. Default: 3.
        length: steps per series T. Default: 200.
        freq: pandas alias of the step; the season is its `seasonality`. Default: "h".
        amplitude: of the season, 1.0 by default; trend: rise per step, 0.01; noise: standard deviation, 0.1.
        effect: added to the target where the known covariate `promotion` is 1. Default: 0.5.
        missing: fraction of values replaced by NaN; gaps: fraction of rows left out; 0 by default.

    Example:
        >>> SyntheticSpec(items=2, length=48, missing=0.1).freq
        'h'
    """

    items: int = 3
    length: int = 200
    freq: str = "h"
    amplitude: float = 1.0
    trend: float = 0.01
    noise: float = 0.1
    effect: float = 0.5
    missing: float = 0.0
    gaps: float = 0.0


def synthetic_frame(spec: SyntheticSpec | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Long frame with columns item_id, timestamp, target, promotion (known), load (past-only) and region (static).

    Series differ in level and phase. The first and last row of each series are always present and observed.

    Example:
        >>> frame = synthetic_frame(SyntheticSpec(items=2, length=48))
        >>> frame.shape, frame.columns.tolist()
        ((96, 6), ['item_id', 'timestamp', 'target', 'promotion', 'load', 'region'])
    """
    spec = spec or SyntheticSpec()
    rng = np.random.default_rng(seed)
    frames = [_one(spec, item, rng) for item in range(spec.items)]
    return pd.concat(frames, ignore_index=True)


def _one(spec: SyntheticSpec, item: int, rng: np.random.Generator) -> pd.DataFrame:
    frequency = parse_frequency(spec.freq)
    start = pd.date_range("2022-01-01", periods=1, freq=frequency.offset_alias)[0]
    steps = np.arange(spec.length)
    season = np.sin(2 * np.pi * (steps / max(frequency.seasonality, 2) + rng.random()))
    promotion = (rng.random(spec.length) < 0.2).astype(int)
    noise = spec.noise * rng.standard_normal(spec.length)
    target = 10 * (item + 1) + spec.amplitude * season + spec.trend * steps + spec.effect * promotion + noise
    inner = (steps > 0) & (steps < spec.length - 1)
    target[inner & (rng.random(spec.length) < spec.missing)] = np.nan
    frame = pd.DataFrame(
        {
            "item_id": f"item_{item}",
            "timestamp": frequency.range(start, spec.length),
            "target": target,
            "promotion": promotion,
            "load": season + rng.standard_normal(spec.length),
            "region": ("north", "south")[item % 2],
        }
    )
    return frame[~(inner & (rng.random(spec.length) < spec.gaps))]
