"""SequenceNetwork: nucleotides → encoder → Titans read in both directions → head, on plain tensors.

It knows nothing of Lightning or scikit-learn. Batches have `input_ids`, `attention_mask`, and for the loss `labels` and
optionally `weight`.

Shapes: B batch, T bases, N tokens, D width, K classes or labels, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.backbone import Titans
from titans_ts.core.config import MemoryConfig, TitansConfig, require
from titans_ts.core.initialization import linear_
from titans_ts.genomics.model.encoder import NucleotideEncoder
from titans_ts.genomics.model.heads import ClassificationHead, HeadName, TaskName, row_losses
from titans_ts.genomics.model.language_trunk import LanguageTrunk, ObjectiveName
from titans_ts.genomics.model.strands import left_aligned, reverse, reverse_complement

Batch = dict[str, Tensor]
StrandsName = Literal["one", "both", "either"]


def _backbone() -> TitansConfig:
    memory = MemoryConfig(chunk_size=16, horizon=(4.0, 1024.0))
    return TitansConfig(block="mag", width=32, heads=2, layers=1, window=64, persistent_tokens=4, memory=memory)


@dataclass(frozen=True)
class SequenceConfig:
    """Sizes of a sequence network; plain values only (``dataclasses.asdict`` goes into model files).

    Attributes:
        outputs: K classes or labels.
        task: ``"classes"`` exclude each other, ``"labels"`` do not.
        head: see :class:`titans_ts.genomics.model.heads.ClassificationHead`.
        strands: ``"both"`` reads the sequence and its reverse complement with the same weights and adds what they say:
            a sequence and its reverse complement get the same answer (per base: the mirrored one). ``"one"`` reads the
            sequence forwards and backwards. ``"either"`` does so with one strand, drawn anew for each sequence, while
            training, and otherwise answers the mean of both strands: equal answers again, of a network that overfits
            less (not for bases).
        bidirectional: with one strand, also read from the end to the start; off for a causal network.
        length: bases of every sequence, for head ``"position"``.
        channels: D, width of the encoder and of what the head reads; the backbone has a width of its own.
        stem: bases that one filter of the encoder sees; 1 for none.
        pool: bases of one token.
        conv_layers: residual convolutions over tokens.
        kernel: tokens that each of them sees.
        merge: neighbouring tokens that the backbone reads as one.
        hidden: width of the head.
        head_dropout: dropout of the head.
        mixing: False leaves the backbone out, so that convolutions alone read: for comparisons.
        backbone: see :class:`titans_ts.core.config.TitansConfig`.
        language: objective of the language model whose trunk reads single bases in the place of the encoder (`pool` and
            `merge` are 1, `channels`, `stem`, `conv_layers`, `kernel` and `bidirectional` mean nothing); None for none.
    """

    outputs: int
    task: TaskName = "classes"
    head: HeadName = "pooled"
    strands: StrandsName = "one"
    bidirectional: bool = True
    length: int = 0
    channels: int = 64
    stem: int = 15
    pool: int = 4
    conv_layers: int = 1
    kernel: int = 5
    merge: int = 2
    hidden: int = 64
    head_dropout: float = 0.3
    mixing: bool = True
    backbone: TitansConfig = field(default_factory=_backbone)
    language: ObjectiveName | None = None

    def __post_init__(self) -> None:
        require(self.outputs >= 1, "outputs", "≥ 1", self.outputs)
        require(self.task in get_args(TaskName), "task", f"one of {get_args(TaskName)}", self.task)
        require(self.head in get_args(HeadName), "head", f"one of {get_args(HeadName)}", self.head)
        require(self.strands in get_args(StrandsName), "strands", f"one of {get_args(StrandsName)}", self.strands)
        for name in ("stem", "kernel"):
            value = getattr(self, name)
            require(value >= 1 and value % 2 == 1, name, "an odd number ≥ 1 (a base or token and its sides)", value)
        for name, least in (("pool", 1), ("merge", 1), ("channels", 1), ("hidden", 1), ("conv_layers", 0)):
            require(getattr(self, name) >= least, name, f"≥ {least}", getattr(self, name))
        require(0 <= self.head_dropout < 1, "head_dropout", "in [0, 1)", self.head_dropout)
        both = "'one' or 'both' with head 'per_base'"
        require(self.head != "per_base" or self.strands != "either", "strands", both, self.strands)
        require(self.head != "position" or self.length >= 1, "length", "≥ 1 base with head 'position'", self.length)
        if self.language is not None:
            objectives = get_args(ObjectiveName)
            require(self.language in objectives, "language", f"None or one of {objectives}", self.language)
            require(self.pool == self.merge == 1, "pool, merge", "1 with a language model", (self.pool, self.merge))

    @property
    def tokens(self) -> int:
        """Tokens of a sequence of `length` bases."""
        return -(-self.length // self.pool)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SequenceConfig:
        """Inverse of ``dataclasses.asdict``."""
        return cls(**{**values, "backbone": TitansConfig.from_dict(values["backbone"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class SequenceNetwork(nn.Module):
    """Classifies sequences or bases.

    Two causal readings meet at every token, by the same weights: what lies before it and what lies behind it. With
    strands ``"both"`` the second reading is that of the reverse complement. A language model's trunk takes the place of
    the encoder where the configuration names one; see :class:`titans_ts.genomics.model.language_trunk.LanguageTrunk`.

    Args:
        config: see :class:`SequenceConfig`.
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self.config = config
        self.language: LanguageTrunk | None = None
        channels = config.channels
        if config.language is None:
            self._add_encoder(config)
        else:
            self.language = LanguageTrunk(config.language, config.backbone, config.strands)
            channels = self.language.width
        self.head = ClassificationHead(
            config.head, channels, config.outputs, config.tokens, config.hidden, config.head_dropout
        )

    def _add_encoder(self, config: SequenceConfig) -> None:
        """What a network that is trained from scratch reads with."""
        channels, width = config.channels, config.backbone.width
        self.encoder = NucleotideEncoder(
            channels, config.stem, config.pool, config.conv_layers, config.kernel, config.backbone.dropout
        )
        if config.mixing:
            self.into = linear_(nn.Linear(config.merge * channels, width))
            self.backbone = Titans(config.backbone)
            self.forwards = linear_(nn.Linear(width, channels))
        backwards = config.mixing and config.strands != "both" and config.bidirectional
        self.backwards = linear_(nn.Linear(width, channels)) if backwards else None
        self.of_base = linear_(nn.Linear(channels, channels)) if config.head == "per_base" else None

    def _one_strand(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the head reads, of these letters as they stand: (B, N, D) and mask, at bases for head `per_base`."""
        if self.language is not None:
            return self.language(ids, mask), mask
        tokens, short, bases = self.encoder(ids, mask, bases=self.of_base is not None)
        if not self.config.mixing:
            return self._at_bases(tokens, short, bases, mask)
        x, read = self._merged(tokens, short)
        z = self._apart(self.forwards(self.backbone(x, mask=read)[0]), tokens)
        if self.backwards is not None:
            count = short.sum(1)
            x, _ = self._merged(reverse(tokens, count), short)
            back = self._apart(self.backwards(self.backbone(x, mask=read)[0]), tokens)
            z = z + reverse(back, count)
        # The tokens themselves reach the head past the backbone.
        return self._at_bases(tokens + z, short, bases, mask)

    def _merged(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours as one token: (B, N, D) → (B, ⌈N / merge⌉, backbone width), and the mask."""
        merge = self.config.merge
        behind = -tokens.shape[1] % merge
        tokens = F.pad(tokens * mask[..., None], (0, 0, 0, behind)).unflatten(1, (-1, merge)).flatten(2)
        return self.into(tokens), F.pad(mask, (0, behind)).unflatten(1, (-1, merge)).any(-1)

    def _apart(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Inverse of `_merged` in length: each of the neighbours gets what was said of them together."""
        return z.repeat_interleave(self.config.merge, dim=1)[:, : tokens.shape[1]]

    def _at_bases(self, z: Tensor, short: Tensor, bases: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor]:
        """For heads that read bases: each base's token beside the stem at the base."""
        if self.of_base is None or bases is None:
            return z, short
        z = z.repeat_interleave(self.config.pool, dim=1)[:, : mask.shape[1]]
        return z + self.of_base(bases), mask

    def tokens(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What the head reads: (B, N, D), mask (B, N), lengths (B,) in the head's units (bases for `per_base`).

        Raises:
            ValueError: see `titans_ts.genomics.model.strands.left_aligned`.
        """
        ids, mask, lengths = left_aligned(batch["input_ids"], batch["attention_mask"].bool())
        z, short = self._one_strand(ids, mask)
        if self.config.strands == "both":
            other, _ = self._one_strand(reverse_complement(ids, lengths), mask)
            z = (z + reverse(other, short.sum(1))) / 2
        return z, short, short.sum(1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K); (B, T, K) at each base for head `per_base`, in the order and padding of the batch."""
        return self._either(batch, self._logits)

    def _logits(self, batch: Batch) -> Tensor:
        z, mask, count = self.tokens(batch)
        if self.config.head == "per_base":
            return self._in_place(self.head.logits(self.head.features(z, mask)), batch["attention_mask"].bool(), mask)
        return self._both_ways(z, mask, count, self.head.logits)

    def embed(self, batch: Batch) -> Tensor:
        """The head's features (B, F); for `per_base` those of each base (B, T, F)."""
        return self._either(batch, self._features)

    def _features(self, batch: Batch) -> Tensor:
        z, mask, count = self.tokens(batch)
        if self.config.head == "per_base":
            return self._in_place(self.head.features(z, mask), batch["attention_mask"].bool(), mask)
        return self._both_ways(z, mask, count, lambda f: f)

    def _either(self, batch: Batch, read: Callable[[Batch], Tensor]) -> Tensor:
        """With either strand: of one, drawn for each row, while training, else the mean of both."""
        if self.config.strands != "either":
            return read(batch)
        ids, mask, lengths = left_aligned(batch["input_ids"], batch["attention_mask"].bool())
        other = reverse_complement(ids, lengths)
        if self.training:
            drawn = torch.rand(len(ids), device=ids.device) < 0.5
            ids = torch.where(drawn.reshape(-1, *[1] * (ids.ndim - 1)), other, ids)
            return read({"input_ids": ids, "attention_mask": mask})
        forward, backward = (read({"input_ids": x, "attention_mask": mask}) for x in (ids, other))
        return (forward + backward) / 2

    def _both_ways(self, z: Tensor, mask: Tensor, count: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """With both strands, heads that know positions read them from both ends."""
        y = read(self.head.features(z, mask))
        if self.config.strands != "both":
            return y
        return (y + read(self.head.features(reverse(z, count), mask))) / 2

    @staticmethod
    def _in_place(y: Tensor, mask: Tensor, aligned: Tensor) -> Tensor:
        """Rows of left-aligned bases back to where the bases lie in the batch, 0 under padding."""
        out = y.new_zeros(*mask.shape, y.shape[-1])
        out[mask] = y[aligned]
        return out

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log loss of each row in nats and its weight, both (R,): R sequences, or bases for head `per_base`."""
        logits, labels = self(batch), batch["labels"]
        weight = batch.get("weight")
        if self.config.head == "per_base":
            mask = batch["attention_mask"].bool()
            logits, labels = logits[mask], labels[mask]
            weight = None if weight is None else weight[mask]
        losses = row_losses(logits, labels, self.config.task)
        return losses, torch.ones_like(losses) if weight is None else weight.to(losses.dtype)

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean log loss, a scalar in nats."""
        losses, weight = self.row_losses(batch)
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)
