"""TrainingSettings: the settings of every training in this library; Lightning is not imported here."""

from __future__ import annotations

from dataclasses import dataclass

from titans_ts.core.config import require


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of a training by AdamW under a one-cycle schedule that keeps the best averaged weights.

    Attributes:
        batch_size: examples a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: AdamW's, on matrices.
        patience: checks without a better held-out loss before training stops.
        ema_decay: the scored and kept weights are an exponential mean over steps; 0 takes the last ones.
        gradient_clip: largest norm of the gradient.
        time_budget: seconds after which training stops; None for no limit.
        seed: of initialisation, dropout and order.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        progress: show one progress bar, on a terminal and in a notebook with ipywidgets.
        threads: CPU threads while training; None leaves the setting. These networks are small, and contention
            is expensive: beside a process that held one of two cores, two threads took over 400 s for what one did in
            60.

    Raises:
        ValueError: a value is out of range.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    patience: int = 5
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    progress: bool = True
    threads: int | None = 1

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "≥ 1", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "> 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "≥ 0", self.weight_decay)
        require(self.patience >= 1, "patience", "≥ 1", self.patience)
        require(0 <= self.ema_decay < 1, "ema_decay", "in [0, 1)", self.ema_decay)
        require(self.gradient_clip > 0, "gradient_clip", "> 0", self.gradient_clip)
        require(self.time_budget is None or self.time_budget > 0, "time_budget", "> 0 seconds", self.time_budget)
