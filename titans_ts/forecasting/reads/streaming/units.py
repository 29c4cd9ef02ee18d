"""Units near 1 for series whose mean and deviation change as they go on.

Shapes: B series, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from titans_ts.forecasting.reads.memories.carried import Carried

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Of the observed values of all steps, (B,) each; those of none are 0, and its lowest and highest infinite."""

    count: FloatArray
    mean: FloatArray
    squares: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Totals:
        """Of values (B, T), NaN for missing; `squares` is the sum of squared distances from the mean."""
        observed = np.isfinite(values)
        count = observed.sum(axis=1).astype(np.float64)
        mean = np.where(observed, values, 0.0).sum(axis=1) / np.maximum(count, 1)
        squares = np.square(np.where(observed, values - mean[:, None], 0.0)).sum(axis=1)
        low, high = (np.where(observed, values, end) for end in (np.inf, -np.inf))
        return cls(count, mean, squares, low.min(axis=1, initial=np.inf), high.max(axis=1, initial=-np.inf))

    def joined(self, other: Totals) -> Totals:
        """Of the steps of both (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        apart = other.mean - self.mean
        return Totals(
            count,
            self.mean + apart * share,
            self.squares + other.squares + np.square(apart) * self.count * share,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def units(self) -> Units:
        """Mean and standard deviation; of what does not vary its value and 0."""
        varies = self.high > self.low
        deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        location = np.where(varies | (self.count == 0), self.mean, self.high)
        return Units(location, np.where(varies, deviation, 0.0))


@dataclass(frozen=True)
class Units:
    """value = number · divisor + location.

    Attributes:
        location, scale: (B,); the scale of a series that does not vary is 0, and it is divided by 1.
    """

    location: FloatArray
    scale: FloatArray

    @property
    def divisor(self) -> FloatArray:
        """The scale, 1 where it is 0."""
        return np.where(self.scale != 0, self.scale, 1.0)

    def of(self, values: FloatArray) -> FloatArray:
        """Values (B, …) in these units, not clipped."""
        shape = (-1, *[1] * (values.ndim - 1))
        return np.asarray((values - self.location.reshape(shape)) / self.divisor.reshape(shape))

    def restored(self, numbers: FloatArray) -> FloatArray:
        """Numbers (B, …) in the units of the values; all are the one value of a series that does not vary."""
        shape = (-1, *[1] * (numbers.ndim - 1))
        return np.asarray(numbers * self.scale.reshape(shape) + self.location.reshape(shape))

    def part(self, rows: slice) -> Units:
        """Of some of the series."""
        return Units(self.location[rows], self.scale[rows])

    def zero(self, nonnegative: npt.NDArray[np.bool_]) -> FloatArray:
        """What 0 is in these units (B,), NaN for series that may fall below it and for those that do not vary."""
        return np.where(nonnegative & (self.scale != 0), -self.location / self.divisor, np.nan)

    def moved(self, carried: Carried, before: Units) -> Carried:
        """States in these units from those in others."""
        factor, shift = before.divisor / self.divisor, (before.location - self.location) / self.divisor
        return carried.moved(torch.from_numpy(factor), torch.from_numpy(shift))
