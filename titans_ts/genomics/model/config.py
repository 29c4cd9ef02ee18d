"""SequenceConfig and LanguageConfig: sizes of the networks that read DNA, plain values only; torch is not imported."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from titans_ts.core.config import MemoryConfig, TitansConfig, require

# Log rates of counts above this are as wrong as this: exp stays finite.
HIGHEST_LOG_RATE = 20.0
# The names of `titans_ts.genomics.model.heads.HEADS`.
HeadName = Literal["pooled", "segments", "position", "per_base"]
# Heads that classify whole sequences; "per_base" classifies bases.
SEQUENCE_HEADS: tuple[HeadName, ...] = tuple(name for name in get_args(HeadName) if name != "per_base")
# Losses of targets that are numbers.
ValueTask = Literal["mse", "poisson", "huber"]
TaskName = Literal["classes", "labels", "mse", "poisson", "huber"]
StrandsName = Literal["one", "both", "either"]
ObjectiveName = Literal["causal", "masked"]


def _sequence_backbone() -> TitansConfig:
    memory = MemoryConfig(chunk_size=16, horizon=(4.0, 1024.0))
    return TitansConfig(block="mag", width=32, heads=2, layers=1, window=64, persistent_tokens=4, memory=memory)


@dataclass(frozen=True)
class SequenceConfig:
    """Sizes of a sequence network; ``dataclasses.asdict`` goes into model files.

    Attributes:
        outputs: K classes, labels or targets.
        task: ``"classes"`` exclude each other, ``"labels"`` do not; ``"mse"``, ``"poisson"`` and ``"huber"`` are losses
            of targets that are numbers. Default: "classes".
        head: a name of :data:`titans_ts.genomics.model.heads.HEADS`. Default: "pooled".
        strands: ``"both"`` reads the sequence and its reverse complement with the same weights and averages the
            results: a sequence and its reverse complement get the same answer (per base: the mirrored one). ``"one"``
            reads the sequence forwards and backwards. ``"either"`` does so with one strand, drawn anew for each
            sequence, in training, and otherwise averages the answers of both strands: again a sequence and its reverse
            complement get the same answer, and the network overfits less (not with head ``"per_base"``). Default:
            "one".
        bidirectional: with one strand, also read from the end to the start; False makes the network causal. Default:
            True.
        length: bases of every sequence, for head ``"position"``. Default: 0.
        channels: D, width of the encoder and of the head's input; the backbone has a width of its own. Default: 64.
        stem: bases that one filter of the encoder reads, odd; 1 for single bases. Default: 15.
        pool: bases of one token. Default: 4.
        conv_layers: residual convolutions over tokens. Default: 1.
        kernel: tokens that each of them reads, odd. Default: 5.
        merge: neighbouring tokens that the backbone reads as one. Default: 2.
        hidden: width of the head's hidden layer. Default: 64.
        head_dropout: dropout of the head. Default: 0.3.
        mixing: False leaves the backbone out (convolutions only), for comparisons. Default: True.
        backbone: see :class:`titans_ts.core.config.TitansConfig`.
        language: objective of the language model whose trunk replaces the encoder and reads single bases (`pool` and
            `merge` must be 1; `channels`, `stem`, `conv_layers`, `kernel` and `bidirectional` are ignored); None for a
            network with an encoder of its own.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> SequenceConfig(outputs=2, head="position", length=200).tokens
        50
    """

    outputs: int
    task: TaskName = "classes"
    head: HeadName = "pooled"
    strands: StrandsName = "one"
    bidirectional: bool = True
    length: int = 0
    channels: int = 64
    stem: int = 15
    pool: int = 4
    conv_layers: int = 1
    kernel: int = 5
    merge: int = 2
    hidden: int = 64
    head_dropout: float = 0.3
    mixing: bool = True
    backbone: TitansConfig = field(default_factory=_sequence_backbone)
    language: ObjectiveName | None = None

    def __post_init__(self) -> None:
        require(self.outputs >= 1, "outputs", "≥ 1", self.outputs)
        require(self.task in get_args(TaskName), "task", f"one of {get_args(TaskName)}", self.task)
        require(self.head in get_args(HeadName), "head", f"one of {get_args(HeadName)}", self.head)
        require(self.strands in get_args(StrandsName), "strands", f"one of {get_args(StrandsName)}", self.strands)
        for name in ("stem", "kernel"):
            value = getattr(self, name)
            require(value >= 1 and value % 2 == 1, name, "an odd number ≥ 1 (centred on a base or token)", value)
        for name, least in (("pool", 1), ("merge", 1), ("channels", 1), ("hidden", 1), ("conv_layers", 0)):
            require(getattr(self, name) >= least, name, f"≥ {least}", getattr(self, name))
        require(0 <= self.head_dropout < 1, "head_dropout", "in [0, 1)", self.head_dropout)
        both = "'one' or 'both' with head 'per_base'"
        require(self.head != "per_base" or self.strands != "either", "strands", both, self.strands)
        require(self.head != "position" or self.length >= 1, "length", "≥ 1 base with head 'position'", self.length)
        if self.language is not None:
            objectives = get_args(ObjectiveName)
            require(self.language in objectives, "language", f"None or one of {objectives}", self.language)
            require(self.pool == self.merge == 1, "pool, merge", "1 with a language model", (self.pool, self.merge))

    @property
    def tokens(self) -> int:
        """Tokens of a sequence of `length` bases."""
        return -(-self.length // self.pool)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SequenceConfig:
        """Inverse of `to_dict`."""
        return cls(**{**values, "backbone": TitansConfig.from_dict(values["backbone"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def _language_backbone() -> TitansConfig:
    return TitansConfig(
        block="mag", width=64, heads=4, layers=2, window=64, dropout=0.0, memory=MemoryConfig(chunk_size=16)
    )


@dataclass(frozen=True)
class LanguageConfig:
    """Sizes of a language network; ``dataclasses.asdict`` goes into model files.

    Attributes:
        objective: ``"causal"`` predicts each base from those before it. ``"masked"`` predicts each base from all
            others: a reading from the left and one from the right, by the same weights, meet in the head only, so that
            every base is predicted in one pass without mask tokens. Default: "causal".
        soft_mask_weight: weight of lower-case bases (repeats) in the loss. Default: 1.0.
        backbone: see :class:`titans_ts.core.config.TitansConfig`.

    Raises:
        ValueError: an unknown objective.

    Example:
        >>> LanguageConfig(objective="masked").backbone.block
        'mag'
    """

    objective: ObjectiveName = "causal"
    soft_mask_weight: float = 1.0
    backbone: TitansConfig = field(default_factory=_language_backbone)

    def __post_init__(self) -> None:
        require(
            self.objective in get_args(ObjectiveName), "objective", f"one of {get_args(ObjectiveName)}", self.objective
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LanguageConfig:
        """Inverse of `to_dict`."""
        return cls(**{**values, "backbone": TitansConfig.from_dict(values["backbone"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
