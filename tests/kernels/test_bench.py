"""The benchmark's counts against loops, its check against planted mistakes, its bookkeeping; no test of a time."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from titans_kernels import MemoryState, linear_memory
from titans_kernels.bench import child as bench_child
from titans_kernels.bench import rows as bench_rows
from titans_kernels.bench import run as bench
from titans_kernels.bench.child import Once, Order, run_in_child, run_once
from titans_kernels.bench.peers import PEERS, delta_rule, installed, titans_memory
from titans_kernels.bench.rows import CHUNKED, REFERENCE, TRITON, Job, Row, WrongResult, check, draw, our_rows, run_op
from titans_kernels.bench.run import Options, Result, Timing, measure, ratio, rows, scaling
from titans_kernels.bench.shapes import (
    CPU,
    GPU,
    OPS,
    SETS,
    TINY,
    Count,
    Shape,
    backward_bytes,
    choose,
    forward_bytes,
    forward_count,
    forward_flops,
    training_count,
)

DEVICE = torch.device("cpu")
QUICK = Options(only=(CHUNKED,), repeats=1, memory=False)
ODD = (
    Shape("a", "mlp", 2, 3, 4, 4, 6, 11, 4),
    Shape("b", "linear", 1, 2, 3, 5, 0, 7, 3),
    Shape("c", "linear-token", 2, 1, 4, 2, 0, 9, 16),
    Shape("d", "mlp", 1, 1, 3, 2, 5, 1, 8, "bfloat16"),
)


def multiplications(shape: Shape) -> int:
    """Every multiply-add of the chunk form's products, one by one."""
    number = 0
    for start in range(0, shape.T, shape.C):
        chunk = range(start, min(start + shape.C, shape.T))
        for t, (layer, (width_in, width_out)) in itertools.product(chunk, enumerate(itertools.pairwise(shape.widths))):
            for _ in itertools.product(range(width_in), range(width_out)):
                number += 1 if shape.op != "linear-token" else 2  # the key with the anchor, or with W_0 and S_0
                number += layer > 0  # the error with the weights, backwards
                number += 2  # the query with W_0 and S_0
                number += 2  # the write into W and into S
            for i in chunk:
                number += (width_in + width_out) * (i <= t)
                number += (width_in + width_out) * (i < t and shape.op == "linear-token")
    return number * shape.B * shape.H


@pytest.mark.parametrize("shape", ODD, ids=lambda shape: shape.name)
def test_operations_against_loops(shape: Shape) -> None:
    assert forward_flops(shape) == 2 * multiplications(shape)
    assert forward_count(shape).flops * 3 == training_count(shape).flops


class Products(TorchDispatchMode):
    """Counts the operations of matrix products, those in place too (torch's own counter leaves them out)."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            a, b = args[-2:]
            self.flops += 2 * a.numel() * b.shape[-1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("op", ["mlp", "linear"])
def test_the_chunk_form_does_at_least_the_counted_operations(op: str) -> None:
    """And less than twice as many: whole squares where only lower triangles count."""
    shape = Shape("x", op, 2, 2, 16, 16, 32 if op == "mlp" else 0, 64, 16)
    tokens, weights = draw(shape, DEVICE)
    with Products() as products, torch.no_grad():
        run_op(shape, tokens, MemoryState.start(weights), "torch")
    assert forward_flops(shape) <= products.flops < 2 * forward_flops(shape)


@pytest.mark.parametrize("shape", ODD, ids=lambda shape: shape.name)
def test_bytes_against_tensors(shape: Shape) -> None:
    """Forward: inputs, y, state in, state out. Backward: inputs and two gradients in, every input's gradient out."""
    tokens, weights = draw(shape, DEVICE)
    y, end = run_op(shape, tokens, MemoryState.start(weights), "torch")

    def size(*tensors: Tensor) -> int:
        return sum(x.numel() * x.itemsize for x in tensors)

    state = size(*end.weights, *end.momentum)
    assert forward_bytes(shape) == size(*tokens, y) + 2 * state
    assert backward_bytes(shape) == size(*tokens, y) + 2 * state + size(*tokens) + state
    assert training_count(shape).bytes == forward_bytes(shape) + backward_bytes(shape)


def test_the_floor_is_the_slower_of_arithmetic_and_traffic() -> None:
    assert Count(100, 10).floor(10.0, 10.0) == 10.0
    assert Count(100, 10).floor(1000.0, 1.0) == 10.0


def test_shapes_by_name() -> None:
    assert choose(None, "cpu") == CPU and choose(None, "cuda") == GPU
    assert choose(["mlp-decode", "gpu"], "cpu") == (*(s for s in CPU if s.name == "mlp-decode"), *GPU)
    assert choose(["tiny", "tiny-mlp"], "cpu") == TINY
    every = [shape for group in SETS.values() for shape in group]
    assert len({shape.name for shape in every}) == len(every)
    for shape in every:
        assert shape.op in OPS and (shape.F > 0) == (shape.op == "mlp")
    with pytest.raises(ValueError, match="no shape named 'mlp-9k': choose among mlp-t64, mlp-c64-1k") as stop:
        choose(["mlp-9k"], "cpu")
    assert "tiny" not in str(stop.value)


def test_rows_by_name() -> None:
    names = [row.name for row in rows(Options())]
    ours, peers = (
        ["reference", "chunked", "native", "triton"],
        ["titans-pytorch-exact", "titans-pytorch", "fla", "sdpa"],
    )
    assert names == [*ours, *peers]
    assert [row.name for row in rows(Options(only=("sdpa", CHUNKED)))] == [CHUNKED, "sdpa"]
    assert "chunked-compiled" in [row.name for row in rows(Options(compiled=True))]
    with pytest.raises(ValueError, match="no row named 'fast': choose among reference, chunked"):
        rows(Options(only=("fast",)))


def row(name: str) -> Row:
    return next(row for row in rows(Options()) if row.name == name)


def test_rows_that_cannot_run_say_why() -> None:
    long, tiny = CPU[1], TINY[0]
    assert "T > 64" in row(REFERENCE).refuse(long, DEVICE) and not row(REFERENCE).refuse(tiny, DEVICE)
    assert row(TRITON).refuse(tiny, DEVICE) == "needs CUDA tensors, these are on cpu"
    assert row("fla").refuse(tiny, DEVICE) == "a linear memory only"


@pytest.mark.parametrize("name", ["titans-pytorch", "titans-pytorch-exact", "fla"])
def test_peers_that_are_not_installed_say_how(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_kernels.bench.peers.installed", lambda package: "")
    assert f"is not installed (pip install {row(name).package})" in row(name).refuse(TINY[1], DEVICE)


@pytest.mark.parametrize("shape", [*TINY, Shape("x", "linear", 1, 2, 8, 8, 0, 24, 8)], ids=lambda shape: shape.name)
def test_right_ops_pass_the_check(shape: Shape) -> None:
    for ours in our_rows()[:2]:
        check(shape, ours, DEVICE)


Result_ = tuple[Tensor, MemoryState]


def louder(y: Tensor, state: MemoryState) -> Result_:
    return y * 1.001, state


def barely_louder(y: Tensor, state: MemoryState) -> Result_:
    """Within what float32 may lose, not within float64."""
    return y * (1 + 1e-6), state


def not_a_number(y: Tensor, state: MemoryState) -> Result_:
    return y + torch.where(torch.arange(y.shape[-1]) == 1, torch.nan, 0.0), state


def wrong_gradient(y: Tensor, state: MemoryState) -> Result_:
    return y.detach() + (y - y.detach()) * 1.01, state


def forgets_momentum(y: Tensor, state: MemoryState) -> Result_:
    return y, state._replace(momentum=tuple(m * 0.99 for m in state.momentum))


def loses_position(y: Tensor, state: MemoryState) -> Result_:
    return y, state._replace(position=0)


@pytest.mark.parametrize(
    "mistake", [louder, barely_louder, not_a_number, wrong_gradient, forgets_momentum, loses_position]
)
def test_wrong_ops_are_not_timed(mistake: Callable[[Tensor, MemoryState], Result_], monkeypatch: Any) -> None:
    right = bench_rows.mlp_memory

    def wrong(*args: Any, backend: str | None = None, **options: Any) -> Result_:
        made = right(*args, backend=backend, **options)
        return made if backend == "reference" else mistake(*made)

    def never(*_: object) -> dict[str, object]:
        raise AssertionError("timed")

    monkeypatch.setattr(bench_rows, "mlp_memory", wrong)
    monkeypatch.setattr(bench, "_interleave", never)
    with pytest.raises(WrongResult, match="tiny-mlp: chunked is wrong, so it is not timed"):
        measure(TINY[0], QUICK)


def test_an_op_that_raises_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("cannot run: K must be a power of two")

    monkeypatch.setattr(bench_rows, "mlp_memory", refuses)
    (result,) = measure(TINY[0], QUICK)
    assert result.whole is None
    assert result.note == "its check fails: RuntimeError: cannot run: K must be a power of two"


def test_a_measured_shape_has_a_line_a_row() -> None:
    wanted = (REFERENCE, CHUNKED, TRITON, "fla")
    results = measure(TINY[0], QUICK._replace(only=wanted))
    assert tuple(result.row for result in results) == wanted
    reference, chunked, triton, fla = results
    assert chunked.forward and chunked.training and chunked.must == training_count(TINY[0])
    assert chunked.forward.least <= chunked.forward.median
    assert ratio(chunked, results) == 1.0 and ratio(reference, results) is not None
    assert triton.whole is None and triton.note and ratio(triton, results) is None
    assert fla.whole is None and fla.note == "a linear memory only"


def test_decoding_has_no_training() -> None:
    (result,) = measure(TINY[2], QUICK)
    assert result.forward and not result.training and result.must == forward_count(TINY[2])


def fake(name: str, run: Callable[[], object], training: Callable[[], object] | None = None) -> Row:
    return Row(name, bench_rows.runs, lambda shape, device, calls: Job(run, training, "made up"))


def test_rows_take_turns_and_a_failing_one_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    order = ""

    def note(letter: str) -> None:
        nonlocal order
        order += letter

    def fails() -> None:
        raise RuntimeError("no\nluck")

    made = (fake("a", lambda: note("a")), fake("b", fails), fake("c", lambda: note("c"), lambda: note("d")))
    monkeypatch.setattr(bench, "rows", lambda options: made)
    monkeypatch.setattr(bench, "SAMPLE_SECONDS", 0.0)
    a, b, c = measure(TINY[0], Options(repeats=3, memory=False))
    assert order == "aaccdd" + "acd" * 2  # the first time with a warm-up
    assert b.note == "fails: RuntimeError: no luck; made up" and b.whole is None
    assert a.whole and c.training and isinstance(c.forward, Timing)


@pytest.mark.parametrize("compiles", [True, False])
def test_a_long_first_run_is_a_sample_unless_it_compiles(compiles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1

    made = Row("a", bench_rows.runs, lambda shape, device, calls: Job(run, None, "made up", compiles))
    monkeypatch.setattr(bench, "rows", lambda options: (made,))
    monkeypatch.setattr(bench, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ROW_SECONDS", 0.0)  # every run is long: one sample each
    measure(TINY[0], Options(repeats=3, memory=False))
    assert runs == (2 if compiles else 1)


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_peak_memory_is_what_the_run_takes() -> None:
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:  # the warm-up, whose own peak must not count
            torch.ones(2**26).sum()
        if runs == 2:
            torch.ones(2**24).sum()  # 64 MiB
            torch.ones(2**23).sum()

    once = run_once(Order("x", TINY[0], "cpu", False), fake("x", run))
    assert runs == 4 and once.mebibytes is not None and 60 < once.mebibytes < 80


@linux
def test_a_child_runs_one_row() -> None:
    order = Order(CHUNKED, TINY[0], "cpu", training=True)
    once = run_in_child(order, 60)
    assert once.error == "" and once.seconds and once.mebibytes is not None
    assert math.isfinite(once.seconds)


def test_a_child_that_fails_says_why() -> None:
    once = run_in_child(Order("nobody", TINY[0], "cpu", training=False), 60)
    assert once.seconds is None and once.error


def test_curves_stop_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward over long sequences goes piece by piece; growth so far predicts what would take too long."""
    orders: list[Order] = []

    def run(order: Order, timeout: float) -> Once:
        orders.append(order)
        tokens = order.shape.T * order.calls
        if order.training and tokens > 4096:
            return Once(None, None, "out of memory")
        return Once((tokens / 1024) ** 2, 1.0)

    monkeypatch.setattr(bench, "run_in_child", run)
    points = list(scaling(CPU[1], QUICK, limit=2000.0))
    forward = [point for point in points if not point.training]
    training = [point for point in points if point.training]
    assert [p.T for p in forward] == [1024, 4096, 16384, 65536]
    assert [p.seconds for p in forward] == [1, 16, 256, None] and "longer than 2000 s" in forward[-1].note
    assert [(o.shape.T, o.calls) for o in orders[:3]] == [(1024, 1), (4096, 1), (4096, 4)]
    assert [p.note for p in training] == ["", "", "out of memory"]
    assert all(order.calls == 1 for order in orders if order.training)


def test_ratio_compares_like_with_like() -> None:
    def result(name: str, forward: float, training: float | None) -> Result:
        both = Timing(training, training) if training else None
        return Result(TINY[0], name, Timing(forward, forward), both, None, "")

    chunked = result(CHUNKED, 1.0, 4.0)
    assert ratio(result("x", 3.0, 8.0), [chunked]) == 2.0
    assert ratio(result("x", 3.0, None), [chunked]) == 3.0
    assert ratio(chunked, []) is None


def test_the_child_limits_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: taken.append((kind, limits[0])))
    bench_child.limit_memory()
    assert taken and taken[0][0] == resource.RLIMIT_AS and taken[0][1] > 2**28


@pytest.mark.skipif(not installed("titans-pytorch"), reason="titans-pytorch is not installed")
def test_the_exact_mode_of_titans_pytorch_is_our_linear_memory() -> None:
    """Its loss is a mean over V, so theta is its step / V; q, k and v are the input itself."""
    shape = Shape("x", "linear", 2, 2, 8, 8, 0, 24, 8)
    peer: Any = titans_memory(shape, exact=True).double()
    x = torch.randn(2, 24, 16, dtype=torch.float64)
    expected, _ = peer(x)
    step, eta, alpha = (
        gate[0](x).sigmoid() for gate in (peer.to_adaptive_step, peer.to_momentum, peer.to_decay_factor)
    )
    names = zip(peer.memory_model_parameter_names, peer.memory_model_parameters, strict=True)
    weights = [weight for name, weight in names if "weights" in name]
    q = x.view(2, 24, 2, 8)
    y, _ = linear_memory(q, q, q, alpha, eta, step / 8, MemoryState.start(weights), chunk_size=8)
    torch.testing.assert_close(y.flatten(2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not installed("flash-linear-attention"), reason="flash-linear-attention is not installed")
def test_the_delta_rule_of_fla_is_our_token_anchor_without_momentum_and_forgetting() -> None:
    shape = Shape("x", "linear-token", 2, 2, 8, 8, 0, 24, 8)
    (q, k, v, alpha, _, theta), weights = draw(shape, DEVICE)
    none = torch.zeros_like(alpha)
    _, run = delta_rule(shape, DEVICE)
    expected, _ = run(q=q, k=k, v=v, g=none, beta=2 * theta, scale=1.0, chunk_size=8, initial_state=weights[0])
    y, _ = linear_memory(q, k, v, none, none, theta, MemoryState.start(weights), anchor="token")
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("peer", [row for row in PEERS if row.package == "" or installed(row.package)])
@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_peers_read_and_train(peer: Row, shape: Shape) -> None:
    if peer.refuse(shape, DEVICE):
        return
    job = peer.build(shape, DEVICE, 2)
    with torch.no_grad():
        y = job.forward()
    assert isinstance(y, Tensor) and torch.isfinite(y).all() and y.shape[0] == shape.B
    assert (job.training is None) == shape.decodes
    if job.training:
        grads: Any = job.training()
        assert grads[0].abs().sum() > 0 and all(g is None or torch.isfinite(g).all() for g in grads)
