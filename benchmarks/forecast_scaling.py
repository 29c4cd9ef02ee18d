#!/usr/bin/env python
"""CPU seconds and peak memory of `titans-ts forecast --pretrained` against the number of series and of points.

    python benchmarks/forecast_scaling.py
    python benchmarks/forecast_scaling.py --series 2000,8000,50000 --points 1000000,5000000

Daily series of 200 points with a week, and one series of minutes with a day; each table is a Parquet file and each
command a process of its own. A line: CPU seconds (user and system), peak resident memory, and both per series or per
million points beyond the line before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

STEPS = 200


class Cost(NamedTuple):
    """Of one command: what it read and how many units of it, CPU seconds, and peak MiB."""

    read: str
    unit: str
    size: float
    seconds: float
    peak: float


def many(count: int) -> pd.DataFrame:
    """Series of `STEPS` days."""
    rng = np.random.default_rng(0)
    time = np.arange(STEPS)
    level = 50 + 0.3 * rng.normal(0, 3, (count, STEPS)).cumsum(1)
    values = level + 10 * np.sin(time * 2 * np.pi / 7 + rng.uniform(0, 6, (count, 1))) + rng.normal(0, 2, level.shape)
    names = np.repeat([f"s{place:05d}" for place in range(count)], STEPS)
    stamps = np.tile(pd.date_range("2022-01-01", periods=STEPS), count)
    return pd.DataFrame({"item_id": names, "timestamp": stamps, "target": values.ravel().round(3)})


def long(points: int) -> pd.DataFrame:
    """One series of minutes."""
    rng = np.random.default_rng(0)
    level = 50 + np.cumsum(rng.normal(0, 0.01, points))
    values = level + 10 * np.sin(np.arange(points) * 2 * np.pi / 1440) + rng.normal(0, 1, points)
    stamps = pd.date_range("2010-01-01", periods=points, freq="min")
    return pd.DataFrame({"item_id": "a", "timestamp": stamps, "target": values.round(3)})


def costs(series: Sequence[int], points: Sequence[int]) -> Iterator[Cost]:
    """A line of the table after the other."""
    for count in series:
        yield Cost(f"{count:,} series × {STEPS}", "series", count, *forecast(many, count, 12))
    for count in points:
        yield Cost(f"1 series × {count:,}", "million points", count / 1e6, *forecast(long, count, 60))


def write(path: Path, make: Callable[[int], pd.DataFrame], size: int) -> None:
    """Write a table."""
    make(size).to_parquet(path, index=False)


def forecast(make: Callable[[int], pd.DataFrame], size: int, horizon: int) -> tuple[float, float]:
    """CPU seconds and peak MiB of the command."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        # In a process of its own: the peak of a child begins with the size of its parent.
        writer = get_context("spawn").Process(target=write, args=(path, make, size))
        writer.start()
        writer.join()
        arguments = [str(path), "--horizon", str(horizon), "--pretrained", "--quiet", "--output", f"{folder}/f.csv"]
        command = [sys.executable, "-m", "titans_cli.main", "forecast", *arguments]
        started = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(started.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print a line a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="2000,8000", help="numbers of series, separated by commas")
    parser.add_argument("--points", default="1000000,5000000", help="points of the one long series")
    chosen = parser.parse_args()
    before: Cost | None = None
    for cost in costs(*([int(x) for x in part.split(",") if x] for part in (chosen.series, chosen.points))):
        line = f"{cost.read:>24}  {cost.seconds:7.1f} CPU s  {cost.peak:7,.0f} MiB"
        if before is not None and before.unit == cost.unit and cost.size > before.size:
            more = cost.size - before.size
            seconds, peak = (cost.seconds - before.seconds) / more, (cost.peak - before.peak) / more
            line += f"   beyond the line above, 1 {cost.unit}: {seconds:.4f} CPU s, {peak:.3f} MiB"
        print(line, flush=True)
        before = cost


if __name__ == "__main__":
    main()
