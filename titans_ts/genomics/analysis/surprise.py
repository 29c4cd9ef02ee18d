"""Surprise: the inner loss of a language model's memories at each base they read.

Shapes: T bases, N memories (one a block), H heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes
from titans_ts.core.options import ReadOptions
from titans_ts.core.surprise import SurpriseRecord
from titans_ts.core.truncated import spans
from titans_ts.genomics.analysis.bedgraph import Place, write_bedgraph
from titans_ts.genomics.model.inference import check_finite, evaluating
from titans_ts.genomics.model.language_network import LanguageNetwork

FloatArray = npt.NDArray[np.float64]
TRACK = "surprise of the memory"


class Surprise(NamedTuple):
    """The inner loss of every base, read from left to right (paper section 3.1).

    Attributes:
        loss: (T, N, H), ‖M(k) − v‖² at the weights where the base's gradient is taken.
        gradient: (T, N, H), the norm of that gradient.

    Example:
        >>> losses = np.array([1.0, 10.0, 1.0]).reshape(3, 1, 1)
        >>> Surprise(losses, gradient=losses).score.round(1).tolist()
        [0.0, 2.3, 0.0]
    """

    loss: FloatArray
    gradient: FloatArray

    @property
    def score(self) -> FloatArray:
        """(T,) mean logarithm of the loss over memories and heads; what `to_bedgraph` writes."""
        logs: FloatArray = np.log(np.maximum(self.loss, 1e-12)).mean((1, 2))
        return logs

    def to_bedgraph(self, path: str | PathLike[str], chrom: str, start: int = 0, strand: str = "+") -> None:
        """Write `score` for genome browsers, one line per base.

        Args:
            path: the file.
            chrom: name of the chromosome.
            start: position of the sequence's leftmost base, from 0.
            strand: "-" where the sequence is the reverse complement of the chromosome.

        Raises:
            ValueError: start < 0, an unknown strand, or a name with white space.
        """
        write_bedgraph(path, [(self.score, Place(chrom, start, 0, strand))], TRACK)


def write_surprise(path: str | PathLike[str], found: Iterable[tuple[str, Surprise]]) -> None:
    """Write names and surprises of sequences as one bedGraph, each sequence as a chromosome of its own.

    Raises:
        ValueError: a name is empty or has white space.
    """
    write_bedgraph(path, ((one.score, Place(name, 0)) for name, one in found), TRACK)


def surprise(network: LanguageNetwork, codes: Codes, chunk: int, device: torch.device) -> Surprise:
    """Surprise of a network's memories at every base of one sequence.

    Args:
        network: with memories.
        codes: (T,).
        chunk: bases read at a time, with the state carried.
        device: where the network runs.

    Raises:
        ValueError: chunk < 1, the network's blocks have no memory, or a memory diverged.
    """
    losses, gradients = [], []
    with evaluating([network], device), torch.no_grad():
        state = network.initial_state(1)
        for span in spans(len(codes), chunk, "chunk"):
            ids = torch.from_numpy(codes[None, span].astype(np.int64)).to(device)
            record = SurpriseRecord()
            _, state = network.read(ids, torch.ones_like(ids, dtype=torch.bool), state, ReadOptions(surprise=record))
            found = record.stacked()
            if found is None:
                raise ValueError("surprise needs a block with a memory, got 'attention': fit a model with another")
            losses.append(found.loss[0].cpu().double().numpy())
            check_finite(np.array([np.isfinite(losses[-1]).all()]), [0], [codes])
            gradients.append(found.gradient[0].cpu().double().numpy())
    return Surprise(np.concatenate(losses), np.concatenate(gradients))
