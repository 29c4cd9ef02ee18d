"""From the classifier's parameters to the configurations of network and training.

Shapes: none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from titans_ts.core.config import TitansConfig
from titans_ts.genomics.language.pretrained import may_be_pretrained
from titans_ts.genomics.linear.logistic import MapsConfig
from titans_ts.genomics.model.heads import HeadName, TaskName
from titans_ts.genomics.model.language_network import LanguageConfig
from titans_ts.genomics.model.network import SequenceConfig, StrandsName
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.support.params import (
    COMMON,
    Rule,
    backbone_names,
    check_rules,
    flag,
    number,
    optional,
    sort_options,
    text,
    whole,
)

# Small sets need many passes; held-out sequences end training earlier (2,000 sequences: after 300 steps).
STEPS = 1500
HEADS = ("auto", "pooled", "segments", "position")
REVERSE_COMPLEMENTS = ("auto", "augment", "none")
BLOCK = "mag"


RULES: dict[str, Rule] = {
    "head": (f"one of {HEADS}", lambda value: value in HEADS),
    "reverse_complement": (f"one of {REVERSE_COMPLEMENTS}", lambda value: value in REVERSE_COMPLEMENTS),
    "per_base": ("True or False", flag),
    "linear": ("True or False", flag),
    "class_weight": (
        "None, 'balanced' or a dict of class and weight",
        lambda value: value is None or value == "balanced" or isinstance(value, Mapping),
    ),
    "validation_fraction": (
        "a number ≥ 0 and ≤ 0.5 (0 holds out nothing)",
        number(lambda value: 0 <= value <= 0.5),
    ),
    "pretrained": (
        "None, a fitted DNALanguageModel, or the folder one was saved in",
        may_be_pretrained,
    ),
    "members": ("an integer ≥ 1 (networks to be averaged)", whole(1)),
    "max_epochs": ("an integer ≥ 0, or None to have it chosen", optional(whole(0))),
    "sequence_column": ("a column name", text),
    "label_column": ("a column name", text),
    **COMMON,
}
# Options that are parameters of the classifier, or that follow from the data.
_NETWORK_TAKEN = {"outputs", "task", "head", "strands", "length", "backbone", "language"}
_TRAINING_TAKEN = {"max_epochs", "time_budget", "device", "seed"}
# The memory sees a few dozen to a few hundred tokens: horizons to match.
_BACKBONE = SequenceConfig(1).backbone


def check_params(params: Mapping[str, Any]) -> None:
    """Check constructor parameters against `RULES`.

    Raises:
        ValueError: the first parameter that breaks its rule, with what was expected and what came.
    """
    check_rules(params, RULES)
    members, fraction = params["members"], params["validation_fraction"]
    if members * fraction > 0.9:
        raise ValueError(
            f"members × validation_fraction must be ≤ 0.9 (each member holds out another part), got {members} × "
            f"{fraction:g}: lower one of them"
        )


@dataclass(frozen=True)
class Options:
    """The `options` dict, sorted by what its entries configure; see `split_options`."""

    network: dict[str, Any]
    backbone: dict[str, Any]
    training: dict[str, Any]
    maps: dict[str, Any]


def split_options(options: Mapping[str, Any] | None) -> Options:
    """Sort flat option names into the configurations that have a field of that name.

    Args:
        options: names of fields of SequenceConfig, TitansConfig, TrainingConfig or MapsConfig; "memory" is a dict of
            MemoryConfig's fields.

    Raises:
        ValueError: an unknown name; the message has the closest one and all.
    """
    homes = {
        "network": {f.name for f in fields(SequenceConfig)} - _NETWORK_TAKEN,
        "backbone": backbone_names(),
        "training": {f.name for f in fields(TrainingConfig)} - _TRAINING_TAKEN,
        "maps": {f.name for f in fields(MapsConfig)},
    }
    parts = sort_options(options, homes)
    return Options(parts["network"], parts["backbone"], parts["training"], parts["maps"])


def choose_epochs(count: int, batch_size: int) -> int:
    """Passes over `count` sequences that give about 1,500 steps, 4 to 50."""
    return min(50, max(4, round(STEPS * batch_size / max(count, 1))))


def network_config(
    block: str,
    options: Options,
    *,
    outputs: int,
    task: TaskName,
    head: HeadName,
    strands: StrandsName,
    length: int,
    language: LanguageConfig | None = None,
) -> SequenceConfig:
    """The network for these data.

    Args:
        block: of the backbone.
        options: see `split_options`; checked against the pretrained network where there is one.
        outputs, task, head, strands: see :class:`SequenceConfig`.
        length: bases of every sequence, 0 where they differ.
        language: of the pretrained network, None for none.

    Raises:
        ValueError: a value is out of range.
    """
    given = (outputs, task, head, strands)
    if language is not None:
        backbone = replace(language.backbone, **options.backbone)
        shape: dict[str, Any] = {"pool": 1, "merge": 1, "language": language.objective}
        return SequenceConfig(*given, length=length, backbone=backbone, **{**options.network, **shape})
    start = {f.name: getattr(_BACKBONE, f.name) for f in fields(TitansConfig)}
    backbone = TitansConfig(**{**start, "block": block, **options.backbone})
    chosen = {"pool": 1, **options.network} if head == "per_base" else options.network
    return SequenceConfig(*given, length=length, backbone=backbone, **chosen)
