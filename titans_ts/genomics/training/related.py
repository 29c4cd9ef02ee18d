"""Clusters of labelled sequences that splits keep together.

Shapes: n sequences.
"""

from __future__ import annotations

import numpy as np

from titans_datasets.dna.alphabet import encode_all
from titans_datasets.dna.read.labelled import Labelled
from titans_datasets.dna.splits import groups
from titans_ts.genomics.training.holdout import IntArray, joined, related


def clusters(data: Labelled, k: int) -> IntArray:
    """Cluster number (n,) of each sequence: related sequences, and those of one group, have the same.

    Args:
        data: the sequences.
        k: consecutive bases that related sequences share; 0: copies and reverse complements only.

    Raises:
        ValueError: a letter that is not allowed in DNA, or k out of range.
    """
    try:
        found = groups(data.sequences, k=k) if k else related(encode_all(data.sequences), None)
    except ValueError as error:
        raise ValueError(f"{data.name}: {error}") from error
    if data.groups is not None:
        found = joined(found, np.unique(data.groups, return_inverse=True)[1])
    return found
