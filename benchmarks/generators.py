#!/usr/bin/env python
"""How fast series are generated, family by family and as a mixture; what they look like.

    python benchmarks/generators.py                            # a table: points a second
    python benchmarks/generators.py --plot docs/generators.png # examples of every family

Points a second are those that come out, per CPU second of the process, one thread: the median of `--repeats` calls
(fastest in brackets). A family is called with as many series as the mixture calls it with; the mixture is whole blocks
of `generate`, without and with augmentation (which includes series of 2 to 48 times as many steps that are aggregated).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_datasets.series.generators import FAMILIES, Mixture, generate, related

EXAMPLES, PLOTTED, COLOURS = 5, 288, 16


def points_a_second(make: Callable[[int], int], repeats: int) -> tuple[float, float]:
    """Median and best over the calls of `make(seed)`, which returns its number of points."""
    rates = []
    for seed in range(repeats):
        start = time.process_time()
        points = make(seed)
        rates.append(points / (time.process_time() - start))
    return statistics.median(rates), max(rates)


def table(length: int, repeats: int) -> None:
    """Print points a second of every family, of panels and of the mixture."""
    size = Mixture(length).block_size
    each = size // len(FAMILIES)
    rows: dict[str, Callable[[int], int]] = {
        name: lambda seed, family=family: family(np.random.default_rng(seed), each, length).size  # type: ignore[misc]
        for name, family in FAMILIES.items()
    }
    rows["related (panels of 8)"] = lambda seed: related(np.random.default_rng(seed), each // 8 or 1, 8, length).size
    rows["mixture, not augmented"] = lambda seed: generate(size, length, seed=seed, augment=False).values.size
    rows["mixture"] = lambda seed: generate(size, length, seed=seed).values.size
    print(f"length {length}, {each} series a family, million points per CPU second: median (best of {repeats})")
    for name, make in rows.items():
        make(repeats)
        median, best = points_a_second(make, repeats)
        print(f"{name:<24}{median / 1e6:8.2f} ({best / 1e6:.2f})", flush=True)


def plot(path: Path, seed: int) -> None:
    """Examples of every family, a row each, and of the mixture with its damage in the last row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    rows = {name: family(np.random.default_rng(seed), EXAMPLES, PLOTTED) for name, family in FAMILIES.items()}
    mixture = generate(EXAMPLES, PLOTTED, seed=seed)
    figure, axes = pyplot.subplots(len(rows) + 1, EXAMPLES, figsize=(12, 13))
    for line, (name, series) in zip(axes, [*rows.items(), ("mixture", mixture.values)], strict=True):
        line[0].set_ylabel(name.replace("_", "\n"), fontsize=9)
        for axis, values in zip(line, series, strict=True):
            axis.plot(values, linewidth=0.8, color="tab:blue")
            axis.set_xticks([])
            axis.tick_params(labelsize=6)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=75)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS)
    few.save(path, optimize=True)


def main() -> None:
    """The table, or the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--length", type=int, default=2096, help="steps of a series")
    parser.add_argument("--repeats", type=int, default=5, help="calls of each row")
    parser.add_argument("--plot", type=Path, help="draw examples into this file instead")
    parser.add_argument("--seed", type=int, default=0, help="of the picture")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot, options.seed)
    else:
        table(options.length, options.repeats)


if __name__ == "__main__":
    main()
