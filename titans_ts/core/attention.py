"""Short-term memory: exact sliding-window attention with persistent tokens, and MAC's segment attention.

Both run on ``scaled_dot_product_attention`` or, on a CPU, on forms of their own. Long inputs are cut into blocks of one
window, each block attending to itself and the one before: 13× faster than one masked call at 4,096 tokens on CPU (2
cores, torch 2.13).
Rotary positions count from the first attended token, keys are kept unrotated: nothing grows with the stream.

Shapes: B batch, T tokens, D width, H heads, E = D/H head width, N persistent tokens, W window, S cached tokens.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_kernels.native import attention as native
from titans_kernels.torch_path.scan import Parts, is_symbolic, scan
from titans_ts.core.initialization import linear_
from titans_ts.core.operators import Linear, compiled, differentiable, needs_graph, written_out

FEW_SCORES: Final = 1 << 15
"""Queries times keys up to which attention keeps its weights (forward + backward, 48 x 4 heads of 32, 64 queries and
keys: 6.5 ms instead of 12.8; 64 x 4 heads of 64, 128 queries, 256 keys: 107 instead of 223; 8 x 4 heads of 32, 512
queries, 1,024 keys: 211 instead of 178, and 67 MB of weights). The compiled form finds more of them again."""


class AttentionState(NamedTuple):
    """The last tokens a later token may still see.

    Attributes:
        keys: (B, H, S, E), unrotated.
        values: (B, H, S, E).
        valid: (B, S) bool, ``False`` for padding.

    Example:
        >>> SlidingWindowAttention(width=16, heads=2, window=8, persistent=0).initial_state(batch=3).keys.shape
        torch.Size([3, 2, 0, 8])
    """

    keys: Tensor
    values: Tensor
    valid: Tensor


def rotary(x: Tensor, first: int) -> Tensor:
    """Rotate pairs of features by position (RoPE, base 10,000). x (…, T, E), at positions first … first + T − 1."""
    count, half = x.shape[-2], x.shape[-1] // 2
    if not written_out(x):
        cos, sin = (z[first:] for z in turns(first + count, half, x.dtype, x.device))
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    table = kept_turns(1 << (first + count - 1).bit_length(), half, x.dtype)
    cos, sin = (z[first : first + count] for z in table)
    if needs_graph(x):
        y: Tensor = _Turn.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return y
    return turned(x, cos, sin)


def rotary_runs(k: Tensor, runs: int) -> Tensor:
    """k (…, S, E) turned, its S keys so many runs of equal length, each from position 0 on."""
    return rotary(k, 0) if runs == 1 else rotary(k.unflatten(-2, (runs, -1)), 0).flatten(-3, -2)


def turns(count: int, half: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (count, half) of the angles at positions 0 … count − 1."""
    wide = torch.promote_types(dtype, torch.float32)
    frequency = 10000.0 ** (-torch.arange(half, device=device, dtype=wide) / half)
    angle = torch.arange(count, device=device).to(wide)[:, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


@lru_cache(maxsize=16)
def kept_turns(count: int, half: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`turns` on the CPU, made once: a step of a stream would spend more on them than on its products."""
    with torch.inference_mode(False):
        return turns(count, half, dtype, torch.device("cpu"))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (…, T, E) turned by angles (T, E/2), without autograd."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    (a, b), (c, d) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    torch.mul(a, cos, out=c).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=d).addcmul_(a, sin)
    return out


class _Turn(torch.autograd.Function):
    """`turned`; the backward turns back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        back: Tensor = _Turn.apply(grad, cos, -sin) if torch.is_grad_enabled() else turned(grad, cos, -sin)  # type: ignore[no-untyped-call]
        return back, None, None


def seen(first: int, count: int, window: int, device: torch.device) -> Tensor:
    """Whether queries from position `first` on see the keys 0 … count − 1, (1, 1, count − first, count) bool."""
    key = torch.arange(count, device=device)
    query = key[first:, None]
    return ((key <= query) & (key > query - window))[None, None]


@lru_cache(maxsize=16)
def kept_mask(first: int, count: int, window: int) -> Tensor:
    """`seen` on the CPU, made once."""
    with torch.inference_mode(False):
        return seen(first, count, window, torch.device("cpu"))


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention in which a query that sees nothing (all padding, no persistent token) reads 0 instead of NaN."""
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return torch.where(mask.any(-1, keepdim=True), out, torch.zeros((), dtype=out.dtype, device=out.device))


class PersistentTokens(nn.Module):
    """Learned keys and values that every query sees (paper section 3.3): knowledge of the task, not of the data."""

    def __init__(self, count: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.persistent_keys = nn.Parameter(torch.randn(heads, count, head_width) / head_width**0.5)
        self.persistent_values = nn.Parameter(torch.randn(heads, count, head_width) * 0.02)

    def attend(self, q: Tensor, first: int, k: Tensor, v: Tensor, mask: Tensor, runs: int = 1) -> Tensor:
        """Attention over [persistent ‖ keys], the persistent tokens open to every query.

        A persistent token has no position, so it meets the unrotated query: against the rotated one its score would
        depend on where a block or a split of the stream begins. Both queries fit in one call: features
        (rotated ‖ plain) meet token keys (k ‖ 0) and persistent keys (0 ‖ p).

        Args:
            q: (G, H, T, E), not yet rotated.
            first: position of the first query.
            k, v: (G, H, S, E), k not yet rotated.
            mask: (G or 1, 1, T, S) bool.
            runs: the keys are so many runs of equal length, each from position 0 on.

        Returns:
            (G, H, T, E).
        """
        persistent = self.persistent_keys, self.persistent_values
        if persistent[0].shape[1] and compiled(q, k, v, *persistent, width=q.shape[-1]):
            return at_once(q, k, v, *persistent, mask, first, runs)
        rotated, k = rotary(q, first), rotary_runs(k, runs)
        if persistent[0].shape[1] == 0:
            return sdpa(rotated, k, v, mask)
        inputs = rotated, q, k, v, *persistent
        if q.shape[2] * k.shape[2] > FEW_SCORES or not written_out(*inputs):
            return attend_plain(*inputs, mask)
        if needs_graph(*inputs):
            y: Tensor = _Attention.apply(*inputs, mask)  # type: ignore[no-untyped-call]
            return y
        return _attend(*inputs, mask)[0]


def attend_plain(
    rotated: Tensor, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor
) -> Tensor:
    """One call of torch's attention over [persistent ‖ keys].

    Args:
        rotated, q: (G, H, T, E), the queries that meet k and those that meet the persistent keys.
        k, v: (G, H, S, E).
        keys, values: (H, N, E), the persistent ones, N ≥ 1.
        mask: (G or 1, 1, T, S) bool.

    Returns:
        (G, H, T, E).
    """
    count, width = keys.shape[1:]
    keys = F.pad(keys.to(k.dtype), (width, 0)).expand(len(k), -1, -1, -1)
    k = torch.cat([keys, F.pad(k, (0, width))], dim=2)
    v = torch.cat([values.to(v.dtype).expand(len(v), -1, -1, -1), v], dim=2)
    # Values as wide as the keys keep torch on its fused CPU kernel: 14 instead of 20 ms at (64, 4, 48, 8).
    q, v = torch.cat([rotated, q], dim=-1), F.pad(v, (0, width))
    # Every query sees something here, so `sdpa` is not needed; inductor's code for it does not compile on a CPU.
    mask = F.pad(mask, (count, 0), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=width**-0.5)[..., :width]


def _attend(
    rotated: Tensor, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`attend_plain` without autograd; also the weights (G·H, T, N + S), and keys and values (G·H, N + S, E).

    The persistent keys of the product are 0: their scores are put in afterwards.
    """
    (groups, heads, tokens, width), count, scale = q.shape, keys.shape[1], q.shape[-1] ** -0.5
    all_keys, all_values = k.new_empty(2, groups, heads, count + k.shape[2], width)
    all_keys[:, :, :count] = 0
    all_keys[:, :, count:] = k
    all_values[:, :, :count] = values
    all_values[:, :, count:] = v
    weights = torch.matmul(rotated, all_keys.mT).mul_(scale)
    torch.mul(q @ keys.mT, scale, out=weights[..., :count])
    hidden = weights.new_zeros(*mask.shape[:-1], weights.shape[-1])
    hidden[..., count:].masked_fill_(~mask, -torch.inf)
    weights.add_(hidden)
    torch.softmax(weights, -1, out=weights)
    flat_weights, flat_keys, flat_values = (x.flatten(0, 1) for x in (weights, all_keys, all_values))
    y = torch.bmm(flat_weights, flat_values).view(groups, heads, tokens, width)
    return y, flat_weights, flat_keys, flat_values


class _Attention(torch.autograd.Function):
    """`attend_plain` that keeps its weights: fewer, and smaller, products than torch's kernel where they are few."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        y, *kept = _attend(*inputs)
        ctx.save_for_backward(*inputs, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rotated, q, k, v, keys, values, mask, weights, all_keys, all_values = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = rotated, q, k, v, keys, values
            return (*differentiable(partial(attend_plain, mask=mask), ctx, inputs, (grad,)), None)
        (groups, heads, tokens, width), count, scale = q.shape, keys.shape[1], q.shape[-1] ** -0.5
        grad = grad.reshape(groups * heads, tokens, width)
        by_values = torch.bmm(weights.mT, grad).unflatten(0, (groups, heads))
        scores = torch.bmm(grad, all_values.mT)
        torch.ops.aten._softmax_backward_data.out(scores, weights, -1, scores.dtype, grad_input=scores)
        by_rotated = torch.bmm(scores, all_keys).mul_(scale).view(q.shape)
        by_keys = torch.bmm(scores.mT, rotated.flatten(0, 1)).mul_(scale).unflatten(0, (groups, heads))
        first = scores.unflatten(0, (groups, heads))[..., :count] * scale
        return (
            by_rotated,
            first @ keys,
            by_keys[:, :, count:],
            by_values[:, :, count:],
            torch.einsum("ghtn,ghte->hne", first, q),
            by_values[:, :, :count].sum(0),
            None,
        )


def at_once(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor, first: int, runs: int
) -> Tensor:
    """`PersistentTokens.attend` by the compiled op, rotations and all."""
    if needs_graph(q, k, v, keys, values):
        y: Tensor = _AtOnce.apply(q, k, v, keys, values, mask, first, runs)  # type: ignore[no-untyped-call]
        return y
    return native.attend(_job(q, k, v, keys, values, mask, first, runs), keep=False)[0]


def _job(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor, first: int, runs: int
) -> native.Attention:
    positions = max(first + q.shape[2], k.shape[2] // runs)
    table = kept_turns(1 << (positions - 1).bit_length(), q.shape[-1] // 2, q.dtype)
    return native.Attention(q, k, v, keys, values, mask, table, first, runs)


class _AtOnce(torch.autograd.Function):
    """`at_once`; keeps the weights where they are few."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        y, weights = native.attend(_job(*inputs), keep=inputs[0].shape[2] * inputs[1].shape[2] <= FEW_SCORES)
        ctx.save_for_backward(*inputs[:6], weights)
        ctx.places = inputs[6:]
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mask, weights = ctx.saved_tensors
        first, runs = ctx.places
        if torch.is_grad_enabled():

            def plain(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
                return attend_plain(rotary(q, first), q, rotary_runs(k, runs), v, keys, values, mask)

            return (*differentiable(plain, ctx, inputs, (grad,)), None, None, None)
        q, k, v, keys, values = inputs
        job = _job(q, k, v, keys, values, mask, first, runs)
        return (*native.attend_backward(job, weights, grad), None, None, None)


def thirds(x: Tensor, heads: int) -> tuple[Tensor, ...]:
    """x (B, T, 3·D) → q, k, v (B, H, T, E)."""
    if compiled(x) and needs_graph(x):
        found: tuple[Tensor, ...] = _Thirds.apply(x, heads)  # type: ignore[no-untyped-call]
        return found
    return tuple(p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in x.chunk(3, dim=-1))


class _Thirds(torch.autograd.Function):
    """`thirds`; gradients that lie as the thirds do are taken as they are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, heads: int) -> tuple[Tensor, ...]:
        return x.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():  # derivatives of all of them are asked for
            return torch.stack(grads, dim=0).permute(1, 3, 0, 2, 4).flatten(2), None
        first, (batch, heads, tokens, width) = grads[0], grads[0].shape
        third, row = heads * width, 3 * heads * width
        places = [(g.data_ptr() - first.data_ptr()) // g.element_size() for g in grads]
        strides = (tokens * row, width, row, 1)
        one = len({g.untyped_storage().data_ptr() for g in grads}) == 1
        if one and places == [0, third, 2 * third] and all(g.stride() == strides for g in grads):
            return first.as_strided((batch, tokens, row), (tokens * row, row, 1)), None
        return torch.stack(grads, dim=0).permute(1, 3, 0, 2, 4).flatten(2), None


class SlidingWindowAttention(nn.Module):
    """Causal attention over the last ``window`` tokens (itself included) and the persistent tokens.

    Example:
        >>> attention = SlidingWindowAttention(width=16, heads=2, window=8, persistent=4)
        >>> y, state = attention(torch.randn(1, 20, 16), attention.initial_state(1))
        >>> y.shape, state.keys.shape
        (torch.Size([1, 20, 16]), torch.Size([1, 2, 7, 8]))
    """

    def __init__(self, width: int, heads: int, window: int, persistent: int, output_gain: float = 1.0) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.head_width = width // heads
        self.qkv = linear_(Linear(width, 3 * width, bias=False))
        self.out = linear_(Linear(width, width, bias=False), output_gain)
        self.persistent = PersistentTokens(persistent, heads, self.head_width)

    def initial_state(self, batch: int) -> AttentionState:
        """Nothing seen yet."""
        weight = self.qkv.weight
        empty = weight.new_zeros(batch, self.heads, 0, self.head_width)
        return AttentionState(empty, empty, torch.zeros(batch, 0, dtype=torch.bool, device=weight.device))

    def forward(self, x: Tensor, state: AttentionState, mask: Tensor | None = None) -> tuple[Tensor, AttentionState]:
        """x (B, T, D), mask (B, T) bool of real tokens → (B, T, D), state of the last ``window − 1`` tokens."""
        q, k, v = thirds(self.qkv(x), self.heads)
        valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        if is_symbolic(x.shape[1]):
            y, state = self._scan(q, AttentionState(k, v, valid), state)
            return self.out(y), state
        if state.keys.shape[2] or not compiled(k, v):
            k, v = torch.cat([state.keys, k], dim=2), torch.cat([state.values, v], dim=2)
        valid = torch.cat([state.valid, valid], dim=1)
        attend = self._dense if k.shape[2] <= 2 * self.window else self._blocks
        y = self.out(attend(q, k, v, valid).transpose(1, 2).flatten(-2))
        keep = max(0, k.shape[2] - (self.window - 1))
        return y, AttentionState(k[:, :, keep:], v[:, :, keep:], valid[:, keep:])

    def _scan(self, q: Tensor, new: AttentionState, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """Attention for a length that torch.export does not know: one `scan` over blocks, each seeing the one before.

        q (B, H, T, E), `new` the keys, values and mask of the same tokens → (B, T, D) before the last projection, and a
        state that always has ``window − 1`` tokens, padding in front where fewer were read.
        """
        blocks, (batch, _, tokens, _) = Parts(q.shape[2], self.window), q.shape
        front = self.window - state.keys.shape[2]
        keys, values = (F.pad(z, (0, 0, front, 0)) for z in state[:2])
        start = AttentionState(keys, values, F.pad(state.valid, (front, 0)))

        def one(carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
            """One block, from the keys and values of the one before."""
            q, k, v = (z.transpose(1, 2) for z in xs[:3])
            keys, values = (torch.cat([a, b], dim=2) for a, b in zip(carry, (k, v), strict=True))
            return [k, v], self._dense(q, keys, values, xs[3]).transpose(1, 2).flatten(-2)

        mine = blocks.mask(new.valid, batch, q.device)
        valid = torch.cat([torch.cat([start.valid[None], mine[:-1]]), mine], dim=2)
        _, y = scan(one, list(start[:2]), [*(blocks.cut(z.transpose(1, 2)) for z in (q, *new[:2])), valid])
        kept = torch.arange(1, self.window, device=q.device) + tokens
        keys, values = (torch.cat([a, b], dim=2)[:, :, kept] for a, b in zip(start[:2], new[:2], strict=True))
        return blocks.joined(y), AttentionState(keys, values, torch.cat([start.valid, new.valid], dim=1)[:, kept])

    def _dense(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
        """One masked call: T queries at the end of S keys."""
        first = k.shape[2] - q.shape[2]
        if written_out(q) and bool(valid.all()):
            mask = kept_mask(first, k.shape[2], self.window)
        else:
            mask = seen(first, k.shape[2], self.window, k.device) & valid[:, None, None, :]
        return self.persistent.attend(q, first, k, v, mask)

    def _blocks(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
        """Blocks of one window, each seeing itself and the block before it."""
        w, tokens, (batch, heads) = self.window, q.shape[2], q.shape[:2]
        count = -(-tokens // w)
        front, back = w - (k.shape[2] - tokens), count * w - tokens
        k, v = (F.pad(z, (0, 0, front, back)).unfold(2, 2 * w, w).transpose(-1, -2) for z in (k, v))
        k, v = (z.transpose(1, 2).reshape(batch * count, heads, 2 * w, -1) for z in (k, v))
        q = F.pad(q, (0, 0, 0, back)).unflatten(2, (count, w)).transpose(1, 2).flatten(0, 1)
        valid = F.pad(valid, (front, back)).unfold(1, 2 * w, w).reshape(batch * count, 1, 1, 2 * w)
        y = self.persistent.attend(q, w, k, v, seen(w, 2 * w, w, q.device) & valid)
        return y.unflatten(0, (batch, count)).transpose(1, 2).flatten(2, 3)[:, :, :tokens]


class SegmentAttention(nn.Module):
    """MAC's attention over [persistent ‖ memory ‖ segment], causal in both (paper eq. 21–23).

    The memory read ``h_j`` is computed from token j, so token i sees ``h_j`` only for j ≤ i. Its keys and values are
    kept beside the segment's own until the segment ends.

    Example:
        >>> attention = SegmentAttention(width=16, heads=2, persistent=4)
        >>> x, h = torch.randn(2, 1, 12, 16)
        >>> y, state = attention(x, h, attention.initial_state(1), torch.ones(1, 12, dtype=torch.bool))
        >>> y.shape
        torch.Size([1, 12, 16])
    """

    def __init__(self, width: int, heads: int, persistent: int, output_gain: float = 1.0) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.qkv = linear_(Linear(width, 3 * width, bias=False))
        self.memory_kv = linear_(Linear(width, 2 * width, bias=False))
        self.out = linear_(Linear(width, width, bias=False), output_gain)
        self.persistent = PersistentTokens(persistent, heads, self.head_width)

    def initial_state(self, batch: int) -> AttentionState:
        """An empty segment; keys and values carry (memory, own) stacked on the head axis."""
        weight = self.qkv.weight
        empty = weight.new_zeros(batch, 2 * self.heads, 0, self.head_width)
        return AttentionState(empty, empty, torch.zeros(batch, 0, dtype=torch.bool, device=weight.device))

    def forward(self, x: Tensor, h: Tensor, state: AttentionState, real: Tensor) -> tuple[Tensor, AttentionState]:
        """x, h (B, T, D) of a segment or a part of one, `real` tokens (B, T) → (B, T, D), the segment so far."""
        split = (self.heads, self.head_width)
        q, k, v = (p.unflatten(-1, split).transpose(1, 2) for p in self.qkv(x).chunk(3, dim=-1))
        hk, hv = (p.unflatten(-1, split).transpose(1, 2) for p in self.memory_kv(h).chunk(2, dim=-1))
        keys = torch.cat([state.keys, torch.cat([hk, k], dim=1)], dim=2)
        values = torch.cat([state.values, torch.cat([hv, v], dim=1)], dim=2)
        valid = torch.cat([state.valid, real], dim=1)
        total = keys.shape[2]
        first = total - x.shape[1]
        mask = seen(first, total, total, x.device) & valid[:, None, None, :]
        k = torch.cat(keys.chunk(2, dim=1), dim=2)
        v = torch.cat(values.chunk(2, dim=1), dim=2)
        y = self.persistent.attend(q, first, k, v, mask.repeat(1, 1, 1, 2), runs=2)
        y = self.out(y.transpose(1, 2).flatten(-2))
        return y, AttentionState(keys, values, valid)
