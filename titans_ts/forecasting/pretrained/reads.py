"""PretrainedReads: forecasts of histories by a pretrained network of reads and the experts' drafts.

Shapes: N histories, T steps of one, C covariates, H horizon, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_ts.forecasting.experts.covariates import taken_off
from titans_ts.forecasting.pretrained.weights import Pretrained, load_pretrained
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.forecast import ForecastOptions, forecast
from titans_ts.forecasting.reads.held_out import NEEDED, SPAN

FloatArray = npt.NDArray[np.float64]

# Column and kind of the reads among what a forecast is made of.
NAME = "pretrained memory reads"
# Last steps that are read.
CONTEXTS = (2048,)
# Histories that are read at once, and numbers of the experts' drafts that are computed at once, 8 bytes each; there are
# about three drafts to a slot.
MOST, CELLS = 64, 15_000_000


@dataclass(frozen=True)
class PretrainedReads:
    """A source of quantiles that learns nothing of the series it forecasts.

    Args:
        season: in steps; below 2 periods are computed.
        second: a longer one; 0 for none.
        pretrained: the weights.
        contexts: last steps that are read; the forecasts of several are averaged.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.pretrained import PretrainedReads
        >>> reads = PretrainedReads(season=7)
        >>> reads.quantiles([np.arange(60.0) % 7, np.full(9, np.nan)], 14, (0.1, 0.5, 0.9)).shape
        (2, 14, 3)
    """

    season: int = 1
    second: int = 0
    pretrained: Pretrained = field(default_factory=load_pretrained)
    contexts: tuple[int, ...] = CONTEXTS

    @property
    def name(self) -> str:
        """What it is called among the parts of a forecast."""
        return NAME

    def quantiles(
        self,
        histories: Sequence[FloatArray],
        horizon: int,
        levels: Sequence[float],
        covariates: Sequence[FloatArray] | None = None,
    ) -> FloatArray:
        """Quantiles (N, H, Q) of the steps after each history, from that history alone.

        Args:
            histories: (T,) each, NaN for missing.
            horizon: H.
            levels: Q, each between 0 and 1.
            covariates: (C, ≥ T) of each history, known ahead. What they add is taken off, the rest is forecast, see
                `experts.covariates`; steps beyond T + H are not read, those that they do not reach are as usual.

        Returns:
            NaN for a history without an observed value among the steps that are read.
        """
        rows = [np.asarray(history, dtype=np.float64) for history in histories]
        rows = [np.where(np.isfinite(row), row, np.nan) for row in rows]
        if covariates is None:
            return self._alone(rows, horizon, levels)
        left, ahead = taken_off(rows, covariates, self.season, horizon)
        found = self._alone(left, horizon, levels) + ahead[..., None]
        # What is left of a series that is never below 0 may be; the series may not.
        lowest = [float(np.nanmin(row)) if np.isfinite(row).any() else -1.0 for row in rows]
        return np.where(np.array(lowest)[:, None, None] >= 0, np.maximum(found, 0.0), found)

    def _alone(self, rows: Sequence[FloatArray], horizon: int, levels: Sequence[float]) -> FloatArray:
        """Quantiles (N, H, Q) of the steps after each row (T,)."""
        begin = [_begin(row, max(self.contexts)) for row in rows]
        found = np.full((len(rows), horizon, len(levels)), np.nan)
        there = [place for place, first in enumerate(begin) if first is not None]
        if not there:
            return found
        batch = int(np.clip(CELLS // (NEEDED * 3 * len(SLOTS) * max(horizon, SPAN)), 1, MOST))
        found[there] = forecast(
            *(self.pretrained.network, [rows[at][begin[at] :] for at in there], horizon, float(self.season), levels),
            given=ExpertDrafts(self.season, self.second),
            options=ForecastOptions(float(self.second), self.contexts, self.pretrained.card.flip, batch),
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the weights by name and checksum."""
        return {
            "name": self.pretrained.name,
            "sha256": self.pretrained.sha256,
            "season": self.season,
            "second": self.second,
            "contexts": list(self.contexts),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PretrainedReads:
        """Inverse of `to_dict`.

        Raises:
            ValueError: the installed weights are not those.
        """
        pretrained = load_pretrained(values["name"], values["sha256"])
        return cls(values["season"], values["second"], pretrained, tuple(values["contexts"]))


def _begin(row: FloatArray, context: int) -> int | None:
    """The step of the first observed value; None where none is among the last steps."""
    seen = np.flatnonzero(np.isfinite(row))
    return None if not len(seen) or seen[-1] < len(row) - context else int(seen[0])
