"""The share of pretrained reads beside a panel's experts, by held-out windows at the ends of its series.

Shapes: R rows (series × channels), T steps of a history, C covariates, H horizon, W windows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from titans_ts.forecasting.experts.companion import LEAST, Companion
from titans_ts.forecasting.experts.covariates import taken_off
from titans_ts.forecasting.experts.fitted import REACHED, FittedMixture
from titans_ts.forecasting.experts.panel import FloatArray, Panel, aligned
from titans_ts.forecasting.experts.shares import LEAST_REACH, HeldOutForecasts, Reach, Shares, choose_shares
from titans_ts.forecasting.experts.windows import difference_unit
from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.reads.network import LEVELS

# The reads' share where nothing speaks for or against it.
PRIOR = 0.5
# How far they may be from the experts where no window showed it: a series that has just become another one is as new to
# the reads as all else that they have not been trained on.
NEAR = Reach(LEAST_REACH, *REACHED, widths=True)
# Series, windows of one, and windows in all at most: reads take up to 20 ms for each.
MOST_SERIES, MOST_WINDOWS, MOST_ROWS = 200, 3, 240


def unweighed(reads: PretrainedReads) -> Companion:
    """The reads with a share of `PRIOR`, where they are not far from the experts."""
    return Companion(reads, replace(Shares.only(PRIOR), reach=NEAR))


def weighed(
    reads: PretrainedReads,
    histories: Sequence[FloatArray],
    codes: Sequence[Hashable],
    horizon: int,
    covariates: Sequence[FloatArray] | None = None,
) -> Companion:
    """The reads with the shares of least quantile loss in windows that neither they nor the experts have seen.

    The last windows of at most `MOST_SERIES` series are forecast from what lies before each, by experts whose
    statistics are those of what lies before all of them. Where no series has a window, the share is `PRIOR`.

    Args:
        reads: of the panel's season.
        histories: (T,) of the rows, NaN for missing.
        codes: of their series.
        horizon: H.
        covariates: (C, ≥ T) of the rows, known ahead.
    """
    windows = judging_windows(histories, horizon)
    if not windows:
        return unweighed(reads)
    found = _held_out(reads, histories, windows, codes, horizon, covariates)
    shares = choose_shares(found, LEVELS, PRIOR, widths=True)
    # Widths are those of what experts and reads forecast with the network.
    return Companion(reads, replace(shares, width=np.ones(1), reach=shares.reach or NEAR))


def judging_windows(histories: Sequence[FloatArray], horizon: int) -> list[tuple[int, int]]:
    """Windows (row, steps before it) by which reads are weighed: the last ones of at most `MOST_SERIES` rows.

    Args:
        histories: (T,) of the rows, NaN for missing.
        horizon: H.
    """
    rows = chosen_rows(histories)
    count = int(np.clip(MOST_ROWS // max(1, len(rows)), 1, MOST_WINDOWS))
    windows = [(row, len(histories[row]) - back * horizon) for row in rows for back in range(count, 0, -1)]
    return [(row, end) for row, end in windows if end > 0 and _serves(histories[row], end, horizon)]


def chosen_rows(histories: Sequence[FloatArray], most: int = MOST_SERIES, least: int = LEAST) -> list[int]:
    """Rows of all lengths and levels; their order in the panel does not matter.

    Args:
        histories: (T,) of the rows, NaN for missing.
        most: how many.
        least: observed values that each has.
    """
    rows = [row for row, history in enumerate(histories) if np.isfinite(history).sum() >= least]
    if len(rows) <= most:
        return rows
    ordered = sorted(rows, key=lambda row: (len(histories[row]), float(np.nanmean(histories[row]))))
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def _serves(history: FloatArray, end: int, horizon: int) -> bool:
    """Whether enough is known before a window, and something in it."""
    known = np.isfinite(history)
    return bool(known[:end].sum() >= LEAST and known[end : end + horizon].any())


def _held_out(
    reads: PretrainedReads,
    histories: Sequence[FloatArray],
    windows: Sequence[tuple[int, int]],
    codes: Sequence[Hashable],
    horizon: int,
    covariates: Sequence[FloatArray] | None,
) -> HeldOutForecasts:
    """Forecasts of windows (row, end of what is known) by the experts and the reads."""
    season, second = reads.season, reads.second
    before = [np.asarray(histories[row][:end], dtype=np.float64) for row, end in windows]
    actual = np.stack([np.asarray(histories[row][end : end + horizon], dtype=np.float64) for row, end in windows])
    moments = np.array([len(histories[row]) - end for row, end in windows], dtype=np.int64)
    first = {row: len(histories[row]) - int(moments.max()) for row, _ in windows}
    known = [histories[row][: max(0, end)] for row, end in first.items()]
    every = None if covariates is None else [covariates[row] for row in first]
    mixture = FittedMixture.learn(known, horizon, season, second, every)
    panel = Panel.of(aligned(before), season)
    nonnegative, ahead = None, np.zeros((len(windows), horizon))
    if covariates is not None:
        before, ahead = taken_off(before, [covariates[row] for row, _ in windows], season, horizon)
        nonnegative = False
    return HeldOutForecasts(
        mixture.forecast(before, horizon, LEVELS, nonnegative).quantiles + ahead[..., None],
        reads.quantiles(before, horizon, LEVELS) + ahead[..., None],
        actual,
        difference_unit(panel, season) * panel.scale,
        [codes[row] for row, _ in windows],
        moments,
    )
