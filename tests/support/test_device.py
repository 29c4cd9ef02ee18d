"""Devices by name."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from titans_ts.support.device import placed, resolve_device


@pytest.mark.parametrize("device", ["tpu!", "cuda:99"])
def test_absent_devices_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        resolve_device(device)


def test_auto_is_the_best_that_is_there() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


class Moved(nn.Module):
    """Keeps what it is asked to be on."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def to(self, device: torch.device) -> Moved:  # type: ignore[override]
        self.places.append(device.type)
        return self

    def cpu(self) -> Moved:
        return self.to(torch.device("cpu"))


def test_one_thread_at_a_time_moves_a_network() -> None:
    """Two that moved it together would find it where they did not put it."""
    network, elsewhere = Moved(), torch.device("meta")

    def use() -> None:
        with placed([network], elsewhere):
            network.places.append("used")

    with placed([network], elsewhere):
        other = threading.Thread(target=use)
        other.start()
        other.join(0.05)
        use()
    other.join()
    one = ["meta", "used", "cpu"]
    assert network.places == ["meta", *one, "cpu", *one]


def test_a_network_is_back_on_the_cpu_after_an_error() -> None:
    network = Moved()
    with pytest.raises(KeyError), placed([network], torch.device("meta")):
        raise KeyError
    assert network.places == ["meta", "cpu"]
