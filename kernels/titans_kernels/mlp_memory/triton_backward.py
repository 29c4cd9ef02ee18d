"""The backward of the deep memory in Triton: the reads, all chunks at once, then the writes, last chunk first.

What reaches the reads (queries, the last layer's output) does not need what reaches the state after the chunk, so only
the derivative of the writes is a walk over the chunks, and of it only what goes on to the state before: the keys and
the coefficients of a chunk's end follow at once for all chunks. `layer_autograd.py` and `network.py` hold the same
derivatives in torch. Kernels and shapes as in `triton_forward.py`; `into_x` is what reaches x, in float32 unless noted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl

from titans_kernels.mlp_memory.triton_forward import (
    SIZES,
    before_chunk,
    gelu_curve,
    gelu_slope,
    load_tile,
    load_tokens,
    multiply,
    normalise,
    project,
    read_output,
    read_scores,
    real_rows,
    store_tile,
)


@triton.jit(do_not_specialize=SIZES)
def read_backward_kernel(
    q, write, keep, carry, w1, w2, s1, s2, states, keys, errors, active, first, queries, scores, z, before, dy,
    into_output, into_scores, into_write, into_errors, q_b, q_t, q_h, start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The reads again, and what reaches the second layer's output and scores; grid (G * N,).

    dy (B, T, H, K). Stored besides what `read_scores` does: into_output (G, N, 3, BC, K), bare and times keep and carry
    of the second layer, and into_scores (G, N, BC, BC), of its scores before the weighting by write, both in q's dtype;
    into_write of the second layer, into_errors (G, N, BC, K).
    """
    one = tl.program_id(0).to(tl.int64)
    g, i = one // N, one % N
    two = one + tl.full((), G, tl.int64) * N
    q_b, q_t, q_h = tl.multiple_of(q_b, 16), tl.multiple_of(q_t, 16), tl.multiple_of(q_h, 16)
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    token = start + i * n
    q += (g // H) * q_b + (g % H) * q_h + token * q_t
    dy += (((g // H) * T + token) * H + g % H) * K
    w1, w2, s1, s2 = before_chunk(w1, w2, s1, s2, states, i, g, size, G)
    scores, z = scores + one * (2 * BC * BC), z + one * BC * F
    scores2, errors = scores + BC * BC, errors + one * BC * K
    write2, into_write2 = write + two * BC * BC, into_write + two * BC * BC
    into_output, into_scores, into_errors = (
        into_output + one * (3 * BC * K), into_scores + one * BC * BC, into_errors + one * BC * K
    )  # fmt: skip
    read_scores(
        q, write + one * BC * BC, keep + one * BC, carry + one * BC, write2, w1, s1, keys + one * BC * K,
        active + one * BC * F, first + one * BC * F, queries + one * BC * K, scores, scores2, into_write2, z,
        before + one * BC * F, q_t, n, F, K, BC, BR, BF, BK, BT, PRECISION, True,
    )  # fmt: skip
    kk, column = tl.arange(0, K), tl.arange(0, BC)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        out = read_output(
            row, keep + two * BC, carry + two * BC, w2, s2, errors, scores2, z, F, K, BC, BK, BT, PRECISION
        )
        into = load_tokens(dy, H * K, row, row < n, K)
        if RESIDUAL:
            normed, scale = normalise(out, K)
            into = scale * project(into, normed, K)
        store_tile(into_output, row, kk, K, into)
        store_tile(into_output + BC * K, row, kk, K, into * tl.load(keep + two * BC + row)[:, None])
        store_tile(into_output + 2 * BC * K, row, kk, K, into * tl.load(carry + two * BC + row)[:, None])
    tl.debug_barrier()
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(into_output, K, 1, row, errors, 1, K, column, K, BK, PRECISION)
        store_tile(into_scores, row, column, BC, by * load_tile(write2, row, column, BC))
        by *= load_tile(into_write2, row, column, BC)
        tl.debug_barrier()
        store_tile(into_write2, row, column, BC, by)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(scores2, 1, BC, row, into_output, K, 1, kk, BC, BT, PRECISION)
        store_tile(into_errors, row, kk, K, by)


@triton.jit(do_not_specialize=SIZES)
def second_layer_kernel(
    w1, w2, s1, s2, states, keep, carry, active, z, before, into_output, into_scores, into_z, into_active, into_keep,
    into_carry, into_state, N, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """From the second layer's output to its input z, the keys' activations, and the state before; grid (G * N,).

    into_z (G, N, BC, F) before gelu, in the tokens' dtype; into_active (G, N, BC, F); into_keep, into_carry of the
    second layer; into_state (N, 4, G, K * F): W2 and S2.
    """
    one = tl.program_id(0).to(tl.int64)
    g, i = one // N, one % N
    two = one + tl.full((), G, tl.int64) * N
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    w1, w2, s1, s2 = before_chunk(w1, w2, s1, s2, states, i, g, size, G)
    into_state += (i * 4 * G + g) * size
    active, z, before = active + one * BC * F, z + one * BC * F, before + one * BC * F
    into_z, into_active = into_z + one * BC * F, into_active + one * BC * F
    into_output, into_scores = into_output + one * (3 * BC * K), into_scores + one * BC * BC
    kk, ff = tl.arange(0, K), tl.arange(0, BF)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by_keep, by_carry = tl.zeros((BR,), tl.float32), tl.zeros((BR,), tl.float32)
        for f in tl.range(0, F, BF, disable_licm=True):
            unit = f + ff
            zf, slope = gelu_slope(load_tile(before, row, unit, F))
            by = multiply(into_output, K, 1, row, w2, 1, K, unit, K, BK, PRECISION)
            by_keep += tl.sum(by * zf, 1)
            into = tl.load(keep + two * BC + row)[:, None] * by
            by = multiply(into_output, K, 1, row, s2, 1, K, unit, K, BK, PRECISION)
            by_carry += tl.sum(by * zf, 1)
            into += tl.load(carry + two * BC + row)[:, None] * by
            into += multiply(into_scores, BC, 1, row, active, F, 1, unit, BC, BT, PRECISION)
            store_tile(into_z, row, unit, F, into * slope)
            by = multiply(into_scores, 1, BC, row, z, F, 1, unit, BC, BT, PRECISION)
            store_tile(into_active, row, unit, F, by)
        tl.store(into_keep + two * BC + row, by_keep)
        tl.store(into_carry + two * BC + row, by_carry)
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        by = multiply(z, 1, F, unit, into_output + BC * K, K, 1, kk, BC, BT, PRECISION)
        store_tile(into_state + size * G, unit, kk, K, by)
        by = multiply(z, 1, F, unit, into_output + 2 * BC * K, K, 1, kk, BC, BT, PRECISION)
        store_tile(into_state + 3 * size * G, unit, kk, K, by)


@triton.jit(do_not_specialize=SIZES)
def first_layer_kernel(
    q, write, keep, carry, w1, w2, s1, s2, states, keys, first, queries, scores, into_z, dy, dq, scaled, into_scores,
    into_write, into_keep, into_carry, into_first, into_keys, into_state, q_b, q_t, q_h, start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the first layer's output to the queries, keys, the keys' first errors, and the state before; grid (G * N,).

    dq (B, T, H, K); into_first (G, N, BC, F), into_keys (G, N, BC, K); into_write, into_keep, into_carry of the first
    layer; into_state: W1 and S1. scaled (G, N, 2, BC, K), into_scores (G, N, BC, BC) in between.
    """
    one = tl.program_id(0).to(tl.int64)
    g, i = one // N, one % N
    q_b, q_t, q_h = tl.multiple_of(q_b, 16), tl.multiple_of(q_t, 16), tl.multiple_of(q_h, 16)
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    token = start + i * n
    q += (g // H) * q_b + (g % H) * q_h + token * q_t
    out = (((g // H) * T + token) * H + g % H) * K
    w1, w2, s1, s2 = before_chunk(w1, w2, s1, s2, states, i, g, size, G)
    into_state += (i * 4 * G + g) * size
    keys, queries, scaled = keys + one * BC * K, queries + one * BC * K, scaled + one * (2 * BC * K)
    first, into_z, into_first = first + one * BC * F, into_z + one * BC * F, into_first + one * BC * F
    scores, into_scores = scores + one * (2 * BC * BC), into_scores + one * BC * BC
    write, into_write = write + one * BC * BC, into_write + one * BC * BC
    keep, carry, into_keep, into_carry = keep + one * BC, carry + one * BC, into_keep + one * BC, into_carry + one * BC
    kk, ff, column = tl.arange(0, K), tl.arange(0, BF), tl.arange(0, BC)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        x = load_tokens(q, q_t, row, row < n, K)
        store_tile(scaled, row, kk, K, x * tl.load(keep + row)[:, None])
        store_tile(scaled + BC * K, row, kk, K, x * tl.load(carry + row)[:, None])
        by = multiply(into_z, F, 1, row, first, 1, F, column, F, BK, PRECISION)
        store_tile(into_scores, row, column, BC, by * load_tile(write, row, column, BC))
        by *= multiply(queries, K, 1, row, keys, 1, K, column, K, BK, PRECISION)
        store_tile(into_write, row, column, BC, by)
    tl.debug_barrier()
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        by = multiply(scaled, 1, K, kk, into_z, F, 1, unit, BC, BT, PRECISION)
        store_tile(into_state, kk, unit, F, by)
        by = multiply(scaled + BC * K, 1, K, kk, into_z, F, 1, unit, BC, BT, PRECISION)
        store_tile(into_state + 2 * size * G, kk, unit, F, by)
        for r in tl.range(0, BC, BR, disable_licm=True):
            at = r + tl.arange(0, BR)
            store_tile(into_first, at, unit, F, multiply(scores, 1, BC, at, into_z, F, 1, unit, BC, BT, PRECISION))
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(into_scores, 1, BC, row, queries, K, 1, kk, BC, BT, PRECISION)
        store_tile(into_keys + one * BC * K, row, kk, K, by)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        into = multiply(into_scores, BC, 1, row, keys, K, 1, kk, BC, BT, PRECISION)
        if RESIDUAL:
            into += load_tokens(dy + out, H * K, row, row < n, K)
        x = load_tokens(q, q_t, row, row < n, K)
        by = multiply(into_z, F, 1, row, w1, 1, F, kk, F, BK, PRECISION)
        tl.store(into_keep + row, tl.sum(by * x, 1))
        into += tl.load(keep + row)[:, None] * by
        by = multiply(into_z, F, 1, row, s1, 1, F, kk, F, BK, PRECISION)
        tl.store(into_carry + row, tl.sum(by * x, 1))
        into += tl.load(carry + row)[:, None] * by
        place = dq + out + (row[:, None] * (H * K) + kk[None, :])
        tl.store(place, into.to(dq.dtype.element_ty), mask=(row < n)[:, None])


@triton.jit
def after_chunk(dw1, dw2, ds1, ds2, into_state, i, N, g, size, G):
    """What reaches memory g's state after chunk i: for the last chunk the given, else that before chunk i + 1."""
    stored = into_state + ((i + 1) * 4 * G + g) * size
    if i == N - 1:
        dw1, dw2, ds1, ds2 = dw1 + g * size, dw2 + g * size, ds1 + g * size, ds2 + g * size
    else:
        dw1, dw2, ds1, ds2 = stored, stored + size * G, stored + 2 * size * G, stored + 3 * size * G
    return dw1, dw2, ds1, ds2


@triton.jit
def add_to(into, index, by):
    """Adds `by` to into[index]; every thread reads before one writes."""
    old = tl.load(into + index)
    tl.debug_barrier()
    tl.store(into + index, old + by)


@triton.jit
def multiply_both(a, row, dw, ds, b_k, b_n, column, depth, end, momentum, SLICE: tl.constexpr, PRECISION: tl.constexpr):
    """end (a dw) + momentum (a ds), end and momentum weigh the rows: what dw and ds, reaching the weights and momentum
    after a chunk, hand on to what wrote them."""
    out = tl.load(end + row)[:, None] * multiply(a, depth, 1, row, dw, b_k, b_n, column, depth, SLICE, PRECISION)
    return out + tl.load(momentum + row)[:, None] * multiply(
        a, depth, 1, row, ds, b_k, b_n, column, depth, SLICE, PRECISION
    )


@triton.jit
def state_to_errors(
    end2, momentum2, active, dw2, ds2, into_errors, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the second layer's state after a chunk to its errors, added to what is there."""
    kk = tl.arange(0, K)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        into = multiply_both(active, row, dw2, ds2, K, 1, kk, F, end2, momentum2, BK, PRECISION)
        into += load_tile(into_errors, row, kk, K)
        tl.debug_barrier()
        store_tile(into_errors, row, kk, K, into)


@triton.jit
def state_to_upper(
    end1, momentum1, keys, hidden, upper, dw1, ds1, into_first, into_upper, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the first layer's state after a chunk to `upper`, and to `hidden` (in the place of into_first)."""
    ff = tl.arange(0, BF)
    for f in tl.range(0, F, BF, disable_licm=True):
        for r in tl.range(0, BC, BR, disable_licm=True):
            row, unit = r + tl.arange(0, BR), f + ff
            into = multiply_both(keys, row, dw1, ds1, F, 1, unit, K, end1, momentum1, BK, PRECISION)
            into += load_tile(into_first, row, unit, F)
            _, slope, curve = gelu_curve(load_tile(hidden, row, unit, F))
            store_tile(into_upper, row, unit, F, into * slope)
            into *= curve * load_tile(upper, row, unit, F)
            tl.debug_barrier()
            store_tile(into_first, row, unit, F, into)


@triton.jit
def state_to_active(
    end2, momentum2, errors, dw2, ds2, into_active, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the second layer's state after a chunk to its inputs for the keys, added to what is there."""
    ff = tl.arange(0, BF)
    for f in tl.range(0, F, BF, disable_licm=True):
        for r in tl.range(0, BC, BR, disable_licm=True):
            row, unit = r + tl.arange(0, BR), f + ff
            into = multiply_both(errors, row, dw2, ds2, 1, K, unit, K, end2, momentum2, BK, PRECISION)
            into += load_tile(into_active, row, unit, F)
            tl.debug_barrier()
            store_tile(into_active, row, unit, F, into)


@triton.jit
def errors_to_network(
    k, v, mask, outputs, key2, into_upper, into_errors, into_keys, into_network, dv, k_t, v_t, n, H, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr, RESIDUAL: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """From the errors of the last layer to the network's output for the keys, to the keys and the values."""
    kk = tl.arange(0, K)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(into_upper, F, 1, row, key2, K, 1, kk, F, BK, PRECISION) + load_tile(into_errors, row, kk, K)
        tl.debug_barrier()
        store_tile(into_errors, row, kk, K, by)
    tl.debug_barrier()
    # Few rows at a time: LN's derivative holds eight tiles.
    for r in tl.range(0, BC, 16, disable_licm=True):
        row = r + tl.arange(0, 16)
        into = load_tile(into_errors, row, kk, K)
        if RESIDUAL:
            real = real_rows(mask, row, n)
            normed, scale = normalise(load_tile(outputs, row, kk, K), K)
            residual = 2.0 * (load_tokens(k, k_t, row, real, K) + normed - load_tokens(v, v_t, row, real, K))
            into_x = 2.0 * scale * project(into, normed, K)
            along, across = (tl.sum(residual * normed, 1) / K)[:, None], (tl.sum(into * normed, 1) / K)[:, None]
            into_normed = into_x - scale * (into * along + residual * across)
            through_scale = normed * (tl.sum(into * project(residual, normed, K), 1) / K)[:, None]
            into_o = scale * (project(into_normed, normed, K) - scale * through_scale)
            into_r = -into_x
            into_x += load_tile(into_keys, row, kk, K)
            tl.debug_barrier()
            store_tile(into_keys, row, kk, K, into_x)
        else:
            into_o = 2.0 * into
            into_r = -into_o
        store_tile(into_network, row, kk, K, into_o)
        place = dv + (row[:, None] * (H * K) + kk[None, :])
        tl.store(place, into_r.to(dv.dtype.element_ty), mask=(row < n)[:, None])


@triton.jit
def into_block(row, column, stride, dw, ds, into_w, into_s, into_key, into_anchor, apart, keep, carry, kept):
    """A block of what reaches one layer's weights and momentum before a chunk, added to what the reads gave.

    dw, ds: what reaches those after it; into_key: what the gradients give to the weights that they were taken at.
    keep, carry, kept: pointers to the coefficients of the chunk's end.
    """
    by_w, by_s = load_tile(dw, row, column, stride), load_tile(ds, row, column, stride)
    new_s = load_tile(into_s, row, column, stride) + tl.load(carry) * by_w + tl.load(kept) * by_s
    new_w = load_tile(into_w, row, column, stride) + tl.load(keep) * by_w + tl.where(apart, 0.0, into_key)
    tl.debug_barrier()
    store_tile(into_s, row, column, stride, new_s)
    store_tile(into_w, row, column, stride, new_w)
    if apart:
        store_tile(into_anchor, row, column, stride, into_key)


@triton.jit
def network_to_second(
    errors, active, hidden, key2, dw, ds, into_w, into_s, into_anchor, apart, keep, carry, kept, into_active,
    into_first, into_upper, into_network, into_hidden, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """From the network's output to `hidden`, and the second layer's state before the chunk."""
    kk, ff = tl.arange(0, K), tl.arange(0, BF)
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        for r in tl.range(0, BC, BR, disable_licm=True):
            row = r + tl.arange(0, BR)
            into = load_tile(into_active, row, unit, F)
            into += multiply(into_network, K, 1, row, key2, 1, K, unit, K, BK, PRECISION)
            _, slope = gelu_slope(load_tile(hidden, row, unit, F))
            store_tile(into_hidden, row, unit, F, into * slope + load_tile(into_first, row, unit, F))
        into_key = multiply(active, 1, F, unit, into_network, K, 1, kk, BC, BT, PRECISION)
        into_key += multiply(into_upper, 1, F, unit, errors, K, 1, kk, BC, BT, PRECISION)
        into_block(unit, kk, K, dw, ds, into_w, into_s, into_key, into_anchor, apart, keep, carry, kept)


@triton.jit
def hidden_to_first(
    keys, dw, ds, into_w, into_s, into_anchor, apart, keep, carry, kept, into_hidden, F,
    K: tl.constexpr, BC: tl.constexpr, BF: tl.constexpr, BT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From `hidden` to the first layer's state before the chunk."""
    kk, ff = tl.arange(0, K), tl.arange(0, BF)
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        into_key = multiply(keys, 1, K, kk, into_hidden, F, 1, unit, BC, BT, PRECISION)
        into_block(kk, unit, F, dw, ds, into_w, into_s, into_key, into_anchor, apart, keep, carry, kept)


@triton.jit(do_not_specialize=SIZES)
def write_backward_kernel(
    k, v, mask, write, keep, carry, write_momentum, keep_momentum, w2, key2, states, keys, outputs, errors, active,
    hidden, upper, into_errors, into_active, into_first, into_keys, into_state, dw1, dw2, ds1, ds2,
    into_anchor1, into_anchor2, dv, into_upper, into_hidden, into_network, k_b, k_t, k_h, v_b, v_t, v_h,
    separate, start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The derivative of `states_kernel` from state to state, last chunk first, one program per memory: grid (G,).

    dw1, dw2, ds1, ds2 (G, ...): what reaches the state after the last chunk. into_state: what the reads gave to the
    state before each chunk, becomes all that reaches it. into_anchor1, 2: what reaches the weights of the gradients
    where those are `separate`. Added to: into_errors, into_keys. Written: into_hidden (G, N, BC, F) in the tokens'
    dtype, dv (B, T, H, K). In between: into_active and into_first, into_upper (G, BC, F) and
    into_network (G, BC, K) in the tokens' dtype.
    """
    g = tl.program_id(0).to(tl.int64)
    k_b, k_t, k_h = tl.multiple_of(k_b, 16), tl.multiple_of(k_t, 16), tl.multiple_of(k_h, 16)
    v_b, v_t, v_h = tl.multiple_of(v_b, 16), tl.multiple_of(v_t, 16), tl.multiple_of(v_h, 16)
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    matrix, layer = size * G, tl.full((), G, tl.int64) * N
    k += (g // H) * k_b + (g % H) * k_h
    v += (g // H) * v_b + (g % H) * v_h
    into_upper, into_network = into_upper + g * BC * F, into_network + g * BC * K
    for j in tl.range(N, disable_licm=True):
        i = (N - 1 - j).to(tl.int64)
        one = g * N + i
        two = one + layer
        apart = (i == 0) & (separate != 0)
        if apart:
            c2 = key2 + g * size
        else:
            _, c2, _, _ = before_chunk(w2, w2, w2, w2, states, i, g, size, G)
        a1, a2, b1, b2 = after_chunk(dw1, dw2, ds1, ds2, into_state, i, N, g, size, G)
        by_state = into_state + (i * 4 * G + g) * size
        narrow, wide = one * BC * K, one * BC * F
        token = start + i * n
        shown = None if mask is None else mask + ((g // H) * T + token)
        end1, end2 = write + (one * BC + BC - 1) * BC, write + (two * BC + BC - 1) * BC
        momentum1, momentum2 = write_momentum + one * BC, write_momentum + two * BC
        state_to_errors(end2, momentum2, active + wide, a2, b2, into_errors + narrow, F, K, BC, BR, BK, PRECISION)
        state_to_upper(
            end1, momentum1, keys + narrow, hidden + wide, upper + wide, a1, b1, into_first + wide, into_upper, F,
            K, BC, BR, BF, BK, PRECISION,
        )  # fmt: skip
        state_to_active(end2, momentum2, errors + narrow, a2, b2, into_active + wide, F, K, BC, BR, BF, BK, PRECISION)
        tl.debug_barrier()
        errors_to_network(
            k + token * k_t, v + token * v_t, shown, outputs + narrow, c2, into_upper, into_errors + narrow,
            into_keys + narrow, into_network, dv + (((g // H) * T + token) * H + g % H) * K, k_t, v_t, n, H, F,
            K, BC, BR, BK, RESIDUAL, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()
        network_to_second(
            errors + narrow, active + wide, hidden + wide, c2, a2, b2, by_state + matrix, by_state + 3 * matrix,
            into_anchor2 + g * size, apart, keep + two * BC + BC - 1, carry + two * BC + BC - 1, keep_momentum + two,
            into_active + wide, into_first + wide, into_upper, into_network, into_hidden + wide, F,
            K, BC, BR, BF, BK, BT, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()
        hidden_to_first(
            keys + narrow, a1, b1, by_state, by_state + 2 * matrix, into_anchor1 + g * size, apart,
            keep + one * BC + BC - 1, carry + one * BC + BC - 1, keep_momentum + one, into_hidden + wide, F,
            K, BC, BF, BT, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()


@triton.jit
def sums(w, s, dw, ds, into_keep, into_carry, into_kept, place, F, K: tl.constexpr, BC: tl.constexpr, BF: tl.constexpr):
    """What reaches keep, carry and keep_momentum of the chunk's end in one layer, whose matrices hold K * F numbers."""
    kk, ff = tl.arange(0, K), tl.arange(0, BF)
    by_keep, by_carry, by_kept = (
        tl.zeros((K, BF), tl.float32),
        tl.zeros((K, BF), tl.float32),
        tl.zeros((K, BF), tl.float32),
    )
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        by_w, momentum = load_tile(dw, kk, unit, F), load_tile(s, kk, unit, F)
        by_keep += by_w * load_tile(w, kk, unit, F)
        by_carry += by_w * momentum
        by_kept += load_tile(ds, kk, unit, F) * momentum
    add_to(into_keep + place * BC, BC - 1, tl.sum(tl.sum(by_keep, 0), 0))
    add_to(into_carry + place * BC, BC - 1, tl.sum(tl.sum(by_carry, 0), 0))
    tl.store(into_kept + place, tl.sum(tl.sum(by_kept, 0), 0))


@triton.jit(do_not_specialize=SIZES)
def coefficients_kernel(
    mask, write, write_momentum, w1, w2, s1, s2, key1, states, keys, errors, active, first,
    into_keys, into_hidden, into_state, dw1, dw2, ds1, ds2,
    into_write, into_keep, into_carry, into_write_momentum, into_keep_momentum, dk,
    start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The rest of the derivative of the writes, all chunks at once: grid (G * N,).

    What reaches the keys, dk (B, T, H, K), and what reaches the coefficients of the chunk's end through the state after
    it: added to row BC-1 of into_keep, into_carry, into_write.
    """
    one = tl.program_id(0).to(tl.int64)
    g, i = one // N, one % N
    layer = tl.full((), G, tl.int64) * N
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    token = start + i * n
    w1, w2, s1, s2 = before_chunk(w1, w2, s1, s2, states, i, g, size, G)
    if i == 0:
        c1 = key1 + g * size
    else:
        c1 = w1
    dw1, dw2, ds1, ds2 = after_chunk(dw1, dw2, ds1, ds2, into_state, i, N, g, size, G)
    two, narrow, wide = one + layer, one * BC * K, one * BC * F
    end1, end2 = (one * BC + BC - 1) * BC, (two * BC + BC - 1) * BC
    shown = None if mask is None else mask + ((g // H) * T + token)
    dk += (((g // H) * T + token) * H + g % H) * K
    kk = tl.arange(0, K)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        d2 = load_tile(errors + narrow, row, kk, K)
        by = multiply(active + wide, F, 1, row, dw2, K, 1, kk, F, BK, PRECISION)
        add_to(into_write + end2, row, tl.sum(by * d2, 1))
        by = multiply(active + wide, F, 1, row, ds2, K, 1, kk, F, BK, PRECISION)
        tl.store(into_write_momentum + two * BC + row, tl.sum(by * d2, 1))
        x = load_tile(keys + narrow, row, kk, K)
        by = multiply(first + wide, F, 1, row, dw1, 1, F, kk, F, BK, PRECISION)
        add_to(into_write + end1, row, tl.sum(by * x, 1))
        into = by * tl.load(write + end1 + row)[:, None]
        by = multiply(first + wide, F, 1, row, ds1, 1, F, kk, F, BK, PRECISION)
        tl.store(into_write_momentum + one * BC + row, tl.sum(by * x, 1))
        into += by * tl.load(write_momentum + one * BC + row)[:, None]
        into += multiply(into_hidden + wide, F, 1, row, c1, 1, F, kk, F, BK, PRECISION)
        into += load_tile(into_keys + narrow, row, kk, K)
        into = tl.where(real_rows(shown, row, n)[:, None], into, 0.0)
        place = dk + (row[:, None] * (H * K) + kk[None, :])
        tl.store(place, into.to(dk.dtype.element_ty), mask=(row < n)[:, None])
    sums(w1, s1, dw1, ds1, into_keep, into_carry, into_keep_momentum, one, F, K, BC, BF)
    sums(w2, s2, dw2, ds2, into_keep, into_carry, into_keep_momentum, two, F, K, BC, BF)
