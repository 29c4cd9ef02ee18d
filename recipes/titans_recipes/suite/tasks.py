"""SuiteTask: series, first dates and protocol of a task.

Shapes: T steps of a series, K covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from titans_recipes.suite.archives.readers import FloatArray

GIFT, CHRONOS, FEV, DEFAULTS = "gift_eval", "chronos_benchmark_ii", "fev_bench", "defaults"
SUITES = (GIFT, CHRONOS, FEV, DEFAULTS)
# The season by the calendar where the suite scores with season 1, and the longer season beside a season.
CALENDAR = {"us_births/d": 7, "saugeen/d": 7, "us_births/w": 52, "m4_weekly": 52, "ett1/d": 7, "ett1/w": 52}
CALENDAR |= {"jena_weather/d": 7, "electricity_weekly": 52, "traffic_weekly": 52}
SECOND = {24: 168, 96: 672, 144: 1008, 7: 365}


@dataclass(frozen=True)
class SuiteTask:
    """Series and protocol of a task.

    Attributes:
        suite: one of `SUITES`.
        name: as the suite's result files have it.
        series: arrays in time order.
        horizon: steps of a window.
        season: of the naive forecast and of the scale of MASE.
        windows: at the end of every series, one horizon apart.
        freq: step as a pandas alias; "W" is a week of any day.
        starts: date of the first value of each series; 2000-01-01 where there is none.
        known: (T, K) covariates of each series that are known ahead; empty without.
        covariates: their K names.
        by_window: scores are means over windows of each window's own, as fev-bench takes them.
        by_series: WQL is the mean over series of each one's own, as fev-bench takes it of the columns of one table.
    """

    suite: str
    name: str
    series: Sequence[FloatArray]
    horizon: int
    season: int
    windows: int
    freq: str = "D"
    starts: Sequence[np.datetime64] = ()
    known: Sequence[FloatArray] = ()
    covariates: tuple[str, ...] = ()
    by_window: bool = False
    by_series: bool = False

    @property
    def period(self) -> int:
        """The season that a forecaster is told: the calendar's where the suite scores with 1."""
        return next((p for key, p in CALENDAR.items() if self.name.startswith(key)), self.season)

    @property
    def second_period(self) -> int:
        """A longer season by the calendar, 0 for none."""
        return SECOND.get(self.period, 0)

    def before_test(self, windows: int = 1) -> SuiteTask:
        """The same task on windows before those of the suite, for choices that must not see the suite's.

        Series too short for one such window and two seasons before it are left out.
        """
        cut = self.horizon * self.windows
        least = cut + self.horizon * windows + 2 * self.period
        kept = [i for i, x in enumerate(self.series) if len(x) >= least]
        return replace(
            self,
            series=[self.series[i][:-cut] for i in kept],
            starts=[self.starts[i] for i in kept] if self.starts else (),
            known=[self.known[i][:-cut] for i in kept] if self.known else (),
            windows=windows,
        )
