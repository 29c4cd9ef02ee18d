"""SequenceNetwork: nucleotides → encoder → Titans read in both directions → head, on plain tensors.

Batches have `input_ids`, `attention_mask`, and for the loss `labels` and optionally `weight`.

Shapes: B batch, T bases, N tokens, D width, K classes or labels, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.backbone import Titans
from titans_ts.core.initialization import linear_
from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.encoder import NucleotideEncoder
from titans_ts.genomics.model.heads import HEADS, row_losses
from titans_ts.genomics.model.language_trunk import LanguageTrunk
from titans_ts.genomics.model.strands import left_aligned, reverse, reverse_complement

Batch = dict[str, Tensor]


class SequenceNetwork(nn.Module):
    """Classifies sequences or bases, or predicts numbers for them.

    Two causal readings meet at every token, by the same weights: one of what comes before it, one of what comes after
    it. With strands ``"both"`` the second reading is that of the reverse complement. A language model's trunk replaces
    the encoder where the configuration names one; see :class:`titans_ts.genomics.model.language_trunk.LanguageTrunk`.

    Args:
        config: see :class:`titans_ts.genomics.model.config.SequenceConfig`.

    Example:
        >>> import torch
        >>> from titans_ts.genomics import SequenceConfig
        >>> network = SequenceNetwork(SequenceConfig(outputs=2)).eval()
        >>> ids = torch.randint(0, 4, (3, 50))  # A, C, G, T are 0, 1, 2, 3
        >>> network({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).shape
        torch.Size([3, 2])
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
        self.head = HEADS[config.head](channels, config.outputs, config.tokens, config.hidden, config.head_dropout)

    def _add_encoder(self, config: SequenceConfig) -> None:
        """The encoder and backbone of a network that is trained from scratch."""
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
        self.of_base = linear_(nn.Linear(channels, channels)) if HEADS[config.head].per_base else None

    def _one_strand(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The head's input for one strand: (B, N, D) and mask, at bases for head `per_base`."""
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
        # A residual connection around the backbone.
        return self._at_bases(tokens + z, short, bases, mask)

    def _merged(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours as one token: (B, N, D) → (B, ⌈N / merge⌉, backbone width), and the mask."""
        merge = self.config.merge
        missing = -tokens.shape[1] % merge
        tokens = F.pad(tokens * mask[..., None], (0, 0, 0, missing)).unflatten(1, (-1, merge)).flatten(2)
        return self.into(tokens), F.pad(mask, (0, missing)).unflatten(1, (-1, merge)).any(-1)

    def _apart(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Inverse of `_merged` in length: each of the neighbours gets their common value."""
        return z.repeat_interleave(self.config.merge, dim=1)[:, : tokens.shape[1]]

    def _at_bases(self, z: Tensor, short: Tensor, bases: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor]:
        """For heads that read bases: each base's token plus the stem's output at the base."""
        if self.of_base is None or bases is None:
            return z, short
        z = z.repeat_interleave(self.config.pool, dim=1)[:, : mask.shape[1]]
        return z + self.of_base(bases), mask

    def tokens(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The head's input: (B, N, D), mask (B, N), lengths (B,) in the head's units (bases for `per_base`).

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
        if self.head.per_base:
            return self._in_place(self.head.logits(self.head.features(z, mask)), batch["attention_mask"].bool(), mask)
        return self._both_ways(z, mask, count, self.head.logits)

    def embed(self, batch: Batch) -> Tensor:
        """The head's features (B, F); for `per_base` those of each base (B, T, F)."""
        return self._either(batch, self._features)

    def _features(self, batch: Batch) -> Tensor:
        z, mask, count = self.tokens(batch)
        if self.head.per_base:
            return self._in_place(self.head.features(z, mask), batch["attention_mask"].bool(), mask)
        return self._both_ways(z, mask, count, lambda f: f)

    def _either(self, batch: Batch, read: Callable[[Batch], Tensor]) -> Tensor:
        """With strands `either`: one strand, drawn for each row, in training, else the mean of both."""
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
        """With strands `both`, a head with positions reads them from both ends."""
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
        """Loss of each row (see `row_losses`) and its weight, both (R,): R sequences, or bases for head `per_base`."""
        logits, labels = self(batch), batch["labels"]
        weight = batch.get("weight")
        if self.head.per_base:
            mask = batch["attention_mask"].bool()
            logits, labels = logits[mask], labels[mask]
            weight = None if weight is None else weight[mask]
        losses = row_losses(logits, labels, self.config.task)
        return losses, torch.ones_like(losses) if weight is None else weight.to(losses.dtype)

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean loss, a scalar."""
        losses, weight = self.row_losses(batch)
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)
