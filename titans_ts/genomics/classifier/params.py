"""The parameters of the classifier and their rules."""

from __future__ import annotations

from collections.abc import Mapping

from titans_ts.genomics.supervised import params as shared
from titans_ts.support.params import Rule, text

RULES: dict[str, Rule] = {
    **shared.RULES,
    "class_weight": (
        "None, 'balanced' or a dict of class and weight",
        lambda value: value is None or value == "balanced" or isinstance(value, Mapping),
    ),
    "label_column": ("a column name", text),
}
