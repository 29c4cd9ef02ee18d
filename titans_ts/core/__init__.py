"""The backbone: neural memory, attention, the blocks and their stack. Names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_ts.core.attention import AttentionState, SegmentAttention, SlidingWindowAttention
    from titans_ts.core.backbone import Titans, TitansState
    from titans_ts.core.blocks import AttentionBlock, LMMBlock, MACBlock, MAGBlock, MALBlock
    from titans_ts.core.config import MemoryConfig, TitansConfig
    from titans_ts.core.memory import NeuralMemory, NeuralMemoryState
    from titans_ts.core.optim import parameter_groups
    from titans_ts.core.prefill import stretched_gates, truncated_backward
    from titans_ts.core.surprise import InnerLoss, record_surprise

_HOMES = {
    "attention": ("AttentionState", "SegmentAttention", "SlidingWindowAttention"),
    "backbone": ("Titans", "TitansState"),
    "blocks": ("AttentionBlock", "LMMBlock", "MACBlock", "MAGBlock", "MALBlock"),
    "config": ("MemoryConfig", "TitansConfig"),
    "memory": ("NeuralMemory", "NeuralMemoryState"),
    "optim": ("parameter_groups",),
    "prefill": ("stretched_gates", "truncated_backward"),
    "surprise": ("InnerLoss", "record_surprise"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AttentionBlock",
    "AttentionState",
    "InnerLoss",
    "LMMBlock",
    "MACBlock",
    "MAGBlock",
    "MALBlock",
    "MemoryConfig",
    "NeuralMemory",
    "NeuralMemoryState",
    "SegmentAttention",
    "SlidingWindowAttention",
    "Titans",
    "TitansConfig",
    "TitansState",
    "parameter_groups",
    "record_surprise",
    "stretched_gates",
    "truncated_backward",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
