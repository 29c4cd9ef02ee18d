"""torch.compile without a graph break, and torch.export with a length that the program does not know.

Backend "aot_eager" traces forward and backward as "inductor" does and generates no code.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ShapesCollection, export

from tests.core.common import flat
from titans_kernels import dispatch
from titans_ts.core import MemoryConfig, ReadOptions, SurpriseRecord, Titans, TitansConfig

WIDTH = 8
every_block = pytest.mark.parametrize("block", ["lmm", "mac", "mag", "mal"])
# Older ones keep guards such as 3 % (3 * (tokens // 3)) != 0, which they cannot prove (seen with 2.10).
dynamic_length = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13), reason="torch before 2.13 cannot export it"
)
every_kind = pytest.mark.parametrize("kind", ["linear", "mlp"])


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def backbone(block: str, kind: str, *, segment: int = 8, layers: int = 1, **memory: Any) -> Titans:
    torch.manual_seed(0)
    config = MemoryConfig(kind=kind, chunk_size=4, expansion=1, **memory)  # type: ignore[arg-type]
    sizes = {"heads": 2, "layers": layers, "window": 3, "segment": segment, "persistent_tokens": 1, "dropout": 0.0}
    return Titans(TitansConfig(block, WIDTH, memory=config, **sizes))  # type: ignore[arg-type]


def tokens(length: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(length))


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def gradients(read: Any, model: Titans, x: Tensor) -> list[Tensor]:
    """Outputs and end state, and the gradients by the tokens and every parameter."""
    x = x.clone().requires_grad_()
    y, state = read(x)
    found = [y, *flat(state)]
    loss = torch.stack([z.square().sum() for z in found if z.is_floating_point()]).sum()
    return [*found, *torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)]


@every_kind
@every_block
def test_training_compiles(block: str, kind: str) -> None:
    model, x = backbone(block, kind), tokens(6 if block == "lmm" else 4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(compiled, model, x), gradients(model, model, x), strict=True):
        close(found, expected)


@every_kind
@every_block
def test_evaluation_compiles(block: str, kind: str) -> None:
    """Without gradients, from a state inside a chunk and a segment, with a mask and options."""
    model = backbone(block, kind).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    mask, options = torch.tensor([[True, False, True], [True] * 3]), ReadOptions(gate_shift=0.5)
    with torch.no_grad():
        _, state = model(tokens(6))
        expected, after = model(tokens(3), state, mask, options=options)
        found, moved = compiled(tokens(3), state, mask, options=options)
    close(found, expected)
    close(flat(moved), flat(after))


@pytest.mark.parametrize(("block", "kind"), [("mac", "mlp"), ("mag", "linear")])
def test_evaluation_with_gradients_compiles(block: str, kind: str) -> None:
    model = backbone(block, kind).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    close(compiled(tokens(4))[0], model(tokens(4))[0])


class Outputs(nn.Module):
    """A model without the state, which no trace returns; a trace of a lambda would refuse any layer's parameters."""

    def __init__(self, model: Titans) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)[0]
        return y


@every_kind
@pytest.mark.parametrize("block", ["lmm", "mac"])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_trace_reads_other_tokens(block: str, kind: str) -> None:
    model = Outputs(backbone(block, kind).eval())
    traced = torch.jit.trace(model, tokens(8), check_trace=False)
    x = tokens(8, batch=2).flip(0).requires_grad_()
    close(traced(x), model(x))
    # No sum of squares: of normed outputs it is a constant, and its gradients are nothing but rounding.
    wanted = torch.autograd.grad(model(x).cos().sum(), [x, *model.parameters()], allow_unused=True)
    found = torch.autograd.grad(traced(x).cos().sum(), [x, *model.parameters()], allow_unused=True)
    close(found, wanted)


def test_the_choice_of_a_backend_is_a_constant_to_the_compiler() -> None:
    """The mark is torch's own, put there without importing torch._dynamo."""
    marked = vars(torch.compiler.assume_constant_result(lambda: None))
    assert marked and all(vars(f).items() >= marked.items() for f in (dispatch.interpreting, dispatch._no_kernels))


class WithOptions(nn.Module):
    """Options are no input of a program but a part of it."""

    def __init__(self, model: Titans, options: ReadOptions) -> None:
        super().__init__()
        self.model, self.options = model, options

    def forward(self, x: Tensor) -> Any:
        return self.model(x, options=self.options)


def exported(model: Titans, *given: Any) -> Any:
    """A program for every number of tokens, from an example of 11; what else is given has them on axis 1 or nowhere."""
    inputs, shapes = (tokens(11), *given), ShapesCollection()
    for x in inputs:
        if isinstance(x, Tensor):
            shapes[x] = {1: Dim("tokens", min=1, max=1024)}
    return export(model.eval(), inputs, dynamic_shapes=shapes).module()


def compare(program: Any, model: Titans, lengths: tuple[int, ...]) -> None:
    """Outputs, and what follows from the state."""
    for length in lengths:
        with torch.no_grad():
            (y, found), (expected, after) = program(tokens(length)), model(tokens(length))
            close(y, expected)
            close(model(tokens(7), found)[0], model(tokens(7), after)[0])


@dynamic_length
@pytest.mark.parametrize(
    ("block", "memory"),
    [
        ("lmm", {"kind": "mlp"}),
        ("lmm", {"kind": "linear", "anchor": "token"}),
        ("mac", {"kind": "linear"}),
        ("mag", {"kind": "linear"}),
        ("mal", {"kind": "mlp"}),
    ],
)
def test_export_with_any_length(block: str, memory: dict[str, Any]) -> None:
    """MAC: two segments to a chunk. Without gradients here, with them in the next test."""
    model = backbone(block, **memory, segment=2)
    with torch.no_grad():
        program = exported(model)
    compare(program, model, (1, 3, 12, 16, 29))


@dynamic_length
def test_export_goes_on_from_a_state() -> None:
    """Inside a chunk and a window; with a mask."""
    model = backbone("mag", "linear").eval()
    with torch.no_grad():
        _, state = model(tokens(6))
    program = exported(model, state, torch.ones(2, 11, dtype=torch.bool))
    with torch.no_grad():
        mask = torch.rand(2, 17, generator=torch.Generator().manual_seed(0)) > 0.3
        close(program(tokens(17), state, mask)[0], model(tokens(17), state, mask)[0])


def test_export_of_a_long_fixed_length_and_of_surprise() -> None:
    model = backbone("lmm", "linear").eval()
    with torch.no_grad():
        program = export(model, (tokens(30),)).module()
        close(flat(program(tokens(30))), flat(model(tokens(30))))
        with pytest.raises(ValueError, match="records no surprise"):
            export(WithOptions(model, ReadOptions(surprise=SurpriseRecord())), (tokens(3),))


@dynamic_length
def test_a_program_of_outputs_can_be_saved() -> None:
    model, file = backbone("mag", "mlp").eval(), io.BytesIO()
    with torch.no_grad():
        program = export(Outputs(model), (tokens(11),), dynamic_shapes=({1: Dim("tokens", min=1, max=1024)},))
        torch.export.save(program, file)
        file.seek(0)
        close(torch.export.load(file).module()(tokens(17)), model(tokens(17))[0])


def test_export_of_mac_inside_a_segment_is_refused() -> None:
    model = backbone("mac", "linear").eval()
    _, state = model(tokens(3))
    with pytest.raises(ValueError, match="3 tokens into a segment, 3 into a chunk: export a fixed length"):
        exported(model, state)
    program = export(model, (tokens(4), state)).module()
    close(program(tokens(4), state)[0], model(tokens(4), state)[0])
