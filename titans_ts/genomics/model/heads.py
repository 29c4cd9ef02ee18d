"""Heads of sequence networks: from tokens to outputs of a sequence, or of each of its bases, and their losses.

Outputs are logits of classes or labels, or standardised targets.

Shapes: B batch, N tokens, D width, K classes, labels or targets, F features, S segments, R rows (sequences, or bases).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.config import require
from titans_ts.core.initialization import linear_
from titans_ts.genomics.model.config import HIGHEST_LOG_RATE, HeadName, TaskName

SEGMENTS = 8
# Numbers per token that `PositionHead` reads: all tokens side by side are the widest input of any head.
NARROW = 8


class Pooling(nn.Module):
    """Attention over tokens with a score for relative position, beside mean and maximum: (B, N, D) → (B, 3·D).

    Args:
        width: D.
        knots: knots of the piecewise linear score of relative position, both ends of the sequence included.
    """

    def __init__(self, width: int, knots: int = 9) -> None:
        super().__init__()
        self.score = linear_(nn.Linear(width, 1, bias=False), 0.1)
        self.position_scale = nn.Parameter(torch.zeros(knots))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) → (B, 3·D)."""
        place = relative_position(mask) * (len(self.position_scale) - 1)
        low = place.floor().long().clamp_max(len(self.position_scale) - 2)
        # Under autocast x has half precision, in which places would be lost.
        share = (place - low).to(self.position_scale.dtype)
        bias = torch.lerp(self.position_scale[low], self.position_scale[low + 1], share)
        score = (self.score(x)[..., 0] + bias).masked_fill(~mask, -torch.inf).softmax(-1)
        attended = (score[..., None] * x).sum(1)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        largest = x.masked_fill(~mask[..., None], -torch.inf).amax(1)
        return torch.cat([attended, mean, largest], dim=-1)


def relative_position(mask: Tensor) -> Tensor:
    """Relative position of each token in its sequence (B, N): the middles of N equal parts of 0 … 1."""
    count = mask.sum(1, keepdim=True)
    place = torch.arange(mask.shape[1], device=mask.device)
    return ((place + 0.5) / count).clamp_max(1.0)


def segment_means(x: Tensor, mask: Tensor, segments: int) -> Tensor:
    """Means of `segments` equal parts of each sequence (B, N, D) → (B, S, D).

    A token counts in each segment by its overlap with it, so that short sequences have no empty segments.
    """
    count = mask.sum(1)[:, None, None].to(x.dtype)
    left = torch.arange(mask.shape[1], device=x.device)[None, None, :] / count
    border = torch.arange(segments, device=x.device)[None, :, None] / segments
    overlap = torch.minimum(left + 1 / count, border + 1 / segments) - torch.maximum(left, border)
    weight = overlap.clamp_min(0) * mask[:, None, :]
    return torch.einsum("bsn,bnd->bsd", weight / weight.sum(-1, keepdim=True), x)


class ClassificationHead(nn.Module, ABC):
    """Features of the tokens, then a network with one hidden layer to one logit per class (or label).

    Subclasses choose the features. A new one is a class here, an entry of `HEADS` and a name in `HeadName`.

    Args:
        width: D of the tokens.
        outputs: K.
        tokens: N of every sequence, for heads with `fixed_length`. Default: 0.
        hidden: width of the hidden layer. Default: 64.
        dropout: dropout on features and hidden values. Default: 0.3.

    Attributes:
        positional: whether the features depend on where things are in the sequence.
        fixed_length: whether all sequences must have `tokens` tokens.
        per_base: whether every base gets an answer of its own.
        width: F.

    Example:
        >>> import torch
        >>> from titans_ts.genomics.model.heads import HEADS
        >>> head = HEADS["pooled"](8, 2)  # width D = 8, K = 2 classes
        >>> features = head.features(torch.zeros(3, 5, 8), torch.ones(3, 5, dtype=torch.bool))
        >>> features.shape, head.logits(features).shape
        (torch.Size([3, 24]), torch.Size([3, 2]))
    """

    positional: ClassVar[bool] = False
    fixed_length: ClassVar[bool] = False
    per_base: ClassVar[bool] = False

    def __init__(self, width: int, outputs: int, tokens: int = 0, hidden: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.width = self._build(width, tokens)
        self.dropout = nn.Dropout(dropout)
        self.hidden = linear_(nn.Linear(self.width, hidden))
        self.out = linear_(nn.Linear(hidden, outputs), 0.5)

    @abstractmethod
    def _build(self, width: int, tokens: int) -> int:
        """Add the modules that compute features of tokens of this width; returns F."""

    @abstractmethod
    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        """`features` of normalised tokens."""

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) → (B, F); (B, N, F) where bases have answers.

        Raises:
            ValueError: sequences of another length than that of a head with `fixed_length`.
        """
        return self._read(self.norm(x.to(self.norm.weight.dtype)), mask)

    def logits(self, features: Tensor) -> Tensor:
        """(…, F) → (…, K)."""
        y: Tensor = self.out(self.dropout(F.gelu(self.hidden(self.dropout(features)))))
        return y


class PooledHead(ClassificationHead):
    """Pools all tokens: F = 3·D features that forget most of where things are. For motifs anywhere in a sequence."""

    def _build(self, width: int, tokens: int) -> int:
        self.pooling = Pooling(width)
        return 3 * width

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        pooled: Tensor = self.pooling(x, mask)
        return pooled


class SegmentsHead(PooledHead):
    """Pooled features and the means of eight equal parts of sequences of any length: F = (3 + 8)·D."""

    positional = True

    def _build(self, width: int, tokens: int) -> int:
        return super()._build(width, tokens) + SEGMENTS * width

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([super()._read(x, mask), segment_means(x, mask, SEGMENTS).flatten(1)], dim=-1)


class PositionHead(PooledHead):
    """Pooled features and eight numbers of every token, for sequences of one length: F = 3·D + 8·N."""

    positional = True
    fixed_length = True

    def _build(self, width: int, tokens: int) -> int:
        require(tokens >= 1, "tokens", "≥ 1 with head 'position' (sequences of one length)", tokens)
        pooled = super()._build(width, tokens)
        self.tokens = tokens
        self.narrow = linear_(nn.Linear(width, NARROW))
        return pooled + NARROW * tokens

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        if x.shape[1] != self.tokens:
            raise ValueError(
                f"head 'position' was trained on sequences of {self.tokens} tokens, got {x.shape[1]}: pass sequences "
                "as long as those of training, or choose head 'segments'"
            )
        return torch.cat([super()._read(x, mask), (self.narrow(x) * mask[..., None]).flatten(1)], dim=-1)


class PerBaseHead(ClassificationHead):
    """The token at each base by itself: F = D."""

    per_base = True

    def _build(self, width: int, tokens: int) -> int:
        return width

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        return x


HEADS: dict[HeadName, type[ClassificationHead]] = {
    "pooled": PooledHead,
    "segments": SegmentsHead,
    "position": PositionHead,
    "per_base": PerBaseHead,
}


def _of_classes(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs, labels, reduction="none")


def _of_labels(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="none").mean(-1)


def _squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - labels.to(outputs.dtype)).square().mean(-1)


def _huber(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.huber_loss(outputs, labels.to(outputs.dtype), reduction="none").mean(-1)


def _deviance(outputs: Tensor, labels: Tensor) -> Tensor:
    counts, log_rate = labels.to(outputs.dtype), outputs.clamp_max(HIGHEST_LOG_RATE)
    return (log_rate.exp() - counts * log_rate + torch.xlogy(counts, counts) - counts).mean(-1)


LOSSES: dict[TaskName, Callable[[Tensor, Tensor], Tensor]] = {
    "classes": _of_classes,
    "labels": _of_labels,
    "mse": _squared,
    "huber": _huber,
    "poisson": _deviance,
}


def row_losses(outputs: Tensor, labels: Tensor, task: TaskName) -> Tensor:
    """Loss of each row: log loss in nats, squared error, Huber's loss (bend at 1), half a Poisson deviance in nats.

    Args:
        outputs: (R, K).
        labels: (R,) class numbers; (R, K) zeros and ones for `labels`; (R, K) numbers for the losses of numbers.
        task: `classes` exclude each other, `labels` do not; the losses of labels and of numbers are means over K.

    Returns:
        (R,).
    """
    return LOSSES[task](outputs, labels)
