"""Series: what is visible of a batch of series, aligned at their ends, in units near 1.

Shapes: B series, L steps, C covariates, H steps after the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from titans_ts.forecasting.model.scaling import fill_forward

# Steps between boundaries: at each of them the memories are read.
BLOCK = 8


@dataclass(frozen=True)
class Series:
    """Series with their periods.

    Attributes:
        values: (B, L), 0 where nothing was observed; L is a multiple of `BLOCK`.
        observed: (B, L), 1 or 0.
        filled: (B, L), the last observed value carried over gaps, the first one back over the start.
        first: (B,) step of the first observed value, below 0 where it lies before these steps; L − 1 where there is
            none.
        periods: (B, 2) in steps, the one that matters most first; 0 for none.
        zero: (B,) what 0 is in these units, for series that cannot fall below it; NaN for the others.
        covariates: (B, C, L + H) known ahead, near 1; None without.
        first_value: (B,) the first observed value of series that begin before these steps; None where none does.
        origin: step of phase 0; L by default.

    Example:
        >>> import torch
        >>> from titans_ts.forecasting.reads import Series
        >>> values = torch.sin(torch.arange(64.0))[None]
        >>> series = Series.of(values, observed=torch.ones(1, 64), periods=torch.tensor([[6.28, 0.0]]))
        >>> series.length, series.has_zero.tolist()
        (64, [False])
    """

    values: Tensor
    observed: Tensor
    filled: Tensor
    first: Tensor
    periods: Tensor
    zero: Tensor
    covariates: Tensor | None = None
    first_value: Tensor | None = None
    origin: int | None = None

    @classmethod
    def of(
        cls,
        values: Tensor,
        observed: Tensor,
        periods: Tensor,
        zero: Tensor | None = None,
        covariates: Tensor | None = None,
    ) -> Series:
        """From values (B, L) and what was observed of them (B, L).

        Raises:
            ValueError: L is no multiple of `BLOCK`, or the covariates end before the series.
        """
        count, length = values.shape
        if length % BLOCK or not length:
            raise ValueError(f"series must have a multiple of {BLOCK} steps, got {length}: pad them in front")
        if covariates is not None and (covariates.shape[0] != count or covariates.shape[2] < length):
            raise ValueError(
                f"covariates must have the shape (series, covariates, steps) = ({count}, C, ≥ {length}), "
                f"got {tuple(covariates.shape)}"
            )
        observed = observed.to(values.dtype)
        values = torch.where(observed > 0, values, 0.0)
        steps = torch.arange(length)
        first = torch.where(observed > 0, steps, length - 1).amin(1)
        zero = torch.full((count,), torch.nan, dtype=values.dtype) if zero is None else zero
        filled = fill_forward(values, observed)
        return cls(values, observed, filled, first, periods.to(values.dtype), zero, covariates)

    @property
    def length(self) -> int:
        """Steps L."""
        return self.values.shape[1]

    @property
    def season(self) -> Tensor:
        """The first period (B,), 1 where there is none."""
        return torch.where(self.periods[:, 0] > 0, self.periods[:, 0], 1.0)

    @property
    def long_season(self) -> Tensor:
        """The second period (B,), the first one where there is none."""
        return torch.where(self.periods[:, 1] > 0, self.periods[:, 1], self.season)

    @property
    def has_zero(self) -> Tensor:
        """(B,) bool."""
        return self.zero.isfinite()

    @property
    def beginning(self) -> Tensor:
        """The first observed value (B, 1)."""
        return self.at(self.first[:, None]) if self.first_value is None else self.first_value[:, None]

    def at(self, steps: Tensor) -> Tensor:
        """Filled values (B, …) at steps (B, …); steps outside are moved to the nearest end."""
        return take(self.filled, steps)


def take(rows: Tensor, steps: Tensor) -> Tensor:
    """Values of rows (B, L) at steps (B, …), which are moved into 0 … L − 1."""
    inside = steps.clamp(0, rows.shape[1] - 1)
    return rows.gather(1, inside.flatten(1)).view(inside.shape)
