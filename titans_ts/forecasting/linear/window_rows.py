"""Windows as the linear part reads them, worked out once for all passes of a fit.

Shapes: W windows, F features, P horizon steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.linear.features import LinearFeatures
from titans_ts.forecasting.model.scaling import fill_forward
from titans_ts.forecasting.model.window import LabelledWindow

KEPT: Final = 256 << 20
"""Bytes of rows that a fit keeps between its passes; more are worked out in every pass."""

LabelledWindows = Callable[[], Iterable[LabelledWindow]]


class WindowRows(NamedTuple):
    """Windows with what followed, in item units.

    Attributes:
        x: features (W, F).
        y: targets (W, P), gaps filled forward.
        target: (W, P), anything where nothing was observed.
        observed: (W, P).
        codes: of the series (W,), −1 for a series without a name.
        loc, spread, low, high: the windows' means, spreads, least and largest values, (W, 1) each.
        square: mean squared distance of the windows' values from their mean (W,).
        share: observed share of the windows (W,).
        phase: sine and cosine (W, 2) of the season's phase at the last step.
        scale: item unit in the caller's units (W,).
    """

    x: Tensor
    y: Tensor
    target: Tensor
    observed: Tensor
    codes: Tensor
    loc: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor
    square: Tensor
    share: Tensor
    phase: Tensor
    scale: Tensor

    @classmethod
    def of(cls, part: LabelledWindow, features: LinearFeatures) -> WindowRows:
        """The rows of a batch."""
        w, target, observed = part
        last = w.values[:, -1:]
        y = fill_forward(torch.cat([last, target], dim=1), torch.cat([torch.ones_like(last), observed], dim=1))[:, 1:]
        low, high = w.values.aminmax(dim=1, keepdim=True)
        square, share = (w.values - w.loc).square().mean(1), w.observed.mean(1)
        # Views would keep the windows they are parts of.
        observed, phase, scale = observed.clone(), features.phase(w).clone(), w.units.scale[:, 0].clone()
        x = features(w)
        return cls(x, y, target, observed, w.codes, w.loc, w.spread, low, high, square, share, phase, scale)

    @classmethod
    def cat(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """The rows of all parts."""
        return cls(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def take(self, rows: Tensor) -> WindowRows:
        """Some of the rows, by their numbers."""
        return WindowRows(*(tensor[rows] for tensor in self))

    def size(self, target: Tensor) -> Tensor:
        """Root mean square distance (W,) of window or target (W, P), the larger one, from the window's mean."""
        return torch.maximum((target - self.loc).square().mean(1), self.square).sqrt()


class KeptRows:
    """The rows of some windows, batch by batch, as often as they are gone through.

    Args:
        windows: called for their batches.
        features: of the linear part.
        budget: bytes up to which the rows are kept after the first pass.
    """

    def __init__(self, windows: LabelledWindows, features: LinearFeatures, budget: int = KEPT) -> None:
        self._windows, self._features, self._budget = windows, features, budget
        self._kept: list[WindowRows] | None = None

    def __iter__(self) -> Iterator[WindowRows]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = [], 0
        for part in self._windows():
            rows = WindowRows.of(part, self._features)
            size += sum(tensor.nbytes for tensor in rows)
            if size <= self._budget:
                kept.append(rows)
            else:
                kept.clear()
            yield rows
        if size <= self._budget:
            self._kept = kept
