"""From the parameters that classifier and regressor share to the configurations of network and training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Literal

from titans_ts.core.config import BLOCK_NAMES, BlockName, MemoryConfig, TitansConfig
from titans_ts.genomics.linear.model import LinearConfig
from titans_ts.genomics.model.config import (
    SEQUENCE_HEADS,
    HeadName,
    LanguageConfig,
    SequenceConfig,
    StrandsName,
    TaskName,
)
from titans_ts.genomics.params import RULES as SHARED_RULES
from titans_ts.genomics.params import TRAINING_PARAMS
from titans_ts.genomics.supervised.pretrained import may_be_pretrained
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.support.params import Rule, backbone_names, check_rules, flag, sort_options, whole

HEADS = ("auto", *SEQUENCE_HEADS)
REVERSE_COMPLEMENTS = ("auto", "augment", "none")
BLOCK: Final = "auto"
# "auto": MAG, for long sequences LMM with a linear memory: on windows of 2,048 bases the memory alone was best in the
# mean of three seeds for repeats far apart (distal_pairs), and in each for coding bases (coding_segmentation_32k).
LONG = 2_000
OF_LONG = MemoryConfig(kind="linear", horizon=(64, 4096))
# In short sequences, such as guides and splice sites, single bases matter. A fifth of training held out, Pearson with
# tokens of four bases and filters of 15, then with these: guide_activity .449 and .471, splice_sites .881 and .884.
SHORT = 40
OF_SHORT = {"pool": 1, "merge": 1, "stem": 9}

RULES: dict[str, Rule] = {
    "head": (f"one of {HEADS}", lambda value: value in HEADS),
    "reverse_complement": (f"one of {REVERSE_COMPLEMENTS}", lambda value: value in REVERSE_COMPLEMENTS),
    "per_base": ("True or False", flag),
    "linear": ("True or False", flag),
    "pretrained": (
        "None, a fitted DNALanguageModel, or the folder one was saved in",
        may_be_pretrained,
    ),
    "ensemble_size": (
        "an integer from 1 to 100 (networks whose answers are averaged)",
        lambda value: whole(1)(value) and value <= 100,
    ),
    **SHARED_RULES,
    "block": (f"one of {(BLOCK, *BLOCK_NAMES)}", lambda value: value in (BLOCK, *BLOCK_NAMES)),
}
# Fields of SequenceConfig that are parameters of the estimators, or that follow from the data.
_NETWORK_PARAMS = {"outputs", "task", "head", "strands", "length", "backbone", "language"}
# The memory reads a few dozen to a few hundred tokens: horizons to match.
_BACKBONE = SequenceConfig(1).backbone


def check_params(params: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Check constructor parameters against rules: `RULES` and those of the estimator.

    Raises:
        ValueError: the first parameter that breaks its rule, with what was expected and what came.
    """
    check_rules(params, rules)
    size, fraction = params["ensemble_size"], params["validation_fraction"]
    if size * fraction > 0.9:
        raise ValueError(
            "ensemble_size × validation_fraction must be ≤ 0.9 (each network has a held-out part of its own), got "
            f"{size} × {fraction:g}: lower one of them"
        )


def sorted_options(options: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The estimator's `options` by the configuration they belong to: "network", "backbone", "training", "linear".

    Args:
        options: names of fields of SequenceConfig, TitansConfig, TrainingConfig or LinearConfig; "memory" is a dict of
            MemoryConfig's fields.

    Raises:
        ValueError: an unknown name; the message has the closest one and all.
    """
    homes = {
        "network": {f.name for f in fields(SequenceConfig)} - _NETWORK_PARAMS,
        "backbone": backbone_names(),
        "training": {f.name for f in fields(TrainingConfig)} - TRAINING_PARAMS,
        "linear": {f.name for f in fields(LinearConfig)},
    }
    return sort_options(options, homes)


def for_short(options: Mapping[str, dict[str, Any]], lengths: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Options with tokens of single bases where sequences are short and nothing else was asked for.

    Args:
        options: see `sorted_options`.
        lengths: of the training sequences, in bases.
    """
    if statistics.median(lengths) > SHORT:
        return dict(options)
    return {**options, "network": {**OF_SHORT, **options["network"]}}


def chosen_block(
    block: BlockName | Literal["auto"], options: Mapping[str, dict[str, Any]], lengths: Sequence[int]
) -> tuple[BlockName, dict[str, dict[str, Any]]]:
    """The block, and options with a memory for long sequences where "auto" chooses it and nothing else was asked for.

    Args:
        block: the parameter.
        options: see `sorted_options`.
        lengths: of the training sequences, in bases.
    """
    if block != BLOCK:
        return block, dict(options)
    if statistics.median(lengths) < LONG:
        return "mag", dict(options)
    return "lmm", {**options, "backbone": {"memory": OF_LONG, **options["backbone"]}}


def network_config(
    block: BlockName,
    options: Mapping[str, dict[str, Any]],
    *,
    outputs: int,
    task: TaskName,
    head: HeadName,
    strands: StrandsName,
    length: int,
    language: LanguageConfig | None = None,
) -> SequenceConfig:
    """The configuration of the network for a data set.

    Args:
        block: of the backbone.
        options: see `sorted_options`; checked against the pretrained network where there is one.
        outputs, task, head, strands: see :class:`SequenceConfig`.
        length: bases of every sequence, 0 where they differ.
        language: of the pretrained network, None without one.

    Raises:
        ValueError: a value is out of range.
    """
    given = (outputs, task, head, strands)
    network = options["network"]
    if language is not None:
        backbone = replace(language.backbone, **options["backbone"])
        shape: dict[str, Any] = {"pool": 1, "merge": 1, "language": language.objective}
        return SequenceConfig(*given, length=length, backbone=backbone, **{**network, **shape})
    start = {f.name: getattr(_BACKBONE, f.name) for f in fields(TitansConfig)}
    backbone = TitansConfig(**{**start, "block": block, **options["backbone"]})
    chosen = {"pool": 1, **network} if head == "per_base" else network
    return SequenceConfig(*given, length=length, backbone=backbone, **chosen)
