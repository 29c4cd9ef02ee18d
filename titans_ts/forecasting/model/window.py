"""Batches of windows as rows in units of their series: what linear part and network read.

Shapes: B batch, M channels, G = B·M rows, L context steps, P horizon steps, F features a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.forecasting.model.heads import Units
from titans_ts.forecasting.model.scaling import (
    FEW_STEPS_SPREAD,
    SMALLEST_SPREAD,
    InstanceScaler,
    fill_forward,
    quartiles,
)

Batch = dict[str, Tensor]
Batches = Callable[[], Iterable[Batch]]

# Quartile distances beyond the quartiles from which a reading is far out (Tukey): 4.7 deviations of normal values.
FENCE = 3.0
# Item scale, in widths of the fence, that a window allows: wild readings blow up the deviation of a whole series.
MOST_SCALE = 5.0


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
        absolute: whether units carry the origin of the values too: a distribution of counts needs their true level.

    Attributes:
        fence: a buffer; readings so many quartile distances beyond the window's quartiles are read as missing once the
            series is back. Infinite (none are) until `ForecastNetwork.fit_linear` finds that it helps.
    """

    def __init__(self, past_features: int, absolute: bool = False) -> None:
        super().__init__()
        self.past_features, self.absolute = past_features, absolute
        self.fence: Tensor
        self.register_buffer("fence", torch.tensor(torch.inf))
        self.scaler = InstanceScaler()

    def forward(self, batch: Batch) -> Window:
        """The batch's past as rows, in item units, filled and with its statistics."""
        target, observed = self._rows(batch, "past_target"), _rows(batch["past_observed_values"])
        channels = len(target) // len(batch["past_time_feat"])
        units = self._units(batch, target, observed)
        if self.fence < torch.inf:
            inside, units = self._fenced(target, observed, units)
            observed = observed * inside
        item = (target - units.loc) / units.scale * observed
        _, loc, spread = self.scaler(item, observed)
        least = FEW_STEPS_SPREAD / (observed.sum(-1, keepdim=True) + 1).sqrt()
        spread = torch.maximum(spread, least.clamp_min(SMALLEST_SPREAD))
        past = torch.cat([batch["past_time_feat"], batch["past_feat_dynamic_real"]], dim=-1)
        future = batch["future_time_feat"]
        blank = future.new_zeros(*future.shape[:2], self.past_features)
        future = torch.cat([future, blank], dim=-1)
        past, future = (x.repeat_interleave(channels, dim=0) for x in (past, future))
        # Channels have no names of their own.
        codes = batch.get("item_code") if channels == 1 else None
        codes = torch.full((len(target),), -1, device=target.device) if codes is None else codes
        return Window(fill_forward(item, observed), observed, loc, spread, units, past, future, codes)

    def wild(self, batch: Batch) -> Tensor:
        """How many fences of FENCE the batch's windows reach, (G,): 1 and less without a reading that is far out."""
        target, observed = self._rows(batch, "past_target"), _rows(batch["past_observed_values"])
        low, high = quartiles(target, observed)
        distance = torch.maximum(target - high, low - target) * observed
        reach = FENCE * (high - low)
        return torch.where(reach > 0, distance / reach.clamp_min(1e-30), 0.0).amax(1)

    def _fenced(self, target: Tensor, observed: Tensor, units: Units) -> tuple[Tensor, Units]:
        """Which values count (G, L), and units that the others do not blow up.

        A value beyond the fence counts where nothing has been within it since: the series may have moved for good.
        """
        low, high = fence(target, observed, float(self.fence))
        within = (target >= low) & (target <= high)
        back = (within & (observed > 0)).flip(-1).cummax(-1).values.flip(-1)
        most = (high - low) * MOST_SCALE
        blown = units.scale > most
        loc = torch.where(blown, units.loc.clamp(low, high), units.loc)
        return (within | ~back).to(observed.dtype), Units(loc, torch.where(blown, most, units.scale))

    def target(self, batch: Batch, units: Units) -> tuple[Tensor, Tensor]:
        """The batch's future as rows: target in item units and observed, both (G, P)."""
        target = (self._rows(batch, "future_target") - units.loc) / units.scale
        return target, _rows(batch["future_observed_values"])

    def labelled(self, batches: Batches) -> Iterator[LabelledWindow]:
        """Every batch as a window with its target."""
        for batch in batches():
            window = self(batch)
            yield LabelledWindow(window, *self.target(batch, window.units))

    def origin(self, batch: Batch) -> Tensor | None:
        """What is to be added to forecasts in units of this reader: see `origin_of`; None where it is in the units."""
        return None if self.absolute else origin_of(batch)

    def _rows(self, batch: Batch, name: str) -> Tensor:
        """Values (G, T) of a field."""
        values = batch[name]
        return _rows(values + batch["item_origin"].sum(1, keepdim=True)) if self._shifted(batch) else _rows(values)

    def _shifted(self, batch: Batch) -> bool:
        return self.absolute and "item_origin" in batch

    def _units(self, batch: Batch, target: Tensor, observed: Tensor) -> Units:
        """Mean and spread of the whole series where the batch carries them, of the window where not."""
        if "item_scale" not in batch:
            return Units(*self.scaler(target, observed)[1:])
        loc = batch["item_loc"] + batch["item_origin"].sum(1) if self._shifted(batch) else batch["item_loc"]
        return Units(loc.reshape(-1, 1), batch["item_scale"].reshape(-1, 1))


def fence(values: Tensor, observed: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """So many quartile distances beyond the quartiles, (G, 1) both; without bound where these are equal."""
    low, high = quartiles(values, observed)
    distance = torch.where(high > low, width * (high - low), torch.inf)
    return low - distance, high + distance


def origin_of(batch: Batch) -> Tensor | None:
    """What the targets of a batch are relative to, float64 (B, 1) or (B, 1, M); None for nothing.

    It is on the CPU where the device has no float64.
    """
    return wide(batch["item_origin"]).sum(1, keepdim=True) if "item_origin" in batch else None


def future_target(batch: Batch) -> Tensor:
    """The values of the horizon in the caller's units, (B, P[, M]) float64."""
    origin, values = origin_of(batch), wide(batch["future_target"])
    return values if origin is None else values + origin


def wide(x: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _rows(x: Tensor) -> Tensor:
    """(B, T) or (B, T, M) → (G, T)."""
    return x if x.ndim == 2 else x.transpose(1, 2).flatten(0, 1)
