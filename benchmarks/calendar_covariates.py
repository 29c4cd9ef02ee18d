#!/usr/bin/env python
"""What holidays and days of the week known by the calendar give: electricity demand of five Australian states.

    python benchmarks/calendar_covariates.py              # daily sums, 14 days ahead
    python benchmarks/calendar_covariates.py --step h     # hourly means, 24 hours ahead

The linear part alone (max_steps=0), fitted for each state on 2012 and 2013; windows over the whole of 2014, one horizon
apart. Means over the states of MASE (by the seasonal-naive error of the past), WQL and MAE relative to the first row.
Rows: nothing but the history; `holidays="AU-NSW"` and so on; `calendar=("weekday",)`; both; seasonal naive.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from titans_datasets.series.public.demand import PER_DAY, electricity_demand
from titans_ts import TitansForecaster

STATES = {"New South Wales": "NSW", "Queensland": "QLD", "South Australia": "SA", "Tasmania": "TAS", "Victoria": "VIC"}
HORIZONS = {"D": 14, "h": 24}
ROWS = ("history alone", "holidays", "weekday", "holidays and weekday")


def series(step: str) -> dict[str, pd.DataFrame]:
    """A long table for each state; stamps are local."""
    panel = electricity_demand()
    index = pd.date_range(panel.start, periods=panel.demand.shape[1] * PER_DAY, freq="30min")
    found = {}
    for name, days in zip(panel.names, panel.demand, strict=True):
        values = pd.Series(days.reshape(-1), index=index).resample(step)
        found[name] = (
            (values.sum() if step == "D" else values.mean()).rename_axis("timestamp").rename("target").reset_index()
        )
    return found


def covariates(row: str, state: str) -> dict[str, Any]:
    """The parameters of a row."""
    return {
        "holidays": f"AU-{STATES[state]}" if "holidays" in row else (),
        "calendar": ("weekday",) if "weekday" in row else (),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", choices=tuple(HORIZONS), default="D")
    parser.add_argument("--states", nargs="*", choices=tuple(STATES), default=list(STATES))
    chosen = parser.parse_args()
    horizon, tables = HORIZONS[chosen.step], series(chosen.step)
    windows = 365 // (14 if chosen.step == "D" else 1)
    scores: dict[str, list[pd.Series[float]]] = {row: [] for row in (*ROWS, "seasonal naive")}
    seconds = dict.fromkeys(ROWS, 0.0)
    warnings.simplefilter("ignore")
    for state in chosen.states:
        for row in ROWS:
            started = time.process_time()
            model = TitansForecaster(horizon, max_steps=0, options={"progress": False}, **covariates(row, state))
            metrics = model.backtest(tables[state], windows=windows).metrics
            seconds[row] += time.process_time() - started
            scores[row].append(metrics.loc["titans"])
        scores["seasonal naive"].append(metrics.loc["seasonal naive"])
    print(f"{len(chosen.states)} states, step {chosen.step}, {windows} windows of {horizon} steps")
    for row, found in scores.items():
        mase, wql, inside = (np.mean([one[name] for one in found]) for name in ("MASE", "WQL", "coverage 90%"))
        ratio = np.mean([one["MAE"] / first["MAE"] for one, first in zip(found, scores[ROWS[0]], strict=True)])
        cpu = f"{seconds[row]:6.1f} CPU s" if row in seconds else ""
        print(f"{row:22s} MASE {mase:.3f}  WQL {wql:.4f}  MAE × {ratio:.3f}  90 % covers {100 * inside:.0f} %  {cpu}")


if __name__ == "__main__":
    main()
