"""Gate algebra as Triton kernels: the scalar coefficients of all chunks at once, and their gradient (see gates.py).

`B` batch, `T` tokens, `H` heads, `G` = B * H, `L` layers, `N` chunks of `n` tokens, `BC` rows of a tile: n rounded up
to a power of two, at least 16. Rows n..BC-1 are padding, they behave as masked tokens: row BC-1 is the chunk's end.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from titans_kernels.triton_path.compile_spec import Variant
from titans_kernels.triton_path.dot import precision_of, product

_NO_FACTOR: Final = tl.constexpr(-1e4)
"""Stands for log(0) = -inf, which a mask cannot multiply away: exp of it is 0 in float32."""

_ROWS: Final = (16, 32, 64, 128)
_BLOCK: Final = 16
_SIZES: Final = ("start", "T", "H", "L", "N", "n", "m", "P", "G")
SCALARS: Final = (
    "start", "into_start", "T", "TP", "H", "L", "N", "n", "m", "P", "G",
    "q_b", "q_t", "q_h", "k_b", "k_t", "k_h", "v_b", "v_t", "v_h",
)  # fmt: skip
"""Integers that no kernel is compiled anew for: what the ahead-of-time check compiles is what runs."""

_GATES: Final = ("alpha", "eta", "theta")
_GRADIENTS: Final = (
    "by_write", "by_keep", "by_carry", "by_write_momentum", "by_keep_momentum",
    "into_alpha", "into_eta", "into_theta", "starts", "carried_starts",
)  # fmt: skip


class Gates(NamedTuple):
    """The coefficients of N chunks, float32: W_t = keep W_0 + carry S_0 + sum_i write[t, i] grad_i.

    Attributes:
        write: (L, G, N, BC, BC), -c[t, i] theta_i, lower triangular; row t = after token t, columns >= n are 0.
        keep, carry: (L, G, N, BC), A[t, 0] and c[t, 0].
        write_momentum: (L, G, N, BC), -H[n, i] theta_i, the weight of token i's gradient in the momentum S_n.
        keep_momentum: (L, G, N), H[n, 0].
    """

    write: Tensor
    keep: Tensor
    carry: Tensor
    write_momentum: Tensor
    keep_momentum: Tensor


class Tiles(NamedTuple):
    """`number` chunks of `length` tokens, each cut into `parts` tiles, of which the chunk's last may be shorter."""

    number: int
    length: int
    parts: int = 1

    @property
    def total(self) -> int:
        """N."""
        return self.number * self.parts

    @property
    def tokens(self) -> int:
        """Tokens of a tile."""
        return -(-self.length // self.parts)

    @property
    def rows(self) -> int:
        """BC."""
        return tile_rows(self.tokens)


def tile_rows(n: int) -> int:
    """Rows of the tile that holds n tokens: the next of 16, 32, 64, 128."""
    return max(16, triton.next_power_of_2(n))


@triton.jit
def _log(factor, x):
    """log(factor), factor = 1 + x, to float32 accuracy; log(0) is a number, NaN stays NaN.

    The hardware's logarithm has an absolute error of 2^-22, useless near 1: there a series in x, which has not lost the
    digits that 1 + x has lost.
    """
    s = x / (2.0 + x)
    s2 = s * s
    series = 2.0 * s * (1.0 + s2 * (1.0 / 3 + s2 * (1.0 / 5 + s2 * (1.0 / 7 + s2 * (1.0 / 9)))))
    log = tl.where(tl.abs(x) <= 0.3, series, tl.log(factor))
    return tl.where(log < _NO_FACTOR, _NO_FACTOR, log)


@triton.jit
def _exp(x):
    """exp(x); near 0 without the hardware's 2^-22, which a memory that forgets 1e-7 a chunk would feel."""
    tail = 1.0 + x * (1.0 / 4) * (1.0 + x * (1.0 / 5) * (1.0 + x * (1.0 / 6) * (1.0 + x * (1.0 / 7))))
    series = 1.0 + x * (1.0 + x * (1.0 / 2) * (1.0 + x * (1.0 / 3) * tail))
    return tl.where(tl.abs(x) <= 0.3, series, tl.exp(x))


@triton.jit
def _decay(log, row, column, reach):
    """exp of the sum of log over column < l <= row - reach, every entry its own sum; 0 where row - reach < column.

    log: (rows,), that of row - reach; row (rows, 1) and column (1, columns): their numbers in the chunk.
    """
    sums = tl.cumsum(tl.where(row - reach > column, log[:, None], 0.0), 0)
    return tl.where(row - reach >= column, _exp(sums), 0.0)


@triton.jit
def chunk_coefficients(alpha, eta, theta, real, BC: tl.constexpr, EXACT: tl.constexpr):
    """The coefficients of one chunk in registers, for a kernel that does a single step; BC 16 or 32.

    alpha, eta, theta, real: (BC,) float32; padding and masked tokens come as 0, 1, 0 and real 0, tokens with real 1.
    EXACT: products.precision_of(torch.float32, device).
    Returns write (BC, BC), keep, carry, write_momentum (BC,), keep_momentum (): the fields of `Gates` for one chunk.
    """
    row = tl.arange(0, BC)
    t, j = row[:, None], row[None, :]
    forget, retain = _log(1.0 - alpha, -alpha), _log(eta, eta - 1.0)
    into, momentum = _decay(forget, t, j, 0) * real[None, :], _decay(retain, t, j, 0)
    keep, past = _exp(tl.cumsum(forget, 0)), _exp(tl.cumsum(retain, 0))
    carry = tl.sum(into * past[None, :], 1)
    write = -product(into, momentum, EXACT) * theta[None, :]
    write_momentum = -theta * tl.sum(tl.where(t == BC - 1, momentum, 0.0), 0)
    keep_momentum = tl.sum(tl.where(row == BC - 1, past, 0.0), 0)
    return write, keep, carry, write_momentum, keep_momentum


@triton.jit
def tile_of_chunk(tile, n, m, P):
    """Where a tile starts, from the first chunk's start, and its tokens: P tiles of m rows cover a chunk of n."""
    part = tile % P
    return (tile // P) * n + part * m, tl.minimum(m, n - part * m)


@triton.jit
def tokens_of_tile(mask, batch, first, T, n, row):
    """Where the tokens `row` of the tile that starts at token `first` lie in (B, T), and which are real.

    mask: (B, T) contiguous or None; batch: int64; n: tokens of the tile, the rows beyond are padding.
    """
    token = batch * T + first + row
    real = (row >= 0) & (row < n)
    if mask is not None:
        real = real & (tl.load(mask + token, mask=real, other=0) != 0)
    return token, real


@triton.jit
def load_gates(alpha, eta, theta, place, real):
    """The gates at `place` of (B, T, H, L), padding and masked tokens as 0, 1, 0 (their memory is not read)."""
    a = tl.load(alpha + place, mask=real, other=0.0)
    e = tl.load(eta + place, mask=real, other=1.0)
    s = tl.load(theta + place, mask=real, other=0.0)
    return a, e, s


@triton.jit(do_not_specialize=SCALARS)
def gates_kernel(
    alpha, eta, theta, mask, write, keep, carry, write_momentum, keep_momentum,
    start, T, H, L, N, n, m, P, G, BC: tl.constexpr, BR: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """One program per tile, head and layer, grid (G * N, L), BR rows at a time.

    Rows of one block see earlier tokens only through the two numbers these have in W and S at the block's start:
    c[t, i] = keep[t] c[start, i] + carry[t] H[start, i].
    """
    group, layer = tl.program_id(0) // N, tl.program_id(1)
    tile, head, batch = tl.program_id(0) % N, group % H, (group // H).to(tl.int64)
    first, count = tile_of_chunk(tile, n, m, P)
    first += start
    column, place = tl.arange(0, BC), (layer * G + group).to(tl.int64) * N + tile
    token_all, real_all = tokens_of_tile(mask, batch, first, T, count, column)
    a_all, e_all, theta_all = load_gates(alpha, eta, theta, (token_all * H + head) * L + layer, real_all)
    tl.store(keep + place * BC + column, _exp(tl.cumsum(_log(1.0 - a_all, -a_all), 0)))
    past_all = _exp(tl.cumsum(_log(e_all, e_all - 1.0), 0))
    tl.store(keep_momentum + place, tl.sum(tl.where(column == BC - 1, past_all, 0.0), 0))

    in_weights, in_momentum = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    carried, past_carried = 0.0, 1.0
    for block in range(0, BC, BR):
        row = block + tl.arange(0, BR)
        token, real = tokens_of_tile(mask, batch, first, T, count, row)
        a, e, _ = load_gates(alpha, eta, theta, (token * H + head) * L + layer, real)
        into, momentum, kept, past = _block(a, e, real, row, column, block)
        carry_own = tl.sum(into * past[None, :], 1)
        c = product(into, momentum, EXACT) + kept[:, None] * in_weights[None, :]
        c += carry_own[:, None] * in_momentum[None, :]
        tl.store(write + (place * BC + row[:, None]) * BC + column[None, :], -c * theta_all[None, :])
        carries = kept * carried + carry_own * past_carried
        tl.store(carry + place * BC + row, carries)
        last = row == block + BR - 1
        past_end = tl.sum(tl.where(last, past, 0.0), 0)
        in_weights = tl.sum(tl.where(last[:, None], c, 0.0), 0)
        in_momentum = tl.sum(tl.where(last[:, None], momentum, 0.0), 0) + past_end * in_momentum
        carried, past_carried = tl.sum(tl.where(last, carries, 0.0), 0), past_carried * past_end
    tl.store(write_momentum + place * BC + column, -theta_all * in_momentum)


@triton.jit
def _block(a, e, real, row, column, block):
    """A diag(m) (BR, BR) and H (BR, BC) within one block of rows, and its own keep and past (BR,)."""
    forget, retain = _log(1.0 - a, -a), _log(e, e - 1.0)
    into = _decay(forget, row[:, None], row[None, :], 0) * real.to(tl.float32)[None, :]
    momentum = _decay(retain, row[:, None], column[None, :], 0)
    momentum = tl.where(column[None, :] >= block, momentum, 0.0)
    return into, momentum, _exp(tl.cumsum(forget, 0)), _exp(tl.cumsum(retain, 0))


@triton.jit
def _starts(
    alpha, eta, theta, mask, starts, carried_starts, place, batch, first, head, layer, T, H, L, count, column,
    BC: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """Stores what the tokens so far have in W and in S at the start of every block, and c[start, 0]."""
    in_weights, in_momentum = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    carried, past_carried = 0.0, 1.0
    for block in range(0, BC, BR):
        spot = place * (BC // BR) + block // BR
        tl.store(starts + spot * 2 * BC + column, in_weights)
        tl.store(starts + (spot * 2 + 1) * BC + column, in_momentum)
        tl.store(carried_starts + spot, carried)
        row = block + tl.arange(0, BR)
        token, real = tokens_of_tile(mask, batch, first, T, count, row)
        a, e, _ = load_gates(alpha, eta, theta, (token * H + head) * L + layer, real)
        into, momentum, kept, past = _block(a, e, real, row, column, block)
        last = row == block + BR - 1
        into_last = tl.sum(tl.where(last[:, None], into, 0.0), 0)
        kept_end, past_end = tl.sum(tl.where(last, kept, 0.0), 0), tl.sum(tl.where(last, past, 0.0), 0)
        carry_own = tl.sum(into_last * past, 0)
        in_weights = tl.sum(into_last[:, None] * momentum, 0) + kept_end * in_weights + carry_own * in_momentum
        in_momentum = tl.sum(tl.where(last[:, None], momentum, 0.0), 0) + past_end * in_momentum
        carried = kept_end * carried + carry_own * past_carried
        past_carried = past_carried * past_end


@triton.jit(do_not_specialize=SCALARS)
def gates_backward_kernel(
    alpha, eta, theta, mask, by_write, by_keep, by_carry, by_write_momentum, by_keep_momentum,
    into_alpha, into_eta, into_theta, starts, carried_starts,
    into_start, TP, start, T, H, L, N, n, m, P, G, BC: tl.constexpr, BR: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """The gradient of `gates_kernel`, its blocks in reverse; into_* (B, TP, H, L), its tokens from into_start on.

    Each column of c and H is a recurrence over the tokens, c_t = (1 - alpha_t) c_{t-1} + m_t h_t, h_t = eta_t h_{t-1},
    and so are its gradients, in reverse: no division by a gate. starts (L, G, N, BC / BR, 2, BC) and carried_starts
    (L, G, N, BC / BR) hold what the blocks start from.
    """
    group, layer = tl.program_id(0) // N, tl.program_id(1)
    tile, head, batch = tl.program_id(0) % N, group % H, (group // H).to(tl.int64)
    offset, count = tile_of_chunk(tile, n, m, P)
    first = offset + start
    column, place = tl.arange(0, BC), (layer * G + group).to(tl.int64) * N + tile
    _starts(
        alpha,
        eta,
        theta,
        mask,
        starts,
        carried_starts,
        place,
        batch,
        first,
        head,
        layer,
        T,
        H,
        L,
        count,
        column,
        BC,
        BR,
    )
    tl.debug_barrier()
    token_all, real_all = tokens_of_tile(mask, batch, first, T, count, column)
    a_all, e_all, theta_all = load_gates(alpha, eta, theta, (token_all * H + head) * L + layer, real_all)
    forget_all, retain_all = _log(1.0 - a_all, -a_all), _log(e_all, e_all - 1.0)
    # Gradients by c and h at a block's end from the blocks after it: of the tokens' columns, and of column 0 (S_0);
    # `by_kept` likewise that by A[t, 0] (W_0).
    by_weights = tl.zeros((BC,), tl.float32)
    by_momentum = -tl.load(by_write_momentum + place * BC + column)
    by_carried, by_past, by_kept = 0.0, tl.load(by_keep_momentum + place), 0.0
    for step in range(0, BC, BR):
        block = BC - BR - step
        row = block + tl.arange(0, BR)
        token, real = tokens_of_tile(mask, batch, first, T, count, row)
        a, e, _ = load_gates(alpha, eta, theta, (token * H + head) * L + layer, real)
        live = real.to(tl.float32)
        forget, retain = _log(1.0 - a, -a), _log(e, e - 1.0)
        decay, past_decay = _decay(forget, row[:, None], row[None, :], 0), _decay(retain, row[:, None], row[None, :], 0)
        kept, past = _exp(tl.cumsum(forget, 0)), _exp(tl.cumsum(retain, 0))
        last = row == block + BR - 1
        decay_end = tl.sum(tl.where(last[:, None], decay, 0.0), 0)
        past_decay_end = tl.sum(tl.where(last[:, None], past_decay, 0.0), 0)
        kept_end, past_end = tl.sum(tl.where(last, kept, 0.0), 0), tl.sum(tl.where(last, past, 0.0), 0)

        spot = (place * BC + row[:, None]) * BC + column[None, :]
        dwrite = tl.where(row[:, None] >= column[None, :], -tl.load(by_write + spot), 0.0)
        dcarry, dkeep = tl.load(by_carry + place * BC + row), tl.load(by_keep + place * BC + row)
        dc = product(tl.trans(decay), dwrite, EXACT) + decay_end[:, None] * by_weights[None, :]
        dh = product(tl.trans(past_decay), dc * live[:, None], EXACT) + past_decay_end[:, None] * by_momentum[None, :]
        dc0 = tl.sum(decay * dcarry[:, None], 0) + decay_end * by_carried
        dh0 = tl.sum(past_decay * (dc0 * live)[:, None], 0) + past_decay_end * by_past
        dk0 = tl.sum(decay * dkeep[:, None], 0) + decay_end * by_kept

        # c, h, A[., 0] of the token before: from the block's own tokens, and from what stood at the block's start.
        into, own, _, past = _block(a, e, real, row, column, block)
        token, known = tokens_of_tile(mask, batch, first, T, count, row - 1)
        a, e, _ = load_gates(alpha, eta, theta, (token * H + head) * L + layer, known & (row > block))
        forget, retain = _log(1.0 - a, -a), _log(e, e - 1.0)
        kept_before, past_before = _exp(tl.cumsum(forget, 0)), _exp(tl.cumsum(retain, 0))
        into = _decay(forget, row[:, None], row[None, :], 1) * live[None, :]
        carry_before = tl.sum(into * past[None, :], 1)
        spot = place * (BC // BR) + block // BR
        in_weights = tl.load(starts + spot * 2 * BC + column)
        in_momentum = tl.load(starts + (spot * 2 + 1) * BC + column)
        c = product(into, own, EXACT) + kept_before[:, None] * in_weights[None, :]
        c += carry_before[:, None] * in_momentum[None, :]
        h = _decay(retain, row[:, None], column[None, :], 1)
        h = tl.where(column[None, :] >= block, h, 0.0) + past_before[:, None] * in_momentum[None, :]
        kept_start = _exp(tl.sum(tl.where(column < block, forget_all, 0.0), 0))
        past_start = _exp(tl.sum(tl.where(column < block, retain_all, 0.0), 0))
        c0 = kept_before * tl.load(carried_starts + spot) + carry_before * past_start

        into_a = -(tl.sum(theta_all[None, :] * dc * c, 1) + dc0 * c0 + dk0 * kept_before * kept_start)
        into_e = tl.sum(theta_all[None, :] * dh * h, 1) + dh0 * past_before * past_start
        into_s = tl.sum(tl.where(row[:, None] == column[None, :], dh, 0.0), 1)
        out = ((batch * TP + into_start + offset + row) * H + head) * L + layer
        inside = row < count
        tl.store(into_alpha + out, tl.where(real, into_a, 0.0), mask=inside)
        tl.store(into_eta + out, tl.where(real, into_e, 0.0), mask=inside)
        tl.store(into_theta + out, tl.where(real, into_s, 0.0), mask=inside)

        by_weights = tl.sum(kept[:, None] * dwrite, 0) + kept_end * by_weights
        by_momentum = tl.sum((past * live)[:, None] * dc, 0) + past_end * by_momentum
        by_carried = tl.sum(kept * dcarry, 0) + kept_end * by_carried
        by_past = tl.sum(past * live * dc0, 0) + past_end * by_past
        by_kept = tl.sum(kept * dkeep, 0) + kept_end * by_kept


def gate_forward(
    alpha: Tensor,
    eta: Tensor,
    theta: Tensor,
    mask: Tensor | None,
    start: int,
    tiles: Tiles,
) -> Gates:
    """The coefficients of the chunks of `tiles` from token `start` on.

    Args:
        alpha, eta, theta: (B, T, H, L) float32; copied when not contiguous.
        mask: (B, T) bool, True for a token, or None.
        tiles: how the chunks are cut; N of the result is `tiles.total`.
    """
    given = _contiguous(alpha, eta, theta, mask)
    gates = empty_gates(alpha, tiles)
    constants, options = _configuration(tiles.rows, alpha.device)
    sizes = _sizes(alpha, tiles, start)
    gates_kernel[_grid(alpha, tiles)](*given, *gates, *sizes, **constants, **options)
    return gates


def gate_backward(
    alpha: Tensor,
    eta: Tensor,
    theta: Tensor,
    mask: Tensor | None,
    start: int,
    tiles: Tiles,
    into: Gates,
    out: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by alpha, eta, theta from those by the coefficients.

    Args:
        into: the gradients by `gate_forward`'s result (above write's diagonal: not used); the rest as there.
        out: where to write, (B, T, H, L) each, only the tokens concerned; None for new ones of these tokens alone.
    """
    given = _contiguous(alpha, eta, theta, mask)
    batch, _, heads, layers = alpha.shape
    number, length, parts = tiles
    into_start = 0 if out is None else start
    if out is None:
        alpha_out, eta_out, theta_out = (alpha.new_empty(batch, number * length, heads, layers) for _ in range(3))
        out = (alpha_out, eta_out, theta_out)
    blocks = (layers, batch * heads, number * parts, tiles.rows // _BLOCK)
    starts, carried_starts = alpha.new_empty(*blocks, 2, tiles.rows), alpha.new_empty(blocks)
    constants, options = _configuration(tiles.rows, alpha.device)
    sizes = (into_start, out[0].shape[1], *_sizes(alpha, tiles, start))
    gates_backward_kernel[_grid(alpha, tiles)](
        *given, *into, *out, starts, carried_starts, *sizes, **constants, **options
    )  # fmt: skip
    return out


def empty_gates(like: Tensor, tiles: Tiles) -> Gates:
    """Buffers for `Gates` on the device of `like` (B, T, H, L), e.g. for their gradients."""
    lead = (like.shape[-1], like.shape[0] * like.shape[2], tiles.number * tiles.parts)
    rows = tiles.rows
    shapes = ((*lead, rows, rows), (*lead, rows), (*lead, rows), (*lead, rows), lead)
    return Gates(*(torch.empty(shape, dtype=torch.float32, device=like.device) for shape in shapes))


def _contiguous(
    alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    mask = None if mask is None else mask.contiguous()
    return alpha.contiguous(), eta.contiguous(), theta.contiguous(), mask


def _grid(alpha: Tensor, tiles: Tiles) -> tuple[int, int]:
    batch, _, heads, layers = alpha.shape
    return batch * heads * tiles.number * tiles.parts, layers


def _sizes(alpha: Tensor, tiles: Tiles, start: int) -> tuple[int, ...]:
    """The kernels' arguments named _SIZES."""
    batch, tokens, heads, layers = alpha.shape
    number, length, parts = tiles
    return start, tokens, heads, layers, number * parts, length, tiles.tokens, parts, batch * heads


def _configuration(rows: int, device: torch.device) -> tuple[dict[str, Any], dict[str, int]]:
    """Constants and launch options of both kernels."""
    constants = {"BC": rows, "BR": _BLOCK, "EXACT": precision_of(torch.float32, device)}
    return constants, {"num_warps": {16: 1, 32: 2, 64: 4, 128: 8}[rows], "num_stages": 1}


def variants() -> Iterator[Variant]:
    """Every configuration of the kernels of this module."""
    backward = (gates_backward_kernel, _GRADIENTS, ("into_start", "TP", *_SIZES))
    for kernel, pointers, sizes in ((gates_kernel, Gates._fields, _SIZES), backward):
        for rows in _ROWS:
            for masked in (False, True):
                constants, options = _configuration(rows, torch.device("cuda"))
                signature = dict.fromkeys(_GATES, "*fp32") | {"mask": "*i1" if masked else "constexpr"}
                signature |= dict.fromkeys(pointers, "*fp32") | dict.fromkeys(sizes, "i32")
                signature |= dict.fromkeys(constants, "constexpr")
                constants = constants if masked else constants | {"mask": None}
                name = f"gates/{kernel.__name__}/BC{rows}{'/mask' if masked else ''}"
                yield Variant(name, kernel, signature, constants, options)
