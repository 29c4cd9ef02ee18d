"""Rolling-window evaluation of a forecaster, beside its own parts, its experts and baselines.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series import SeriesPanel, SeriesRecord, SeriesSchema, Windows, to_records
from titans_datasets.series.batches.windows import NoWindowsError
from titans_datasets.series.read.panel import warn
from titans_datasets.text import counted
from titans_ts.forecasting import metrics
from titans_ts.forecasting.backtest.baselines import ridge_regression, values_only
from titans_ts.forecasting.backtest.result import BacktestResult, score_tables, window_frame
from titans_ts.forecasting.backtest.scoring import naive_windows, score_combined, score_experts, score_windows
from titans_ts.forecasting.backtest.windows import (
    LEAST_HISTORY,
    Scored,
    choose_windows,
    first_cutoffs,
    rolling_windows,
    window_numbers,
)
from titans_ts.forecasting.explanation import ABLATION, LINEAR_PART, MODEL, NAIVE, RIDGE
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster.continuation import find_later, forecast_later
from titans_ts.forecasting.forecaster.fit_panel import fit
from titans_ts.forecasting.forecaster.frames import level_name
from titans_ts.forecasting.forecaster.params import check_params
from titans_ts.forecasting.forecaster.rows import table_rows
from titans_ts.forecasting.guard import warn_replaced
from titans_ts.forecasting.model.network import linear_part
from titans_ts.support.progress import PROGRESS

FloatArray = npt.NDArray[np.float64]


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
        ValueError: there is no memory, or no network.
    """
    if dict(params["options"] or {}).get("network") is False:
        raise ValueError(
            "ablation=True trains a network without memory, but network=False leaves it out: leave out one"
        )
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
    return first_cutoffs(lengths, horizon, windows, step, LEAST_HISTORY), step


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
    network, levels = fitted.network, fitted.levels
    horizon = network.config.prediction_length
    records = panel.records
    windows = rolling_windows(records, cutoffs, horizon, step)
    PROGRESS.info(f"backtest, forecasting {counted(len(windows), 'window')}")
    ours = score_combined(fitted, records, windows)
    model = ours.scored
    _warn_windows(fitted, records, windows, ours.replaced)
    models = {MODEL: model, **{name: score_combined(one, records, windows).scored for name, one in refitted.items()}}
    if network.linear_head is not None:
        models[LINEAR_PART] = score_windows(linear_part(network), records, windows, levels, fitted.torch_device)
    PROGRESS.info("backtest, forecasting by single experts")
    models.update(score_experts(fitted, records, windows))
    before = [inputs.cut(record, length) for record, length in zip(records, cutoffs, strict=True)]
    if fitted.has_network:
        # The context that it reads is the network's.
        PROGRESS.info("backtest, fitting a ridge regression")
        with contextlib.suppress(NoWindowsError):
            plain = ridge_regression(before, network.config)
            models[RIDGE] = score_windows(plain, values_only(records), windows, levels, fitted.torch_device)
    naive, spread = naive_windows(records, windows, horizon, levels)
    models[NAIVE] = model._replace(mean=naive, quantiles=spread)
    table, by_window = score_tables(models, window_numbers(windows, records, step), levels)
    frame = window_frame(panel, windows, model, levels, fitted.schema, fitted.channels)
    about = f"{counted(len(windows), 'window')} of {horizon} steps over {len(records)} series"
    first, *others = notes
    notes = [f"{about}, cutoffs {step} steps apart; {first}", *others, *_level_notes(levels)]
    return BacktestResult(table, by_window, frame, fitted, notes, ours.weights)


def _warn_windows(
    fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows, replaced: Mapping[int, int]
) -> None:
    """One warning for the windows (rows) of which the network's part was replaced, by the names of their series."""
    names, channels = fitted.row_names(records), records[0].channels
    rows = [names[item * channels + channel] for item in windows.items.tolist() for channel in range(channels)]
    warn_replaced(rows, replaced, stacklevel=6)


def _level_notes(levels: Sequence[float]) -> list[str]:
    scored = [level_name(level) for level in levels if round(level, 6) in metrics.SCORED_LEVELS]
    if len(scored) == len(metrics.SCORED_LEVELS):
        return []
    return [f"WQL over the trained levels {', '.join(scored)} only"]


def score_last(fitted: FittedForecaster, records: Sequence[SeriesRecord]) -> Scored:
    """`score_combined` of the last window of each series, at the trained levels."""
    horizon = fitted.network.config.prediction_length
    cutoffs = first_cutoffs([record.length for record in records], horizon, 1, horizon, 1)
    windows = rolling_windows(records, cutoffs, horizon, horizon)
    found = score_combined(fitted, records, windows)
    _warn_windows(fitted, records, windows, found.replaced)
    return found.scored


def loss_unfitted(params: Mapping[str, Any], seed: int, X: object) -> float:
    """Weighted quantile loss of the last horizon of each series, by a forecaster that is fitted on what lies before."""
    check_params(params)
    schema = inputs.make_schema(params, X)
    panel, channels = inputs.mixed(to_records(X, schema), schema, params["options"])
    horizon = int(params["prediction_length"])
    cutoffs = first_cutoffs([record.length for record in panel.records], horizon, 1, horizon, 1)
    before = [inputs.cut(record, at) for record, at in zip(panel.records, cutoffs, strict=True) if at > 0]
    fitted = fit(params, replace(panel, records=before), schema, channels, seed)
    scored = score_last(fitted, panel.records)
    return metrics.weighted_quantile_loss(scored.actual, scored.quantiles, fitted.levels)


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
