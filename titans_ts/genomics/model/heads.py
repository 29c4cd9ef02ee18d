"""ClassificationHead: what a network says of a sequence, or of each of its bases.

Shapes: B batch, N tokens, D width, K classes or labels, F features, S segments, R rows (sequences, or bases).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.config import require
from titans_ts.core.initialization import linear_

HeadName = Literal["pooled", "segments", "position", "per_base"]
TaskName = Literal["classes", "labels"]
SEGMENTS = 8


class Pooling(nn.Module):
    """Attention over tokens with a score for relative position, beside mean and maximum: (B, N, D) → (B, 3·D).

    Args:
        width: D.
        knots: the score for position is a broken line with that many corners between the ends of a sequence.
    """

    def __init__(self, width: int, knots: int = 9) -> None:
        super().__init__()
        self.score = linear_(nn.Linear(width, 1, bias=False), 0.1)
        self.position_scale = nn.Parameter(torch.zeros(knots))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pool the masked tokens."""
        place = relative_position(mask) * (len(self.position_scale) - 1)
        low = place.floor().long().clamp_max(len(self.position_scale) - 2)
        share = (place - low).to(x.dtype)
        bias = torch.lerp(self.position_scale[low], self.position_scale[low + 1], share)
        score = (self.score(x)[..., 0] + bias).masked_fill(~mask, -torch.inf).softmax(-1)
        attended = (score[..., None] * x).sum(1)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        largest = x.masked_fill(~mask[..., None], -torch.inf).amax(1)
        return torch.cat([attended, mean, largest], dim=-1)


def relative_position(mask: Tensor) -> Tensor:
    """Where a token lies in its sequence (B, N): the middles of N equal parts of 0 … 1."""
    count = mask.sum(1, keepdim=True)
    place = torch.arange(mask.shape[1], device=mask.device)
    return ((place + 0.5) / count).clamp_max(1.0)


def segment_means(x: Tensor, mask: Tensor, segments: int) -> Tensor:
    """Means of `segments` equal parts of each sequence (B, N, D) → (B, S, D).

    A token counts in each segment by how much of it lies there, so that short sequences have no empty segments.
    """
    count = mask.sum(1)[:, None, None].to(x.dtype)
    left = torch.arange(mask.shape[1], device=x.device)[None, None, :] / count
    border = torch.arange(segments, device=x.device)[None, :, None] / segments
    overlap = torch.minimum(left + 1 / count, border + 1 / segments) - torch.maximum(left, border)
    weight = overlap.clamp_min(0) * mask[:, None, :]
    return torch.einsum("bsn,bnd->bsd", weight / weight.sum(-1, keepdim=True), x)


class ClassificationHead(nn.Module):
    """Features of the tokens, then a small network to one number a class (or label).

    `pooled` forgets most of where things are. `segments` and `position` keep it: means of eight parts of sequences of
    any length, or every token by itself in sequences of one length; both beside the pooled features. `per_base` maps
    each base alone.

    Args:
        kind: see above.
        width: D.
        outputs: K.
        tokens: N of every sequence, for `position`.
        hidden: width between features and outputs.
        dropout: probability on features and hidden values, in training only.
    """

    def __init__(
        self, kind: HeadName, width: int, outputs: int, tokens: int = 0, hidden: int = 64, dropout: float = 0.3
    ) -> None:
        super().__init__()
        require(kind in get_args(HeadName), "head", f"one of {get_args(HeadName)}", kind)
        require(
            kind != "position" or tokens >= 1, "tokens", "≥ 1 with head 'position' (sequences of one length)", tokens
        )
        self.kind, self.tokens = kind, tokens
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.pooling = Pooling(width) if kind != "per_base" else None
        # Few numbers a place: all of them side by side are the most that a head reads.
        self.narrow = linear_(nn.Linear(width, 8)) if kind == "position" else None
        self.width = {
            "pooled": 3 * width,
            "segments": (3 + SEGMENTS) * width,
            "position": 3 * width + 8 * tokens,
            "per_base": width,
        }[kind]
        self.dropout = nn.Dropout(dropout)
        self.hidden = linear_(nn.Linear(self.width, hidden))
        self.out = linear_(nn.Linear(hidden, outputs), 0.5)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) → (B, F); (B, N, D) for `per_base`."""
        x = self.norm(x)
        if self.pooling is None:
            return x
        parts = [self.pooling(x, mask)]
        if self.kind == "segments":
            parts.append(segment_means(x, mask, SEGMENTS).flatten(1))
        if self.narrow is not None:
            if x.shape[1] != self.tokens:
                raise ValueError(
                    f"head 'position' was made for sequences of {self.tokens} tokens, got {x.shape[1]}: sequences must "
                    "be as long as those of training, or choose head 'segments'"
                )
            parts.append((self.narrow(x) * mask[..., None]).flatten(1))
        return torch.cat(parts, dim=-1)

    def logits(self, features: Tensor) -> Tensor:
        """(…, F) → (…, K)."""
        y: Tensor = self.out(self.dropout(F.gelu(self.hidden(self.dropout(features)))))
        return y


def row_losses(logits: Tensor, labels: Tensor, task: TaskName) -> Tensor:
    """Log loss of each row in nats.

    Args:
        logits: (R, K).
        labels: (R,) class numbers, or (R, K) zeros and ones for `labels`.
        task: `classes` exclude each other, `labels` do not (their losses are averaged).

    Returns:
        (R,).
    """
    if task == "classes":
        return F.cross_entropy(logits, labels, reduction="none")
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none").mean(-1)


def log_probabilities(logits: Tensor, task: TaskName) -> Tensor:
    """(…, K) → (…, K): of classes, or of each label being there."""
    return logits.log_softmax(-1) if task == "classes" else F.logsigmoid(logits)


def chance_loss(outputs: int, task: TaskName) -> float:
    """Log loss of knowing nothing, in nats."""
    return math.log(outputs) if task == "classes" else math.log(2.0)
