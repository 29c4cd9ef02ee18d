"""What a backtest found: tables of scores, and the forecasts of its windows.

Rows of the tables: the forecaster; on request the same one with attention instead of memory; its linear part alone; the
experts together and one by one; a plain ridge regression of each series' own window; the seasonal naive forecast.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels. Arrays are (W·M, P) with channels
as rows of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series import SeriesPanel, SeriesSchema, Windows
from titans_ts.forecasting import metrics
from titans_ts.forecasting.backtest.windows import Scored
from titans_ts.forecasting.explanation import best_row
from titans_ts.forecasting.forecaster.frames import level_name
from titans_ts.forecasting.forecaster.inputs import CHANNEL_COLUMN

Forecaster = TypeVar("Forecaster")
Other = TypeVar("Other")
METRICS = ("MASE", "WQL", "MAE", "RMSE", "coverage 50%", "coverage 90%")


@dataclass(frozen=True, repr=False)
class BacktestResult(Generic[Forecaster]):
    """Scores and forecasts of a backtest; ``print(result)`` shows the table.

    Attributes:
        metrics: one row a model. "titans": the forecaster. "attention instead of memory" (with ``ablation=True``): the
            same forecaster fitted anew with block="attention", so that its distance from "titans" is what the memory
            gives. "linear part alone": the closed-form linear part inside the forecaster, covariates included, without
            anything that was learned by gradient steps (encoder, attention, memory, head). "ridge regression": one
            ridge regression of the series' own window for all series. "seasonal naive". MASE: mean over windows of the
            mean absolute error over the seasonal-naive error of everything before the cutoff; WQL: quantile loss summed
            over everything over Σ|actual|, mean over the levels 0.1 … 0.9; MAE and coverages of the median and the
            central intervals; RMSE of the mean. Missing actual values are left out.
        by_window: MASE and WQL of each cutoff, all items together: columns window (0 the oldest), model, MASE, WQL.
            Means over windows are the numbers of fev-bench.
        forecasts: the model's forecasts: id, cutoff (the last timestamp seen), timestamp, actual, mean, levels.
        forecaster: the forecaster that was scored, fitted on what lies before the first cutoff; `predict(history)`
            forecasts from fresh history without refitting.
        notes: short sentences about the protocol.
        weights: of the network's part and the experts (E,) in the forecasts of the windows, on average.
    """

    metrics: pd.DataFrame
    by_window: pd.DataFrame
    forecasts: pd.DataFrame
    forecaster: Forecaster
    notes: list[str] = field(default_factory=list)
    weights: pd.Series[float] = field(default_factory=lambda: pd.Series(dtype=float))

    def held_by(self, forecaster: Other) -> BacktestResult[Other]:
        """The same result, with the facade that holds the forecaster in its place."""
        return BacktestResult(self.metrics, self.by_window, self.forecasts, forecaster, self.notes, self.weights)

    @property
    def verdict(self) -> list[str]:
        """A sentence about the row of least MASE, with its part in the forecasts, where another one beats "titans"."""
        found = best_row(self.metrics["MASE"], self.weights)
        return [] if found is None else [found]

    def __repr__(self) -> str:
        table = self.metrics.to_string(float_format=lambda value: f"{value:.4f}")
        return "\n".join([table, *(f"· {note}" for note in [*self.notes, *self.verdict])])


def residual_frame(result: BacktestResult[Any]) -> pd.DataFrame:
    """Forecasts of a backtest with the residuals of their median beside the actual values."""
    frame, middle = result.forecasts, level_name(0.5)
    levels = [name for name in frame.columns[list(frame.columns).index("actual") + 1 :] if name != middle]
    return frame.drop(columns=levels).assign(residual=frame["actual"] - frame[middle])


def metric_row(scored: Scored, levels: Sequence[float]) -> dict[str, float]:
    """The metrics of `METRICS`."""
    median = metrics.at_level(scored.quantiles, levels, 0.5)
    assert median is not None
    kept = [place for place, level in enumerate(levels) if round(level, 6) in metrics.SCORED_LEVELS]
    kept_levels = [levels[place] for place in kept]
    return {
        "MASE": metrics.mean_absolute_scaled_error(scored.actual, median, scored.scale),
        "WQL": metrics.weighted_quantile_loss(scored.actual, scored.quantiles[..., kept], kept_levels),
        "MAE": metrics.mean_absolute_error(scored.actual, median),
        "RMSE": metrics.root_mean_squared_error(scored.actual, scored.mean),
        "coverage 50%": metrics.coverage(scored.actual, scored.quantiles, levels, 0.5),
        "coverage 90%": metrics.coverage(scored.actual, scored.quantiles, levels, 0.9),
    }


def score_tables(
    models: dict[str, Scored], numbers: npt.NDArray[np.int64], levels: Sequence[float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`BacktestResult.metrics` and `BacktestResult.by_window`; `numbers` (W·M,) counts each row's window."""
    table = pd.DataFrame({name: metric_row(scored, levels) for name, scored in models.items()}).T[list(METRICS)]
    rows: list[dict[str, Any]] = []
    for number in np.unique(numbers):
        here = numbers == number
        for name, scored in models.items():
            row = metric_row(Scored(*(part[here] for part in scored)), levels)
            rows.append({"window": int(number), "model": name, "MASE": row["MASE"], "WQL": row["WQL"]})
    return table, pd.DataFrame(rows)


def window_frame(
    panel: SeriesPanel,
    windows: Windows,
    scored: Scored,
    levels: Sequence[float],
    schema: SeriesSchema,
    channels: Sequence[Hashable] | None = None,
) -> pd.DataFrame:
    """`BacktestResult.forecasts`; see `forecast_frame` for the id and channel columns."""
    horizon = scored.actual.shape[1]
    records, names = panel.records, schema.targets if channels is None else channels
    count = records[0].channels
    indexes = [record.index.to_numpy() for record in records]
    stamps, cutoffs = [], []
    for item, position in zip(windows.items.tolist(), windows.positions.tolist(), strict=True):
        index = indexes[item]
        stamps += [index[position : position + horizon]] * count
        cutoffs += [np.repeat(index[position - 1], horizon)] * count
    ids = pd.Index(panel.item_ids)[windows.items.numpy()].repeat(horizon * count)
    channel = pd.Index(list(names), dtype=object)[np.tile(np.repeat(np.arange(count), horizon), len(windows))]
    columns: dict[str, object] = {schema.id_column: ids if channels is None else channel}
    if channels is None and schema.multichannel:
        columns[CHANNEL_COLUMN] = channel
    for name, moments in (("cutoff", cutoffs), (schema.timestamp_column, stamps)):
        columns[name] = panel.time.restore(pd.DatetimeIndex(np.concatenate(moments)), panel.frequency)
    columns.update({"actual": scored.actual.reshape(-1), "mean": scored.mean.reshape(-1)})
    for place, level in enumerate(levels):
        columns[level_name(level)] = scored.quantiles[..., place].reshape(-1)
    return pd.DataFrame(columns)
