"""Windows of a fev task as long frames of the forecaster, and forecasts as fev's columns; fev itself is not needed.

Shapes: I items, H horizon, M targets, Q quantile levels, n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series import SeriesSchema
from titans_ts.forecasting.forecaster.frames import level_name

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[pd.DataFrame, "pd.DataFrame | None", int], pd.DataFrame]
SQUARED = ("MSE", "RMSE", "RMSSE")


class WindowFrames(NamedTuple):
    """One evaluation window.

    past: rows up to the cutoff with id, timestamp, target(s), static, past and known covariates.
    future: rows of the horizon with id, timestamp and known covariates.
    items: ids (I,) in the window's order.
    """

    past: pd.DataFrame
    future: pd.DataFrame
    items: pd.Index[Any]


@dataclass(frozen=True)
class Group:
    """Items whose last `ahead` steps before the cutoff have no observed target."""

    ahead: int
    items: pd.Index[Any]


def task_schema(task: Any, freq: str | None = None) -> SeriesSchema:
    """Columns and roles of a fev task; a task of several targets becomes multi-channel series.

    Args:
        task: `fev.Task` or `fev.EvaluationWindow`.
        freq: pandas alias of the time step, None to infer it.
    """
    targets = tuple(task.target_columns)
    return SeriesSchema(
        id_column=task.id_column,
        timestamp_column=task.timestamp_column,
        target_column=targets[0] if len(targets) == 1 else targets,
        freq=freq,
        static_covariates=tuple(task.static_columns),
        past_covariates=tuple(task.past_dynamic_columns),
        known_covariates=tuple(task.known_dynamic_columns),
    )


def window_frames(
    past: pd.DataFrame, future: pd.DataFrame, static: pd.DataFrame | None, schema: SeriesSchema
) -> WindowFrames:
    """What `fev.convert_input_data(window, adapter="pandas")` returns, as one table of the past and one of the future.

    Args:
        past: id, timestamp, target(s), past and known covariates of the steps up to the cutoff.
        future: id, timestamp and known covariates of the horizon, the same items in the same order.
        static: one row an item, None without static covariates.
        schema: see `task_schema`.

    Raises:
        ValueError: the two halves hold different items.
    """
    name = schema.id_column
    items = pd.Index(past[name].unique())
    if not items.equals(pd.Index(future[name].unique())):
        raise ValueError(f"past and future must hold the same items in the same order, got {len(items)} in the past")
    if schema.static_covariates:
        assert static is not None, "a task with static columns comes with a static table"
        past = past.merge(static[[name, *schema.static_covariates]], on=name, how="left", validate="many_to_one")
    return WindowFrames(past, future, items)


def forecast_window(
    window: WindowFrames, schema: SeriesSchema, horizon: int, levels: Sequence[float], predict: Predict
) -> dict[str, FloatArray]:
    """Forecasts of the horizon of all items.

    With known covariates a series ends for the forecaster at its last observed value. Items that have none in the steps
    just before the cutoff are therefore forecast from there, through these steps and the horizon; without known
    covariates such steps are missing values inside the history.

    Args:
        window: see `window_frames`.
        schema: see `task_schema`.
        horizon: H.
        levels: Q.
        predict: history, future covariates (or None) and number of steps → forecast frame of the forecaster.

    Returns:
        "mean" and each level's name (see `level_name`) → (I, M, H).

    Raises:
        ValueError: an item has no observed value, or its forecast does not fall on the stamps of the horizon.
    """
    names = ["mean", *(level_name(level) for level in levels)]
    found = {name: np.empty((len(window.items), len(schema.targets), horizon)) for name in names}
    for group in _groups(window, schema):
        rows = window.items.get_indexer(group.items)
        history, ahead = _group_rows(window, schema, group)
        frame = predict(history, ahead, group.ahead + horizon)
        _check_stamps(frame, window, schema, group, horizon)
        for name in names:
            values = frame[name].to_numpy(dtype=np.float64)
            found[name][rows] = values.reshape(len(rows), len(schema.targets), -1)[:, :, group.ahead :]
    return found


def fev_columns(
    found: dict[str, FloatArray], targets: Sequence[str], levels: Sequence[float], point: str
) -> dict[str, dict[str, FloatArray]]:
    """Columns in fev's format for each target: "predictions" and one named `str(level)` for each level, all (I, H).

    Args:
        found: see `forecast_window`; it holds the level 0.5.
        targets: M.
        levels: those of the task.
        point: "mean" or "median" as the point forecast.
    """
    source = "mean" if point == "mean" else level_name(0.5)
    return {
        target: {
            "predictions": found[source][:, channel],
            **{str(level): found[level_name(level)][:, channel] for level in levels},
        }
        for channel, target in enumerate(targets)
    }


def point_forecast(point: str, metric: Any) -> str:
    """ "mean" or "median": with "auto" the mean for squared errors (MSE, RMSE, RMSSE), the median for everything else.

    Args:
        point: "auto", "mean" or "median".
        metric: the task's `eval_metric`, a name or a dict with one.

    Raises:
        ValueError: point is none of these.
    """
    if point not in ("auto", "mean", "median"):
        raise ValueError(f"point must be 'auto', 'mean' or 'median', got {point!r}")
    name = metric["name"] if isinstance(metric, dict) else metric
    return point if point != "auto" else "mean" if str(name).upper() in SQUARED else "median"


def _groups(window: WindowFrames, schema: SeriesSchema) -> Iterator[Group]:
    """Items by their number of steps without a target before the cutoff; one group without known covariates."""
    past, name = window.past, schema.id_column
    observed = past[list(schema.targets)].notna().any(axis=1)
    seen = observed.groupby(past[name], sort=False)
    if not seen.any().all():
        item = seen.any().idxmin()
        raise ValueError(f"item {item!r} has no observed value before the cutoff: leave it out of the task")
    if not schema.known_covariates:
        yield Group(0, window.items)
        return
    after = seen.cumcount(ascending=False)
    ahead = after[observed].groupby(past[name], sort=False).min().reindex(window.items)
    for steps, members in ahead.groupby(ahead, sort=True):
        yield Group(int(str(steps)), pd.Index(members.index))


def _group_rows(window: WindowFrames, schema: SeriesSchema, group: Group) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """History (the rows up to the last observed target) and the known covariates after it."""
    if not schema.known_covariates:
        return window.past, None
    name = schema.id_column
    past = window.past[window.past[name].isin(group.items)]
    future = window.future[window.future[name].isin(group.items)]
    tail = past.groupby(name, sort=False).cumcount(ascending=False) < group.ahead
    columns = [name, schema.timestamp_column, *schema.known_covariates]
    ahead = pd.concat([past.loc[tail, columns], future[columns]], ignore_index=True) if tail.any() else future[columns]
    return past[~tail], ahead


def _check_stamps(frame: pd.DataFrame, window: WindowFrames, schema: SeriesSchema, group: Group, horizon: int) -> None:
    future = window.future[window.future[schema.id_column].isin(group.items)]
    expected = future[schema.timestamp_column].to_numpy(dtype="datetime64[ns]").reshape(-1, 1, horizon)
    stamps = frame[schema.timestamp_column].to_numpy(dtype="datetime64[ns]")
    got = stamps.reshape(len(group.items), len(schema.targets), -1)[:, :, group.ahead :]
    wrong = np.flatnonzero((got != expected).any(axis=(1, 2)))
    if wrong.size:
        place = int(wrong[0])
        raise ValueError(
            f"item {group.items[place]!r} must be forecast at {expected[place, 0, 0]} and after, but the step found in "
            f"its history leads to {got[place, 0, 0]}: its timestamps are not regular"
        )
