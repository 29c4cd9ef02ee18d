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
        """Shares (R, H), 0 for histories of fewer than `LEAST` observed values.

        Args:
            histories: (T,) each, NaN for missing.
            horizon: H.
            codes: of their series; those of the panel where None.
        """
        share = self.shares.of([None] * len(histories) if codes is None else codes, horizon)
        seen = np.array([int(np.isfinite(history).sum()) for history in histories])
        return np.where((seen >= LEAST)[:, None], share, 0.0)


def moved(values: FloatArray, towards: FloatArray, share: FloatArray) -> FloatArray:
    """Values that go their share of the way towards others; where these are equal they stay, to the last digit."""
    return np.asarray(values + share * (towards - values))
