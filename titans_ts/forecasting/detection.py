"""Alarms: how surprising a token must be to be called an anomaly, from the history alone.

Shapes: C columns, K tokens, N memories, H heads, n scores.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def score(loss: Tensor) -> Tensor:
    """One number a token from the inner losses (C, K, N, H): the mean of their logarithms (C, K), NaN where missing.

    Heads live on different scales; in logarithms none of them drowns the others.
    """
    return loss.double().clamp_min(1e-12).log().mean((-2, -1))


def conformal_threshold(scores: Tensor, false_alarm_rate: float) -> Tensor:
    """The smallest score (C,) that is an alarm's, from those of a history (C, n); NaN are left out.

    It is the k-th smallest score with k = ⌈(n + 1)(1 − rate)⌉. A new score that is exchangeable with them, that is,
    drawn as they were, exceeds it with a probability of at most the rate, whatever their distribution.

    Raises:
        ValueError: the rate is not in (0, 1), or a column has fewer than 1 / rate − 1 scores.
    """
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate must lie in (0, 1), got {false_alarm_rate!r}")
    count = (~scores.isnan()).sum(1)
    # Rounded: (n + 1)(1 − rate) may come out a hair above a whole number.
    place = torch.tensor([math.ceil(round((n + 1) * (1 - false_alarm_rate), 9)) for n in count.tolist()])
    if bool((place > count.cpu()).any()):
        need = math.ceil(round(1 / false_alarm_rate - 1, 9))
        raise ValueError(
            f"a false-alarm rate of {false_alarm_rate:g} needs at least {need} tokens of history, after the first "
            f"context and a third of the rest, got {int(count.min())}: give a longer history or a higher rate"
        )
    ordered = scores.nan_to_num(torch.inf).sort(dim=1).values
    return ordered.gather(1, (place - 1).clamp_min(0)[:, None].to(scores.device))[:, 0]
