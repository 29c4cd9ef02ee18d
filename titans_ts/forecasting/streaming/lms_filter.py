"""StepMemory: a linear memory that predicts every step and then reads it; its errors are the surprise of steps.

The memories of the network read patches, key and value from the same one; they are surprised by unusual patches. This
one predicts each step before it reads it. It has two heads with the update of the paper (eqs. 13 and 14, the token
center) and fixed gates:

- *step*: keys are the last changes, those a season and seven seasons ago, the distance from the values a season ago;
  the value is the next change. Keys have length one, so that this is the normalised LMS filter.
- *season*: keys are harmonics of the phase of the season, the value is the step's value: the profile of about the last
  28 seasons.

Errors are taken before the step is written, in a session's history and after it: both can be compared.

Shapes: C columns, L context steps, n steps, S patch length, K key width; heads are (step, season).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from titans_ts.core.surprise import MemoryState, linear_errors

HEADS = 2
# Of .005, .02, .05 and .1 the errors of weather and ETTh1 are the smallest at .02 (up to 2 % larger beside it, 6 % at
# .1); a ridge regression over all steps so far, solved anew every day, has 1 % smaller ones there and 3 % larger here.
STEP_SIZE = 0.02
STEP_FORGETTING = 1e-4
PROFILE_SEASONS = 28
MOST_HARMONICS = 8
RECENT_CHANGES = 8
# Chunks of one series and of eight or more. One thread, 768 steps: 10 µs a step of one series at 64 and 18 at 16, for
# 192 series 4.4 µs a step and series at 64 and 2.1 at 16.
CHUNKS, FEW_COLUMNS = (64, 16), 8
# In spreads of the series: shorter keys are not normalised to length one.
SMALLEST_KEY = 0.1
HARMONIC_GAIN = 0.3


class StepMemory:
    """The memory of steps for series of one frequency.

    Args:
        season: steps of a season, 1 for none.
        context: L, how far back keys may reach.
    """

    def __init__(self, season: int, context: int) -> None:
        self.season = season
        self.harmonics = min(MOST_HARMONICS, (season - 1) // 2)
        seasonal = [season - 1, season, season + 1, 7 * season] if season > 1 else []
        lags = sorted({*range(1, RECENT_CHANGES + 1), *(lag for lag in seasonal if lag > 0)})
        # A change reaches a step further back than its lag.
        self.changes = [lag for lag in lags if lag + 1 <= context]
        self.distances = [lag for lag in (season - 1, season, 2 * season) if 1 < lag <= context]
        self.width = max(1, len(self.changes) + len(self.distances) + 2 * self.harmonics, 2 * self.harmonics + 1)
        profile = min(0.25, (2 * self.harmonics + 1) / (2 * PROFILE_SEASONS * season))
        self.steps, self.forgetting = (STEP_SIZE, profile), (STEP_FORGETTING, 0.0)

    def initial_state(self, columns: int, device: torch.device) -> MemoryState:
        """It expects no change, and the mean."""
        return MemoryState.start([torch.zeros(columns, HEADS, self.width, 1, device=device)])

    def read(
        self, state: MemoryState, values: Tensor, loc: Tensor, scale: Tensor, first: int
    ) -> tuple[Tensor, MemoryState]:
        """Read n steps.

        Args:
            state: before the first of them.
            values: (C, L + n) float64, the L steps before them and the steps, NaN where missing.
            loc, scale: (C, n), the series' units at each step.
            first: number of the first step.

        Returns:
            Errors (C, 2, n) in units of `scale`, NaN where a step or the one before it is missing; and the state.
        """
        keys, targets, lengths, observed = self._tokens(values, loc, scale, first)
        chunk = CHUNKS[len(keys) >= FEW_COLUMNS]
        alpha, eta, theta = (
            keys.new_tensor(x).expand(keys.shape[:3]) for x in (self.forgetting, (0.0, 0.0), self.steps)
        )
        errors, after = linear_errors((keys, targets, alpha, eta, theta), state, chunk, observed)
        errors = errors.squeeze(-1) * lengths
        return errors.masked_fill(~observed[..., None], torch.nan).transpose(1, 2), after

    def _tokens(self, values: Tensor, loc: Tensor, scale: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keys (C, n, 2, K), values (C, n, 2, 1) and lengths (C, n, 2) by which both were divided, observed (C, n)."""
        steps = loc.shape[1]
        context = values.shape[1] - steps
        change = torch.nn.functional.pad(values.diff(dim=1), (1, 0), value=torch.nan)
        back = [change[:, context - lag : context - lag + steps] for lag in self.changes]
        last = values[:, context - 1 : context - 1 + steps]
        back += [values[:, context - lag : context - lag + steps] - last for lag in self.distances]
        phase = self._phase(first, steps, values)
        waves = phase.expand(len(values), -1, -1)
        own = [(x / scale).nan_to_num(0.0)[..., None] for x in back]
        step = _padded(torch.cat([*own, HARMONIC_GAIN * waves], dim=-1), self.width)
        season = _padded(torch.cat([waves, torch.ones_like(waves[..., :1])], dim=-1), self.width)
        now = values[:, context:]
        target = torch.stack([change[:, context:], now - loc], dim=-1) / scale[..., None]
        observed = ~target.isnan().any(-1)
        keys = torch.stack([step, season], dim=2)
        lengths = (keys.square().sum(-1) + SMALLEST_KEY**2).sqrt()
        lengths[..., 1] = math.sqrt(self.harmonics + 1)
        keys, target = keys / lengths[..., None], (target.nan_to_num(0.0) / lengths)[..., None]
        return keys.float(), target.float(), lengths.float(), observed

    def _phase(self, first: int, steps: int, like: Tensor) -> Tensor:
        """Sines and cosines (n, 2·harmonics) of the phase of the season."""
        number = torch.arange(first, first + steps, device=like.device) % self.season
        angle = number.to(like.dtype)[:, None] * (2 * math.pi / self.season)
        turns = angle * torch.arange(1, self.harmonics + 1, device=like.device)
        return torch.cat([turns.sin(), turns.cos()], dim=-1)


def _padded(key: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(key, (0, width - key.shape[-1]))
