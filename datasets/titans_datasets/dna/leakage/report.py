"""The result of a leakage check, as numbers, as text and as JSON.

Shapes: Q test sequences.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class LeakageReport(NamedTuple):
    """What a test set shares with its training set.

    Args:
        k: length of the k-mers.
        train_rows: number of training sequences.
        train_duplicates: training rows that equal an earlier row.
        train_reverse_duplicates: distinct training sequences whose reverse complement is among the earlier ones.
        train_conflicts: distinct training sequences that have more than one label; None without labels.
        test_duplicates: test rows that repeat an earlier test row.
        verbatim: (Q,) whether the test sequence is in the training set.
        reverse: (Q,) whether only its reverse complement is.
        shared: (Q,) fraction of its k-mers that are, on either strand; NaN where it has none (shorter, or N).
        conflicts: (Q,) whether it is in the training set, but never with its label; None without labels.
        clean: (Q,) whether nothing of it is in the training set: no copy, no k-mer.
        baselines: test accuracy of models that learn nothing about DNA: the most common label ("majority"), the most
            common label of that length ("length"), labels copied from equal sequences or shared k-mers ("look-up");
            None without labels.

    Example:
        >>> from titans_datasets.dna.leakage import leakage
        >>> summary = leakage(["ACGTACGT"], ["ACGTACGT", "TTTTTTTT"], k=8).summary()
        >>> summary["test"]["verbatim_in_train"], summary["rows_not_clean"]
        (1, [0])
    """

    k: int
    train_rows: int
    train_duplicates: int
    train_reverse_duplicates: int
    train_conflicts: int | None
    test_duplicates: int
    verbatim: npt.NDArray[np.bool_]
    reverse: npt.NDArray[np.bool_]
    shared: npt.NDArray[np.float64]
    conflicts: npt.NDArray[np.bool_] | None
    clean: npt.NDArray[np.bool_]
    baselines: dict[str, float] | None

    def summary(self) -> dict[str, Any]:
        """Everything as plain numbers: counts of rows, accuracies, and which test rows are not clean (from 0)."""
        return {
            "k": self.k,
            "train": {
                "rows": self.train_rows,
                "duplicates": self.train_duplicates,
                "reverse_complement_duplicates": self.train_reverse_duplicates,
                "sequences_with_several_labels": self.train_conflicts,
            },
            "test": {
                "rows": len(self.clean),
                "duplicates": self.test_duplicates,
                "verbatim_in_train": int(self.verbatim.sum()),
                "reverse_complement_in_train": int(self.reverse.sum()),
                "sharing_a_kmer": int((self.shared > 0).sum()),
                "sharing_half_their_kmers": int((self.shared >= 0.5).sum()),
                "without_a_kmer": int(np.isnan(self.shared).sum()),
                "labelled_otherwise_in_train": None if self.conflicts is None else int(self.conflicts.sum()),
                "clean": int(self.clean.sum()),
            },
            "baselines": self.baselines,
            "rows_not_clean": np.flatnonzero(~self.clean).tolist(),
        }

    def to_json(self) -> str:
        """`summary` as JSON text."""
        return json.dumps(self.summary(), indent=1, ensure_ascii=False)

    def table(self) -> str:
        """`summary` as plain text."""
        found = self.summary()
        train, test = found["train"], found["test"]
        lines = [
            ("train", train["rows"], None),
            ("  repeat an earlier row", train["duplicates"], train["rows"]),
            ("  reverse complement of an earlier row", train["reverse_complement_duplicates"], train["rows"]),
            ("  sequences with several labels", train["sequences_with_several_labels"], None),
            ("test", test["rows"], None),
            ("  repeat an earlier test row", test["duplicates"], test["rows"]),
            ("  verbatim in train", test["verbatim_in_train"], test["rows"]),
            ("  in train under other labels only", test["labelled_otherwise_in_train"], test["rows"]),
            ("  reverse complement in train", test["reverse_complement_in_train"], test["rows"]),
            (f"  share a {self.k}-mer with train", test["sharing_a_kmer"], test["rows"]),
            (f"  share half of their {self.k}-mers or more", test["sharing_half_their_kmers"], test["rows"]),
            (f"  have no {self.k}-mer (shorter, or N)", test["without_a_kmer"], test["rows"]),
            ("  clean", test["clean"], test["rows"]),
        ]
        text = [f"{name:<42}{count:>9,}{_percent(count, of)}" for name, count, of in lines if count is not None]
        if self.baselines is not None:
            text.append("accuracy on test without a model of DNA")
            text += [f"  {name:<49}{100 * value:>9.1f} %" for name, value in self.baselines.items()]
        return "\n".join(text)

    def __str__(self) -> str:
        return self.table()


def _percent(count: int, of: int | None) -> str:
    return "" if not of else f"{100 * count / of:>9.1f} %"
