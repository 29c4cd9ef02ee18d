"""Reading genomes with a model: a long stream into its memory, and windows from a memory.

Shapes: B windows, T bases of one.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_recipes.genome_recall.relatives import Codes
from titans_recipes.genome_recall.state import State, expand, side_by_side

FloatArray = npt.NDArray[np.float64]
CHUNK = 65536


class Model(Protocol):
    """What a model has to offer."""

    def losses(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T − 1) nats of each base but the first, and the state after the last."""
        ...


class Curves(NamedTuple):
    """Bits per base of windows along the relative.

    Attributes:
        starts: (B,) first bases of the windows.
        size: bases of a window.
        empty, carried, control: (B,) bits from an empty memory, after the genome, after the control.
    """

    starts: npt.NDArray[np.int64]
    size: int
    empty: FloatArray
    carried: FloatArray
    control: FloatArray


def read(model: Model, codes: Codes, state: State | None) -> State | None:
    """The state after more bases of one stream, read without gradients."""
    with torch.no_grad():
        for start in range(0, len(codes), CHUNK):
            ids = torch.from_numpy(codes[None, start : start + CHUNK].astype(np.int64))
            state = model.losses(ids, state)[1] if ids.shape[1] > 1 else state
    return state


def score_windows(
    model: Model, relative: Codes, starts: npt.NDArray[np.int64], size: int, states: tuple[State, State]
) -> tuple[Curves, FloatArray]:
    """Bits per base of windows, each read separately from an empty memory and from two states of one stream.

    Args:
        model: reads.
        relative: the genome of the windows.
        starts: (B,) their first bases.
        size: bases of a window.
        states: after the genome and after the control.

    Returns:
        The curves, and the gain of the first state on reverse complements (B,).
    """
    windows = np.stack([relative[s : s + size] for s in starts]).astype(np.int64)
    turned = 3 - windows[:, ::-1]
    beside = side_by_side(states[0])
    empty, carried, control = (_bits(model, windows, state, beside) for state in (None, *states))
    reverse = _bits(model, turned, None, beside) - _bits(model, turned, states[0], beside)
    return Curves(starts, size, empty, carried, control), reverse


def _bits(model: Model, windows: npt.NDArray[np.int64], state: State | None, beside: int) -> FloatArray:
    """(B,) mean bits of the bases of each window but its first."""
    found = []
    with torch.no_grad():
        for first in range(0, len(windows), beside):
            ids = torch.from_numpy(windows[first : first + beside].copy())
            start = None if state is None else expand(state, len(ids))
            found.append(model.losses(ids, start)[0].double().mean(1).numpy() / math.log(2))
    return np.concatenate(found)
