"""TrainingConfig: how a forecast network is trained; TrainingResult: how it went. Lightning is not imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from titans_ts.core.config import require
from titans_ts.support.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingSettings):
    """How a network is trained; see `TrainingSettings` for the other fields.

    Attributes:
        max_steps: gradient steps; 0 leaves the linear part.
        batch_size: windows a step, drawn at random.
        checks: how often the held-out windows are scored over ``max_steps``; `patience` counts these.
    """

    max_steps: int = 300
    batch_size: int = 128
    learning_rate: float = 3e-4
    checks: int = 12

    def __post_init__(self) -> None:
        require(self.max_steps >= 0, "max_steps", "≥ 0", self.max_steps)
        require(self.checks >= 1, "checks", "≥ 1", self.checks)
        super().__post_init__()


class TrainingResult(NamedTuple):
    """What training did; losses are those of the held-out windows (NaN without any).

    Attributes:
        steps: gradient steps that were taken, where there is no network by the pretrained reads.
        best_step: step of the weights that were kept; 0 means that the linear part alone, or the original reads, was
            best.
        start_loss: of the linear part, or the original reads.
        best_loss: of the weights that were kept, before shrinkage.
        stopped: ``"finished"``, ``"early stopping"``, ``"no gain"`` (hardly better than the linear part in the first
            steps), ``"small share"`` (held-out windows leave the linear part little beside the experts), ``"time
            budget"``, ``"interrupted"``, ``"no training window"`` (the series are too short) or ``"no network"`` (it
            was left out).
        seconds: wall time.
        network_weight: how much of the network's correction was kept, 0 … 1; see
            `titans_ts.forecasting.training.holdout.network_weight`.
    """

    steps: int
    best_step: int
    start_loss: float
    best_loss: float
    stopped: str
    seconds: float
    network_weight: float = 1.0
