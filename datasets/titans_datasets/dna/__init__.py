"""DNA: from files and strings to batches of numbers. Names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_datasets.dna.alphabet import (
        DNAWarning,
        as_sequences,
        decode,
        encode,
        encode_all,
        reverse_complement,
        reverse_complement_text,
        soft_mask,
    )
    from titans_datasets.dna.batches import bucketed, pad

_HOMES = {
    "alphabet": (
        "DNAWarning",
        "as_sequences",
        "decode",
        "encode",
        "encode_all",
        "reverse_complement",
        "reverse_complement_text",
        "soft_mask",
    ),
    "batches": ("bucketed", "pad"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DNAWarning",
    "as_sequences",
    "bucketed",
    "decode",
    "encode",
    "encode_all",
    "pad",
    "reverse_complement",
    "reverse_complement_text",
    "soft_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
