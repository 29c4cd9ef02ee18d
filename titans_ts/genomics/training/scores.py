"""What `test` prints and `predict` writes: answers of all sequences, their metrics, and their table.

Shapes: n sequences, T bases of one, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer

from titans_ts.genomics.report.bases import base_intervals, base_metrics
from titans_ts.genomics.report.metrics import FloatArray, class_metrics, intervals
from titans_ts.genomics.report.values import value_intervals, value_metrics
from titans_ts.genomics.training.batches import Part
from titans_ts.genomics.training.data import Outputs
from titans_ts.support.resume import gathered

Ends = dict[str, tuple[float, float]]


class CollectAnswers(Callback):
    """Keeps the answers of all test sequences, of all processes.

    Attributes:
        answers: n arrays in the order of the part, once testing is over.
    """

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []
        self.answers: list[FloatArray] = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep those of the batch."""
        self._found.append({"index": outputs["index"].cpu(), "answers": [one.cpu() for one in outputs["answers"]]})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join those of all processes."""
        everywhere: list[Any] = gathered(self._found, trainer.world_size)  # type: ignore[arg-type]
        self.answers = in_order(batch for found in everywhere for batch in found)


def in_order(batches: Iterable[dict[str, Any]]) -> list[FloatArray]:
    """Answers in the order of the part, from `predict_step`; what several processes have comes once."""
    found = {}
    for batch in batches:
        for row, answer in zip(batch["index"].tolist(), batch["answers"], strict=True):
            found[row] = answer.double().cpu().numpy()
    return [found[row] for row in sorted(found)]


def score(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> pd.DataFrame:
    """Metrics of a test part: rows "model" and the ends of 95 % bootstrap intervals, a column a metric.

    Args:
        outputs: of the data.
        part: n sequences with labels.
        answers: of a module's `answers`.

    Raises:
        ValueError: there are fewer answers than sequences.
    """
    if len(answers) != len(part):
        raise ValueError(
            f"expected an answer for each of {len(part):,} test sequences, got {len(answers):,}: test all of them in "
            "one process (--trainer.devices 1 --trainer.strategy auto, no limit of batches)"
        )
    values, ends = _SCORES[outputs.task](outputs, part, answers)
    rows = {
        "model": values,
        "95 % from": {k: v[0] for k, v in ends.items()},
        "95 % to": {k: v[1] for k, v in ends.items()},
    }
    return pd.DataFrame.from_dict(rows if ends else {"model": values}, orient="index")


def prediction_table(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> pd.DataFrame:
    """Answers as a table: a row a sequence, or a base (`position` from 0 on its sequence).

    Args:
        outputs: of the data.
        part: n sequences; labels are not needed.
        answers: of a module's `answers`.
    """
    ids, starts = part.records.ids, part.records.starts
    if outputs.task == "language_model":
        nats, bases = np.array(answers).T
        bits = -nats / np.maximum(bases, 1) / math.log(2)
        counts = bases.astype(np.int64)
        return pd.DataFrame({"id": ids, "bases": counts, "log_likelihood": nats, "bits_per_base": bits})
    if outputs.task == "sequence_regression":
        return pd.DataFrame({"id": ids, "prediction": np.concatenate(answers)})
    places: dict[str, Any] = {"id": ids}
    probability = np.array(answers) if outputs.task == "sequence_classification" else np.concatenate(answers)
    if outputs.task == "base_labels":
        first = starts if starts is not None else np.zeros(len(ids), dtype=np.int64)
        sizes = [len(one) for one in answers]
        places = {"id": np.repeat(ids, sizes)}
        places["position"] = np.concatenate([np.arange(a, a + n) for a, n in zip(first.tolist(), sizes, strict=True)])
    places["prediction"] = np.array(outputs.classes)[probability.argmax(1)]
    columns = {f"p_{name}": probability[:, k] for k, name in enumerate(outputs.classes)}
    return pd.DataFrame({**places, **columns})


def _of_classes(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> tuple[dict[str, float], Ends]:
    probability = np.array(answers)
    return class_metrics(probability, part.labels), intervals(class_metrics, probability, part.labels)


def _of_bases(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> tuple[dict[str, float], Ends]:
    names = [f"f1 {name}" for name in outputs.classes]
    low, high = base_intervals(answers, part.labels, names)
    ends = {name: (low[name], high[name]) for name in low}
    return base_metrics(np.concatenate(answers), np.concatenate(part.labels), names), ends


def _of_numbers(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> tuple[dict[str, float], Ends]:
    found = np.concatenate(answers)
    truth = np.asarray(part.labels, dtype=np.float64)
    low, high = value_intervals(found[:, None], truth[:, None], np.arange(len(truth)))
    return value_metrics(found, truth), {name: (low[name], high[name]) for name in low}


def _of_letters(outputs: Outputs, part: Part, answers: Sequence[FloatArray]) -> tuple[dict[str, float], Ends]:
    nats, bases = np.array(answers).sum(0).tolist()
    per_base = nats / max(bases, 1)
    return {"bits_per_base": -per_base / math.log(2), "log_likelihood": per_base, "bases": bases}, {}


_SCORES = {
    "sequence_classification": _of_classes,
    "base_labels": _of_bases,
    "sequence_regression": _of_numbers,
    "language_model": _of_letters,
}
