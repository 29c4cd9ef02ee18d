"""ForecastNetwork: scaler → linear part → patch encoder → Titans → head, on plain tensors.

It knows nothing of Lightning, gluonts or scikit-learn. Batches carry gluonts' field names.

Shapes: B batch, M channels, G = B·M rows, L context steps, P horizon steps, Ft time features and known covariates,
Fp past-only covariates, N tokens, D width, Q quantile levels.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.initialization import embedding_, linear_
from titans_ts.forecasting.linear.linear_part import LinearPart
from titans_ts.forecasting.linear.ridge import Rows
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES, NetworkConfig
from titans_ts.forecasting.model.encoder import PatchEncoder
from titans_ts.forecasting.model.heads import Units, make_head
from titans_ts.forecasting.model.mixing import ChannelMixer
from titans_ts.forecasting.model.scaling import SMALLEST_SPREAD, InstanceScaler, fill_forward, log_width_slopes
from titans_ts.forecasting.model.window import LinearFeatures, Window

Batch = dict[str, Tensor]
Batches = Callable[[], Iterable[Batch]]


__all__ = [
    "DEFAULT_QUANTILES",
    "Batch",
    "Batches",
    "Carried",
    "Forecast",
    "ForecastNetwork",
    "NetworkConfig",
    "linear_part",
]


class Forecast(NamedTuple):
    """A forecast in the caller's units: mean (B, P[, M]), quantiles (B, P, Q) or (B, P, M, Q)."""

    mean: Tensor
    quantiles: Tensor


class Carried(NamedTuple):
    """What a session has read before the forecast, in the place of the window's tokens.

    Attributes:
        state: of the backbone after the last token read.
        last: (G, D), what the backbone said at that token.
        pending: whether steps lie behind it, so that the patch which ends with the window is read too.
    """

    state: TitansState
    last: Tensor
    pending: bool


class ForecastNetwork(nn.Module):
    """Learns what the linear part leaves over.

    Args:
        config: see :class:`NetworkConfig`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.backbone.width
        self.scaler = InstanceScaler()
        features = config.time_features + config.past_features
        self.encoder = PatchEncoder(config.patch_length, config.patch_stride, features, width)
        self.embedding_static = nn.ModuleList(embedding_(n, width) for n in config.static_cardinalities)
        self.static_real = linear_(nn.Linear(config.static_reals, width, bias=False)) if config.static_reals else None
        # Windows are read in units of their own; this says which, where prices of 20 and of 80 behave differently.
        self.window_units = nn.Linear(2, width, bias=False)
        nn.init.zeros_(self.window_units.weight)
        self.backbone = Titans(config.backbone)
        self.mixer = ChannelMixer(width, config.backbone.heads) if config.channel_mixing else None
        self.head = make_head(config.head, config.prediction_length, config.quantiles)
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
        self.features = LinearFeatures(config)
        self.linear = LinearPart(
            self.features.context,
            self.features.covariates,
            config.prediction_length,
            config.season,
            self.features.cyclic,
            nested=config.linear == "nested",
            by_item=config.item_maps,
        )

    def _rows(self, x: Tensor) -> Tensor:
        """(B, T) or (B, T, M) → (G, T)."""
        if x.ndim == 2:
            return x
        return x.transpose(1, 2).flatten(0, 1)

    def window(self, batch: Batch) -> Window:
        """The batch's past as rows, in item units, filled and with its statistics."""
        target, observed = self._rows(batch["past_target"]), self._rows(batch["past_observed_values"])
        channels = len(target) // len(batch["past_time_feat"])
        units = self._units(batch, target, observed)
        item = (target - units.loc) / units.scale * observed
        _, loc, spread = self.scaler(item, observed)
        spread = spread.clamp_min(SMALLEST_SPREAD)
        past = torch.cat([batch["past_time_feat"], batch["past_feat_dynamic_real"]], dim=-1)
        future = batch["future_time_feat"]
        blank = future.new_zeros(*future.shape[:2], self.config.past_features)
        future = torch.cat([future, blank], dim=-1)
        past, future = (x.repeat_interleave(channels, dim=0) for x in (past, future))
        # Channels have no names of their own.
        codes = batch.get("item_code") if channels == 1 else None
        codes = torch.full((len(target),), -1, device=target.device) if codes is None else codes
        return Window(fill_forward(item, observed), observed, loc, spread, units, past, future, codes)

    def _units(self, batch: Batch, target: Tensor, observed: Tensor) -> Units:
        """Mean and spread of the whole series where the batch carries them, of the window where not."""
        if "item_scale" not in batch:
            return Units(*self.scaler(target, observed)[1:])
        return Units(batch["item_loc"].reshape(-1, 1), batch["item_scale"].reshape(-1, 1))

    @torch.no_grad()
    def fit_linear(self, folds: Sequence[Batches], held_out: Batches | None = None) -> None:
        """Fit the linear map in closed form and start the head from its residuals.

        Args:
            folds: parts (of time) of the training windows, each called for its batches as often as they are needed. The
                residuals of a part are those of the map fitted on the others: in-sample residuals are too small.
            held_out: batches that choose the ridge penalties; training batches where None.
        """
        maps = [self.linear] * len(folds)
        if self.config.linear != "none":
            maps = self.linear.fit(
                [self._regression(part) for part in folds], self._regression(held_out) if held_out else None
            )
            usual = self._usual_error(folds) if self.config.robust else 0.0
            for _ in range(self.config.robust):
                maps = self.linear.fit([self._regression(part, usual) for part in folds])
        parts = [self._residuals(part, one) for part, one in zip(folds, maps, strict=True)]
        found, phase = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        if self.config.phase_column >= 0:
            self.phase_width.copy_(log_width_slopes(found, phase))
            found = found / torch.exp(phase @ self.phase_width)
        # The gaps keep this many residuals a step: far beyond what eleven quantiles need.
        self.head.calibrate(found[:: max(1, len(found) // 20_000)])
        self.linear_head = {name: value.clone() for name, value in self.head.state_dict().items()}

    def _width(self, w: Window) -> Tensor:
        """Unit of corrections and intervals (G, P): the window's spread, varied with the phase."""
        return w.spread * torch.exp(self.features.phase(w) @ self.phase_width)

    def _residuals(self, batches: Batches, linear: LinearPart) -> tuple[Tensor, Tensor]:
        """Residuals (G, P) of a linear map in units of the window's spread, NaN where nothing was observed; phases."""
        found, phases = [], []
        for batch in batches():
            w = self.window(batch)
            y, observed = self._target(batch, w.units)
            found.append(torch.where(observed > 0, (y - self.linear_forecast(w, linear)) / w.spread, torch.nan))
            phases.append(self.features.phase(w))
        return torch.cat(found), torch.cat(phases)

    def _regression(self, batches: Batches, usual: float = 0.0) -> Iterator[Rows]:
        """Rows for the linear map; gaps in the horizon are filled forward, rows mostly gap do not count.

        Args:
            batches: the windows.
            usual: 0 weighs all windows alike. Otherwise a window weighs as the inverse of its error by the present map
                (least squares so weighted minimise the sum of the windows' errors, not of their squares, so that a few
                wild windows do not decide), bounded at a tenth of this error.
        """
        for batch in batches():
            w = self.window(batch)
            y, observed = self._target(batch, w.units)
            filled = fill_forward(torch.cat([w.values, y], dim=1), torch.cat([torch.ones_like(w.values), observed], 1))
            weight = ((observed.mean(1) >= 0.5) & (w.observed.mean(1) >= 0.5)).to(y.dtype)
            x, y = self.features(w), filled[:, w.values.shape[1] :]
            if usual > 0:
                error = (self.linear(x, w.codes) - y).square().mean(1).sqrt()
                weight = weight * usual / (error + 0.1 * usual)
            yield x, y, weight, w.codes

    def _usual_error(self, folds: Sequence[Batches]) -> float:
        """Median over windows of the linear map's root mean square error, in item units."""
        found = []
        for x, y, weight, codes in itertools.chain.from_iterable(self._regression(part) for part in folds):
            found.append((self.linear(x, codes) - y).square().mean(1).sqrt()[weight > 0])
        return float(torch.cat(found).nan_to_num(0.0).median()) if any(len(part) for part in found) else 0.0

    def _target(self, batch: Batch, units: Units) -> tuple[Tensor, Tensor]:
        target = (self._rows(batch["future_target"]) - units.loc) / units.scale
        return target, self._rows(batch["future_observed_values"])

    def linear_forecast(self, w: Window, linear: LinearPart | None = None) -> Tensor:
        """The linear part's forecast (G, P) in item units; the window's level without one."""
        if self.config.linear == "none":
            return w.loc.expand(-1, self.config.prediction_length)
        forecast: Tensor = (linear or self.linear)(self.features(w), w.codes)
        return forecast

    def past_tokens(self, batch: Batch, w: Window, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """The window's last `steps` steps (all where None) as tokens (G, N, D); those with an observation (G, N)."""
        # Past covariates relative to the window's mean: their level is a clock (dew point tells the month by heart).
        first = self.config.time_features
        covariates = w.past[..., first:] - w.past[..., first:].mean(1, keepdim=True)
        past = torch.cat([w.past[..., :first], covariates], dim=-1)
        values, back = (w.values - w.loc) / w.spread, slice(-(steps or w.values.shape[1]), None)
        tokens, mask = self.encoder.encode_past(values[:, back], w.observed[:, back], past[:, back])
        return tokens + self._level(batch, w), mask

    def _level(self, batch: Batch, w: Window) -> Tensor:
        """What every token of a window knows: its static covariates and units, (G, 1, D)."""
        units = torch.cat([w.loc.clamp(-4, 4), w.spread.log().clamp(-4, 4)], dim=-1)
        return self._static(batch, len(w.loc)) + self.window_units(units)[:, None]

    def _outputs(self, batch: Batch, w: Window, center: Tensor, carried: Carried | None) -> Tensor:
        """Raw head outputs (G, P, O)."""
        steps, outputs = self.config.prediction_length, self.head.outputs
        if not self.training and not torch.is_grad_enabled() and self._off():
            return center.new_zeros(len(center), steps, outputs)
        tokens, mask = self.past_tokens(batch, w)
        if carried is not None:
            rest = slice(tokens.shape[1] - carried.pending, None)
            tokens, mask = tokens[:, rest], mask[:, rest]
        horizon = self.encoder.encode_future((center - w.loc) / w.spread, w.future) + self._level(batch, w)
        x = torch.cat([tokens, horizon], dim=1)
        mask = torch.cat([mask, mask.new_ones(mask.shape[0], horizon.shape[1])], dim=1)
        z, _ = self.backbone(x, carried.state if carried else None, None if bool(mask.all()) else mask)
        z = z if carried is None else torch.cat([carried.last[:, None], z], dim=1)
        past = z.shape[1] - horizon.shape[1]
        if self.mixer is not None:
            z = self.mixer(z, len(z) // len(batch["past_time_feat"]))
        z = self.dropout(z)
        last = self.from_last(z[:, past - 1]).unflatten(-1, (steps, outputs))
        each = self.from_horizon(z[:, past:]).unflatten(-1, (-1, outputs)).flatten(1, 2)
        raw: Tensor = last + each[:, :steps]
        return raw

    def _off(self) -> bool:
        """Whether nothing of the network is kept beyond the linear map (`shrink`): what it reads does not matter."""
        return not any(bool(p.any()) for layer in (self.from_last, self.from_horizon) for p in layer.parameters())

    def _static(self, batch: Batch, rows: int) -> Tensor:
        """Embedded static covariates (G, 1, D), or (1, 1, D) zeros."""
        total = self.from_last.weight.new_zeros(1, self.config.backbone.width)
        for i, table in enumerate(self.embedding_static):
            total = total + table(batch["feat_static_cat"][:, i])
        if self.static_real is not None:
            total = total + self.static_real(batch["feat_static_real"])
        return total.repeat_interleave(max(1, rows // len(total)) if len(total) > 1 else 1, dim=0)[:, None]

    def head_inputs(self, batch: Batch, carried: Carried | None = None) -> tuple[Tensor, Tensor, Tensor, Units]:
        """What the head reads: raw outputs (G, P, O), center (G, P), unit of intervals (G, P), units."""
        w = self.window(batch)
        center = self.linear_forecast(w)
        return self._outputs(batch, w, center, carried), center, self._width(w), w.units

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Head loss summed over the observed horizon steps of each row, and their number, both (G,)."""
        raw, center, width, units = self.head_inputs(batch)
        target, observed = self._target(batch, units)
        loss = self.head.loss(raw, center, width, target, units)
        return (loss * observed).sum(-1), observed.sum(-1)

    def loss(self, batch: Batch) -> Tensor:
        """Mean head loss over observed horizon steps, a scalar; 0 (with a gradient) when none is observed."""
        losses, observed = (x.sum() for x in self.row_losses(batch))
        return losses / observed.clamp_min(1)

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Keep ``share`` (0 … 1) of what was learned beyond the linear map: 0 is the linear map, 1 changes nothing."""
        for layer in (self.from_last, self.from_horizon):
            layer.weight.mul_(share)
            layer.bias.mul_(share)
        for name, value in self.head.state_dict().items():
            value.lerp_((self.linear_head or {}).get(name, value).to(value), 1.0 - share)

    def forward(self, batch: Batch, levels: list[float] | None = None, carried: Carried | None = None) -> Forecast:
        """Forecast in the caller's units.

        Args:
            batch: fields as `titans_datasets.series.WindowStore.batch` gives them; the future target is not read.
            levels: quantile levels, the trained ones where None.
            carried: what the backbone has read already; None reads the window's tokens from an empty memory.

        Returns:
            mean (B, P[, M]) and quantiles (B, P[, M], Q).

        Raises:
            ValueError: the head cannot give one of the levels.
        """
        levels = list(self.config.quantiles) if levels is None else levels
        raw, center, width, units = self.head_inputs(batch, carried)
        mean = self.head.mean(raw, center, width, units) * units.scale + units.loc
        quantiles = self.head.quantiles(raw, center, width, levels, units)
        quantiles = quantiles * units.scale[..., None] + units.loc[..., None]
        if batch["past_target"].ndim == 3:
            rows = len(batch["past_target"])
            mean, quantiles = (x.reshape(rows, -1, *x.shape[1:]).transpose(1, 2) for x in (mean, quantiles))
        return Forecast(mean, quantiles)


def linear_part(network: ForecastNetwork) -> ForecastNetwork:
    """A copy that forecasts the closed-form linear map alone, with the quantiles of its residuals on training windows.

    Raises:
        ValueError: the network's linear was not fitted in this process (it was loaded from a file).
    """
    if network.linear_head is None:
        raise ValueError("the linear map is known after fit_linear() only: fit the model in this process")
    alone = copy.deepcopy(network)
    alone.shrink(0.0)
    return alone.eval()
