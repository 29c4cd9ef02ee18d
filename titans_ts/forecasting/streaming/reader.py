"""StreamReader: how a block of steps moves a session's state on.

States are never changed in place: `StreamReader.advance` takes one and gives the next, so that a failure half way
leaves the session where it was.

Shapes: I items, M channels, C = I·M columns, L context steps, n steps of a block, Ft time features (calendar, then
known covariates), Fk known and Fp past covariates, K tokens, N memories, H heads, D width, Q patch length, P parts of a
departure (`detection.PARTS`).
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from titans_datasets.series import time_features
from titans_datasets.series.batches.windows import halves, usable_scale
from titans_datasets.series.time.calendar_features import local_index
from titans_ts.core.options import ReadOptions
from titans_ts.core.surprise import InnerLoss, SurpriseRecord
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batch
from titans_ts.forecasting.streaming.detection import PARTS, departures, initial_running, token_levels
from titans_ts.forecasting.streaming.lms_filter import HEADS, StepMemory
from titans_ts.forecasting.streaming.state import Block, Clock, Read, StreamState, Watch

# Windows whose statistics are taken at once.
ROWS = 1024
# Tokens of a block: observations wait until as many are complete, or until a result is requested.
BLOCK = 32
# Means beyond so many deviations are taken off in float64.
FAR = 4.0


class StreamReader:
    """Reads observations with a network.

    Args:
        network: in evaluation mode, on the device of the session.
        clock: of the session.
    """

    def __init__(self, network: ForecastNetwork, clock: Clock) -> None:
        self.network, self.clock = network, clock
        config = network.config
        self.context, self.patch, self.stride = config.context_length, config.patch_length, config.patch_stride
        self.items, self.channels = len(clock.first), config.channels
        self.device = next(network.parameters()).device
        self.step_memory = StepMemory(config.season, self.context)
        self.block = BLOCK * self.stride

    def initial_state(self) -> StreamState:
        """Before the first step."""
        config, columns = self.network.config, self.items * self.channels
        return StreamState(
            0,
            torch.full((columns, self.context), torch.nan, dtype=torch.float64, device=self.device),
            torch.zeros(self.items, self.context, config.time_features, device=self.device),
            torch.zeros(self.items, self.context, config.past_features, device=self.device),
            torch.zeros(4, columns, dtype=torch.float64, device=self.device),
            Watch(
                self.step_memory.initial_state(columns, self.device),
                torch.full((columns, HEADS, self.patch), torch.nan, device=self.device),
                initial_running(columns),
            ),
        )

    def ends(self, after: int, until: int) -> list[int]:
        """The steps after + 1 … until that complete a token: L, and every patch_stride steps from there."""
        later = max(0, -(-(after + 1 - self.context) // self.stride))
        return list(range(self.context + later * self.stride, until + 1, self.stride))

    def last_end(self, steps: int) -> int:
        """The last step up to `steps` that completed a token, for steps ≥ L."""
        return steps - (steps - self.context) % self.stride

    @torch.no_grad()
    def slide(self, state: StreamState, block: Block) -> StreamState:
        """The state with the block's steps as its last ones; the memory reads nothing."""
        if len(block.values) == 0:
            return state
        return _moved(state, self._line(state, block), self._statistics(state.seen, block))

    @torch.no_grad()
    def advance(self, state: StreamState, block: Block) -> tuple[StreamState, Read | None]:
        """Read a block of n ≥ 0 steps: the state after it, and the surprise of the tokens it completes."""
        if len(block.values) == 0:
            return state, None
        ends = self.ends(state.steps, state.steps + len(block.values))
        line, seen = self._line(state, block), self._statistics(state.seen, block)
        errors, after = self._read_steps(state, line, seen)
        if not ends:
            return after, None
        parts, names = [], []
        if ends[0] == self.context:
            names += list(range(self.context, 0, -self.stride))[: self.network.encoder.count(self.context)][::-1]
            parts.append(self._tokens(state, line, seen, ends[:1], None))
        later = ends[1:] if parts else ends
        names += later
        size = max(1, ROWS // len(state.values))
        for place in range(0, len(later), size):
            parts.append(self._tokens(state, line, seen, later[place : place + size], self.patch))
        tokens, mask = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
        record = SurpriseRecord()
        given = None if bool(mask.all()) else mask
        z, memory = self.network.backbone(tokens, state.memory, given, options=ReadOptions(surprise=record))
        found = record.stacked()
        if found is None:
            return after._replace(memory=memory, last=z[:, -1].clone()), None
        found = InnerLoss(*(x.masked_fill(~mask[..., None, None], torch.nan) for x in found))
        surprise = InnerLoss(*(x[:, -1].clone() for x in found))
        departure, running = self._departures(found.loss, errors, [end - state.steps for end in later], state)
        after = after._replace(
            watch=after.watch._replace(running=running),
            memory=memory,
            last=z[:, -1].clone(),
            surprise=surprise,
            departure=departure[:, -1].clone(),
        )
        return after, Read(names, found, departure)

    def _read_steps(self, state: StreamState, line: Line, seen: Tensor) -> tuple[Tensor, StreamState]:
        """Errors (C, 2, Q + n) of the steps of the patch before and of the block; the state after the block."""
        loc, scale = (x.double() for x in item_units(seen))
        watch, first = state.watch, state.steps
        errors, memory = self.step_memory.read(watch.memory, line.values, loc, scale, first)
        errors = torch.cat([watch.errors, errors], dim=-1)
        watch = Watch(memory, errors[..., -self.patch :].clone(), watch.running)
        return errors, _moved(state, line, seen)._replace(watch=watch)

    def _departures(self, loss: Tensor, errors: Tensor, ends: list[int], state: StreamState) -> tuple[Tensor, Tensor]:
        """Departures (C, K, 2, P) of the tokens with these losses (C, K, N, H), and the running levels after them.

        Those of the first context are compared with nothing: they were read in units of their own future. `ends` are
        the last ones' places in the block.
        """
        columns, tokens = loss.shape[:2]
        first = torch.full((columns, tokens - len(ends), 2, len(PARTS)), torch.nan, dtype=torch.float64)
        if not ends:
            return first, state.watch.running
        patches = errors.unfold(-1, self.patch, 1)[:, :, ends]
        found, running = departures(token_levels(loss[:, -len(ends) :], patches), state.watch.running)
        return torch.cat([first, found], dim=1), running

    @torch.no_grad()
    def batch(self, state: StreamState, ahead: int, known: Tensor) -> Batch:
        """The fields of a forecast of `ahead` steps; known (I, ahead, Fk)."""
        calendar = self._calendar(state.steps, ahead).expand(self.items, -1, -1)
        windows = Line(*(x[:, None] for x in state[1:4]))
        return self._batch(windows, state.seen[..., None], torch.cat([calendar, known], dim=-1))

    @torch.no_grad()
    def fill(self, state: StreamState, column: int, step: int, value: float) -> StreamState:
        """A late value in the place of a missing one among the last L steps; memory read before stays as it is."""
        values = state.values.clone()
        values[column, step - state.steps] = value
        single = torch.full_like(values[:, :1], torch.nan)
        single[column] = value
        seen = self._statistics(state.seen, Block(single.T.cpu().numpy(), *EMPTY))
        return state._replace(values=values, seen=seen[..., -1])

    def _calendar(self, first: int, count: int) -> Tensor:
        """Calendar features (count, Fc) of the steps from `first` on."""
        cycles, frequency = self.network.config.calendar, self.clock.frequency
        if not cycles:
            return torch.zeros(count, 0, device=self.device)
        index = frequency.range(frequency.shift(self.clock.start, first), count)
        local = local_index(index, self.clock.timezone)
        return torch.from_numpy(time_features(local, frequency, cycles)).to(self.device)

    def _line(self, state: StreamState, block: Block) -> Line:
        steps = len(block.values)
        calendar = self._calendar(state.steps, steps).expand(self.items, -1, -1)
        known, past = (torch.from_numpy(x).to(self.device).transpose(0, 1) for x in (block.known, block.past))
        number = torch.arange(state.steps, state.steps + steps, device=self.device)
        begun = (number >= self.clock.first.to(self.device)[:, None])[..., None]
        times = torch.cat([calendar, known], dim=-1) * begun
        values = torch.from_numpy(block.values).to(self.device).T
        return Line(
            torch.cat([state.values, values], dim=1),
            torch.cat([state.times, times], dim=1),
            torch.cat([state.past, past * begun], dim=1),
        )

    def _statistics(self, seen: Tensor, block: Block) -> Tensor:
        """`StreamState.seen` after every step of the block, (4, C, n)."""
        values = torch.from_numpy(block.values).to(seen.device).T
        observed = ~values.isnan()
        count, origin, total, squares = (x[:, None] for x in seen)
        first = values.gather(1, observed.to(torch.uint8).argmax(1, keepdim=True)).nan_to_num(0.0)
        origin = torch.where(count > 0, origin, first)
        distance = torch.where(observed, values - origin, 0.0)
        sums = (observed.double(), distance, distance.square())
        count, total, squares = (x + y.cumsum(1) for x, y in zip((count, total, squares), sums, strict=True))
        return torch.stack([count, origin.expand_as(count), total, squares])

    def _tokens(
        self, state: StreamState, line: Line, seen: Tensor, ends: list[int], steps: int | None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (C, K, D) and mask (C, K): of each window that ends with one of `ends`, the last `steps` steps."""
        place = torch.tensor(ends, device=self.device) - state.steps
        windows = Line(*(x.unfold(1, self.context, 1)[:, place] for x in line))
        windows = Line(windows.values, windows.times.transpose(2, 3), windows.past.transpose(2, 3))
        future = line.times.new_zeros(self.items * len(ends), 1, line.times.shape[-1])
        batch = self._batch(windows, seen[..., place - 1], future)
        tokens, mask = self.network.past_tokens(batch, self.network.window(batch), steps)
        split = (self.items, len(ends), self.channels)
        return tuple(x.unflatten(0, split).transpose(1, 2).flatten(2, 3).flatten(0, 1) for x in (tokens, mask))

    def _batch(self, windows: Line, seen: Tensor, future: Tensor) -> Batch:
        """Windows (C, K, L), (I, K, L, Ft), (I, K, L, Fp) with statistics (4, C, K) as a batch of I·K rows."""
        count = windows.values.shape[1]
        rows, split = self.items * count, (self.items, self.channels)
        observed = ~windows.values.isnan()
        values = (x.unflatten(0, split).permute(0, 2, 3, 1) for x in (windows.values.nan_to_num(0.0), observed))
        units = (x.unflatten(0, split).transpose(1, 2) for x in item_units(seen))
        target, there, loc, scale = (x.flatten(0, 1) for x in (*values, *units))
        # float32 has no digits left for values far from zero; see `WindowStore`.
        high, low = halves(torch.where(loc.abs() > FAR * scale, loc, 0.0))
        origin = torch.stack([high, low], dim=1)
        shift = origin.double().sum(1)
        target, loc = (target - shift[:, None]) * there, loc - shift
        target, there, loc, scale = (x.float() for x in (target, there, loc, scale))
        if self.channels == 1:
            target, there, loc, scale, origin = (x.squeeze(-1) for x in (target, there, loc, scale, origin))
        clock = self.clock
        fixed = {"feat_static_cat": clock.cat, "feat_static_real": clock.real, "item_code": clock.codes}
        return {
            "past_target": target,
            "past_observed_values": there,
            "past_time_feat": windows.times.reshape(rows, *windows.times.shape[2:]),
            "past_feat_dynamic_real": windows.past.reshape(rows, *windows.past.shape[2:]),
            "future_time_feat": future,
            **{name: x.to(self.device).repeat_interleave(count, dim=0) for name, x in fixed.items()},
            "item_loc": loc,
            "item_scale": scale,
            "item_origin": origin,
        }


class Line(NamedTuple):
    """Values (C, …), time features (I, …, Ft) and past covariates (I, …, Fp) of steps or of windows."""

    values: Tensor
    times: Tensor
    past: Tensor


EMPTY = (np.zeros((1, 0, 0), dtype=np.float32), np.zeros((1, 0, 0), dtype=np.float32))


def item_units(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all that was observed, as `WindowStore` has them of a whole series."""
    count, origin, total, squares = seen
    count = count.clamp_min(1)
    distance = total / count
    mean = origin + distance
    spread = (squares / count - distance.square()).clamp_min(0).sqrt()
    return mean, usable_scale(mean, spread)


def _moved(state: StreamState, line: Line, seen: Tensor) -> StreamState:
    """The state after the steps of `line`; copies, so that nothing holds on to the block."""
    steps = seen.shape[-1]
    values, times, past = (x[:, steps:].clone() for x in line)
    return state._replace(steps=state.steps + steps, values=values, times=times, past=past, seen=seen[..., -1].clone())


def reader_of(fitted: FittedForecaster, clock: Clock) -> StreamReader:
    """A reader with a copy of the forecaster's network, on the forecaster's device."""
    network = copy.deepcopy(fitted.network).to(fitted.torch_device)
    return StreamReader(network.eval().requires_grad_(False), clock)
