"""Companion: a forecaster that learns nothing of a panel, averaged with the panel's mixture of experts.

Shapes: R rows (series × channels), T steps of a history, C covariates, H horizon, Q levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray
from titans_ts.forecasting.experts.shares import Shares

# Observed values that a history must have to be forecast by it: reads of memories are two blocks of 8 steps then, so
# that errors of the first are known at the second.
LEAST = 16
# A history whose last value lies so many ranges of all but its last block of 8 values outside of that range has just
# gone elsewhere: the errors by which a source is known are those of another series.
ELSEWHERE, BLOCK = 10.0, 8


class QuantileSource(Protocol):
    """Whatever forecasts each history by itself."""

    @property
    def name(self) -> str:
        """What it is called among the parts of a forecast."""

    def quantiles(
        self,
        histories: Sequence[FloatArray],
        horizon: int,
        levels: Sequence[float],
        covariates: Sequence[FloatArray] | None = None,
    ) -> FloatArray:
        """Quantiles (R, H, Q), NaN where it has none."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""


@dataclass(frozen=True)
class Companion:
    """A source and its share beside the mixture.

    Attributes:
        source: of quantiles.
        shares: of the panel and its series, and how far the source may be from the mixture; widths are not read.
    """

    source: QuantileSource
    shares: Shares

    def share(self, histories: Sequence[FloatArray], horizon: int, codes: Sequence[Hashable] | None) -> FloatArray:
        """Shares (R, H), 0 for histories of fewer than `LEAST` observed values and for those just gone elsewhere.

        Args:
            histories: (T,) each, NaN for missing.
            horizon: H.
            codes: of their series; those of the panel where None.
        """
        share = self.shares.of([None] * len(histories) if codes is None else codes, horizon)
        known = np.array([_known(history[np.isfinite(history)]) for history in histories], dtype=bool)
        return np.where(known[:, None], share, 0.0)


def _known(seen: FloatArray) -> bool:
    """Whether observed values (T,) tell how well a source follows them."""
    if len(seen) < LEAST:
        return False
    low, high = float(seen[:-BLOCK].min()), float(seen[:-BLOCK].max())
    outside = max(low - float(seen[-1]), float(seen[-1]) - high)
    # Nothing can be said of a history that never moved before.
    return high == low or outside <= ELSEWHERE * (high - low)


def moved(values: FloatArray, towards: FloatArray, share: FloatArray) -> FloatArray:
    """Values that go their share of the way towards others; where these are equal they stay, to the last digit."""
    return np.asarray(values + share * (towards - values))
