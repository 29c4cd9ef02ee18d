"""FittedRegressor: the parts of a trained DNA regressor, without the scikit-learn facade around them.

Shapes: n sequences, T bases of one, K targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.fitted import Answers, FittedParts
from titans_ts.genomics.regression.targets import FloatArray, TargetScale


@dataclass(frozen=True)
class FittedRegressor:
    """Parts whose outputs are standardised targets, and the scale that turns them into targets.

    Attributes:
        names: (K,) of the targets.
        scale: of the training targets.
        parts: networks, linear part and blend weights of each target.
    """

    names: list[Any]
    scale: TargetScale
    parts: FittedParts

    def predictions(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """Targets (n, K) in their units; a list of n arrays (T, K) where bases have them."""
        found = self.parts.outputs(codes, device)
        if isinstance(found, list):
            return [self.scale.targets(row) for row in found]
        return self.scale.targets(found)

    def linear_predictions(self, codes: Sequence[Codes]) -> FloatArray | None:
        """Targets (n, K) by the linear part alone; None without one."""
        found = self.parts.linear_outputs(codes)
        return None if found is None else self.scale.targets(found)
