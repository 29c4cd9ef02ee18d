"""Configuration of the memory and of the backbone: frozen, plain values only, every field checked in one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

BlockName = Literal["lmm", "mac", "mag", "mal", "attention"]
BLOCK_NAMES: tuple[BlockName, ...] = get_args(BlockName)
"""All names, for lists of choices; `titans_ts.core.blocks.BLOCKS` has the class of each."""
MemoryKind = Literal["mlp", "linear"]
Anchor = Literal["chunk", "token"]


# The paper's largest networks have some dozens. Other sizes are bounded by the memory that is left.
MOST_LAYERS = 1_000


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Raise ``ValueError`` "name must be expected, got value" unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {got!r}")


@dataclass(frozen=True)
class MemoryConfig:
    """A neural memory (paper section 3.1): the small network that is trained while it reads.

    Attributes:
        kind: ``"mlp"`` (deep memory, gradients at the chunk's start) or ``"linear"`` (one matrix). Default: "mlp".
        depth: layers of the deep memory, 1 to 4; ignored by the linear memory. Default: 2.
        expansion: hidden width of the deep memory over its key width. Default: 2.
        residual: deep memory reads ``x + LN(net(x))`` instead of ``net(x)``. Default: True.
        chunk_size: tokens that share one gradient anchor. Part of the model, not a speed knob (except with the token
            anchor). Default: 16.
        anchor: where the inner gradient is taken; ``"token"`` (exact recurrence) is for the linear memory only.
            Default: "chunk".
        momentum: ``False`` fixes η = 0 (no past surprise: the gated delta rule). Default: True.
        momentum_limit: η lies below it. With gates that follow the tokens, one token may start an oscillation (large θ)
            that the next ones let grow (large η): of random periodic gates up to 35 % drive the memory to infinity at
            limit 1, none of 400 at 0.5 (``benchmarks/momentum.py``). For long streams take 0.5. Default: 1.0.
        step_size: upper bound of the effective step θ/(1 − η). The steps of a chunk of similar keys add up: with the
            chunk anchor a linear memory without momentum cannot diverge where chunk_size · step_size ≤ 1.
            Default: 0.1.
        write: θ over its bound at initialisation. Low values leave most tokens unwritten until training opens the gate
            for useful ones: for streams in which few tokens matter. Default: 0.5.
        horizon: (shortest, longest) forgetting horizon in tokens at initialisation, spread over the heads. Default:
            (16.0, 16384.0).

    Raises:
        ValueError: a value is out of its range; the message names it.

    Example:
        >>> MemoryConfig(kind="linear", anchor="token", horizon=(64, 2**20)).layers
        1
    """

    kind: MemoryKind = "mlp"
    depth: int = 2
    expansion: int = 2
    residual: bool = True
    chunk_size: int = 16
    anchor: Anchor = "chunk"
    momentum: bool = True
    step_size: float = 0.1
    horizon: tuple[float, float] = (16.0, 16384.0)
    write: float = 0.5
    momentum_limit: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", tuple(self.horizon))
        require(len(self.horizon) == 2, "horizon", "two numbers of tokens, (shortest, longest)", self.horizon)
        object.__setattr__(self, "horizon", tuple(float(h) for h in self.horizon))
        require(self.kind in get_args(MemoryKind), "memory kind", f"one of {get_args(MemoryKind)}", self.kind)
        require(1 <= self.depth <= 4, "memory depth", "1 to 4", self.depth)
        require(self.expansion >= 1, "memory expansion", "≥ 1", self.expansion)
        require(self.chunk_size >= 1, "chunk_size", "≥ 1 token", self.chunk_size)
        require(self.anchor in get_args(Anchor), "anchor", f"one of {get_args(Anchor)}", self.anchor)
        require(
            self.anchor == "chunk" or self.kind == "linear",
            "anchor",
            "'chunk' for a deep memory (the exact recurrence has no chunk form there)",
            self.anchor,
        )
        require(self.step_size > 0, "step_size", "> 0", self.step_size)
        require(0 < self.write < 1, "write", "in (0, 1)", self.write)
        require(0 < self.momentum_limit <= 1, "momentum_limit", "in (0, 1]", self.momentum_limit)
        low, high = self.horizon
        require(1 < low <= high, "horizon", "(shortest, longest) with 1 < shortest ≤ longest", self.horizon)

    @property
    def layers(self) -> int:
        """Number of weight matrices of one memory."""
        return self.depth if self.kind == "mlp" else 1


@dataclass(frozen=True)
class TitansConfig:
    """The backbone: a stack of equal blocks (paper section 4).

    Attributes:
        block: ``"lmm"`` memory alone, ``"mac"`` memory as context, ``"mag"`` as gate, ``"mal"`` as layer;
            ``"attention"`` leaves the memory out (the ablation). Default: "mag".
        width: model width D. Default: 32.
        heads: heads H of memory and attention; D must divide into them. Default: 4.
        layers: number of blocks. Default: 2.
        mlp_expansion: hidden width of the SwiGLU feed-forward over D. Default: 2.0.
        window: attention window in tokens (short-term memory). Default: 64.
        segment: tokens of one MAC segment. Default: 512.
        persistent_tokens: learned key/value tokens in front of attention (paper section 3.3). Default: 4.
        dropout: probability on the outputs of mixers and feed-forward, in training only. Default: 0.1.
        memory: the neural memory of each block. Default: MemoryConfig().

    Raises:
        ValueError: a value is out of its range; the message names it.

    Example:
        >>> TitansConfig("mac", width=64, heads=4, memory=MemoryConfig(depth=3)).memory.layers
        3
    """

    block: BlockName = "mag"
    width: int = 32
    heads: int = 4
    layers: int = 2
    mlp_expansion: float = 2.0
    window: int = 64
    segment: int = 512
    persistent_tokens: int = 4
    dropout: float = 0.1
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def __post_init__(self) -> None:
        if isinstance(self.memory, dict):
            object.__setattr__(self, "memory", MemoryConfig(**self.memory))
        require(self.block in BLOCK_NAMES, "block", f"one of {BLOCK_NAMES}", self.block)
        require(self.heads >= 1, "heads", "≥ 1", self.heads)
        require(
            self.width >= 2 * self.heads and self.width % (2 * self.heads) == 0,
            "width",
            f"a multiple of 2·heads = {2 * self.heads} (rotary positions need an even head width)",
            self.width,
        )
        require(self.layers >= 1, "layers", "≥ 1", self.layers)
        require(self.layers <= MOST_LAYERS, "layers", f"at most {MOST_LAYERS:,}", self.layers)
        require(self.mlp_expansion > 0, "mlp_expansion", "> 0", self.mlp_expansion)
        require(self.window >= 1, "window", "≥ 1 token", self.window)
        require(self.segment >= 1, "segment", "≥ 1 token", self.segment)
        require(self.persistent_tokens >= 0, "persistent_tokens", "≥ 0", self.persistent_tokens)
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TitansConfig:
        """Inverse of ``dataclasses.asdict``."""
        return cls(**{**values, "memory": MemoryConfig(**values["memory"])})
