"""Scores of folds together: means and spreads, notes, probabilities in the order of the sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from titans_ts.genomics.report.classes import ClassificationReport
from titans_ts.genomics.report.folds import FoldScores


def report(mcc: dict[str, float], p: list[list[float]]) -> ClassificationReport:
    table = pd.DataFrame({"mcc": mcc})
    probabilities = {name: np.array(p) for name in mcc}
    truth = np.zeros(len(p), dtype=np.int64)
    return ClassificationReport(table, table, table, None, None, (), probabilities, truth, np.array(["no", "yes"]))


def test_folds_are_put_together_in_the_order_of_the_sequences() -> None:
    scores = FoldScores(3)
    first, second = {"DNAClassifier": 0.8, "k-mers": 0.7, "positions": 0.1}, {"DNAClassifier": 0.6, "k-mers": 0.7}
    scores.add(np.array([2, 0]), report(first, [[0.2, 0.8], [0.9, 0.1]]))
    scores.add(np.array([1]), report(second, [[0.4, 0.6]]))
    # Positions are no model of every fold.
    assert scores.table()["mcc"].to_dict() == {"DNAClassifier": "0.700 ± 0.141", "k-mers": "0.700 ± 0.000"}
    np.testing.assert_array_equal(scores.probabilities()["k-mers"], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    assert scores.notes()[1:] == ["k-mers has a mean MCC of 0.700, the classifier 0.700"]
    assert len(scores.to_dict()) == 2
