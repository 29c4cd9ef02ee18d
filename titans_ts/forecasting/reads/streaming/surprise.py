"""Surprise without training: where observations lie in what a pretrained `ReadingNetwork` forecast of them.

Every `BLOCK` steps the next ones are forecast from all before them (of the last few thousand), many places at once.
Periods and units of a piece of the series come from the steps before it, so that no score depends on what follows it.
Two scores come from that: the distance of a single value (`surprises`), and how unusual the errors of a token of 24
steps are together (`lasting`): too large, too small as on a flat line, or related to each other otherwise than before.

Shapes: T steps, J places of a piece, H = BLOCK steps after each, K tokens, Q deciles.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_ts.core.config import require
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.features import boundary_inputs
from titans_ts.forecasting.reads.forecast import LARGEST
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.network import LEVELS, ReadingNetwork, normal_scores
from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, Series
from titans_ts.forecasting.reads.streaming.given import Given
from titans_ts.forecasting.reads.streaming.units import Totals, Units
from titans_ts.forecasting.streaming.detection import conformal_threshold, departures

FloatArray = npt.NDArray[np.float64]

# Steps before the first place, steps read at once, and steps before a piece that are read.
FIRST, PIECE, CONTEXT = 16, 1024, 2048
# Standard deviations beyond which scores are not told apart.
FURTHEST = 100.0
# Of neighbouring deciles, in standard deviations of the series.
SMALLEST_GAP = 1e-9
# Steps of a token, its largest score that counts, and its mean square that counts as none.
TOKEN, LARGEST_SCORE, SMALLEST_SQUARE = 24, 8.0, 1e-3
# Last scores that a threshold is taken from.
MOST_SCORES = 4096


def surprises(network: ReadingNetwork, history: FloatArray, season: float = 0.0, second: float = 0.0) -> FloatArray:
    """Distance (T,) of each value from its forecast median up to 8 steps ahead: `forecast_scores` without their sign.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
        >>> from titans_ts.forecasting.reads.streaming.surprise import surprises
        >>> history = np.sin(np.arange(96) * np.pi / 12)
        >>> history[60] = 9
        >>> found = surprises(ReadingNetwork(ReadingConfig()), history, season=24)  # or ReadingNetwork.load(path)
        >>> found.shape, int(np.nanargmax(found))
        ((96,), 60)
    """
    return np.abs(forecast_scores(network, history, season, second))


def forecast_scores(
    network: ReadingNetwork, history: FloatArray, season: float = 0.0, second: float = 0.0
) -> FloatArray:
    """Normal scores (T,) of each value in its forecast up to 8 steps ahead; NaN for missing values and the first steps.

    A value at the 90 % quantile has 1.28; beyond it the straight line over normal scores goes on. Those of a·x + b are
    the same (of −x with the other sign, where neither is known to stay on one side of 0).

    Args:
        network: trained; with the drafts `NAMES`, or those and the experts' `SLOTS`.
        history: (T,), NaN for missing.
        season: declared, in steps; below 2 periods are computed.
        second: a longer one; 0 takes the calendar's beside the season.

    Raises:
        ValueError: the history is not (T,) or has infinite values, or the network reads other drafts.
    """
    values = np.asarray(history, dtype=np.float64)
    if values.ndim != 1 or np.isinf(values).any():
        raise ValueError(f"history must be (steps,), finite or NaN for missing, got the shape {values.shape}")
    seen = np.flatnonzero(np.isfinite(values))
    first = int(seen[0]) if len(seen) else len(values)
    found = np.full(len(values), np.nan)
    found[first:] = scores_from(network, Given.of(network, season, second), values[first:], 0)
    return found


def scores_from(network: ReadingNetwork, given: Given, values: FloatArray, begin: int) -> FloatArray:
    """Normal scores (T − begin,) of values (T,) from a step on; forecasts are made at multiples of `BLOCK`.

    Args:
        network, given: what reads.
        values: NaN for missing.
        begin: a multiple of `BLOCK`.
    """
    found = np.full(len(values) - begin, np.nan)
    seen = np.flatnonzero(np.isfinite(values))
    first = int(seen[0]) if len(seen) else len(values)
    start = first - first % BLOCK
    own = values[start:]
    place = max(begin - start, FIRST + BLOCK * (first > start))
    while place < len(own):
        end = min(_end(own, place), len(own))
        found[start + place - begin : start + end - begin] = _scores(network, given, own[:end], place)
        place = end
    return found


def detect(
    network: ReadingNetwork,
    history: FloatArray,
    season: float = 0.0,
    second: float = 0.0,
    *,
    false_alarm_rate: float = 0.01,
) -> npt.NDArray[np.bool_]:
    """Whether each value (T,), or the token it is in, surprises more than those before did.

    Half of the rate goes to each of the two scores, see `surprises`, `lasting` and `running_alarms`; the alarm of a
    token is one of all its values. The rate R needs about 2 / R values, and 48 / R for tokens, before the first alarm.

    Raises:
        ValueError: the rate is not in (0, 1), or see `forecast_scores`.
    """
    require(0 < false_alarm_rate < 1, "false_alarm_rate", "between 0 and 1", false_alarm_rate)
    scores = forecast_scores(network, history, season, second)
    alarms = running_alarms(np.abs(scores), false_alarm_rate / 2)
    tokens = running_alarms(lasting(scores), false_alarm_rate / 2)
    rest = len(scores) % TOKEN
    alarms[rest:] |= np.repeat(tokens, TOKEN) & np.isfinite(scores[rest:])
    return alarms


def lasting(scores: FloatArray) -> FloatArray:
    """How unusual (K,) the scores (T,) of each token of 24 steps are together; the last token ends with them.

    The mean square (as a logarithm) and the correlation of neighbours are compared with their running means over the
    tokens before, as `streaming.detection` does with levels. NaN for tokens without a score and the first ten others.
    """
    tokens = scores[len(scores) % TOKEN :].reshape(-1, TOKEN)
    seen = np.isfinite(tokens)
    clipped = np.where(seen, np.clip(tokens, -LARGEST_SCORE, LARGEST_SCORE), 0.0)
    total = np.square(clipped).sum(axis=1)
    square = np.log(total / np.maximum(seen.sum(axis=1), 1) + SMALLEST_SQUARE)
    neighbours = (clipped[:, 1:] * clipped[:, :-1]).sum(axis=1) / (total + SMALLEST_SQUARE)
    there = seen.sum(axis=1, keepdims=True) > 0
    levels = np.where(there, np.stack([square, neighbours], axis=1), np.nan)
    running = torch.zeros(4, 1, levels.shape[1], dtype=torch.float64)
    found, _ = departures(torch.from_numpy(levels)[None], running)
    return np.asarray(found[0].square().mean((-2, -1)).sqrt())


def running_alarms(scores: FloatArray, false_alarm_rate: float) -> npt.NDArray[np.bool_]:
    """Whether scores (T,) exceed the conformal quantile of those before their block of 8.

    Where scores are exchangeable, each is an alarm with a probability of at most the rate. There are no alarms before
    1 / rate − 1 scores are known.

    Raises:
        ValueError: the rate is not in (0, 1).
    """
    require(0 < false_alarm_rate < 1, "false_alarm_rate", "between 0 and 1", false_alarm_rate)
    known = np.flatnonzero(~np.isnan(scores))
    past, alarms = torch.from_numpy(scores[known])[None], np.zeros(len(scores), dtype=bool)
    least = math.ceil(round(1 / false_alarm_rate - 1, 9))
    for begin in range(-(-max(least, 1) // BLOCK) * BLOCK, len(known), BLOCK):
        threshold = float(conformal_threshold(past[:, max(0, begin - MOST_SCORES) : begin], false_alarm_rate))
        part = known[begin : begin + BLOCK]
        alarms[part] = scores[part] > threshold
    return alarms


def normal_places(deciles: Tensor, values: Tensor) -> Tensor:
    """Normal scores (…) of values (…) in distributions with these deciles (…, Q): straight lines between them."""
    known = normal_scores(LEVELS)
    right = torch.searchsorted(deciles, values[..., None]).clamp(1, len(LEVELS) - 1)
    low, high = deciles.gather(-1, right - 1), deciles.gather(-1, right)
    share = ((values[..., None] - low) / (high - low).clamp_min(SMALLEST_GAP))[..., 0]
    right = right[..., 0]
    return (known[right - 1] + share * (known[right] - known[right - 1])).clamp(-FURTHEST, FURTHEST)


def _end(values: FloatArray, begin: int) -> int:
    """Where a piece ends: as much is read as came before, up to `PIECE`; after a constant, up to the first change."""
    end = begin + min(begin, PIECE)
    recent = values[max(0, begin - CONTEXT) : begin]
    if np.nanmax(recent, initial=-np.inf) > np.nanmin(recent, initial=np.inf):
        return end
    last = values[:begin][np.isfinite(values[:begin])][-1]
    changed = np.isfinite(values[begin:end]) & (values[begin:end] != last)
    return begin + (int(changed.argmax()) // BLOCK + 1) * BLOCK if changed.any() else end


@torch.no_grad()
def _scores(network: ReadingNetwork, given: Given, values: FloatArray, begin: int) -> FloatArray:
    """Normal scores (T − begin,) of values (T,) from a step on, a multiple of `BLOCK`; NaN where missing."""
    ahead = values[begin:]
    places = -(-len(ahead) // BLOCK)
    last = begin + (places - 1) * BLOCK
    start = max(0, last - CONTEXT - places * BLOCK)
    before, read = values[max(0, begin - CONTEXT) : begin], values[start:last]
    units = Totals.of(before[None]).units
    if not units.scale[0] > 0:
        # A constant says nothing of distances: what equals it is no surprise, anything else the largest.
        level = values[:begin][np.isfinite(values[:begin])][-1]
        return np.where(np.isnan(ahead), np.nan, np.sign(ahead - level) * FURTHEST)
    periods = _periods(units, before, given)
    scaled = np.clip(units.of(read[None]), -LARGEST, LARGEST)
    observed = np.isfinite(scaled)
    zero = units.zero(np.nanmin(values[:begin], keepdims=True) >= 0)
    numbers = (np.where(observed, scaled, 0.0), observed, periods, zero)
    series = Series.of(*(torch.from_numpy(x) for x in numbers))
    boundaries = min(series.length // BLOCK, places + NEEDED - 1)
    at = Boundaries.of(series, boundaries, given.at([values[:last]], units, periods, boundaries, BLOCK))
    steps = torch.arange(1, BLOCK + 1)
    inputs = boundary_inputs(at, torch.arange(boundaries - places, boundaries)[None], steps)
    deciles = network(inputs.single(), steps).to(inputs.scale) * inputs.scale[..., None] + inputs.centre[..., None]
    target = np.full(places * BLOCK, np.nan)
    target[: len(ahead)] = units.of(ahead[None])[0]
    wanted = torch.from_numpy(target).view(places, BLOCK)
    found = normal_places(deciles[0].contiguous(), wanted.nan_to_num(0.0)).masked_fill(wanted.isnan(), torch.nan)
    return np.asarray(found.view(-1)[: len(ahead)])


def _periods(units: Units, before: FloatArray, given: Given) -> FloatArray:
    """Periods (1, 2) of the steps before."""
    scaled = np.clip(units.of(before[None]), -LARGEST, LARGEST)
    observed = np.isfinite(scaled)
    computed = computed_periods(np.where(observed, scaled, 0.0), observed)
    return chosen_periods(computed, [len(before)], given.season, given.second)
