"""The compiled ops of the CPU against the definition and against the torch backend; without a C compiler, skipped."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.kernels.helpers import Case, assert_close, call, distance, make_case, outputs_and_gradients
from titans_kernels import MemoryState, dispatch
from titans_kernels.native import library, walk

compiled = pytest.mark.skipif(library.problem() is not None, reason=str(library.problem()))
EXACT = 1e-10


def compare(case: Case, state: MemoryState | None = None, **options: Any) -> None:
    found = outputs_and_gradients(case, state, backend="native", **options)
    assert_close(found, outputs_and_gradients(case, state, backend="reference", **options), EXACT)


@compiled
@pytest.mark.parametrize("tokens", [1, 7, 16, 41])
@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_linear(tokens: int, anchor: str) -> None:
    compare(make_case((4, 3), tokens, linear=True), chunk_size=16, anchor=anchor)


@compiled
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("widths", [(4, 4), (4, 8, 4), (5, 3, 9, 5), (16, 35, 16)])
def test_depths_and_widths(widths: tuple[int, ...], residual: bool) -> None:
    """Widths that fill no vector, some that fill several and a rest."""
    compare(make_case(widths, 21, seed=len(widths)), chunk_size=8, residual=residual)


@compiled
@pytest.mark.parametrize("tokens", [1, 3, 4, 20])
def test_state_in_the_middle_of_a_chunk(tokens: int) -> None:
    case = make_case((4, 6, 4), tokens, seed=3)
    momentum, anchor = (make_case((4, 6, 4), 1, seed=s).weights for s in (4, 5))
    compare(case, MemoryState(case.weights, momentum, anchor, 5), chunk_size=8)


@compiled
@pytest.mark.parametrize("widths", [(4, 4), (4, 8, 4)])
@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_masked_tokens_may_hold_anything(widths: tuple[int, ...], anchor: str) -> None:
    mask = torch.rand(2, 21, generator=torch.Generator().manual_seed(0)) < 0.6
    linear = len(widths) == 2
    case = make_case(widths, 21, linear=linear)
    options: dict[str, Any] = {"anchor": anchor} if linear else {}
    clean = outputs_and_gradients(case, mask=mask, chunk_size=8, backend="reference", **options)
    hidden = ~mask[..., None].expand(case.tokens[3].shape[:3])
    gates = [x.masked_fill(hidden if linear else hidden[..., None], torch.nan) for x in case.tokens[3:]]
    dirty = Case((*case.tokens[:3], *gates), case.weights)
    assert_close(outputs_and_gradients(dirty, mask=mask, chunk_size=8, backend="native", **options), clean, EXACT)


@compiled
@pytest.mark.parametrize("kind", ["chunk", "token", "deep"])
def test_a_chunk_much_longer_than_the_sequence_takes_no_more_memory(kind: str) -> None:
    """Its work space has squares of the chunk's length."""
    case = make_case((4, 4) if kind != "deep" else (4, 6, 4), 5, linear=kind != "deep")
    compare(case, chunk_size=1_000_000, **({"anchor": kind} if kind != "deep" else {}))


@compiled
@pytest.mark.parametrize("name", ["alpha", "eta", "theta"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gates_at_the_ends_of_their_range(name: str, value: float) -> None:
    case = make_case((4, 6, 4), 11, theta=0.01)
    compare(case.replace(**{name: value * (0.01 if name == "theta" else 1)}), chunk_size=8)


@compiled
@pytest.mark.parametrize("kind", ["chunk", "token", "deep"])
def test_what_is_run_again_and_who_runs_it_change_no_number(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of any length, given or chosen; memories shared among threads."""
    case = make_case((4, 4) if kind != "deep" else (4, 8, 4), 75, linear=kind != "deep")
    options: dict[str, Any] = {"chunk_size": 8, "backend": "native"} | ({"anchor": kind} if kind != "deep" else {})
    plain = outputs_and_gradients(case, **options)
    for length in (2, 3, 10, 50):
        assert_close(outputs_and_gradients(case, segment_length=length, **options), plain, 0)
    monkeypatch.setattr(walk, "KEPT", 5_000)
    assert_close(outputs_and_gradients(case, **options), plain, 0)
    monkeypatch.setattr(walk, "ALONE", 0)
    monkeypatch.setattr(walk, "TEAM_ALONE", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert_close(outputs_and_gradients(case, **options), plain, 0)
        monkeypatch.setattr(library, "team", lambda: None)  # torch without an OpenMP of this kind: threads of our own
        assert_close(outputs_and_gradients(case, **options), plain, 0)
    finally:
        torch.set_num_threads(before)


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_its_parents_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which libgomp does for ever once the parent has used several."""
    case = make_case((4, 8, 4), 9)
    monkeypatch.setattr(walk, "ALONE", 0)
    monkeypatch.setattr(walk, "TEAM_ALONE", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        y, _ = call(case, backend="native")
        child = os.fork()
        if child == 0:
            same = False
            try:
                same = torch.equal(call(case, backend="native")[0], y)
            finally:
                os._exit(not same)
    finally:
        torch.set_num_threads(before)
    for _ in range(1200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
    assert done and status == 0


@compiled
@pytest.mark.parametrize("linear", [True, False])
def test_strided_inputs_and_one_state_for_a_batch(linear: bool) -> None:
    """Views of a projection, as a layer passes them, and weights (H, in, out)."""
    case = make_case((4, 4) if linear else (4, 8, 4), 20, linear=linear)
    shared = MemoryState.start([w[0] for w in case.weights])
    views = Case(tuple(torch.stack([x, x], -1).unbind(-1)[0] for x in case.tokens), ())
    assert not views.tokens[0].is_contiguous()
    for given in (views, Case(tuple(x.transpose(1, 2).contiguous().transpose(1, 2) for x in case.tokens), ())):
        found, expected = (call(given, shared, backend=backend)[0] for backend in ("native", "torch"))
        torch.testing.assert_close(found, expected, rtol=EXACT, atol=EXACT)


@compiled
@pytest.mark.parametrize("kind", ["chunk", "token", "deep"])
@pytest.mark.parametrize("reuse", [True, False])
def test_token_by_token(kind: str, reuse: bool) -> None:
    linear = kind != "deep"
    case = make_case((5, 5) if linear else (5, 9, 5), 19, linear=linear)
    options: dict[str, Any] = {"chunk_size": 8} | ({"anchor": kind} if linear else {})
    whole, end = call(case, backend="reference", **options)
    state, reads = MemoryState.start(case.weights), []
    first = [w.clone() for w in case.weights]
    for t in range(19):
        y, state = call(Case(case.cut(t, t + 1), ()), state, backend="native", reuse_state=reuse, **options)
        reads.append(y)
    torch.testing.assert_close(torch.cat(reads, 1), whole, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(state, end, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(list(case.weights), first, rtol=0, atol=0)


@compiled
def test_no_less_exact_in_float32_than_torch() -> None:
    case = make_case((16, 64, 16), 200, theta=0.01)
    exact = outputs_and_gradients(case, chunk_size=16, backend="torch")
    single = Case(*(tuple(x.float() for x in group) for group in case))
    ours, theirs = (outputs_and_gradients(single, chunk_size=16, backend=b) for b in ("native", "torch"))
    for name, value in exact.items():
        assert distance(ours[name].double(), value) <= 2 * distance(theirs[name].double(), value) + 1e-6, name


@compiled
@pytest.mark.parametrize("asked", ["y", "weights", "momentum", "anchor"])
def test_results_that_are_not_asked_for_have_no_gradient(asked: str) -> None:
    case = make_case((4, 6, 4), 11)
    found = []
    for backend in ("native", "torch"):
        leaves = [x.clone().requires_grad_() for x in (*case.tokens, *case.weights)]
        y, end = call(Case(tuple(leaves[:6]), tuple(leaves[6:])), chunk_size=8, backend=backend)
        loss = y.square().sum() if asked == "y" else getattr(end, asked)[1].square().sum()
        found.append(torch.autograd.grad(loss, leaves, materialize_grads=True))
    torch.testing.assert_close(found[0], found[1], rtol=EXACT, atol=EXACT)


@compiled
def test_second_outer_derivatives() -> None:
    case = make_case((2, 3, 2), 3, batch=1, heads=1)
    tensors = tuple(x.clone().requires_grad_() for x in (*case.tokens, *case.weights))

    def read(*xs: torch.Tensor) -> torch.Tensor:
        return call(Case(xs[:6], xs[6:]), chunk_size=2, backend="native")[0]

    assert torch.autograd.gradgradcheck(read, tensors, atol=1e-5)


@compiled
def test_activation_checkpointing() -> None:
    """It unpacks what a backward needs once."""
    case = make_case((4, 6, 4), 20)
    found = []
    for run in (lambda function, x: function(x), partial(checkpoint, use_reentrant=False)):
        keys = case.tokens[1].clone().requires_grad_()
        run(
            lambda k: call(Case((case.tokens[0], k, *case.tokens[2:]), case.weights), backend="native")[0], keys
        ).sum().backward()
        found.append(keys.grad)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def of_a_subclass(case: Case) -> Case:
    """A tensor of two tensors, which has no numbers itself: reading them at its address ends the process."""
    return Case((TwoTensor(case.tokens[0], case.tokens[0]), *case.tokens[1:]), case.weights)  # type: ignore[no-untyped-call]


@compiled
@pytest.mark.parametrize("tokens", [1, 11])
@pytest.mark.parametrize("form", [of_a_subclass, lambda case: Case(case.tokens, case.weights * 9)])
def test_what_the_library_cannot_have_is_done_by_torch(tokens: int, form: Callable[[Case], Case]) -> None:
    """And nine layers, one more than it knows."""
    case = make_case((4, 4), tokens)
    given = form(case)
    gates = [x.expand(*x.shape[:3], len(given.weights)) for x in given.tokens[3:]]
    given = Case((*given.tokens[:3], *gates), given.weights)
    with torch.no_grad():
        found, expected = (call(given, chunk_size=4, backend=backend)[0] for backend in ("native", "torch"))
    assert torch.equal(found, expected)


@compiled
def test_wide_memories_are_done_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case((4, 8, 4), 11)
    ours, theirs = (call(case, chunk_size=4, backend=backend)[0] for backend in ("native", "torch"))
    assert not torch.equal(ours, theirs)
    monkeypatch.setattr(walk, "WIDE", 32)
    assert torch.equal(call(case, chunk_size=4, backend="native")[0], theirs)


@compiled
def test_who_watches_the_operations_sees_them() -> None:
    case = make_case((4, 6, 4), 1)
    counts = []
    for backend in ("native", "torch"):
        with FlopCounterMode(display=False) as counter:
            call(case, backend=backend)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@compiled
def test_derivatives_forwards_are_not_lost() -> None:
    case = make_case((4, 6, 4), 1)
    with forward_ad.dual_level():
        queries = forward_ad.make_dual(case.tokens[0], torch.ones_like(case.tokens[0]))
        y, _ = call(Case((queries, *case.tokens[1:]), case.weights), backend="native")
        assert forward_ad.unpack_dual(y).tangent is not None


@compiled
def test_a_batch_of_no_sequences() -> None:
    y, end = call(make_case((4, 6, 4), 11, batch=0), backend="native")
    assert y.shape == (0, 11, 2, 4) and end.weights[0].shape == (0, 2, 4, 6)


@compiled
@pytest.mark.parametrize("kind", ["chunk", "token", "deep"])
def test_a_series_that_is_not_a_number_spoils_no_other(kind: str) -> None:
    """One thread's work space serves one memory after the other."""
    linear = kind != "deep"
    case = make_case((5, 5) if linear else (5, 9, 5), 21, batch=3, linear=linear)
    options: dict[str, Any] = {"chunk_size": 8, "backend": "native"} | ({"anchor": kind} if linear else {})
    values = case.tokens[2].clone()
    values[1, 10] = torch.nan
    clean, dirty = (
        outputs_and_gradients(Case((*case.tokens[:2], v, *case.tokens[3:]), case.weights), **options)
        for v in (case.tokens[2], values)
    )
    assert dirty["y"][1, 10:].isnan().any()
    for name, x in clean.items():
        assert torch.equal(x[[0, 2]], dirty[name][[0, 2]]), name


@compiled
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.NATIVE, "1")
    assert dispatch.explain("cpu").backend == "native"
    assert dispatch.explain("meta").backend == "torch"
    monkeypatch.setenv(dispatch.NATIVE, "0")
    assert dispatch.explain("cpu") == (
        "torch",
        "the tensors are on the CPU; TITANS_TS_NATIVE=0 leaves the compiled ops out",
    )
    monkeypatch.setenv(dispatch.NATIVE, "off")
    with pytest.raises(ValueError, match=r"TITANS_TS_NATIVE must be 0 .* or 1 .*got 'off'"):
        dispatch.explain("cpu")
    monkeypatch.delenv(dispatch.NATIVE)
    timed = torch.backends.cpu.get_cpu_capability() in dispatch.TIMED
    assert dispatch.explain("cpu").backend == ("native" if timed else "torch")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    backend, reason = dispatch.explain("cpu")
    assert backend == "torch" and "TITANS_TS_NATIVE=1" in reason


def afresh(compiler: str | Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was built yet, and `compiler` is the machine's."""
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    for function in (library.load, library.problem):
        monkeypatch.setattr(library, function.__name__, function.__wrapped__)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_it_says_so(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    afresh(compiler, tmp_path, monkeypatch)
    with pytest.raises(RuntimeError, match=f"{compiler}.*use backend='torch'"):
        dispatch.explain("cpu", backend="native")
    with pytest.raises(RuntimeError, match="for the CPU"):
        dispatch.explain("cuda", backend="native")
    monkeypatch.setattr(dispatch, "_log_once", dispatch._log_once.__wrapped__)
    for asked, level in (("1", logging.WARNING), ("", logging.DEBUG)):
        monkeypatch.setenv(dispatch.NATIVE, asked)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
        with caplog.at_level(logging.DEBUG, "titans_kernels"):
            backend, reason = dispatch.explain("cpu")
        assert backend == "torch" and f"no compiled ops: {compiler}" in reason
        assert caplog.records[-1].levelno == level and compiler in caplog.text
    y, _ = call(make_case((4, 8, 4), 5))  # and the op runs
    assert y.isfinite().all()


def pretended(folder: Path, memory: str, trial: str = "exit 0") -> Path:
    """A compiler that notes its calls; `memory` makes the library "$to", and `trial` is its trial."""
    program, compiler = folder / "trial.sh", folder / "compiler"
    program.write_text(f"#!/bin/sh\n{trial}\n")
    program.chmod(0o755)
    compiler.write_text(f"""#!/bin/sh
echo called >> {folder}/calls
case "$*" in *trial.c*) cp {program} "$4"; exit;; esac
for to; do case "$to" in */memory.so) break;; esac; done
{memory}
""")
    compiler.chmod(0o755)
    return compiler


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


@compiled
def test_a_library_that_fails_its_trial_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one with an instruction that the processor lacks, whose trial ends by a signal."""
    afresh(pretended(tmp_path, 'touch "$to"', trial="kill -4 $$"), tmp_path / "cache", monkeypatch)
    assert "trial ended with status -4" in str(library.problem())
    assert not list(tmp_path.glob("cache/**/*.so"))


@compiled
@pytest.mark.parametrize("bytes_", [b"", b"garbage", None])
def test_a_library_that_was_damaged_is_built_again(
    bytes_: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cut short would end every process that loads it by a signal."""
    built = library._built("float", library.WIDEST)
    afresh(pretended(tmp_path, f'cp {built} "$to"'), tmp_path / "cache", monkeypatch)
    first = library._built("float", library.WIDEST)
    assert library._built("float", library.WIDEST) == first and calls(tmp_path) == 2
    first.write_bytes(built.read_bytes()[:9000] if bytes_ is None else bytes_)
    assert library.problem() is None and calls(tmp_path) == 4
    assert first.read_bytes() == built.read_bytes()


@compiled
def test_a_failure_is_kept_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every start of a process would wait for it; what a killed process left goes with it."""
    afresh(pretended(tmp_path, "echo no luck >&2; exit 1"), tmp_path / "cache", monkeypatch)
    left = tmp_path / "cache" / "titans-ts" / "native" / "build-left"
    left.mkdir(mode=0o700, parents=True)
    assert "no luck" in str(library.problem()) and left.exists()
    before = calls(tmp_path)
    assert "no luck (tried again after an hour" in str(library.problem()) and calls(tmp_path) == before
    for path in (left, *tmp_path.glob("cache/**/*.failed")):
        os.utime(path, (0, 0))
    assert "no luck" in str(library.problem()) and calls(tmp_path) == 2 * before and not left.exists()


@compiled
def test_a_compiler_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\nexec sleep 600\n")
    compiler.chmod(0o755)
    afresh(compiler, tmp_path / "cache", monkeypatch)
    monkeypatch.setattr(library, "FEW_SECONDS", 0.1)
    assert "timed out" in str(library.problem())


@compiled
def test_many_that_start_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads here; processes exclude each other in the same way."""
    built = library._built("float", library.WIDEST)
    afresh(pretended(tmp_path, f'sleep 0.2; cp {built} "$to"'), tmp_path / "cache", monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: library._built("float", library.WIDEST), range(4)))
    assert len(found) == 1 and calls(tmp_path) == 2


@compiled
def test_a_second_library_that_cannot_be_built_is_told_and_torch_does_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers of other types and heads of other widths have libraries of their own."""

    def full(*_: Any) -> None:
        raise library.BuildError("no space left")

    monkeypatch.setattr(library, "load", full)
    monkeypatch.setattr(library, "ready", library.ready.__wrapped__)
    case = make_case((4, 8, 4), 11)
    assert_close(outputs_and_gradients(case, backend="native"), outputs_and_gradients(case, backend="torch"), EXACT)
    assert "no space left" in caplog.text


@compiled
def test_code_that_others_could_have_written_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    afresh("cc", tmp_path, monkeypatch)
    folder = tmp_path / "titans-ts" / "native"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert f"others may write to {folder}" in str(library.problem())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "XDG_CACHE_HOME" in str(library.problem())
