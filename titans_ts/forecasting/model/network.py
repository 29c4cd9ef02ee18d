"""ForecastNetwork: windows → linear part → patch encoder → Titans → head, on plain tensors.

It knows nothing of Lightning, gluonts or scikit-learn. Batches carry gluonts' field names.

Shapes: B batch, M channels, G = B·M rows, L context steps, P horizon steps, N tokens, D width, Q quantile levels.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.initialization import embedding_, linear_
from titans_ts.forecasting.linear.linear_part import LinearPart
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.encoder import PatchEncoder
from titans_ts.forecasting.model.heads import Units, make_head
from titans_ts.forecasting.model.mixing import ChannelMixer
from titans_ts.forecasting.model.scaling import log_width_slopes
from titans_ts.forecasting.model.window import FENCE, Batch, Batches, Window, WindowReader, wide

# Residuals a horizon step from which the head starts: far more than eleven quantiles need.
MOST_RESIDUALS = 20_000
# Gain in the mean logarithm of held-out errors from which wild readings are left out.
CLEARLY = 0.01
# Of many windows: share with readings that are far out, or distance of a single one in fences, from which it is tried.
MANY_WINDOWS, WILD_SHARE, WILD = 5_000, 0.02, 10.0


class Forecast(NamedTuple):
    """A forecast in the caller's units: mean (B, P[, M]), quantiles (B, P, Q) or (B, P, M, Q).

    Example:
        >>> import torch
        >>> forecast = Forecast(mean=torch.tensor([[5.0, 6.5]]), quantiles=torch.tensor([[[4.0, 5, 6], [4, 6, 8]]]))
        >>> forecast.quantiles[..., 1]  # the median of both steps
        tensor([[5., 6.]])
    """

    mean: Tensor
    quantiles: Tensor


class PrefilledContext(NamedTuple):
    """What a session has read before the forecast, in place of the window's tokens.

    Attributes:
        state: of the backbone after the last token read.
        last: (G, D), the backbone's output at that token.
        pending: whether steps came after it, so that the patch which ends with the window is read too.
    """

    state: TitansState
    last: Tensor
    pending: bool


class ForecastNetwork(nn.Module):
    """A neural forecaster that learns what its linear part leaves over.

    Args:
        config: see :class:`NetworkConfig`.

    Attributes:
        linear: the `LinearPart`.
        linear_head: state of the head that belongs to the linear part alone; None before `fit_linear`.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
        >>> from titans_ts import ForecastNetwork, NetworkConfig
        >>> wave = SeriesRecord("wave", pd.Timestamp("2024-01-01"), "h", np.sin(np.arange(200) / 4))
        >>> store = WindowStore([wave], WindowSpec(48, 6))
        >>> network = ForecastNetwork(NetworkConfig(48, 6, time_features=store.num_time_features)).eval()
        >>> network.fit_linear([lambda: [store.batch(store.windows())]])
        >>> forecast = network(store.batch(store.last_window()), [0.1, 0.5, 0.9])
        >>> forecast.mean.shape, forecast.quantiles.shape
        (torch.Size([1, 6]), torch.Size([1, 6, 3]))
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.backbone.width
        head = make_head(config.head, config.prediction_length, config.quantiles)
        self.window = WindowReader(config.past_features, head.counts)
        features = config.time_features + config.past_features
        self.encoder = PatchEncoder(config.patch_length, config.patch_stride, features, width)
        self.embedding_static = nn.ModuleList(embedding_(n, width) for n in config.static_cardinalities)
        self.static_real = linear_(nn.Linear(config.static_reals, width, bias=False)) if config.static_reals else None
        # Windows are read in units of their own; this carries them, where prices of 20 and of 80 behave differently.
        self.window_units = nn.Linear(2, width, bias=False)
        nn.init.zeros_(self.window_units.weight)
        self.backbone = Titans(config.backbone)
        self.mixer = ChannelMixer(width, config.backbone.heads) if config.channel_mixing else None
        self.head = head
        self.dropout = nn.Dropout(config.head_dropout)
        # Two readings of the future, both starting at zero: the last past token for all steps (few parameters see the
        # whole horizon at once), and each horizon token for its own steps (known covariates reach the forecast there).
        self.from_last = nn.Linear(width, config.prediction_length * self.head.outputs)
        self.from_horizon = nn.Linear(width, config.patch_length * self.head.outputs)
        for layer in (self.from_last, self.from_horizon):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.linear_head: dict[str, Tensor] | None = None
        # How the width of intervals varies with the phase of the last step (forecasts made at night and at noon).
        self.phase_width: Tensor
        self.register_buffer("phase_width", torch.zeros(2, config.prediction_length))
        self.linear = LinearPart(config)

    @torch.no_grad()
    def fit_linear(
        self, folds: Sequence[Batches], held_out: Batches | None = None, some: Sequence[Batches] | None = None
    ) -> None:
        """Fit the linear part in closed form and start the head from its residuals.

        Args:
            folds: parts (of time) of the training windows, each called for its batches as often as they are needed.
            held_out: batches that choose the ridge penalties; training batches where None.
            some: of the folds' batches those on which ways of reading windows are compared; all where None.
        """
        if held_out is not None:
            self._choose_fence(folds, held_out, folds if some is None else some)
        check = partial(self.window.labelled, held_out) if held_out else None
        residuals, phase = self.linear.fit([partial(self.window.labelled, part) for part in folds], check)
        if self.config.phase_column >= 0:
            self.phase_width.copy_(log_width_slopes(residuals, phase))
            residuals = residuals / torch.exp(phase @ self.phase_width)
        self.head.fit_residuals(residuals[:: max(1, len(residuals) // MOST_RESIDUALS)])
        self.linear_head = {name: value.clone() for name, value in self.head.state_dict().items()}

    def _choose_fence(self, folds: Sequence[Batches], held_out: Batches, some: Sequence[Batches]) -> None:
        """Leave wild readings out of windows where there are some and held-out windows show that it helps."""
        self.window.fence.fill_(torch.inf)
        if self.config.linear == "none":
            return
        batches = itertools.chain(held_out(), itertools.chain.from_iterable(part() for part in folds))
        wild = torch.cat([self.window.wild(batch) for batch in batches])
        share = 0.0 if len(wild) <= MANY_WINDOWS else WILD_SHARE
        if wild.amax() <= 1 or ((wild > 1).double().mean() < share and wild.amax() < WILD):
            return
        errors = []
        for width in (torch.inf, FENCE):
            self.window.fence.fill_(width)
            windows = partial(self.window.labelled, lambda: itertools.chain.from_iterable(part() for part in some))
            self.linear.fit_quickly(windows, partial(self.window.labelled, held_out))
            errors.append(self._held_out_error(held_out))
        # Where no held-out window is concerned, caution decides.
        if errors[0] - CLEARLY <= errors[1] != errors[0]:
            self.window.fence.fill_(torch.inf)

    def _held_out_error(self, held_out: Batches) -> float:
        """Mean logarithm of the windows' mean absolute errors in the caller's units: no window decides for all."""
        found = []
        for batch in held_out():
            w = self.window(batch)
            target, observed = self.window.target(batch, w.units)
            error = ((self.linear(w) - target).abs() * w.units.scale * observed).sum(1) / observed.sum(1).clamp_min(1)
            found.append(error[observed.sum(1) > 0].double().clamp_min(1e-30).log())
        return float(torch.cat(found).mean())

    def take_choices(self, other: ForecastNetwork) -> None:
        """Take over what held-out windows chose for the linear part of another network."""
        self.window.fence.copy_(other.window.fence)
        self.linear.ridge.take_choices(other.linear.ridge)

    def linear_forecast(self, w: Window) -> Tensor:
        """The linear part's forecast (G, P) in item units; the window's mean without one."""
        forecast: Tensor = self.linear(w)
        return forecast

    def past_tokens(self, batch: Batch, w: Window, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """The window's last `steps` steps (all where None) as tokens.

        Returns:
            Tokens (G, N, D), and a mask (G, N) of those with an observation.
        """
        # Past covariates relative to the window's mean: their level is a clock (dew point tells the month by heart).
        first = self.config.time_features
        covariates = w.past[..., first:] - w.past[..., first:].mean(1, keepdim=True)
        past = torch.cat([w.past[..., :first], covariates], dim=-1)
        values, back = (w.values - w.loc) / w.spread, slice(-(steps or w.values.shape[1]), None)
        tokens, mask = self.encoder.encode_past(values[:, back], w.observed[:, back], past[:, back])
        return tokens + self._level(batch, w), mask

    def head_inputs(
        self, batch: Batch, prefilled: PrefilledContext | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Units]:
        """What the head reads: raw outputs (G, P, O), center (G, P), unit of intervals (G, P), units."""
        w = self.window(batch)
        center = self.linear_forecast(w)
        # The unit of corrections and intervals: the window's spread, varied with the phase.
        width = w.spread * torch.exp(self.linear.features.phase(w) @ self.phase_width)
        return self._outputs(batch, w, center, prefilled), center, width, w.units

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Head loss summed over the observed horizon steps of each row, and their number, both (G,)."""
        raw, center, width, units = self.head_inputs(batch)
        target, observed = self.window.target(batch, units)
        loss = self.head.loss(raw, center, width, target, units)
        return (loss * observed).sum(-1), observed.sum(-1)

    def loss(self, batch: Batch) -> Tensor:
        """Mean head loss over observed horizon steps, a scalar; 0 (with a gradient) when none is observed."""
        losses, observed = (x.sum() for x in self.row_losses(batch))
        return losses / observed.clamp_min(1)

    @torch.no_grad()
    def shrink_to_linear(self, network_weight: float) -> None:
        """Shrink what was learned beyond the linear part.

        Args:
            network_weight: 0 … 1; 0 leaves the linear part alone, 1 changes nothing.
        """
        for layer in (self.from_last, self.from_horizon):
            layer.weight.mul_(network_weight)
            layer.bias.mul_(network_weight)
        for name, value in self.head.state_dict().items():
            value.lerp_((self.linear_head or {}).get(name, value).to(value), 1.0 - network_weight)

    def forward(
        self, batch: Batch, levels: list[float] | None = None, prefilled: PrefilledContext | None = None
    ) -> Forecast:
        """Forecast in the caller's units.

        Args:
            batch: fields as `titans_datasets.series.WindowStore.batch` gives them; the future target is not read.
            levels: quantile levels, the trained ones where None.
            prefilled: what the backbone has read already; None reads the window's tokens from an empty memory.

        Returns:
            mean (B, P[, M]) and quantiles (B, P[, M], Q), float64 (on the CPU where the device has none).

        Raises:
            ValueError: the head cannot give one of the levels.
        """
        levels = list(self.config.quantiles) if levels is None else levels
        raw, center, width, units = self.head_inputs(batch, prefilled)
        mean = wide(self.head.mean(raw, center, width, units))
        quantiles = wide(self.head.quantiles(raw, center, width, levels, units))
        loc, scale = wide(units.loc), wide(units.scale)
        mean, quantiles = mean * scale + loc, quantiles * scale[..., None] + loc[..., None]
        if batch["past_target"].ndim == 3:
            rows = len(batch["past_target"])
            mean, quantiles = (x.reshape(rows, -1, *x.shape[1:]).transpose(1, 2) for x in (mean, quantiles))
        origin = self.window.origin(batch)
        return Forecast(mean, quantiles) if origin is None else Forecast(mean + origin, quantiles + origin[..., None])

    def _outputs(self, batch: Batch, w: Window, center: Tensor, prefilled: PrefilledContext | None) -> Tensor:
        """Raw head outputs (G, P, O)."""
        steps, outputs = self.config.prediction_length, self.head.outputs
        if not self.training and not torch.is_grad_enabled() and self._is_linear():
            return center.new_zeros(len(center), steps, outputs)
        tokens, mask = self.past_tokens(batch, w)
        if prefilled is not None:
            rest = slice(tokens.shape[1] - prefilled.pending, None)
            tokens, mask = tokens[:, rest], mask[:, rest]
        horizon = self.encoder.encode_future((center - w.loc) / w.spread, w.future) + self._level(batch, w)
        x = torch.cat([tokens, horizon], dim=1)
        mask = torch.cat([mask, mask.new_ones(mask.shape[0], horizon.shape[1])], dim=1)
        z, _ = self.backbone(x, prefilled.state if prefilled else None, None if bool(mask.all()) else mask)
        z = z if prefilled is None else torch.cat([prefilled.last[:, None], z], dim=1)
        past = z.shape[1] - horizon.shape[1]
        if self.mixer is not None:
            z = self.mixer(z, len(z) // len(batch["past_time_feat"]))
        z = self.dropout(z)
        last = self.from_last(z[:, past - 1]).unflatten(-1, (steps, outputs))
        each = self.from_horizon(z[:, past:]).unflatten(-1, (-1, outputs)).flatten(1, 2)
        raw: Tensor = last + each[:, :steps]
        return raw

    def _is_linear(self) -> bool:
        """Whether nothing is added to the linear part (`shrink_to_linear`), so that the backbone need not run."""
        return not any(bool(p.any()) for layer in (self.from_last, self.from_horizon) for p in layer.parameters())

    def _level(self, batch: Batch, w: Window) -> Tensor:
        """What is added to every token of a window: its static covariates and units, (G, 1, D)."""
        units = torch.cat([w.loc.clamp(-4, 4), w.spread.log().clamp(-4, 4)], dim=-1)
        return self._static(batch, len(w.loc)) + self.window_units(units)[:, None]

    def _static(self, batch: Batch, rows: int) -> Tensor:
        """Embedded static covariates (G, 1, D), or (1, 1, D) zeros."""
        total = self.from_last.weight.new_zeros(1, self.config.backbone.width)
        for i, table in enumerate(self.embedding_static):
            total = total + table(batch["feat_static_cat"][:, i])
        if self.static_real is not None:
            total = total + self.static_real(batch["feat_static_real"])
        return total.repeat_interleave(max(1, rows // len(total)) if len(total) > 1 else 1, dim=0)[:, None]


def linear_part(network: ForecastNetwork) -> ForecastNetwork:
    """A copy that forecasts the linear part alone, with the quantiles of its residuals on training windows.

    Raises:
        ValueError: the linear part was not fitted, and came from no file that holds it.
    """
    if network.linear_head is None:
        raise ValueError("the linear part is known after fit_linear() only: fit the model in this process")
    alone = copy.deepcopy(network)
    alone.shrink_to_linear(0.0)
    return alone.eval()
