"""Windows of series as batches of plain tensors, cut by index arithmetic on request.

Shapes: B batch, L context_length, P prediction_length, W windows, I items, Ft time features and known covariates,
Fp past-only covariates, S static categories, R static numbers, M channels (only for multi-channel records).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_datasets.series.batches.calendar_table import calendar_table
from titans_datasets.series.read.records import SeriesRecord, ShortSeriesWarning, item_code
from titans_datasets.text import counted, some

Batch = dict[str, Tensor]
FloatArray = npt.NDArray[np.float64]

# A spread below this part of the whole series' belongs to steps in which the series had not begun.
CONSTANT = 1e-3
# Rounding to float32, in spreads of the series, from which values are kept relative to an origin.
ROUNDING = 1e-6
# Steps from which the mean of a series is known well enough, and a part of it may be that of a season: on builtin
# weather (8,400 hours) the linear part's MASE is .915 with the mean of the series, .921 with that of the steps before.
LONG = 2_000


@dataclass(frozen=True)
class WindowSpec:
    """How windows are cut.

    Args:
        context_length: past steps L, ≥ 1.
        prediction_length: future steps P, ≥ 1.
        stride: steps between training windows, ≥ 1; the last possible window is always among them.
        min_history: steps (1 … L) of the series that must lie before the forecast; what is missing to L is padding.
        short: what to do with series shorter than min_history + P when training: "skip" them with a
            `ShortSeriesWarning`, "pad" them (one window each, unobserved where the series has no step) or "error".
        calendar: names of the time features: cycles, then calendar covariates and holidays, see
            `titans_datasets.series.time_features`; the cycles `time_feature_names(freq)` where None.

    Raises:
        ValueError: a length is out of range.

    Example:
        >>> WindowSpec(context_length=48, prediction_length=24).stride
        1
    """

    context_length: int
    prediction_length: int
    stride: int = 1
    min_history: int = 1
    short: Literal["skip", "pad", "error"] = "skip"
    calendar: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("context_length", "prediction_length", "stride", "min_history"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be ≥ 1, got {getattr(self, name)}")
        if self.min_history > self.context_length:
            raise ValueError(
                f"min_history must be ≤ context_length = {self.context_length}, got {self.min_history}: lower it or "
                "raise context_length"
            )
        if self.short not in ("skip", "pad", "error"):
            raise ValueError(f"short must be 'skip', 'pad' or 'error', got {self.short!r}")


@dataclass(frozen=True)
class Windows:
    """Positions of windows: items (W,) int64, and positions (W,) int64 of the first future step in its series.

    Example:
        >>> windows = Windows(torch.tensor([0, 0, 1]), torch.tensor([10, 11, 10]))
        >>> len(windows), windows.take(windows.items == 0).positions.tolist()
        (3, [10, 11])
    """

    items: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: Tensor | slice) -> Windows:
        """The windows at `index`."""
        return Windows(self.items[index], self.positions[index])


class NoWindowsError(ValueError):
    """The series have no training window: all are too short, or have too few observed values."""


class ShortItem(NamedTuple):
    """A series too short for a training window."""

    item_id: Hashable
    length: int
    missing_steps: int


@dataclass(frozen=True)
class _Channel:
    """Flat values (steps of all items, width) and the first row of each item."""

    values: Tensor
    offsets: Tensor
    lengths: Tensor
    empty: bool = field(default=False)

    def gather(self, items: Tensor, steps: Tensor) -> Tensor:
        """Values (B, n, width) at steps (B, n) of items (B,); 0 outside the item."""
        if self.empty:
            return torch.zeros(*steps.shape, self.values.shape[1])
        inside = (steps >= 0) & (steps < self.lengths[items, None])
        rows = self.offsets[items, None] + torch.where(inside, steps, 0)
        return self.values[rows] * inside[..., None]


class _Running(NamedTuple):
    """Sums over all steps before each of the flat steps, float64 (steps + 1, M): observed values, their distances from
    the item's location, and the squares of these."""

    number: Tensor
    total: Tensor
    squares: Tensor


class WindowStore:
    """All series in a few flat tensors, from which batches are gathered.

    Args:
        records: series of one frequency, with the same channels and covariates.
        spec: how windows are cut.
        statistics_holdout: the last steps of each item that its statistics leave out (validation and test steps); items
            too short for a training window before these count in full.

    `item_loc` and `item_scale` (I,), or (I, M) for multi-channel records, float64, are mean and standard deviation
    (never zero) of each item's observed values. In these units windows of different series are comparable; the location
    of a window is that of the values before its future, see `units_at`.

    float32 has no digits left where the level lies far above the movement. The values of such an item are kept relative
    to `item_origin` (I,) or (I, M), float64; it is 0 for all other items. In batches it is the sum of two float32
    numbers, because not every device has float64.

    Raises:
        ValueError: no records, or records that differ in frequency, channels or covariates.

    Example:
        >>> from titans_datasets.series import to_records
        >>> store = WindowStore(to_records("builtin:air_passengers").records, WindowSpec(24, 12))
        >>> train, validation = store.split(validation_windows=2)
        >>> len(train), len(validation)
        (108, 2)
        >>> batch = store.batch(validation)
        >>> batch["past_target"].shape, batch["future_target"].shape
        (torch.Size([2, 24]), torch.Size([2, 12]))
    """

    def __init__(self, records: Sequence[SeriesRecord], spec: WindowSpec, *, statistics_holdout: int = 0) -> None:
        _check_alike(records)
        self.spec = spec
        self.item_ids: list[Hashable] = [record.item_id for record in records]
        self.item_codes = torch.tensor([item_code(record.item_id) for record in records], dtype=torch.int64)
        self.frequency = records[0].frequency
        self.multichannel = records[0].target.ndim == 2
        lengths = np.array([record.length for record in records], dtype=np.int64)
        self.lengths = torch.from_numpy(lengths)
        self._offsets = torch.from_numpy(np.cumsum(lengths) - lengths)
        flat = np.concatenate([record.target.T for record in records]).reshape(int(lengths.sum()), -1)
        observed = ~np.isnan(flat)
        filled = np.where(observed, flat, 0.0)
        least = spec.min_history + spec.prediction_length
        counted = observed & _before_end(lengths, statistics_holdout, least)
        loc, scale = _item_statistics(filled, counted, self._offsets.numpy(), lengths)
        origin = _origins(filled, observed, loc, scale, self._offsets.numpy(), lengths)
        relative = np.where(observed, filled - np.repeat(origin, lengths, axis=0), 0.0)
        self._values, self._observed = torch.from_numpy(relative.astype(np.float32)), torch.from_numpy(observed)
        self.item_loc, self.item_origin = self._of_items(loc), self._of_items(origin)
        whole = _item_statistics(filled, observed, self._offsets.numpy(), lengths)[1]
        # A series that has only begun to vary in its last steps would have no units at all before them.
        self.item_scale = self._of_items(np.where(scale < CONSTANT * whole, whole, scale))
        self._whole_scale = self._of_items(whole)
        centred = np.where(observed, filled - np.repeat(loc, lengths, axis=0), 0.0)
        self._running: _Running | None = _Running(*(_sums_before(x) for x in (observed, centred, centred**2)))
        table, rows = calendar_table(records, self.frequency, spec.prediction_length, spec.calendar)
        self._calendar, self._calendar_rows = torch.from_numpy(table), torch.from_numpy(rows)
        self._past = _channel([record.past_feat_dynamic_real for record in records], self.lengths)
        self._known = _channel([record.feat_dynamic_real for record in records], self.lengths)
        self._cat = _stack([record.feat_static_cat for record in records], torch.int64)
        self._real = _stack([record.feat_static_real for record in records], torch.float32)

    def _of_items(self, values: FloatArray) -> Tensor:
        """(I, M) as it is, or (I,) for plain series."""
        return torch.from_numpy(values if self.multichannel else values[:, 0])

    def fix_units(self, loc: Tensor, scale: Tensor) -> None:
        """Give all windows of an item these units, location and scale (I,) or (I, M), whatever came before them."""
        self.item_loc, self.item_scale, self._running = loc.double(), scale.double(), None

    def whole(self) -> WindowStore:
        """The same store with the scale of all steps, for windows that are to be used together with those held out."""
        found = copy.copy(self)
        if self._running is not None:
            found.item_scale = self._whole_scale
        return found

    def units_at(self, windows: Windows, alone: bool = False) -> tuple[Tensor, Tensor]:
        """Location and scale, float64 (W,) or (W, M), in which windows are read.

        The location is the mean of all values before the future, as it will be when a forecast is made. With that of
        the whole series every series would seem to come back to it; long series (2,000 steps) do not suffer from that,
        and have one location. The scale is `item_scale`: the first steps of a
        series do not tell how far it will move.

        Args:
            windows: of the store.
            alone: whether the scale, too, is that of the values before the future, so that nothing of what comes later
                is used.
        """
        loc, scale = self.item_loc[windows.items], self.item_scale[windows.items]
        if self._running is None:
            return loc, scale
        first = self._offsets[windows.items]
        end = first + torch.minimum(windows.positions, self.lengths[windows.items])
        count, total, squares = (x[end] - x[first] for x in self._running)
        if not self.multichannel:
            count, total, squares = count[:, 0], total[:, 0], squares[:, 0]
        distance = total / count.clamp_min(1)
        if alone:
            spread = (squares / count.clamp_min(1) - distance.square()).clamp_min(0).sqrt()
            scale = usable_scale(loc + distance, spread)
        else:
            long = self.lengths[windows.items] > LONG
            distance = torch.where(long[:, None] if self.multichannel else long, 0.0, distance)
        return loc + distance, scale

    @property
    def num_time_features(self) -> int:
        """Width Ft of `past_time_feat`: calendar features, then known covariates."""
        return self._calendar.shape[1] + self._known.values.shape[1]

    @property
    def num_past_features(self) -> int:
        """Width Fp of `past_feat_dynamic_real`."""
        return self._past.values.shape[1]

    @property
    def num_channels(self) -> int:
        """Channels M, 1 for plain series."""
        return self._values.shape[1]

    def short_items(self, holdout: int = 0) -> list[ShortItem]:
        """Items with fewer than min_history + P steps before their last `holdout` steps."""
        need = self.spec.min_history + self.spec.prediction_length
        left = (self.lengths - holdout).clamp(min=0)
        short = torch.nonzero(left < need)[:, 0].tolist()
        return [ShortItem(self.item_ids[item], int(left[item]), need - int(left[item])) for item in short]

    def windows(self, holdout: Tensor | int = 0) -> Windows:
        """All training windows whose future ends before each item's last `holdout` steps (a number, or (I,)).

        Windows with nothing observed in the past or in the future are left out, short items are treated according to
        `spec.short`.

        Raises:
            NoWindowsError: no window is left.
            ValueError: an item is short and `short` is "error".
        """
        ends = self.lengths - holdout
        need = self.spec.min_history + self.spec.prediction_length
        short = ends < need
        if bool(short.any()) and self.spec.short != "pad":
            _report_short(self, short, ends, need)
        counts = (ends - need).clamp(min=-1) + 1
        padded = short & (ends >= 2) if self.spec.short == "pad" else torch.zeros_like(short)
        counts = torch.where(
            padded, 1, torch.div(counts + self.spec.stride - 1, self.spec.stride, rounding_mode="floor")
        )
        items = torch.repeat_interleave(torch.arange(len(self.lengths)), counts)
        rank = torch.arange(len(items)) - (torch.cumsum(counts, 0) - counts)[items]
        # Counted back from the end, so that a stride never drops the newest window.
        last = torch.where(
            padded, (ends - self.spec.prediction_length).clamp(min=1), ends - self.spec.prediction_length
        )
        found = self.with_observations(Windows(items, last[items] - (counts[items] - 1 - rank) * self.spec.stride))
        if len(found) == 0:
            raise NoWindowsError(
                "no training window has an observed value in both its past and its future: lower context_length, "
                "prediction_length or min_history, or pass longer series"
            )
        return found

    def split(self, validation_windows: int = 1, *, step: int | None = None) -> tuple[Windows, Windows]:
        """Training and validation windows: the last `validation_windows` of each item, `step` (default P) apart.

        Training windows end before the item's first validation future. An item too short for both is used for training
        only, so the second part may be empty.
        """
        step = step or self.spec.prediction_length
        held = self.spec.prediction_length + (validation_windows - 1) * step if validation_windows else 0
        need = held + self.spec.min_history + self.spec.prediction_length
        holdout = torch.where(self.lengths >= need, held, 0)
        rolled = self.rolling(validation_windows, step) if validation_windows else self.last_window().take(slice(0))
        validation = rolled.take(holdout[rolled.items] > 0)
        return self.windows(holdout), self.with_observations(validation)

    def rolling(self, n_windows: int, step: int | None = None) -> Windows:
        """Backtest windows: the last `n_windows` whole windows of each item, `step` (default P) apart, oldest first.

        Items too short for some of them have fewer.
        """
        if n_windows < 1 or (step is not None and step < 1):
            raise ValueError(f"n_windows and step must be ≥ 1, got n_windows={n_windows}, step={step}")
        back = torch.arange(n_windows - 1, -1, -1) * (step or self.spec.prediction_length)
        positions = (self.lengths - self.spec.prediction_length)[None, :] - back[:, None]
        items = torch.arange(len(self.lengths)).expand_as(positions)
        fits = positions >= self.spec.min_history
        return Windows(items[fits], positions[fits])

    def last_window(self) -> Windows:
        """One window per item, in item order: its future starts after the series' last step."""
        return Windows(torch.arange(len(self.lengths)), self.lengths.clone())

    def batch(self, windows: Windows) -> Batch:
        """The windows' tensors, float32 unless noted otherwise; a missing value is 0, never NaN.

        Returns:
            past_target, past_observed_values (B, L[, M]); future_target, future_observed_values (B, P[, M]); targets
            are relative to item_origin;
            past_time_feat (B, L, Ft), future_time_feat (B, P, Ft); past_feat_dynamic_real (B, L, Fp);
            feat_static_cat (B, S) int64, feat_static_real (B, R); item_index and item_code (B,) int64 (`item_code`);
            item_loc (relative to item_origin too), item_scale (B,) or (B, M), see `units_at`; item_origin (B, 2) or
            (B, 2, M), to be added up in float64.

        Raises:
            ValueError: the known covariates of a window's future are missing.
        """
        items, length = windows.items, self.spec.context_length
        steps = windows.positions[:, None] + torch.arange(-length, self.spec.prediction_length)
        self._check_known(windows)
        inside = (steps >= 0) & (steps < self.lengths[items, None])
        rows = self._offsets[items, None] + torch.where(inside, steps, 0)
        observed = (self._observed[rows] & inside[..., None]).float()
        values = self._values[rows] * observed
        if not self.multichannel:
            values, observed = values[..., 0], observed[..., 0]
        times = torch.cat([self._calendar_features(items, steps), self._known.gather(items, steps)], dim=-1)
        loc, scale = self.units_at(windows)
        origin = self.item_origin[items]
        return {
            "past_target": values[:, :length],
            "past_observed_values": observed[:, :length],
            "future_target": values[:, length:],
            "future_observed_values": observed[:, length:],
            "past_time_feat": times[:, :length],
            "future_time_feat": times[:, length:],
            "past_feat_dynamic_real": self._past.gather(items, steps[:, :length]),
            "feat_static_cat": self._cat[items],
            "feat_static_real": self._real[items],
            "item_index": items,
            "item_code": self.item_codes[items],
            "item_loc": (loc - origin).float(),
            "item_scale": scale.float(),
            "item_origin": torch.stack(halves(origin), dim=1),
        }

    def _calendar_features(self, items: Tensor, steps: Tensor) -> Tensor:
        """Features (B, n, F) of the stamps at steps (B, n); 0 before the series' start, as in all other fields."""
        last = self.lengths[items, None] + self.spec.prediction_length - 1
        rows = self._calendar_rows[items, None] + torch.minimum(steps.clamp(min=0), last)
        return self._calendar[rows] * (steps >= 0)[..., None]

    def with_observations(self, windows: Windows) -> Windows:
        """Those windows that have an observed value both in the past and in the future."""
        seen = torch.zeros(len(self._observed) + 1, dtype=torch.int64)
        seen[1:] = torch.cumsum(self._observed.any(dim=1), 0)
        first, length = self._offsets[windows.items], self.lengths[windows.items]
        start = first + (windows.positions - self.spec.context_length).clamp(min=0)
        middle = first + windows.positions
        end = first + torch.minimum(windows.positions + self.spec.prediction_length, length)
        return windows.take((seen[middle] > seen[start]) & (seen[end] > seen[middle]))

    def seasonal_errors(self, windows: Windows, season: int) -> Tensor:
        """Mean |value − value a season before| over the steps before each window's future, the scale of MASE.

        Returns:
            (W,) float64, or (W, M); NaN where no two observed values lie a season apart.
        """
        seen, values = self._observed.clone(), self._values.double()
        steps = torch.arange(len(values)) - torch.repeat_interleave(self._offsets, self.lengths)
        seen[season:] &= self._observed[:-season]
        seen &= (steps >= season)[:, None]
        gaps = torch.zeros_like(values)
        gaps[season:] = (values[season:] - values[:-season]).abs()
        sums, counts = (torch.cat([x.new_zeros(1, x.shape[1]), x.cumsum(0)]) for x in (gaps * seen, seen.double()))
        first = self._offsets[windows.items]
        end = first + torch.minimum(windows.positions, self.lengths[windows.items])
        found = (sums[end] - sums[first]) / (counts[end] - counts[first])
        return found if self.multichannel else found[:, 0]

    def _check_known(self, windows: Windows) -> None:
        if self._known.empty:
            return
        short = windows.positions + self.spec.prediction_length > self._known.lengths[windows.items]
        # Padded training windows of short series reach past the end as well; there nothing is forecast.
        short &= windows.positions >= self.lengths[windows.items]
        if bool(short.any()):
            names = [self.item_ids[item] for item in windows.items[short].tolist()]
            raise ValueError(
                f"item {some(names)} lacks known covariates for {self.spec.prediction_length} steps to be forecast: "
                "pass the future values (attach_future, or rows with a missing target after the last value)"
            )


# Under both its names: a forecaster hands its option on.
PADDED = "short='pad', short_series='pad' in options"


def _report_short(store: WindowStore, short: Tensor, ends: Tensor, need: int) -> None:
    lacking = [
        f"{str(store.item_ids[item])!r} ({counted(int(ends[item]), 'step')}, {need - int(ends[item])} missing)"
        for item in torch.nonzero(short)[:3, 0].tolist()
    ]
    count = int(short.sum())
    rest = f" and {count - 3} more" if count > 3 else ""
    rule = f"min_history + prediction_length = {store.spec.min_history} + {store.spec.prediction_length} = {need} steps"
    text = f"{count:,} series shorter than {rule}: {', '.join(lacking)}{rest}"
    if store.spec.short == "error" or bool(short.all()):
        kind = ValueError if store.spec.short == "error" else NoWindowsError
        raise kind(f"{text}; pass longer series or lower prediction_length or min_history, or use {PADDED}")
    warnings.warn(f"{text}; left out of training ({PADDED} keeps them)", ShortSeriesWarning, stacklevel=4)


def _check_alike(records: Sequence[SeriesRecord]) -> None:
    if not records:
        raise ValueError("no series given: pass at least one record")
    expected = _layout(records[0])
    for record in records:
        if _layout(record) != expected:
            raise ValueError(
                f"item {record.item_id!r} differs from item {records[0].item_id!r}: expected (freq, time zone, "
                f"channels, past, known, static cat, static real) = {expected}, got {_layout(record)}"
            )


def _layout(record: SeriesRecord) -> tuple[object, ...]:
    dynamic = (record.past_feat_dynamic_real, record.feat_dynamic_real)
    static = (record.feat_static_cat, record.feat_static_real)
    widths = [None if array is None else array.shape[0] for array in (*dynamic, *static)]
    zone = None if record.timezone is None else str(record.timezone)
    return (record.freq, zone, record.target.shape[:-1], *widths)


def _channel(arrays: Sequence[npt.NDArray[np.float32] | None], lengths: Tensor) -> _Channel:
    given = [array.T for array in arrays if array is not None]
    if not given or given[0].shape[1] == 0:
        return _Channel(torch.zeros(1, 0), torch.zeros_like(lengths), lengths, empty=True)
    steps = torch.tensor([len(array) for array in given])
    values = torch.from_numpy(np.concatenate(given).astype(np.float32, copy=False))
    return _Channel(values, torch.cumsum(steps, 0) - steps, steps)


def _stack(arrays: Sequence[npt.NDArray[np.int64] | npt.NDArray[np.float32] | None], dtype: torch.dtype) -> Tensor:
    given = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(given)).to(dtype) if given else torch.zeros(len(arrays), 0, dtype=dtype)


def _before_end(lengths: npt.NDArray[np.int64], holdout: int, least: int) -> npt.NDArray[np.bool_]:
    """(steps, 1): False for the last ``holdout`` steps of each item.

    Items with fewer than ``least`` steps before count in full, for they are used for training only.
    """
    steps = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ends = np.where(lengths >= holdout + least, lengths - holdout, lengths)
    return (steps < np.repeat(ends, lengths))[:, None]


def _item_statistics(
    filled: FloatArray, counted: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (I, M) of each item's counted values; the latter ≥ 1e-6 of the mean and ≥ 1e-12.

    Items without a counted value have mean 0.
    """
    count = np.maximum(np.add.reduceat(counted, offsets, axis=0, dtype=np.int64), 1)
    mean = np.add.reduceat(np.where(counted, filled, 0.0), offsets, axis=0) / count
    deviation = np.where(counted, filled - np.repeat(mean, lengths, axis=0), 0.0)
    # Sums of large numbers round; the mean of what is left over does not.
    rest = np.add.reduceat(deviation, offsets, axis=0) / count
    mean, deviation = mean + rest, np.where(counted, deviation - np.repeat(rest, lengths, axis=0), 0.0)
    spread = np.sqrt(np.add.reduceat(deviation**2, offsets, axis=0) / count)
    return mean, usable_scale(torch.from_numpy(mean), torch.from_numpy(spread)).numpy()


def usable_scale(mean: Tensor, spread: Tensor) -> Tensor:
    """The spread, float64; 1e-6 of the mean where it is rounding only (values that are all equal), and never zero."""
    size = mean.abs()
    return torch.where(spread > 1e-14 * size, spread, 1e-6 * size).clamp_min(1e-12)


def halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """float64 numbers as two float32 numbers that add up to them, but for the last 5 of 53 bits."""
    high = values.float()
    return high, (values - high.double()).float()


def _origins(
    filled: FloatArray,
    observed: npt.NDArray[np.bool_],
    loc: FloatArray,
    scale: FloatArray,
    offsets: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> FloatArray:
    """Origins (I, M): about the location where float32 rounds values by more than ROUNDING of their spread, else 0."""
    rounding = np.where(observed, np.abs(filled.astype(np.float32) - filled), 0.0)
    high, low = halves(torch.from_numpy(loc))
    origin = (high.double() + low.double()).numpy()
    return np.where(np.maximum.reduceat(rounding, offsets, axis=0) > ROUNDING * scale, origin, 0.0)


def _sums_before(values: npt.NDArray[Any]) -> Tensor:
    """(steps, M) → float64 (steps + 1, M), int32 for Booleans: sums over all steps before each."""
    dtype = np.int32 if values.dtype == bool else np.float64
    return torch.from_numpy(np.concatenate([np.zeros((1, values.shape[1]), dtype), np.cumsum(values, 0, dtype=dtype)]))
