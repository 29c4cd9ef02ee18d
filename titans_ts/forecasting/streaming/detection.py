"""Anomaly scores of tokens and their conformal threshold.

A token's *levels* are four numbers (`PARTS`). Each is compared with its own running mean and spread over the tokens
before it, so that neither the scale of a series nor a slow drift decides. The *score*, or surprise, is the root mean
square of these departures and of their exponential averages over the last tokens: a Shewhart and an EWMA control chart
in one, the first for short anomalies, the second for lasting ones.

Shapes: C columns, K tokens, N memories, H heads, S steps of a token, n scores, P the four parts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# patch: mean logarithm of the inner losses of the network's memories; step: logarithm of the mean square of the errors
# one step ahead (`StepMemory`); dynamics: correlation of neighbouring errors; season: as step, of the errors against
# the profile of the last seasons.
PARTS = ("patch", "step", "dynamics", "season")
# One-step errors are anomalous in both directions: a flat line is predicted too well.
BOTH_WAYS = (False, True, True, False)
# Mean square errors, in squared spreads of the series, that count as none.
SMALLEST_SQUARE = 1e-8
# Tokens: half-life of the running levels, and how many must be read before anything is compared with them.
HALF_LIFE, FEWEST = 128, 10
# Departures are clipped here before the running levels learn from them: one anomaly must not hide the next one.
MOST_DEPARTURE = 4.0
SMALLEST_SPREAD = 0.05
# An average with a half-life of one token, and what it is multiplied with to vary as much as one departure by chance.
AVERAGE_SHARE = 0.5
AVERAGE_GAIN = ((2 - AVERAGE_SHARE) / AVERAGE_SHARE) ** 0.5


def token_levels(loss: Tensor, errors: Tensor) -> Tensor:
    """The levels (C, K, P) of tokens; NaN where nothing was observed.

    Args:
        loss: (C, K, N, H), inner losses of the network's memories. Heads live on different scales; in logarithms none
            drowns the others.
        errors: (C, 2, K, S), errors of the steps of each token (step, season), NaN where missing.
    """
    patch = loss.double().clamp_min(1e-12).log().mean((-2, -1))
    errors = errors.double()
    count = (~errors.isnan()).sum(-1)
    total = errors.nan_to_num(0.0).square().sum(-1)
    square = torch.where(count > 0, total / count.clamp_min(1), torch.nan)
    step, season = (square + SMALLEST_SQUARE).log().unbind(1)
    neighbours = (errors[:, 0, :, 1:] * errors[:, 0, :, :-1]).nan_to_num(0.0).sum(-1)
    dynamics = torch.where(count[:, 0] > 0, neighbours / (total[:, 0] + SMALLEST_SQUARE), torch.nan)
    return torch.stack([patch, step, dynamics, season], dim=-1)


def initial_running(columns: int) -> Tensor:
    """Count, mean, variance and averaged departure (4, C, P) before the first token."""
    return torch.zeros(4, columns, len(PARTS), dtype=torch.float64)


def departures(levels: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
    """How many standard deviations each token's levels (C, K, P) lie from the running mean of those before it.

    Args:
        levels: of tokens in order; NaN change nothing.
        running: count, mean, variance and averaged departure (4, C, P), on the CPU.

    Returns:
        (C, K, 2, P), departures and their averages, NaN where the level is missing or fewer than ten came before; the
        running values after them.
    """
    count, mean, variance, average = running.numpy().copy()
    columns, tokens, parts = levels.shape
    found = np.full((columns, tokens, 2, parts), np.nan)
    least = 1 - 0.5 ** (1 / HALF_LIFE)
    for place, level in enumerate(levels.cpu().numpy().transpose(1, 0, 2)):
        there = ~np.isnan(level)
        distance = np.where(there, level - mean, 0.0)
        spread = np.maximum(np.sqrt(variance), SMALLEST_SPREAD)
        known = count >= FEWEST
        departure = distance / spread
        average = np.where(there & known, average + AVERAGE_SHARE * (departure - average), average)
        both = np.stack([departure, AVERAGE_GAIN * average], axis=1)
        found[:, place] = np.where((there & known)[:, None], both, np.nan)
        most = np.where(known, MOST_DEPARTURE * spread, np.inf)
        distance = np.clip(distance, -most, most)
        gain = np.where(there, np.maximum(least, 1 / (count + 1)), 0.0)
        mean = mean + gain * distance
        variance = (1 - gain) * (variance + gain * distance**2)
        count = count + there
    return torch.from_numpy(found), torch.from_numpy(np.stack([count, mean, variance, average]))


def score(found: Tensor) -> Tensor:
    """One number a token, ≥ 0, from departures (…, 2, P): their root mean square; patch and season count upwards only.

    Missing parts are left out; NaN where all are missing.
    """
    both = torch.tensor(BOTH_WAYS, device=found.device)
    counted = torch.where(both | found.isnan(), found, found.clamp_min(0))
    return counted.square().nanmean((-2, -1)).sqrt()


def conformal_threshold(scores: Tensor, false_alarm_rate: float) -> Tensor:
    """Threshold (C,) of alarms from the scores of a history (C, n); NaN are left out.

    It is the k-th smallest score with k = ⌈(n + 1)(1 − rate)⌉. A new score that is exchangeable with them (drawn in the
    same way) exceeds it with a probability of at most the rate, whatever their distribution.

    Raises:
        ValueError: the rate is not in (0, 1), or a column has fewer than 1 / rate − 1 scores.
    """
    number = isinstance(false_alarm_rate, (int, float, np.number)) and not isinstance(false_alarm_rate, bool)
    if not number or not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate must lie in (0, 1), got {false_alarm_rate!r}")
    count = (~scores.isnan()).sum(1)
    # Rounded: (n + 1)(1 − rate) may come out a hair above a whole number.
    place = torch.tensor([math.ceil(round((n + 1) * (1 - false_alarm_rate), 9)) for n in count.tolist()])
    if bool((place > count.cpu()).any()):
        need = math.ceil(round(1 / false_alarm_rate - 1, 9))
        fewest = int(count.min())
        larger = f" or a rate of at least {math.ceil(1000 / (fewest + 1)) / 1000:g}" if fewest else ""
        raise ValueError(
            f"a false-alarm rate of {false_alarm_rate:g} needs at least {need} tokens of history, after the first "
            f"context and a third of the rest, got {fewest}: give a longer history{larger}"
        )
    ordered = scores.nan_to_num(torch.inf).sort(dim=1).values
    return ordered.gather(1, (place - 1).clamp_min(0)[:, None].to(scores.device))[:, 0]
