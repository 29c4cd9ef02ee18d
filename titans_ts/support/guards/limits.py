"""What counts from outside may ask for, compared with the machine before memory is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from titans_datasets.text import some
from titans_ts.support.guards.shapes import ShapesAlone

Network = TypeVar("Network", bound=nn.Module)
# Tensors of a network that is trained; ours have tens to hundreds.
MOST_WEIGHTS = 20_000
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
    for limit, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            # Pages: of all that is mapped, …, of data and stack.
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[place])
            found.append(soft - pages * os.sysconf("SC_PAGE_SIZE"))
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
    most = MOST_WEIGHTS if tensors is None else len(tensors)
    shapes = _shapes(make, most)
    if tensors is not None:
        there = {name: tuple(value.shape) for name, value in tensors.items()}
        other = [name for name in {**shapes, **there} if shapes.get(name) != there.get(name)]
        if other:
            raise ValueError(f"its weights are not those of {what} that its configuration describes: {some(other)}")
        return make()
    if len(shapes) > most:
        raise ValueError(f"{what} would have more than {most:,} tensors of weights: choose fewer layers")
    count = sum(torch.Size(shape).numel() for shape in shapes.values())
    taken, left = count * BYTES_OF_PARAMETER, memory_left()
    if taken > left:
        raise ValueError(
            f"{what} would have {count:,} parameters, which take {taken / 2**30:,.0f} GiB while it is trained: "
            f"{left / 2**30:,.1f} GiB are free; choose a smaller width, fewer layers or a shorter horizon"
        )
    return make()


def _shapes(make: Callable[[], nn.Module], most: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by name; of a network that has more than `most` of them those of the first ones."""
    found: dict[str, tuple[int, ...]] = {}

    def kept(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        """Called for each weight as it is made: thousands of layers would take minutes, without memory too."""
        if weight is not None:
            found[f"{name} ({len(found) + 1})"] = tuple(weight.shape)
        if len(found) > most:
            raise _TooManyError

    hook = register_module_parameter_registration_hook(kept)
    try:
        with ShapesAlone(), torch.device("meta"):
            return {name: tuple(value.shape) for name, value in make().state_dict().items()}
    except _TooManyError:
        return found
    finally:
        hook.remove()


class _TooManyError(Exception):
    """A network has more weights than it may have."""


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
