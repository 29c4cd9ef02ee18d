"""Networks of `neural_memory_study.py`: the reads alone, and beside a backbone, learned gates or analogues.

Shapes: B series, L steps, J = L / 8 boundaries, M chosen ones, H future steps, Q = 9 deciles, K numbers of a key.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from titans_ts.core import MemoryConfig, NeuralMemory, Titans, TitansConfig
from titans_ts.forecasting.reads import ReadingNetwork, Series
from titans_ts.forecasting.reads.boundaries import SLOW, WINDOW, Boundaries
from titans_ts.forecasting.reads.features import CENTRE_SPAN, ReadingInputs, boundary_inputs
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys, solved_positive
from titans_ts.forecasting.reads.network import LEVELS
from titans_ts.forecasting.reads.series import BLOCK, take

WIDTH, LAYERS, HEADS, ATTENDED = 64, 2, 4, 32
# Numbers of a token: values, what the slow memory leaves, what was observed, phases, unit.
TOKEN = 3 * BLOCK + 6
# Future steps of which a backbone makes a forecast of its own.
SPAN = 48
LARGEST = 8.0
# Horizons of the gated phase memories before training, in patches, and their ridge.
GATED, RIDGE, RATE = (16.0, 256.0), 1.0, 2.0
LEVEL_STEPS = 24
# Steps that are compared with earlier ones, and how fast a difference makes them count less.
COMPARED, SHARPNESS = (16, 64), 20.0


@dataclass(frozen=True)
class Sample:
    """What a network reads of series.

    Attributes:
        series: of the batch.
        inputs: of the M boundaries, for H steps.
        steps: (H,) after each.
        tokens: (B, J, `TOKEN`) of all patches.
        places: (B, M) of the boundaries among the J.
    """

    series: Series
    inputs: ReadingInputs
    steps: Tensor
    tokens: Tensor
    places: Tensor

    @classmethod
    def of(cls, series: Series, places: Tensor, steps: Tensor) -> Sample:
        """Read all boundaries of series at some of them."""
        at = Boundaries.of(series, series.length // BLOCK)
        return cls(series, boundary_inputs(at, places, steps), steps, _tokens(at), places)

    @classmethod
    def at_end(cls, series: Series, steps: Tensor) -> Sample:
        """The same at the last boundary alone."""
        count, boundaries = len(series.values), series.length // BLOCK
        at = Boundaries.of(series, boundaries)
        near = min(boundaries, NEEDED)
        last = at.chosen(torch.arange(boundaries - near, boundaries).expand(count, -1))
        inputs = boundary_inputs(last, torch.full((count, 1), near - 1), steps)
        return cls(series, inputs, steps, _tokens(at), torch.full((count, 1), boundaries - 1))


class ReadsAlone(nn.Module):
    """The control: nothing but the reads."""

    def __init__(self, reads: ReadingNetwork) -> None:
        super().__init__()
        self.reads = copy.deepcopy(reads)

    def forward(self, sample: Sample, last: int | None = None) -> Tensor:
        """Deciles (B, M, H, Q) in units of the boundaries; with `last` what is added reads the last patches only."""
        return self.reads(sample.inputs, sample.steps)


class WithBackbone(nn.Module):
    """A Titans backbone over the patches beside the reads.

    Its output goes into the context of the network and, as a shift of all deciles, into the next `SPAN` steps; both
    begin at 0, so that training starts from the reads alone.

    Args:
        reads: trained.
        config: of the backbone.
        next_patch: keys begin as those of the patch before, so that memories learn to give the next patch's value.
    """

    def __init__(self, reads: ReadingNetwork, config: TitansConfig, next_patch: bool = False) -> None:
        super().__init__()
        self.reads = copy.deepcopy(reads)
        own = self.reads.features
        wider = nn.Linear(own.in_features + config.width, own.out_features)
        with torch.no_grad():
            wider.weight.zero_()
            wider.weight[:, : own.in_features] = own.weight
            wider.bias.copy_(own.bias)
        self.reads.features = wider
        self.embed = nn.Linear(TOKEN, config.width)
        self.backbone = Titans(config)
        self.shift = nn.Linear(config.width, SPAN)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)
        if next_patch:
            for module in self.backbone.modules():
                if isinstance(module, NeuralMemory):
                    _shift_keys(module)

    def forward(self, sample: Sample, last: int | None = None) -> Tensor:
        """As `ReadsAlone`."""
        tokens, places = sample.tokens, sample.places
        if last is not None and last < tokens.shape[1]:
            places = places - (tokens.shape[1] - last)
            tokens = tokens[:, -last:]
        found, _ = self.backbone(self.embed(tokens))
        found = found[torch.arange(len(places))[:, None], places]
        inputs = sample.inputs._replace(features=torch.cat([sample.inputs.features, found], -1))
        shift = self.shift(found)[..., (sample.steps - 1).clamp_max(SPAN - 1)] * (sample.steps <= SPAN)
        return self.reads(inputs, sample.steps) + shift[..., None]


class WithDraft(nn.Module):
    """The same backbone with a forecast of its own beside reads that stay as they are.

    The forecast is also trained directly, at every patch; it moves all deciles by a learned share that begins at 0.

    Args:
        reads: trained to the end.
        config: of the backbone.
    """

    def __init__(self, reads: ReadingNetwork, config: TitansConfig) -> None:
        super().__init__()
        self.reads = copy.deepcopy(reads).requires_grad_(False)
        self.embed = nn.Linear(TOKEN, config.width)
        self.backbone = Titans(config)
        self.draft = nn.Linear(config.width, SPAN)
        self.share = nn.Linear(config.width, 1)
        nn.init.zeros_(self.share.weight)
        nn.init.zeros_(self.share.bias)

    def forward(self, sample: Sample, last: int | None = None) -> Tensor:
        """As `ReadsAlone`, up to `SPAN` steps ahead."""
        tokens, places = sample.tokens, sample.places
        if last is not None and last < tokens.shape[1]:
            places = places - (tokens.shape[1] - last)
            tokens = tokens[:, -last:]
        found, _ = self.backbone(self.embed(tokens))
        return self._moved(sample, found[torch.arange(len(places))[:, None], places])

    def losses(self, sample: Sample, wanted: Tensor, observed: Tensor) -> Tensor:
        """Pinball loss of the deciles (see `pinball`), and the absolute error of the own forecast at every patch."""
        found, _ = self.backbone(self.embed(sample.tokens))
        deciles = self._moved(sample, found[torch.arange(len(sample.places))[:, None], sample.places])
        loss = (pinball(deciles, wanted) * observed).sum() / observed.sum().clamp_min(1)
        ahead, known = (part.unfold(1, SPAN, BLOCK)[:, 1:] for part in (sample.series.values, sample.series.observed))
        # The units of a token are its last two numbers.
        unit = sample.tokens[:, : ahead.shape[1], -2:]
        target = ((ahead - unit[..., :1]) / unit[..., 1:].exp()).clamp(-LARGEST, LARGEST)
        error = (self.draft(found[:, : ahead.shape[1]]) - target).abs() * known
        return loss + error.sum() / known.sum().clamp_min(1)

    def _moved(self, sample: Sample, found: Tensor) -> Tensor:
        deciles = self.reads(sample.inputs, sample.steps)
        draft = self.draft(found)[..., sample.steps - 1]
        return deciles + ((draft - deciles[..., len(LEVELS) // 2]) * torch.tanh(self.share(found)))[..., None]


class WithGates(nn.Module):
    """Two exact phase memories more, whose forgetting and writing follow the patches, beside the reads.

    The normal equations are those of the phase memories; factors and weights of a patch come from a small network
    (α, θ of the Titans inner problem). What they say at the level of the last steps moves all deciles, by a learned
    share that begins at 0.
    """

    def __init__(self, reads: ReadingNetwork) -> None:
        super().__init__()
        self.reads = copy.deepcopy(reads)
        self.gates = nn.Sequential(nn.Linear(TOKEN, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 3 * len(GATED)))
        nn.init.zeros_(self.gates[2].weight)
        nn.init.zeros_(self.gates[2].bias)
        horizon = torch.tensor(GATED)
        self.rate = nn.Parameter((torch.exp(1 / horizon) - 1).log())

    def forward(self, sample: Sample, last: int | None = None) -> Tensor:
        """As `ReadsAlone`."""
        forget, write, share = self.gates(sample.tokens).chunk(3, -1)
        kept = -nn.functional.softplus(self.rate + RATE * forget)
        weight = 2 * torch.sigmoid(write)
        if last is not None:
            weight = weight * (torch.arange(weight.shape[1]) >= weight.shape[1] - last)[:, None]
        drafts = gated_drafts(sample, kept, weight)
        deciles = self.reads(sample.inputs, sample.steps)
        rows = torch.arange(len(sample.places))[:, None]
        moved = (drafts - deciles[..., None, :, len(LEVELS) // 2]) * torch.tanh(share[rows, sample.places])[..., None]
        return deciles + moved.sum(2)[..., None]


def gated_drafts(sample: Sample, kept: Tensor, weight: Tensor) -> Tensor:
    """Forecasts (B, M, R, H) of phase memories in units of the boundaries.

    Args:
        sample: what was read.
        kept: (B, J, R) logarithms of the factors of forgetting.
        weight: (B, J, R) of the patches.
    """
    series, places = sample.series, sample.places
    count, length = series.values.shape
    keys = PhaseKeys.of(series)
    seen = keys.at(torch.arange(length).expand(count, -1)) * series.observed[..., None]
    blocks = seen.unflatten(1, (-1, BLOCK))
    both = torch.cat([blocks, series.values.unflatten(1, (-1, BLOCK))[..., None]], -1)
    sums = blocks.mT @ both  # (B, J, K, K + 1)
    total = kept.double().cumsum(1)
    rows = torch.arange(count)[:, None]
    age = total[rows, places][:, :, None] - total[:, None]  # (B, M, J, R)
    passed = (torch.arange(total.shape[1]) <= places[..., None])[..., None]
    share = torch.where(passed, age.clamp_max(0).exp(), 0.0).float() * weight[:, None]
    state = torch.einsum("bmjr,bjkl->bmrkl", share, sums)
    penalty = torch.full((keys.size,), RIDGE)
    penalty[0] = 0.02
    memory = solved_positive(state[..., :-1] + torch.diag(penalty), state[..., -1])
    end = (places + 1) * BLOCK
    back = end[..., None] + torch.arange(-LEVEL_STEPS, 0)
    ahead = end[..., None] + sample.steps - 1
    left = series.at(back)[:, :, None] - _read(keys, memory, back)
    known = take(series.observed, back)[:, :, None] * (back >= 0)[:, :, None]
    level = (left * known).sum(-1) / (known.sum(-1) + 0.1)
    found = _read(keys, memory, ahead) + level[..., None]
    unit = sample.inputs
    return ((found - unit.centre[..., None]) / unit.scale[..., None]).clamp(-LARGEST, LARGEST)


def _read(keys: PhaseKeys, memory: Tensor, time: Tensor) -> Tensor:
    """Memories (B, M, R, K) at steps (B, M, H): (B, M, R, H)."""
    key = keys.at(time.flatten(1)).unflatten(1, time.shape[1:])
    return memory @ key.mT


class WithAnalogues(nn.Module):
    """What followed after the most similar earlier steps, beside the reads: a reference whose memory grows.

    Nothing is compressed: the last steps are compared with all steps before, so that it shows how much of what a long
    memory could give there is to be had.
    """

    def __init__(self, reads: ReadingNetwork) -> None:
        super().__init__()
        self.reads = copy.deepcopy(reads)
        self.sharpness = nn.Parameter(torch.full((len(COMPARED),), math.log(SHARPNESS)))
        count = len(COMPARED)
        self.share = nn.Sequential(nn.Linear(TOKEN + count, WIDTH), nn.SiLU(), nn.Linear(WIDTH, count))
        nn.init.zeros_(self.share[2].weight)
        nn.init.zeros_(self.share[2].bias)

    def forward(self, sample: Sample, last: int | None = None) -> Tensor:
        """As `ReadsAlone`."""
        earliest = 0 if last is None else max(0, sample.series.length - last * BLOCK)
        found = [
            analogue(sample, steps, sharpness.exp(), earliest)
            for steps, sharpness in zip(COMPARED, self.sharpness, strict=True)
        ]
        drafts, nearest = (torch.stack(parts, 2) for parts in zip(*found, strict=True))
        rows = torch.arange(len(sample.places))[:, None]
        share = torch.tanh(self.share(torch.cat([sample.tokens[rows, sample.places], (nearest + 1e-3).log()], -1)))
        deciles = self.reads(sample.inputs, sample.steps)
        moved = (drafts - deciles[..., None, :, len(LEVELS) // 2]) * share[..., None]
        return deciles + moved.sum(2)[..., None]


def analogue(sample: Sample, compared: int, sharpness: Tensor, earliest: int) -> tuple[Tensor, Tensor]:
    """A forecast (B, M, H) in units of the boundaries, and the distance (B, M) to the nearest earlier steps.

    Args:
        sample: what was read.
        compared: last steps whose shape is compared.
        sharpness: weights are exp(−sharpness · mean square of differences in these units).
        earliest: nothing before this step is read.
    """
    series, unit = sample.series, sample.inputs
    end = (sample.places + 1) * BLOCK
    span = int(sample.steps.max())
    # Each window of steps and what followed it; the last ones have no whole future.
    whole = series.filled.unfold(1, compared + span, 1)
    mean = whole[..., :compared].mean(-1, keepdim=True)
    shapes = whole[..., :compared] - mean
    query = series.at(end[..., None] + torch.arange(-compared, 0))
    level = query.mean(-1, keepdim=True)
    query = query - level
    square = query.square().sum(-1)[..., None] - 2 * query @ shapes.mT + shapes.square().sum(-1)[:, None]
    distance = square.clamp_min(0) / compared / unit.scale.square()
    start = torch.arange(whole.shape[1])
    known = (start + compared + span <= end[..., None]) & (start >= series.first[:, None, None]) & (start >= earliest)
    weight = torch.softmax((-sharpness * distance).masked_fill(~known, -1e4), -1) * known
    follows = (whole - mean)[..., compared + sample.steps - 1]
    found = weight @ follows + level
    nearest = torch.where(known, distance, LARGEST**2).amin(-1).clamp_max(LARGEST**2)
    return ((found - unit.centre) / unit.scale).clamp(-LARGEST, LARGEST), nearest


def _tokens(at: Boundaries) -> Tensor:
    """Patches (B, J, `TOKEN`) in the units of their own ends; the slow memory is the one before the patch."""
    age = torch.arange(WINDOW - 1, -1, -1, dtype=at.window.dtype)
    weight = torch.exp(-age / CENTRE_SPAN) * at.window_observed
    centre = ((at.window * weight).sum(-1) / (weight.sum(-1) + 1e-6))[..., None]
    spread = ((at.window - centre).square() * at.window_observed).sum(-1) / (at.window_observed.sum(-1) + 1e-6)
    scale = (spread + 1e-6).sqrt()[..., None] + 0.02
    values, observed = at.window[..., -BLOCK:], at.window_observed[..., -BLOCK:]
    series = at.series
    before = nn.functional.pad(at.memories[:, :-1, SLOW], (0, 0, 1, 0))
    steps = torch.arange(BLOCK) - BLOCK
    key = PhaseKeys.of(series).at((at.end[..., None] + steps).flatten(1)).unflatten(1, (-1, BLOCK))
    left = values - (key @ before[..., None])[..., 0]
    phases = [
        wave(2 * math.pi * ((at.end - series.length) / period[:, None].clamp_min(1)))
        for period in (series.season, series.long_season)
        for wave in (torch.sin, torch.cos)
    ]
    parts = [
        ((values - centre) / scale).clamp(-LARGEST, LARGEST) * observed,
        (left / scale).clamp(-LARGEST, LARGEST) * observed,
        observed,
        torch.stack(phases, -1),
        centre.clamp(-LARGEST, LARGEST),
        scale.log(),
    ]
    return torch.cat(parts, -1)


def _shift_keys(memory: NeuralMemory) -> None:
    """The convolution of the keys begins as a delay of one token."""
    with torch.no_grad():
        keys = memory.conv.conv_weight[memory.width : 2 * memory.width]
        keys.zero_()
        keys[..., -2] = 1.0


def _config(block: str, **memory: object) -> TitansConfig:
    sizes = {"width": WIDTH, "heads": HEADS, "layers": LAYERS, "window": ATTENDED, "dropout": 0.0}
    linear = {"kind": "linear", "anchor": "token", "chunk_size": 32, "momentum_limit": 0.5}
    return TitansConfig(block, **sizes, memory=MemoryConfig(**(linear | memory)))  # type: ignore[arg-type]


DEEP = {"kind": "mlp", "anchor": "chunk", "chunk_size": 16}
VARIANTS: dict[str, Callable[[ReadingNetwork], nn.Module]] = {
    "reads": ReadsAlone,
    "attention": lambda reads: WithBackbone(reads, _config("attention")),
    "linear": lambda reads: WithBackbone(reads, _config("lmm")),
    "delta": lambda reads: WithBackbone(reads, _config("lmm", momentum=False)),
    "deep": lambda reads: WithBackbone(reads, _config("lmm", **DEEP)),
    "mag": lambda reads: WithBackbone(reads, _config("mag")),
    "mal": lambda reads: WithBackbone(reads, _config("mal")),
    "linear-next": lambda reads: WithBackbone(reads, _config("lmm"), next_patch=True),
    "mag-next": lambda reads: WithBackbone(reads, _config("mag"), next_patch=True),
    "gates": WithGates,
    "analogues": WithAnalogues,
}
# Those that start from the control after its training.
DRAFTED: dict[str, Callable[[ReadingNetwork], nn.Module]] = {
    "attention-draft": lambda reads: WithDraft(reads, _config("attention")),
    "linear-draft": lambda reads: WithDraft(reads, _config("lmm")),
    "deep-draft": lambda reads: WithDraft(reads, _config("lmm", **DEEP)),
    "mag-draft": lambda reads: WithDraft(reads, _config("mag")),
}


def added(network: nn.Module) -> list[nn.Parameter]:
    """Parameters that the trained reads did not have."""
    return [value for name, value in network.named_parameters() if not name.startswith("reads.")]


def state_size(network: nn.Module) -> int:
    """Numbers that are kept of a series beside the reads' own, however long it is; -1 where all of it is kept."""
    if isinstance(network, WithAnalogues):
        return -1
    if isinstance(network, WithGates):
        size = PhaseKeys(torch.zeros(1, 2)).size
        return len(GATED) * size * (size + 1)
    if not isinstance(network, WithBackbone | WithDraft):
        return 0
    _, state = network.backbone(torch.zeros(1, 2 * ATTENDED, WIDTH))
    return _numbers(state)


def _numbers(state: object) -> int:
    if isinstance(state, Tensor):
        return state.numel()
    return sum(_numbers(part) for part in state) if isinstance(state, tuple) else 0


def pinball(deciles: Tensor, wanted: Tensor) -> Tensor:
    """Twice the pinball loss (…,) of deciles (…, Q), mean over them."""
    error = wanted[..., None] - deciles
    levels = torch.tensor(LEVELS, dtype=error.dtype)
    return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
