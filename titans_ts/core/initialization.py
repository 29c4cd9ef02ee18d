"""One initialisation table for the whole backbone.

| parameter | start | why |
|---|---|---|
| projections q, k, v, feed-forward in | normal, sd 1/√fan_in | unit variance through the layer |
| output projections (mixer, feed-forward) | normal, sd 1/√(2·layers·fan_in) | residual stream keeps its variance |
| causal convolutions | identity on the current token, 0 before it | starts as no convolution |
| initial memory W_1 … W_{L−1} | normal, sd 1/√fan_in | a live network to take gradients of |
| initial memory W_L | normal, sd 0.1/√fan_in (residual) or 1/√fan_in | the memory starts near the identity |
| gate weights | normal, sd 0.1/√fan_in | gates start close to their biases |
| gate bias of α | forgetting horizons spread geometrically over heads, α = 1/horizon | 0.5 would halve it each token |
| gate bias of η | momentum 0.5 … 0.9 spread over heads | |
| gate bias of θ | 0: half the largest step | |
| persistent tokens | normal, sd 0.02 (values), 1/√head width (keys) | |
| embeddings | normal, sd 0.1 | small next to the patches |
| norm scales | 1 | |
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def linear_(layer: nn.Linear, gain: float = 1.0) -> nn.Linear:
    """Normal weights of sd ``gain``/√fan_in, zero bias; returns the layer."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def embedding_(count: int, width: int) -> nn.Embedding:
    """A table of ``count`` vectors, normal with sd 0.1."""
    table = nn.Embedding(count, width)
    nn.init.normal_(table.weight, std=0.1)
    return table


def spread(low: float, high: float, count: int) -> Tensor:
    """``count`` values from low to high, geometrically spaced; the geometric mean when there is only one."""
    if count == 1:
        return torch.tensor([math.sqrt(low * high)])
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64).float()


def softplus_inverse(value: Tensor) -> Tensor:
    """x with softplus(x) = value, accurate down to 1e-30."""
    return value + torch.log(-torch.expm1(-value))


def logit(value: Tensor) -> Tensor:
    """x with sigmoid(x) = value."""
    return torch.log(value) - torch.log1p(-value)
