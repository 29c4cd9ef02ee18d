"""Genomics: networks that read DNA, training, the scikit-learn facade. Names are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_ts.genomics.attribution import Attribution, integrated_gradients
    from titans_ts.genomics.classifier import DNAClassifier
    from titans_ts.genomics.effects import MutationMap, mutate
    from titans_ts.genomics.encoder import NucleotideEncoder
    from titans_ts.genomics.heads import ClassificationHead
    from titans_ts.genomics.language_head import LanguageModelHead
    from titans_ts.genomics.language_model import DNALanguageModel
    from titans_ts.genomics.language_network import LanguageConfig, LanguageNetwork, LanguageState
    from titans_ts.genomics.network import SequenceConfig, SequenceNetwork
    from titans_ts.genomics.plot import plot_logo, plot_mutations, plot_track
    from titans_ts.genomics.surprise import Surprise
    from titans_ts.genomics.variants import variant_effects

_HOMES = {
    "attribution": ("Attribution", "integrated_gradients"),
    "classifier": ("DNAClassifier",),
    "effects": ("MutationMap", "mutate"),
    "encoder": ("NucleotideEncoder",),
    "heads": ("ClassificationHead",),
    "language_head": ("LanguageModelHead",),
    "language_model": ("DNALanguageModel",),
    "language_network": ("LanguageConfig", "LanguageNetwork", "LanguageState"),
    "network": ("SequenceConfig", "SequenceNetwork"),
    "plot": ("plot_logo", "plot_mutations", "plot_track"),
    "surprise": ("Surprise",),
    "variants": ("variant_effects",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attribution",
    "ClassificationHead",
    "DNAClassifier",
    "DNALanguageModel",
    "LanguageConfig",
    "LanguageModelHead",
    "LanguageNetwork",
    "LanguageState",
    "MutationMap",
    "NucleotideEncoder",
    "SequenceConfig",
    "SequenceNetwork",
    "Surprise",
    "integrated_gradients",
    "mutate",
    "plot_logo",
    "plot_mutations",
    "plot_track",
    "variant_effects",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
