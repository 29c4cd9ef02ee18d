"""Log-likelihoods, embeddings and samples of a language network: sequences of any length, segment by segment.

Shapes: n sequences, B of a batch, T bases of one, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_datasets.dna.alphabet import Codes, reverse_complement
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_ts.genomics.language.windows import cut
from titans_ts.genomics.model.inference import TOKENS, check_finite, evaluating
from titans_ts.genomics.model.language_network import LanguageNetwork, LanguageState

FloatArray = npt.NDArray[np.float64]


class Likelihoods(NamedTuple):
    """Of n sequences: log-likelihood in nats (n,) and number of A, C, G, T (n,)."""

    nats: FloatArray
    bases: FloatArray


@contextlib.contextmanager
def _evaluated(network: LanguageNetwork, device: torch.device) -> Iterator[None]:
    """Evaluation mode on the device, without gradients; where it was or on the CPU afterwards."""
    here = next(network.parameters()).device == device
    with evaluating([network], None if here else device), torch.no_grad():
        yield


def _batches(codes: Sequence[Codes]) -> Iterator[tuple[npt.NDArray[np.int64], Tensor, Tensor]]:
    """Rows, ids and mask (on the CPU) of batches of similar length."""
    for rows in bucketed([len(x) for x in codes], TOKENS):
        ids, mask = pad([codes[i] for i in rows])
        yield rows, ids, mask


def likelihoods(
    network: LanguageNetwork, codes: Sequence[Codes], window: int, device: torch.device, both_strands: bool = False
) -> Likelihoods:
    """Log-likelihood of each sequence.

    Args:
        network: a causal network reads whole sequences, a masked one separate windows.
        codes: n sequences.
        window: bases of a masked network's windows.
        device: where the network runs.
        both_strands: the mean over the sequence and its reverse complement.

    Raises:
        ValueError: a memory diverged.
    """
    found = _one_strand(network, codes, window, device)
    if not both_strands:
        return found
    other = _one_strand(network, [reverse_complement(x) for x in codes], window, device)
    return Likelihoods((found.nats + other.nats) / 2, found.bases)


def _one_strand(network: LanguageNetwork, codes: Sequence[Codes], window: int, device: torch.device) -> Likelihoods:
    masked = network.config.objective == "masked"
    parts = [cut(x, window) if masked else [slice(None)] for x in codes]
    owner = np.repeat(np.arange(len(codes)), [len(one) for one in parts])
    segments = [x[part] for x, one in zip(codes, parts, strict=True) for part in one]
    total = np.zeros((2, len(codes)))
    step = None if masked else TOKENS
    with _evaluated(network, device):
        for rows, ids, mask in _batches(segments):
            for i, value in enumerate(_summed(network, ids, mask, step, device)):
                np.add.at(total[i], owner[rows], value.numpy())
    check_finite(np.isfinite(total[0]), range(len(codes)), codes)
    return Likelihoods(*total)


def _summed(
    network: LanguageNetwork, ids: Tensor, mask: Tensor, step: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Log-likelihood and number of known bases of each row (B,), float64, read `step` columns at a time."""
    state: LanguageState | None = None
    nats, bases = torch.zeros(2, len(ids), dtype=torch.float64)
    for start in range(0, ids.shape[1], step or ids.shape[1]):
        here = slice(start, None if step is None else start + step)
        segment, real = ids[:, here].to(device), mask[:, here].to(device)
        logits, state = network(segment, real, None if step is None else state)
        losses, _ = network.head.losses(logits, segment, real)
        nats -= losses.cpu().double().sum(1)
        bases += (real & (segment < logits.shape[-1])).sum(1).cpu()
    return nats, bases


def embeddings(
    network: LanguageNetwork, codes: Sequence[Codes], chunk: int, pooling: str, device: torch.device
) -> FloatArray:
    """Embeddings (n, D), read `chunk` bases at a time with the state carried.

    Args:
        network: a masked network adds a reading from the other end: (n, 2·D).
        codes: n sequences.
        chunk: bases of one segment; the result does not depend on it.
        pooling: "mean" over all bases, or "last": the last base read.
        device: where the network runs.

    Raises:
        ValueError: a memory diverged.
    """
    sides = [codes] if network.config.objective == "causal" else [codes, [x[::-1] for x in codes]]
    width = network.config.backbone.width
    out = np.empty((len(codes), width * len(sides)))
    with _evaluated(network, device):
        for i, side in enumerate(sides):
            for rows, ids, mask in _batches(side):
                out[rows, i * width : (i + 1) * width] = _pooled(network, ids, mask, chunk, pooling, device).numpy()
    check_finite(np.isfinite(out.sum(1)), range(len(codes)), codes)
    return out


def _pooled(
    network: LanguageNetwork, ids: Tensor, mask: Tensor, chunk: int, pooling: str, device: torch.device
) -> Tensor:
    """(B, D) float64 on the CPU."""
    state = network.initial_state(len(ids))
    total = torch.zeros(state.hidden.shape, dtype=torch.float64)
    for start in range(0, ids.shape[1], chunk):
        here = slice(start, start + chunk)
        real = mask[:, here].to(device)
        y, state = network.read(ids[:, here].to(device), real, state)
        total += (y * real[..., None]).sum(1).cpu().double()
    return state.hidden.cpu().double() if pooling == "last" else total / mask.sum(1, keepdim=True)


def draw(
    network: LanguageNetwork, prompt: Codes, count: int, temperature: float, seed: int, device: torch.device
) -> Codes:
    """`count` new bases after the prompt, which may be empty; see `LanguageModelHead.sample`."""
    generator = torch.Generator().manual_seed(seed)
    out = np.empty(count, dtype=np.uint8)
    one = torch.ones(1, 1, dtype=torch.bool, device=device)
    with _evaluated(network, device):
        state = network.initial_state(1)
        for start in range(0, len(prompt), TOKENS):
            ids = torch.from_numpy(prompt[None, start : start + TOKENS].astype(np.int64)).to(device)
            _, state = network.read(ids, one.expand(ids.shape), state)
        for i in range(count):
            base = network.head.sample(network.expected(state).cpu(), temperature, generator)
            out[i] = int(base)
            _, state = network.read(base[None].to(device), one, state)
    return out
