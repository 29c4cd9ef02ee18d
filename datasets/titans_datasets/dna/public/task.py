"""DNATask: a set of DNA, split into training and test."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class DNATask(NamedTuple):
    """A labelled set, split.

    Args:
        name: of the set.
        train: sequences and labels for training; take a validation set from these.
        test: sequences and labels for the final evaluation.
        protocol: where the split comes from, in one line.

    Example:
        >>> rows = pd.DataFrame({"sequence": ["ACGT"], "label": [1]})
        >>> DNATask("toy", rows, rows, "one row on both sides").train["label"].tolist()
        [1]
    """

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    protocol: str
