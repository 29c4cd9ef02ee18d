"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from titans_ts.support.device import resolve_device


@pytest.mark.parametrize("device", ["tpu!", "cuda:99"])
def test_absent_devices_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        resolve_device(device)


def test_auto_is_the_best_that_is_there() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")
