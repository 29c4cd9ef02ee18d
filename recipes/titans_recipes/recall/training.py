"""Training on short streams, and accuracy on long ones.

Shapes: B streams, T tokens, A tokens to be answered, V vocabulary.
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

from titans_recipes.recall.network import RecallNetwork
from titans_recipes.recall.tasks import Streams, Task
from titans_ts.core import ReadOptions, truncated_backward
from titans_ts.core.backbone import TitansState
from titans_ts.core.config import require
from titans_ts.core.optim import parameter_groups


@dataclass(frozen=True)
class RecallTraining:
    """How a network is trained: streams that grow from `shortest` to `longest` tokens.

    Attributes:
        steps: gradient steps; the longest length is reached after three quarters of them.
        tokens: tokens of one step; short streams come in large batches.
        shortest, longest: lengths of the curriculum. In each step it is drawn between the shortest and the present end
            of the curriculum, evenly in its logarithm.
        span: tokens through which gradients flow (truncated back-propagation); the state is carried further.
        stretch: steps are taken with a `ReadOptions.gate_shift` of up to log(stretch), drawn anew each time and growing
            with the curriculum, so that a stream acts on the memory as one `stretch` times as long would; 1: off.
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
        require(self.tokens >= 1, "tokens", "≥ 1", self.tokens)
        require(self.span >= 1, "span", "≥ 1 token", self.span)
        require(self.stretch >= 1, "stretch", "≥ 1", self.stretch)


class Accuracy(NamedTuple):
    """How well streams of one length are answered.

    Attributes:
        length: tokens of a stream.
        correct: share of questions whose every token is right.
        questions: how many were asked.
        nats: mean loss of a token to be answered.
        seconds: wall time.
    """

    length: int
    correct: float
    questions: int
    nats: float
    seconds: float


def train(
    network: RecallNetwork,
    task: Task,
    config: RecallTraining,
    report: Callable[[int, int, float, float], None] | None = None,
) -> None:
    """Train in place.

    Args:
        network: to be trained.
        task: draws the streams.
        config: see :class:`RecallTraining`.
        report: called with step, length, mean loss of an answered token, and the share of tokens answered right.

    Raises:
        ValueError: the shortest streams do not hold the task, or the loss is not finite.
    """
    require(config.shortest >= task.shortest, "shortest", f"≥ {task.shortest} tokens for this task", config.shortest)
    rng = np.random.default_rng(config.seed)
    groups = parameter_groups(network, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
    network.train()
    for step in range(config.steps):
        rate = 0.1 + 0.45 * (1 + math.cos(math.pi * step / config.steps))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate * min(1.0, (step + 1) / 20)
        length = _length(config, step, rng)
        streams = task.draw(max(1, config.tokens // length), length, rng)
        loss, right = _step(network, streams, config, rng.uniform(0, math.log(config.stretch)) * _grown(config, step))
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} at step {step}: lower learning_rate or the memory's step_size")
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if report is not None:
            report(step, length, loss, right)
    network.eval()


def _grown(config: RecallTraining, step: int) -> float:
    """How far the curriculum has come, 0 to 1."""
    return min(1.0, (step + 1) / (0.75 * config.steps))


def _length(config: RecallTraining, step: int, rng: np.random.Generator) -> int:
    low, high = math.log(config.shortest), math.log(config.longest)
    return round(math.exp(rng.uniform(low, low + (high - low) * _grown(config, step))))


def _step(network: RecallNetwork, streams: Streams, config: RecallTraining, shift: float) -> tuple[float, float]:
    """Gradients of one batch; its mean loss and the share of tokens answered right."""
    device = network.head.weight.device
    ids = torch.from_numpy(streams.ids.astype(np.int64)).to(device)
    answers = torch.from_numpy(streams.answers).to(device)
    count, right, options = ids.shape[0] * len(answers), 0.0, ReadOptions(gate_shift=shift)

    def read(piece: slice, state: TitansState | None) -> tuple[Tensor, TitansState]:
        """This piece's share of the loss, and the state after it."""
        nonlocal right
        y, state = network.backbone(network.embedding(ids[:, piece]), state, options=options)
        here = answers[(answers > piece.start) & (answers <= piece.stop)]
        logits = network.head(y[:, here - 1 - piece.start]).flatten(0, 1)
        target = ids[:, here].flatten()
        right += float((logits.argmax(-1) == target).sum()) / count
        return F.cross_entropy(logits, target, reduction="sum") / count if len(here) else logits.sum() * 0, state

    loss, _ = truncated_backward(read, ids.shape[1], config.span)
    return loss, right


def accuracy(
    network: RecallNetwork, task: Task, length: int, rows: int, *, seed: int = 1, chunk: int = 4096, batch: int = 8
) -> Accuracy:
    """Share of questions answered in streams of one length, the whole answer right; memory grows with the chunk only.

    Args:
        network: a trained network.
        task: draws the streams.
        length: tokens of a stream.
        rows: how many streams.
        seed: of the streams; others than those of training.
        chunk: tokens read at a time.
        batch: streams read side by side.

    Raises:
        ValueError: the length does not hold the task, or rows < 1.
    """
    require(rows >= 1, "rows", "≥ 1 stream", rows)
    rng = np.random.default_rng([seed, length])
    device = network.head.weight.device
    started, right, nats, asked, tokens = time.perf_counter(), 0.0, 0.0, 0, 0
    for first in range(0, rows, batch):
        streams = task.draw(min(batch, rows - first), length, rng)
        answers = torch.from_numpy(streams.answers)
        logits = network.answer(torch.from_numpy(streams.ids).to(device), answers.to(device), chunk).cpu()
        target = torch.from_numpy(streams.ids)[:, answers].long()
        nats += float(F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum"))
        hit = (logits.argmax(-1) == target).unflatten(1, (streams.questions, -1)).all(-1)
        right, asked, tokens = right + float(hit.sum()), asked + hit.numel(), tokens + target.numel()
    return Accuracy(length, right / asked, asked, nats / tokens, time.perf_counter() - started)
