"""The interpreter repaired where it stands in for a GPU; and every tensor that torch leaves uninitialised holds NaN."""

import os
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from titans_kernels import dispatch


def _repair_interpreter() -> None:
    spec = spec_from_file_location("triton_interp", Path(__file__).with_name("triton_interp.py"))
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("TRITON_INTERPRET") == "1" and find_spec("triton") is not None:
    _repair_interpreter()


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    before, filled = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.isnan(torch.empty(8)).all()
    yield
    torch.use_deterministic_algorithms(before)
    torch.utils.deterministic.fill_uninitialized_memory = filled


@pytest.fixture(autouse=True)
def torch_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's ops run on torch unless a call says otherwise; test_native.py asks for the compiled ones by name."""
    monkeypatch.setenv(dispatch.NATIVE, "0")
