"""`SeriesRecord`: every kind of input becomes a list of these.

Shapes: T steps, M channels, Fp past-only covariates, Fk known covariates, S static categories, R static numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.time.frequency import Frequency, parse_frequency

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class SeriesWarning(UserWarning):
    """Something about the data was corrected or left out; the message describes it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", SeriesWarning)  # in a program that knows its data
        ...     warnings.warn("series a: 2 values are missing", SeriesWarning)
    """


class ShortSeriesWarning(SeriesWarning):
    """Series too short for a training window were left out.

    Example:
        >>> issubclass(ShortSeriesWarning, SeriesWarning)
        True
    """


class PositionalId(int):
    """Name of a series that the caller did not name: its position among the series."""


def item_code(item_id: Hashable) -> int:
    """A number (63 bits) that identifies a series by its name in other data; −1 where the caller gave no name."""
    if isinstance(item_id, PositionalId):
        return -1
    return int.from_bytes(hashlib.blake2b(str(item_id).encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, eq=False)
class SeriesRecord:
    """One series on a regular grid, with gluonts' field names.

    Args:
        item_id: the caller's name of the series.
        start: first time step, without a time zone.
        freq: pandas offset alias of the step ("h", "ME", …).
        target: (T,) or (M, T) float64; NaN marks a missing value.
        past_feat_dynamic_real: (Fp, T) float32 covariates known only up to now, or None.
        feat_dynamic_real: (Fk, T + extra) float32 covariates known in advance, `extra` steps into the future; or None.
        feat_static_cat: (S,) int64 codes, 0 = unknown.
        feat_static_real: (R,) float32.
        timezone: zone of the caller's stamps where `start` is in UTC; features of the calendar are those of local time.

    Raises:
        ValueError: a covariate does not cover the target's steps.

    Example:
        >>> record = SeriesRecord("a", pd.Timestamp("2024-01-31"), "ME", np.array([1.0, np.nan, 3.0]))
        >>> record.length, record.observed_length(), record.future_index(2).strftime("%Y-%m-%d").tolist()
        (3, 2, ['2024-04-30', '2024-05-31'])
    """

    item_id: Hashable
    start: pd.Timestamp
    freq: str
    target: FloatArray
    past_feat_dynamic_real: Float32Array | None = None
    feat_dynamic_real: Float32Array | None = None
    feat_static_cat: Int64Array | None = None
    feat_static_real: Float32Array | None = None
    timezone: tzinfo | None = None

    def __post_init__(self) -> None:
        if self.target.ndim not in (1, 2) or self.length == 0:
            raise ValueError(
                f"item {self.item_id!r}: target must be (T,) or (M, T) with T ≥ 1, got {self.target.shape}"
            )
        past, known = self.past_feat_dynamic_real, self.feat_dynamic_real
        if past is not None and (past.ndim != 2 or past.shape[1] != self.length):
            raise ValueError(
                f"item {self.item_id!r}: past_feat_dynamic_real must be (Fp, {self.length}), got {past.shape}"
            )
        if known is not None and (known.ndim != 2 or known.shape[1] < self.length):
            raise ValueError(
                f"item {self.item_id!r}: feat_dynamic_real must be (Fk, {self.length} or more), got {known.shape}"
            )

    @property
    def length(self) -> int:
        """Number of steps T."""
        return int(self.target.shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels M (1 for a plain series)."""
        return 1 if self.target.ndim == 1 else int(self.target.shape[0])

    @property
    def frequency(self) -> Frequency:
        """The parsed frequency."""
        return parse_frequency(self.freq)

    @property
    def index(self) -> pd.DatetimeIndex:
        """Timestamps (T,) of the target."""
        return self.frequency.range(self.start, self.length)

    def future_index(self, prediction_length: int) -> pd.DatetimeIndex:
        """The `prediction_length` timestamps after the target."""
        return self.frequency.range(self.frequency.shift(self.start, self.length), prediction_length)

    def observed_length(self) -> int:
        """Number of steps with at least one observed channel."""
        missing = np.isnan(self.target)
        return int((~(missing if missing.ndim == 1 else missing.all(axis=0))).sum())
