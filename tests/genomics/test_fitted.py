"""FittedClassifier: what its parts answer together and alone."""

from __future__ import annotations

import numpy as np
import torch

from tests.genomics.common import codes, network
from titans_ts.genomics.fitted import FittedClassifier, FittedParts
from titans_ts.genomics.linear.features import PositionFeatures
from titans_ts.genomics.linear.model import LinearModel


def test_classes_are_equally_probable_where_all_weights_are_0() -> None:
    model = FittedClassifier(np.arange(3), FittedParts([network()], [], np.zeros(1), np.empty(0)))
    assert model.logits(codes(), torch.device("cpu")).tolist() == [[0.0] * 3] * 3


def test_a_linear_part_without_weight_is_chance() -> None:
    features = PositionFeatures(4)
    linear = LinearModel(features, np.ones((features.size, 3), dtype=np.float32), np.zeros(3, np.float32), False)
    model = FittedClassifier(np.arange(3), FittedParts([network()], [linear], np.array([0.0, 1.0]), np.zeros(1)))
    found = model.linear_probabilities(codes((4, 4)))
    assert found is not None
    np.testing.assert_allclose(found, 1 / 3)
    assert model.logits(codes((4, 4)), torch.device("cpu")).tolist() == linear(codes((4, 4))).tolist()
