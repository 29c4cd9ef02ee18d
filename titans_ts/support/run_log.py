"""CSV files of results: rows that are appended, with the machine and the commit they come from."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from titans_datasets.writing import in_place_of
from titans_ts.version import __version__


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """Check that rows with these columns may be appended to a file.

    Raises:
        ValueError: the file exists with other columns.
    """
    if path.is_file() and path.stat().st_size:
        with path.open(newline="", encoding="utf-8") as file:
            found = next(csv.reader(file), [])
        if tuple(found) != tuple(columns):
            raise ValueError(f"{path} has other columns than this version writes: name a new file or move it away")


def append_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows; the file is replaced as a whole, so that a reader or a crash never sees half a row.

    Raises:
        ValueError: as `check_columns`.
    """
    check_columns(path, columns)
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    with in_place_of(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        file.write(old)
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if not old:
            writer.writeheader()
        writer.writerows(rows)


def machine() -> str:
    """Processor, system and cores, in words."""
    return f"{platform.machine()} {platform.system()} {os.cpu_count()} cores"


def commit() -> str:
    """The commit of the checkout this runs in, with a star where files differ from it; empty elsewhere."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def facts(device: str, packages: Mapping[str, str]) -> dict[str, str]:
    """Date, commit, machine and versions, for the columns of a CSV.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        packages: column → name of a package, whose version is empty where it is not installed.
    """
    # Imported here: it takes seconds.
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "version": __version__,
        "machine": processor() if device == "cpu" else torch.cuda.get_device_name(device),
        "cores": str(cores),
        "device": device,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{column: _version(package) for column, package in packages.items()},
    }


def processor() -> str:
    """The CPU's model, with family and model number: many virtual machines have the same name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", platform.machine())
    return f"{name} ({found['cpu family']}-{found['model']})" if "cpu family" in found else name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
