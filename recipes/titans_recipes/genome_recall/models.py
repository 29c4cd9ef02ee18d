"""The models of genome recall: built, trained on the genome that is read, and read through it.

Shapes: B windows, T bases of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_recipes.fit_loop import Schedule, fit
from titans_recipes.genome_recall.kmer_memory import Features, GenomeConfig, GenomeModel, nats
from titans_recipes.genome_recall.reading import Model, read
from titans_recipes.genome_recall.relatives import Codes, mutated
from titans_recipes.genome_recall.state import State, expand, side_by_side
from titans_ts.core import MemoryConfig, TitansConfig
from titans_ts.core.truncated import truncated_backward
from titans_ts.genomics.model.config import LanguageConfig
from titans_ts.genomics.model.language_network import LanguageNetwork

# Training of the read-out: bases of a window, windows of each kind for each length, steps.
WINDOW, WINDOWS, STEPS = 1024, 24, 300
# Simulated relatives: the largest share of substituted bases, insertions and deletions per base.
SUBSTITUTIONS, GAPS = 0.05, 0.002
# Training of Titans: bases of a stream, bases through which gradients flow, streams of a step.
STREAM, SPAN, STREAMS = 2048, 1024, 4


class TitansModel(nn.Module):
    """A causal `LanguageNetwork` as a `Model`.

    Args:
        settings: {"backbone": …, "memory": …} of a run.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        backbone = TitansConfig(memory=MemoryConfig(**settings.get("memory", {})), **settings.get("backbone", {}))
        self.network = LanguageNetwork(LanguageConfig("causal", backbone=backbone))

    def losses(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """See `Model`."""
        logits, state = self.network(ids, torch.ones_like(ids, dtype=torch.bool), state)
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view_as(ids)
        return loss[:, 1:], state


def build(run: Mapping[str, Any], genome: Codes, lengths: Sequence[int], seed: int) -> tuple[Model, dict[int, State]]:
    """A trained model, and its state after each of `lengths` bases of the genome."""
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
    found, state, done = {}, None, 0
    for length in lengths:
        state = found[length] = read(model, genome[done:length], state)
        done = length
    return found


def _windows(genome: Codes, count: int, rng: np.random.Generator) -> Tensor:
    """(2 · count, WINDOW): windows of relatives of the genome, and reversed windows, which match nothing."""
    rows = []
    for start in rng.integers(0, len(genome) - 2 * WINDOW, count):
        rate = rng.uniform(0, SUBSTITUTIONS)
        rows.append(mutated(genome[start : start + 2 * WINDOW], rate, GAPS, rng)[:WINDOW])
    rows += [genome[s : s + WINDOW][::-1] for s in rng.integers(0, len(genome) - WINDOW, count)]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def _train_readout(model: GenomeModel, genome: Codes, states: Mapping[int, State], seed: int) -> None:
    """Learn how much to trust the memory, from simulated relatives of what it had read at each length."""
    rng, beside = np.random.default_rng([seed, 1]), side_by_side(next(iter(states.values())))
    seen: list[Features] = []
    targets: list[Tensor] = []
    for length, state in [(len(genome), None), *states.items()]:
        drawn = _windows(genome[: max(length, 4 * WINDOW)], WINDOWS, rng)
        for rows in drawn.split(beside):
            seen.append(model.features(rows, None if state is None else expand(state, len(rows)))[0])
            targets.append(rows)
    found, ids = Features(*(torch.cat(parts) for parts in zip(*seen, strict=True))), torch.cat(targets)

    def backward(_: int) -> float:
        """Gradients of 32 windows."""
        rows = torch.from_numpy(rng.permutation(len(ids))[:32])
        loss = nats(model.logits(Features(*(x[rows] for x in found))), ids[rows]).mean()
        loss.backward()
        return float(loss.detach())

    fit(model.readout, Schedule(STEPS, 0.01005, floor=1 / 201, betas=(0.9, 0.999), clip=None), backward)


def _train_titans(model: TitansModel, genome: Codes, steps: int, seed: int) -> None:
    """Train all weights on segments of the genome, each followed by a simulated relative of a part of it.

    Back-propagation is truncated; the state is carried through the segment.
    """
    rng = np.random.default_rng([seed, 1])

    def backward(_: int) -> float:
        """Gradients of `STREAMS` streams."""
        ids = torch.from_numpy(np.stack([_stream(genome, rng) for _ in range(STREAMS)]).astype(np.int64))

        def share(span: slice, state: State | None) -> tuple[Tensor, State]:
            loss, state = model.losses(ids[:, span], state)
            return loss.sum() / ids.numel(), state

        return truncated_backward(share, ids.shape[1], SPAN)[0]

    fit(model, Schedule(steps, 4e-3, warmup=20, weight_decay=0.01), backward)


def _stream(genome: Codes, rng: np.random.Generator) -> Codes:
    """STREAM bases: a segment of the genome, and at the end a relative of a third of it."""
    copy = STREAM // 3
    start = int(rng.integers(0, len(genome) - STREAM))
    body = genome[start : start + STREAM - copy]
    place = int(rng.integers(0, len(body) - copy))
    like = mutated(body[place : place + copy], rng.uniform(0, SUBSTITUTIONS), GAPS, rng)
    return np.resize(np.concatenate([body, like, body]), STREAM)
