"""Triton kernels of the linear memory, forward: M(x) = x W (README.md; kernels/MATH.md, sections 2 and 3).

`B` batch, `T` tokens, `H` heads, `G` = B * H, `K`, `V` key and value width, `BV` columns of the values that one program
holds; `N` tiles, `BC` rows of a tile (a power of two, 16 to 64). A chunk of n tokens is one tile, or, when it is long,
P tiles of m rows (the last may be shorter) that share the chunk's anchor. Rows without a token behave as masked ones.

The columns of the values are independent of each other: a program walks over the tiles with its columns of W and S in
registers. `write`, `keep`, `carry`, `write_momentum`, `keep_momentum`: see `triton_path.gates.Gates`, here with L = 1;
what they are before each token is one row further up. Layouts: q, k, v (B, T, H, width) with strides, in UNITs;
y (B, T, H, V); states (G, K, V); states of every tile (G, N, K, V), its errors (G, N, BC, V), reads and inverse (G, N,
BC, BC).
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from typing import Final

import triton
import triton.language as tl

from titans_kernels.triton_path.dot import product
from titans_kernels.triton_path.gates import SCALARS, tile_of_chunk, tokens_of_tile

UNIT: Final = tl.constexpr(16)
"""Strides come in this many elements, so that the compiler knows that rows start on multiples of it."""

CHUNK: Final = tl.constexpr(0)
"""Errors at the weights of the tile's start."""
SPLIT: Final = tl.constexpr(1)
"""Errors at the weights of the chunk's start, which may be an earlier tile."""
APART: Final = tl.constexpr(2)
"""Errors at weights from before the call: the rest of an open chunk."""
TOKEN: Final = tl.constexpr(3)
"""Errors at the weights before each token."""


@triton.jit
def rows_of(pointer, stride, token, inside, WIDTH: tl.constexpr):
    """The tokens' rows, (BC, WIDTH) float32, 0 outside; token (BC,) int64 from `pointer` on, stride in UNITs."""
    column = tl.arange(0, WIDTH)
    place = pointer + token[:, None] * stride * UNIT + column[None, :]
    return tl.load(place, mask=inside[:, None], other=0.0).to(tl.float32)


@triton.jit
def real_rows(mask, batch, first, T, n, row):
    """Which rows of a tile are tokens; see `tokens_of_tile`."""
    _, real = tokens_of_tile(mask, batch, first, T, n, row)
    return real


@triton.jit
def coefficients_of(write, keep, carry, write_momentum, keep_momentum, place, BC: tl.constexpr):
    """keep, carry of every row, and of the tile's end: keep, carry, write, write_momentum, keep_momentum."""
    row = tl.arange(0, BC)
    kept, carried = tl.load(keep + place * BC + row), tl.load(carry + place * BC + row)
    end_keep, end_carry = tl.load(keep + place * BC + BC - 1), tl.load(carry + place * BC + BC - 1)
    end_write = tl.load(write + (place * BC + BC - 1) * BC + row)
    end_write_momentum = tl.load(write_momentum + place * BC + row)
    return kept, carried, end_keep, end_carry, end_write, end_write_momentum, tl.load(keep_momentum + place)


@triton.jit
def before_of(keep, carry, place, BC: tl.constexpr):
    """keep and carry of the weights before each token: the row above, and W_0 itself in the first."""
    row = tl.arange(0, BC)
    kept = tl.load(keep + place * BC + row - 1, mask=row > 0, other=1.0)
    return kept, tl.load(carry + place * BC + row - 1, mask=row > 0, other=0.0)


@triton.jit
def write_before_of(write, place, row, column, BC: tl.constexpr):
    """Rows and columns of `write` before each token; strictly lower triangular."""
    above = write + (place * BC + row[:, None] - 1) * BC + column[None, :]
    return tl.load(above, mask=(row > 0)[:, None] & (row[:, None] > column[None, :]), other=0.0)


@triton.jit
def _inverse(system, SIZE: tl.constexpr, LOG: tl.constexpr, EXACT: tl.constexpr):
    """(I + system)^-1 of a strictly lower triangular (SIZE, SIZE), SIZE = 2^LOG: substitution by doubled blocks.

    The sum of the powers of `system` would be the same, but with entries as large as binomial coefficients.
    """
    row, column = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    x = tl.where(row == column, 1.0, 0.0)
    for i in range(LOG):
        pair = (row >> (i + 1)) == (column >> (i + 1))
        below = pair & (((row >> i) & 1) == 1) & (((column >> i) & 1) == 0)
        x -= product(product(x, tl.where(below, system, 0.0), EXACT), x, EXACT)
    return x


@triton.jit(do_not_specialize=SCALARS)
def prepare_kernel(
    q, k, by_y, mask, write, reads, inverse, into_errors, q_b, q_t, q_h, k_b, k_t, k_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, BR: tl.constexpr,
    LOG: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """What of a tile depends on no state: reads = (q k^T) o write, or into_errors = reads^T by_y for the backward, and
    for the token anchor inverse = (I - 2 (k k^T) o write before)^-1. Grid (G * N,); BR = 2^LOG, BC = BR or 2 BR."""
    group, tile = tl.program_id(0) // N, tl.program_id(0) % N
    head, batch = group % H, (group // H).to(tl.int64)
    place = tl.program_id(0).to(tl.int64)
    offset, count = tile_of_chunk(tile, n, m, P)
    first, row = start + offset, tl.arange(0, BC)
    q += (batch * q_b + head * q_h) * UNIT
    k += (batch * k_b + head * k_h) * UNIT
    real = real_rows(mask, batch, first, T, count, row)
    local, inside = (first + row).to(tl.int64), row < count
    scores = tl.zeros((BC, BC), tl.float32)
    for column in range(0, K, BK):
        qt, kt = rows_of(q + column, q_t, local, inside, BK), rows_of(k + column, k_t, local, real, BK)
        scores += product(qt, tl.trans(kt), PRECISION)
    square = place * BC * BC + row[:, None] * BC + row[None, :]
    scores *= tl.load(write + square)
    if reads is not None:
        tl.store(reads + square, scores.to(reads.dtype.element_ty))
    if into_errors is not None:
        scores = tl.trans(scores)
        for column in range(0, V, BV):
            dy = rows_of(by_y + (batch * T * H + head) * V + column, H * (V // UNIT), local, inside, BV)
            spot = (place * BC + row[:, None]) * V + column + tl.arange(0, BV)[None, :]
            tl.store(into_errors + spot, product(scores, dy, PRECISION))
    if inverse is not None:
        part, out = tl.arange(0, BR), inverse + place * BC * BC
        out += part[:, None] * BC + part[None, :]
        x = _solve(k, k_t, mask, write, batch, place, first, T, count, 0, K, BC, BK, BR, LOG, PRECISION, EXACT)
        tl.store(out, x)
        if BC > BR:
            across = _system(k, k_t, mask, write, batch, place, first, T, count, BR, 0, K, BC, BK, BR, PRECISION)
            across = product(across, x, EXACT)
            x = _solve(k, k_t, mask, write, batch, place, first, T, count, BR, K, BC, BK, BR, LOG, PRECISION, EXACT)
            tl.store(out + BR, tl.zeros((BR, BR), tl.float32))
            tl.store(out + BR * BC + BR, x)
            tl.store(out + BR * BC, -product(x, across, EXACT))


@triton.jit
def _system(
    k, k_t, mask, write, batch, place, first, T, count, top, left,
    K: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The block of -2 (k k^T) o write before, BR rows from `top` and columns from `left` on."""
    row, column = top + tl.arange(0, BR), left + tl.arange(0, BR)
    real = real_rows(mask, batch, first, T, count, row)
    real_other = real_rows(mask, batch, first, T, count, column)
    scores = tl.zeros((BR, BR), tl.float32)
    for unit in range(0, K, BK):
        kt = rows_of(k + unit, k_t, (first + row).to(tl.int64), real, BK)
        other = rows_of(k + unit, k_t, (first + column).to(tl.int64), real_other, BK)
        scores += product(kt, tl.trans(other), PRECISION)
    return -2.0 * scores * write_before_of(write, place, row, column, BC)


@triton.jit
def _solve(
    k, k_t, mask, write, batch, place, first, T, count, top,
    K: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BR: tl.constexpr, LOG: tl.constexpr,
    PRECISION: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """The inverse of the diagonal block that starts at row `top`."""
    system = _system(k, k_t, mask, write, batch, place, first, T, count, top, top, K, BC, BK, BR, PRECISION)
    return _inverse(system, BR, LOG, EXACT)


@triton.jit(do_not_specialize=SCALARS)
def system_kernel(
    k, v, mask, keep, carry, inverse, by_weights, by_momentum, target,
    k_b, k_t, k_h, v_b, v_t, v_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, BR: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """Solves for every token's error ahead of the walk over the tiles: errors = by_weights W + by_momentum S - target.

    by_weights = 2 inverse (keep before o k), by_momentum = 2 inverse (carry before o k), (G, N, BC, K), and
    target = 2 inverse v, (G, N, BC, V), BR rows a program: grid (G * N, BC / BR).
    """
    group, tile = tl.program_id(0) // N, tl.program_id(0) % N
    head, batch = group % H, (group // H).to(tl.int64)
    place, top = tl.program_id(0).to(tl.int64), tl.program_id(1) * BR
    offset, count = tile_of_chunk(tile, n, m, P)
    first, row = start + offset, tl.arange(0, BR)
    k += (batch * k_b + head * k_h) * UNIT
    v += (batch * v_b + head * v_h) * UNIT
    for column in range(0, K, BK):
        kept, carried = tl.zeros((BR, BK), tl.float32), tl.zeros((BR, BK), tl.float32)
        for left in range(0, top + BR, BR):
            other = left + row
            x = 2.0 * tl.load(inverse + (place * BC + top + row[:, None]) * BC + other[None, :])
            real = real_rows(mask, batch, first, T, count, other)
            kt = rows_of(k + column, k_t, (first + other).to(tl.int64), real, BK)
            keep_before = tl.load(keep + place * BC + other - 1, mask=other > 0, other=1.0)
            carry_before = tl.load(carry + place * BC + other - 1, mask=other > 0, other=0.0)
            kept += product(x, keep_before[:, None] * kt, EXACT)
            carried += product(x, carry_before[:, None] * kt, EXACT)
        spot = (place * BC + top + row[:, None]) * K + column + tl.arange(0, BK)[None, :]
        tl.store(by_weights + spot, kept.to(by_weights.dtype.element_ty))
        tl.store(by_momentum + spot, carried.to(by_momentum.dtype.element_ty))
    for column in range(0, V, BV):
        solved = tl.zeros((BR, BV), tl.float32)
        for left in range(0, top + BR, BR):
            other = left + row
            x = 2.0 * tl.load(inverse + (place * BC + top + row[:, None]) * BC + other[None, :])
            real = real_rows(mask, batch, first, T, count, other)
            solved += product(x, rows_of(v + column, v_t, (first + other).to(tl.int64), real, BV), EXACT)
        spot = (place * BC + top + row[:, None]) * V + column + tl.arange(0, BV)[None, :]
        tl.store(target + spot, solved)


@triton.jit(do_not_specialize=SCALARS)
def step_kernel(
    q, k, v, alpha, eta, theta, mask, weights, momentum, anchor, y, new_weights, new_momentum,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, T, H,
    K: tl.constexpr, V: tl.constexpr, BV: tl.constexpr, ANCHOR: tl.constexpr,
):  # fmt: skip
    """A few tokens one by one, as the definition says, in one launch: grid (G * V / BV,); gates (B, T, H)."""
    group, block = tl.program_id(0) // (V // BV), tl.program_id(0) % (V // BV)
    head, batch = group % H, (group // H).to(tl.int64)
    unit, value = tl.arange(0, K), tl.arange(0, BV)
    state = (group.to(tl.int64) * K + unit[:, None]) * V + block * BV + value[None, :]
    q += (batch * q_b + head * q_h) * UNIT + unit
    k += (batch * k_b + head * k_h) * UNIT + unit
    v += (batch * v_b + head * v_h) * UNIT + block * BV + value
    w, s = tl.load(weights + state), tl.load(momentum + state)
    base = tl.load(anchor + state) if ANCHOR == APART else w
    for t in range(0, T):
        token = batch * T + t
        real = True if mask is None else tl.load(mask + token) != 0
        gate = token * H + head
        a, e = tl.load(alpha + gate, mask=real, other=0.0), tl.load(eta + gate, mask=real, other=1.0)
        step = tl.load(theta + gate, mask=real, other=0.0)
        place = token - batch * T
        kt = tl.load(k + place * k_t * UNIT, mask=real, other=0.0).to(tl.float32)[:, None]
        vt = tl.load(v + place * v_t * UNIT, mask=real, other=0.0).to(tl.float32)
        if ANCHOR == TOKEN:
            base = w
        error = 2.0 * (tl.sum(kt * base, 0) - vt)
        s = e * s - step * kt * error[None, :]
        w = tl.where(real, w - a * w + s, w)
        read = tl.sum(tl.load(q + place * q_t * UNIT).to(tl.float32)[:, None] * w, 0)
        tl.store(y + (gate * V + block * BV) + value, read.to(y.dtype.element_ty))
    tl.store(new_weights + state, w)
    tl.store(new_momentum + state, s)


@triton.jit(do_not_specialize=SCALARS)
def forward_kernel(
    q, k, v, mask, write, keep, carry, write_momentum, keep_momentum, reads, by_weights, by_momentum, target,
    weights, momentum, anchor, y, new_weights, new_momentum,
    q_b, q_t, q_h, k_b, k_t, k_h, v_b, v_t, v_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BV: tl.constexpr, ANCHOR: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """y and the state after the tiles, which stays in registers: grid (G * V / BV,)."""
    group, block = tl.program_id(0) // (V // BV), tl.program_id(0) % (V // BV)
    head, batch = group % H, (group // H).to(tl.int64)
    group = group.to(tl.int64)
    row, value = tl.arange(0, BC), block * BV + tl.arange(0, BV)
    state = (group * K + tl.arange(0, K)[:, None]) * V + value[None, :]
    q += (batch * q_b + head * q_h) * UNIT
    k += (batch * k_b + head * k_h) * UNIT
    v += (batch * v_b + head * v_h) * UNIT + block * BV
    w, s = tl.load(weights + state), tl.load(momentum + state)
    base = tl.load(anchor + state) if ANCHOR == APART else w
    for tile in range(0, N):
        offset, count = tile_of_chunk(tile, n, m, P)
        first = start + offset
        place = group * N + tile
        local, inside = (first + row).to(tl.int64), row < count
        real = real_rows(mask, batch, first, T, count, row)
        kept, carried, end_keep, end_carry, end_write, end_wm, end_km = coefficients_of(
            write, keep, carry, write_momentum, keep_momentum, place, BC
        )
        kt = rows_of(k, k_t, local, real, K)
        if ANCHOR == TOKEN:
            solved = place * BC + row
            error = product(rows_of(by_weights, K // UNIT, solved, row < BC, K), w, PRECISION)
            error += product(rows_of(by_momentum, K // UNIT, solved, row < BC, K), s, PRECISION)
            error -= tl.load(target + solved[:, None] * V + value[None, :])
        else:
            if ANCHOR == CHUNK:
                base = w
            if ANCHOR == SPLIT:
                base = tl.where(tile % P == 0, w, base)
            error = 2.0 * (product(kt, base, PRECISION) - rows_of(v, v_t, local, real, BV))
        qt = rows_of(q, q_t, local, inside, K)
        out = kept[:, None] * product(qt, w, PRECISION) + carried[:, None] * product(qt, s, PRECISION)
        read = tl.load(reads + place * BC * BC + row[:, None] * BC + row[None, :]).to(tl.float32)
        out += product(read, error, PRECISION)
        spot = y + ((batch * T + local[:, None]) * H + head) * V + value[None, :]
        tl.store(spot, out.to(y.dtype.element_ty), mask=inside[:, None])
        kt = tl.trans(kt)
        w = end_keep * w + end_carry * s + product(kt, end_write[:, None] * error, PRECISION)
        s = end_km * s + product(kt, end_wm[:, None] * error, PRECISION)
    tl.store(new_weights + state, w)
    tl.store(new_momentum + state, s)


@triton.jit(do_not_specialize=SCALARS)
def states_kernel(
    k, v, mask, write, keep, carry, write_momentum, keep_momentum, by_weights, by_momentum, target,
    weights, momentum, anchor, all_weights, all_momentum, errors, new_weights, new_momentum,
    k_b, k_t, k_h, v_b, v_t, v_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, ANCHOR: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The states at every tile's start, from which the next tile goes on, BK rows at a time, and every tile's errors.

    Grid (G * V / BV,); new_weights, new_momentum: the state at the end, or None.
    """
    group, block = tl.program_id(0) // (V // BV), tl.program_id(0) % (V // BV)
    head, batch = group % H, (group // H).to(tl.int64)
    group = group.to(tl.int64)
    row, unit, value = tl.arange(0, BC), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    cell = unit[:, None] * V + value[None, :]
    k += (batch * k_b + head * k_h) * UNIT
    v += (batch * v_b + head * v_h) * UNIT + block * BV
    for below in range(0, K * V, BK * V):
        here, there = group * K * V + below + cell, group * N * K * V + below + cell
        tl.store(all_weights + there, tl.load(weights + here))
        tl.store(all_momentum + there, tl.load(momentum + here))
    tl.debug_barrier()
    for tile in range(0, N):
        offset, count = tile_of_chunk(tile, n, m, P)
        first = start + offset
        place = group * N + tile
        local, solved = (first + row).to(tl.int64), place * BC + row
        real = real_rows(mask, batch, first, T, count, row)
        if ANCHOR == TOKEN:
            error = -tl.load(target + solved[:, None] * V + value[None, :])
            for below in range(0, K, BK):
                here = (place * K + below) * V + cell
                rows = rows_of(by_weights + below, K // UNIT, solved, row < BC, BK)
                error += product(rows, tl.load(all_weights + here), PRECISION)
                rows = rows_of(by_momentum + below, K // UNIT, solved, row < BC, BK)
                error += product(rows, tl.load(all_momentum + here), PRECISION)
        else:
            base = anchor + group * K * V if ANCHOR == APART else all_weights + (place - tile % P) * K * V
            error = -rows_of(v, v_t, local, real, BV)
            for below in range(0, K, BK):
                rows = rows_of(k + below, k_t, local, real, BK)
                error += product(rows, tl.load(base + below * V + cell), PRECISION)
            error *= 2.0
        tl.store(errors + solved[:, None] * V + value[None, :], error)
        _, _, end_keep, end_carry, end_write, end_wm, end_km = coefficients_of(
            write, keep, carry, write_momentum, keep_momentum, place, BC
        )
        into_w, into_s = end_write[:, None] * error, end_wm[:, None] * error
        last = tile == N - 1
        for below in range(0, K, BK):
            here = (place * K + below) * V + cell
            kt = tl.trans(rows_of(k + below, k_t, local, real, BK))
            w, s = tl.load(all_weights + here), tl.load(all_momentum + here)
            w = end_keep * w + end_carry * s + product(kt, into_w, PRECISION)
            s = end_km * s + product(kt, into_s, PRECISION)
            tl.store(all_weights + here + K * V, w, mask=tile + 1 < N)
            tl.store(all_momentum + here + K * V, s, mask=tile + 1 < N)
            if new_weights is not None:
                end = (group * K + below) * V + cell
                tl.store(new_weights + end, w, mask=last)
                tl.store(new_momentum + end, s, mask=last)
        tl.debug_barrier()


@triton.jit(do_not_specialize=SCALARS)
def output_kernel(
    q, keep, carry, reads, all_weights, all_momentum, errors, y, q_b, q_t, q_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, BR: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """y of all tiles at once, from what `forward_kernel` stored of each: grid (G * N, V / BV)."""
    group, tile = tl.program_id(0) // N, tl.program_id(0) % N
    head, batch = group % H, (group // H).to(tl.int64)
    place = tl.program_id(0).to(tl.int64)
    offset, count = tile_of_chunk(tile, n, m, P)
    row, value = tl.arange(0, BC), tl.program_id(1) * BV + tl.arange(0, BV)[None, :]
    local, inside = (start + offset + row).to(tl.int64), row < count
    q += (batch * q_b + head * q_h) * UNIT
    kept, carried = tl.load(keep + place * BC + row), tl.load(carry + place * BC + row)
    out = tl.zeros((BC, BV), tl.float32)
    for unit in range(0, K, BK):
        qt = rows_of(q + unit, q_t, local, inside, BK)
        state = (place * K + unit + tl.arange(0, BK)[:, None]) * V + value
        out += kept[:, None] * product(qt, tl.load(all_weights + state), PRECISION)
        out += carried[:, None] * product(qt, tl.load(all_momentum + state), PRECISION)
    for other in range(0, BC, BR):
        some = other + tl.arange(0, BR)
        read = tl.load(reads + (place * BC + row[:, None]) * BC + some[None, :]).to(tl.float32)
        out += product(read, tl.load(errors + (place * BC + some[:, None]) * V + value), PRECISION)
    spot = ((batch * T + local[:, None]) * H + head) * V + value
    tl.store(y + spot, out.to(y.dtype.element_ty), mask=inside[:, None])
