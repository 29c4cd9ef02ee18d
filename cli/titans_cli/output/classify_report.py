"""What `titans-ts classify` prints about the data and the trained models."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from titans_cli.input.dna_labelled import IntArray, Labelled
from titans_datasets.writing import in_place_of
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.regression.regressor import DNARegressor

MOST_CLASSES = 8
# A cluster of more than this share of the sequences makes folds uneven.
LARGE = 0.25


def summary(data: Labelled, together: IntArray | None) -> list[str]:
    """Lines about labelled sequences: their number, lengths, classes, and groups of related ones."""
    lengths = [len(text) for text in data.sequences]
    bases = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    names, counts = np.unique(data.labels, return_counts=True)
    listed = [f"{name} {count:,}" for name, count in zip(names.tolist(), counts.tolist(), strict=True)][:MOST_CLASSES]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    lines = [f"{data.name}: {len(lengths):,} sequences of {bases} bases", f"  classes  {', '.join(listed)}{more}"]
    if together is not None:
        sizes = np.bincount(np.unique(together, return_inverse=True)[1])
        note = "; --related 0 groups only copies" if sizes.max() > LARGE * len(lengths) else ""
        lines.append(f"  related  {len(sizes):,} groups, the largest of {sizes.max():,}{note}")
    return lines


def parts_line(model: DNAClassifier | DNARegressor) -> str:
    """The parts of a model, and how its training ended."""
    fitted, training = model.model_.parts, model.training_[0]
    strands = "the given strand" if fitted.config.strands == "one" else "both strands"
    weights = " + ".join(f"{value:.2f}" for value in fitted.weights.reshape(len(fitted.weights), -1).mean(1).tolist())
    epochs, seconds = training["epochs"], sum(one["seconds"] for one in model.training_)
    return (
        f"{fitted.config.head} head on {strands}; {epochs} epochs, {seconds:.0f} s, {training['stopped']}; weights of "
        f"network{' + linear part' if fitted.linear else ''}: {weights}"
    )


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write a report as JSON; a file is replaced as a whole."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    with in_place_of(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
