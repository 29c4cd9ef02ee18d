"""Drafts of the experts for what is read of streams, with the season of each series.

Shapes: B series, G slots, J boundaries, H steps after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_ts.core.config import require
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.forecast import LARGEST
from titans_ts.forecasting.reads.held_out import SPAN
from titans_ts.forecasting.reads.network import ReadingNetwork
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.streaming.units import Units

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Given:
    """What a network is given beside the drafts of its own.

    Attributes:
        wanted: whether it reads the experts' drafts.
        season, second: declared, in steps; 0 for none, 1 for what is known to have no season.
    """

    wanted: bool
    season: float
    second: float

    @classmethod
    def of(cls, network: ReadingNetwork, season: float, second: float) -> Given:
        """For a network.

        Raises:
            ValueError: it reads other drafts, or the seasons are out of range.
        """
        require(season >= 0, "season", "≥ 0 steps", season)
        require(second == 0 or second > season, "second", f"0, or more steps than the season ({season:g})", second)
        extra = network.config.drafts[len(NAMES) :]
        if extra not in ((), SLOTS):
            raise ValueError(
                f"a stream makes the experts' drafts {SLOTS} for a network, this one reads {extra}: use one trained "
                "with this version"
            )
        return cls(extra == SLOTS, season, second)

    def at(
        self, rows: Sequence[FloatArray], units: Units, periods: FloatArray, boundaries: int, horizon: int
    ) -> Tensor | None:
        """Drafts (B, J, G, H) at the last boundaries of rows, in their units; None where none are wanted.

        Those that are not finite are the mean of the series.

        Args:
            rows: (T,) each, that end at the last boundary.
            units: of each.
            periods: (B, 2) of each; the first one is the experts' season where none is declared.
            boundaries: J.
            horizon: H; at least `SPAN` are made.
        """
        if not self.wanted:
            return None
        cutoffs = [BLOCK * back for back in range(boundaries - 1, -1, -1)]
        declared = self.season >= 1
        seasons = [(self.season, self.second) if declared else (float(first), 0.0) for first in periods[:, 0]]
        drafts = np.zeros((len(rows), boundaries, len(SLOTS), max(horizon, SPAN)))
        for season in set(seasons):
            own = [place for place, other in enumerate(seasons) if other == season]
            drafts[own] = ExpertDrafts(*season)([rows[place] for place in own], cutoffs, drafts.shape[3])
        numbers = np.nan_to_num(units.of(drafts), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        return torch.from_numpy(np.clip(numbers, -LARGEST, LARGEST))
