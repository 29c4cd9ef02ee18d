"""LinearFeatures: what the linear part reads of a window.

Shapes: G rows (batch × channels), L context steps, P horizon steps, K harmonics, F features of the linear part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.window import Window


class LinearFeatures:
    """The window's last steps, covariates and the phase of the season, as one row of numbers a window.

    Args:
        config: of the network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config
        self.context = min(config.context_length, config.linear_context)
        self.steps = min(config.season, self.context)
        self.harmonics = min(config.harmonics, max(1, (config.season - 1) // 2)) if config.phase_column >= 0 else 0

    @property
    def covariates(self) -> int:
        """Features after the window: known covariates (last season and horizon), past ones, harmonics of the phase."""
        c = self.config
        known = c.known_covariates * (self.steps + c.prediction_length)
        return known + c.past_features * self.steps + 2 * self.harmonics

    @property
    def cyclic(self) -> int:
        """Features after those: products with the phase."""
        c = self.config
        return 2 * (self.steps + c.past_features) if c.phase_column >= 0 and c.cyclic else 0

    def phase(self, w: Window) -> Tensor:
        """Sine and cosine (G, 2) of the season's phase at the last step; zeros without a phase column."""
        column = self.config.phase_column
        return w.past[:, -1, column : column + 2] if column >= 0 else w.loc.new_zeros(len(w.loc), 2)

    def __call__(self, w: Window) -> Tensor:
        """(G, F): the last `context` steps in item units, known and past covariates, the phase.

        The harmonics of the phase at the last step give every hour a profile of its own. Cyclic features are products
        of the phase with the last season of the window and with the last past covariates: what follows a warm hour
        depends on the hour.
        """
        c, back = self.config, self.steps
        first = c.time_features - c.known_covariates
        known = torch.cat([w.past[:, -back:, first : c.time_features], w.future[:, :, first : c.time_features]], dim=1)
        past = w.past[:, -back:, c.time_features :]
        phase = self.phase(w)
        features = [w.values[:, -self.context :], known.flatten(1), past.flatten(1), harmonics(phase, self.harmonics)]
        if self.cyclic:
            # The mean of the steps that are read here: a longer window of the network must not change the features.
            level = w.loc if self.context == w.values.shape[1] else w.values[:, -self.context :].mean(1, keepdim=True)
            recent = torch.cat([w.values[:, -back:] - level, past[:, -1]], dim=-1)
            features.append((phase[:, :, None] * recent[:, None]).flatten(1))
        return torch.cat(features, dim=-1)


def harmonics(phase: Tensor, count: int) -> Tensor:
    """Sines and cosines (G, 2·K) of the multiples 1 … K of an angle, given its own sine and cosine (G, 2)."""
    turn = torch.complex(phase[:, 1], phase[:, 0])
    powers = [turn.new_ones(turn.shape)]
    for _ in range(count):
        powers.append(powers[-1] * turn)
    found = torch.stack(powers, dim=1)[:, 1:]
    return torch.cat([found.imag, found.real], dim=1)
