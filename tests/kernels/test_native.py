"""The compiled ops of the CPU against the definition and against the torch backend; without a C compiler, skipped."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

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
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.NATIVE, "1")
    assert dispatch.explain("cpu").backend == "native"
    assert dispatch.explain("meta").backend == "torch"
    monkeypatch.setenv(dispatch.NATIVE, "0")
    assert dispatch.explain("cpu") == (
        "torch",
        "the tensors are on the CPU; TITANS_TS_NATIVE=0 leaves the compiled ops out",
    )
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


@compiled
def test_a_library_that_fails_its_trial_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one with an instruction that the processor lacks, whose trial ends by a signal."""
    compiler = tmp_path / "compiler"
    real = shutil.which("cc") or shutil.which("gcc") or "clang"
    refused = tmp_path / "refused"
    refused.write_text("#!/bin/sh\nkill -4 $$\n")
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *trial.c*) cp {refused} "$4"; chmod +x "$4";; *) {real} "$@";; esac\n'
    )
    monkeypatch.setattr(library, "TARGETS", ((),))
    compiler.chmod(0o755)
    afresh(compiler, tmp_path / "cache", monkeypatch)
    assert "trial ended with status -4" in str(library.problem())
    assert not list(tmp_path.glob("cache/**/*.so"))


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
