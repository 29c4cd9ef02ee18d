"""Wrong calls are refused in words; the backend is chosen in one place and says why."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from tests.kernels.helpers import call, make_case
from titans_kernels import (
    MemoryState,
    dispatch,
    explain,
    linear_memory,
    linear_read,
    mlp_memory,
    mlp_read,
    reference,
)

NAMES = ("q", "k", "v", "alpha", "eta", "theta", "state")


def arguments(**changes: Any) -> list[Any]:
    case = make_case((4, 8, 4), 5)
    values = dict(zip(NAMES, (*case.tokens, MemoryState.start(case.weights)), strict=True))
    return list({**values, **changes}.values())


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = {
    "no state": ({"state": None}, {}, TypeError, "MemoryState.start"),
    "integer keys": ({"k": torch.ones(2, 5, 2, 4, dtype=torch.long)}, {}, TypeError, "k must be a floating-point"),
    "flat queries": ({"q": torch.ones(2, 5, 8)}, {}, ValueError, r"q must be \(B, T, H, width\)"),
    "no tokens": ({"q": torch.ones(2, 0, 2, 4)}, {}, ValueError, "T >= 1"),
    "keys of another length": ({"k": torch.ones(2, 6, 2, 4)}, {}, ValueError, "k must have q's shape"),
    "values of another length": ({"v": torch.ones(2, 6, 2, 4)}, {}, ValueError, "v must be"),
    "values of another width": ({"v": torch.ones(2, 5, 2, 3)}, {"residual": False}, ValueError, "V=3"),
    "a gate for one layer": ({"eta": torch.ones(2, 5, 2, 1)}, {}, ValueError, r"eta must .* \(2, 5, 2, 2\)"),
    "a gate that is a number": ({"theta": 0.1}, {}, TypeError, "theta must be a floating-point tensor"),
    "a device": ({"v": torch.ones(2, 5, 2, 4, device="meta")}, {}, ValueError, "v on meta: move"),
    "segments of nothing": (
        {},
        {"segment_length": 0},
        ValueError,
        "segment_length must be a whole number",
    ),
    "chunks of nothing": ({}, {"chunk_size": 0}, ValueError, "chunk_size must be >= 1, got 0"),
    "half a chunk": ({}, {"chunk_size": 1.5}, TypeError, "chunk_size must be an int"),
    "a float mask": ({}, {"mask": torch.ones(2, 5)}, TypeError, r"mask\.bool\(\)"),
    "a mask per head": ({}, {"mask": torch.ones(2, 5, 2, dtype=torch.bool)}, ValueError, r"mask must be \(B, T\)"),
    "a misspelt backend": ({}, {"backend": "cuda"}, ValueError, "'reference', 'torch', 'native', 'triton'"),
    "kernels for heads of 4": (
        {},
        {"backend": "triton"},
        RuntimeError,
        "width.*use backend='torch'" if dispatch.interpreting() else "on the CPU.*use backend='torch'",
    ),
    "forgetting more than all": (
        {"alpha": torch.full((2, 5, 2, 2), 1.5)},
        {},
        ValueError,
        r"alpha must be in \[0, 1\]",
    ),
    "momentum that turns": (
        {"eta": torch.full((2, 5, 2, 2), -0.5)},
        {},
        ValueError,
        r"eta must be in \[0, 1\], got -0.5",
    ),
    "steps uphill": ({"theta": torch.full((2, 5, 2, 2), -0.1)}, {}, ValueError, "theta must be >= 0, got -0.1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_calls(wrong: str) -> None:
    changes, options, error, text = WRONG[wrong]
    mlp_memory(*arguments())
    with pytest.raises(error, match=text):
        mlp_memory(*arguments(**changes), **options)


def test_weights_that_do_not_fit() -> None:
    def state(*shapes: tuple[int, ...]) -> MemoryState:
        return MemoryState.start([torch.ones(s) for s in shapes])

    with pytest.raises(ValueError, match=r"weights\[0\] must take 4 inputs \(the key width\)"):
        mlp_memory(*arguments(state=state((2, 5, 8), (2, 8, 4))))
    with pytest.raises(ValueError, match=r"weights\[1\] must take 8 inputs \(layer 0\)"):
        mlp_memory(*arguments(state=state((2, 4, 8), (2, 7, 4))))
    with pytest.raises(ValueError, match="H=2 as in q"):
        mlp_memory(*arguments(state=state((3, 4, 8), (3, 8, 4))))
    with pytest.raises(ValueError, match="momentum must be shaped like the weights"):
        mlp_memory(*arguments(state=arguments()[-1]._replace(momentum=())))
    with pytest.raises(ValueError, match="B=2, H=2 as in q"):
        mlp_memory(*arguments(state=state((3, 2, 4, 8), (3, 2, 8, 4))))


def test_residual_needs_equal_widths() -> None:
    case = make_case((4, 5, 3), 5)
    with pytest.raises(ValueError, match="residual=False"):
        call(case)
    with pytest.raises(ValueError, match="residual=False"):
        mlp_read(case.tokens[0], case.weights)


def test_linear_memory_refuses_depth_and_unknown_anchors() -> None:
    case = make_case((4, 4), 5, linear=True)
    with pytest.raises(ValueError, match="'chunk' or 'token'"):
        call(case, anchor="sequence")
    with pytest.raises(ValueError, match="use mlp_memory"):
        linear_memory(*case.tokens, MemoryState.start([*case.weights, *case.weights]))
    with pytest.raises(ValueError, match="use mlp_read"):
        linear_read(case.tokens[0], (*case.weights, *case.weights))


def test_a_state_from_a_longer_chunk() -> None:
    case = make_case((4, 8, 4), 5)
    _, state = call(case, chunk_size=8)
    with pytest.raises(ValueError, match="position 5 of its chunk, but chunk_size is 4"):
        call(case, state, chunk_size=4)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: MemoryState.start([]), ValueError, "one weight per layer"),
        (lambda: MemoryState.start([torch.ones(2, 2)]), ValueError, r"\(H, in, out\) or \(B, H, in, out\)"),
        (lambda: MemoryState.start([torch.ones(1, 2, 2).long()]), TypeError, "floating-point"),
        (lambda: MemoryState.start([torch.ones(3, 1, 2, 2)], batch_size=2), ValueError, "batch_size=2"),
    ],
)
def test_start(make: Callable[[], MemoryState], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_one_choice_of_backend_with_its_reason() -> None:
    assert explain("cpu").backend in ("native", "torch")  # test_native.py has when which
    assert "CPU" in explain("cpu").reason
    assert explain("meta") == ("torch", "the tensors are on meta, which the Triton kernels do not support")
    assert explain("cpu", backend="reference") == ("reference", "requested by backend=")
    assert explain("cpu", backend="torch") == ("torch", "requested by backend=")


def test_kernels_that_cannot_run_say_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match=r"on the CPU.*use backend='torch'"):
        explain("cpu", backend="triton")
    if find_spec("triton") is None:
        assert explain("cuda") == ("torch", "Triton is not installed (pip install triton)")
    elif not torch.cuda.is_available():
        assert explain("cuda") == ("torch", "there is no CUDA device")
        with pytest.raises(RuntimeError, match=r"no CUDA device.*use backend='torch'"):
            explain("cuda", backend="triton")
    # As on a machine with a device: the shapes decide, and a debug log says what they were.
    monkeypatch.setattr(dispatch, "_no_kernels", lambda kind, index: None)
    assert explain("cuda").backend == "triton"
    with caplog.at_level("DEBUG", logger="titans_kernels"):
        assert explain("cuda", refusal=lambda: "widths of 7").backend == "torch"
    assert "widths of 7" in caplog.text
    with pytest.raises(RuntimeError, match="widths of 7"):
        explain("cuda", backend="triton", refusal=lambda: "widths of 7")


def test_the_backend_argument_reaches_the_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    from titans_kernels.torch_path.token_loop import token_loop

    ran: list[str] = []
    for op in ("linear_memory", "mlp_memory"):
        path = f"titans_kernels.{op}.reference.token_loop"
        module, name = __import__("sys").modules[path.rpartition(".")[0]], "token_loop"
        monkeypatch.setattr(module, name, lambda *a, op=op, **k: ran.append(op) or token_loop(*a, **k))
    deep, linear = make_case((4, 8, 4), 5), make_case((4, 4), 5, linear=True)
    call(deep), call(linear)
    assert ran == []
    call(deep, backend="reference"), call(linear, backend="reference")
    reference.mlp_memory(*deep.tokens, MemoryState.start(deep.weights))
    assert ran == ["mlp_memory", "linear_memory", "mlp_memory"]
