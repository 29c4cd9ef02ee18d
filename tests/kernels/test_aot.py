"""The ahead-of-time check of the Triton kernels: the default shapes compile for NVIDIA GPUs and spill nothing.

`make kernels` compiles all of them. Here it runs in processes of its own, because the tests of the kernels run in
Triton's interpreter, which holds for a whole process.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from titans_kernels.bench import aot
from titans_kernels.bench.aot import MODULES, TARGETS, Compiled

PACKAGE = Path(aot.__file__).parent
ONLY = (
    "^gates/[a-z_]+/BC64$",
    "^linear/[a-z-]+/bf16/K64V64/BC64/token$",
    "^mlp/(states|step)_kernel/K64/BC16/fp32$",
    "^mlp/[a-z_]+/K64/BC64/bf16$",
)
"""The kernels behind the shapes most used: heads of 64, chunks of 16 and 64."""

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

PLANTED = """
import triton
import triton.language as tl
from titans_kernels.triton_path.compile_spec import Variant


@triton.jit
def good(x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(y + i, tl.load(x + i) * 2)


@triton.jit
def product(x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    a = tl.load(x + at)
    tl.store(y + at, tl.dot(a, a))


@triton.jit
def spilling(x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    a = tl.load(x + at)
    for _ in range(3):
        a = tl.dot(a, a, input_precision="ieee") + a
    tl.store(y + at, a)


@triton.jit
def refused(x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    a = 0
    for _ in range(3):
        a = a + tl.load(x + i)
    tl.store(y + i, a)


def variants():
    signature = {"x": "*fp16", "y": "*fp32", "N": "constexpr"}
    single = signature | {"x": "*fp32"}
    yield Variant("planted/good", good, single, {"N": 64}, {"num_warps": 4})
    yield Variant("planted/product", product, signature, {"N": 64}, {"num_warps": 4})
    yield Variant("planted/spilling", spilling, single, {"N": 64}, {"num_warps": 1})
    yield Variant("planted/refused", refused, single, {"N": 64}, {"num_warps": 4})
"""


def run(code: list[str], folder: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *code], capture_output=True, text=True, env=environment, timeout=timeout, check=False
    )


@needs_triton
@pytest.mark.parametrize(("target", "patterns"), [("sm_80", ONLY[:1]), ("sm_90", ONLY)])
def test_default_shapes_compile_without_spilling(target: str, patterns: tuple[str, ...], tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    only = [part for pattern in patterns for part in ("--only", pattern)]
    done = run(["-m", "titans_kernels.bench.aot", "--targets", target, *only, "--csv", str(table)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} == {target}
    for pattern in patterns:
        assert any(re.search(pattern, row["kernel"]) for row in rows), f"no kernel's label matches {pattern}"
    for row in rows:
        assert row["problem"] == "" and row["spilled"] == "0" and 0 < int(row["registers"]) <= 255, row
        assert int(row["shared"]) <= TARGETS[row["target"]].shared, row
    assert f"{len(rows)} compiled, 0 failed, 0 not supported" in done.stdout


@needs_triton
def test_planted_mistakes_are_found(tmp_path: Path) -> None:
    """A product on the tensor cores, a spill, a loop-carried type change."""
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    code = (
        "import titans_kernels.bench.aot as aot, json\n"
        "aot.MODULES = ('planted', 'planted_missing')\n"
        "labels = [variant.label for variant in aot.variants()]\n"
        "print(json.dumps([aot.compile_variant(label, 'sm_80') for label in labels]))\n"
        "print(json.dumps([aot.compile_variant('planted/product', target) for target in ('sm_90', 'gfx942')]))\n"
    )
    done = run(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        [Compiled(*row) for row in ast.literal_eval(line.replace("null", "None"))] for line in done.stdout.splitlines()
    )
    good, product, spilling, refused = first
    assert not good.problem and good.registers > 0 and good.hmma == 0
    assert not product.problem and product.hmma > 0 and product.wgmma == 0
    assert spilling.fails and spilling.problem == f"spills {spilling.spilled} bytes"
    assert refused.fails and "does not compile" in refused.problem and "type" in refused.problem
    hopper, amd = second
    assert hopper.wgmma > 0 and hopper.hgmma > 0 and hopper.hmma == 0
    assert amd.mfma > 0 and amd.registers > 0


@needs_triton
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--targets", "sm_10"], "no target 'sm_10': choose among sm_80"),
        (["--only", "no such kernel"], "no kernel's label matches 'no such kernel'"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run(["-m", "titans_kernels.bench.aot", *arguments], tmp_path)
    assert done.returncode == 2 and message in done.stderr


def test_the_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(SystemExit):
        aot.main([])
    assert "unset TRITON_INTERPRET" in capsys.readouterr().err


def test_too_much_shared_memory_is_a_problem() -> None:
    fits = Compiled("x", "sm_80", shared=TARGETS["sm_80"].shared)
    assert list(aot.complaints(fits)) == []
    (text,) = aot.complaints(fits._replace(shared=fits.shared + 1))
    assert text == "needs 166913 bytes of shared memory, there are 166912"
    assert list(aot.complaints(fits._replace(target="gfx942"))) != []


def test_problems_on_amd_are_no_failures() -> None:
    assert Compiled("x", "sm_80", problem="spills 8 bytes").fails
    assert not Compiled("x", "gfx942", problem="does not compile: x").fails
    assert "not supported does not compile: x" in aot.line(Compiled("x", "gfx942", problem="does not compile: x"))
    assert aot.line(Compiled("x", "sm_90", problem="spills 8 bytes")).endswith("FAIL spills 8 bytes")


def test_every_module_with_variants_is_listed() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem != "aot" and any(isinstance(x, ast.FunctionDef) and x.name == "variants" for x in tree.body):
            found.add(".".join(("titans_kernels", *path.relative_to(PACKAGE).with_suffix("").parts)))
    assert found <= set(MODULES)
