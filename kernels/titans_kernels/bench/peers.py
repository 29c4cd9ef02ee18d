"""Ops of other packages at the same shapes, as rows beside ours. Each is optional:

    pip install titans-pytorch flash-linear-attention

Nothing here is imported by the library. What a peer computes is not always what Titans computes; the note of each row
states the difference. All packages are loaded by name when a row is built.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_kernels.bench.rows import Job, Row, gradients, runs
from titans_kernels.bench.shapes import DTYPES, Shape

EXACT_TOKENS: Final = 1024
"""titans-pytorch's exact mode holds the weights after every token, several times (B=2, H=4, 64-256-64: 1 GiB each)."""
EXACT_TRAINING_BYTES: Final = 2**28
"""Bytes of one such copy up to which it is trained; training holds about 20 of them."""
CACHE: Final = 1024
"""Tokens in the attention row's key and value cache when it decodes."""


def installed(package: str) -> str:
    """The version of a distribution, empty when it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _missing(package: str) -> str:
    return "" if installed(package) else f"{package} is not installed (pip install {package})"


def _load(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _random(shape: Shape, device: torch.device, *size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*size, generator=generator).to(device, DTYPES[shape.dtype])


# titans-pytorch


def _titans(shape: Shape, device: torch.device, calls: int, exact: bool) -> Job:
    """`NeuralMemory` with its q, k, v and output maps replaced by the identity: the op and its three gate maps."""
    memory = titans_memory(shape, exact).to(device, DTYPES[shape.dtype])
    x = _random(shape, device, shape.B, shape.T, shape.H * shape.K)
    parameters = [p for p in memory.parameters() if p.requires_grad]
    state: Any = None

    def forward() -> Tensor:
        nonlocal state
        state = state if shape.decodes else None
        for _ in range(calls):
            y, state = memory(x, state=state)
        return y

    def training() -> object:
        leaf = x.detach().requires_grad_()
        return gradients(memory(leaf)[0], [leaf, *parameters], x)

    note = "its q, k, v, output maps are identities; its gate maps (D to H) are included"
    note += "" if exact else "; gradients at the initial weights, one gate per chunk"
    note += "; the scale of its LN learns too" if shape.op == "mlp" else ""
    if shape.decodes:
        return Job(forward, None, note)
    if exact and _copies(shape) > EXACT_TRAINING_BYTES:
        return Job(forward, None, f"{note}; no training: {_copies(shape) >> 20} MiB a copy of every token's weights")
    return Job(forward, training, note)


def titans_memory(shape: Shape, exact: bool) -> nn.Module:
    """titans-pytorch's module for a shape, without its projections; `exact`: gates per token, anchor every C tokens.

    With the linear memory the exact mode computes what `linear_memory` does with theta = its step / V (tried: 2e-16
    apart). In its MLP the scale of LN is one more fast weight and GELU is the exact one.
    """
    package = _load("titans_pytorch")
    size = {"chunk_size": 1, "batch_size": shape.C} if exact else {"chunk_size": shape.C}
    model = package.MemoryMLP(shape.K, depth=len(shape.widths) - 1, expansion_factor=shape.F / shape.K)
    memory: nn.Module = package.NeuralMemory(
        dim=shape.H * shape.K,
        heads=shape.H,
        dim_head=shape.K,
        model=model,
        pre_rmsnorm=False,
        mem_model_norm_add_residual=shape.op == "mlp",
        **size,
    )
    for name in ("to_queries", "to_keys", "to_values", "combine_heads"):
        setattr(memory, name, nn.Identity())
    memory.register_module("retrieve_gate", None)
    return memory


def _copies(shape: Shape) -> int:
    """Bytes of one copy of the weights after every token."""
    weights = sum(a * b for a, b in zip(shape.widths, shape.widths[1:], strict=False))
    return shape.B * shape.H * shape.T * weights * 4


def _refuse_titans(shape: Shape, device: torch.device) -> str:
    return _missing("titans-pytorch")


def _refuse_exact(shape: Shape, device: torch.device) -> str:
    if not installed("titans-pytorch"):
        return _missing("titans-pytorch")
    if shape.T > EXACT_TOKENS:
        return f"T > {EXACT_TOKENS}: one copy of every token's weights is {_copies(shape) >> 20} MiB"
    return ""


# flash-linear-attention


def _fla(shape: Shape, device: torch.device, calls: int) -> Job:
    """The gated delta rule: a linear memory with forgetting and no momentum, gradients at every token."""
    name, run = delta_rule(shape, device)
    size = (shape.B, shape.T, shape.H)
    q, k = (F.normalize(_random(shape, device, *size, shape.K), dim=-1) for _ in range(2))
    v = _random(shape, device, *size, shape.V)
    decay = -0.1 * torch.rand(size, device=device)
    beta = torch.rand(size, device=device).to(q)
    state: Any = None

    def forward() -> Tensor:
        nonlocal state
        state = state if shape.decodes else None
        for _ in range(calls):
            y, state = run(q=q, k=k, v=v, g=decay, beta=beta, scale=1.0, initial_state=state, output_final_state=True)
        return y

    def training() -> object:
        """A forward and a backward."""
        leaves = [x.detach().requires_grad_() for x in (q, k, v, decay, beta)]
        y, _ = run(**dict(zip("qkv", leaves[:3], strict=True)), g=leaves[3], beta=leaves[4], scale=1.0)
        return gradients(y, leaves, torch.ones_like(y))

    return Job(forward, None if shape.decodes else training, f"no momentum; {name}", compiles=device.type == "cuda")


def delta_rule(shape: Shape, device: torch.device) -> tuple[str, Callable[..., tuple[Tensor, Any]]]:
    """The fastest version the device has; on the CPU fla offers its plain torch reference only."""
    cuda = device.type == "cuda"
    if cuda:
        name = "fused_recurrent_gated_delta_rule" if shape.decodes else "chunk_gated_delta_rule"
        return name, getattr(_load("fla.ops.gated_delta_rule"), name)
    name = "naive_recurrent_gated_delta_rule" if shape.decodes else "naive_chunk_gated_delta_rule"
    return name, getattr(_load("fla.ops.gated_delta_rule.naive"), name)


def _refuse_fla(shape: Shape, device: torch.device) -> str:
    if shape.op == "mlp":
        return "a linear memory only"
    return _missing("flash-linear-attention")


# Attention


def _attention(shape: Shape, device: torch.device, calls: int) -> Job:
    """Causal scaled-dot-product attention, T=1: one query against a cache of `CACHE` tokens."""
    tokens = CACHE if shape.decodes else shape.T * calls
    queries = 1 if shape.decodes else tokens
    q, k, v = (_random(shape, device, shape.B, shape.H, n, shape.K) for n in (queries, tokens, tokens))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=queries > 1)

    def training() -> object:
        """A forward and a backward."""
        leaves = [x.detach().requires_grad_() for x in (q, k, v)]
        return gradients(attend(leaves[0], leaves[1], leaves[2]), leaves, v)

    if shape.decodes:
        return Job(lambda: attend(q, k, v), None, f"context: {CACHE:,} tokens in its cache, none appended")
    return Job(lambda: attend(q, k, v), training, "context: no memory, quadratic in T")


PEERS: Final = (
    Row(
        "titans-pytorch-exact",
        _refuse_exact,
        lambda shape, device, calls: _titans(shape, device, calls, exact=True),
        "titans-pytorch",
    ),
    Row(
        "titans-pytorch",
        _refuse_titans,
        lambda shape, device, calls: _titans(shape, device, calls, exact=False),
        "titans-pytorch",
    ),
    Row("fla", _refuse_fla, _fla, "flash-linear-attention"),
    Row("sdpa", runs, _attention),
)
