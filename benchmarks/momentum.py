#!/usr/bin/env python
"""Does a memory with momentum stay bounded when its gates follow the tokens? Random programs that repeat.

    python benchmarks/momentum.py

Each program has a period of 2 to 24 tokens, each with a key, its own η and θ = ½ (1 − η) σ (MemoryConfig.step_size
0.5, keys of norm 1, nothing is forgotten). The linear memory's error E, started at random, follows

    S ← η S − 2 θ k (kᵀ E),   E ← E + S        (paper eq. 10 and 13)

for 3,000 tokens. Printed: the share of 400 programs whose error has grown a thousandfold, for the bound of η.
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor

# Width of the keys, and the period.
PROGRAMS = ((1, 2), (1, 3), (2, 4), (4, 6), (16, 24))
LIMITS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
COUNT, STEPS = 400, 3000


def final_error(limit: float, width: int, period: int) -> Tensor:
    """Norm of the error of every program after the last token, over that before the first."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        """Normal numbers in double precision."""
        return torch.randn(COUNT, *shape, generator=generator, dtype=torch.float64)

    keys = F.normalize(drawn(period, width), dim=-1)
    eta = limit * torch.sigmoid(4 * drawn(period))
    theta = 0.5 * (1 - eta) * torch.sigmoid(4 * drawn(period))
    error = drawn(width)
    first, momentum = error.norm(dim=-1), torch.zeros_like(error)
    for step in range(STEPS):
        k, place = keys[:, step % period], step % period
        gradient = 2 * k * (k * error).sum(-1, keepdim=True)
        momentum = eta[:, place, None] * momentum - theta[:, place, None] * gradient
        error = error + momentum
    return (error.norm(dim=-1) / first).nan_to_num(torch.inf)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    print("η below  " + "  ".join(f"{width:>2} wide, period {period:>2}" for width, period in PROGRAMS))
    for limit in LIMITS:
        shares = [float((final_error(limit, *program) > 1e3).double().mean()) for program in PROGRAMS]
        print(f"{limit:>7}  " + "  ".join(f"{share:>18.1%}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
