"""Baselines of DNA recipes: logistic regressions on k-mer counts and on positions, and a small residual CNN.

They choose penalty and strands on the same held-out tenth as the classifier.

Shapes: n sequences, T bases, B batch, D channels, K classes or numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_datasets.dna.alphabet import Codes, encode_all
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_datasets.dna.public.task import DNATask
from titans_recipes.dna.answer import Answer
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import Features, KmerFeatures, PositionFeatures
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.model.config import TaskName
from titans_ts.genomics.model.heads import row_losses
from titans_ts.genomics.model.strands import reverse_complement
from titans_ts.genomics.params import choose_epochs
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.fit import train
from titans_ts.genomics.training.holdout import hold_out, related

FloatArray = npt.NDArray[np.float64]
HELD_OUT = 0.1


class _Parts:
    """Training and test sequences as numbers, and the held-out tenth."""

    def __init__(self, task: DNATask, seed: int) -> None:
        self.codes = encode_all(task.train["sequence"].tolist())
        self.test = encode_all(task.test["sequence"].tolist())
        classes, self.labels = np.unique(task.train["label"], return_inverse=True)
        self.outputs = len(classes)
        drawn = int(np.random.RandomState(seed).randint(2**31 - 1))
        self.held = hold_out(related(self.codes, None), self.labels, HELD_OUT, 1, drawn)[0]
        self.rest = np.setdiff1d(np.arange(len(self.codes)), self.held)


def _logistic(candidates: Callable[[int], Sequence[Features]]) -> Callable[[DNATask, int], Answer]:
    """The best of some logistic regressions on held-out sequences, then fitted on all."""

    def fit(task: DNATask, seed: int) -> Answer:
        """Train and predict.

        Raises:
            ValueError: sequences differ in length, and the features are positions.
        """
        parts = _Parts(task, seed)
        targets = Targets(parts.labels, np.ones(len(parts.codes)), parts.outputs, "classes")
        tried = []
        for features in candidates(len(parts.codes[0])):
            x = features(parts.codes)
            rest, held = targets.take(parts.rest), targets.take(parts.held)
            found, loss = choose_linear(features, x[parts.rest], rest, x[parts.held], held)
            tried.append((loss, features, found.inverse_penalty))
        loss, features, penalty = min(tried, key=lambda one: one[0])
        final = fit_linear(features, features(parts.codes), targets, penalty)
        return Answer(probabilities(final(parts.test), "classes"), {"validation": loss})

    return fit


def _kmers(_: int) -> list[Features]:
    return [KmerFeatures(k, k, strands) for k in (4, 5, 6) for strands in (1, 2)]


def _gapped(_: int) -> list[Features]:
    return [KmerFeatures(7, 5, strands) for strands in (1, 2)]


def _positions(length: int) -> list[Features]:
    return [PositionFeatures(length, 1)]


@dataclass(frozen=True)
class CNNConfig:
    """A small residual CNN: 15-base filters, dilated residual blocks, mean and maximum pooling, two linear layers.

    Attributes:
        outputs: K.
        both_strands: half of the training batches are reversed, and both strands are averaged.
        task: "classes", or "mse" for numbers.
        length: bases of every sequence, for a head that reads all positions; 0 pools them.
        channels: D.
        layers: residual blocks.
        kernel: taps of their dilated filters.
        dropout: in the blocks; twice that in the head.
    """

    outputs: int
    both_strands: bool
    task: TaskName = "classes"
    length: int = 0
    channels: int = 64
    layers: int = 4
    kernel: int = 9
    dropout: float = 0.15

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class ResidualCNN(nn.Module):
    """What practitioners train first; batch norm, GELU, no padding mask (sequences of one length).

    Args:
        config: see :class:`CNNConfig`.
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.stem, self.norm = nn.Conv1d(4, width, 15, padding=7), nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(self._block(2**i) for i in range(config.layers))
        features = width * -(-config.length // 2) if config.length else 2 * width
        head = [nn.LayerNorm(features), nn.Dropout(2 * config.dropout), nn.Linear(features, 64), nn.GELU()]
        self.head = nn.Sequential(*head, nn.Linear(64, config.outputs))

    def _block(self, gap: int) -> nn.Sequential:
        width, kernel = self.config.channels, self.config.kernel
        wide = nn.Conv1d(width, width, kernel, padding=kernel // 2 * gap, dilation=gap)
        second = [nn.BatchNorm1d(width), nn.GELU(), nn.Conv1d(width, width, 1), nn.Dropout(self.config.dropout)]
        return nn.Sequential(nn.BatchNorm1d(width), nn.GELU(), wide, *second)

    def _one_strand(self, ids: Tensor) -> Tensor:
        onehot = F.one_hot(ids, 6)[..., :4].float().transpose(1, 2)
        x = F.max_pool1d(F.gelu(self.norm(self.stem(onehot))), 2, ceil_mode=True)
        for block in self.blocks:
            x = x + block(x)
        outputs: Tensor = self.head(x.flatten(1) if self.config.length else torch.cat([x.amax(2), x.mean(2)], 1))
        return outputs

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits or numbers (B, K)."""
        ids = batch["input_ids"]
        if not self.config.both_strands:
            return self._one_strand(ids)
        back = reverse_complement(ids, batch["attention_mask"].sum(1))
        if self.training:
            flipped = torch.rand(len(ids), device=ids.device) < 0.5
            return self._one_strand(torch.where(flipped[:, None], back, ids))
        if self.config.task == "mse":
            return (self._one_strand(ids) + self._one_strand(back)) / 2
        return torch.logaddexp(*(self._one_strand(x).log_softmax(1) for x in (ids, back))) - math.log(2.0)

    def row_losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Log loss in nats, or squared error, of each sequence, and its weight, both (B,)."""
        return row_losses(self(batch), batch["labels"], self.config.task), batch["weight"]

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted mean of them."""
        losses, weight = self.row_losses(batch)
        return (losses * weight).sum() / weight.sum()


def cnn_outputs(network: ResidualCNN, codes: Sequence[Codes]) -> FloatArray:
    """Outputs (n, K) of encoded sequences."""
    outputs = np.empty((len(codes), network.config.outputs))
    with torch.no_grad():
        for rows in bucketed([len(x) for x in codes], 32_768):
            ids, mask = pad([codes[i] for i in rows])
            outputs[rows] = network({"input_ids": ids, "attention_mask": mask}).numpy()
    return outputs


def _small_cnn(task: DNATask, seed: int) -> Answer:
    """The better, on held-out sequences, of a CNN for one strand and one for both."""
    parts = _Parts(task, seed)
    if len({len(x) for x in [*parts.codes, *parts.test]}) > 1:
        raise ValueError("the small CNN is for sequences of one length: leave this baseline out of the recipe")
    examples = Examples(parts.codes, parts.labels, np.ones(len(parts.codes)))
    training = TrainingConfig(max_epochs=choose_epochs(len(parts.codes), 64), seed=seed, progress=False)
    tried = []
    for both in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: Any = ResidualCNN(CNNConfig(parts.outputs, both))
        result = train(network, examples.take(parts.rest), examples.take(parts.held), training)
        tried.append((result.best_loss, network, result.epochs))
    loss, network, epochs = min(tried, key=lambda one: one[0])
    logits = cnn_outputs(network, parts.test)
    count = sum(p.numel() for p in network.parameters())
    return Answer(probabilities(logits, "classes"), {"validation": loss, "epochs": epochs, "parameters": count})


BASELINES: dict[str, Callable[[DNATask, int], Answer]] = {
    "positions": _logistic(_positions),
    "k-mers": _logistic(_kmers),
    "k-mers with gaps": _logistic(_gapped),
    "small CNN": _small_cnn,
}
