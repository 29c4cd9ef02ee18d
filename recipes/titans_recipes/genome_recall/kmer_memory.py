"""A causal model of DNA whose long memory is a linear memory over the k-mer before each base.

The memory op is the library's, exact recurrence, no momentum; its keys and values are fixed: random codes of 12-mers.
A matrix of K × V then holds about K · V bases at a signal as strong as the noise of all others, against K where values
carry no code of their own. With H heads each k-mer is written to one of them and read from the same one: capacity for
H times the bases, at the cost of one head. Only the read-out is learned.

Shapes: B streams, T bases, H heads, K width of keys, V width of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_kernels import MemoryState, linear_memory
from titans_ts.core.config import require
from titans_ts.core.initialization import linear_

BASES = 4
SPANS = (16, 128)
FLOOR = 0.02
# The largest number of slots, of all heads together, that are laid out at once.
SLOTS = 2**18
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class GenomeConfig:
    """Sizes and gates; plain values.

    Attributes:
        width: K = V of the memory's matrices.
        heads: H matrices, to which k-mers are assigned at random.
        k: bases of a key, even.
        order: of the blended Markov chain that models the short context.
        step_size: θ of every base. What was written n bases ago has decayed to about exp(−2 θ n / (K H)).
        horizon: bases after which α alone has left 1/e of what was written.
        chunk_size: bases read at once; affects speed only.
    """

    width: int = 256
    heads: int = 1
    k: int = 12
    order: int = 8
    step_size: float = 1e-5
    horizon: float = 2.0**26
    chunk_size: int = 128

    def __post_init__(self) -> None:
        require(self.width >= 2, "width", "≥ 2", self.width)
        require(self.heads >= 1, "heads", "≥ 1", self.heads)
        require(2 <= self.k <= 20 and self.k % 2 == 0, "k", "an even number of bases, 2 to 20", self.k)
        require(0 <= self.order <= 10, "order", "0 to 10 bases", self.order)
        require(0 < self.step_size <= 0.5, "step_size", "in (0, 0.5]", self.step_size)
        require(self.horizon > 1, "horizon", "> 1 base", self.horizon)
        require(self.chunk_size >= 1, "chunk_size", "≥ 1 base", self.chunk_size)


class GenomeState(NamedTuple):
    """State of B streams.

    Attributes:
        before: (B, n) int64, the last bases.
        memory: one matrix per head (B, H, K, V).
        evidence: (B, 128), how well the memory predicted each of the last bases, in standard deviations of chance.
        predicted: (B, 5), the memory's prediction of the next base, scored when that base is read, and its noise.
    """

    before: Tensor
    memory: MemoryState
    evidence: Tensor
    predicted: Tensor


class Features(NamedTuple):
    """What the read-out sees before the next base.

    Attributes:
        chain: (B, T, 4) log-probabilities of the Markov chain.
        recalled: (B, T, 4), the memory's output: 1 for a base that was written once in this context, plus noise.
        noise: (B, T), variance of that output where nothing matches.
        hits: (B, T, 2), evidence from the last 16 and 128 bases that the memory predicts the next one: about standard
            normal where it does not.
    """

    chain: Tensor
    recalled: Tensor
    noise: Tensor
    hits: Tensor


class GenomeModel(nn.Module):
    """Logits of the next base: those of a Markov chain plus the memory's output, weighted by a learned confidence.

    Args:
        config: see :class:`GenomeConfig`.
        learned: codes of A, C, G, T on which the chain is counted, both strands.
        seed: of the codes.
    """

    def __init__(self, config: GenomeConfig, learned: Codes, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)

        def signs(*shape: int) -> Tensor:
            return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).float()

        half = BASES ** (config.k // 2)
        self.register_buffer("keys", signs(2, half, config.width) / config.width**0.25)
        self.register_buffer("binds", signs(2, half, config.width))
        # Four codes of mean 0 for the bases: any two of them agree in a third of the positions.
        rows = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
        drawn = rows[torch.randint(0, 3, (config.width,), generator=generator)] * signs(config.width, 1)
        self.register_buffer("bases", drawn.T.contiguous())
        self.register_buffer("shares", torch.randint(0, config.heads, (2, half), generator=generator))
        self.register_buffer("chain", chain_table(learned, config.order))
        self.readout = nn.Sequential(linear_(nn.Linear(1 + len(SPANS), 32)), nn.GELU(), linear_(nn.Linear(32, 1), 0.1))

    def initial_state(self, batch: int) -> GenomeState:
        """Before the first base: nothing written."""
        config = self.config
        before = torch.zeros(batch, max(config.k, config.order), dtype=torch.long)
        memory = MemoryState.start((torch.zeros(batch, config.heads, config.width, config.width),))
        return GenomeState(before, memory, torch.zeros(batch, SPANS[-1]), torch.zeros(batch, BASES + 1))

    @torch.no_grad()
    def features(self, ids: Tensor, state: GenomeState | None = None) -> tuple[Features, GenomeState]:
        """Read T more bases.

        Args:
            ids: (B, T) int64, 0 to 3.
            state: after the bases before; None starts with an empty memory.

        Returns:
            Features of the base after each, and the state after the last.
        """
        config, count = self.config, ids.shape[1]
        state = self.initial_state(len(ids)) if state is None else state
        line = torch.cat([state.before, ids], dim=1)
        number = kmer_numbers(line, config.k // 2)
        last = number[:, -(count + 1) :]
        first = number[:, : number.shape[1] - config.k // 2][:, -(count + 1) :]
        key = self.keys[0][first] * self.keys[1][last]  # type: ignore[index]
        bind = self.binds[0][first] * self.binds[1][last]  # type: ignore[index]
        value = bind[:, :-1] * self.bases[ids]  # type: ignore[index]
        head = (self.shares[0][first] + self.shares[1][last]) % config.heads  # type: ignore[index]
        y, memory = self._recall(key, value, head, state.memory)
        y = y / (2 * config.step_size)
        recalled = (y * bind[:, 1:]) @ self.bases.T / config.width  # type: ignore[operator]
        noise = y.square().mean(-1) / config.width
        outputs = torch.cat([recalled, noise[..., None]], dim=-1)
        predicted = torch.cat([state.predicted[:, None], outputs], dim=1)
        correct = predicted[:, :-1].gather(2, ids[..., None])[..., 0]
        level = predicted[:, :-1, BASES] + FLOOR
        evidence = torch.cat([state.evidence, (correct / level.sqrt()).clamp(-6, 6)], dim=1)
        total = F.pad(evidence.double().cumsum(1), (1, 0))
        hits = torch.stack([(total[:, n:] - total[:, :-n])[:, -count:] / n**0.5 for n in SPANS], dim=-1).float()
        chain = self.chain[kmer_numbers(line, config.order)[:, -count:]]  # type: ignore[index]
        after = GenomeState(line[:, -state.before.shape[1] :], memory, evidence[:, -SPANS[-1] :], predicted[:, -1])
        return Features(chain, recalled, noise, hits), after

    def _recall(self, key: Tensor, value: Tensor, head: Tensor, memory: MemoryState) -> tuple[Tensor, MemoryState]:
        """Read k-mers in their heads, then write the base that followed each of them there.

        Args:
            key: (B, T + 1, K), of the last k-mer before these bases and of the one that each of them ends.
            value: (B, T, V), the base after each of the first T: the one after the last is in the next call.
            head: (B, T + 1) int64, of each k-mer.
            memory: before these bases.

        Returns:
            Outputs of the last T k-mers (B, T, V), and the memory after all bases but the last.
        """
        config, batch, count = self.config, len(key), value.shape[1]
        line = (head + config.heads * torch.arange(batch)[:, None]).flatten()
        slot = _rank(line, batch * config.heads)
        slots = int(slot.max()) + 2
        if batch * config.heads * slots > SLOTS and count > 1:  # One head gets many of the k-mers.
            half = count // 2
            first, memory = self._recall(key[:, : half + 1], value[:, :half], head[:, : half + 1], memory)
            second, memory = self._recall(key[:, half:], value[:, half:], head[:, half:], memory)
            return torch.cat([first, second], dim=1), memory
        # A head reads in the slot of a k-mer and writes in the one after it, before its next k-mer.
        read = (line * slots + slot).view(batch, -1)
        write = read[:, :count] + 1
        q, k, v = (key.new_zeros(batch * config.heads * slots, config.width) for _ in range(3))
        q[read] = key
        k[write], v[write] = key[:, :count], value
        written = torch.zeros(batch * config.heads * slots, dtype=torch.bool)
        written[write] = True
        tokens = (batch * config.heads, slots, 1)
        alpha, eta, theta = (key.new_full(tokens, g) for g in (config.heads / config.horizon, 0.0, config.step_size))
        q, k, v = (x.view(*tokens, -1) for x in (q, k, v))
        start, mask = _reshaped(memory, batch * config.heads, 1), written.view(tokens[:2])
        size = min(config.chunk_size, slots)
        y, memory = linear_memory(q, k, v, alpha, eta, theta, start, chunk_size=size, anchor="token", mask=mask)
        return y.reshape(len(written), -1)[read[:, 1:]], _reshaped(memory, batch, config.heads)

    def logits(self, found: Features) -> Tensor:
        """(B, T, 4) of the base after each."""
        noise = (found.noise + FLOOR).log()
        seen = torch.cat([noise[..., None], found.hits / 4], dim=-1)
        confidence = (self.readout(seen)[..., 0] - noise).clamp(-12, 5).exp()
        return found.chain + confidence[..., None] * found.recalled

    def forward(self, ids: Tensor, state: GenomeState | None = None) -> tuple[Tensor, GenomeState]:
        """(B, T) → logits (B, T, 4) of the base after each, and the state after the last."""
        found, state = self.features(ids, state)
        return self.logits(found), state

    def losses(self, ids: Tensor, state: GenomeState | None = None) -> tuple[Tensor, GenomeState]:
        """(B, T − 1) nats of each base but the first, and the state after the last."""
        logits, state = self(ids, state)
        return nats(logits, ids), state


def _rank(line: Tensor, heads: int) -> Tensor:
    """(n,) the number of earlier entries with the same head."""
    order = line.argsort(stable=True)
    first = torch.bincount(line, minlength=heads).cumsum(0).roll(1)
    first[0] = 0
    rank = torch.empty_like(line)
    rank[order] = torch.arange(len(line)) - first[line[order]]
    return rank


def _reshaped(memory: MemoryState, batch: int, heads: int) -> MemoryState:
    """A memory with token anchor, reshaped to other batch and heads axes."""
    weights, momentum = ((parts[0].reshape(batch, heads, *parts[0].shape[2:]),) for parts in memory[:2])
    return MemoryState(weights, momentum, weights)


def kmer_numbers(line: Tensor, size: int) -> Tensor:
    """Numbers (B, n − size + 1) of the k-mers of `size` bases in (B, n), in order of their ends; 0 bases: zeros."""
    count = line.shape[1] - size + 1
    number = torch.zeros(line.shape[0], count, dtype=torch.long)
    for place in range(size):
        number = number * BASES + line[:, place : place + count]
    return number


def chain_table(learned: Codes, order: int, weight: float = 8.0) -> Tensor:
    """Log-probabilities (4^order, 4) of the next base: counts of each order, blended with those of the order below.

    Args:
        learned: codes of A, C, G, T; read on both strands.
        order: bases of context.
        weight: how many counts the order below stands for.
    """
    table = np.full((1, BASES), 1 / BASES)
    for size in range(order + 1):
        counts = np.zeros(BASES ** (size + 1))
        for strand in (learned, 3 - learned[::-1]):
            line = torch.from_numpy(strand.astype(np.int64))[None]
            counts += np.bincount(kmer_numbers(line, size + 1)[0].numpy(), minlength=len(counts))
        counts = counts.reshape(-1, BASES)
        below = np.tile(table, (counts.shape[0] // table.shape[0], 1))
        table = (counts + weight * below) / (counts.sum(1, keepdims=True) + weight)
    return torch.from_numpy(np.log(table)).float()


def nats(logits: Tensor, ids: Tensor) -> Tensor:
    """(B, T − 1), loss of each base but the first, in nats."""
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return loss.view(len(ids), -1)
