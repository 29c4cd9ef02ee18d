"""Drafts of the experts for a `ReadingNetwork`: single ones in fixed slots, their median, and a mean by running errors.

The slots do not depend on the season, so that one network reads series of any season.

Shapes: N histories, T steps, J boundaries, G slots, E drafts of all experts, H steps after a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from titans_ts.core.config import require
from titans_ts.forecasting.experts.mixture import default_experts
from titans_ts.forecasting.experts.panel import Expert, Panel, aligned
from titans_ts.forecasting.experts.sanity import as_far_as_seen, bounds, replace_wild
from titans_ts.forecasting.experts.windows import targets

FloatArray = npt.NDArray[np.float64]

MIXED = ("median of experts", "mean of experts by errors")
SINGLE = (
    *("damped trend", "trend", "smoothing mix", "theta", "log damped trend", "log theta"),
    *("Holt-Winters", "log Holt-Winters", "fold", "log fold"),
    *("phases and autoregression fast", "phases and autoregression slow"),
    *("long fold", "phases of both seasons", "phases of both seasons and autoregression"),
)
# Names of the drafts, for `ReadingConfig.drafts`.
SLOTS = tuple(f"experts: {name}" for name in (*MIXED, *SINGLE))
# Steps after a boundary by whose errors experts are weighed.
JUDGED = 24
# Weights are errors to the power −POWER where many errors are known, to a smaller one where fewer than MANY are.
POWER, MANY = 3.0, 24.0


@dataclass(frozen=True)
class ExpertDrafts:
    """A source of drafts for `forecast(..., given=...)`: what the default experts say at every boundary.

    Every draft comes from the steps before its boundary alone. Where an expert has none (too short a history, a
    logarithm of what is not positive, no second season) its slot has the median of all experts.

    Args:
        season: in steps; below 2 for none.
        second: a longer one; 0 for none.
        context: last steps before the first boundary that are read.

    Raises:
        ValueError: a season below 0, a second one that is not longer, or a context below 1.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
        >>> drafts = ExpertDrafts(season=7)([np.arange(60.0), np.arange(9.0)], cutoffs=[8, 0], horizon=48)
        >>> drafts.shape == (2, 2, len(SLOTS), 48)
        True
    """

    season: float = 1.0
    second: float = 0.0
    context: int = 2048

    def __post_init__(self) -> None:
        require(self.season >= 0, "season", "≥ 0 steps", self.season)
        longer = self.second == 0 or round(self.second) > max(1, round(self.season))
        require(longer, "second", f"0, or more steps than the season ({self.season:g})", self.second)
        require(self.context >= 1, "context", "≥ 1 step", self.context)

    def __call__(self, histories: Sequence[FloatArray], cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Drafts (N, J, G, H) in the units of the histories; NaN before their first values.

        Args:
            histories: (T,) each, NaN for missing; their lengths may differ.
            cutoffs: J boundaries, in steps before the ends of the histories.
            horizon: H.
        """
        season, second = max(1, round(self.season)), round(self.second)
        back = max(cutoffs)
        # Drafts before the first step of the longest history are asked for where batches are padded to whole blocks.
        rows = aligned(histories)[:, -(self.context + back) :]
        rows = np.pad(rows, ((0, 0), (max(0, back + 1 - rows.shape[1]), 0)), constant_values=np.nan)
        panel = Panel.of(rows, season)
        columns = [panel.length - cutoff for cutoff in cutoffs]
        names, drafts = _drafts(panel, columns, horizon, default_experts(season, second))
        there = np.asarray(np.isfinite(drafts).all(axis=-1))
        drafts = as_far_as_seen(drafts, panel, columns, season)
        drafts, _ = replace_wild(drafts, *bounds(panel, columns, horizon))
        median = np.median(drafts, axis=0)
        weighed = np.einsum("enj,enjh->njh", _weights(panel, columns, drafts), drafts)
        found = [median, weighed]
        for name in _single(season, second):
            at = names.index(name) if name in names else None
            found.append(median if at is None else np.where(there[at][..., None], drafts[at], median))
        return panel.restore(np.stack(found)).transpose(1, 2, 0, 3)


def _drafts(
    panel: Panel, columns: Sequence[int], horizon: int, experts: Sequence[Expert]
) -> tuple[list[str], FloatArray]:
    """Names and drafts (E, N, J, H) of the experts; NaN where one has none."""
    found = [expert.drafts(panel, columns, horizon) for expert in experts]
    return [name for expert in experts for name in expert.names], np.concatenate(found)


def _single(season: int, second: int) -> tuple[str, ...]:
    """What the experts call the drafts of `SINGLE` at a season and a longer one."""
    phase = f"{season} " if season > 1 else ""
    memories = (max(5 * season, 30), max(20 * season, 120))
    regressions = (f"phases and autoregression {phase}{memory}" for memory in memories)
    both = f"{phase}{second} {max(4 * second, 20 * season)}"
    longer = (f"fold {second}", f"phases {both}", f"phases and autoregression {both}")
    return (*(f"{name} {season}" for name in SINGLE[:-5]), *regressions, *longer)


def _weights(panel: Panel, columns: Sequence[int], drafts: FloatArray) -> FloatArray:
    """Weights (E, N, J) from the errors of drafts at earlier boundaries at steps that lie before each boundary."""
    steps = min(JUDGED, drafts.shape[3])
    error = np.abs(drafts[..., :steps] - targets(panel, columns, steps))
    known = np.isfinite(error)
    ends = np.asarray(columns)
    passed = (ends[None, :, None] + np.arange(1, steps + 1) <= ends[:, None, None]).astype(np.float64)
    total = np.tensordot(np.where(known, error, 0.0), passed, axes=((2, 3), (1, 2)))
    count = np.tensordot(known.astype(np.float64), passed, axes=((2, 3), (1, 2)))
    mean = total / np.maximum(count, 1)
    # Relative to the usual error of all experts, and never 0.
    relative = mean / (np.median(mean, axis=0) + 1e-12) + 0.05
    weights = np.where(count > 0, relative ** (-POWER * count / (count + MANY)), 1.0)
    return np.asarray(weights / weights.sum(axis=0))
