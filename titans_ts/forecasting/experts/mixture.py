"""The forecast of a panel as a mixture of experts: drafts, weights, intervals and sanity in one call.

Shapes: N series, T steps, C cutoffs, H horizon steps, E drafts, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from titans_ts.forecasting.experts.intervals import choose_powers, error_units, quantile_offsets
from titans_ts.forecasting.experts.methods.counts import Intermittent
from titans_ts.forecasting.experts.methods.fold import Fold
from titans_ts.forecasting.experts.methods.holt_winters import HoltWinters
from titans_ts.forecasting.experts.methods.naive import Naive, SeasonalNaive
from titans_ts.forecasting.experts.methods.phase_regression import PhaseRegression
from titans_ts.forecasting.experts.methods.smoothing import Smoothing
from titans_ts.forecasting.experts.methods.transformed import Logged
from titans_ts.forecasting.experts.panel import Expert, FloatArray, Panel
from titans_ts.forecasting.experts.sanity import bounds, replace_wild
from titans_ts.forecasting.experts.weights import CANDIDATES, Shrinkage, choose_shrinkage, mixture_weights
from titans_ts.forecasting.experts.windows import (
    difference_unit,
    held_out_cutoffs,
    targets,
    window_independence,
)

SERIES_AND_WINDOWS, WINDOWS = 64, (16, 64)
MOST_SPAN = 12_000
LEVELS = tuple(round(0.1 * k, 1) for k in range(1, 10))


def default_experts(season: int, second: int = 0) -> list[Expert]:
    """The experts for a season and, where there is one, a longer second season (0: none)."""
    experts: list[Expert] = [Naive(), Smoothing(1), Logged(Smoothing(1)), Intermittent()]
    if season > 1:
        experts += [SeasonalNaive(season), Smoothing(season), HoltWinters(season), Fold(season)]
        experts += [Logged(Smoothing(season)), Logged(HoltWinters(season)), Logged(Fold(season))]
    experts += [PhaseRegression((season,), max(5 * season, 30)), PhaseRegression((season,), max(20 * season, 120))]
    if second > 1:
        experts += [
            SeasonalNaive(second),
            Fold(second),
            PhaseRegression((season, second), max(4 * second, 20 * season)),
        ]
    return experts


@dataclass(frozen=True)
class MixtureForecast:
    """Quantiles (N, H, Q) at `levels`, and what they were made of.

    Attributes:
        quantiles: (N, H, Q) in the units of the history; NaN for series without any observed value.
        levels: (Q,).
        names: of the E drafts.
        weights: (N, E, H).
        drafts: (E, N, H) at the end of the history, wild ones replaced.
        errors: (E, N, C, H) draft − observed in held-out windows, in units of each series; NaN where unknown.
        cutoffs: C columns at which the windows begin.
        replaced: names of drafts left out, by series.
    """

    quantiles: FloatArray
    levels: tuple[float, ...]
    names: tuple[str, ...]
    weights: FloatArray
    drafts: FloatArray
    errors: FloatArray
    cutoffs: list[int]
    replaced: dict[int, tuple[str, ...]]


@dataclass
class ExpertMixture:
    """A forecaster without training: every call weighs the experts by held-out windows of the histories it is given.

    Args:
        season, second: steps of the season and of a longer one; 1 and 0 for none.
        levels: quantile levels.
        experts: in the order in which they are fallen back on; `default_experts` where None.
        windows: held-out windows of a series; 16 to 64 where None, more where there are fewer series.
        context: steps of history read before the first window.
        nonnegative: keep quantiles at or above 0; None for histories that are.
        shrinkage: candidates, of which held-out windows choose one for the panel.

    Example:
        >>> import numpy as np
        >>> history = np.array([[3.0, 4, 5, 3, 4, 5, 3, 4, 5, 3, 4, 5]])
        >>> ExpertMixture(season=3).forecast(history, 3).quantiles[0, :, 4].round(1)
        array([3., 4., 5.])
    """

    season: int = 1
    second: int = 0
    levels: Sequence[float] = LEVELS
    experts: Sequence[Expert] | None = None
    windows: int | None = None
    context: int = 2400
    nonnegative: bool | None = None
    shrinkage: Sequence[Shrinkage] = CANDIDATES

    def forecast(self, history: FloatArray, horizon: int) -> MixtureForecast:
        """Quantiles of the next `horizon` steps of histories (N, T), NaN for missing, padded on the left."""
        history = np.asarray(history, dtype=np.float64)
        if history.ndim != 2 or horizon < 1:
            raise ValueError(
                f"Expected histories (series, steps) and a horizon ≥ 1, got {history.shape} and {horizon}."
            )
        if history.shape[1] == 0:
            history = np.full((len(history), 1), np.nan)
        count = (
            int(np.clip(SERIES_AND_WINDOWS // max(len(history), 1), *WINDOWS)) if self.windows is None else self.windows
        )
        reach = self.context + min(count * max(horizon, self.season), MOST_SPAN)
        panel = Panel.of(history[:, -reach:], self.season)
        experts = list(default_experts(self.season, self.second) if self.experts is None else self.experts)
        names = tuple(name for expert in experts for name in expert.names)
        cutoffs = held_out_cutoffs(panel, horizon, self.season, count)
        every = [*cutoffs, panel.length]
        drafts = np.concatenate([expert.drafts(panel, every, horizon) for expert in experts])
        low, high = bounds(panel, every, horizon)
        drafts, wild = replace_wild(drafts, low, high)
        unit = difference_unit(panel, self.season)
        actual = targets(panel, cutoffs, horizon) if cutoffs else np.empty((len(history), 0, horizon))
        errors = (drafts[:, :, :-1] - actual) / unit[:, None, None]
        independence = window_independence(cutoffs, horizon)
        candidates = self.shrinkage if len(history) > 1 else self.shrinkage[:1]
        shrinkage, held_out = choose_shrinkage(errors, candidates, independence)
        weights = mixture_weights(errors, shrinkage, independence)
        final = np.einsum("enH,neH->nH", drafts[:, :, -1], weights)
        # Where nothing was observed there is no error either, and its unit does not matter.
        seen = np.nan_to_num(actual + held_out * unit[:, None, None])
        mixed = np.concatenate([seen, final[:, None]], axis=1)
        offsets = self._offsets(panel, every, mixed, -held_out, unit)
        quantiles = np.sort(mixed[:, -1, :, None] + offsets, axis=2)
        quantiles = np.clip(quantiles, low[:, -1, None, None], high[:, -1, None, None])
        quantiles = quantiles * panel.scale[:, None, None] + panel.location[:, None, None]
        quantiles = self._bounded(quantiles, panel)
        replaced = {int(i): tuple(np.array(names)[wild[:, i, -1]]) for i in np.flatnonzero(wild[:, :, -1].any(axis=0))}
        last = panel.restore(drafts[:, :, -1:])[:, :, 0]
        return MixtureForecast(quantiles, tuple(self.levels), names, weights, last, errors, cutoffs, replaced)

    def _offsets(
        self, panel: Panel, cutoffs: list[int], mixed: FloatArray, residual: FloatArray, unit: FloatArray
    ) -> FloatArray:
        """Quantiles minus the forecast (N, H, Q); residuals (N, C, H) are in units of the series."""
        units = error_units(panel, cutoffs, mixed, self.season)
        powers = choose_powers(residual, units[:-1])
        relative = units.mixed(powers)
        levels = np.asarray(self.levels, dtype=float)
        independence = window_independence(cutoffs[:-1], mixed.shape[2])
        offsets = quantile_offsets(residual, relative[:, :-1], relative[:, -1], levels, independence)
        return offsets * unit[:, None, None]

    def _bounded(self, quantiles: FloatArray, panel: Panel) -> FloatArray:
        """Quantiles (N, H, Q) held at or above 0 where histories are, and NaN for series without a value."""
        raw = panel.raw()
        tolerance = -1e-9 * np.maximum(np.abs(panel.location), panel.scale)
        above = np.nan_to_num(raw, nan=np.inf).min(axis=1) >= tolerance
        if self.nonnegative is not None:
            above = np.full(len(raw), self.nonnegative)
        quantiles = np.where(above[:, None, None], np.maximum(quantiles, 0.0), quantiles)
        return np.where((panel.start < panel.length)[:, None, None], quantiles, np.nan)
