"""Devices by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

_MOVES = threading.RLock()


def resolve_device(device: str) -> torch.device:
    """The device of that name; ``"auto"`` is CUDA where available, the CPU otherwise.

    Raises:
        ValueError: the device is unknown or not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {device!r}") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {device!r} is not there ({torch.cuda.device_count()} CUDA devices): use 'auto' or 'cpu'"
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' is not there: use 'auto' or 'cpu'")
    return found


@contextmanager
def placed(networks: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Context with networks on a device; afterwards they are on the CPU.

    Where that moves them, one thread at a time: another would find them where it did not put them.

    Args:
        networks: to be moved.
        device: where to.
    """
    if device.type == "cpu":
        for network in networks:
            network.cpu()
        yield
        return
    with _MOVES:
        try:
            for network in networks:
                network.to(device)
            yield
        finally:
            for network in networks:
                network.cpu()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Context with that many CPU threads; None leaves the setting."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
