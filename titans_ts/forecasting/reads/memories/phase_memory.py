"""Phase memories: ridge regressions of a series on the phases of its periods, each forgetting at a rate of its own.

The inner problem of Titans (an associative loss with forgetting, arXiv 2501.00663 §3.1) with linear memory, solved
exactly instead of by one gradient step a token: M_t = argmin Σ_s λ^(t − s) (k_s M − x_s)² + M' D M, where the key k_s
is a constant, harmonics of the periods, and covariates that are known ahead. The state is its normal equations.

Shapes: B series, T steps, C covariates, K numbers of a key, R rates, M moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from titans_ts.forecasting.reads.series import BLOCK, Series

HARMONICS = 6
# Of both periods at each rate, then of the first period alone at all rates but the fastest.
RIDGE, RIDGE_ALONE = (0.3, 0.5, 1.0, 1.0), (0.5, 1.0, 1.0)
RATES = len(RIDGE)
MEMORIES = len(RIDGE) + len(RIDGE_ALONE)
# The constant is hardly shrunk.
CONSTANT = 0.02
# Steps over which the slowest memory forgets: so long that it does not within a usual context.
SLOWEST = 4000.0


@dataclass(frozen=True)
class PhaseKeys:
    """Keys of a batch of series as a function of time: constant, sines, cosines of each period, covariates.

    Attributes:
        periods: (B, 2) in steps, 0 for none.
        covariates: (B, C, T) from step 0 on; None without.
        origin: step of phase 0.
    """

    periods: Tensor
    covariates: Tensor | None = None
    origin: int = 0

    @classmethod
    def of(cls, series: Series) -> PhaseKeys:
        """Those of a batch; phases count from the end, so that steps in front of a series do not matter."""
        origin = series.length if series.origin is None else series.origin
        return cls(series.periods, series.covariates, origin)

    @property
    def size(self) -> int:
        """Numbers K of a key."""
        return 1 + 4 * HARMONICS + (0 if self.covariates is None else self.covariates.shape[1])

    @property
    def alone(self) -> Tensor:
        """Which of the K numbers do not belong to the second period."""
        sines = 1 + torch.arange(HARMONICS)
        rest = torch.arange(1 + 4 * HARMONICS, self.size)
        return torch.cat([torch.zeros(1, dtype=torch.long), sines, sines + 2 * HARMONICS, rest])

    def at(self, time: Tensor) -> Tensor:
        """Keys (B, M, K) at steps (B, M); covariates outside their range are those of its nearest end."""
        multiple = torch.arange(1, HARMONICS + 1, dtype=self.periods.dtype)
        # In float64: a step after long histories has a phase of small error.
        phase = (time - self.origin)[..., None] / self.periods.double().clamp_min(1)[:, None]
        angle = 2 * math.pi * phase.frac().to(self.periods.dtype)[..., None] * multiple
        length = self.periods[:, None, :, None] / multiple
        sines = (angle.sin() * (length > 2.01)).flatten(2)
        cosines = (angle.cos() * (length >= 2)).flatten(2)
        parts = [torch.ones_like(sines[..., :1]), sines, cosines]
        if self.covariates is not None:
            place = time.clamp(0, self.covariates.shape[2] - 1)[:, None].expand(-1, self.covariates.shape[1], -1)
            parts.append(self.covariates.gather(2, place).transpose(1, 2).to(sines.dtype))
        return torch.cat(parts, -1)


@dataclass(frozen=True)
class PhaseState:
    """Normal equations of every memory, of constant size.

    Attributes:
        gram: (B, R, K, K) forgotten sums of k k'.
        cross: (B, R, K) of k x.
        time: steps that were read.

    Example:
        >>> import torch
        >>> from titans_ts.forecasting.reads.memories import phase_memory
        >>> keys = phase_memory.PhaseKeys(periods=torch.tensor([[12.0, 0.0]]))
        >>> state = phase_memory.empty(keys)
        >>> for part in torch.sin(torch.arange(60.0)).view(1, 60).split(20, dim=1):
        ...     state = phase_memory.update(keys, state, part, torch.ones_like(part))
        >>> state.time, phase_memory.solved(keys, state.gram, state.cross).shape
        (60, torch.Size([1, 7, 25]))
    """

    gram: Tensor
    cross: Tensor
    time: int


def forgetting(periods: Tensor) -> Tensor:
    """Factors λ (B, R) a step: horizons of 1.5, 5 and 15 periods (or twice the long one), and almost none."""
    first = periods[:, 0]
    base = torch.where(first > 0, first.clamp_min(4), 8.0)
    longest = torch.where(first > 0, periods.amax(1), 16.0)
    slow = torch.maximum(15 * base, 2 * longest)
    horizons = torch.stack([1.5 * base, 5 * base, slow, torch.full_like(base, SLOWEST)], 1)
    return torch.exp(-1 / horizons)


def empty(keys: PhaseKeys) -> PhaseState:
    """The state before the first step."""
    count, size = len(keys.periods), keys.size
    gram = torch.zeros(count, RATES, size, size, dtype=keys.periods.dtype)
    return PhaseState(gram, gram[..., 0].clone(), 0)


def update(keys: PhaseKeys, state: PhaseState, values: Tensor, observed: Tensor) -> PhaseState:
    """The state after T more steps.

    Args:
        keys: of the series.
        state: before.
        values: (B, T), 0 where missing.
        observed: (B, T), 1 or 0.
    """
    steps = values.shape[1]
    decay = forgetting(keys.periods)
    gram, cross = _sums(keys, state.time, values[:, None], observed[:, None])
    kept = decay**steps
    gram = state.gram * kept[..., None, None] + gram[:, 0]
    return PhaseState(gram, state.cross * kept[..., None] + cross[:, 0], state.time + steps)


def _sums(keys: PhaseKeys, start: int, values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Forgotten sums of each block of steps by itself: values, observed (B, N, P) → (B, N, R, K, K), (B, N, R, K)."""
    count, blocks, steps = values.shape
    time = start + torch.arange(blocks * steps).expand(count, -1)
    key = keys.at(time).view(count, blocks, 1, steps, keys.size)
    age = torch.arange(steps - 1, -1, -1)
    weight = (forgetting(keys.periods)[:, :, None] ** age)[:, None] * observed[:, :, None]
    weighed = (key * weight[..., None]).transpose(3, 4)
    return weighed @ key, (weighed @ values[:, :, None, :, None])[..., 0]


def states_at(
    keys: PhaseKeys, values: Tensor, observed: Tensor, boundaries: int, before: PhaseState | None = None
) -> tuple[Tensor, Tensor]:
    """`gram` (B, J, R, K, K), `cross` (B, J, R, K) at the last J boundaries of series (B, L), `BLOCK` steps apart.

    Args:
        keys: of the series.
        values, observed: as in `update`.
        boundaries: J.
        before: the state before the first of these steps, whose time is step 0; an empty one by default.
    """
    count, length = values.shape
    begin = length - (boundaries - 1) * BLOCK
    state = update(keys, before or empty(keys), values[:, :begin], observed[:, :begin])
    blocks = (count, boundaries - 1, BLOCK)
    grams, crosses = _sums(keys, begin, values[:, begin:].reshape(blocks), observed[:, begin:].reshape(blocks))
    kept = forgetting(keys.periods) ** BLOCK
    gram = torch.empty(count, boundaries, *state.gram.shape[1:], dtype=values.dtype)
    cross = torch.empty(count, boundaries, *state.cross.shape[1:], dtype=values.dtype)
    gram[:, 0], cross[:, 0] = state.gram, state.cross
    for j in range(boundaries - 1):
        torch.addcmul(grams[:, j], gram[:, j], kept[..., None, None], out=gram[:, j + 1])
        torch.addcmul(crosses[:, j], cross[:, j], kept[..., None], out=cross[:, j + 1])
    return gram, cross


def solved(keys: PhaseKeys, gram: Tensor, cross: Tensor) -> Tensor:
    """Memories (…, MEMORIES, K) of normal equations (…, R, K, K) and (…, R, K)."""
    both = _ridge(gram, cross, RIDGE)
    kept = keys.alone
    parts = gram[..., 1:, :, :].index_select(-1, kept).index_select(-2, kept)
    alone = torch.zeros_like(both[..., 1:, :])
    alone[..., kept] = _ridge(parts, cross[..., 1:, :].index_select(-1, kept), RIDGE_ALONE)
    return torch.cat([both, alone], -2)


def _ridge(gram: Tensor, cross: Tensor, penalties: tuple[float, ...]) -> Tensor:
    """Solutions (…, R, K) with a penalty for each rate."""
    shape = torch.ones(gram.shape[-1], dtype=gram.dtype)
    shape[0] = CONSTANT
    penalty = torch.tensor(penalties, dtype=gram.dtype)[:, None] * shape
    return solved_positive(gram + torch.diag_embed(penalty), cross)


def solved_positive(matrix: Tensor, right: Tensor) -> Tensor:
    """Solutions (…, K) of positive definite systems (…, K, K) with right-hand sides (…, K)."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed.any():
        # Rounding has made a smallest eigenvalue negative.
        return torch.linalg.solve(matrix, right)
    half = torch.linalg.solve_triangular(factor, right[..., None], upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)[..., 0]
