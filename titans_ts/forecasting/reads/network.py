"""ReadingNetwork: from reads of memories to quantiles, each future step by itself.

Weights of simple forecasts learned on other series go back to FFORMA (Montero-Manso and others 2020); here they depend
on running held-out errors and on the step, and quantiles come out.

Shapes: B series, M boundaries, E drafts, H future steps, D features, Q = 9 deciles.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from titans_datasets.writing import in_place_of
from titans_ts.core.config import require
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.features import ReadingInputs, feature_count
from titans_ts.forecasting.reads.held_out import KINDS

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MIDDLE = 4
# Numbers that say where a future step lies.
PLACE = 12
# Targets further away count as if they were so far, in units of the boundary.
LARGEST = 15.0


@dataclass(frozen=True)
class ReadingConfig:
    """Sizes of a `ReadingNetwork`; plain values only.

    Attributes:
        drafts: names of the forecasts that it weighs: those of `drafts.NAMES`, then others that are given.
        width: of the context. Default: 256.
        depth: residual blocks of the context. Default: 3.
        step_width: of a future step. Default: 96.
        widening: factor on the distances of deciles from the median, above 1 where real series surprise more than those
            of the training. Default: 1.0.

    Example:
        >>> from titans_ts.forecasting.reads import ReadingConfig
        >>> ReadingConfig(width=64).depth, len(ReadingConfig().drafts)
        (3, 33)
    """

    drafts: tuple[str, ...] = NAMES
    width: int = 256
    depth: int = 3
    step_width: int = 96
    widening: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "drafts", tuple(self.drafts))
        require(self.drafts[: len(NAMES)] == NAMES, "drafts", f"those of this version first: {NAMES}", self.drafts)
        require(len(set(self.drafts)) == len(self.drafts), "drafts", "names that differ", self.drafts)
        require(self.width >= 1, "width", "≥ 1", self.width)
        require(self.depth >= 0, "depth", "≥ 0", self.depth)
        require(self.step_width >= 1, "step_width", "≥ 1", self.step_width)
        require(0.1 <= self.widening <= 10, "widening", "0.1 to 10", self.widening)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class ReadingNetwork(nn.Module):
    """Weights of the drafts, a shift and a spread for every future step, from what was read at its boundary.

    The deciles are in units of the boundary, so that a forecast of a·x + b is a times that of x, plus b; gaps between
    them are positive, so that they never cross.

    Args:
        config: sizes.

    Example:
        >>> from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
        >>> sum(weight.numel() for weight in ReadingNetwork(ReadingConfig()).parameters()) < 2_000_000
        True
    """

    scores: Tensor

    def __init__(self, config: ReadingConfig) -> None:
        super().__init__()
        self.config = config
        width, step, drafts = config.width, config.step_width, len(config.drafts)
        self.features = nn.Linear(feature_count(drafts), width)
        self.blocks = nn.ModuleList(_block(width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.context = nn.Linear(width, step)
        self.place = nn.Linear(PLACE, step)
        self.drafts = nn.Linear(drafts + 2, step)
        self.mixed = nn.ModuleList(nn.Linear(step, step) for _ in range(2))
        self.out = nn.Linear(step, drafts + 1 + len(LEVELS))
        self.weights = nn.Linear(width, drafts)
        for layer in (self.out, self.weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # Before training, drafts of smaller running errors weigh more.
        self.trust = nn.Parameter(torch.full((KINDS,), -0.5))
        self.register_buffer("scores", normal_scores(LEVELS).float(), persistent=False)

    def forward(self, inputs: ReadingInputs, steps: Tensor) -> Tensor:
        """Deciles (B, M, H, Q) in units of the boundaries, for the steps (H,) after each."""
        context = self.features(inputs.features)
        for block in self.blocks:
            context = context + block(context)
        context = self.norm(context)
        drafts = inputs.drafts.transpose(2, 3)
        mean, spread = drafts.mean(-1, keepdim=True), drafts.std(-1, keepdim=True)
        hidden = self.context(context)[:, :, None] + self.place(_places(inputs.spans, steps))
        hidden = nn.functional.silu(hidden + self.drafts(torch.cat([drafts - mean, mean, spread], -1)))
        for layer in self.mixed:
            hidden = hidden + nn.functional.silu(layer(hidden))
        weights, width, rest = self.out(hidden).split([drafts.shape[-1], 1, len(LEVELS)], -1)
        prior = self.weights(context) + (inputs.errors * self.trust).sum(-1)
        centre = (torch.softmax(weights + prior[:, :, None], -1) * drafts).sum(-1, keepdim=True)
        return self._deciles(centre, nn.functional.softplus(width), rest)

    def _deciles(self, centre: Tensor, spread: Tensor, rest: Tensor) -> Tensor:
        """The median and eight positive gaps beside it: (…, 1), (…, 1), (…, 9) → (…, Q)."""
        shift, gaps = rest[..., :1], nn.functional.softplus(rest[..., 1:]) / math.log(2)
        gaps = gaps * spread * self.scores.diff() * self.config.widening
        below = -gaps[..., :MIDDLE].flip(-1).cumsum(-1).flip(-1)
        above = gaps[..., MIDDLE:].cumsum(-1)
        middle = centre + shift * (spread.detach() + 0.1)
        return torch.cat([middle + below, middle, middle + above], -1)

    def loss(
        self, inputs: ReadingInputs, steps: Tensor, targets: Tensor, observed: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Twice the pinball loss, mean over deciles and observed steps.

        Args:
            inputs: of the boundaries.
            steps: (H,) after each.
            targets: (B, M, H) in the units of the series.
            observed: (B, M, H), 1 or 0.
            weights: (B, M) of the boundaries in the mean; all alike where None.
        """
        wanted = ((targets - inputs.centre) / inputs.scale).clamp(-LARGEST, LARGEST)
        error = wanted[..., None] - self(inputs, steps)
        levels = torch.tensor(LEVELS, dtype=error.dtype)
        pinball = 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
        pinball = pinball if weights is None else pinball * weights[..., None]
        return (pinball * observed).sum() / observed.sum().clamp_min(1)

    def widened(self, factor: float) -> ReadingNetwork:
        """A copy whose deciles lie so many times as far from the median."""
        other = ReadingNetwork(replace(self.config, widening=factor))
        other.load_state_dict(self.state_dict())
        return other.eval()

    def save(self, path: Path) -> None:
        """Write weights and sizes into one safetensors file; a file that is there is replaced at once."""
        state = {name: value.detach().contiguous() for name, value in self.state_dict().items()}
        with in_place_of(path) as beside:
            save_file(state, beside, metadata={"config": json.dumps(self.config.to_dict())})

    @classmethod
    def load(cls, path: Path) -> ReadingNetwork:
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no `ReadingNetwork`, or one whose drafts this version does not have.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if "config" not in metadata:
                    raise ValueError(f"{path} holds no ReadingNetwork: it says nothing of its sizes")
                network = cls(ReadingConfig(**json.loads(metadata["config"])))
                network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, RuntimeError, TypeError) as error:
            raise ValueError(f"{path} holds no ReadingNetwork, or a damaged one ({error}): write it anew") from error
        return network.eval()


def normal_scores(levels: tuple[float, ...] | list[float]) -> Tensor:
    """Quantiles of the standard normal distribution, float64."""
    return torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))


def at_levels(deciles: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Quantiles (…, Q') at any levels from deciles (…, Q): straight lines over normal scores, the outer ones go on."""
    known, wanted = normal_scores(LEVELS), normal_scores(levels)
    right = torch.searchsorted(known, wanted).clamp(1, len(LEVELS) - 1)
    share = ((wanted - known[right - 1]) / (known[right] - known[right - 1])).to(deciles)
    low, high = deciles[..., right - 1], deciles[..., right]
    return low + share * (high - low)


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))


def _places(spans: Tensor, steps: Tensor) -> Tensor:
    """Where each future step lies (B, M, H, PLACE): its number, in periods, beside the history."""
    ahead = steps.to(spans)
    far = ahead.log()
    first, second = (ahead / spans[..., place, None] for place in (0, 1))
    history = ahead / spans[..., 2, None].clamp_min(1)
    shape = history.shape
    parts = [
        (far / 3).expand(shape),
        (first + 0.05).log() / 3,
        (second + 0.05).log() / 3,
        (history + 0.01).log() / 3,
        *(wave(2 * math.pi * phase) for phase in (first, second) for wave in (torch.sin, torch.cos)),
        (far < 2.1).to(spans).expand(shape),
        *((far - bend).clamp_min(0).expand(shape) for bend in (2.1, 3.2, 4.5)),
    ]
    return torch.stack(parts, -1)
