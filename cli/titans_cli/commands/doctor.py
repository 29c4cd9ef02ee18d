"""`titans-ts doctor`: what is installed, what will run where, and why."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from titans_ts.version import __version__

DESCRIPTION = "Print what is installed, which device and memory backend will be used and why, and where data are."
PACKAGES = (
    *("torch", "triton", "lightning", "gluonts", "scikit-learn", "pandas", "numpy", "pyarrow", "safetensors"),
    *("matplotlib", "rich", "jsonargparse", "biopython"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The description; there are no options."""
    parser.description = DESCRIPTION


def run(arguments: argparse.Namespace) -> None:
    """Print the report."""
    print(report())


def report() -> str:
    """One line per item: name and value."""
    return "\n".join(f"{name:<16}{value}".rstrip() for name, value in _lines())


def _lines() -> Iterator[tuple[str, str]]:
    import titans_ts

    yield "titans-ts", f"{__version__} ({Path(titans_ts.__file__).parent})"
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", platform.platform()
    for package in PACKAGES:
        yield package, _version(package)
    yield from _compute()
    yield from _data()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _compute() -> Iterator[tuple[str, str]]:
    import torch

    from titans_kernels import explain

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cpu", f"{cores} cores usable, {torch.get_num_threads()} torch threads"
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        for i in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(i)
            yield f"cuda:{i}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    else:
        yield "cuda", "no device" if torch.version.cuda else "no (this torch was built without it)"
    if torch.backends.mps.is_available():
        devices.append("mps")
    for device in dict.fromkeys(name.split(":")[0] for name in devices):
        choice = explain(device)
        yield "memory backend", f"on {device}: {choice.backend} ({choice.reason})"


def _data() -> Iterator[tuple[str, str]]:
    from titans_datasets import builtin

    yield "builtin data", str(Path(builtin.__file__).parent)
    for name in builtin.names():
        yield "", f"{builtin.PREFIX}{name}: {builtin.describe(name).title}"
    folder = os.environ.get("TITANS_TS_DATA")
    if not folder:
        text = "not set: only the built-in data can be used by name"
    else:
        text = folder if Path(folder).expanduser().is_dir() else f"{folder} (no such folder)"
    yield "TITANS_TS_DATA", text
