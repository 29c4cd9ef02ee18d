"""Logits and embeddings of encoded sequences in batches of similar length; results in the caller's order.

Shapes: n sequences, T bases of one, K classes or labels, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from titans_datasets.dna.alphabet import Codes
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_ts.genomics.model.network import Batch, SequenceNetwork
from titans_ts.support.device import placed

FloatArray = npt.NDArray[np.float64]
# Tokens of one batch, padding included: large enough to keep a core busy, small enough for its cache. 400
# sequences of 100 to 1,000 bases at 4,096, 8,192 … 65,536: 3.5, 2.3, 1.66, 1.55, 1.75 CPU s (AMD, loaded, best of 3).
TOKENS = 32_768


@contextmanager
def evaluating(networks: Sequence[nn.Module], device: torch.device | None = None) -> Iterator[None]:
    """Networks in evaluation mode, on the device; afterwards each of their parts is in its former mode.

    Args:
        networks: to be evaluated.
        device: None leaves them on their device; otherwise they are on the CPU afterwards.
    """
    modes = [(part, part.training) for network in networks for part in network.modules()]
    try:
        for network in networks:
            network.eval()
        with nullcontext() if device is None else placed(networks, device):
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@torch.no_grad()
def _each(
    network: SequenceNetwork, codes: Sequence[Codes], device: torch.device, read: Callable[[Batch], Tensor]
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor, Tensor]]:
    """Rows, output and mask of every batch."""
    with evaluating([network], device):
        for rows in bucketed([len(x) for x in codes], TOKENS):
            ids, mask = pad([codes[i] for i in rows])
            batch = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            y = read(batch).cpu()
            known = y.isfinite().all(-1)
            known = (known | ~mask).all(-1) if y.ndim == mask.ndim + 1 else known
            check_finite(known.numpy(), rows, codes)
            yield rows, y, mask


def check_finite(
    finite: npt.NDArray[np.bool_], rows: Sequence[int] | npt.NDArray[np.int64], codes: Sequence[Codes]
) -> None:
    """Refuse what a network gives where its memory has diverged.

    Args:
        finite: (r,) whether all numbers of a sequence are finite.
        rows: (r,) their places among the caller's sequences.
        codes: the caller's sequences.

    Raises:
        ValueError: with the first sequence whose numbers are not finite.
    """
    for row, known in zip(rows, finite, strict=True):
        if not known:
            raise ValueError(
                f"the network's numbers for sequence {row} ({len(codes[row]):,} bases) are not finite: its memory "
                "diverged, as one may on sequences much longer than those of training. Read shorter windows, or train "
                "with a memory that cannot: kind 'linear', anchor 'token', momentum_limit 0.5 (docs/long_context.md)"
            )


def _rows(
    network: SequenceNetwork, codes: Sequence[Codes], device: torch.device, read: Callable[[Batch], Tensor]
) -> FloatArray:
    out: FloatArray | None = None
    for rows, y, _ in _each(network, codes, device, read):
        out = np.empty((len(codes), y.shape[-1])) if out is None else out
        out[rows] = y.numpy()
    assert out is not None
    return out


def network_logits(network: SequenceNetwork, codes: Sequence[Codes], device: torch.device) -> FloatArray:
    """(n, K)."""
    return _rows(network, codes, device, network)


def network_embeddings(network: SequenceNetwork, codes: Sequence[Codes], device: torch.device) -> FloatArray:
    """(n, F)."""
    return _rows(network, codes, device, network.embed)


def base_logits(network: SequenceNetwork, codes: Sequence[Codes], device: torch.device) -> list[FloatArray]:
    """n arrays (T, K)."""
    return _bases(network, codes, device, network)


def base_embeddings(network: SequenceNetwork, codes: Sequence[Codes], device: torch.device) -> list[FloatArray]:
    """n arrays (T, F)."""
    return _bases(network, codes, device, network.embed)


def _bases(
    network: SequenceNetwork, codes: Sequence[Codes], device: torch.device, read: Callable[[Batch], Tensor]
) -> list[FloatArray]:
    out: list[FloatArray] = [np.empty(0)] * len(codes)
    for rows, y, mask in _each(network, codes, device, read):
        for place, row in enumerate(rows):
            out[row] = y[place][mask[place]].double().numpy()
    return out
