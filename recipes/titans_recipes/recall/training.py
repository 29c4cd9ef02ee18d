"""Training on short streams, and accuracy on long ones.

Shapes: B streams, T tokens, A answer tokens, V vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from titans_recipes.fit_loop import Schedule, fit
from titans_recipes.recall.network import RecallNetwork
from titans_recipes.recall.streams import StreamKind, Streams
from titans_ts.core import truncated_backward
from titans_ts.core.backbone import TitansState
from titans_ts.core.config import require
from titans_ts.core.options import ReadOptions

# Of all streams of one length, and of one training step; a day's work on one core.
MOST_TOKENS = 10**9


@dataclass(frozen=True)
class RecallTraining:
    """How a network is trained: streams that grow from `shortest` to `longest` tokens.

    Attributes:
        steps: gradient steps; the longest length is reached after three quarters of them.
        tokens: tokens of one step; short streams come in large batches.
        shortest, longest: lengths of the curriculum. In each step the length is drawn between the shortest and the
            current longest, uniformly in its logarithm.
        span: tokens through which gradients flow (truncated back-propagation); the state is carried further.
        stretch: gates are shifted by up to log(stretch), drawn for each step and growing with the curriculum, so that
            the memory forgets as much as in a stream `stretch` times as long; 1 turns that off.
        learning_rate, weight_decay, gradient_clip: of AdamW; the rate falls to a tenth along a cosine.
        seed: of streams.
    """

    steps: int = 800
    tokens: int = 8192
    shortest: int = 64
    longest: int = 4096
    span: int = 4096
    stretch: float = 512.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", "≥ 1", self.steps)
        require(2 <= self.shortest <= self.longest, "shortest", f"2 to longest = {self.longest} tokens", self.shortest)
        most = max(self.tokens, self.longest)
        require(self.tokens >= 1, "tokens", "≥ 1", self.tokens)
        require(most <= MOST_TOKENS, "tokens and longest", f"at most {MOST_TOKENS:,}", most)
        require(self.span >= 1, "span", "≥ 1 token", self.span)
        require(self.stretch >= 1, "stretch", "≥ 1", self.stretch)


class Accuracy(NamedTuple):
    """Accuracy on streams of one length.

    Attributes:
        length: tokens of a stream.
        correct: share of questions whose every token is right.
        questions: number of questions.
        nats: mean loss of an answer token.
        seconds: wall time.
    """

    length: int
    correct: float
    questions: int
    nats: float
    seconds: float


def train(
    network: RecallNetwork,
    kind: StreamKind,
    config: RecallTraining,
    report: Callable[[int, int, float, float], None] | None = None,
) -> None:
    """Train in place.

    Args:
        network: to be trained.
        kind: draws the streams.
        config: see :class:`RecallTraining`.
        report: called with step, length, mean loss of an answer token, and the share of answer tokens predicted right.

    Raises:
        ValueError: the shortest streams are too short for their questions, or the loss is not finite.
    """
    require(
        config.shortest >= kind.shortest, "shortest", f"≥ {kind.shortest} tokens for these streams", config.shortest
    )
    rng = np.random.default_rng(config.seed)

    def backward(step: int) -> float:
        """Gradients of one batch of streams."""
        length = _length(config, step, rng)
        streams = kind.draw(max(1, config.tokens // length), length, rng)
        shift = rng.uniform(0, math.log(config.stretch)) * _grown(config, step)
        loss, right = _step(network, streams, config, shift)
        if report is not None:
            report(step, length, loss, right)
        return loss

    schedule = Schedule(
        config.steps,
        config.learning_rate,
        warmup=20,
        weight_decay=config.weight_decay,
        clip=config.gradient_clip,
    )
    fit(network, schedule, backward)


def _grown(config: RecallTraining, step: int) -> float:
    """Progress of the curriculum, 0 to 1."""
    return min(1.0, (step + 1) / (0.75 * config.steps))


def _length(config: RecallTraining, step: int, rng: np.random.Generator) -> int:
    low, high = math.log(config.shortest), math.log(config.longest)
    return round(math.exp(rng.uniform(low, low + (high - low) * _grown(config, step))))


def _step(network: RecallNetwork, streams: Streams, config: RecallTraining, shift: float) -> tuple[float, float]:
    """Add the gradients of one batch; its mean loss and the share of answer tokens predicted right."""
    device = network.head.weight.device
    ids = torch.from_numpy(streams.ids.astype(np.int64)).to(device)
    answers = torch.from_numpy(streams.answers).to(device)
    count, right, options = ids.shape[0] * len(answers), 0.0, ReadOptions(gate_shift=shift)

    def read(span: slice, state: TitansState | None) -> tuple[Tensor, TitansState]:
        """This span's share of the loss, and the state after it."""
        nonlocal right
        y, state = network.backbone(network.embedding(ids[:, span]), state, options=options)
        here = answers[(answers > span.start) & (answers <= span.stop)]
        logits = network.head(y[:, here - 1 - span.start]).flatten(0, 1)
        target = ids[:, here].flatten()
        right += float((logits.argmax(-1) == target).sum()) / count
        return F.cross_entropy(logits, target, reduction="sum") / count if len(here) else logits.sum() * 0, state

    loss, _ = truncated_backward(read, ids.shape[1], config.span)
    return loss, right


def accuracy(
    network: RecallNetwork,
    kind: StreamKind,
    length: int,
    rows: int,
    *,
    seed: int = 1,
    chunk: int = 4096,
    batch: int = 8,
) -> Accuracy:
    """Share of questions whose whole answer is right, in streams of one length; RAM grows with the chunk only.

    Args:
        network: a trained network.
        kind: draws the streams.
        length: tokens of a stream.
        rows: how many streams.
        seed: of the streams, which should differ from those of training.
        chunk: tokens read at a time.
        batch: streams read side by side.

    Raises:
        ValueError: the length is too short for the questions, or rows < 1.
    """
    require(rows >= 1, "rows", "≥ 1 stream", rows)
    rng = np.random.default_rng([seed, length])
    device = network.head.weight.device
    started, right, nats, questions, tokens = time.perf_counter(), 0.0, 0.0, 0, 0
    for first in range(0, rows, batch):
        streams = kind.draw(min(batch, rows - first), length, rng)
        answers = torch.from_numpy(streams.answers)
        logits = network.answer(torch.from_numpy(streams.ids).to(device), answers.to(device), chunk).cpu()
        target = torch.from_numpy(streams.ids)[:, answers].long()
        nats += float(F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum"))
        hit = (logits.argmax(-1) == target).unflatten(1, (streams.questions, -1)).all(-1)
        right, questions, tokens = right + float(hit.sum()), questions + hit.numel(), tokens + target.numel()
    return Accuracy(length, right / questions, questions, nats / tokens, time.perf_counter() - started)
