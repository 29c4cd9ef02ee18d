"""A language model as the start of a classifier: which one is meant, whether the options suit it, its weights.

Shapes: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard

from titans_ts.core.config import MemoryConfig, TitansConfig

if TYPE_CHECKING:
    from titans_ts.genomics.language.language_model import DNALanguageModel
    from titans_ts.genomics.model.language_network import LanguageNetwork

# Of a pretrained backbone only this can be chosen anew: everything else is in the shapes or the meaning of its weights.
_FREE = "dropout"
_FROM_SCRATCH = ("channels", "stem", "pool", "conv_layers", "kernel", "merge", "mixing", "bidirectional")


def is_language_model(value: Any) -> TypeGuard[DNALanguageModel]:
    """Whether this is a `DNALanguageModel`, fitted or not."""
    from titans_ts.genomics.language.language_model import DNALanguageModel

    return isinstance(value, DNALanguageModel)


def may_be_pretrained(value: Any) -> bool:
    """Check of the classifier's parameter `pretrained`."""
    return value is None or isinstance(value, str | PathLike) or is_language_model(value)


def pretrained_network(value: Any) -> LanguageNetwork | None:
    """The trained network that is meant.

    Args:
        value: None, a fitted `DNALanguageModel`, or the folder one was saved in.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds no language model, or the model is not trained.
    """
    if value is None:
        return None
    model = value if is_language_model(value) else _loaded(value)
    network: LanguageNetwork | None = getattr(model, "network_", None)
    if network is None:
        raise ValueError("pretrained must be a fitted DNALanguageModel, got one that is not: call its fit first")
    if not model.training_["steps"]:
        raise ValueError(
            "pretrained must be a trained DNALanguageModel, got one of 0 training steps: fit it with max_epochs ≥ 1"
        )
    return network


def _loaded(path: str | PathLike[str]) -> DNALanguageModel:
    from titans_ts.genomics.language.language_model import DNALanguageModel

    try:
        return DNALanguageModel.load(path)
    except ValueError as error:
        raise ValueError(
            f"pretrained must be the folder of a language model, written by DNALanguageModel.save: {error}"
        ) from error


def check_options(block: str, options: Mapping[str, Any] | None, backbone: TitansConfig, free_block: str) -> None:
    """Refuse options of the network that contradict a pretrained one; equal ones pass.

    Args:
        block: the classifier's parameter; `free_block`, its default, means nothing.
        options: the classifier's parameter, all names known.
        backbone: of the pretrained network.
        free_block: see `block`.

    Raises:
        ValueError: an option is another than the pretrained network's, or makes sense without one only.
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
