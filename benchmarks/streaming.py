#!/usr/bin/env python
"""What a session costs per observation, and whether that stays constant: a million hourly observations.

    python benchmarks/streaming.py --csv benchmarks/streaming.csv

The default forecaster of the built-in weather (its size; `max_steps=0`, for trained weights cost the same), one thread.
One row per way of observing: one value at a time, in blocks of 1,000 steps, a hundred series per step. The surprise is
requested now and then (after 997 observations in the first row), so that steps are read in other blocks than in the
fresh session. Time is CPU time of the process; resident memory is taken after a garbage collection. At the end the
state is compared with that of a session given everything in one call: the largest difference divided by the largest
number of each tensor. "fresh" is the time of the last tenth divided by that of a new session fed with the same values
in turn.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series import SeriesWarning
from titans_ts import TitansForecaster, TitansStream, __version__, load_weather
from titans_ts.forecasting.streaming.state import StreamState
from titans_ts.support.run_log import append_csv, commit, machine

# Way of observing: series, steps a call, calls from one question for the surprise to the next.
WAYS = {"one value": (1, 1, 997), "blocks of 1,000": (1, 1000, 7), "100 series a step": (100, 1, 97)}


def history(series: int) -> pd.DataFrame:
    """A year of hourly temperatures, the same under many names where more than one is wanted."""
    weather = load_weather()
    one = weather[weather["item_id"] == "EWR"][["timestamp", "temp"]]
    return pd.concat([one.assign(item_id=f"{place:03}") for place in range(series)], ignore_index=True)


def observations(steps: int, series: int) -> npt.NDArray[np.float64]:
    """Years of weather one after the other with different noise, one value in fifty missing (steps, series)."""
    year = load_weather().query("item_id == 'EWR'")["temp"].to_numpy()
    random = np.random.default_rng(0)
    values = np.resize(year, steps)[:, None] + random.normal(size=(steps, series))
    values[random.random(values.shape) < 0.02] = np.nan
    return values


def resident_mib() -> float:
    """Resident memory of this process; NaN where the system does not report it."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Feed:
    """Observations into a session, `size` steps per call, and the CPU seconds that they took."""

    def __init__(self, stream: TitansStream, size: int, ask: int) -> None:
        self.stream, self.size, self.ask, self.calls = stream, size, ask, 0

    def __call__(self, values: npt.NDArray[np.float64]) -> float:
        """Seconds for values (n, C)."""
        observe, single = self.stream.observe, self.size == 1 and values.shape[1] == 1
        parts = (
            values[:, 0].tolist() if single else [values[i : i + self.size] for i in range(0, len(values), self.size)]
        )
        started = time.process_time()
        for part in parts:
            observe(part)
            self.calls += 1
            if self.calls % self.ask == 0:
                _ = self.stream.surprise
        return time.process_time() - started


def run(feed: Feed, fresh: Feed, values: npt.NDArray[np.float64]) -> tuple[list[float], list[float], float]:
    """CPU seconds of each tenth of the observations, resident MiB after it, and what the fresh session took.

    The last tenth goes into the fresh session too, a hundredth of it in turn: on a busy machine two measurements that
    are minutes apart cannot be compared.
    """
    *tenths, last = np.array_split(values, 10)
    seconds, memory = [], []
    for tenth in tenths:
        seconds.append(feed(tenth))
        memory.append(resident_mib())
    pairs = [(feed(part), fresh(part)) for part in np.array_split(last, 100)]
    seconds.append(sum(old for old, _ in pairs))
    return seconds, [*memory, resident_mib()], sum(new for _, new in pairs)


def tensors(part: object) -> list[torch.Tensor]:
    """All tensors of nested tuples."""
    if isinstance(part, torch.Tensor):
        return [part]
    return [leaf for piece in part for leaf in tensors(piece)] if isinstance(part, tuple) else []


def read(stream: TitansStream) -> StreamState:
    """The state after every observation, also those that complete no token and are buffered."""
    return stream.buffer.read_waiting()[0]


def difference(one: TitansStream, other: TitansStream) -> float:
    """Largest difference of the two states, divided by the largest number of the tensor it is in."""
    found = 0.0
    for x, y in zip(tensors(read(one)), tensors(read(other)), strict=True):
        x, y = (z.double().nan_to_num(0.0) for z in (x, y))
        if x.numel():
            found = max(found, float((x - y).abs().max() / y.abs().max().clamp_min(1e-30)))
    return found


def measure(model: TitansForecaster, way: str, total: int) -> dict[str, Any]:
    """One row: `total` observations in one way."""
    series, size, ask = WAYS[way]
    steps = total // series
    data = history(series)
    stream, whole, fresh = (model.stream(data) for _ in range(3))
    values = observations(steps, series)
    seconds, memory, other = run(Feed(stream, size, ask), Feed(fresh, size, ask), values)
    whole.observe(values)
    return {
        "date": date.today().isoformat(),
        "commit": commit(),
        "titans_ts": __version__,
        "machine": machine(),
        "torch": torch.__version__,
        "way": way,
        "observations": steps * series,
        "cpu_seconds": round(sum(seconds), 2),
        "observations_per_second": round(steps * series / sum(seconds)),
        "first_tenth_us": round(1e6 * seconds[0] / (steps * series / 10), 2),
        "last_tenth_us": round(1e6 * seconds[-1] / (steps * series / 10), 2),
        "last_over_first": round(seconds[-1] / seconds[0], 3),
        "last_over_fresh": round(seconds[-1] / other, 3),
        "resident_first_mib": round(memory[0], 1),
        "resident_last_mib": round(memory[-1], 1),
        "state_difference": f"{difference(stream, whole):.1e}",
    }


def main() -> None:
    """Measure, print a table, append it to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--observations", type=int, default=1_000_000)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS))
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'way':>18}  {'observations/s':>14}  {'first 10 %':>10}  {'last 10 %':>9}  {'fresh':>5}  {'MiB':>11}  state"
    )
    # The weather lacks some hours, which is reported at every reading.
    warnings.simplefilter("ignore", SeriesWarning)
    options = {"progress": False}
    model = TitansForecaster(24, target_column="temp", max_steps=0, device="cpu", options=options).fit(history(1))
    for way in arguments.ways:
        row = measure(model, way, arguments.observations)
        print(
            f"{way:>18}  {row['observations_per_second']:>14,}  {row['first_tenth_us']:>7.1f} µs  "
            f"{row['last_tenth_us']:>6.1f} µs  {row['last_over_fresh']:>5.2f}  {row['resident_first_mib']:>4.0f} → "
            f"{row['resident_last_mib']:>4.0f}  {row['state_difference']}",
            flush=True,
        )
        if arguments.csv:
            append_csv(arguments.csv, list(row), [row])


if __name__ == "__main__":
    main()
