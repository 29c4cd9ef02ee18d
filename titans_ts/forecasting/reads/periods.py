"""Up to two periods of a series: by the calendar where known, else from the periodogram, confirmed by autocorrelation.

Shapes: B series, L steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# The longer season beside a season of a day, or a week, of common steps.
CALENDAR = {24: 168.0, 48: 336.0, 96: 672.0, 144: 1008.0, 7: 365.25}
FEWEST_STEPS = 12
# Peaks of the periodogram that are looked at, the least share of its power, and the least autocorrelation at the lag.
PEAKS, LEAST_POWER, LEAST_CORRELATION = 6, 0.02, 0.1
SHORTEST = 2.5
MULTIPLE = 0.04


def computed_periods(
    values: FloatArray, observed: npt.NDArray[np.bool_], ends: Sequence[int] | None = None
) -> FloatArray:
    """Periods (B, 2) in steps, 0 for none, of the steps from the first observed value to the end of each series.

    Args:
        values: (B, L), 0 where missing, in units near 1.
        observed: (B, L).
        ends: (B,) steps of each series that may be read; all by default.
    """
    found = np.zeros((len(values), 2))
    for row, (series, seen) in enumerate(zip(values, observed, strict=True)):
        first = int(np.argmax(seen)) if seen.any() else len(series)
        visible = np.asarray(series[first : len(series) if ends is None else int(ends[row])], dtype=np.float64)
        if len(visible) >= FEWEST_STEPS:
            periods = _periods(visible)
            found[row, : len(periods)] = periods
    return found


def chosen_periods(
    computed: FloatArray, lengths: Sequence[int], season: float = 0.0, second: float = 0.0
) -> FloatArray:
    """Periods (B, 2) where the season is known: a declared one is first, then a longer one by the calendar, if it fits.

    Args:
        computed: (B, 2), see `computed_periods`.
        lengths: (B,) steps of each series.
        season: declared, in steps; below 2 for none.
        second: a longer one, declared; 0 takes the calendar's of the season.
    """
    chosen = computed.copy()
    if season < 2:
        return chosen
    second = second or CALENDAR.get(int(season), 0.0)
    for row, length in enumerate(lengths):
        others = [period for period in computed[row] if period > 0 and abs(period - season) > 0.5]
        if length >= 2 * season or not others:
            fits = second > 0 and length >= 2 * second
            chosen[row] = season, second if fits else (others[0] if others else 0.0)
    return chosen


def _periods(series: FloatArray) -> list[float]:
    """Of one series, the strongest first."""
    steps = len(series)
    detrended = _detrended(series)
    power = np.abs(np.fft.rfft(detrended * np.hanning(steps), 2 * steps)) ** 2
    total = power.sum() + 1e-9
    correlation = np.fft.irfft(np.abs(np.fft.rfft(detrended, 2 * steps)) ** 2)[:steps]
    correlation = correlation / (correlation[0] + 1e-9)
    power[:4] = 0
    found: list[float] = []
    for _ in range(PEAKS):
        peak = int(np.argmax(power))
        if power[peak] < LEAST_POWER * total or len(found) == 2:
            break
        power[max(0, peak - 3) : peak + 4] = 0
        period = 2 * steps / peak
        if period < SHORTEST or period > steps / 2:
            continue
        lag = _confirmed(correlation, period)
        if correlation[min(lag, steps - 1)] >= LEAST_CORRELATION and not _follows(lag, found):
            found.append(float(lag))
    return found


def _detrended(series: FloatArray) -> FloatArray:
    """Less the least-squares line."""
    place = np.arange(len(series)) - (len(series) - 1) / 2
    centred = series - series.mean()
    return np.asarray(centred - place * (place @ centred) / (place @ place))


def _confirmed(correlation: FloatArray, period: float) -> int:
    """The lag of largest autocorrelation near a period."""
    low, high = int(max(2, np.floor(period * 0.94))), int(np.ceil(period * 1.06)) + 1
    return low + int(np.argmax(correlation[low:high])) if high < len(correlation) else round(period)


def _follows(lag: int, found: Sequence[float]) -> bool:
    """Whether a lag is a part of one that was found."""
    for other in found:
        part = abs(lag / other - round(lag / other)) < MULTIPLE
        whole = abs(other / lag - round(other / lag)) < MULTIPLE and other < lag
        if (part or whole) and lag <= max(found):
            return True
    return False
