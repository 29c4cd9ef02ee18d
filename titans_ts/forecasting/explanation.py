"""What a forecast was made of and why, in sentences: for the notes of a backtest and the last lines of a command.

Shapes: R rows (series × channels, or windows × channels), E experts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from titans_datasets.text import counted, short
from titans_ts.forecasting.combination import NETWORK, described, kind_of
from titans_ts.forecasting.fitted import NO_NETWORK

if TYPE_CHECKING:
    from titans_ts.forecasting.fitted import FittedForecaster
    from titans_ts.forecasting.training.config import TrainingResult

# Rows of a backtest's table.
MODEL, ABLATION, LINEAR_PART = "titans", "attention instead of memory", "linear part alone"
EXPERTS, RIDGE, NAIVE = "expert mixture", "ridge regression", "seasonal naive"
# Weight from which a kind of experts is named in the sentence about all series.
NAMED = 0.05
STOPPED = {
    "early stopping": "no lower held-out loss for some checks",
    "no gain": "no gain in the first {steps}",
    "small share": "held-out windows give the linear part less than half of the forecast",
    "time budget": "the time budget was spent",
    "interrupted": "interrupted",
}


def mean_weights(weights: pd.DataFrame) -> pd.Series[float]:
    """The weights (E,) averaged over the rows (R, E) that have a forecast."""
    return weights.mean(axis=0)


def explained(
    fitted: FittedForecaster, weights: pd.DataFrame, options: Mapping[str, Any] | None, trained: bool = True
) -> list[str]:
    """What forecasts were made of and, where it was `trained` just now, how training went: a sentence each.

    Args:
        fitted: what forecast them.
        weights: (R, E), see `FittedForecaster.weights_frame`.
        options: of the forecaster.
        trained: False for a loaded model.
    """
    experts = (options or {}).get("experts", True) is not False
    return [forecast_by(fitted, weights, experts), *([training_text(fitted.training)] if trained else [])]


def forecast_by(fitted: FittedForecaster, weights: pd.DataFrame, experts: bool = True) -> str:
    """What forecasts were made of, averaged over series, and what chose it.

    Args:
        fitted: what forecast them.
        weights: (R, E), see `FittedForecaster.weights_frame`.
        experts: False where the caller left them out.
    """
    mean = mean_weights(weights)
    if not math.isfinite(mean.sum()) or mean.sum() == 0:
        return "forecast by: nothing, there is no observed value"
    parts = described(np.asarray(mean, dtype=np.float64)[None], [str(name) for name in mean.index], NAMED)[0]
    if not experts:
        return f"forecast by: {parts}; experts were left out"
    known = fitted.mixture.statistics is not None and fitted.mixture.statistics.windows > 0
    return f"forecast by: {parts}; {'held-out windows chose it' if known else 'too short for held-out windows'}"


def training_text(training: TrainingResult | dict[str, Any]) -> str:
    """Whether a network was trained, how long, why it stopped, and what was kept of it."""
    found: dict[str, Any] = training if isinstance(training, dict) else training._asdict()
    steps, stopped = int(found.get("steps") or 0), str(found.get("stopped") or "")
    if stopped == "no training window":
        return "no network was trained: the series are too short for a training window"
    if stopped == NO_NETWORK and steps:
        kept = "kept" if found.get("best_step") else "left out: held-out windows are forecast as well without them"
        return f"pretrained reads: {counted(steps, 'step')} in {float(found.get('seconds') or 0):.1f} s; {kept}"
    if stopped == NO_NETWORK:
        return "no training: experts and pretrained weights alone"
    if steps == 0:
        reason = "max_steps=0" if stopped == "finished" else STOPPED.get(stopped, stopped).format(steps="0 steps")
        return f"no network was trained: {reason}"
    reason = STOPPED.get(stopped, stopped).format(steps=counted(steps, "step"))
    weight, best = float(found.get("network_weight", 1.0)), int(found.get("best_step") or 0)
    trained = f"network: {counted(steps, 'step')} in {float(found.get('seconds') or 0):.1f} s"
    trained += "" if stopped == "finished" else f", stopped: {reason}"
    if best == 0 or weight == 0:
        unfinished = stopped == "time budget" and best > 0
        why = "its training on all windows came to no end" if unfinished else "no better than the linear part"
        return f"{trained}; left out: {why}"
    # Less than training asks for may still be worth keeping.
    trained = trained.replace("no gain", "hardly any gain")
    return f"{trained}; kept: step {best}, {100 * weight:.0f} % of its correction of the linear part"


def best_row(scores: pd.Series[float], weights: pd.Series[float]) -> str | None:
    """Where an expert, the linear part or a baseline is better than the forecaster, that row and its weight.

    Args:
        scores: MASE of each row of a backtest's table.
        weights: (E,) in the forecasts that were scored.

    Example:
        >>> best_row(pd.Series({"titans": 0.84, "theta 12": 0.81}), pd.Series({"linear part": 0.69, "theta 12": 0.31}))
        'best row of the backtest: theta 12 (MASE .81, titans .84; it has 31 % of the forecast)'
    """
    others = scores.drop(labels=[MODEL, ABLATION], errors="ignore").dropna()
    ours = float(scores.get(MODEL, math.nan))
    if others.empty or not float(others.min()) < ours:
        return None
    name, digits = str(others.idxmin()), 3
    best = float(others.min())
    while short(best, digits) == short(ours, digits) and digits < 9:
        digits += 1
    values = f"MASE {short(best, digits)}, titans {short(ours, digits)}"
    return f"best row of the backtest: {name} ({values}; {_part_of(name, weights)})"


def _part_of(name: str, weights: pd.Series[float]) -> str:
    """The part that a row of the table has in the forecast."""
    if name == EXPERTS:
        return f"it has {_percent(float(weights.iloc[1:].sum()))} of the forecast"
    if name == LINEAR_PART:
        own = float(weights.iloc[0])
        inside = f"it is part of the network, which has {_percent(own)} of the forecast"
        return inside if weights.index[0] == NETWORK else f"it has {_percent(own)} of the forecast"
    if name == RIDGE:
        return "it is no part of the forecast"
    # Without a season the seasonal naive forecast is the last value.
    keys = [str(key) for key in weights.index if key == name or str(key).startswith(f"{name} ")]
    keys += ["last value"] if name == NAIVE and not keys and "last value" in weights.index else []
    if not keys:
        return "it is no part of the forecast"
    kind = kind_of(keys[0])
    whole = sum(float(value) for key, value in weights.items() if kind_of(str(key)) == kind)
    together = f", {kind} {_percent(whole)}" if _percent(whole) != _percent(float(weights[keys[0]])) else ""
    return f"it has {_percent(float(weights[keys[0]]))} of the forecast{together}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
