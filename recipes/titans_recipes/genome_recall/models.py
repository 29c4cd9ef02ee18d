"""The models of genome recall: built, trained on the genome that is read, and read through it.

Shapes: B windows, T bases of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_recipes.genome_recall.relatives import Codes, mutated
from titans_recipes.genome_recall.word_memory import Features, GenomeConfig, GenomeModel, nats

State = Any
PIECE, PIECES, STEPS = 1024, 24, 300
SUBSTITUTIONS, GAPS = 0.05, 0.002
STREAM, SPAN, STREAMS = 2048, 1024, 4
# Windows are read side by side, each with a memory of its own: as many as have this many numbers in all.
SIDE_BY_SIDE, ROOM = 16, 2**24


class Model(Protocol):
    """What is asked of a model."""

    def losses(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T − 1) nats of each base but the first, and the state after the last."""
        ...


class TitansModel(nn.Module):
    """A causal `LanguageNetwork`, asked as `Model`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        from titans_ts.core import MemoryConfig, TitansConfig
        from titans_ts.genomics.model.config import LanguageConfig
        from titans_ts.genomics.model.language_network import LanguageNetwork

        backbone = TitansConfig(memory=MemoryConfig(**settings.get("memory", {})), **settings.get("backbone", {}))
        self.network = LanguageNetwork(LanguageConfig("causal", backbone=backbone))

    def losses(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """See `Model`."""
        logits, state = self.network(ids, torch.ones_like(ids, dtype=torch.bool), state)
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view_as(ids)
        return loss[:, 1:], state


def build(run: Mapping[str, Any], genome: Codes, lengths: Sequence[int], seed: int) -> tuple[Model, dict[int, State]]:
    """A trained model, and its states after so many bases of the genome."""
    settings = {name: value for name, value in run.items() if name not in ("kind", "lengths")}
    torch.manual_seed(seed)
    if run["kind"] == "titans":
        titans = TitansModel(settings)
        _train_titans(titans, genome, int(settings.get("steps", 400)), seed)
        return titans, _states(titans, genome, lengths)
    model = GenomeModel(GenomeConfig(**settings), genome, seed)
    states = _states(model, genome, lengths)
    _train_readout(model, genome, states, seed)
    return model, states


def _states(model: Model, genome: Codes, lengths: Sequence[int]) -> dict[int, State]:
    from titans_recipes.genome_recall.task import read

    found, state, done = {}, None, 0
    for length in lengths:
        state = found[length] = read(model, genome[done:length], state)
        done = length
    return found


def _pieces(genome: Codes, count: int, rng: np.random.Generator) -> Tensor:
    """(2 · count, PIECE): relatives of what was read, and pieces read backwards, which have no like."""
    rows = []
    for start in rng.integers(0, len(genome) - 2 * PIECE, count):
        rate = rng.uniform(0, SUBSTITUTIONS)
        rows.append(mutated(genome[start : start + 2 * PIECE], rate, GAPS, rng)[:PIECE])
    rows += [genome[s : s + PIECE][::-1] for s in rng.integers(0, len(genome) - PIECE, count)]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def _train_readout(model: GenomeModel, genome: Codes, states: Mapping[int, State], seed: int) -> None:
    """Learn how far the memory is to be believed, from simulated relatives of what it had read at each length."""
    rng, beside = np.random.default_rng([seed, 1]), side_by_side(next(iter(states.values())))
    seen: list[Features] = []
    asked: list[Tensor] = []
    for length, state in [(len(genome), None), *states.items()]:
        ids = _pieces(genome[: max(length, 4 * PIECE)], PIECES, rng)
        for rows in ids.split(beside):
            seen.append(model.features(rows, None if state is None else expand(state, len(rows)))[0])
            asked.append(rows)
    found, ids = Features(*(torch.cat(parts) for parts in zip(*seen, strict=True))), torch.cat(asked)
    optimizer = torch.optim.Adam(model.readout.parameters(), lr=0.01)
    for step in range(STEPS):
        rows = torch.from_numpy(rng.permutation(len(ids))[:32])
        optimizer.param_groups[0]["lr"] = 0.005 * (1.01 + math.cos(math.pi * step / STEPS))
        loss = nats(model.logits(Features(*(x[rows] for x in found))), ids[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _train_titans(model: TitansModel, genome: Codes, steps: int, seed: int) -> None:
    """All weights, on stretches of the genome that are followed by a simulated relative of a part of them.

    Back-propagation is truncated; the state is carried through the stretch.
    """
    from titans_ts.core.optim import parameter_groups
    from titans_ts.core.truncated import truncated_backward

    rng = np.random.default_rng([seed, 1])
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), lr=4e-3, betas=(0.9, 0.98))
    for step in range(steps):
        ids = torch.from_numpy(np.stack([_stream(genome, rng) for _ in range(STREAMS)]).astype(np.int64))

        def share(piece: slice, state: State | None, ids: Tensor = ids) -> tuple[Tensor, State]:
            loss, state = model.losses(ids[:, piece], state)
            return loss.sum() / ids.numel(), state

        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
        truncated_backward(share, ids.shape[1], SPAN)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()


def _stream(genome: Codes, rng: np.random.Generator) -> Codes:
    """STREAM bases: a stretch of the genome, and at the end a relative of a third of it."""
    copy = STREAM // 3
    start = int(rng.integers(0, len(genome) - STREAM))
    body = genome[start : start + STREAM - copy]
    place = int(rng.integers(0, len(body) - copy))
    like = mutated(body[place : place + copy], rng.uniform(0, SUBSTITUTIONS), GAPS, rng)
    return np.resize(np.concatenate([body, like, body]), STREAM)


def expand(state: State, batch: int) -> State:
    """The state of one stream as that of `batch` equal ones."""
    if isinstance(state, Tensor):
        return state.expand(batch, *state.shape[1:])
    if isinstance(state, tuple):
        parts = [expand(part, batch) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def numbers(state: State) -> int:
    """Numbers in the weights of all memories of a state."""
    from titans_kernels import MemoryState

    if isinstance(state, MemoryState):
        return sum(w[0].numel() for w in state.weights)
    return sum(numbers(part) for part in state) if isinstance(state, tuple) else 0


def side_by_side(state: State) -> int:
    """How many windows may have a memory like this one's at the same time."""
    return max(1, min(SIDE_BY_SIDE, ROOM // numbers(state)))
