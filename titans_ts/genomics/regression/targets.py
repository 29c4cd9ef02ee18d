"""Targets of a regressor: checked numbers with names, and the scale on which networks and ridge regressions learn them.

Shapes: n sequences, T bases of one, K targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts.genomics.model.config import HIGHEST_LOG_RATE, ValueTask

FloatArray = npt.NDArray[np.float64]
# Bins of the targets whose proportions held-out parts keep.
BINS = 10
# Quartiles of a normal distribution are this many standard deviations apart.
NORMAL_QUARTILES = 1.349
NUMBERS = "biuf"


class Values(NamedTuple):
    """Targets of n sequences.

    Attributes:
        names: (K,) column names of a table, the name of a Series, or 0 … K − 1.
        numbers: (n, K) float64, or a list of n arrays (T, K) for bases.
        single: whether each sequence (or base) has one number, not a row of them.
    """

    names: list[Any]
    numbers: Any
    single: bool

    @property
    def flat(self) -> FloatArray:
        """(n, K); those of all bases one after another."""
        return np.concatenate(self.numbers) if isinstance(self.numbers, list) else np.asarray(self.numbers)

    def strata(self) -> npt.NDArray[np.int64]:
        """(n,) bins of the mean of the standardised targets, equally full."""
        flat = self.flat
        mean, spread = flat.mean(0), flat.std(0)
        rows = [one.mean(0) for one in self.numbers] if isinstance(self.numbers, list) else flat
        level = ((np.asarray(rows) - mean) / spread).mean(1)
        bins = max(min(BINS, len(level) // 20), 1)
        return np.searchsorted(np.quantile(level, np.arange(1, bins) / bins), level).astype(np.int64)


def read_targets(y: Any, count: int, per_base: bool) -> Values:
    """Targets as numbers.

    Args:
        y: (n,) numbers or (n, K), an array, list, Series or DataFrame; with `per_base` n rows (T,) or (T, K).
        count: n sequences.
        per_base: whether every base has a target.

    Raises:
        TypeError: y holds text or other things that are no numbers.
        ValueError: another number of entries than sequences, another shape, or NaN or infinite numbers.
    """
    if not hasattr(y, "__len__"):
        raise TypeError(f"y must be one number per sequence, got {type(y).__name__}")
    if len(y) != count:
        raise ValueError(f"y must have one entry per sequence: {count} sequences, {len(y)} entries")
    if per_base:
        return _base_targets(y)
    numbers = _numbers(y, "y")
    if numbers.ndim not in (1, 2) or numbers.size == 0:
        raise ValueError(f"y must be (sequences,) or (sequences, targets), got shape {numbers.shape}")
    table = numbers.reshape(count, -1)
    _check_finite(table, "y", "sequences")
    return Values(_names(y, table.shape[1]), table, table.shape[1] == 1)


def _base_targets(y: Any) -> Values:
    rows = y.tolist() if isinstance(y, pd.Series) else list(y)
    numbers = [_numbers(row, f"y[{i}]") for i, row in enumerate(rows)]
    for i, one in enumerate(numbers):
        if one.ndim not in (1, 2) or one.size == 0:
            raise ValueError(f"y[{i}] must be (bases,) or (bases, targets), got shape {one.shape}")
        _check_finite(one, f"y[{i}]", "bases")
    width = {one.shape[1:] for one in numbers}
    if len(width) > 1:
        raise ValueError(f"y must have the same number of targets at every base, got rows of shape {sorted(width)}")
    tables = [one.reshape(len(one), -1) for one in numbers]
    return Values(_names(rows[0], tables[0].shape[1]), tables, numbers[0].ndim == 1 or tables[0].shape[1] == 1)


def _numbers(values: Any, name: str) -> FloatArray:
    """float64 of anything that holds numbers.

    Raises:
        TypeError: it holds text, dates, complex numbers or objects.
    """
    found = values.to_numpy() if isinstance(values, pd.Series | pd.DataFrame) else values
    try:
        found = np.asarray(found)
    except ValueError as error:
        raise ValueError(f"{name} must be (sequences,) or (sequences, targets), got rows of several lengths") from error
    if found.dtype.kind in NUMBERS:
        return found.astype(np.float64)
    if found.dtype.kind in "US" and isinstance(values, list | tuple):
        # Of numbers among text NumPy makes text.
        found = np.array(values, dtype=object)
    flat = found.reshape(-1)
    wrong = next((i for i, one in enumerate(flat) if not _is_number(one)), None)
    if wrong is not None:
        one = flat[wrong]
        raise TypeError(
            f"{name} must hold numbers, got {one!r:.40} ({type(one).__name__}) at {wrong}: convert it, or use "
            "DNAClassifier for classes"
        )
    return np.array([np.nan if pd.isna(one) else float(one) for one in flat]).reshape(found.shape)


def _is_number(value: Any) -> bool:
    return value is None or value is pd.NA or isinstance(value, float | int | np.floating | np.integer | np.bool_)


def _check_finite(numbers: FloatArray, name: str, what: str) -> None:
    wrong = ~np.isfinite(numbers.reshape(len(numbers), -1)).all(1)
    if wrong.any():
        raise ValueError(
            f"{name} has {int(wrong.sum())} missing or infinite targets (the first at {int(wrong.argmax())}): drop "
            f"those {what}"
        )


def _names(y: Any, count: int) -> list[Any]:
    if isinstance(y, pd.DataFrame):
        names = list(y.columns)
        if len(set(names)) < len(names):
            raise ValueError(f"y must have columns of different names, got {names!r}")
        return names
    if isinstance(y, pd.Series) and y.name is not None:
        return [y.name]
    return ["target"] if count == 1 else list(range(count))


def check_bases(lengths: list[int], numbers: list[FloatArray]) -> None:
    """Check that every base has a target.

    Raises:
        ValueError: a row of targets is longer or shorter than its sequence.
    """
    for index, (length, row) in enumerate(zip(lengths, numbers, strict=True)):
        if length != len(row):
            raise ValueError(f"y[{index}] must have {length} targets, one per base, got {len(row)}")


@dataclass(frozen=True)
class TargetScale:
    """From targets to what networks and ridge regressions learn, and back.

    "mse": mean 0, standard deviation 1. "huber": median 0, quartiles as far apart as those of a normal distribution of
    standard deviation 1. "poisson": counts over their mean, learned as log rates. With `log1p` all of it after
    log(1 + y).

    Attributes:
        loss: "mse", "poisson" or "huber".
        log1p: whether log(1 + y) is learned.
        centre, spread: (K,).
    """

    loss: ValueTask
    log1p: bool
    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, values: Values, loss: ValueTask, log1p: bool) -> TargetScale:
        """The scale of training targets.

        Raises:
            ValueError: a target is the same everywhere; negative targets with Poisson's loss or log1p.
        """
        flat = values.flat
        for k, name in enumerate(values.names):
            column = flat[:, k]
            if (column == column[0]).all():
                raise ValueError(f"y must vary, but target {name!r} is {column[0]:g} everywhere: nothing to learn")
            if (loss == "poisson" or log1p) and column.min() < 0:
                what = "loss='poisson' needs counts or rates ≥ 0" if loss == "poisson" else "log1p needs targets ≥ 0"
                raise ValueError(
                    f"{what}, but target {name!r} holds {column.min():g} (at {int(column.argmin())}): use loss='mse' "
                    "or 'huber' without log1p"
                )
        flat = np.log1p(flat) if log1p else flat
        if loss == "poisson":
            return cls(loss, log1p, np.zeros(flat.shape[1]), flat.mean(0))
        spread = flat.std(0)
        if loss == "huber":
            low, middle, high = np.quantile(flat, (0.25, 0.5, 0.75), axis=0)
            robust = (high - low) / NORMAL_QUARTILES
            return cls(loss, log1p, middle, np.where(robust > 0, robust, spread))
        return cls(loss, log1p, flat.mean(0), spread)

    def learned(self, numbers: FloatArray) -> npt.NDArray[np.float32]:
        """Targets (…, K) as they are learned."""
        found = np.log1p(numbers) if self.log1p else numbers
        return np.asarray((found - self.centre) / self.spread, dtype=np.float32)

    def targets(self, outputs: FloatArray) -> FloatArray:
        """Outputs (…, K) in the units of the targets; after log1p never below 0."""
        if self.loss == "poisson":
            return np.asarray(np.exp(np.minimum(outputs, HIGHEST_LOG_RATE)) * self.spread)
        found = outputs * self.spread + self.centre
        return np.maximum(np.expm1(found), 0.0) if self.log1p else np.asarray(found)
