#!/usr/bin/env python
"""CPU seconds of `titans-ts forecast` on small business tables, start-up, backtest and all.

    python benchmarks/forecast_command.py --data DIR

75 quarterly series of M3 with the default windows, horizon 8, and 40 monthly ones with three windows, horizon 12; each
once as it is and once with --max-steps 0.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from titans_recipes.suite import load_tasks
from titans_recipes.suite.tasks import CHRONOS

CASES = (("m3_quarterly", "QS", 75, 8, ()), ("m3_monthly", "MS", 40, 12, ("--backtest-windows", "3")))


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    chosen = parser.parse_args()
    if chosen.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    for name, step, count, horizon, options in CASES:
        (task,) = load_tasks(Path(chosen.data), (name,), (CHRONOS,))
        stride = max(1, len(task.series) // count)
        series = task.series[::stride][:count]
        table = pd.concat(
            pd.DataFrame(
                {"item_id": i, "timestamp": pd.date_range("1980-01-01", periods=len(x), freq=step), "target": x}
            )
            for i, x in enumerate(series)
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            table.to_csv(path, index=False)
            for more in ((), ("--max-steps", "0")):
                seconds, row = run([str(path), "--horizon", str(horizon), *options, *more])
                print(
                    f"{len(series)} series of {name}, {' '.join((*options, *more)) or 'as it is'}: {seconds:.1f} CPU s"
                )
                print(row, flush=True)


def run(arguments: list[str]) -> tuple[float, str]:
    """CPU seconds (user and system) of the command, and the rows of its table that count here."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "titans_cli.main", "forecast", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    kept = ("titans ", "damped trend", "theta", "seasonal naive", "no network", "network:")
    return seconds, "\n".join(f"    {line}" for line in done.stdout.splitlines() if line.startswith(kept))


if __name__ == "__main__":
    main()
