"""Settings of a run over its recipe's defaults, in the groups backbone, memory and training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from titans_ts.core import MemoryConfig, TitansConfig

GROUPS = ("backbone", "memory", "training")
Training = TypeVar("Training")


def configurations(
    recipe: Mapping[str, Any], run: Mapping[str, Any], seed: int, training: Callable[..., Training]
) -> tuple[TitansConfig, Training]:
    """Backbone and training of one run.

    Args:
        recipe: its ``defaults``; run: what differs from them.
        seed: of the training.
        training: makes its configuration from the group's settings and the seed.

    Raises:
        ValueError: a setting is unknown or out of range.
    """
    defaults = recipe.get("defaults") or {}
    merged = {group: {**(defaults.get(group) or {}), **(run.get(group) or {})} for group in GROUPS}
    try:
        backbone = TitansConfig(memory=MemoryConfig(**merged["memory"]), **merged["backbone"])
        return backbone, training(**{**merged["training"], "seed": seed})
    except TypeError as error:
        raise ValueError(f"a run has an unknown setting: {error}") from None
