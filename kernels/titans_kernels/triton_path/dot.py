"""The matrix product of every Triton kernel of this package, at the accuracy that the tokens' dtype asks for."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl

IEEE: Final = 0
TF32X3: Final = 1
BF16: Final = 2


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """a (m, k) b (k, n) in float32, float32 accumulation; a and b float32, m, k, n >= 16.

    PRECISION 0 multiplies in float32, 1 as three TF32 products (float32 accuracy on tensor cores), 2 rounds both
    operands to bfloat16. `x + product(...)` becomes one accumulating product.
    """
    if PRECISION == 2:
        out = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    elif PRECISION == 1:
        out = tl.dot(a, b, input_precision="tf32x3")
    else:
        out = tl.dot(a, b, input_precision="ieee")
    return out


def precision_of(dtype: torch.dtype, device: torch.device) -> int:
    """The PRECISION for tokens of this dtype: TF32 products exist on NVIDIA only, the interpreter computes as IEEE."""
    if dtype == torch.bfloat16:
        return BF16
    return TF32X3 if device.type == "cuda" and torch.version.hip is None else IEEE
