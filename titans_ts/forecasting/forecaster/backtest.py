"""Rolling-window evaluation of a forecaster, beside its own parts and baselines.

Rows of the tables: the forecaster; on request the same one with attention instead of memory; its linear part alone; a
plain ridge regression of each series' own window; the seasonal naive forecast.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels, T steps of a series. Arrays are
(W·M, P) with channels as rows of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series import (
    SeriesPanel,
    SeriesRecord,
    SeriesSchema,
    Windows,
    WindowSpec,
    WindowStore,
    to_records,
)
from titans_datasets.series.read.panel import warn
from titans_datasets.text import counted
from titans_ts.forecasting import metrics
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster.baselines import ridge_regression, values_only
from titans_ts.forecasting.forecaster.continuation import find_later, forecast_later
from titans_ts.forecasting.forecaster.fit_panel import fit
from titans_ts.forecasting.forecaster.frames import CHANNEL_COLUMN, level_name
from titans_ts.forecasting.forecaster.predict import CHUNK, batches
from titans_ts.forecasting.forecaster.rows import table_rows
from titans_ts.forecasting.guard import guard, warn_replaced
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork, linear_part

FloatArray = npt.NDArray[np.float64]
Forecaster = TypeVar("Forecaster")
Other = TypeVar("Other")
MODEL, ABLATION, LINEAR_PART = "titans", "attention instead of memory", "linear part alone"
RIDGE, NAIVE = "ridge regression", "seasonal naive"
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
    """

    metrics: pd.DataFrame
    by_window: pd.DataFrame
    forecasts: pd.DataFrame
    forecaster: Forecaster
    notes: list[str] = field(default_factory=list)

    def held_by(self, forecaster: Other) -> BacktestResult[Other]:
        """The same result, with the facade that holds the forecaster in its place."""
        return BacktestResult(self.metrics, self.by_window, self.forecasts, forecaster, self.notes)

    def __repr__(self) -> str:
        table = self.metrics.to_string(float_format=lambda value: f"{value:.4f}")
        return "\n".join([table, *(f"· {note}" for note in self.notes)])


class Scored(NamedTuple):
    """Forecasts of all windows and the values that came: actual, mean (W·M, P), quantiles (W·M, P, Q), scale (W·M,)."""

    actual: FloatArray
    mean: FloatArray
    quantiles: FloatArray
    scale: FloatArray


def choose_windows(lengths: Sequence[int], prediction_length: int) -> int:
    """Windows that fit into the last fifth of the median series, 1 to 20."""
    return int(np.clip(np.median(lengths) * 0.2 // prediction_length, 1, 20))


def first_cutoffs(lengths: Sequence[int], prediction_length: int, windows: int, step: int, least: int) -> list[int]:
    """Steps of each series before its first window; short series (fewer than `least` steps left) have fewer windows.

    Raises:
        ValueError: no series is long enough for one window and some history.
    """
    cutoffs = []
    for length in lengths:
        candidates = [length - prediction_length - back * step for back in range(windows)]
        usable = [cutoff for cutoff in candidates if cutoff >= least]
        cutoffs.append(min(usable, default=length))
    if all(cutoff == length for cutoff, length in zip(cutoffs, lengths, strict=True)):
        need = least + prediction_length
        raise ValueError(
            f"no series is long enough to backtest: {need} steps are needed ({prediction_length} to forecast and "
            f"{least} of history), the longest has {max(lengths)} ({need - max(lengths)} missing)"
        )
    return cutoffs


def rolling_windows(records: Sequence[SeriesRecord], cutoffs: Sequence[int], horizon: int, step: int) -> Windows:
    """Windows from each series' first cutoff on, `step` apart, oldest first."""
    items, positions = [], []
    for item, (record, cutoff) in enumerate(zip(records, cutoffs, strict=True)):
        starts = range(cutoff, record.length - horizon + 1, step)
        items += [item] * len(starts)
        positions += list(starts)
    return Windows(torch.tensor(items, dtype=torch.int64), torch.tensor(positions, dtype=torch.int64))


def forecast_windows(
    network: ForecastNetwork,
    records: Sequence[SeriesRecord],
    windows: Windows,
    levels: Sequence[float],
    device: torch.device,
) -> Forecast:
    """Forecasts of windows inside the records, each from what lies before it alone.

    Returns:
        mean (W, P[, M]), quantiles (W, P[, M], Q), float64 on the CPU.
    """
    config = network.config
    spec = WindowSpec(config.context_length, config.prediction_length, calendar=config.calendar)
    store = WindowStore(records, spec)
    # Nothing that comes after a window sets its units.
    loc, scale = store.units_at(windows, alone=True)
    loc = loc - store.item_origin[windows.items]
    network = network.to(device).eval()
    parts: list[Forecast] = []
    with torch.inference_mode():
        for number, batch in enumerate(batches(store, windows, device, CHUNK)):
            part = slice(number * CHUNK, (number + 1) * CHUNK)
            batch["item_loc"], batch["item_scale"] = loc[part].float().to(device), scale[part].float().to(device)
            parts.append(network(batch, list(levels)))
    network.cpu()
    mean, quantiles = (torch.cat(tensors).double().cpu() for tensors in zip(*parts, strict=True))
    return Forecast(mean, quantiles)


def score_windows(
    network: ForecastNetwork,
    records: Sequence[SeriesRecord],
    windows: Windows,
    levels: Sequence[float],
    device: torch.device,
) -> Scored:
    """Forecasts of windows as rows, with the actual values and the scales of MASE."""
    forecast = forecast_windows(network, records, windows, levels, device)
    return _scored(forecast, records, windows)


def score_guarded(
    fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows, step: int
) -> tuple[Scored, dict[int, int]]:
    """`score_windows` of what `FittedForecaster.forecast` would give, and the rows that `guard` replaced.

    Args:
        fitted: the forecaster.
        records: series.
        windows: of the records.
        step: steps between cutoffs.
    """
    network, levels = fitted.network, fitted.levels
    forecast = forecast_windows(network, records, windows, levels, fitted.torch_device)
    histories = [channel[:cutoff] for channel, cutoff in _pairs(records, windows)]
    forecast, replaced = guard(
        forecast, histories, levels, network.config.season, window_numbers(windows, records, step)
    )
    return _scored(forecast, records, windows), replaced


def _scored(forecast: Forecast, records: Sequence[SeriesRecord], windows: Windows) -> Scored:
    mean, quantiles = forecast.mean.numpy(), forecast.quantiles.numpy()
    if mean.ndim == 3:
        mean = mean.swapaxes(1, 2).reshape(-1, mean.shape[1])
        quantiles = quantiles.swapaxes(1, 2).reshape(len(mean), -1, quantiles.shape[-1])
    actual, scale = _actual_and_scale(records, windows, mean.shape[1])
    return Scored(actual, mean, quantiles, scale)


def _warn_windows(
    fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows, replaced: Mapping[int, int]
) -> None:
    """One warning for the windows (rows) that `guard` replaced, by the names of their series."""
    names, channels = fitted.row_names(records), records[0].channels
    rows = [names[item * channels + channel] for item in windows.items.tolist() for channel in range(channels)]
    warn_replaced(rows, replaced, stacklevel=6)


def score_last(fitted: FittedForecaster, records: Sequence[SeriesRecord]) -> Scored:
    """`score_guarded` of the last window of each series, at the trained levels."""
    horizon = fitted.network.config.prediction_length
    cutoffs = first_cutoffs([record.length for record in records], horizon, 1, horizon, 1)
    windows = rolling_windows(records, cutoffs, horizon, horizon)
    scored, replaced = score_guarded(fitted, records, windows, horizon)
    _warn_windows(fitted, records, windows, replaced)
    return scored


def _pairs(records: Sequence[SeriesRecord], windows: Windows) -> list[tuple[FloatArray, int]]:
    """Channel (T,) and cutoff of each row."""
    return [
        (channel, position)
        for item, position in zip(windows.items.tolist(), windows.positions.tolist(), strict=True)
        for channel in np.atleast_2d(records[item].target)
    ]


def _actual_and_scale(records: Sequence[SeriesRecord], windows: Windows, horizon: int) -> tuple[FloatArray, FloatArray]:
    season = records[0].frequency.seasonality
    rows = _pairs(records, windows)
    actual = np.stack([channel[cutoff : cutoff + horizon] for channel, cutoff in rows])
    return actual, np.array([metrics.seasonal_error(channel[:cutoff], season) for channel, cutoff in rows])


def naive_windows(
    records: Sequence[SeriesRecord], windows: Windows, horizon: int, levels: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Seasonal-naive forecasts (W·M, P) and normal quantiles (W·M, P, Q)."""
    season = records[0].frequency.seasonality
    found = [metrics.seasonal_naive(channel[:cutoff], horizon, season) for channel, cutoff in _pairs(records, windows)]
    mean, deviation = (np.stack(part) for part in zip(*found, strict=True))
    return mean, metrics.normal_quantiles(mean, deviation, levels)


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


def window_numbers(windows: Windows, records: Sequence[SeriesRecord], step: int) -> npt.NDArray[np.int64]:
    """Number (W·M,) of each row's window, counted so that all items' last window has the same number."""
    lengths = torch.tensor([record.length for record in records])
    back = (lengths[windows.items] - windows.positions) // step
    numbers = (back.max() - back).numpy()
    return np.repeat(numbers, records[0].channels)


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


def run_backtest(
    params: Mapping[str, Any], seed: int, X: object, windows: int | None, step: int | None, ablation: bool = False
) -> BacktestResult[FittedForecaster]:
    """Fit on what lies before the first cutoff, forecast every window, score.

    Args:
        params: parameters of the forecaster, checked.
        seed: of the fit.
        X: series of any accepted kind.
        windows: windows a series, None to have them chosen.
        step: steps between cutoffs, prediction_length where None.
        ablation: also fit a forecaster without memory, see `without_memory`.

    Raises:
        ValueError: windows or step is below 1, no series is long enough, or there is no memory to leave out.
    """
    others = {ABLATION: without_memory(params)} if ablation else {}
    schema = inputs.make_schema(params, X)
    panel, channels = inputs.mixed(to_records(X, schema), schema, params["options"])
    cutoffs, step = plan(panel, int(params["prediction_length"]), windows, step)
    if schema.covariates:
        # Covariates are coded by what was known at the first cutoff.
        past = to_records(rows_before(X, panel, schema, cutoffs), schema)
        panel = to_records(X, replace(schema, freq=panel.frequency.offset_alias), encoder=past.encoder)
    warn(panel.notes, stacklevel=4)
    before = [inputs.cut(record, length) for record, length in zip(panel.records, cutoffs, strict=True)]
    history = replace(panel, records=before)
    fitted = fit(params, history, schema, channels, seed)
    refitted = {name: fit(other, history, schema, channels, seed) for name, other in others.items()}
    notes = ["fitted once, on what lies before the first cutoff"]
    notes += [f"{name}: the same forecaster, fitted with block='attention'" for name in refitted]
    return score_forecaster(fitted, panel, cutoffs, step, notes, refitted)


def without_memory(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with attention in the place of the memory; all others stay, the limits of training too.

    Raises:
        ValueError: there is no memory.
    """
    if params["block"] == "attention":
        raise ValueError(
            "ablation=True leaves out the memory, and the block 'attention' has none: choose another block, or "
            "ablation=False"
        )
    return {**params, "block": "attention"}


def rows_before(data: object, panel: SeriesPanel, schema: SeriesSchema, lengths: Sequence[int]) -> pd.DataFrame:
    """The rows of a long table that lie within the first `lengths` steps of their series.

    Args:
        data: what `panel` was read from: a long frame or the path of one.
        panel: its records.
        schema: its columns.
        lengths: steps to keep of each record.
    """
    rows = table_rows(inputs.table_of(data, schema), panel, schema)
    return rows.frame[(rows.codes >= 0) & (rows.steps < np.asarray(lengths)[rows.codes])]


def backtest_fitted(
    fitted: FittedForecaster, X: object, windows: int | None, step: int | None
) -> BacktestResult[FittedForecaster]:
    """Score a fitted forecaster as it is on the last windows of series; see `run_backtest`."""
    panel = inputs.read_history(fitted, X)
    cutoffs, step = plan(panel, fitted.network.config.prediction_length, windows, step)
    notes = ["scored as it was fitted before, on data given to fit()"]
    return score_forecaster(fitted, panel, cutoffs, step, notes, {})


def plan(panel: SeriesPanel, horizon: int, windows: int | None, step: int | None) -> tuple[list[int], int]:
    """Steps of each record before its first window, and steps between windows.

    Raises:
        ValueError: windows or step is below 1, or no series is long enough.
    """
    lengths = [record.length for record in panel.records]
    windows = choose_windows(lengths, horizon) if windows is None else windows
    step = horizon if step is None else step
    if windows < 1 or step < 1:
        raise ValueError(f"windows and step must be ≥ 1, got windows={windows}, step={step}")
    return first_cutoffs(lengths, horizon, windows, step, horizon + 1), step


def score_forecaster(
    fitted: FittedForecaster,
    panel: SeriesPanel,
    cutoffs: Sequence[int],
    step: int,
    notes: Sequence[str],
    refitted: Mapping[str, FittedForecaster],
) -> BacktestResult[FittedForecaster]:
    """Score a forecaster beside the baselines.

    Args:
        fitted: the forecaster.
        panel: all steps, with the covariate codes of the fit.
        cutoffs: steps before the first window of each record.
        step: steps between cutoffs.
        notes: on what it was fitted; further ones follow as they are.
        refitted: other forecasters fitted on the same data, by the name of their row.
    """
    network, levels, device = fitted.network, fitted.levels, fitted.torch_device
    horizon = network.config.prediction_length
    records = panel.records
    windows = rolling_windows(records, cutoffs, horizon, step)
    before = [inputs.cut(record, length) for record, length in zip(records, cutoffs, strict=True)]
    plain = ridge_regression(before, network.config)
    model, replaced = score_guarded(fitted, records, windows, step)
    _warn_windows(fitted, records, windows, replaced)
    naive, spread = naive_windows(records, windows, horizon, levels)
    models = {
        MODEL: model,
        **{name: score_guarded(one, records, windows, step)[0] for name, one in refitted.items()},
        LINEAR_PART: score_windows(linear_part(network), records, windows, levels, device),
        RIDGE: score_windows(plain, values_only(records), windows, levels, device),
        NAIVE: model._replace(mean=naive, quantiles=spread),
    }
    table, by_window = score_tables(models, window_numbers(windows, records, step), levels)
    frame = window_frame(panel, windows, model, levels, fitted.schema, fitted.channels)
    about = f"{counted(len(windows), 'window')} of {horizon} steps over {len(records)} series"
    first, *others = notes
    notes = [f"{about}, cutoffs {step} steps apart; {first}", *others, *_level_notes(levels)]
    return BacktestResult(table, by_window, frame, fitted, notes)


def _level_notes(levels: Sequence[float]) -> list[str]:
    scored = [level_name(level) for level in levels if round(level, 6) in metrics.SCORED_LEVELS]
    if len(scored) == len(metrics.SCORED_LEVELS):
        return []
    return [f"WQL over the trained levels {', '.join(scored)} only"]


def score_series(fitted: FittedForecaster, X: object) -> tuple[FloatArray, FloatArray]:
    """Actual values (n,) or (W·M, P) and their forecast quantiles (…, Q): of series that continue those of the fit,
    forecast from these; otherwise of the last horizon of each series, forecast from what lies before it."""
    training = fitted.panel
    panel = inputs.read_history(fitted, X, None if training is None else training.time)
    later = find_later(training, panel)
    if later is not None and training is not None:
        future = inputs.table_of(X, fitted.schema) if fitted.schema.known_covariates else None
        return forecast_later(fitted, training, later, future)
    scored = score_last(fitted, panel.records)
    return scored.actual, scored.quantiles
