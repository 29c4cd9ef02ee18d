"""Rules of the forecaster's parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from titans_ts.forecasting.model.config import DEFAULT_QUANTILES
from titans_ts.forecasting.pretrained.weights import load_pretrained
from titans_ts.support.params import COMMON, Rule, check_rules, number, optional, text, whole

# Steps of a forecast, and of what is read: years of minutes. Levels: every 0.1 %.
MOST_STEPS, MOST_LEVELS = 1_000_000, 999
# What may be forecast: a number of steps, those of training, or single steps ahead.
Steps = int | Iterable[int] | None
# Those of `TitansForecaster`, for programs that do without it.
DEFAULTS: dict[str, Any] = {
    **{"prediction_length": 24, "context_length": None, "quantiles": DEFAULT_QUANTILES, "block": "mag"},
    **{"id_column": "item_id", "timestamp_column": "timestamp", "target_column": "target", "freq": None},
    **{"lower": "auto", "upper": "auto", "holidays": (), "calendar": (), "weekmask": None},
    **{"static_covariates": (), "past_covariates": (), "known_covariates": ()},
    **{"max_steps": 300, "time_budget": None, "device": "auto", "random_state": 0, "options": None},
}


def _levels(value: Any) -> bool:
    """A sequence of different numbers between 0 and 1, at least one and at most `MOST_LEVELS`."""
    try:
        levels = [float(level) for level in value]
    except (TypeError, ValueError):
        return False
    return 0 < len(levels) <= MOST_LEVELS and all(0 < level < 1 for level in levels) and len(set(levels)) == len(levels)


def _names(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Sequence) and all(isinstance(name, str) for name in value)


def _name_or_names(value: Any) -> bool:
    return text(value) or _names(value)


_BOUND: Rule = ("a number, 'auto' or None", lambda value: value in (None, "auto") or number(math.isfinite)(value))
RULES: dict[str, Rule] = {
    "prediction_length": (
        f"an integer ≥ 1 (steps to forecast), at most {MOST_STEPS:,}",
        lambda value: whole(1)(value) and value <= MOST_STEPS,
    ),
    "context_length": (
        f"an integer ≥ 1 (steps to read), at most {MOST_STEPS:,}, or None to have it chosen",
        optional(lambda value: whole(1)(value) and value <= MOST_STEPS),
    ),
    "quantiles": ("different numbers between 0 and 1, such as (0.1, 0.5, 0.9)", _levels),
    "lower": _BOUND,
    "upper": _BOUND,
    "id_column": ("a column name", text),
    "timestamp_column": ("a column name", text),
    "target_column": ("a column name or a tuple of them", _name_or_names),
    "holidays": ("a country such as 'DE' or 'DE-BY', or a tuple of them", _name_or_names),
    "calendar": ("a tuple of names of calendar covariates, such as ('weekend', 'payday')", _name_or_names),
    "static_covariates": ("a tuple of column names", _names),
    "past_covariates": ("a tuple of column names", _names),
    "known_covariates": ("a tuple of column names", _names),
    "max_steps": ("an integer ≥ 0 (gradient steps; 0 keeps the linear part alone)", whole(0)),
    **COMMON,
}


def check_params(params: Mapping[str, Any]) -> None:
    """Check constructor parameters against `RULES`.

    Raises:
        ValueError: the first parameter that breaks its rule, with what was expected and what came.
    """
    check_rules(params, RULES)


def untrained_params(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor parameters of a forecaster from pretrained weights; see `TitansForecaster.from_pretrained`.

    Args:
        name: of the weights.
        params: those the caller gives.

    Raises:
        ValueError: there are no weights of that name, a parameter is about a network, max_steps is no number of
            steps, or there is a time_budget without steps.
    """
    given = [key for key in ("context_length", "block") if key in params]
    if given:
        raise ValueError(f"from_pretrained trains no network: leave out {', '.join(given)}")
    steps = {"max_steps": 0, **params}["max_steps"]
    check_rules({"max_steps": steps}, {"max_steps": ("an integer ≥ 0 (gradient steps of the reads)", whole(0))})
    if params.get("time_budget") is not None and not steps:
        raise ValueError("time_budget ends the gradient steps of the reads: pass max_steps too, or leave it out")
    options = dict(params.get("options") or {})
    taken = [key for key in ("pretrained", "network", "experts", "tuned") if key in options]
    if taken:
        raise ValueError(f"from_pretrained sets the options {', '.join(taken)} itself: leave them out")
    load_pretrained(name)
    own = {"pretrained": name, "network": False, **({"tuned": True} if steps else {})}
    return {**params, "max_steps": steps, "options": {**options, **own}}


def check_horizon(prediction_length: int | None, trained: int) -> int:
    """Steps to forecast: those given, or those of training.

    Raises:
        ValueError: not an integer ≥ 1.
    """
    horizon = trained if prediction_length is None else prediction_length
    expected, check = RULES["prediction_length"]
    if not check(horizon):
        raise ValueError(f"prediction_length must be {expected}, got {horizon!r}")
    return int(horizon)


def steps_ahead(prediction_length: Steps, trained: int) -> tuple[int, list[int]]:
    """Steps to forecast, and which of them are wanted, counted from 1.

    Args:
        prediction_length: a number of steps, None for those of training, or the wanted ones.
        trained: steps of training.

    Raises:
        ValueError: something else than integers ≥ 1, or no step.
    """
    if prediction_length is None or not isinstance(prediction_length, Iterable):
        horizon = check_horizon(prediction_length, trained)
        return horizon, list(range(1, horizon + 1))
    steps = list(prediction_length)
    if not steps or None in steps:
        raise ValueError(f"prediction_length must name at least one step ahead, such as (1, 7), got {steps}")
    wanted = sorted({check_horizon(step, trained) for step in steps})
    return wanted[-1], wanted
