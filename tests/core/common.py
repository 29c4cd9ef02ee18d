"""Tiny backbones of every kind, and random inputs for them.

`B` batch, `T` tokens, `D` width.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import torch
from torch import Tensor

from titans_ts.core import MemoryConfig, Titans, TitansConfig
from titans_ts.core.backbone import TitansState

WIDTH = 16
# Chunks of 4, windows of 5 and segments of 6: every sequence below crosses many borders of each.
MEMORIES = {
    "deep": MemoryConfig(chunk_size=4, step_size=0.02),
    "depth 1": MemoryConfig(depth=1, chunk_size=4, step_size=0.02),
    "depth 3, no residual": MemoryConfig(depth=3, residual=False, expansion=1, chunk_size=3),
    "no momentum": MemoryConfig(momentum=False, chunk_size=4, step_size=0.02),
    "linear, chunk anchor": MemoryConfig(kind="linear", chunk_size=4),
    "linear, token anchor": MemoryConfig(kind="linear", anchor="token", chunk_size=4),
    "gated delta rule": MemoryConfig(kind="linear", anchor="token", momentum=False, chunk_size=4),
}
BLOCKS = ("lmm", "mac", "mag", "mal", "attention")
CONFIGS = {
    **{block: TitansConfig(block, WIDTH, heads=2, window=5, segment=6, memory=MEMORIES["deep"]) for block in BLOCKS},  # type: ignore[arg-type]
    **{
        f"{block}, {name}": TitansConfig(block, WIDTH, heads=2, window=5, segment=6, memory=memory)  # type: ignore[arg-type]
        for name, memory in MEMORIES.items()
        if name != "deep"
        for block in ("lmm", "mac")
    },
}


def make(config: TitansConfig, seed: int = 0, dtype: torch.dtype = torch.float64) -> Titans:
    """A model in evaluation mode, made to be looked at through rounding errors.

    Gates and convolutions move: without it a test would see the initial constants only. A deep memory starts with a
    last layer of ordinary size: the norm behind a small one multiplies every rounding error of the input, by 1e4 and
    more in 90 tokens, which says nothing about splits or masks.
    """
    torch.manual_seed(seed)
    model = Titans(dataclasses.replace(config, dropout=0.0)).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gates.weight" in name or "conv_weight" in name:
                parameter += 0.3 * torch.randn_like(parameter)
            if "memory_start" in name:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-2] ** 0.5)
    return model


def tokens(batch: int, length: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """(B, T, D) standard normal."""
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


def random_mask(batch: int, length: int, seed: int = 0) -> Tensor:
    """(B, T) bool, about a third of it False, whole stretches too."""
    mask = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed)) > 0.2
    mask[0, length // 3 : length // 3 + 8] = False
    return mask


def flat(state: Any) -> list[Tensor]:
    """Every tensor of a state, in order."""
    if isinstance(state, Tensor):
        return [state]
    return [t for part in state if not isinstance(part, int) for t in flat(part)]


def in_pieces(model: Titans, x: Tensor, borders: list[int], mask: Tensor | None = None) -> tuple[Tensor, TitansState]:
    """The model on x cut at the borders, the state carried."""
    state, out, edges = None, [], [0, *borders, x.shape[1]]
    for start, stop in itertools.pairwise(edges):
        y, state = model(x[:, start:stop], state, None if mask is None else mask[:, start:stop])
        out.append(y)
    assert state is not None
    return torch.cat(out, dim=1), state
