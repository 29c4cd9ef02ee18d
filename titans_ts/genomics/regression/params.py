"""The parameters of the regressor, their rules, and its own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from titans_ts.genomics.model.config import ValueTask
from titans_ts.genomics.supervised import params as shared
from titans_ts.support.params import Rule, check_rules, flag

LOSSES = get_args(ValueTask)
LOG1P = "log1p"


def _columns(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, Sequence) and len(value) > 0 and all(isinstance(one, str) for one in value)


RULES: dict[str, Rule] = {
    **shared.RULES,
    "loss": (f"one of {LOSSES}", lambda value: value in LOSSES),
    "target_column": ("a column name or a list of them", _columns),
}


class Options(NamedTuple):
    """The parameter `options`, split.

    Attributes:
        log1p: whether log(1 + y) is learned.
        shared: options that classifiers have too.
    """

    log1p: bool
    shared: dict[str, Any]


def split_options(options: Mapping[str, Any] | None) -> Options:
    """The regressor's own options and those of network, training and linear part.

    Raises:
        ValueError: log1p is neither True nor False, or an unknown name.
    """
    rest = dict(options or {})
    log1p = rest.pop(LOG1P, False)
    check_rules({LOG1P: log1p}, {LOG1P: ("True or False", flag)})
    shared.sorted_options(rest)
    return Options(log1p, rest)
