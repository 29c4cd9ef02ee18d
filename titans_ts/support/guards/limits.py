"""What counts from outside may ask for, compared with the machine before memory is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from titans_datasets.text import some

Network = TypeVar("Network", bound=nn.Module)
# Bytes a parameter while it is trained: itself, gradient, two moments, average and best state, in float32.
BYTES_OF_PARAMETER = 24
# Bytes a forecast value while it is made: of the experts, the mixture and the frame, in float64.
BYTES_OF_VALUE = 120


def memory_left() -> int:
    """Bytes of RAM that this process may still take: those of the machine, or of its limits where these are less."""
    found = [2**62]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        # Not on Windows.
        import resource
    except ImportError:
        return min(found)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        found.append(soft - taken)
    return max(0, min(found))


def built(make: Callable[[], Network], what: str, tensors: Mapping[str, Tensor] | None = None) -> Network:
    """A network, made without memory first, and for good where it is what the machine or a file allows.

    Args:
        make: makes it.
        what: a message calls it.
        tensors: its weights in a file, by name; None where it is to be trained, which takes `BYTES_OF_PARAMETER`.

    Raises:
        ValueError: it is larger than the memory that is left, or not the network of these weights.

    Example:
        >>> built(lambda: nn.Linear(10**6, 10**6), "the network")
        Traceback (most recent call last):
        ...
        ValueError: the network would have 1,000,001,000,000 parameters, which take 22,352 GiB while it is trained: ...
    """
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in make().state_dict().items()}
    if tensors is not None:
        there = {name: tuple(value.shape) for name, value in tensors.items()}
        other = [name for name in {**shapes, **there} if shapes.get(name) != there.get(name)]
        if other:
            raise ValueError(f"its weights are not those of {what} that its configuration describes: {some(other)}")
        return make()
    count = sum(torch.Size(shape).numel() for shape in shapes.values())
    taken, left = count * BYTES_OF_PARAMETER, memory_left()
    if taken > left:
        raise ValueError(
            f"{what} would have {count:,} parameters, which take {taken / 2**30:,.0f} GiB while it is trained: "
            f"{left / 2**30:,.1f} GiB are free; choose a smaller width, fewer layers or a shorter horizon"
        )
    return make()


def check_values(items: int, horizon: int, levels: int) -> None:
    """Refuse forecasts that the memory cannot hold.

    Raises:
        ValueError: they are too many; the message says how many.
    """
    count = items * horizon * (levels + 1)
    if count * BYTES_OF_VALUE > memory_left():
        raise ValueError(
            f"{items:,} series × {horizon:,} steps × {levels + 1:,} values are {count:,} forecasts, which take "
            f"{count * BYTES_OF_VALUE / 2**30:,.0f} GiB: {memory_left() / 2**30:,.1f} GiB are free; forecast a shorter "
            "horizon, fewer quantiles, or part of the series"
        )
