"""What the parameters of both DNA models have in common: their rules, and the number of epochs for a data set."""

from __future__ import annotations

from titans_ts.support.params import COMMON, Rule, number, optional, text, whole

# Small sets need many passes; held-out sequences end training earlier (2,000 sequences: after 300 steps).
STEPS = 1500
# Numbers are learned for longer: splice_sites, a fifth of training held out, Pearson .874 (1,500) and .881 (3,700).
VALUE_STEPS = 4000
RULES: dict[str, Rule] = {
    **COMMON,
    "validation_fraction": (
        "a number ≥ 0 and ≤ 0.5 (0 holds out nothing)",
        number(lambda value: 0 <= value <= 0.5),
    ),
    "max_epochs": ("an integer ≥ 0, or None for as many as the data need", optional(whole(0))),
    "sequence_column": ("a column name", text),
}
# Fields of TrainingConfig that are parameters of the models, not options.
TRAINING_PARAMS = {"max_epochs", "time_budget", "device", "seed"}


def choose_epochs(count: int, batch_size: int, steps: int = STEPS) -> int:
    """Passes over `count` sequences that give about so many steps, 4 to 50."""
    return min(50, max(4, round(steps * batch_size / max(count, 1))))
