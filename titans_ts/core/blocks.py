"""The four ways to use the memory (paper section 4): LMM, MAC, MAG, MAL; and attention alone for comparison.

Their contract is :class:`Block`. Around each mixer: RMSNorm, residual, SwiGLU feed-forward.

Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from titans_kernels import MemoryState
from titans_kernels.torch_path.scan import Parts, is_symbolic, scan
from titans_ts.core.attention import AttentionState, SegmentAttention, SlidingWindowAttention
from titans_ts.core.config import BlockName, TitansConfig
from titans_ts.core.initialization import linear_
from titans_ts.core.memory import NeuralMemory, NeuralMemoryState
from titans_ts.core.operators import Linear, RMSNorm, gated, swiglu
from titans_ts.core.options import PLAIN, ReadOptions


class HybridState(NamedTuple):
    """State of a MAG or MAL block: its memory's and its attention's."""

    memory: NeuralMemoryState
    attention: AttentionState


class MACState(NamedTuple):
    """State of a MAC block.

    Attributes:
        memory: the memory that writes the attention output.
        context: fast weights at the start of the open segment, L tensors: what ``h`` is read from.
        context_conv: (B, 3·D, 3), convolution inputs of the context reads.
        attention: keys and values of the open segment.
    """

    memory: NeuralMemoryState
    context: tuple[Tensor, ...]
    context_conv: Tensor
    attention: AttentionState


BlockState: TypeAlias = NeuralMemoryState | AttentionState | HybridState | MACState
State = TypeVar("State")


class Block(Protocol[State]):
    """A layer of the backbone: an ``nn.Module`` that is made from a `TitansConfig` and has these two methods.

    It is causal, and reading a sequence at once or in any split with the state carried gives the same outputs. To add
    one: its name in `config.BlockName`, its class and its line in `BLOCKS` here.

    Example:
        >>> class RunningMean(nn.Module):
        ...     def initial_state(self, batch):
        ...         return torch.zeros(batch, 1, 1), 0
        ...     def forward(self, x, state, mask=None, *, options=PLAIN):
        ...         total, count = state
        ...         sums, counts = total + x.cumsum(1), count + torch.arange(1, x.shape[1] + 1)
        ...         return sums / counts[:, None], (sums[:, -1:], count + x.shape[1])
        >>> block: Block = RunningMean()
        >>> y, state = block.forward(torch.ones(1, 3, 16), block.initial_state(1))
    """

    def initial_state(self, batch: int) -> State:
        """State of ``batch`` sequences before their first token: tensors, numbers and (named) tuples of them."""
        ...

    def forward(
        self, x: Tensor, state: State, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, State]:
        """x (B, T, D), the state before it, mask (B, T) bool of real tokens → (B, T, D), the state after it."""
        ...


def _output_gain(config: TitansConfig) -> float:
    return 1.0 / math.sqrt(2.0 * config.layers)


def _memory(config: TitansConfig) -> NeuralMemory:
    return NeuralMemory(config.width, config.heads, config.memory, _output_gain(config))


def _attention(config: TitansConfig) -> SlidingWindowAttention:
    return SlidingWindowAttention(
        config.width, config.heads, config.window, config.persistent_tokens, _output_gain(config)
    )


class FeedForward(nn.Module):
    """RMSNorm and SwiGLU, on the residual stream."""

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        hidden = max(1, round(config.width * config.mlp_expansion))
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.up = linear_(Linear(config.width, 2 * hidden, bias=False))
        self.down = linear_(Linear(hidden, config.width, bias=False), _output_gain(config))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), the residual added."""
        return x + self.dropout(self.down(swiglu(self.up(self.norm(x)))))


class LMMBlock(nn.Module):
    """Long-term memory alone mixes the sequence.

    Example:
        >>> block = LMMBlock(TitansConfig("lmm", width=16, heads=2))
        >>> y, state = block(torch.randn(1, 20, 16), block.initial_state(1))
        >>> y.shape
        torch.Size([1, 20, 16])
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.memory = _memory(config)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def initial_state(self, batch: int) -> NeuralMemoryState:
        """State before the first token."""
        return self.memory.initial_state(batch)

    def forward(
        self, x: Tensor, state: NeuralMemoryState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, NeuralMemoryState]:
        """x (B, T, D) → (B, T, D), state."""
        y, state = self.memory(self.norm(x), state, mask, options=options)
        return self.feed_forward(x + self.dropout(y)), state


class AttentionBlock(nn.Module):
    """Sliding-window attention alone, without a memory: the ablation.

    Example:
        >>> block = AttentionBlock(TitansConfig("attention", width=16, heads=2))
        >>> y, state = block(torch.randn(1, 20, 16), block.initial_state(1))
        >>> y.shape
        torch.Size([1, 20, 16])
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.attention = _attention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def initial_state(self, batch: int) -> AttentionState:
        """State before the first token."""
        return self.attention.initial_state(batch)

    def forward(
        self, x: Tensor, state: AttentionState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, AttentionState]:
        """x (B, T, D) → (B, T, D), state."""
        y, state = self.attention(self.norm(x), state, mask)
        return self.feed_forward(x + self.dropout(y)), state


class MAGBlock(nn.Module):
    """Memory as gate (section 4.2): attention and memory read the same input; the memory gates the attention.

    Example:
        >>> block = MAGBlock(TitansConfig("mag", width=16, heads=2))
        >>> y, state = block(torch.randn(1, 20, 16), block.initial_state(1))
        >>> y.shape
        torch.Size([1, 20, 16])
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.memory, self.attention = _memory(config), _attention(config)
        self.norm_memory = RMSNorm(config.width, eps=1e-6)
        self.norm_attention = RMSNorm(config.width, eps=1e-6)
        self.out = linear_(Linear(config.width, config.width, bias=False), _output_gain(config))
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def initial_state(self, batch: int) -> HybridState:
        """State before the first token."""
        return HybridState(self.memory.initial_state(batch), self.attention.initial_state(batch))

    def forward(
        self, x: Tensor, state: HybridState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, HybridState]:
        """x (B, T, D) → (B, T, D), state."""
        z = self.norm(x)
        m, memory = self.memory(z, state.memory, mask, options=options)
        a, attention = self.attention(z, state.attention, mask)
        y = self.out(gated(a, m, self.norm_attention, self.norm_memory))
        return self.feed_forward(x + self.dropout(y)), HybridState(memory, attention)


class MALBlock(nn.Module):
    """Memory as layer (section 4.3): the memory first, attention on its output.

    Example:
        >>> block = MALBlock(TitansConfig("mal", width=16, heads=2))
        >>> y, state = block(torch.randn(1, 20, 16), block.initial_state(1))
        >>> y.shape
        torch.Size([1, 20, 16])
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.memory, self.attention = _memory(config), _attention(config)
        self.norm_memory = RMSNorm(config.width, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def initial_state(self, batch: int) -> HybridState:
        """State before the first token."""
        return HybridState(self.memory.initial_state(batch), self.attention.initial_state(batch))

    def forward(
        self, x: Tensor, state: HybridState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, HybridState]:
        """x (B, T, D) → (B, T, D), state."""
        y, memory = self.memory(self.norm(x), state.memory, mask, options=options)
        x = x + self.dropout(y)
        y, attention = self.attention(self.norm_memory(x), state.attention, mask)
        return self.feed_forward(x + self.dropout(y)), HybridState(memory, attention)


class MACBlock(nn.Module):
    """Memory as context (section 4.1): attention also sees the memory's output for the segment; then the memory learns
    from the attention's output and gates it.

    Two paths are ours; without them it does not learn to recall (docs/lab_notes.md): attention has its residual before
    the memory reads it, and the memory's output is also added to what it gates, since a product alone mixes it with
    the token's own identity.

    Example:
        >>> block = MACBlock(TitansConfig("mac", width=16, heads=2, segment=16))
        >>> y, state = block(torch.randn(1, 20, 16), block.initial_state(1))
        >>> y.shape, state.attention.keys.shape[2]  # four tokens of the second segment
        (torch.Size([1, 20, 16]), 4)
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.segment = config.segment
        self.norm = RMSNorm(config.width, eps=1e-6)
        self.memory = _memory(config)
        self.attention = SegmentAttention(config.width, config.heads, config.persistent_tokens, _output_gain(config))
        self.norm_context = RMSNorm(config.width, eps=1e-6)
        self.norm_attention = RMSNorm(config.width, eps=1e-6)
        self.norm_memory = RMSNorm(config.width, eps=1e-6)
        self.out = linear_(Linear(config.width, config.width, bias=False), _output_gain(config))
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def initial_state(self, batch: int) -> MACState:
        """State before the first token."""
        memory = self.memory.initial_state(batch)
        return MACState(memory, memory.memory.weights, memory.conv, self.attention.initial_state(batch))

    def forward(
        self, x: Tensor, state: MACState, mask: Tensor | None = None, *, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, MACState]:
        """x (B, T, D) → (B, T, D), state. Segment borders do not depend on where x is split."""
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        read = self._scan if is_symbolic(x.shape[1]) else self._loop
        y, state = read(x, state, mask, options)
        return self.feed_forward(x + self.dropout(y)), state

    def _loop(self, x: Tensor, state: MACState, mask: Tensor, options: ReadOptions) -> tuple[Tensor, MACState]:
        """The mixer, a segment or a part of one at a time."""
        out, start = [], 0
        while start < x.shape[1]:
            size = min(self.segment - state.attention.keys.shape[2], x.shape[1] - start)
            span = slice(start, start + size)
            y, state = self._read(x[:, span], state, mask[:, span], options)
            if state.attention.keys.shape[2] == self.segment:
                state = self._closed(state)
            out.append(y)
            start += size
        return torch.cat(out, dim=1), state

    def _read(self, x: Tensor, state: MACState, mask: Tensor, options: ReadOptions) -> tuple[Tensor, MACState]:
        """Tokens of the open segment, which is left open."""
        a, state = self._attend(x, state, mask)
        m, memory = self.memory(a, state.memory, mask, options=options)
        return self._gated(a, m), state._replace(memory=memory)

    def _attend(self, x: Tensor, state: MACState, mask: Tensor) -> tuple[Tensor, MACState]:
        """What the memory is to read of tokens of the open segment."""
        z = self.norm(x)
        h, context_conv = self.memory.read(z, state.context, state.context_conv, mask)
        a, attention = self.attention(z, self.norm_context(h), state.attention, mask)
        # With its residual, as any attention layer: 64 nearly equal attention weights alone do not distinguish tokens.
        return self.norm_attention(z + a), state._replace(context_conv=context_conv, attention=attention)

    def _gated(self, a: Tensor, m: Tensor) -> Tensor:
        return self.out(gated(a, m, norm_b=self.norm_memory)) + m

    def _closed(self, state: MACState) -> MACState:
        """The state between two segments."""
        attention = self.attention.initial_state(len(state.context_conv))
        return state._replace(context=state.memory.memory.weights, attention=attention)

    def _scan(self, x: Tensor, state: MACState, mask: Tensor, options: ReadOptions) -> tuple[Tensor, MACState]:
        """`_loop` for a length that torch.export does not know: one `scan` over whole segments, padded.

        The scan finds what the memory reads and the open segment. Outputs and the state after the last token, which
        padding would spoil, come from the memory alone, which reads it all once more.
        """
        (batch, tokens, _), together = x.shape, self._together(state)
        segments, depth = Parts(tokens, self.segment * together), len(state.context)

        def one(carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            """Some segments, from the context of the open one and the state between them."""
            now, opened, (x, real, opens) = self._between(carry[depth:]), carry[:depth], xs
            found = []
            for i, (part, mine) in enumerate(zip(x.chunk(together, 1), real.chunk(together, 1), strict=True)):
                opened = [torch.where(opens[i], a, b) for a, b in zip(now.context, opened, strict=True)]
                a, now = self._attend(part, now, mine)
                _, memory = self.memory(a, now.memory, mine, options=options)
                found.append((a, *(z.transpose(1, 2) for z in now.attention[:2])))
                now = self._closed(now._replace(memory=memory))
            fast, conv = now.memory
            after = (*opened, *fast.weights, *fast.momentum, conv, now.context_conv)
            return list(after), [torch.cat(z, dim=1) for z in zip(*found, strict=True)]

        fast, conv = state.memory
        start = [*state.context, *fast.weights, *fast.momentum, conv, state.context_conv]
        opens = segments.opens(x.device, together)
        carry, found = scan(one, start, [segments.cut(x), segments.mask(mask, batch, x.device), opens])
        a, keys, values = (segments.joined(z) for z in found)
        m, memory = self.memory(a, state.memory, mask, options=options)
        _, context_conv = self.memory.read(self.norm(x), state.context, state.context_conv, mask)
        # `nonzero` and no range: torch.export would make cases of 0 and 1 tokens.
        last = (torch.arange(tokens, device=x.device) >= tokens // self.segment * self.segment).nonzero()[:, 0]
        attention = AttentionState(keys[:, last].transpose(1, 2), values[:, last].transpose(1, 2), mask[:, last])
        return self._gated(a, m), MACState(memory, tuple(carry[:depth]), context_conv, attention)

    def _together(self, state: MACState) -> int:
        """Segments of one step of `_scan`: as many as end where a chunk of the memory does."""
        memory, read = self.memory.config, state.attention.keys.shape[2]
        if read or state.memory.memory.position:
            raise ValueError(
                "torch.export of MAC with a dynamic length begins with a new segment and a new chunk, got a state "
                f"{read} tokens into a segment, {state.memory.memory.position} into a chunk: export a fixed length"
            )
        return 1 if memory.anchor == "token" else math.lcm(self.segment, memory.chunk_size) // self.segment

    def _between(self, tensors: list[Tensor]) -> MACState:
        """The state between two segments from weights, momentum and the inputs of both convolutions."""
        *fast, conv, context_conv = tensors
        weights, momentum = tuple(fast[: len(fast) // 2]), tuple(fast[len(fast) // 2 :])
        memory = NeuralMemoryState(MemoryState(weights, momentum, weights, 0), conv)
        return MACState(memory, weights, context_conv, self.attention.initial_state(len(conv)))


BLOCKS: dict[BlockName, Callable[[TitansConfig], Block[Any]]] = {
    "lmm": LMMBlock,
    "mac": MACBlock,
    "mag": MAGBlock,
    "mal": MALBlock,
    "attention": AttentionBlock,
}
