"""FittedMixture: what a fit has learned about its panel's experts, for forecasts of any of its series.

Shapes: R rows (series × channels), T steps of a history, C covariates, H horizon, Q levels, E drafts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from titans_ts.forecasting.experts.companion import Companion, QuantileSource, moved
from titans_ts.forecasting.experts.counts.lattice import whole
from titans_ts.forecasting.experts.covariates import taken_off
from titans_ts.forecasting.experts.mixture import ExpertMixture, PanelStatistics
from titans_ts.forecasting.experts.panel import FloatArray, aligned
from titans_ts.forecasting.experts.shares import Shares

MEAN_LEVELS = tuple((k + 0.5) / 20 for k in range(20))
# Series of which a panel's statistics are learned at most: 3,000 M4 yearly series, one window before the suite's, were
# forecast as well by those of 1,000 (MASE 2.907, WQL .1166) as by those of all (2.919, .1163), in two thirds of the
# time.
MOST_SERIES = 1000
# Levels of the interval in whose half widths the companion's distance from the experts is told.
REACHED = (0.1, 0.9)
# Numbers of the drafts that are computed at once, 8 bytes each.
CELLS = 4_000_000


class MixtureRows(NamedTuple):
    """Forecasts of rows: mean (R, H), quantiles (R, H, Q), weights (R, E) averaged over the horizon, of the drafts and
    the companion."""

    mean: FloatArray
    quantiles: FloatArray
    weights: FloatArray


@dataclass(frozen=True)
class FittedMixture:
    """The experts' statistics of a panel, and the network's share beside them.

    Attributes:
        season, second: steps of the season and of a longer one, see `ExpertMixture`.
        statistics: of the panel; None where it is learned from the series that are forecast.
        shares: of the network.
        companion: what is averaged with the experts before the network is; None for the experts alone.
    """

    season: int = 1
    second: int = 0
    statistics: PanelStatistics | None = None
    shares: Shares = field(default_factory=lambda: Shares.only(0.0))
    companion: Companion | None = None

    @classmethod
    def learn(
        cls,
        histories: Sequence[FloatArray],
        horizon: int,
        season: int,
        second: int,
        covariates: Sequence[FloatArray] | None = None,
    ) -> FittedMixture:
        """The statistics of a panel; the network has no share.

        Args:
            histories: (T,) each, NaN for missing.
            horizon: H.
            season, second: in steps.
            covariates: (C, ≥ T) of each history; what they add is taken off.
        """
        mixture = ExpertMixture(season, second, levels=(0.5,))
        places = _sample([np.asarray(h, dtype=np.float64) for h in histories])
        if not places:
            return cls(season, second)
        known = [np.asarray(histories[place], dtype=np.float64) for place in places]
        if covariates is not None:
            known, _ = taken_off(known, [covariates[place] for place in places], season, horizon)
        return cls(season, second, mixture.forecast(aligned(known), horizon).statistics)

    def forecast(
        self,
        histories: Sequence[FloatArray],
        horizon: int,
        levels: Sequence[float],
        nonnegative: bool | None = None,
        *,
        codes: Sequence[Hashable] | None = None,
        covariates: Sequence[FloatArray] | None = None,
    ) -> MixtureRows:
        """Forecast each history by itself; the mean is that of 20 quantiles of equal weight, or of the counts.

        A shorter horizon is the beginning of the one of the fit, a longer one begins with it.

        Args:
            histories: (T,), NaN for missing.
            horizon: H.
            levels: Q.
            nonnegative: see `ExpertMixture`.
            codes: of the histories' series, by which the companion's shares are known; those of the panel where None.
            covariates: (C, T + H) of each history, known ahead. What they add is taken off, the rest is forecast.
        """
        rows = [np.asarray(history, dtype=np.float64) for history in histories]
        steps = horizon if self.statistics is None else self.statistics.horizon
        found = self._with_covariates(rows, steps, levels, nonnegative, codes, covariates)
        if horizon > steps:
            beyond = self._with_covariates(rows, horizon, levels, nonnegative, codes, covariates)
            mean = np.concatenate([found.mean, beyond.mean[:, steps:]], axis=1)
            quantiles = np.concatenate([found.quantiles, beyond.quantiles[:, steps:]], axis=1)
            return MixtureRows(mean, quantiles, beyond.weights)
        return MixtureRows(found.mean[:, :horizon], found.quantiles[:, :horizon], found.weights)

    def _with_covariates(
        self,
        histories: list[FloatArray],
        horizon: int,
        levels: Sequence[float],
        nonnegative: bool | None,
        codes: Sequence[Hashable] | None,
        covariates: Sequence[FloatArray] | None,
    ) -> MixtureRows:
        """Experts and companion; histories that covariates move are forecast without what these add."""
        if covariates is None:
            return self._averaged(histories, horizon, levels, nonnegative, codes)
        left, ahead = taken_off(histories, covariates, self.season, horizon)
        same = [np.array_equal(one, other, equal_nan=True) for one, other in zip(left, histories, strict=True)]
        moves = ahead.any(axis=1) | ~np.array(same)
        result = MixtureRows(
            np.empty((len(left), horizon)),
            np.empty((len(left), horizon, len(levels))),
            np.empty((len(left), len(self.names))),
        )
        # What is left of a series that is never below 0 may be.
        for places, bound in ((np.flatnonzero(~moves), nonnegative), (np.flatnonzero(moves), False)):
            if len(places):
                own = None if codes is None else [codes[place] for place in places.tolist()]
                rows = self._averaged([left[place] for place in places.tolist()], horizon, levels, bound, own)
                result.mean[places] = rows.mean + ahead[places]
                result.quantiles[places] = rows.quantiles + ahead[places, :, None]
                result.weights[places] = rows.weights
        return result

    def _averaged(
        self,
        histories: Sequence[FloatArray],
        horizon: int,
        levels: Sequence[float],
        nonnegative: bool | None,
        codes: Sequence[Hashable] | None,
    ) -> MixtureRows:
        """The experts' rows, averaged with the companion's where there is one."""
        if self.companion is None:
            return self._forecast(histories, horizon, levels, nonnegative)
        # How far the companion may go from the experts does not hang on the levels that are asked for.
        every = sorted({*levels, *REACHED, 0.5})
        rows = self._forecast(histories, horizon, every, nonnegative)
        found = self._accompanied(rows, histories, every, codes)
        return found._replace(quantiles=found.quantiles[..., [every.index(level) for level in levels]])

    def _forecast(
        self, histories: Sequence[FloatArray], horizon: int, levels: Sequence[float], nonnegative: bool | None
    ) -> MixtureRows:
        every = sorted({*MEAN_LEVELS, 0.5, *levels})
        mixture = ExpertMixture(self.season, self.second, levels=every, nonnegative=nonnegative)
        windows = 64 if self.statistics is None else self.statistics.windows
        most = max(1, CELLS // (max(1, windows) * len(mixture.names) * horizon))
        parts = []
        for first in range(0, len(histories), most):
            rows = [np.asarray(h, dtype=np.float64) for h in histories[first : first + most]]
            found = mixture.forecast(aligned(rows), horizon, self.statistics)
            mean = found.counts.mean_into(
                found.quantiles[..., [every.index(level) for level in MEAN_LEVELS]].mean(axis=2)
            )
            wanted = found.quantiles[..., [every.index(level) for level in levels]]
            parts.append(MixtureRows(mean, wanted, found.weights.mean(axis=2)))
        return MixtureRows(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _accompanied(
        self,
        rows: MixtureRows,
        histories: Sequence[FloatArray],
        levels: Sequence[float],
        codes: Sequence[Hashable] | None,
    ) -> MixtureRows:
        """The experts' rows averaged with the companion's, quantiles level by level."""
        assert self.companion is not None
        horizon, every = rows.mean.shape[1], sorted({*MEAN_LEVELS, *levels})
        share = self.companion.share(histories, horizon, codes)
        mean, quantiles = rows.mean.copy(), rows.quantiles.copy()
        needed = np.flatnonzero((share > 0).any(axis=1))
        if len(needed):
            mine = [np.asarray(histories[i], dtype=np.float64) for i in needed.tolist()]
            found = self.companion.source.quantiles(mine, horizon, every)
            there = np.isfinite(found).all(axis=(1, 2))
            share[needed[~there]] = 0.0
            needed, found, part = needed[there], found[there], share[needed[there]]
            own = found[..., [every.index(level) for level in MEAN_LEVELS]].mean(axis=2)
            wanted = found[..., [every.index(level) for level in levels]]
            part = self.companion.shares.within_reach(part, wanted, quantiles[needed], levels)
            share[needed] = part
            mean[needed] = moved(mean[needed], own, part)
            near = moved(quantiles[needed], wanted, part[..., None])
            quantiles[needed] = whole(near, [mine[i] for i in np.flatnonzero(there)]) if len(needed) else near
        whose = share.mean(axis=1, keepdims=True)
        return MixtureRows(mean, quantiles, np.concatenate([(1 - whose) * rows.weights, whose], axis=1))

    def forecast_each(
        self, histories: Sequence[FloatArray], horizon: int, levels: Sequence[float]
    ) -> dict[str, MixtureRows]:
        """Forecasts of single experts, by name: of the simple and classical ones that make sense for the season."""
        every = sorted({*MEAN_LEVELS, 0.5, *levels})
        mixture = ExpertMixture(self.season, self.second, levels=every)
        m = self.season
        names = ["last value", f"damped trend {m}", f"theta {m}"]
        if m > 1:
            names += [f"Holt-Winters {m}", f"fold {m}", f"phases and autoregression {m} {max(20 * m, 120)}"]
        most = max(1, CELLS // (64 * len(mixture.names) * horizon))
        parts: dict[str, list[FloatArray]] = {name: [] for name in names}
        for first in range(0, len(histories), most):
            rows = [np.asarray(h, dtype=np.float64) for h in histories[first : first + most]]
            for name, quantiles in mixture.forecast_each(aligned(rows), horizon, names).items():
                parts[name].append(quantiles)
        found = {}
        for name, pieces in parts.items():
            whole = np.concatenate(pieces)
            mean = whole[..., [every.index(level) for level in MEAN_LEVELS]].mean(axis=2)
            wanted = whole[..., [every.index(level) for level in levels]]
            found[name] = MixtureRows(mean, wanted, np.empty((len(whole), 0)))
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the experts' drafts, and of the companion."""
        beside = () if self.companion is None else (self.companion.source.name,)
        return (*ExpertMixture(self.season, self.second).names, *beside)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; see `Shares.to_dict`."""
        beside = self.companion
        found = {
            "season": self.season,
            "second": self.second,
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
            "shares": self.shares.to_dict(),
        }
        # Without one nothing is said of it: models from before there were any keep their fingerprints.
        said = beside and {"source": beside.source.to_dict(), "shares": beside.shares.to_dict()}
        return found if said is None else {**found, "companion": said}

    @classmethod
    def from_dict(
        cls, values: dict[str, Any], source: Callable[[dict[str, Any]], QuantileSource] | None = None
    ) -> FittedMixture:
        """Inverse of `to_dict`; `source` makes the companion's, where there is one, from what its `to_dict` said."""
        statistics, beside = values["statistics"], values.get("companion")
        companion = None
        if beside is not None:
            if source is None:
                raise ValueError("these values name a companion of the experts: pass the source that makes it")
            companion = Companion(source(beside["source"]), Shares.from_dict(beside["shares"]))
        return cls(
            values["season"],
            values["second"],
            None if statistics is None else PanelStatistics.from_dict(statistics),
            Shares.from_dict(values["shares"]),
            companion,
        )


def _sample(histories: Sequence[FloatArray]) -> list[int]:
    """Places of at most `MOST_SERIES` of those with a value, of all lengths; chosen by content, not by their order."""
    places = [place for place, history in enumerate(histories) if np.isfinite(history).any()]
    if len(places) <= MOST_SERIES:
        return places
    ordered = sorted(places, key=lambda place: (len(histories[place]), float(np.nanmean(histories[place]))))
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, MOST_SERIES).round().astype(int)]
