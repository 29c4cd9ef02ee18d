"""The forecast of a panel as a mixture of experts: drafts, weights, intervals and sanity in one call.

Shapes: N series, T steps, C cutoffs, H horizon steps, E drafts, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from titans_ts.forecasting.experts.counts import distribution as counts
from titans_ts.forecasting.experts.counts.distribution import (
    Continuous,
    CountForecast,
    CountStatistics,
    forecast_counts,
)
from titans_ts.forecasting.experts.counts.lattice import Lattice
from titans_ts.forecasting.experts.intervals import (
    ErrorShape,
    HeldOutErrors,
    error_units,
)
from titans_ts.forecasting.experts.methods.counts import Intermittent
from titans_ts.forecasting.experts.methods.fold import Fold
from titans_ts.forecasting.experts.methods.holt_winters import HoltWinters
from titans_ts.forecasting.experts.methods.naive import Naive, SeasonalNaive
from titans_ts.forecasting.experts.methods.phase_regression import PhaseRegression
from titans_ts.forecasting.experts.methods.smoothing import Smoothing
from titans_ts.forecasting.experts.methods.transformed import Logged
from titans_ts.forecasting.experts.panel import BoolArray, Expert, FloatArray, Panel
from titans_ts.forecasting.experts.sanity import as_far_as_seen, bounds, replace_wild
from titans_ts.forecasting.experts.weights import (
    CANDIDATES,
    Shrinkage,
    choose_shrinkage,
    mixture_weights,
    panel_weights,
)
from titans_ts.forecasting.experts.windows import difference_unit, held_out_cutoffs, targets, window_independence

SERIES_AND_WINDOWS, WINDOWS = 64, (16, 64)
MOST_SPAN = 12_000
LEVELS = tuple(round(0.1 * k, 1) for k in range(1, 10))


def default_experts(season: int, second: int = 0) -> list[Expert]:
    """The experts for a season and, where there is one, a longer second season (0: none).

    Example:
        >>> [name for expert in default_experts(season=7) for name in expert.names][:3]
        ['last value', 'drift', 'mean of 3']
    """
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
class PanelStatistics:
    """What the series of a panel share: learned once, then used for whichever series are forecast, alone or together.

    Attributes:
        horizon: steps H that it was learned for.
        stride, windows: steps between held-out windows, and how many there are.
        shrinkage: of the weights of a series towards the panel's.
        weights: (E, H) of the panel.
        shape: of the errors.
        counts: of the series that are counts.
    """

    horizon: int
    stride: int
    windows: int
    shrinkage: Shrinkage
    weights: FloatArray
    shape: ErrorShape
    counts: CountStatistics = field(default_factory=CountStatistics)

    def over(self, horizon: int) -> PanelStatistics:
        """The same for another horizon: weights of steps beyond it are those of the last step."""
        if horizon == self.horizon:
            return self
        steps = np.minimum(np.arange(horizon), self.horizon - 1)
        return replace(self, horizon=horizon, weights=self.weights[:, steps], shape=self.shape.over(horizon))

    def cutoffs(self, length: int) -> list[int]:
        """Cutoffs of the held-out windows of histories of `length` > windows · stride steps."""
        return [length - k * self.stride for k in range(self.windows, 0, -1)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PanelStatistics:
        """Inverse of `to_dict`; lists become arrays."""
        shape: dict[str, Any] = {k: np.asarray(v) if isinstance(v, list) else v for k, v in values["shape"].items()}
        parts: dict[str, Any] = {"shape": ErrorShape(**shape), "shrinkage": Shrinkage(**values["shrinkage"])}
        if "counts" in values:
            counts = values["counts"]
            parts["counts"] = CountStatistics(counts["dispersion"], np.asarray(counts["matrix"]))
        return cls(**{**values, "weights": np.asarray(values["weights"]), **parts})


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
        statistics: what the panel shares.
        counts: quantiles and means of the series that are counts.

    Example:
        >>> import numpy as np
        >>> found = ExpertMixture(season=3).forecast(np.array([[3.0, 4, 5] * 6]), 2)
        >>> found.quantiles.shape, found.weights.sum(axis=1).round(3).tolist()
        ((1, 2, 9), [[1.0, 1.0]])
    """

    quantiles: FloatArray
    levels: tuple[float, ...]
    names: tuple[str, ...]
    weights: FloatArray
    drafts: FloatArray
    errors: FloatArray
    cutoffs: list[int]
    replaced: dict[int, tuple[str, ...]]
    statistics: PanelStatistics
    counts: CountForecast


class _Read(NamedTuple):
    """Drafts (E, N, C + 1, H) of held-out windows and the end, in the panel's units, and what belongs to them."""

    panel: Panel
    cutoffs: list[int]
    drafts: FloatArray
    wild: BoolArray
    low: FloatArray
    high: FloatArray


@dataclass
class ExpertMixture:
    """A forecaster without training: every call weighs the experts by held-out windows of the histories it is given.

    Args:
        season, second: steps of the season and of a longer one; 1 and 0 for none. Defaults: 1, 0.
        levels: quantile levels.
        experts: in the order in which they are fallen back on; `default_experts` where None.
        windows: held-out windows of a series; 16 to 64 where None, more where there are fewer series.
        context: steps of history read before the first window. Default: 2400.
        nonnegative: keep quantiles at or above 0; None for histories that are, where the highest quantile is too.
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

    def forecast(self, history: FloatArray, horizon: int, statistics: PanelStatistics | None = None) -> MixtureForecast:
        """Quantiles of the next `horizon` steps.

        Args:
            history: (N, T), NaN for missing, padded on the left.
            horizon: H.
            statistics: of the panel that the series belong to, from an earlier forecast; then each series is forecast
                by itself. None learns them from these series.

        Raises:
            ValueError: wrong shapes.
        """
        history = np.asarray(history, dtype=np.float64)
        if history.ndim != 2 or horizon < 1:
            raise ValueError(
                f"Expected histories (series, steps) and a horizon ≥ 1, got {history.shape} and {horizon}."
            )
        known = None if statistics is None or statistics.windows == 0 else statistics.over(horizon)
        read = self._read(history, horizon, known)
        panel, cutoffs, drafts, wild = read.panel, read.cutoffs, read.drafts, read.wild
        unit = difference_unit(panel, self.season)
        actual = targets(panel, cutoffs, horizon) if cutoffs else np.empty((len(history), 0, horizon))
        errors = (drafts[:, :, :-1] - actual) / unit[:, None, None]
        independence = window_independence(cutoffs, horizon)
        candidates = self.shrinkage if known is None and len(history) > 1 else self.shrinkage[:1]
        candidates = candidates if known is None else (known.shrinkage,)
        shared = None if known is None else known.weights
        shrinkage, held_out = choose_shrinkage(errors, candidates, independence, shared)
        if shared is None:
            shared = panel_weights(errors, shrinkage, independence)
        alone = known is None and len(history) == 1
        weights = shared[None] if alone else mixture_weights(errors, shrinkage, independence, shared)
        final = np.einsum("enH,neH->nH", drafts[:, :, -1], weights)
        # Where nothing was observed there is no error either, and its unit does not matter.
        seen = np.nan_to_num(actual + held_out * unit[:, None, None])
        mixed = np.concatenate([seen, final[:, None]], axis=1)
        errs = self._errors(read, mixed, -held_out, None if known is None else known.shape)
        offsets = errs.offsets(np.asarray(self.levels, dtype=float))
        quantiles = self._quantiles(read, final, offsets * unit[:, None, None])
        counted = self._counts(read, mixed, errs, unit, None if known is None else known.counts)
        quantiles = counted.into(quantiles)
        names = self.names
        replaced = {int(i): tuple(np.array(names)[wild[:, i, -1]]) for i in np.flatnonzero(wild[:, :, -1].any(axis=0))}
        stride = panel.length - cutoffs[-1] if cutoffs else 1
        parts = (shrinkage, shared, errs.shape, counted.statistics)
        learned = PanelStatistics(horizon, stride, len(cutoffs), *parts) if known is None else known
        return MixtureForecast(
            quantiles,
            tuple(self.levels),
            names,
            weights,
            panel.restore(drafts[:, :, -1:])[:, :, 0],
            errors,
            cutoffs,
            replaced,
            learned,
            counted,
        )

    def forecast_each(self, history: FloatArray, horizon: int, names: Sequence[str]) -> dict[str, FloatArray]:
        """Quantiles (N, H, Q) of single drafts, each with intervals from its own held-out errors.

        Where a draft cannot be made (too short a history) or is wild, it is the median of the others.
        """
        read = self._read(np.asarray(history, dtype=np.float64), horizon, None)
        unit = difference_unit(read.panel, self.season)[:, None, None]
        actual = targets(read.panel, read.cutoffs, horizon) if read.cutoffs else np.empty((len(history), 0, horizon))
        levels = np.asarray(self.levels, dtype=float)
        found = {}
        for name in names:
            draft = read.drafts[self.names.index(name)]
            offsets = self._errors(read, draft, (actual - draft[:, :-1]) / unit, None).offsets(levels)
            found[name] = self._quantiles(read, draft[:, -1], offsets * unit)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the drafts."""
        return tuple(name for expert in self._experts() for name in expert.names)

    def _experts(self) -> Sequence[Expert]:
        return default_experts(self.season, self.second) if self.experts is None else self.experts

    def _read(self, history: FloatArray, horizon: int, known: PanelStatistics | None) -> _Read:
        """Drafts of every expert for the held-out windows and the end."""
        if history.shape[1] == 0:
            history = np.full((len(history), 1), np.nan)
        count = int(np.clip(SERIES_AND_WINDOWS // max(len(history), 1), *WINDOWS))
        count = count if self.windows is None else self.windows
        reach = min(count * max(horizon, self.season), MOST_SPAN)
        if known is not None:
            reach = known.windows * known.stride
            # As many windows as the panel had, with or without a value: what a series gets does not hang on others.
            missing = max(0, reach + 1 - history.shape[1])
            history = np.pad(history, ((0, 0), (missing, 0)), constant_values=np.nan)
        panel = Panel.of(history[:, -(self.context + reach) :], self.season)
        own = held_out_cutoffs(panel, horizon, self.season, count) if known is None else []
        cutoffs = own if known is None else known.cutoffs(panel.length)
        every = [*cutoffs, panel.length]
        drafts = np.concatenate([expert.drafts(panel, every, horizon) for expert in self._experts()])
        drafts = as_far_as_seen(drafts, panel, every, self.season)
        low, high = bounds(panel, every, horizon)
        drafts, wild = replace_wild(drafts, low, high)
        return _Read(panel, cutoffs, drafts, wild, low, high)

    def _errors(self, read: _Read, mixed: FloatArray, residual: FloatArray, shape: ErrorShape | None) -> HeldOutErrors:
        """Errors of a forecast in held-out windows, and what quantiles follow.

        Args:
            read: drafts.
            mixed: (N, C + 1, H) forecasts of the mixture, in the panel's units.
            residual: (N, C, H), in units of the series.
            shape: of the panel's errors, None to learn it.
        """
        units = error_units(read.panel, [*read.cutoffs, read.panel.length], mixed, self.season)
        return HeldOutErrors.of(residual, units, window_independence(read.cutoffs, mixed.shape[2]), shape)

    def _counts(
        self, read: _Read, mixed: FloatArray, errors: HeldOutErrors, unit: FloatArray, known: CountStatistics | None
    ) -> CountForecast:
        """Distributions of the rows that are counts: `mixed` and `unit` as in `forecast`, `known` of the panel."""
        panel, horizon = read.panel, mixed.shape[2]
        lattice = Lattice.of(panel.raw() if self.nonnegative is not False else panel.raw()[:0])
        offsets = errors[lattice.rows].offsets(counts.LEVELS, every=True) * unit[lattice.rows, None, None, None]
        if self.nonnegative is None:
            # A falling line has no floor only because it has not come to 0 yet.
            top = panel.restore(mixed[lattice.rows, -1:] + offsets[:, -1:, :, -1], lattice.rows)
            above = np.flatnonzero(top.min(axis=(1, 2)) >= -1e-9 * lattice.unit)
            lattice, offsets = lattice[above], offsets[above]
        rows = lattice.rows
        actual = targets(panel, read.cutoffs, horizon) if read.cutoffs else np.empty((len(unit), 0, horizon))
        low, high = (panel.restore(bound[rows, -1:, None], rows)[:, 0, 0] for bound in (read.low, read.high))
        continuous = Continuous(
            panel.restore(mixed[rows], rows),
            offsets * panel.scale[rows, None, None, None],
            panel.restore(actual[rows], rows),
            low,
            high,
            [*read.cutoffs, panel.length],
            errors.independence,
        )
        return forecast_counts(lattice, continuous, np.asarray(self.levels, dtype=float), self.season, known)

    def _quantiles(self, read: _Read, forecast: FloatArray, offsets: FloatArray) -> FloatArray:
        """Quantiles (N, H, Q) in the units of the history: forecast (N, H) and offsets (N, H, Q) in the panel's.

        They stay within the plausible range, at or above 0 where histories are, and are NaN for series without a value.
        """
        panel = read.panel
        quantiles = np.sort(forecast[..., None] + offsets, axis=2)
        quantiles = np.clip(quantiles, read.low[:, -1, None, None], read.high[:, -1, None, None])
        quantiles = quantiles * panel.scale[:, None, None] + panel.location[:, None, None]
        raw = panel.raw()
        tolerance = -1e-9 * np.maximum(np.abs(panel.location), panel.scale)
        above = np.nan_to_num(raw, nan=np.inf).min(axis=1) >= tolerance
        # A falling line has no floor only because it has not come to 0 yet.
        above &= quantiles[..., -1].min(axis=1) >= tolerance
        if self.nonnegative is not None:
            above = np.full(len(raw), self.nonnegative)
        quantiles = np.where(above[:, None, None], np.maximum(quantiles, 0.0), quantiles)
        return np.where((panel.start < panel.length)[:, None, None], quantiles, np.nan)
