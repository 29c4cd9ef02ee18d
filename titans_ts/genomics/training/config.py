"""TrainingConfig: how a sequence network is trained; TrainingResult: how it went. Lightning is not imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from titans_ts.core.config import require
from titans_ts.support.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingSettings):
    """How a sequence network is trained; see `TrainingSettings` for the other fields.

    Attributes:
        max_epochs: passes over the training sequences; 0 leaves the network untrained. `patience` counts epochs.
        batch_size: sequences of median length in one step; longer ones come in smaller batches.
        pretrained_rate: learning rate of pretrained weights over that of new ones; 0 does not train them.
        mutation_rate: share of the bases of a training sequence that are replaced by random ones.
    """

    max_epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    pretrained_rate: float = 1.0
    mutation_rate: float = 0.0

    def __post_init__(self) -> None:
        require(self.max_epochs >= 0, "max_epochs", "≥ 0", self.max_epochs)
        require(self.pretrained_rate >= 0, "pretrained_rate", "≥ 0", self.pretrained_rate)
        require(0 <= self.mutation_rate < 1, "mutation_rate", "in [0, 1)", self.mutation_rate)
        super().__post_init__()


class TrainingResult(NamedTuple):
    """What training did; losses are those of the held-out sequences (NaN without any).

    Attributes:
        epochs: passes that were begun and finished.
        steps: gradient steps that were taken.
        best_epoch: epoch of the weights that were kept.
        start_loss: of the untrained network.
        best_loss: of the weights that were kept.
        stopped: ``"finished"``, ``"early stopping"``, ``"time budget"`` or ``"interrupted"``.
        seconds: wall time.
    """

    epochs: int
    steps: int
    best_epoch: int
    start_loss: float
    best_loss: float
    stopped: str
    seconds: float
