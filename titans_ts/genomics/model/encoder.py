"""NucleotideEncoder: from nucleotides to tokens by convolution and pooling.

Shapes: B batch, T bases, N = ⌈T / pool⌉ tokens, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.initialization import linear_

BASES = 4


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation with statistics of bases or tokens only, never of padding.

    A norm over the channels of one token would lose how well a filter matches, which is what identifies a motif. In
    training, the sequences of a batch share statistics; afterwards these are constants, and no answer depends on the
    other sequences of a batch.

    Args:
        width: D channels.

    Attributes:
        shared: whether the processes of a distributed training share statistics too, so that they train as one.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.shared = False

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, D, N), mask (B, N) → (B, D, N); values under padding are undefined."""
        # Under autocast x has half precision, in which counts and squares would be lost.
        wide = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        if not self.training:
            y = F.batch_norm(wide, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
            return y.to(x.dtype)
        share = mask[:, None].to(wide.dtype) / self._everywhere(mask.sum()).clamp_min(1)
        mean = self._everywhere((wide * share).sum((0, 2)))
        centred = wide - mean[:, None]
        variance = self._everywhere((centred.square() * share).sum((0, 2)))
        with torch.no_grad():
            for kept, now in ((self.running_mean, mean), (self.running_var, variance)):
                kept.lerp_(now, self.momentum)  # type: ignore[union-attr, arg-type]
        y = centred * (self.weight * (variance + self.eps).rsqrt())[:, None] + self.bias[:, None]
        return y.to(x.dtype)

    def _everywhere(self, x: Tensor) -> Tensor:
        """The sum over all processes, differentiable; x itself where statistics are not shared."""
        if not self.shared:
            return x
        from torch.distributed.nn.functional import all_reduce

        y: Tensor = all_reduce(x)
        return y


class ConvLayer(nn.Module):
    """A residual convolution over tokens: norm, wide kernel, GELU, linear; padding is never read."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(width)
        self.wide = nn.Conv1d(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation)
        self.out = linear_(nn.Linear(width, width), 0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) → (B, N, D)."""
        z = self.wide(self.norm(x.transpose(1, 2), mask) * mask[:, None]).transpose(1, 2)
        y: Tensor = x + self.dropout(self.out(F.gelu(z)))
        return y


class NucleotideEncoder(nn.Module):
    """Bases → tokens: a convolution over `stem` bases, batch norm, then the maximum over `pool` neighbours.

    N is an unknown base (zeros in the one-hot code). A stem of 1 without pooling is a plain embedding of single
    nucleotides.

    Args:
        width: D.
        stem: bases that one filter reads, odd; 1 for single bases. Default: 15.
        pool: bases of one token; the blocks then read T / pool tokens. Default: 4.
        layers: residual convolutions over tokens after the stem. Default: 1.
        kernel: tokens that each of them reads, odd. Default: 5.
        dropout: of these layers. Default: 0.1.

    Example:
        >>> import torch
        >>> ids = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])  # A, C, G, T twice
        >>> encoder = NucleotideEncoder(width=6, stem=3, pool=4).eval()
        >>> tokens, mask, _ = encoder(ids, torch.ones_like(ids, dtype=torch.bool))
        >>> tokens.shape, mask.tolist()
        (torch.Size([1, 2, 6]), [[True, True]])
    """

    def __init__(
        self, width: int, stem: int = 15, pool: int = 4, layers: int = 1, kernel: int = 5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pool = pool
        self.stem = nn.Conv1d(BASES, width, stem, padding=stem // 2)
        nn.init.normal_(self.stem.weight, std=1.0 / math.sqrt(stem))
        self.norm = MaskedBatchNorm(width)
        self.layers = nn.ModuleList(ConvLayer(width, kernel, 2**i, dropout) for i in range(layers))

    def _stem(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, T) or (B, T, 4), mask (B, T) → (B, D, T): channels first, as the convolution leaves it."""
        letters = torch.arange(BASES, device=ids.device)
        shares = ids if ids.is_floating_point() else ids[..., None] == letters
        onehot = shares.to(self.stem.weight.dtype) * mask[..., None]
        return F.gelu(self.norm(self.stem(onehot.transpose(1, 2)), mask))

    def pooled_mask(self, mask: Tensor) -> Tensor:
        """(B, T) → (B, N) of tokens that hold at least one base."""
        missing = -mask.shape[1] % self.pool
        return F.pad(mask, (0, missing)).unflatten(1, (-1, self.pool)).any(-1)

    def forward(self, ids: Tensor, mask: Tensor, bases: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read left-aligned bases.

        Args:
            ids: (B, T) int64, codes of `titans_datasets.dna`; or (B, T, 4) shares of A, C, G, T (a soft one-hot code).
            mask: (B, T) bool, True for bases.
            bases: whether the third result is wanted.

        Returns:
            tokens (B, N, D), their mask (B, N), and the stem's output at each base (B, T, D), 0 under padding.
        """
        filtered, short = self._stem(ids, mask), self.pooled_mask(mask)
        x = (filtered * mask[:, None]).transpose(1, 2) if bases or self.pool == 1 else None
        if x is None or self.pool > 1:
            # GELU is above −0.2: a base always wins over padding, and tokens of padding only are masked.
            padded = filtered.masked_fill(~mask[:, None], -1.0)
            tokens = F.max_pool1d(padded, self.pool, ceil_mode=True).transpose(1, 2)
        else:
            tokens = x
        tokens = tokens * short[..., None]
        for layer in self.layers:
            tokens = layer(tokens, short)
        return tokens, short, x
