"""What a model predicts for the test part of a DNA set."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Answer(NamedTuple):
    """Predictions of one model.

    Attributes:
        probability: (n test sequences, K classes).
        fields: columns of the row that only the model knows, such as epochs and parameters.
    """

    probability: npt.NDArray[np.float64]
    fields: dict[str, Any]
