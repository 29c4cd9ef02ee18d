"""Which sequences are held out: related ones on one side, classes in their proportions.

Shapes: n sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from titans_datasets.dna.alphabet import Codes, encode_all, reverse_complement
from titans_datasets.dna.read.labelled import Labelled
from titans_datasets.dna.splits import groups

IntArray = npt.NDArray[np.int64]


def related(codes: Sequence[Codes], groups: Sequence[object] | npt.NDArray[np.generic] | None) -> IntArray:
    """Numbers (n,) of clusters: equal sequences, reverse complements and members of one group share a number.

    Args:
        codes: n encoded sequences.
        groups: the caller's groups (n,), such as chromosomes or families; None for none.
    """
    names: dict[object, int] = {}
    own = np.empty(len(codes), dtype=np.int64)
    for i, x in enumerate(codes):
        forward, backward = x.tobytes(), reverse_complement(x).tobytes()
        own[i] = names.setdefault(min(forward, backward), len(names))
    if groups is None:
        return own
    numbers: dict[object, int] = {}
    given = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
    return joined(own, given)


def joined(first: IntArray, second: IntArray) -> IntArray:
    """Numbers (n,) of the clusters of two numberings (n,) from 0: members of a cluster of either stay together."""
    # Either numbering links its members: clusters are the connected components.
    start = int(first.max()) + 1
    size = start + int(second.max()) + 1
    edges = coo_matrix((np.ones(len(first)), (first, start + second)), shape=(size, size))
    _, label = connected_components(edges, directed=False)
    return np.asarray(label[first], dtype=np.int64)


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


def hold_out(clusters: IntArray, strata: IntArray, fraction: float, parts: int, seed: int) -> list[IntArray]:
    """`parts` disjoint held-out parts, each about `fraction` of the sequences, whole clusters in the classes' shares.

    Clusters are taken in random order, large ones first, each by the part that lacks its classes most.

    Args:
        clusters: (n,) numbers of `related`.
        strata: (n,) class numbers to be kept in proportion.
        fraction: of the sequences in one part, parts · fraction ≤ 1.
        parts: how many.
        seed: of the order.

    Returns:
        Sorted places of each part.

    Raises:
        ValueError: a part would be empty, or nothing would be left to learn from.
    """
    _, cluster = np.unique(clusters, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    table = np.zeros((cluster.max() + 1, stratum.max() + 1))
    np.add.at(table, (cluster, stratum), 1)
    wanted = np.full((parts + 1, table.shape[1]), fraction) * table.sum(0)
    wanted[-1] = (1 - parts * fraction) * table.sum(0)
    order = np.random.default_rng(seed).permutation(len(table))
    order = order[np.argsort(-table[order].sum(1), kind="stable")]
    side = np.empty(len(table), dtype=np.int64)
    relative = np.maximum(wanted, 1e-9)
    lacking = wanted.copy()
    for one in order:
        # The share of what it still lacks, over the classes of this cluster.
        need = (lacking / relative) @ table[one]
        side[one] = int(need.argmax())
        lacking[side[one]] -= table[one]
    found = [np.flatnonzero(side[cluster] == part) for part in range(parts)]
    if any(len(part) == 0 for part in found) or not (side == parts).any():
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(clusters)} sequences in {len(table)} groups of related ones "
            "leaves a part empty: pass more sequences or groups, another fraction, or 0 to hold out nothing"
        )
    return found


def folds_of(clusters: IntArray, strata: IntArray, folds: int, seed: int) -> list[IntArray]:
    """Places of the sequences of each fold: whole clusters, strata in proportion.

    Args:
        clusters: (n,) numbers of `related`.
        strata: (n,) numbers to be kept in proportion.
        folds: how many.
        seed: of the order.

    Raises:
        ValueError: too few clusters.
    """
    count = len(np.unique(clusters))
    if not 2 <= folds <= count:
        raise ValueError(
            f"folds={folds} leaves a fold empty: there are {count} groups of related sequences: give fewer"
        )
    try:
        found = hold_out(clusters, strata, 1 / folds, folds - 1, seed)
    except ValueError as error:
        sizes = np.bincount(np.unique(clusters, return_inverse=True)[1])
        raise ValueError(
            f"folds={folds} leaves a fold empty: there are {len(sizes)} groups of related sequences, the largest of "
            f"{sizes.max():,} of {len(clusters):,}: give fewer folds"
        ) from error
    return [*found, np.setdiff1d(np.arange(len(clusters)), np.concatenate(found))]


def cross_validation(clusters: IntArray, labels: npt.NDArray[np.generic], folds: int, seed: int) -> list[IntArray]:
    """Places of the sequences of each fold: whole clusters, classes in proportion.

    Args:
        clusters: (n,) numbers of `related`.
        labels: (n,) classes.
        folds: how many.
        seed: of the order.

    Raises:
        ValueError: too few clusters, or a class that would be missing from a training part.
    """
    classes, strata = np.unique(labels, return_inverse=True)
    found = folds_of(clusters, strata, folds, seed)
    everything = np.arange(len(clusters))
    for part in found:
        missing = np.setdiff1d(classes, labels[np.setdiff1d(everything, part)])
        if len(missing):
            of_class = len(np.unique(clusters[labels == missing[0]]))
            raise ValueError(
                f"folds={folds} leaves no {missing[0]} to train on in a fold: that class occurs in {of_class} groups "
                "of related sequences: add sequences of it, leave it out, or join it with another class"
            )
    return found
