"""PatchEncoder: steps of a window and of its horizon as tokens.

Shapes: G rows (batch × channels), L past steps, P horizon steps, F features a step, S patch length, N patches, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.initialization import linear_


class PatchEncoder(nn.Module):
    """Patches of ``patch_length`` steps, one linear layer each; the last past patch ends at the last past step.

    A step carries its scaled value, whether it was observed, and its features (calendar, covariates). In the horizon
    the value is the center forecast and nothing is observed: known covariates reach the forecast through these tokens.

    Args:
        patch_length: S steps.
        stride: steps between past patches; below S they overlap.
        features: F features a step beside value and observed flag.
        width: D.
    """

    def __init__(self, patch_length: int, stride: int, features: int, width: int) -> None:
        super().__init__()
        self.patch_length, self.stride = patch_length, stride
        self.past = linear_(nn.Linear(patch_length * (2 + features), width))
        self.future = linear_(nn.Linear(patch_length * (2 + features), width))

    def count(self, steps: int) -> int:
        """Past patches that cover ``steps`` steps, the first one padded on its left."""
        return 1 + max(0, -(-(steps - self.patch_length) // self.stride))

    def encode_past(self, values: Tensor, observed: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """values, observed (G, L), features (G, L, F) → tokens (G, N, D), mask (G, N) of observed patches."""
        n = self.count(values.shape[1])
        front = self.patch_length + (n - 1) * self.stride - values.shape[1]
        steps = torch.cat([(values * observed)[..., None], observed[..., None], features], dim=-1)
        steps = F.pad(steps, (0, 0, front, 0))
        patches = steps.unfold(1, self.patch_length, self.stride)
        mask = patches[:, :, 1].amax(-1) > 0
        return self.past(patches.flatten(2)), mask

    def encode_future(self, center: Tensor, features: Tensor) -> Tensor:
        """center (G, P), features (G, P, F) → tokens (G, ⌈P/S⌉, D); the last patch is padded with zeros."""
        steps = torch.cat([center[..., None], torch.zeros_like(center)[..., None], features], dim=-1)
        steps = F.pad(steps, (0, 0, 0, -center.shape[1] % self.patch_length))
        return self.future(steps.unfold(1, self.patch_length, self.patch_length).flatten(2))
