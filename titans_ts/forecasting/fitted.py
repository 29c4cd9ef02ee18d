"""FittedForecaster: what a fit leaves, as a plain object; forecasts, backtests, sessions, batches and model folders
take it, and the scikit-learn facade `TitansForecaster` holds one.

Shapes: I items, H horizon, M channels, Q quantile levels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch

from titans_datasets.series import CovariateEncoder, Frequency, SeriesPanel, SeriesRecord, SeriesSchema
from titans_datasets.series.batches.calendar_table import calendar_table
from titans_datasets.series.batches.wall_records import wall_record
from titans_datasets.series.read.records import item_code
from titans_datasets.series.time.calendar_features import is_cycle
from titans_ts.core.config import require
from titans_ts.forecasting.combination import Bounds, Combined, FloatArray, Rows, combine, from_rows, to_rows
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.forecaster.interruptions import without_interruptions
from titans_ts.forecasting.forecaster.predict import forecast_records
from titans_ts.forecasting.guard import warn_replaced
from titans_ts.forecasting.local_clocks import back_from_wall, together
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork
from titans_ts.support.device import resolve_device
from titans_ts.support.model_folder import plain

if TYPE_CHECKING:
    from titans_ts.forecasting.training.config import TrainingResult


@dataclass(frozen=True)
class RowColumns:
    """Columns of the rows of a ``fit(X, y)``: those of a frame by their names, those of an array as x0, x1 …"""

    names: tuple[str, ...]
    named: bool


# What `TrainingResult.stopped` is where the network was left out.
NO_NETWORK = "no network"


@dataclass(frozen=True, eq=False)
class FittedForecaster:
    """A trained network and what it needs to forecast a caller's data.

    Attributes:
        network: trained, in evaluation mode, on the CPU; where it was left out only its configuration says something.
        schema: columns and their roles.
        frequency: the time step.
        encoder: covariate codes, None without covariates.
        channels: items that channel_mixing made the channels of one record, else None.
        panel: the series to forecast from where a caller gives none: those of the fit, continued by updates. None in a
            model that was loaded.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps": where it computes.
        training: what training did; a dict of it in a model that was loaded.
        row_counts: rows of each item, where the model was fitted on rows beside a target (``fit(X, y)``), else None.
        mixture: the experts beside the network, and the network's share of each series; the experts alone by default.
        bounds: what values can be.
        row_columns: of the rows of ``fit(X, y)``, else None.
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
    mixture: FittedMixture = field(default_factory=FittedMixture)
    bounds: Bounds = field(default_factory=Bounds)
    row_columns: RowColumns | None = None

    @property
    def levels(self) -> list[float]:
        """Trained quantile levels, the median among them."""
        return self.network.config.levels

    @property
    def has_network(self) -> bool:
        """Whether there is a network; without one nothing can be streamed, and every level can be forecast."""
        training = self.training
        return (training.get("stopped") if isinstance(training, dict) else training.stopped) != NO_NETWORK

    @property
    def torch_device(self) -> torch.device:
        """The device by its name.

        Raises:
            ValueError: this machine has none of that name.
        """
        return resolve_device(self.device)

    def forecast(self, records: Sequence[SeriesRecord], horizon: int, levels: Sequence[float]) -> Forecast:
        """Forecasts of the `horizon` steps after each record; see `combine`.

        Rows of the network that fail the checks of `guard` are the experts' alone, and one `SeriesWarning` names their
        series.

        Returns:
            mean (I, H[, M]) and quantiles (I, H[, M], Q), float64 on the CPU.
        """
        found = self.combined(records, horizon, levels)
        warn_replaced(self.row_names(records), found.replaced, stacklevel=5)
        return from_rows(found.rows, self.channel_count)

    def combined(self, records: Sequence[SeriesRecord], horizon: int, levels: Sequence[float]) -> Combined:
        """`forecast` as rows (item × channel), without a warning, and what each row was forecast by.

        Interruptions that are over and sentinel values are read as missing, see `without_interruptions`. Series of a
        time zone are read as local clocks show them, see `wall_record`.
        """
        records, _ = without_interruptions(records)
        moved = [wall_record(record, horizon) for record in records]
        ahead = np.array([clock.horizon for _, clock in moved], dtype=np.int64)
        parts = []
        for steps in np.unique(ahead):
            places = np.flatnonzero(ahead == steps).tolist()
            found = self._combined([moved[place][0] for place in places], int(steps), levels)
            parts.append(back_from_wall(found, places, [moved[place][1] for place in places]))
        return together(parts, len(records))

    def _combined(self, records: Sequence[SeriesRecord], horizon: int, levels: Sequence[float]) -> Combined:
        histories, codes = self.histories(records), self.row_codes(records)
        known = self.covariates(records, horizon)
        require(all(0 < level < 1 for level in levels), "quantiles", "between 0 and 1", list(levels))
        every = self.levels_with(levels)
        network = None
        if self.mixture.shares.of(codes, horizon).any():
            network = to_rows(forecast_records(self.network, records, horizon, every, self.torch_device))
        return self.combine(network, histories, codes, horizon, levels, known)

    def combine(
        self,
        network: Rows | None,
        histories: Sequence[FloatArray],
        codes: Sequence[Hashable],
        horizon: int,
        levels: Sequence[float],
        covariates: Sequence[FloatArray] | None = None,
    ) -> Combined:
        """Rows of the network, at the levels of `levels_with`, with those of the experts, within the bounds.

        Args:
            network: None where it has no share of any row.
            histories: (T,) of each row.
            codes: of their series.
            horizon: H.
            levels: Q.
            covariates: of each row, see `covariates`.

        Returns:
            Rows at `levels`.
        """
        every = self.levels_with(levels)
        found = combine(self.mixture, network, horizon, histories, codes, every, self.bounds.nonnegative, covariates)
        return replace(found, rows=self.bounds.hold(found.rows, histories).at(every, levels))

    def levels_with(self, levels: Sequence[float]) -> list[float]:
        """Levels, the median, and the outermost trained ones, rising; around a level that was not trained, where the
        head gives trained ones only, its two neighbours that were.

        What is replaced and how wide intervals are does not depend on the levels that are requested.

        Raises:
            ValueError: a level lies beyond the outermost trained ones, and the head gives no others.
        """
        if self.has_network:
            levels = [near for level in levels for near in self.network.head.neighbours(level)]
        return sorted({*levels, 0.5, min(self.levels), max(self.levels)})

    @property
    def channel_count(self) -> int | None:
        """Channels M of a record, None for plain series."""
        return self.network.config.channels if self.channels is not None or self.schema.multichannel else None

    def histories(self, records: Sequence[SeriesRecord]) -> list[FloatArray]:
        """Target (T,) of every row (item × channel)."""
        return [channel for record in records for channel in np.atleast_2d(record.target)]

    def covariates(self, records: Sequence[SeriesRecord], horizon: int) -> list[FloatArray] | None:
        """Covariates known ahead (C, T + H) of every row: columns, holidays and those of the calendar; None without.

        NaN where a record's columns end before the horizon.
        """
        names = tuple(name for name in self.network.config.calendar if not is_cycle(name))
        dynamic = any(record.feat_dynamic_real is not None for record in records)
        if not records or not (names or dynamic):
            return None
        table, first = calendar_table(records, self.frequency, horizon, names)
        rows = self.channels or (self.schema.targets if self.schema.multichannel else [None])
        found = []
        for record, begin in zip(records, first.tolist(), strict=True):
            steps = record.length + horizon
            own = record.feat_dynamic_real
            known = np.empty((0, steps)) if own is None else np.asarray(own, dtype=np.float64)[:, :steps]
            known = np.pad(known, ((0, 0), (0, steps - known.shape[1])), constant_values=np.nan)
            both = np.concatenate([known, table[begin : begin + steps].T.astype(np.float64)])
            found += [both for _ in rows]
        return found

    def row_codes(self, records: Sequence[SeriesRecord]) -> list[int]:
        """Numbers of the rows' series, by which their shares are known."""
        return [item_code(name) for name in self.row_names(records)]

    def row_names(self, records: Sequence[SeriesRecord]) -> list[Hashable]:
        """Names of the rows (items × channels) of records: of the series, "item · channel" with several targets."""
        if self.channels is not None:
            return self.channels * len(records)
        if not self.schema.multichannel:
            return [record.item_id for record in records]
        return [f"{record.item_id} · {name}" for record in records for name in self.schema.targets]

    @property
    def network_name(self) -> str:
        """What the network's part is: the network with its linear part, or the linear part alone."""
        training = self.training
        kept = training.get("network_weight") if isinstance(training, dict) else training.network_weight
        return "network" if kept else "linear part"

    def expert_weights(self, records: Sequence[SeriesRecord], horizon: int) -> pd.DataFrame:
        """Weights of what forecasts each series, averaged over the horizon: one row a series, one column an expert."""
        found = self.combined(records, horizon, [0.5])
        return self.weights_frame(found, self.row_names(records))

    def weights_frame(self, found: Combined, names: Sequence[Hashable]) -> pd.DataFrame:
        """The weights of combined forecasts; series without a forecast have none."""
        return pd.DataFrame(found.weights, pd.Index(list(names), dtype=object), [self.network_name, *found.names[1:]])

    def fingerprint(self) -> str:
        """What it computes, as a hash: sizes, weights, columns, covariate codes and time step."""
        facts = {
            "network": plain(self.network.config.to_dict()),
            "schema": plain(self.schema.to_dict()),
            "frequency": self.frequency.offset_alias,
            "encoder": None if self.encoder is None else plain(self.encoder.to_dict()),
            "mixture": plain(self.mixture.to_dict()),
            "bounds": plain(asdict(self.bounds)),
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
    unfitted = f"this {type(forecaster).__name__} is not fitted: {advice}"
    try:
        return forecaster.fitted_
    except ValueError as error:
        # scikit-learn's NotFittedError, which is one.
        raise type(error)(unfitted) from None
    except AttributeError:
        raise ValueError(unfitted) from None
