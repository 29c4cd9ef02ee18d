"""Watch: surprise of the last steps of a stream, read when it is asked for.

Shapes: B series, T steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from titans_ts.forecasting.reads.network import ReadingNetwork
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.streaming.given import Given
from titans_ts.forecasting.reads.streaming.history import ReadingHistory
from titans_ts.forecasting.reads.streaming.surprise import MOST_SCORES, scores_from

FloatArray = npt.NDArray[np.float64]

# Steps that must be kept before a step that is scored late, of those that there were.
LEAST = 256


class Watch:
    """Normal scores of steps in their forecasts, see `surprise.forecast_scores`; the last few thousand are kept.

    Forecasts are made every 8 steps from the first one of the stream, so that scores do not depend on when they are
    asked for beyond the units and the length of what is read at once. Steps that have left the history's buffer before
    anyone asked have none, nor have the first ones that it still keeps.

    Args:
        scores: (B, T) of the last steps scored, NaN for none.
        steps: of the stream, up to which they go.
    """

    def __init__(self, scores: FloatArray, steps: int = 0) -> None:
        self.scores, self.steps = scores, steps

    def read(self, network: ReadingNetwork, given: Given, history: ReadingHistory) -> FloatArray:
        """Scores (B, T) up to the last step of a history."""
        if self.steps == history.steps:
            return self.scores
        start = history.steps - history.kept
        front = -start % BLOCK
        start, values = start + front, history.last[:, front:]
        # Those of an open block are read again: it has been longer since.
        begin = self.steps - self.steps % BLOCK
        if start > 0:
            begin = max(begin, start + LEAST)
        new = np.stack([scores_from(network, given, row, begin - start) for row in values])
        kept = self.scores[:, : max(0, self.scores.shape[1] - max(0, self.steps - begin))]
        absent = np.full((len(new), max(0, begin - self.steps)), np.nan)
        self.scores = np.concatenate([kept, absent, new], axis=1)[:, -MOST_SCORES:]
        self.steps = history.steps
        return self.scores
