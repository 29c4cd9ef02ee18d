"""What must hold of the memory whatever the numbers: splits, causality, leaks, gates, masks, precision, length."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.helpers import Case, assert_close, call, distance, make_case, named_state, outputs_and_gradients
from titans_kernels import MemoryState, linear_read, mlp_read
from titans_kernels.torch_path import recompute

KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "linear, chunk anchor": ((4, 3), {"anchor": "chunk", "chunk_size": 8}),
    "linear, token anchor": ((4, 3), {"anchor": "token", "chunk_size": 8}),
    "mlp, residual": ((4, 8, 4), {"chunk_size": 8}),
    "mlp, plain, deep": ((4, 5, 6, 3), {"chunk_size": 8, "residual": False}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def case_of(kind: str, tokens: int, **changes: Any) -> tuple[Case, dict[str, Any]]:
    widths, options = KINDS[kind]
    return make_case(widths, tokens, linear=kind.startswith("linear"), **changes), dict(options)


def state_close(a: MemoryState, b: MemoryState, tolerance: float = 1e-12) -> None:
    assert a.position == b.position
    assert_close(named_state(a), named_state(b), tolerance)


@every_kind
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 44), max_size=6), seed=st.integers(0, 99))
def test_any_split_gives_the_same(kind: str, cuts: list[int], seed: int) -> None:
    case, options = case_of(kind, 45, seed=seed)
    mask = torch.rand(2, 45, generator=torch.Generator().manual_seed(seed)) < 0.9
    whole, end = call(case, mask=mask, **options)
    state, reads, edges = MemoryState.start(case.weights), [], [0, *sorted(set(cuts)), 45]
    for a, b in itertools.pairwise(edges):
        y, state = call(Case(case.cut(a, b), ()), state, mask=mask[:, a:b], **options)
        reads.append(y)
    assert distance(torch.cat(reads, 1), whole) < 1e-11
    state_close(state, end, 1e-11)


@every_kind
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_token_by_token_is_the_whole(kind: str, masked: bool, reuse: bool) -> None:
    """One call a token, as in decoding: without a graph every token takes a path of its own."""
    case, options = case_of(kind, 21)
    mask = torch.rand(2, 21, generator=torch.Generator().manual_seed(3)) < 0.7 if masked else None
    with torch.no_grad():
        state = MemoryState.start(tuple(w[:1].expand_as(w) for w in case.weights))
        whole, end = call(case, state, mask=mask, **options)
        for t in range(21):
            now = None if mask is None else mask[:, t : t + 1]
            y, state = call(Case(case.cut(t, t + 1), ()), state, mask=now, reuse_state=reuse, **options)
            assert distance(y[:, 0], whole[:, t]) < 1e-12
    state_close(state, end)


def test_only_a_state_given_up_is_overwritten() -> None:
    case, options = case_of("mlp, residual", 5)
    before = tuple(w.clone() for w in case.weights)
    with torch.no_grad():
        _, first = call(Case(case.cut(0, 1), case.weights), reuse_state=True, **options)
        assert all(torch.equal(a, b) for a, b in zip(case.weights, before, strict=True))
        kept = tuple(w.clone() for w in first.weights)
        _, second = call(Case(case.cut(1, 2), ()), first, **options)
        assert all(torch.equal(a, b) for a, b in zip(first.weights, kept, strict=True))
        _, again = call(Case(case.cut(1, 2), ()), first, reuse_state=True, **options)
        assert first.weights[0].data_ptr() == again.weights[0].data_ptr()
    state_close(again, second)


@every_kind
def test_position_counts_the_tokens_of_the_open_chunk(kind: str) -> None:
    case, options = case_of(kind, 21)
    for tokens, position in ((5, 5), (8, 0), (21, 5)):
        _, state = call(Case(case.cut(0, tokens), case.weights), **options)
        assert state.position == (0 if "token" in kind else position)
        if state.position == 0:
            assert all(torch.equal(a, w) for a, w in zip(state.anchor, state.weights, strict=True))
        else:
            assert not torch.allclose(state.anchor[0], state.weights[0])


@every_kind
def test_the_future_does_not_reach_the_past(kind: str) -> None:
    case, options = case_of(kind, 21)
    y, _ = call(case, **options)
    for t in (0, 4, 7, 8, 15, 19):
        other = make_case(KINDS[kind][0], 21, seed=9, linear=kind.startswith("linear")).tokens
        mixed = tuple(torch.cat([a[:, : t + 1], b[:, t + 1 :]], 1) for a, b in zip(case.tokens, other, strict=True))
        changed, _ = call(Case(mixed, case.weights), **options)
        assert distance(changed[:, : t + 1], y[:, : t + 1]) < 1e-13
        assert distance(changed[:, t + 1 :], y[:, t + 1 :]) > 1e-3


@every_kind
def test_the_present_is_read_after_its_write(kind: str) -> None:
    case, options = case_of(kind, 12, theta=0.2)
    y, _ = call(case, **options)
    for t in (0, 5, 11):
        v = case.tokens[2].clone()
        v[:, t, :, 0] += 1
        assert distance(call(case.replace(v=v), **options)[0][:, t], y[:, t]) > 1e-4


@every_kind
def test_sequences_and_heads_do_not_leak(kind: str) -> None:
    case, options = case_of(kind, 13, batch=3)
    y, state = call(case, **options)
    alone = Case(tuple(x[1:2] for x in case.tokens), tuple(w[1:2] for w in case.weights))
    y_alone, state_alone = call(alone, **options)
    assert distance(y[1:2], y_alone) < 1e-13
    state_close(MemoryState(*(tuple(w[1:2] for w in g) for g in state[:3]), state.position), state_alone)
    head = Case(tuple(x[:, :, 1:] for x in case.tokens), tuple(w[:, 1:] for w in case.weights))
    assert distance(call(head, **options)[0], y[:, :, 1:]) < 1e-13


@every_kind
def test_shared_start_weights_are_expanded(kind: str) -> None:
    case, options = case_of(kind, 9)
    shared = tuple(w[0] for w in case.weights)
    same = tuple(w[:1].expand_as(w) for w in case.weights)
    y, state = call(case, MemoryState.start(same), **options)
    for start in (MemoryState.start(shared), MemoryState.start(shared, batch_size=2)):
        y_shared, state_shared = call(case, start, **options)
        assert torch.equal(y, y_shared)
        state_close(state, state_shared)


@every_kind
def test_without_a_step_the_memory_only_decays(kind: str) -> None:
    case, options = case_of(kind, 21)
    still = case.replace(theta=0.0)
    keep = (1 - case.tokens[3].reshape(2, 21, 2, -1)).prod(1)
    _, state = call(still, **options)
    for i, (new, old) in enumerate(zip(state.weights, case.weights, strict=True)):
        assert distance(new, old * keep[:, :, i, None, None]) < 1e-13
        assert not state.momentum[i].any()


@every_kind
def test_without_step_and_forgetting_nothing_moves(kind: str) -> None:
    case, options = case_of(kind, 21)
    y, state = call(case.replace(theta=0.0, alpha=0.0), **options)
    assert all(torch.equal(a, b) for a, b in zip(state.weights, case.weights, strict=True))
    read = linear_read(case.tokens[0], case.weights) if len(case.weights) == 1 else None
    read = mlp_read(case.tokens[0], case.weights, options.get("residual", True)) if read is None else read
    assert distance(y, read) < 1e-13


@every_kind
def test_masked_tokens_leave_weights_and_momentum_exactly(kind: str) -> None:
    case, options = case_of(kind, 13)
    begin = MemoryState(case.weights, make_case(KINDS[kind][0], 1, seed=7).weights, case.weights, 0)
    blank = Case(tuple(torch.full_like(x, torch.nan) if i else x for i, x in enumerate(case.tokens)), ())
    y, state = call(blank, begin, mask=torch.zeros(2, 13, dtype=torch.bool), **options)
    for group in ("weights", "momentum"):
        assert all(torch.equal(a, b) for a, b in zip(getattr(state, group), getattr(begin, group), strict=True))
    assert state.position == (0 if "token" in kind else 5)
    unmoved, _ = call(case.replace(theta=0.0, alpha=0.0), **options)
    assert distance(y, unmoved) < 1e-13


def test_masked_tokens_are_as_if_left_out() -> None:
    """With the token anchor positions do not matter: masking equals deleting."""
    case, options = case_of("linear, token anchor", 21, batch=1)
    kept = torch.rand(21, generator=torch.Generator().manual_seed(2)) < 0.5
    y, state = call(case, mask=kept[None], **options)
    y_kept, state_kept = call(Case(tuple(x[:, kept] for x in case.tokens), case.weights), **options)
    assert distance(y[:, kept], y_kept) < 1e-13
    state_close(state, state_kept)


@every_kind
def test_nan_behind_the_mask_reaches_no_gradient(kind: str) -> None:
    case, options = case_of(kind, 13)
    mask = torch.ones(2, 13, dtype=torch.bool)
    mask[:, 3:6] = False
    q, *rest = case.tokens
    hidden = [~mask.reshape(2, 13, *[1] * (x.dim() - 2)) for x in rest]
    dirty = Case((q, *(x.masked_fill(h, torch.nan) for x, h in zip(rest, hidden, strict=True))), case.weights)
    clean = outputs_and_gradients(case, mask=mask, **options)
    assert_close(outputs_and_gradients(dirty, mask=mask, **options), clean, 0)


def test_token_anchor_does_not_depend_on_chunk_size() -> None:
    case, _ = case_of("linear, token anchor", 45)
    y, state = call(case, anchor="token", chunk_size=1)
    for chunk_size in (2, 7, 45, 64):
        other, end = call(case, anchor="token", chunk_size=chunk_size)
        assert distance(other, y) < 1e-12
        state_close(end, state)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_without_momentum_the_linear_memory_is_the_gated_delta_rule(alpha: float) -> None:
    """alpha = 0: the delta rule W += 2 theta k^T (v - k W), DeltaNet with beta = 2 theta."""
    case, options = case_of("linear, token anchor", 21)
    case = case.replace(eta=0.0, theta=0.2).replace(alpha=alpha)
    q, k, v, decay, _, theta = case.tokens
    w, reads = case.weights[0], []
    for t in range(21):
        error = v[:, t] - torch.einsum("bhk,bhkv->bhv", k[:, t], w)
        write = torch.einsum("bh,bhk,bhv->bhkv", 2 * theta[:, t], k[:, t], error)
        w = (1 - decay[:, t, :, None, None]) * w + write
        reads.append(torch.einsum("bhk,bhkv->bhv", q[:, t], w))
    y, state = call(case, **options)
    assert distance(y, torch.stack(reads, 1)) < 1e-12
    assert distance(state.weights[0], w) < 1e-12


def test_small_forgetting_still_acts_in_float32() -> None:
    """alpha = 1e-7 over 64 tokens keeps 1 - 6.4e-6, which sixty-four roundings of 1 - alpha would miss by a fifth."""
    case, _ = case_of("linear, chunk anchor", 64, dtype=torch.float32)
    case = Case(case.replace(theta=0.0, alpha=1e-7).tokens, (torch.ones_like(case.weights[0]),))
    _, state = call(case, chunk_size=64)
    torch.testing.assert_close(1 - state.weights[0], torch.full_like(state.weights[0], 6.4e-6), rtol=0.02, atol=0)


LONG = [((8, 8), True), *(((8, *hidden, 8), False) for hidden in ((), (16,), (16, 16), (16, 16, 16)))]


@pytest.mark.parametrize(("widths", "linear"), LONG)
def test_long_sequences_stay_finite_in_float32(widths: tuple[int, ...], linear: bool) -> None:
    case = make_case(widths, 8192, batch=1, dtype=torch.float32, linear=linear, theta=0.005, alpha=0.01)
    with torch.no_grad():
        y, state = call(case, chunk_size=16)
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(w).all() and w.abs().max() < 100 for w in state.weights)


@every_kind
@pytest.mark.parametrize("chunks", [1, 2, 3, 50])
def test_the_memory_knob_changes_no_number(kind: str, chunks: int) -> None:
    case, options = case_of(kind, 85)
    by_default = outputs_and_gradients(case, **options)
    assert_close(outputs_and_gradients(case, segment_length=chunks, **options), by_default, 1e-12)


@every_kind
def test_what_is_kept_and_what_is_run_again_change_no_number(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing kept, some of the last segments, all of them."""
    case, options = case_of(kind, 300)
    kept = outputs_and_gradients(case, **options)
    seen: set[int] = set()

    def first_kept(*given: Any) -> int:
        seen.add(first := chosen(*given))
        return first

    chosen = recompute._first_kept
    monkeypatch.setattr(recompute, "_first_kept", first_kept)
    for size in (0, 10_000, 30_000, 100_000, 300_000):
        monkeypatch.setattr(recompute, "KEPT", size)
        assert_close(outputs_and_gradients(case, **options), kept, 1e-12)
    assert len(seen) >= 3


@every_kind
def test_blocks_of_memories_change_no_number(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One memory at a time, and heads apart from each other, against all at once."""
    case, options = case_of(kind, 45, batch=3, heads=3)
    mask = torch.rand(3, 45, generator=torch.Generator().manual_seed(0)) < 0.8
    together = outputs_and_gradients(case, mask=mask, **options)
    for size in (1, 130, 700):
        monkeypatch.setattr(recompute, "BLOCK", size)
        assert_close(outputs_and_gradients(case, mask=mask, **options), together, 1e-12)


@every_kind
@pytest.mark.parametrize("tokens", [21, 85])
def test_a_graph_can_be_walked_twice(kind: str, tokens: int) -> None:
    case, options = case_of(kind, tokens)
    v = case.tokens[2].clone().requires_grad_()
    y, _ = call(Case((*case.tokens[:2], v, *case.tokens[3:]), case.weights), **options)
    first = torch.autograd.grad(y.sum(), v, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(y.sum(), v)[0])


@every_kind
def test_gradients_of_functions_agree(kind: str) -> None:
    """torch.func.grad takes the other path, which autograd differentiates operation by operation."""
    case, options = case_of(kind, 45)

    def loss(v: Tensor) -> Tensor:
        return call(Case((*case.tokens[:2], v, *case.tokens[3:]), case.weights), **options)[0].square().sum()

    v = case.tokens[2].clone().requires_grad_()
    assert distance(torch.func.grad(loss)(case.tokens[2]), torch.autograd.grad(loss(v), v)[0]) < 1e-12


@every_kind
def test_training_memory_grows_with_the_root_of_the_length(kind: str) -> None:
    """Numbers kept for the backward: those of autograd's form grow with every intermediate of every token."""
    kept = []

    def count(x: Tensor) -> Tensor:
        kept.append(x.untyped_storage().nbytes())
        return x

    case, options = case_of(kind, 512, dtype=torch.float32)
    tokens = tuple(x.requires_grad_() for x in case.tokens)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        call(Case(tokens, case.weights), **options)
    inputs = sum(x.untyped_storage().nbytes() for x in (*tokens, *case.weights))
    assert sum(kept) < 5 * inputs


@every_kind
def test_denormal_numbers_live_on_outside(kind: str) -> None:
    """Inside a call numbers below float32's normal range count as zero; the setting does not outlast it."""
    case, options = case_of(kind, 21, dtype=torch.float32)
    tiny = Case(case.tokens, tuple(w * 1e-30 for w in case.weights))
    call(tiny, **options)
    assert (torch.full((), 1e-40) * 1.0).item() > 0


@every_kind
def test_bfloat16_tokens_keep_a_float32_state(kind: str) -> None:
    """Inside all is float32: only y's own rounding (2^-9) is lost, however long the sequence."""
    case, options = case_of(kind, 45, dtype=torch.bfloat16, theta=0.01)
    exact = Case(tuple(x.double() for x in case.tokens), tuple(w.double() for w in case.weights))
    y, state = call(case, **options)
    y_exact, state_exact = call(exact, **options)
    assert y.dtype == torch.bfloat16
    assert distance(y.double(), y_exact) < 2**-8
    for w, w_exact in zip(state.weights, state_exact.weights, strict=True):
        assert w.dtype == torch.float32
        assert distance(w.double(), w_exact) < 1e-5


@every_kind
def test_autocast_does_not_reach_the_memory(kind: str) -> None:
    case, options = case_of(kind, 21, dtype=torch.float32)
    y, _ = call(case, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_autocast, state = call(case, **options)
    assert torch.equal(y, y_autocast)
    assert state.weights[0].dtype == torch.float32


def gradient_by(tensor: Tensor, y: Tensor) -> Tensor:
    return torch.autograd.grad(y.square().sum(), tensor)[0]


@every_kind
def test_detach_cuts_the_gradient_and_keeps_the_values(kind: str) -> None:
    case, options = case_of(kind, 21)
    v = case.tokens[2].clone().requires_grad_()
    tokens = (*case.tokens[:2], v, *case.tokens[3:])
    _, state = call(Case(tuple(x[:, :11] for x in tokens), case.weights), **options)
    rest = Case(case.cut(11, 21), ())
    assert gradient_by(v, call(rest, state, **options)[0])[:, :11].any()
    cut = state.detach()
    state_close(cut, state, 0)
    assert not call(rest, cut, **options)[0].requires_grad
