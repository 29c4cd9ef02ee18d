"""FittedForecaster: what a fit leaves, as a plain object; forecasts, backtests, sessions, batches and model folders
take it, and the scikit-learn facade `TitansForecaster` holds one.

Shapes: I items, H horizon, M channels, Q quantile levels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from titans_datasets.series import CovariateEncoder, Frequency, SeriesPanel, SeriesRecord, SeriesSchema
from titans_ts.forecasting.forecaster.predict import forecast_records
from titans_ts.forecasting.guard import guard, warn_replaced
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork
from titans_ts.support.device import resolve_device
from titans_ts.support.model_folder import plain

if TYPE_CHECKING:
    from titans_ts.forecasting.training.config import TrainingResult


@dataclass(frozen=True, eq=False)
class FittedForecaster:
    """A trained network and what it needs to forecast a caller's data.

    Attributes:
        network: trained, in evaluation mode, on the CPU.
        schema: columns and their roles.
        frequency: the time step.
        encoder: covariate codes, None without covariates.
        channels: items that channel_mixing made the channels of one record, else None.
        panel: the series to forecast from where a caller gives none: those of the fit, continued by updates. None in a
            model that was loaded.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps": where it computes.
        training: what training did; a dict of it in a model that was loaded.
        row_counts: rows of each item, where the model was fitted on rows beside a target (``fit(X, y)``), else None.
    """

    network: ForecastNetwork
    schema: SeriesSchema
    frequency: Frequency
    encoder: CovariateEncoder | None
    channels: list[Hashable] | None
    panel: SeriesPanel | None
    device: str
    training: TrainingResult | dict[str, Any]
    row_counts: Mapping[Hashable, int] | None = None

    @property
    def levels(self) -> list[float]:
        """Trained quantile levels, the median among them."""
        return self.network.config.levels

    @property
    def torch_device(self) -> torch.device:
        """The device by its name.

        Raises:
            ValueError: this machine has none of that name.
        """
        return resolve_device(self.device)

    def forecast(self, records: Sequence[SeriesRecord], horizon: int, levels: Sequence[float]) -> Forecast:
        """Forecasts of the `horizon` steps after each record; see `forecast_records`.

        Forecasts that fail the checks of `guard` are the expert mixture's, and one `SeriesWarning` names their series.

        Returns:
            mean (I, H[, M]) and quantiles (I, H[, M], Q), float64 on the CPU.
        """
        forecast, replaced = self.forecast_guarded(records, horizon, levels)
        warn_replaced(self.row_names(records), replaced, stacklevel=5)
        return forecast

    def forecast_guarded(
        self, records: Sequence[SeriesRecord], horizon: int, levels: Sequence[float]
    ) -> tuple[Forecast, dict[int, int]]:
        """`forecast` without a warning, and the rows (item × channel) that `guard` replaced with its reasons."""
        # The outermost trained levels are checked too: what is replaced does not depend on the levels requested.
        every = [*levels, *(level for level in (min(self.levels), max(self.levels)) if level not in levels)]
        found = forecast_records(self.network, records, horizon, every, self.torch_device)
        histories = [channel for record in records for channel in np.atleast_2d(record.target)]
        found, replaced = guard(found, histories, every, self.network.config.season)
        return Forecast(found.mean, found.quantiles[..., : len(levels)]), replaced

    def row_names(self, records: Sequence[SeriesRecord]) -> list[Hashable]:
        """Names of the rows (items × channels) of records: of the series, "item · channel" with several targets."""
        if self.channels is not None:
            return self.channels * len(records)
        if not self.schema.multichannel:
            return [record.item_id for record in records]
        return [f"{record.item_id} · {name}" for record in records for name in self.schema.targets]

    def fingerprint(self) -> str:
        """What it computes, as a hash: sizes, weights, columns, covariate codes and time step."""
        facts = {
            "network": plain(self.network.config.to_dict()),
            "schema": plain(self.schema.to_dict()),
            "frequency": self.frequency.offset_alias,
            "encoder": None if self.encoder is None else plain(self.encoder.to_dict()),
        }
        found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, value in sorted(self.network.state_dict().items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
        return found.hexdigest()


class HoldsFitted(Protocol):
    """Whatever holds a fitted forecaster: the facade after `fit` or `load`."""

    @property
    def fitted_(self) -> FittedForecaster:
        """What was learned."""


def fitted_of(forecaster: HoldsFitted | FittedForecaster, advice: str) -> FittedForecaster:
    """The fitted forecaster that a facade holds, or the one given.

    Args:
        forecaster: either.
        advice: what to do where it is not fitted, for the message.

    Raises:
        ValueError: it is not fitted.
    """
    if isinstance(forecaster, FittedForecaster):
        return forecaster
    found: FittedForecaster | None = getattr(forecaster, "fitted_", None)
    if found is None:
        raise ValueError(f"this {type(forecaster).__name__} is not fitted: {advice}")
    return found
