#!/usr/bin/env python
"""How often a forecast is behind the best of three simple ones, on random panels of every kind.

    python benchmarks/random_panels.py                        # panels 60 to 129; those below are the tests'
    python benchmarks/random_panels.py --first 200 --count 40

Panels have 1 to 50 series of 2 to 5,000 steps (tests/forecasting/panels.py). The default forecast without gradient
steps is compared with the last value, the seasonal naive and the damped trend forecast, of which the best one is taken
in hindsight, on the window that is scored: no forecast can know it. A panel counts as good where our MASE is at most
1.1 times that of the best, plus 0.05.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tests.forecasting.test_trust import NEGLIGIBLE, compared, forecast_panels, scaled_errors


def main() -> None:
    """Print the share of good panels by their size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=60)
    parser.add_argument("--count", type=int, default=70)
    chosen = parser.parse_args()
    started = time.process_time()
    outcomes = forecast_panels(range(chosen.first, chosen.first + chosen.count))
    rows = []
    for outcome in outcomes:
        errors = scaled_errors(outcome)
        if len(errors):
            found, panel = compared(errors), outcome.panel
            usual = float(np.median([len(history) for history in panel.histories])) / panel.horizon
            rows.append((found.ours, found.best, found.noise, len(panel.kinds), usual))
    ours, best, noise, series, horizons = np.array(rows).T
    for name, kept in (
        ("all panels", series > 0),
        ("8 series or more", series >= 8),
        ("history of 3 horizons or more", horizons >= 3),
    ):
        good = ours[kept] <= 1.1 * best[kept] + NEGLIGIBLE
        allowed = ours[kept] <= 1.1 * best[kept] + NEGLIGIBLE + noise[kept]
        ratio = np.exp(np.mean(np.log((ours[kept] + NEGLIGIBLE) / (best[kept] + NEGLIGIBLE))))
        print(
            f"{name:30s} {kept.sum():3d} panels, good {100 * good.mean():.1f} %, with the noise of the difference "
            f"{100 * allowed.mean():.1f} %, error / best in hindsight {ratio:.3f}"
        )
    print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
