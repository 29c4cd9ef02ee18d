"""Shapes of the weights of a network, found without memory and without values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# What weights are initialised with: methods that fill a tensor in place, functions that keep shapes, those that join
# tensors along the last or a new first dimension, and those that make a tensor.
FILLS = frozenset({"fill_", "zero_", "normal_", "uniform_", "copy_"})
POINTWISE = frozenset({"log", "log1p", "expm1", "neg", "add", "sub", "mul", "div", "clamp_min", "float"})
POINTWISE |= {"__rsub__", "__rdiv__"}
JOINS: dict[tuple[str, int], Callable[[Sequence[Tensor]], tuple[int, ...]]] = {
    ("stack", 0): lambda parts: (len(parts), *parts[0].shape),
    ("cat", -1): lambda parts: (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts)),
}
FACTORIES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "zeros": lambda *shape: shape,
    "ones": lambda *shape: shape,
    "randn": lambda *shape: shape,
    "full": lambda shape, value: tuple(shape),
    "arange": lambda end: (math.ceil(end),),
    "linspace": lambda low, high, steps: (steps,),
    "logspace": lambda low, high, steps: (steps,),
}


class ShapesAlone(TorchFunctionMode):
    """Context in which tensors on the device "meta" get shapes by plain Python.

    For the values that weights begin with torch would call its compiler's rules, and import the compiler for them,
    which takes longer than to import torch. Functions that are not known here are left to torch: as right, but slow.

    Example:
        >>> with ShapesAlone(), torch.device("meta"):
        ...     nn.Linear(10**6, 10**6).weight.shape
        torch.Size([1000000, 1000000])
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called in place of every function of torch."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        first = args[0] if args else kwargs.get("tensor")
        if isinstance(first, Tensor):
            if first.is_meta and (name in FILLS or getattr(func, "__module__", None) == nn.init.__name__):
                return first
            if first.is_meta and name in POINTWISE:
                # NumPy's: torch.broadcast_shapes imports the compiler's symbols.
                shape = np.broadcast_shapes(*(tuple(value.shape) for value in args if isinstance(value, Tensor)))
                return torch.empty(shape, device="meta")
        elif isinstance(first, (list, tuple)) and first and isinstance(first[0], Tensor):
            join = JOINS.get((name, kwargs.get("dim", 0)))
            if join is not None and first[0].is_meta:
                return torch.empty(join(first), device="meta")
        elif name in FACTORIES and torch.device(kwargs.get("device") or "cpu").type == "meta":
            return torch.empty(*FACTORIES[name](*args), device="meta")
        return func(*args, **kwargs)
