"""Batches of windows as rows in units of their series: what linear part and network read.

Shapes: B batch, M channels, G = B·M rows, L context steps, P horizon steps, F features a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.forecasting.model.heads import Units
from titans_ts.forecasting.model.scaling import SMALLEST_SPREAD, InstanceScaler, fill_forward

Batch = dict[str, Tensor]
Batches = Callable[[], Iterable[Batch]]


class Window(NamedTuple):
    """One batch, channels as rows, in item units.

    Attributes:
        values: (G, L), filled forward where missing.
        observed: (G, L).
        loc: (G, 1) window mean.
        spread: (G, 1) window spread.
        units: from item units to the caller's.
        past: (G, L, F) features of the past steps.
        future: (G, P, F) features of the horizon.
        codes: (G,) numbers of named series, −1 for a series without a name.
    """

    values: Tensor
    observed: Tensor
    loc: Tensor
    spread: Tensor
    units: Units
    past: Tensor
    future: Tensor
    codes: Tensor


class LabelledWindow(NamedTuple):
    """A window with what followed: target (G, P) in item units, observed (G, P)."""

    window: Window
    target: Tensor
    observed: Tensor


class WindowReader(nn.Module):
    """Batches with gluonts' field names (`titans_datasets.series.WindowStore.batch`) as windows.

    Args:
        past_features: columns of ``past_feat_dynamic_real``, which are 0 in the horizon.
    """

    def __init__(self, past_features: int) -> None:
        super().__init__()
        self.past_features = past_features
        self.scaler = InstanceScaler()

    def forward(self, batch: Batch) -> Window:
        """The batch's past as rows, in item units, filled and with its statistics."""
        target, observed = _rows(batch["past_target"]), _rows(batch["past_observed_values"])
        channels = len(target) // len(batch["past_time_feat"])
        units = self._units(batch, target, observed)
        item = (target - units.loc) / units.scale * observed
        _, loc, spread = self.scaler(item, observed)
        spread = spread.clamp_min(SMALLEST_SPREAD)
        past = torch.cat([batch["past_time_feat"], batch["past_feat_dynamic_real"]], dim=-1)
        future = batch["future_time_feat"]
        blank = future.new_zeros(*future.shape[:2], self.past_features)
        future = torch.cat([future, blank], dim=-1)
        past, future = (x.repeat_interleave(channels, dim=0) for x in (past, future))
        # Channels have no names of their own.
        codes = batch.get("item_code") if channels == 1 else None
        codes = torch.full((len(target),), -1, device=target.device) if codes is None else codes
        return Window(fill_forward(item, observed), observed, loc, spread, units, past, future, codes)

    def target(self, batch: Batch, units: Units) -> tuple[Tensor, Tensor]:
        """The batch's future as rows: target in item units and observed, both (G, P)."""
        target = (_rows(batch["future_target"]) - units.loc) / units.scale
        return target, _rows(batch["future_observed_values"])

    def labelled(self, batches: Batches) -> Iterator[LabelledWindow]:
        """Every batch as a window with its target."""
        for batch in batches():
            window = self(batch)
            yield LabelledWindow(window, *self.target(batch, window.units))

    def _units(self, batch: Batch, target: Tensor, observed: Tensor) -> Units:
        """Mean and spread of the whole series where the batch carries them, of the window where not."""
        if "item_scale" not in batch:
            return Units(*self.scaler(target, observed)[1:])
        return Units(batch["item_loc"].reshape(-1, 1), batch["item_scale"].reshape(-1, 1))


def _rows(x: Tensor) -> Tensor:
    """(B, T) or (B, T, M) → (G, T)."""
    return x if x.ndim == 2 else x.transpose(1, 2).flatten(0, 1)
