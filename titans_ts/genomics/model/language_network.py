"""LanguageNetwork: what base is to be expected, from the bases before it or from those on both sides.

A network reads single nucleotides, left to right, with its state in the open. `batch` of the losses has `input_ids`,
`attention_mask` and optionally `soft_mask`.

Shapes: B batch, T bases, D width.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from titans_datasets.dna.alphabet import PAD, VOCABULARY
from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.config import MemoryConfig, TitansConfig, require
from titans_ts.core.initialization import embedding_
from titans_ts.core.options import PLAIN, ReadOptions
from titans_ts.genomics.model.language_head import LanguageModelHead
from titans_ts.genomics.model.language_trunk import ObjectiveName
from titans_ts.genomics.model.network import Batch
from titans_ts.genomics.model.strands import reverse


def _backbone() -> TitansConfig:
    return TitansConfig(
        block="mag", width=64, heads=4, layers=2, window=64, dropout=0.0, memory=MemoryConfig(chunk_size=16)
    )


@dataclass(frozen=True)
class LanguageConfig:
    """Sizes of a language network; plain values only (``dataclasses.asdict`` goes into model files).

    Attributes:
        objective: ``"causal"`` expects each base from those before it. ``"masked"`` hides each base in turn and expects
            it from all others: a reading from the left and one from the right, by the same weights, meet in the head
            only, so that every base is predicted in one pass without mask tokens.
        soft_mask_weight: weight of lower-case bases (repeats) in the loss.
        backbone: see :class:`titans_ts.core.config.TitansConfig`.
    """

    objective: ObjectiveName = "causal"
    soft_mask_weight: float = 1.0
    backbone: TitansConfig = field(default_factory=_backbone)

    def __post_init__(self) -> None:
        require(
            self.objective in get_args(ObjectiveName), "objective", f"one of {get_args(ObjectiveName)}", self.objective
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LanguageConfig:
        """Inverse of ``dataclasses.asdict``."""
        return cls(**{**values, "backbone": TitansConfig.from_dict(values["backbone"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class LanguageState(NamedTuple):
    """What a network remembers of B sequences; its size does not grow with what was read.

    Attributes:
        hidden: (B, D), the output at the last base read: what the next base is expected from.
        backbone: one entry a block.
        ended: (B,) bool, True where padding was read: such a row has no more bases.
    """

    hidden: Tensor
    backbone: TitansState
    ended: Tensor


class LanguageNetwork(nn.Module):
    """Logits of A, C, G, T at every place of a sequence. Causal networks may be fed in any pieces.

    Args:
        config: see :class:`LanguageConfig`.
    """

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        # The row of the padding's number is the token before the first base: padding itself is never read.
        self.embedding = embedding_(VOCABULARY, config.backbone.width)
        self.backbone = Titans(config.backbone)
        sides = 1 if config.objective == "causal" else 2
        self.head = LanguageModelHead(config.backbone.width, sides, config.soft_mask_weight)

    def initial_state(self, batch: int) -> LanguageState:
        """State of `batch` sequences before their first base."""
        device = self.embedding.weight.device
        x = self.embedding(torch.full((batch, 1), PAD, device=device))
        y, backbone = self.backbone(x)
        return LanguageState(y[:, -1], backbone, torch.zeros(batch, dtype=torch.bool, device=device))

    def read(
        self, ids: Tensor, mask: Tensor, state: LanguageState | None = None, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, LanguageState]:
        """Read T more bases from left to right.

        Args:
            ids: (B, T) int64, codes of `titans_datasets.dna`; what it holds under padding does not matter.
            mask: (B, T) bool, True for bases; padding lies behind the last base of a sequence.
            state: state after the bases before; None starts anew.
            options: of the backbone.

        Returns:
            The backbone's output at each base, that base included (B, T, D), and the state after the last one.

        Raises:
            ValueError: shapes differ, a code is unknown, a base follows padding, or the state is of another batch.
        """
        state = self.initial_state(len(ids)) if state is None else state
        _check(ids, mask, state)
        x = self.embedding(torch.where(mask, ids, PAD))
        y, backbone = self.backbone(x, state.backbone, mask, options=options)
        count = mask.sum(1)
        last = y.gather(1, (count - 1).clamp_min(0)[:, None, None].expand(-1, 1, y.shape[-1]))[:, 0]
        hidden = torch.where((count > 0)[:, None], last, state.hidden)
        return y, LanguageState(hidden, backbone, state.ended | ~mask[:, -1])

    def forward(self, ids: Tensor, mask: Tensor, state: LanguageState | None = None) -> tuple[Tensor, LanguageState]:
        """What is expected at each of T more bases.

        Args:
            ids, mask, state: as in `read`; a masked network takes whole sequences only, without a state.

        Returns:
            Logits (B, T, 4) of A, C, G, T in the place of each base, which had no part in them, and the state after the
            last one. What is written under padding means nothing.

        Raises:
            ValueError: as `read`; or a state for a masked network.
        """
        if self.config.objective == "masked" and state is not None:
            raise ValueError("a masked network reads from both ends: pass whole sequences without a state")
        before = self.initial_state(len(ids)) if state is None else state
        y, after = self.read(ids, mask, before)
        z = _moved(y, before.hidden)
        if self.config.objective == "masked":
            lengths = mask.sum(1).clamp_min(1)
            back, _ = self.read(reverse(ids, lengths), mask, before)
            z = torch.cat([z, reverse(_moved(back, before.hidden), lengths)], dim=-1)
        return self.head(z), after

    def expected(self, state: LanguageState) -> Tensor:
        """Logits (B, 4) of the base that comes next; causal networks only."""
        logits: Tensor = self.head(state.hidden)
        return logits

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of each base in nats and its weight, both (B, T); 0 and 0 for N and padding.

        Raises:
            ValueError: as `read`.
        """
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        logits, _ = self(ids, mask)
        return self.head.losses(logits, ids, mask, batch.get("soft_mask"))

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean loss, a scalar in nats a base."""
        losses, weight = self.row_losses(batch)
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)


def _moved(y: Tensor, before: Tensor) -> Tensor:
    """Outputs one place to the right: what was known in front of each base."""
    return torch.cat([before[:, None], y[:, :-1]], dim=1)


def _check(ids: Tensor, mask: Tensor, state: LanguageState) -> None:
    if ids.ndim != 2 or ids.shape != mask.shape or ids.shape[1] < 1:
        raise ValueError(
            f"ids and mask must both be (batch, bases ≥ 1), got {tuple(ids.shape)} and {tuple(mask.shape)}"
        )
    if len(state.ended) != len(ids):
        raise ValueError(f"state must be of the same batch, got {len(state.ended)} rows for {len(ids)}")
    if bool(((ids < 0) | (ids >= PAD))[mask].any()):
        raise ValueError(f"ids must be 0 … {PAD - 1} (A, C, G, T, N) where mask is True")
    before = torch.cat([~state.ended[:, None], mask[:, :-1]], dim=1)
    wrong = (mask & ~before).any(1)
    if bool(wrong.any()):
        raise ValueError(
            f"row {int(wrong.to(torch.uint8).argmax())} has a base behind padding: padding must follow the last base "
            "of a sequence; use N for unknown bases"
        )
