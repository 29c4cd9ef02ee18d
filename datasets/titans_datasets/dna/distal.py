"""Sequences whose class lies in motifs far apart: drawn from a Markov chain, no files.

Shapes: n sequences, T bases of one, M motifs in each.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import decode, encode
from titans_datasets.dna.public.task import DNATask

Relation = Literal["same", "marked"]
IntArray = npt.NDArray[np.int64]
VARIANTS = ("ACGT" * 12, "ACTG" * 12)
"""Two variants of a motif, tandem repeats of 48 bases; each letter is as frequent in both."""
MARKER = "AGTC" * 12
"""A third motif, of the same composition."""
CLASSES: dict[Relation, tuple[str, str]] = {"same": ("different", "same"), "marked": ("first", "second")}
"""Names of class 0 and 1: whether two variants are the same, or which variant the marker reads."""
# A, C, G, T after A, C, G, T, in human DNA outside of CpG islands (Durbin, Eddy, Krogh, Mitchison 1998, section 3.1).
BACKGROUND = np.array(
    [
        [0.300, 0.205, 0.285, 0.210],
        [0.322, 0.298, 0.078, 0.302],
        [0.248, 0.246, 0.298, 0.208],
        [0.177, 0.239, 0.292, 0.292],
    ]
)
_WORDS = np.stack([encode(word) for word in (*VARIANTS, MARKER)])
_SIZE = len(MARKER)


def distal_pairs(
    relation: Relation = "marked",
    length: int = 2_048,
    *,
    sequences: int = 1_000,
    test_sequences: int = 500,
    distance: int | None = None,
    seed: int = 0,
) -> DNATask:
    """Motifs at random places of random DNA, whose relation over a distance decides the class.

    In both relations a sequence has two copies of a motif, each in one of two variants, and half of the sequences of
    every class begin with each variant.

    ``"same"``: whether both copies are of the same variant. Neither copy alone tells the class, and no sum of k-mer
    counts does (an exclusive or). But which variants are present tells it, wherever they lie: a pooled network of
    convolutions needs no memory for it.

    ``"marked"``: a marker follows one of the copies, at random before or after the other one. The class is the variant
    of the copy nearest before the marker. The other copy is of a random variant, so that nothing but the order of
    marker and copies tells which of them counts: what is present alone gives at most 75 % of the classes (all of those
    with equal variants, half of the others). Where the marker lies in the sequence tells a little more.

    Args:
        relation: see above.
        length: T bases of a sequence.
        sequences, test_sequences: n to train on and to test on, half of each in either class.
        distance: least number of bases between two motifs; None for an eighth of the length.
        seed: of both parts; they are drawn apart.

    Raises:
        ValueError: an unknown relation, no sequence in a part, or motifs and distances that do not fit into the length.

    Example:
        >>> task = distal_pairs("same", 200, sequences=4, test_sequences=2)
        >>> task.train["label"].tolist(), task.train["sequence"].str.len().tolist()
        (['different', 'same', 'different', 'same'], [200, 200, 200, 200])
    """
    if relation not in get_args(Relation):
        raise ValueError(f"relation must be one of {get_args(Relation)}, got {relation!r}")
    if min(sequences, test_sequences) < 1:
        raise ValueError(f"sequences and test_sequences must be ≥ 1, got {sequences} and {test_sequences}")
    apart = length // 8 if distance is None else distance
    if apart < 0:
        raise ValueError(f"distance must be ≥ 0 bases, got {distance}")
    train, test = (
        _draw(relation, length, count, apart, np.random.default_rng([seed, part]))
        for part, count in enumerate((sequences, test_sequences))
    )
    protocol = f"drawn with seed {seed}: {length:,} bases, motifs at least {apart:,} apart"
    return DNATask(f"distal_pairs ({relation})", train, test, protocol)


def _draw(relation: Relation, length: int, count: int, apart: int, random: np.random.Generator) -> pd.DataFrame:
    """Sequences in turn of either class."""
    labels = np.arange(count) % 2
    kinds = _kinds(relation, labels, random)
    ids = _background(count, length, random)
    starts = _places(kinds.shape[1], length, count, apart, random)
    ids[np.arange(count)[:, None, None], starts[..., None] + np.arange(_SIZE)] = _WORDS[kinds]
    names = np.array(CLASSES[relation])[labels]
    return pd.DataFrame({"sequence": [decode(row) for row in ids], "label": names})


def _kinds(relation: Relation, labels: IntArray, random: np.random.Generator) -> IntArray:
    """Motifs of each sequence in their order (n, M): 0 and 1 for the variants, 2 for the marker."""
    other = random.integers(0, 2, len(labels))
    if relation == "same":
        return np.stack([other, np.where(labels == 1, other, 1 - other)], axis=1)
    mark = np.full_like(labels, 2)
    between = random.integers(0, 2, len(labels))[:, None] == 1
    return np.where(between, np.stack([labels, mark, other], axis=1), np.stack([other, labels, mark], axis=1))


def _places(motifs: int, length: int, count: int, apart: int, random: np.random.Generator) -> IntArray:
    """Starts of the motifs (n, M), ascending: all that are far enough apart are equally likely.

    Raises:
        ValueError: there are none.
    """
    needed = motifs * _SIZE + (motifs - 1) * apart
    if length < needed:
        raise ValueError(
            f"length must be ≥ {needed:,} bases for {motifs} motifs of {_SIZE} bases, {apart:,} apart, got {length:,}: "
            "lower distance or take longer sequences"
        )
    free = length - needed
    # M out of free + M places, without replacement, are as many ways to share out the free bases.
    drawn = np.sort(np.argsort(random.random((count, free + motifs)), axis=1)[:, :motifs], axis=1)
    steps: IntArray = drawn + np.arange(motifs) * (_SIZE + apart - 1)
    return steps


def _background(count: int, length: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(n, T) codes of a Markov chain of first order, its first base uniform."""
    ids = np.empty((count, length), dtype=np.uint8)
    ids[:, 0] = random.integers(0, 4, count)
    borders = BACKGROUND.cumsum(1)[:, :3]
    for place in range(1, length):
        ids[:, place] = (random.random(count)[:, None] > borders[ids[:, place - 1]]).sum(1)
    return ids
