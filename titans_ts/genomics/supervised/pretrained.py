"""A language model as the start of a classifier: its network, and whether the classifier's options suit it."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from titans_ts.core.config import MemoryConfig, TitansConfig
from titans_ts.genomics.language.language_model import DNALanguageModel
from titans_ts.genomics.model.language_network import LanguageNetwork

# The only option of a pretrained backbone that may differ: all others are part of the shapes or meaning of its weights.
_FREE = "dropout"
_FROM_SCRATCH = ("channels", "stem", "pool", "conv_layers", "kernel", "merge", "mixing", "bidirectional")


def may_be_pretrained(value: Any) -> bool:
    """Check of the classifier's parameter `pretrained`."""
    return value is None or isinstance(value, str | PathLike | DNALanguageModel)


def pretrained_network(value: Any) -> LanguageNetwork | None:
    """The network of the parameter `pretrained`.

    Args:
        value: None, a fitted `DNALanguageModel`, or the folder one was saved in.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds no language model, or the model is not trained.
    """
    if value is None:
        return None
    model = value if isinstance(value, DNALanguageModel) else _loaded(value)
    network: LanguageNetwork | None = getattr(model, "network_", None)
    if network is None:
        raise ValueError("pretrained must be a fitted DNALanguageModel, got one that is not: call its fit first")
    if not model.training_["steps"]:
        raise ValueError(
            "pretrained must be a trained DNALanguageModel, got one of 0 training steps: fit it with max_epochs ≥ 1"
        )
    return network


def _loaded(path: str | PathLike[str]) -> DNALanguageModel:
    try:
        return DNALanguageModel.load(path)
    except ValueError as error:
        raise ValueError(
            f"pretrained must be the folder of a language model, written by DNALanguageModel.save: {error}"
        ) from error


def check_options(block: str, options: Mapping[str, Any] | None, backbone: TitansConfig, free_block: str) -> None:
    """Refuse options of the network that contradict a pretrained one; equal ones pass.

    Args:
        block: the classifier's parameter; its default, `free_block`, always passes.
        options: the classifier's parameter, all names known.
        backbone: of the pretrained network.
        free_block: see `block`.

    Raises:
        ValueError: an option differs from the pretrained network's, or is for networks trained from scratch only.
    """
    if block not in (free_block, backbone.block):
        raise ValueError(
            f"block must be {backbone.block!r}, as in the pretrained model, got {block!r}: leave it out, or pretrain a "
            "model with that block"
        )
    for name, value in dict(options or {}).items():
        if name in _FROM_SCRATCH:
            raise ValueError(
                f"option {name!r} is for networks that are trained from scratch, a pretrained one reads single bases: "
                "leave it out"
            )
        if name == _FREE or not hasattr(backbone, name):
            continue
        wanted = getattr(backbone, name)
        given = MemoryConfig(**value) if name == "memory" and isinstance(value, Mapping) else value
        if given != wanted:
            raise ValueError(
                f"option {name!r} must be {wanted!r}, as in the pretrained model, got {value!r}: leave it out, or "
                "pretrain a model with that value"
            )
