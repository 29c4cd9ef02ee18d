"""LastValue: the forecast of a random walk in place of a fitted regression.

Shapes: F features, P horizon steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from titans_ts.forecasting.linear.nested_ridge import NestedRidge
from titans_ts.forecasting.linear.ridge import RegressionRows


class LastValue(NestedRidge):
    """The last value for every step, whatever the data; its tensors are those of the `NestedRidge` it replaces."""

    def fit(
        self, folds: Sequence[Iterable[RegressionRows]], held_out: Iterable[RegressionRows] | None = None
    ) -> list[NestedRidge]:
        """Nothing is fitted: the same model for every fold."""
        self.weight.zero_()[self.context_length - 1] = 1.0
        self.bias.zero_()
        return [self] * len(folds)

    @classmethod
    def like(cls, other: NestedRidge) -> LastValue:
        """A model of the same inputs (F) and outputs (P), on the same device."""
        features, horizon = other.weight.shape
        found = cls(other.context_length, features - other.context_length, horizon, other.season)
        return found.to(other.weight.device)
