"""NeuralMemory: projections, causal convolutions and gates around the memory op (paper section 3.1).

Shapes: B batch, T tokens, D width, H heads, K = D/H key and value width, L memory layers.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_kernels import MemoryState as MemoryState
from titans_kernels import linear_memory, linear_read, mlp_memory, mlp_read
from titans_kernels.inputs import no_autocast
from titans_ts.core.config import MemoryConfig
from titans_ts.core.initialization import linear_, logit, softplus_inverse, spread
from titans_ts.core.operators import (
    Linear,
    RMSNorm,
    convolved,
    convolved_token,
    gated,
    linear,
    needs_graph,
    written_out,
)
from titans_ts.core.options import PLAIN, ReadOptions
from titans_ts.core.surprise import MemoryOp, observed_write

CONV_WIDTH = 4


class NeuralMemoryState(NamedTuple):
    """State of one sequence batch: fast weights with momentum, and the last three inputs of the convolutions.

    Attributes:
        memory: fast weights, momentum, anchor, position in the chunk (``titans_kernels.MemoryState``).
        conv: (B, 3·D, 3), inputs of the q, k, v convolutions.

    Example:
        >>> NeuralMemory(16, 2, MemoryConfig()).initial_state(batch=3).conv.shape
        torch.Size([3, 48, 3])
    """

    memory: MemoryState
    conv: Tensor


class CausalConv(nn.Module):
    """Depthwise causal convolution of width 4 over tokens, carried across splits by its last three inputs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_weight = nn.Parameter(torch.zeros(channels, 1, CONV_WIDTH))
        with torch.no_grad():
            self.conv_weight[..., -1] = 1.0

    def forward(self, line: Tensor, cache: Tensor, head_width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, T, 3·D), cache (B, 3·D, 3) → q, k, v (B, T, H, K), q and k of length 1, and the new cache."""
        weight = self.conv_weight
        if line.shape[1] == 1 and written_out(line, cache, weight) and not needs_graph(line, cache, weight):
            return convolved_token(line, cache, weight, head_width)
        q, k, v = convolved(line, cache, weight, head_width, 3)
        # All of it for torch.export, which may not know the length.
        few = line if torch.compiler.is_compiling() else line[:, -(CONV_WIDTH - 1) :]
        return q, k, v, torch.cat([cache, few.mT], dim=-1)[..., few.shape[1] :]


class MemoryGates(nn.Module):
    """α (forget), η (past surprise) and θ (step) from the token: one each per head and memory layer.

    ``α = sigmoid(·)`` in float32, that is ``log(1 − α) = −softplus(·)``, is exact down to 1e-30;
    ``θ = step_size · (1 − η) · sigmoid(·)`` bounds the effective step θ/(1 − η), without which a deep memory blows up
    within a chunk.
    """

    def __init__(self, width: int, heads: int, config: MemoryConfig) -> None:
        super().__init__()
        self.heads, self.layers, self.config = heads, config.layers, config
        self.gates = linear_(nn.Linear(width, 3 * heads * config.layers), gain=0.1)
        horizon = spread(*config.horizon, heads)
        momentum = torch.linspace(0.5, 0.9, heads) if heads > 1 else torch.tensor([0.7])
        # α = 1 − exp(−softplus(bias)) is to be 1/horizon.
        write = logit(torch.full((heads,), config.write))
        bias = torch.stack([softplus_inverse(-torch.log1p(-1.0 / horizon)), logit(momentum), write])
        with torch.no_grad():
            self.gates.bias.copy_(bias[:, :, None].expand(3, heads, config.layers).reshape(-1))

    def forward(self, x: Tensor, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D) → α, η, θ, each (B, T, H, L) (no L axis for the linear memory), float32 or wider.

        `shift` is added to the logits of α and θ, see `ReadOptions.gate_shift`.
        """
        # Eight bits of mantissa would move an α of 1e-5 by several per cent: autocast stays out of here.
        dtype = torch.promote_types(torch.promote_types(x.dtype, self.gates.weight.dtype), torch.float32)
        with no_autocast(x.device.type):
            raw = linear(x.to(dtype), self.gates.weight.to(dtype), self.gates.bias.to(dtype))
        raw = raw.unflatten(-1, (3, self.heads, self.layers))
        if shift:
            raw = raw + shift * (torch.arange(3, device=raw.device) != 1).to(dtype)[:, None, None]
        alpha, eta, write = torch.sigmoid(raw).unbind(-3)
        eta = eta * self.config.momentum_limit if self.config.momentum else torch.zeros_like(eta)
        gates = (alpha, eta, write * (1 - eta) * self.config.step_size)
        return tuple(g.squeeze(-1) for g in gates) if self.config.kind == "linear" else gates  # type: ignore[return-value]


def _hidden(line: Tensor, mask: Tensor | None) -> Tensor:
    """(B, T, width) with 0 for masked tokens."""
    return line if mask is None else line * mask[..., None].to(line.dtype)


class NeuralMemory(nn.Module):
    """Long-term memory as a layer: writes every token into the fast weights, reads with the token's query.

    ``k, q = l2norm(conv4(x W))``, ``v = conv4(x W_V)``; the output is normed per head, gated by the token,
    projected.

    Args:
        width: D.
        heads: H, each with a memory of its own of width K = D/H.
        config: see :class:`MemoryConfig`.
        output_gain: of the output projection's initial weights. Default: 1.0.

    Example:
        >>> memory = NeuralMemory(width=16, heads=2, config=MemoryConfig(chunk_size=8))
        >>> y, state = memory(torch.randn(1, 20, 16), memory.initial_state(1))
        >>> y.shape, state.memory.position
        (torch.Size([1, 20, 16]), 4)
    """

    def __init__(self, width: int, heads: int, config: MemoryConfig, output_gain: float = 1.0) -> None:
        super().__init__()
        self.width, self.heads, self.config = width, heads, config
        self.head_width = width // heads
        self.qkv = linear_(Linear(width, 3 * width, bias=False))
        self.conv = CausalConv(3 * width)
        self.gates = MemoryGates(width, heads, config)
        self.norm = RMSNorm(self.head_width, eps=1e-6)
        self.gate = linear_(Linear(width, width))
        self.out = linear_(Linear(width, width, bias=False), output_gain)
        self.memory_start = nn.ParameterList(self._initial_weights())

    def _initial_weights(self) -> list[nn.Parameter]:
        k, layers = self.head_width, self.config.layers
        widths = [k, *[k * self.config.expansion] * (layers - 1), k]
        start = []
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            quiet = self.config.kind == "linear" or (i == layers - 1 and self.config.residual)
            gain = 0.1 if quiet else 1.0
            start.append(nn.Parameter(torch.randn(self.heads, fan_in, fan_out) * gain / fan_in**0.5))
        return start

    def initial_state(self, batch: int) -> NeuralMemoryState:
        """State before the first token: the learned W_0, zero momentum, empty convolutions."""
        conv = self.qkv.weight.new_zeros(batch, 3 * self.width, CONV_WIDTH - 1)
        return NeuralMemoryState(MemoryState.start(tuple(self.memory_start)).expand(batch), conv)

    def _project(self, x: Tensor, conv: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        line = _hidden(self.qkv(x), mask)
        found: tuple[Tensor, Tensor, Tensor, Tensor] = self.conv(line, conv, self.head_width)
        return found

    def _queries(self, x: Tensor, conv: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """q and the cache of `_project`; of k and v only the last tokens, which the cache keeps."""
        if torch.compiler.is_compiling() or x.shape[1] < CONV_WIDTH:
            q, _, _, conv = self._project(x, conv, mask)
            return q, conv
        mine = self.qkv.weight[: self.width]
        line = _hidden(linear(x, mine), mask)
        few = slice(x.shape[1] - (CONV_WIDTH - 1), None)
        last = _hidden(self.qkv(x[:, few]), None if mask is None else mask[:, few])
        (q,) = convolved(line, conv[:, : self.width], self.conv.conv_weight[: self.width], self.head_width, 1)
        return q, last.mT

    def _output(self, y: Tensor, x: Tensor) -> Tensor:
        return self.out(gated(y.to(x.dtype), self.gate(x), self.norm))

    def forward(
        self, x: Tensor, state: NeuralMemoryState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, NeuralMemoryState]:
        """Write and read (eqs. 13–15).

        Args:
            x: (B, T, D).
            state: state before the first of these tokens.
            mask: (B, T) bool, ``False`` leaves the memory untouched by that token.
            options: see :class:`ReadOptions`.

        Returns:
            (B, T, D) and the state after the last token.

        Raises:
            ValueError: surprise is to be recorded under torch.export.
        """
        q, k, v, conv = self._project(x, state.conv, mask)
        tokens = (q, k, v, *self.gates(x, options.gate_shift))
        op = self._op(options)
        if options.surprise is None:
            y, memory = op(*tokens, state.memory, mask=mask)
        else:
            if torch.compiler.is_exporting():
                raise ValueError("an exported program records no surprise: leave ReadOptions.surprise out")
            y, memory, loss = observed_write(op, tokens, state.memory, self.config, mask)
            options.surprise.add(self, loss)
        return self._output(y, x), NeuralMemoryState(memory, conv)

    def _op(self, options: ReadOptions) -> MemoryOp:
        config = self.config
        chosen = {"chunk_size": config.chunk_size, "backend": options.backend, "segment_length": options.segment_length}
        if config.kind == "linear":
            return partial(linear_memory, anchor=config.anchor, **chosen)  # type: ignore[arg-type]
        return partial(mlp_memory, residual=config.residual, **chosen)  # type: ignore[arg-type]

    def read(
        self, x: Tensor, weights: tuple[Tensor, ...], conv: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read only: M(q) at fixed weights, as MAC reads the past (eq. 21); nothing is written.

        Args:
            x: (B, T, D).
            weights: fast weights, L tensors (B, H, in, out).
            conv: (B, 3·D, 3), the read stream's own convolution inputs.
            mask: (B, T) bool.

        Returns:
            (B, T, D) and the new convolution inputs.
        """
        q, conv = self._queries(x, conv, mask)
        y = linear_read(q, weights) if self.config.kind == "linear" else mlp_read(q, weights, self.config.residual)
        return self._output(y, x), conv
