"""Batch forecasts of many short series: series per second, peak memory beside the size of the data, and the numbers of
one process. Run: python benchmarks/batch_forecast.py --series 20000 --files 20 --workers 2
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HORIZON = 24


def write_data(folder: Path, series: int, files: int, steps: int) -> int:
    """Hourly series with a daily wave, in files of equal size; returns the bytes of the table in memory."""
    folder.mkdir(parents=True)
    stamps, size = pd.date_range("2024-01-01", periods=steps, freq="h"), 0
    for part, numbers in enumerate(np.array_split(np.arange(series), files)):
        rng = np.random.default_rng(part)
        wave = np.sin(2 * np.pi * (np.arange(steps) + rng.integers(0, 24, (len(numbers), 1))) / 24)
        values = 10 + 3 * rng.uniform(0.5, 2, (len(numbers), 1)) * wave + rng.normal(0, 0.5, (len(numbers), steps))
        ids = np.repeat([f"series-{number:07d}" for number in numbers], steps)
        frame = pd.DataFrame({"item_id": ids, "timestamp": np.tile(stamps, len(numbers)), "target": values.ravel()})
        size += int(frame.memory_usage(deep=True).sum())
        frame.to_parquet(folder / f"part-{part:05d}.parquet", index=False)
    return size


def peak_mb(pid: int | str = "self") -> float:
    """Largest resident memory of a process so far in MB, 0 after it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


class Watch(threading.Thread):
    """Peak resident memory of each process with `title` in its command line, polled five times a second."""

    def __init__(self, title: str) -> None:
        super().__init__(daemon=True)
        self.title, self.peaks, self.over = title, dict[int, float](), threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            for pid in processes():
                if self.title in command(pid):
                    self.peaks[pid] = max(peak_mb(pid), self.peaks.get(pid, 0.0))


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def run_one(mode: str, model: str, source: str, output: str, workers: int) -> None:
    """One measured run, in its own process; prints its results as JSON."""
    from titans_ts.forecasting import TitansForecaster, predict_dataset

    forecaster = TitansForecaster.load(model)
    before, watch = peak_mb(), Watch("ray::MapWorker")
    started = time.monotonic()
    spent: list[float] = []
    if mode == "memory":
        forecaster.predict(source).to_parquet(output, index=False)
    else:
        watch.start()
        engine, count = ("ray", workers) if mode == "ray" else ("local", 1)
        predict_dataset(
            forecaster, source, output, engine=engine, workers=count, on_part=lambda part: spent.append(part.seconds)
        )
        watch.over.set()
    figures = {
        "seconds": time.monotonic() - started,
        "loaded_mb": before,
        "peak_mb": peak_mb(),
        "file_seconds": sum(spent),
    }
    print(json.dumps({**figures, "actors_mb": sorted(watch.peaks.values())}))


def measure(mode: str, model: Path, source: Path, output: Path, workers: int) -> dict[str, Any]:
    arguments = [sys.executable, __file__, "--mode", mode, "--folder", str(source.parent), "--workers", str(workers)]
    text = subprocess.run([*arguments, "--paths", str(model), str(source), str(output)], capture_output=True, text=True)
    if text.returncode:
        raise SystemExit(f"{mode} failed:\n{text.stderr[-3000:]}")
    return dict(json.loads(text.stdout.splitlines()[-1]))


def largest_difference(output: Path, reference: pd.DataFrame) -> float:
    """Over all forecasts, in units of the data (their deviation is about 3); raises where ids or stamps differ."""
    found = pd.concat([pd.read_parquet(file) for file in sorted(output.glob("*.parquet"))], ignore_index=True)
    pd.testing.assert_frame_equal(found[["item_id", "timestamp"]], reference[["item_id", "timestamp"]])
    return float(np.abs(found.iloc[:, 2:].to_numpy() - reference.iloc[:, 2:].to_numpy()).max())


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    from titans_ts.forecasting import TitansForecaster

    source, model, steps = folder / "data", folder / "model", arguments.steps
    size = write_data(source, arguments.series, arguments.files, steps)
    on_disk = sum(file.stat().st_size for file in source.iterdir())
    sample = pd.read_parquet(source / "part-00000.parquet").iloc[: 100 * steps]
    options = {"progress": False}
    TitansForecaster(HORIZON, max_steps=arguments.max_steps, device="cpu", options=options).fit(sample).save(model)
    print(
        f"{arguments.series:,} series of {steps} steps in {arguments.files} files: {size / 2**20:.0f} MB as one table, "
        f"{on_disk / 2**20:.0f} MB of parquet; {platform.machine()}, Python {platform.python_version()}"
    )
    reference: pd.DataFrame | None = None
    for mode in arguments.modes.split(","):
        output = folder / (f"{mode}.parquet" if mode == "memory" else mode)
        found = measure(mode, model, source, output, arguments.workers)
        seconds, spent = found["seconds"], found["file_seconds"]
        if mode == "memory":
            reference, difference = pd.read_parquet(output), 0.0
        else:
            difference = float("nan") if reference is None else largest_difference(output, reference)
        actors = f", actors {' '.join(f'{size:.0f}' for size in found['actors_mb'])}" if mode == "ray" else ""
        print(
            f"{mode:7s} {arguments.series / seconds:5.0f} series/s: {seconds:.0f} s, files {spent:.0f} s"
            f" | peak MB: {found['peak_mb']:.0f} ({found['loaded_mb']:.0f} with the model loaded){actors}"
            f" | largest difference to predict(): {difference:.2g}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--steps", type=int, default=96, help="steps of each series")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=20, help="training of the model")
    parser.add_argument("--modes", default="memory,local,ray", help="predict() at once, local engine, ray engine")
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--paths", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        run_one(arguments.mode, *arguments.paths, arguments.workers)
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        compare(arguments, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
