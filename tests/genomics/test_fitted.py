"""FittedClassifier: what its parts answer together and alone."""

from __future__ import annotations

import numpy as np
import torch

from tests.genomics.common import codes, network
from titans_ts.genomics.fitted import FittedClassifier


def test_classes_are_equally_probable_where_all_weights_are_0() -> None:
    model = FittedClassifier(np.arange(3), [network()], [], np.zeros(1), np.empty(0))
    assert model.logits(codes(), torch.device("cpu")).tolist() == [[0.0] * 3] * 3
