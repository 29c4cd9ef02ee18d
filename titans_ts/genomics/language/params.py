"""From a language model's parameters to the configurations of network and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from titans_ts.genomics.model.config import LanguageConfig, ObjectiveName
from titans_ts.genomics.params import RULES as SHARED_RULES
from titans_ts.genomics.params import TRAINING_PARAMS, choose_epochs
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.support.params import Rule, backbone_names, check_rules, flag, number, sort_options, whole

POOLINGS = ("mean", "last")
# 16 windows of 1,024 bases: as many tokens per step as a classifier's 64 sequences of 250.
BATCH_SIZE = 16
RULES: dict[str, Rule] = {
    "objective": (f"one of {get_args(ObjectiveName)}", lambda value: value in get_args(ObjectiveName)),
    "context_length": ("an integer ≥ 2 (bases of a training window)", whole(2)),
    "reverse_complement": ("True or False", flag),
    "soft_mask_weight": (
        "a number ≥ 0 (weight of lower-case bases in the loss)",
        number(lambda value: math.isfinite(value) and value >= 0),
    ),
    **SHARED_RULES,
}
# Mutated letters would change the targets; nothing is pretrained.
_NO_OPTIONS = {*TRAINING_PARAMS, "mutation_rate", "pretrained_rate"}


def check_params(params: Mapping[str, Any]) -> None:
    """Check constructor parameters against `RULES`.

    Raises:
        ValueError: the first parameter that breaks its rule, with what was expected and what came.
    """
    check_rules(params, RULES)


def configurations(params: Mapping[str, Any], windows: int, seed: int) -> tuple[LanguageConfig, TrainingConfig]:
    """The configurations of network and training.

    Args:
        params: of the model, checked.
        windows: number of training windows.
        seed: of initialisation, strands and order.

    Raises:
        ValueError: an unknown option, or a value out of range.
    """
    names = {f.name for f in fields(TrainingConfig)} - _NO_OPTIONS
    options = sort_options(params["options"], {"backbone": backbone_names(), "training": names})
    config = LanguageConfig(params["objective"], float(params["soft_mask_weight"]))
    config = replace(config, backbone=replace(config.backbone, block=params["block"], **options["backbone"]))
    training = {"batch_size": BATCH_SIZE, **options["training"]}
    epochs = params["max_epochs"]
    if epochs is None:
        epochs = choose_epochs(windows, training["batch_size"])
    budget = params["time_budget"]
    return config, TrainingConfig(
        max_epochs=int(epochs), time_budget=budget, device=params["device"], seed=seed, **training
    )
