"""The deep memory with two layers in Triton: the writes, chunk after chunk, and the reads, all chunks at once.

A memory's weights and momentum fit neither into registers nor into shared memory, so the kernels keep every operand in
global memory (in the L2 cache) and are built of one function, `multiply`: a tile of a product, by slices. A phase
stores what the next one multiplies; a barrier lies between. What the keys give (activations, errors) does not need the
reads: one program per memory walks the chunks and stores the state after each; then the chunks are read in parallel.

`B` batch, `T` tokens, `H` heads, `G` = B * H, `K` key and value width, `F` hidden width, `N` chunks of `n` tokens, `BC`
rows of a chunk's tile, n rounded up (see `triton_path.gates`). A state is (4, G, K * F): W1 (K, F), W2 (F, K), S1, S2.
Per chunk and layer: `keep`, `carry` (BC,), `write` (BC, BC) after every token, row BC-1 at the end. `BR` rows and `BF`
hidden units are done at a time, `BK` and `BT` are the slices of products over widths and over tokens. disable_licm
keeps the compiler from computing all addresses in front of a loop: more than the registers hold.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import math
from typing import Final

import triton
import triton.language as tl

from titans_kernels.mlp_memory.network import EPS
from titans_kernels.triton_path.dot import product
from titans_kernels.triton_path.gates import chunk_coefficients, load_gates

_EPS: Final = tl.constexpr(EPS)
_LINEAR: Final = tl.constexpr(2 * math.sqrt(2 / math.pi))
_CUBIC: Final = tl.constexpr(2 * math.sqrt(2 / math.pi) * 0.044715)


SIZES: Final = ["start", "T", "H", "N", "n", "G", "F", "separate", *(f"{x}_{axis}" for x in "qkv" for axis in "bth")]
"""The kernels' integers: one compiled kernel serves all values. Strides and F are multiples of 16."""


@triton.jit
def gelu_curve(h):
    """tanh-GELU h s with s = sigmoid(u), u = h (LINEAR + CUBIC h^2), and its first two derivatives."""
    square = h * h
    s = 1.0 / (1.0 + tl.exp(-h * (square * _CUBIC + _LINEAR)))
    p = s * (1.0 - s)
    slope = square * (3.0 * _CUBIC) + _LINEAR
    curve = p * (2.0 * slope + h * (h * (6.0 * _CUBIC) + slope * slope * (1.0 - 2.0 * s)))
    return h * s, s + h * p * slope, curve


@triton.jit
def gelu_slope(h):
    """gelu(h) and gelu'(h)."""
    value, slope, _ = gelu_curve(h)
    return value, slope


@triton.jit
def gelu(h):
    value, _, _ = gelu_curve(h)
    return value


@triton.jit
def normalise(x, K: tl.constexpr):
    """LN of the rows of x without affine, and its scale (BC, 1)."""
    centred = x - (tl.sum(x, 1) / K)[:, None]
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / K + _EPS)[:, None]
    return centred * scale, scale


@triton.jit
def project(r, normed, K: tl.constexpr):
    """r - mean(r) - normed mean(r normed): scale times this is LN's backward."""
    return r - (tl.sum(r, 1) / K)[:, None] - normed * (tl.sum(r * normed, 1) / K)[:, None]


@triton.jit
def output_error(k, o, v, K: tl.constexpr, RESIDUAL: tl.constexpr):
    """The gradient of ||M(k) - v||^2 by the network's output o."""
    if RESIDUAL:
        normed, scale = normalise(o, K)
        error = scale * project(2.0 * (k + normed - v), normed, K)
    else:
        error = 2.0 * (o - v)
    return error


@triton.jit
def load_tile(x, row, column, stride):
    """x[row, column] of a matrix with `stride` between its rows, as float32."""
    return tl.load(x + (row[:, None] * stride + column[None, :])).to(tl.float32)


@triton.jit
def store_tile(x, row, column, stride, value):
    """The opposite of `load_tile`, in x's dtype."""
    tl.store(x + (row[:, None] * stride + column[None, :]), value.to(x.dtype.element_ty))


@triton.jit
def load_tokens(x, stride, row, real, K: tl.constexpr):
    """Rows of tokens (BC, K) as float32, 0 where not `real`; `stride` between tokens."""
    place = row.to(tl.int64)[:, None] * stride + tl.arange(0, K)[None, :]
    return tl.load(x + place, mask=real[:, None], other=0.0).to(tl.float32)


@triton.jit
def real_rows(mask, row, n):
    """Rows that hold a token which is not masked; mask: at the chunk's first token, or None."""
    real = row < n
    if mask is not None:
        real = real & (tl.load(mask + row, mask=real, other=0) != 0)
    return real


@triton.jit
def multiply(a, a_m, a_k, row, b, b_k, b_n, column, depth, SLICE: tl.constexpr, PRECISION: tl.constexpr):
    """sum_k a[row, k] b[k, column], k < depth, of two matrices in memory; a_m, a_k, b_k, b_n: their strides."""
    out = tl.zeros((row.shape[0], column.shape[0]), tl.float32)
    for j in tl.range(0, depth, SLICE, disable_licm=True):
        k = j + tl.arange(0, SLICE)
        left = tl.load(a + (row[:, None] * a_m + k[None, :] * a_k)).to(tl.float32)
        right = tl.load(b + (k[:, None] * b_k + column[None, :] * b_n)).to(tl.float32)
        out += product(left, right, PRECISION)
    return out


@triton.jit
def write_chunk(
    k, v, mask, write1, keep1, carry1, momentum1, kept1, write2, keep2, carry2, momentum2, kept2,
    w1, w2, s1, s2, to1, to2, past1, past2, key1, key2, keys, outputs, errors, active, first, hidden, upper, scaled,
    k_t, v_t, n, F, K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr,
    BT: tl.constexpr, RESIDUAL: tl.constexpr, PRECISION: tl.constexpr, UPPER: tl.constexpr,
):  # fmt: skip
    """Every layer's inputs and errors for the keys of a chunk, and the state after it.

    k, v, mask at the chunk's first token; coefficients of each layer at the chunk; to1, to2, past1, past2: where the
    new W1, W2, S1, S2 go; key1, key2: the weights that the gradients are taken at. Stored besides: keys, outputs (of
    the network), errors (of the last layer) (BC, K), active (gelu), first (errors of the first layer), hidden (before
    gelu) (BC, F), with UPPER also upper = errors W2^T. scaled: (4, BC, K) in between.
    """
    kk, ff = tl.arange(0, K), tl.arange(0, BF)
    end_keys, momentum_keys, end_errors, momentum_errors = (
        scaled,
        scaled + BC * K,
        scaled + 2 * BC * K,
        scaled + 3 * BC * K,
    )
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        x = load_tokens(k, k_t, row, real_rows(mask, row, n), K)
        store_tile(keys, row, kk, K, x)
        store_tile(end_keys, row, kk, K, x * tl.load(write1 + (BC - 1) * BC + row)[:, None])
        store_tile(momentum_keys, row, kk, K, x * tl.load(momentum1 + row)[:, None])
    tl.debug_barrier()
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        o = tl.zeros((BR, K), tl.float32)
        for f in tl.range(0, F, BF, disable_licm=True):
            unit = f + ff
            h = multiply(keys, K, 1, row, key1, F, 1, unit, K, BK, PRECISION)
            store_tile(hidden, row, unit, F, h)
            a = gelu(h)
            store_tile(active, row, unit, F, a)
            o += product(a, load_tile(key2, unit, kk, K), PRECISION)
        store_tile(outputs, row, kk, K, o)
        real = real_rows(mask, row, n)
        d2 = output_error(load_tokens(k, k_t, row, real, K), o, load_tokens(v, v_t, row, real, K), K, RESIDUAL)
        store_tile(errors, row, kk, K, d2)
        store_tile(end_errors, row, kk, K, d2 * tl.load(write2 + (BC - 1) * BC + row)[:, None])
        store_tile(momentum_errors, row, kk, K, d2 * tl.load(momentum2 + row)[:, None])
    tl.debug_barrier()
    for f in tl.range(0, F, BF, disable_licm=True):
        for r in tl.range(0, BC, BR, disable_licm=True):
            row, unit = r + tl.arange(0, BR), f + ff
            u = multiply(errors, K, 1, row, key2, 1, K, unit, K, BK, PRECISION)
            if UPPER:
                store_tile(upper, row, unit, F, u)
            _, slope = gelu_slope(load_tile(hidden, row, unit, F))
            store_tile(first, row, unit, F, u * slope)
    tl.debug_barrier()
    for f in tl.range(0, F, BF, disable_licm=True):
        unit = f + ff
        w, s = load_tile(w1, kk, unit, F), load_tile(s1, kk, unit, F)
        w = tl.load(keep1 + BC - 1) * w + tl.load(carry1 + BC - 1) * s
        s = tl.load(kept1) * s
        w += multiply(end_keys, 1, K, kk, first, F, 1, unit, BC, BT, PRECISION)
        store_tile(to1, kk, unit, F, w)
        s += multiply(momentum_keys, 1, K, kk, first, F, 1, unit, BC, BT, PRECISION)
        store_tile(past1, kk, unit, F, s)
        w, s = load_tile(w2, unit, kk, K), load_tile(s2, unit, kk, K)
        w = tl.load(keep2 + BC - 1) * w + tl.load(carry2 + BC - 1) * s
        s = tl.load(kept2) * s
        w += multiply(active, 1, F, unit, end_errors, K, 1, kk, BC, BT, PRECISION)
        store_tile(to2, unit, kk, K, w)
        s += multiply(active, 1, F, unit, momentum_errors, K, 1, kk, BC, BT, PRECISION)
        store_tile(past2, unit, kk, K, s)


@triton.jit(do_not_specialize=SIZES)
def states_kernel(
    k, v, mask, write, keep, carry, write_momentum, keep_momentum, w1, w2, s1, s2, key1, key2, states, keys, outputs,
    errors, active, first, hidden, upper, scaled, k_b, k_t, k_h, v_b, v_t, v_h, start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr, UPPER: tl.constexpr,
):  # fmt: skip
    """The writes of N chunks from token `start` on, one program per memory: grid (G,).

    w1, w2, s1, s2: (G, ...), the state before the first chunk; key1, key2: the weights that its gradients are taken
    at, like those of the others at the chunk's start; states: (N, 4, G, K * F), after each. keys ... upper: those of
    `write_chunk` per (G, N); without UPPER hidden is (G, BC, F). scaled: (G, 4, BC, K). k, v (B, T, H, K) by strides,
    mask (B, T) or None; write ... keep_momentum: see `triton_path.gates.Gates`.
    """
    g = tl.program_id(0).to(tl.int64)
    k_b, k_t, k_h = tl.multiple_of(k_b, 16), tl.multiple_of(k_t, 16), tl.multiple_of(k_h, 16)
    v_b, v_t, v_h = tl.multiple_of(v_b, 16), tl.multiple_of(v_t, 16), tl.multiple_of(v_h, 16)
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    matrix, layer = size * G, tl.full((), G, tl.int64) * N
    k += (g // H) * k_b + (g % H) * k_h + start.to(tl.int64) * k_t
    v += (g // H) * v_b + (g % H) * v_h + start.to(tl.int64) * v_t
    if mask is not None:
        mask += (g // H) * T + start
    w1, w2, s1, s2, key1, key2 = (
        w1 + g * size,
        w2 + g * size,
        s1 + g * size,
        s2 + g * size,
        key1 + g * size,
        key2 + g * size,
    )
    to1, to2 = states + g * size, states + (G + g) * size
    past1, past2 = to1 + 2 * matrix, to2 + 2 * matrix
    scaled += g * (4 * BC * K)
    for i in tl.range(N, disable_licm=True):
        one = g * N + i
        two = one + layer
        write_chunk(
            k, v, mask, write + one * BC * BC, keep + one * BC, carry + one * BC, write_momentum + one * BC,
            keep_momentum + one, write + two * BC * BC, keep + two * BC, carry + two * BC, write_momentum + two * BC,
            keep_momentum + two, w1, w2, s1, s2, to1, to2, past1, past2, key1, key2, keys + one * BC * K,
            outputs + one * BC * K, errors + one * BC * K, active + one * BC * F, first + one * BC * F,
            hidden + (one if UPPER else g) * BC * F, upper + one * BC * F, scaled, k_t, v_t, n, F,
            K, BC, BR, BF, BK, BT, RESIDUAL, PRECISION, UPPER,
        )  # fmt: skip
        # The next chunk reads the state that this one stores, and stores into the same scratch.
        tl.debug_barrier()
        w1, w2, s1, s2, key1, key2 = to1, to2, past1, past2, to1, to2
        to1 += 4 * matrix
        to2 += 4 * matrix
        past1 += 4 * matrix
        past2 += 4 * matrix
        k += tl.full((), n, tl.int64) * k_t
        v += tl.full((), n, tl.int64) * v_t
        if mask is not None:
            mask += n


@triton.jit
def read_scores(
    q, write1, keep1, carry1, write2, w1, s1, keys, active, first, queries, scores1, scores2, raw, z, before, q_t, n, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    PRECISION: tl.constexpr, BEFORE: tl.constexpr,
):  # fmt: skip
    """Both layers' inputs for the queries of a chunk, and these times those for its keys.

    w1, s1: before the chunk; keys, active, first: as `write_chunk` leaves them. Stored: queries (BC, K), z (BC, F) the
    second layer's inputs, each with the weights after its token, scores1, scores2 (BC, BC) weighted by write; with
    BEFORE also `before` = z before gelu and raw = scores2 not weighted.
    """
    kk, ff, column = tl.arange(0, K), tl.arange(0, BF), tl.arange(0, BC)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        store_tile(queries, row, kk, K, load_tokens(q, q_t, row, row < n, K))
    tl.debug_barrier()
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(queries, K, 1, row, keys, 1, K, column, K, BK, PRECISION)
        store_tile(scores1, row, column, BC, by * load_tile(write1, row, column, BC))
    tl.debug_barrier()
    for f in tl.range(0, F, BF, disable_licm=True):
        for r in tl.range(0, BC, BR, disable_licm=True):
            row, unit = r + tl.arange(0, BR), f + ff
            z1 = multiply(scores1, BC, 1, row, first, F, 1, unit, BC, BT, PRECISION)
            z1 += tl.load(keep1 + row)[:, None] * multiply(queries, K, 1, row, w1, F, 1, unit, K, BK, PRECISION)
            z1 += tl.load(carry1 + row)[:, None] * multiply(queries, K, 1, row, s1, F, 1, unit, K, BK, PRECISION)
            if BEFORE:
                store_tile(before, row, unit, F, z1)
            store_tile(z, row, unit, F, gelu(z1))
    tl.debug_barrier()
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        by = multiply(z, F, 1, row, active, 1, F, column, F, BK, PRECISION)
        if BEFORE:
            store_tile(raw, row, column, BC, by)
        store_tile(scores2, row, column, BC, by * load_tile(write2, row, column, BC))
    tl.debug_barrier()


@triton.jit
def read_output(
    row, keep2, carry2, w2, s2, errors, scores2, z, F,
    K: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The second layer's output (rows, K) for the queries, each with the weights after its token."""
    kk = tl.arange(0, K)
    out = multiply(scores2, BC, 1, row, errors, K, 1, kk, BC, BT, PRECISION)
    out += tl.load(keep2 + row)[:, None] * multiply(z, F, 1, row, w2, K, 1, kk, F, BK, PRECISION)
    out += tl.load(carry2 + row)[:, None] * multiply(z, F, 1, row, s2, K, 1, kk, F, BK, PRECISION)
    return out


@triton.jit
def store_reads(
    q, y, keep2, carry2, w2, s2, errors, scores2, z, q_t, n, H, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """M(q) of a chunk; q, y (B, T, H, K) at its first token."""
    kk = tl.arange(0, K)
    for r in tl.range(0, BC, BR, disable_licm=True):
        row = r + tl.arange(0, BR)
        out = read_output(row, keep2, carry2, w2, s2, errors, scores2, z, F, K, BC, BK, BT, PRECISION)
        if RESIDUAL:
            normed, _ = normalise(out, K)
            out = load_tokens(q, q_t, row, row < n, K) + normed
        tl.store(y + (row[:, None] * (H * K) + kk[None, :]), out.to(y.dtype.element_ty), mask=(row < n)[:, None])


@triton.jit
def before_chunk(w1, w2, s1, s2, states, i, g, size, G):
    """Memory g's state before chunk i: the given one, then those that `states_kernel` stored."""
    stored = states + ((i - 1) * 4 * G + g) * size
    if i == 0:
        w1, w2, s1, s2 = w1 + g * size, w2 + g * size, s1 + g * size, s2 + g * size
    else:
        w1, w2, s1, s2 = stored, stored + size * G, stored + 2 * size * G, stored + 3 * size * G
    return w1, w2, s1, s2


@triton.jit(do_not_specialize=SIZES)
def read_kernel(
    q, write, keep, carry, w1, w2, s1, s2, states, keys, errors, active, first, queries, scores, z, y, q_b, q_t, q_h,
    start, T, H, N, n, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The reads of N chunks from token `start` on, one program per chunk and memory: grid (G * N,).

    y (B, T, H, K); queries (G, N, BC, K), scores (G, N, 2, BC, BC), z (G, N, BC, F) in between; the rest as
    `states_kernel` leaves it.
    """
    one = tl.program_id(0).to(tl.int64)
    g, i = one // N, one % N
    two = one + tl.full((), G, tl.int64) * N
    q_b, q_t, q_h = tl.multiple_of(q_b, 16), tl.multiple_of(q_t, 16), tl.multiple_of(q_h, 16)
    F = tl.multiple_of(F, 16)
    size = tl.full((), K, tl.int64) * F
    token = start + i * n
    q += (g // H) * q_b + (g % H) * q_h + token * q_t
    w1, w2, s1, s2 = before_chunk(w1, w2, s1, s2, states, i, g, size, G)
    scores, z = scores + one * (2 * BC * BC), z + one * BC * F
    read_scores(
        q, write + one * BC * BC, keep + one * BC, carry + one * BC, write + two * BC * BC, w1, s1, keys + one * BC * K,
        active + one * BC * F, first + one * BC * F, queries + one * BC * K, scores, scores + BC * BC, scores, z, z,
        q_t, n, F, K, BC, BR, BF, BK, BT, PRECISION, False,
    )  # fmt: skip
    store_reads(
        q, y + (((g // H) * T + token) * H + g % H) * K, keep + two * BC, carry + two * BC, w2, s2,
        errors + one * BC * K, scores + BC * BC, z, q_t, n, H, F, K, BC, BR, BK, BT, RESIDUAL, PRECISION,
    )  # fmt: skip


@triton.jit
def store_gates(
    alpha, eta, theta, mask, place, n, layer: tl.constexpr, write, keep, carry, write_momentum, keep_momentum,
    BC: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Coefficients of one chunk and layer from the gates of its tokens, at `place` (BC,) of (B, T, H, 2)."""
    row = tl.arange(0, BC)
    real = real_rows(mask, row, n)
    a, e, s = load_gates(alpha, eta, theta, place + layer, real)
    w, k, c, wm, km = chunk_coefficients(a, e, s, real.to(tl.float32), BC, EXACT)
    store_tile(write, row, row, BC, w)
    tl.store(keep + row, k)
    tl.store(carry + row, c)
    tl.store(write_momentum + row, wm)
    tl.store(keep_momentum, km)


@triton.jit(do_not_specialize=SIZES)
def step_kernel(
    q, k, v, mask, alpha, eta, theta, write, keep, carry, write_momentum, keep_momentum, w1, w2, s1, s2, key1, key2,
    y, to1, to2, past1, past2, keys, outputs, errors, active, first, hidden, scaled, queries, scores, z,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, T, H, G, F,
    K: tl.constexpr, BC: tl.constexpr, BR: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
    RESIDUAL: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """One chunk of T <= 16 tokens from gates to reads in a single launch, for decoding: grid (G,).

    Arguments as in `states_kernel` and `read_kernel` with N = 1; write ... keep_momentum are scratch here, to1, to2,
    past1, past2 (G, ...) the new state.
    """
    g = tl.program_id(0).to(tl.int64)
    batch, head = g // H, g % H
    q_b, q_t, q_h = tl.multiple_of(q_b, 16), tl.multiple_of(q_t, 16), tl.multiple_of(q_h, 16)
    k_b, k_t, k_h = tl.multiple_of(k_b, 16), tl.multiple_of(k_t, 16), tl.multiple_of(k_h, 16)
    v_b, v_t, v_h = tl.multiple_of(v_b, 16), tl.multiple_of(v_t, 16), tl.multiple_of(v_h, 16)
    F = tl.multiple_of(F, 16)
    two, size = g + G, tl.full((), K, tl.int64) * F
    q += batch * q_b + head * q_h
    k += batch * k_b + head * k_h
    v += batch * v_b + head * v_h
    if mask is not None:
        mask += batch * T
    place = ((batch * T + tl.arange(0, BC)) * H + head) * 2
    store_gates(
        alpha, eta, theta, mask, place, T, 0, write + g * BC * BC, keep + g * BC, carry + g * BC,
        write_momentum + g * BC, keep_momentum + g, BC, EXACT,
    )  # fmt: skip
    store_gates(
        alpha, eta, theta, mask, place, T, 1, write + two * BC * BC, keep + two * BC, carry + two * BC,
        write_momentum + two * BC, keep_momentum + two, BC, EXACT,
    )  # fmt: skip
    w1, w2, s1, s2, key1, key2 = (
        w1 + g * size,
        w2 + g * size,
        s1 + g * size,
        s2 + g * size,
        key1 + g * size,
        key2 + g * size,
    )
    keys, errors, active, first = keys + g * BC * K, errors + g * BC * K, active + g * BC * F, first + g * BC * F
    tl.debug_barrier()
    write_chunk(
        k, v, mask, write + g * BC * BC, keep + g * BC, carry + g * BC, write_momentum + g * BC, keep_momentum + g,
        write + two * BC * BC, keep + two * BC, carry + two * BC, write_momentum + two * BC, keep_momentum + two,
        w1, w2, s1, s2, to1 + g * size, to2 + g * size, past1 + g * size, past2 + g * size, key1, key2,
        keys, outputs + g * BC * K, errors, active, first, hidden + g * BC * F, hidden, scaled + g * (4 * BC * K),
        k_t, v_t, T, F, K, BC, BR, BF, BK, BT, RESIDUAL, PRECISION, False,
    )  # fmt: skip
    scores, z = scores + g * (2 * BC * BC), z + g * BC * F
    read_scores(
        q, write + g * BC * BC, keep + g * BC, carry + g * BC, write + two * BC * BC, w1, s1, keys, active, first,
        queries + g * BC * K, scores, scores + BC * BC, scores, z, z, q_t, T, F,
        K, BC, BR, BF, BK, BT, PRECISION, False,
    )  # fmt: skip
    store_reads(
        q, y + (batch * T * H + head) * K, keep + two * BC, carry + two * BC, w2, s2, errors, scores + BC * BC, z,
        q_t, T, H, F, K, BC, BR, BK, BT, RESIDUAL, PRECISION,
    )  # fmt: skip
