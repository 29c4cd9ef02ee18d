"""Triton kernels of the linear memory, backward; shapes and layouts as in triton_forward.py."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl

from titans_kernels.linear_memory.triton_forward import (
    APART,
    TOKEN,
    UNIT,
    before_of,
    coefficients_of,
    real_rows,
    rows_of,
    write_before_of,
)
from titans_kernels.triton_path.dot import product
from titans_kernels.triton_path.gates import SCALARS, tile_of_chunk


@triton.jit
def transposed_kernel(
    inverse, source, out, V: tl.constexpr, BC: tl.constexpr, BV: tl.constexpr, BR: tl.constexpr, EXACT: tl.constexpr
):
    """out = inverse^T source, (G, N, BC, V), BR rows and BV columns a program: grid (G * N, BC / BR, V / BV)."""
    place, left = tl.program_id(0).to(tl.int64), tl.program_id(1) * BR
    row, value = tl.arange(0, BR), tl.program_id(2) * BV + tl.arange(0, BV)
    turned = tl.zeros((BR, BV), tl.float32)
    for top in range(left, BC, BR):
        other = place * BC + top + row[:, None]
        x = tl.load(inverse + other * BC + left + row[None, :])
        turned += product(tl.trans(x), tl.load(source + other * V + value[None, :]), EXACT)
    tl.store(out + (place * BC + left + row[:, None]) * V + value[None, :], turned)


@triton.jit(do_not_specialize=SCALARS)
def reverse_kernel(
    q, k, by_y, mask, write, keep, carry, write_momentum, keep_momentum, by_weights, by_momentum,
    end_weights, end_momentum, into_weights, into_momentum, into_anchor, ends_weights, ends_momentum,
    from_reads, into_errors, q_b, q_t, q_h, k_b, k_t, k_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, ANCHOR: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradients by W and S at the tiles' ends, ends_* (G, N, K, V), from the last tile to the first, each from the
    one after, BK rows at a time; and those by the errors, into_errors (G, N, BC, V).

    from_reads: the part of the latter that comes from y; end_*: the gradients by the last state; into_*: those by the
    first, and by the weights given apart. Grid (G * V / BV,).
    """
    group, block = tl.program_id(0) // (V // BV), tl.program_id(0) % (V // BV)
    head, batch = group % H, (group // H).to(tl.int64)
    group = group.to(tl.int64)
    row, unit, value = tl.arange(0, BC), tl.arange(0, BK), block * BV + tl.arange(0, BV)
    cell = unit[:, None] * V + value[None, :]
    q += (batch * q_b + head * q_h) * UNIT
    k += (batch * k_b + head * k_h) * UNIT
    by_y += (batch * T * H + head) * V + block * BV
    for below in range(0, K * V, BK * V):
        here, there = group * K * V + below + cell, (group * N + N - 1) * K * V + below + cell
        tl.store(ends_weights + there, tl.load(end_weights + here))
        tl.store(ends_momentum + there, tl.load(end_momentum + here))
    tl.debug_barrier()
    for i in range(0, N):
        tile = N - 1 - i
        offset, count = tile_of_chunk(tile, n, m, P)
        first = start + offset
        place = group * N + tile
        local, inside, solved = (first + row).to(tl.int64), row < count, place * BC + row
        real = real_rows(mask, batch, first, T, count, row)
        kept, carried, end_keep, end_carry, end_write, end_wm, end_km = coefficients_of(
            write, keep, carry, write_momentum, keep_momentum, place, BC
        )
        spot = solved[:, None] * V + value[None, :]
        de = tl.load(from_reads + spot)
        for below in range(0, K, BK):
            here, kt = (place * K + below) * V + cell, rows_of(k + below, k_t, local, real, BK)
            de += end_write[:, None] * product(kt, tl.load(ends_weights + here), PRECISION)
            de += end_wm[:, None] * product(kt, tl.load(ends_momentum + here), PRECISION)
        tl.store(into_errors + spot, de)
        tl.debug_barrier()
        dy = rows_of(by_y, H * (V // UNIT), local, inside, BV)
        kept_dy, carried_dy = kept[:, None] * dy, carried[:, None] * dy
        for below in range(0, K, BK):
            here, qt = (place * K + below) * V + cell, tl.trans(rows_of(q + below, q_t, local, inside, BK))
            dw, ds = tl.load(ends_weights + here), tl.load(ends_momentum + here)
            ds = end_carry * dw + end_km * ds + product(qt, carried_dy, PRECISION)
            dw = end_keep * dw + product(qt, kept_dy, PRECISION)
            if ANCHOR == TOKEN:
                dw += product(tl.trans(rows_of(by_weights + below, K // UNIT, solved, row < BC, BK)), de, PRECISION)
                ds += product(tl.trans(rows_of(by_momentum + below, K // UNIT, solved, row < BC, BK)), de, PRECISION)
            elif ANCHOR != APART:
                # The weights at a chunk's start are the anchor of all its tiles.
                for part in range(0, tl.where(tile % P == 0, P, 0)):
                    dw += _into_base(
                        k + below, k_t, mask, into_errors, batch, start, T, n, m, P, tile + part, place + part,
                        value, row, V, BC, BK, PRECISION,
                    )  # fmt: skip
            tl.store(ends_weights + here - K * V, dw, mask=tile > 0)
            tl.store(ends_momentum + here - K * V, ds, mask=tile > 0)
            first_state = (group * K + below) * V + cell
            tl.store(into_weights + first_state, dw, mask=tile == 0)
            tl.store(into_momentum + first_state, ds, mask=tile == 0)
        tl.debug_barrier()
    if ANCHOR == APART:
        for below in range(0, K, BK):
            da = tl.zeros((BK, BV), tl.float32)
            for tile in range(0, N):
                da += _into_base(
                    k + below, k_t, mask, into_errors, batch, start, T, n, m, P, tile, group * N + tile,
                    value, row, V, BC, BK, PRECISION,
                )  # fmt: skip
            tl.store(into_anchor + (group * K + below) * V + cell, da)


@triton.jit
def _into_base(
    k, k_t, mask, by_errors, batch, start, T, n, m, P, tile, place, value, row,
    V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradient by BK rows of the weights at which a tile takes its errors, 2 (k W - v)."""
    offset, count = tile_of_chunk(tile, n, m, P)
    real = real_rows(mask, batch, start + offset, T, count, row)
    kt = rows_of(k, k_t, (start + offset + row).to(tl.int64), real, BK)
    de = tl.load(by_errors + (place * BC + row[:, None]) * V + value[None, :])
    return product(tl.trans(kt), 2.0 * de, PRECISION)


@triton.jit(do_not_specialize=SCALARS)
def gradients_kernel(
    q, k, by_y, mask, write, keep, carry, write_momentum,
    all_weights, all_momentum, anchor, ends_weights, ends_momentum, errors, by_errors,
    into_q, into_k, into_v, into_write, into_keep, into_carry, into_write_momentum, into_keep_momentum,
    by_reads, by_system, q_b, q_t, q_h, k_b, k_t, k_h, start, T, H, N, n, m, P,
    K: tl.constexpr, V: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, BR: tl.constexpr,
    ANCHOR: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradients by q, k, v (B, T, H, width) and by the coefficients (`triton_path.gates.Gates`), all tiles at once.

    by_errors: as `reverse_kernel` leaves them; token anchor: times the transposed inverse. One program per tile, grid
    (G * N,), BK units and BV columns at a time; by_reads and by_system (G, N, BC, BC) are its scratch. Gradients by
    the end of a tile go into row BC-1, those by the weights before a token into the row of the token before.
    """
    group, tile = tl.program_id(0) // N, tl.program_id(0) % N
    head, batch = group % H, (group // H).to(tl.int64)
    place = tl.program_id(0).to(tl.int64)
    offset, count = tile_of_chunk(tile, n, m, P)
    first = start + offset
    row = tl.arange(0, BC)
    real = real_rows(mask, batch, first, T, count, row)
    local, inside = (first + row).to(tl.int64), row < count
    q += (batch * q_b + head * q_h) * UNIT
    k += (batch * k_b + head * k_h) * UNIT
    by_y += (batch * T * H + head) * V
    square = place * BC * BC + row[:, None] * BC + row[None, :]

    dreads, scores = tl.zeros((BC, BC), tl.float32), tl.zeros((BC, BC), tl.float32)
    for column in range(0, V, BV):
        rows = (place * BC + row[:, None]) * V + column + tl.arange(0, BV)[None, :]
        dy = rows_of(by_y + column, H * (V // UNIT), local, inside, BV)
        dreads += product(dy, tl.trans(tl.load(errors + rows)), PRECISION)
        spot = into_v + ((batch * T + local[:, None]) * H + head) * V + column + tl.arange(0, BV)[None, :]
        dv = -2.0 * tl.load(by_errors + rows)
        tl.store(spot, dv.to(into_v.dtype.element_ty), mask=inside[:, None])
    for unit in range(0, K, BK):
        kt = rows_of(k + unit, k_t, local, real, BK)
        scores += product(rows_of(q + unit, q_t, local, inside, BK), tl.trans(kt), PRECISION)
    tl.store(into_write + square, dreads * scores)
    dreads *= tl.load(write + square)
    tl.store(by_reads + square, dreads.to(by_reads.dtype.element_ty))
    if ANCHOR == TOKEN:
        dsystem, keys = tl.zeros((BC, BC), tl.float32), tl.zeros((BC, BC), tl.float32)
        for column in range(0, V, BV):
            rows = (place * BC + row[:, None]) * V + column + tl.arange(0, BV)[None, :]
            dsystem += product(2.0 * tl.load(by_errors + rows), tl.trans(tl.load(errors + rows)), PRECISION)
        for unit in range(0, K, BK):
            kt = rows_of(k + unit, k_t, local, real, BK)
            keys += product(kt, tl.trans(kt), PRECISION)
        # The system -2 (k k^T) o before has the gradient -(2 by_errors / 2) errors^T: the factors cancel.
        strictly = row[:, None] > row[None, :]
        dsystem = tl.where(strictly, dsystem, 0.0)
        tl.debug_barrier()
        above = into_write + square - BC
        tl.store(above, tl.load(above, mask=strictly, other=0.0) + dsystem * keys, mask=strictly)
        dsystem *= write_before_of(write, place, row, row, BC)
        dsystem += tl.trans(dsystem)
        tl.store(by_system + square, dsystem.to(by_system.dtype.element_ty))
    tl.debug_barrier()

    kept, carried = tl.load(keep + place * BC + row), tl.load(carry + place * BC + row)
    end_write, end_wm = tl.load(write + (place * BC + BC - 1) * BC + row), tl.load(write_momentum + place * BC + row)
    kept_before, carried_before = before_of(keep, carry, place, BC)
    base = anchor + (place // N) * K * V if ANCHOR == APART else all_weights + (place - tile % P) * K * V
    zeros = tl.zeros((BC,), tl.float32)
    dkept, dcarried, dend_write, dend_wm, dkept_before, dcarried_before = zeros, zeros, zeros, zeros, zeros, zeros
    dend_keep, dend_carry, dend_km = 0.0, 0.0, 0.0
    for unit in range(0, K, BK):
        dq, qt = tl.zeros((BC, BK), tl.float32), rows_of(q + unit, q_t, local, inside, BK)
        cells = (unit + tl.arange(0, BK))[:, None] * V
        for other in range(0, BC, BR):
            some = other + tl.arange(0, BR)
            real_some = real_rows(mask, batch, first, T, count, some)
            k_some = rows_of(k + unit, k_t, (first + some).to(tl.int64), real_some, BK)
            reads = tl.load(by_reads + place * BC * BC + row[:, None] * BC + some[None, :]).to(tl.float32)
            dq += product(reads, k_some, PRECISION)
        for column in range(0, V, BV):
            state = place * K * V + cells + column + tl.arange(0, BV)[None, :]
            dy = rows_of(by_y + column, H * (V // UNIT), local, inside, BV)
            part = product(dy, tl.trans(tl.load(all_weights + state)), PRECISION)
            dkept += tl.sum(part * qt, 1)
            dq += kept[:, None] * part
            part = product(dy, tl.trans(tl.load(all_momentum + state)), PRECISION)
            dcarried += tl.sum(part * qt, 1)
            dq += carried[:, None] * part
        spot = ((batch * T + local[:, None]) * H + head) * K + unit + tl.arange(0, BK)[None, :]
        tl.store(into_q + spot, dq.to(into_q.dtype.element_ty), mask=inside[:, None])

    for unit in range(0, K, BK):
        dk, kt = tl.zeros((BC, BK), tl.float32), rows_of(k + unit, k_t, local, real, BK)
        cells = (unit + tl.arange(0, BK))[:, None] * V
        for other in range(0, BC, BR):
            some = other + tl.arange(0, BR)
            q_some = rows_of(q + unit, q_t, (first + some).to(tl.int64), some < count, BK)
            reads = tl.load(by_reads + place * BC * BC + some[:, None] * BC + row[None, :]).to(tl.float32)
            dk += product(tl.trans(reads), q_some, PRECISION)
            if ANCHOR == TOKEN:
                real_some = real_rows(mask, batch, first, T, count, some)
                k_some = rows_of(k + unit, k_t, (first + some).to(tl.int64), real_some, BK)
                keys_some = tl.load(by_system + place * BC * BC + row[:, None] * BC + some[None, :]).to(tl.float32)
                dk += product(keys_some, k_some, PRECISION)
        for column in range(0, V, BV):
            value = column + tl.arange(0, BV)[None, :]
            rows, state = (place * BC + row[:, None]) * V + value, place * K * V + cells + value
            error, w, s = tl.load(errors + rows), tl.load(all_weights + state), tl.load(all_momentum + state)
            dw, ds = tl.load(ends_weights + state), tl.load(ends_momentum + state)
            dend_keep += tl.sum(dw * w)
            dend_carry += tl.sum(dw * s)
            dend_km += tl.sum(ds * s)
            part = product(error, tl.trans(dw), PRECISION)
            dend_write += tl.sum(part * kt, 1)
            dk += end_write[:, None] * part
            part = product(error, tl.trans(ds), PRECISION)
            dend_wm += tl.sum(part * kt, 1)
            dk += end_wm[:, None] * part
            de = 2.0 * tl.load(by_errors + rows)
            if ANCHOR == TOKEN:
                part = product(de, tl.trans(w), PRECISION)
                dkept_before += tl.sum(part * kt, 1)
                dk += kept_before[:, None] * part
                part = product(de, tl.trans(s), PRECISION)
                dcarried_before += tl.sum(part * kt, 1)
                dk += carried_before[:, None] * part
            else:
                dk += product(de, tl.trans(tl.load(base + cells + value)), PRECISION)
        spot = ((batch * T + local[:, None]) * H + head) * K + unit + tl.arange(0, BK)[None, :]
        tl.store(into_k + spot, dk.to(into_k.dtype.element_ty), mask=inside[:, None])

    tl.store(into_write_momentum + place * BC + row, dend_wm)
    tl.store(into_keep_momentum + place, dend_km)
    line, end = place * BC + row, row == BC - 1
    tl.store(into_keep + line, dkept + tl.where(end, dend_keep, 0.0))
    tl.store(into_carry + line, dcarried + tl.where(end, dend_carry, 0.0))
    tl.debug_barrier()
    last = into_write + (place * BC + BC - 1) * BC + row
    tl.store(last, tl.load(last) + dend_write)
    if ANCHOR == TOKEN:
        known, above = row > 0, line - 1
        tl.store(into_keep + above, tl.load(into_keep + above, mask=known, other=0.0) + dkept_before, mask=known)
        tl.store(into_carry + above, tl.load(into_carry + above, mask=known, other=0.0) + dcarried_before, mask=known)
