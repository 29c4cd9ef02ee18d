"""TunedReads: pretrained reads whose network took gradient steps on a panel; their weights travel with the model."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from safetensors.torch import save
from torch import Tensor

from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.pretrained.weights import Card, Pretrained
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS
from titans_ts.forecasting.reads.network import ReadingConfig, ReadingNetwork


@dataclass(frozen=True, eq=False)
class Tuned(Pretrained):
    """A network that is no longer the installed one: its name and card are the original's, its checksum its own.

    It is pickled with its weights.

    Example:
        >>> from titans_ts.forecasting.pretrained import Tuned, load_pretrained
        >>> zero = load_pretrained("zero")
        >>> mine = Tuned.of("zero", zero.card, zero.network)
        >>> mine.name, mine.network is zero.network
        ('zero', False)
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return Tuned, (self.name, self.sha256, self.card, self.network)

    @classmethod
    def of(cls, name: str, card: Card, network: ReadingNetwork) -> Tuned:
        """Weights of a network, of which a copy is kept.

        Args:
            name: of the weights that it began with.
            card: of these.
            network: as long as it is trained, in float32.
        """
        own = copy.deepcopy(network).requires_grad_(False).eval()
        return cls(name, hashlib.sha256(save(own.state_dict())).hexdigest(), card, own)


@dataclass(frozen=True)
class TunedReads(PretrainedReads):
    """`PretrainedReads` of `Tuned` weights.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.pretrained import PretrainedReads, Tuned, TunedReads
        >>> first = PretrainedReads(season=7)
        >>> weights = Tuned.of("zero", first.pretrained.card, first.pretrained.network)
        >>> TunedReads(season=7, pretrained=weights).quantiles([np.arange(60.0) % 7], 14, (0.1, 0.9)).shape
        (1, 14, 2)
    """

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `tensors` has the weights."""
        own = {"network": self.pretrained.network.config.to_dict(), "card": asdict(self.pretrained.card)}
        return {**super().to_dict(), **own}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(self.pretrained.network.state_dict())

    @classmethod
    def from_tensors(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TunedReads:
        """Inverse of `to_dict` and `tensors`; the installed weights are not needed.

        Raises:
            ValueError: the network weighs other drafts than this version makes.
            RuntimeError: the weights do not fit its sizes.
        """
        network = ReadingNetwork(ReadingConfig(**values["network"]))
        if network.config.drafts != (*NAMES, *SLOTS):
            raise ValueError("the tuned reads weigh other drafts than this version makes: fit again")
        network.load_state_dict(dict(tensors))
        weights = Tuned.of(values["name"], Card(**values["card"]), network)
        return cls(values["season"], values["second"], weights, tuple(values["contexts"]))


def is_tuned(values: Mapping[str, Any]) -> bool:
    """Whether `to_dict` of reads was that of tuned ones."""
    return "network" in values
