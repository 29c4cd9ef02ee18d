"""Parameter groups: weight decay on matrices of the backbone only, and every parameter in exactly one group."""

from __future__ import annotations

from typing import Any

from torch import nn

NO_DECAY = ("bias", "norm", "persistent", "memory_start", "conv", "gates", "embedding", "residual_quantiles", "scale")


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: decayed (matrices), not decayed (biases, norms, gates, memory, embeddings).

    Fast-weight starts and gates are kept out of weight decay: decay would pull the initial memory to zero and every
    gate to its midpoint. Frozen parameters are in neither group.

    Example:
        >>> from titans_ts.core import Titans, TitansConfig
        >>> groups = parameter_groups(Titans(TitansConfig(width=16, heads=2)), weight_decay=0.1)
        >>> [group["weight_decay"] for group in groups]
        [0.1, 0.0]
    """
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim < 2 or any(part.startswith(NO_DECAY) for part in name.split("."))
        (keep if plain else decay).append(parameter)
    total = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert sum(p.numel() for p in decay + keep) == total, "parameter groups must cover every trainable parameter once"
    groups: list[dict[str, Any]] = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": keep, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
