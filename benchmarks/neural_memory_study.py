#!/usr/bin/env python
"""Does a gradient-trained memory add anything to the reads of the exact ones?

    python benchmarks/neural_memory_study.py --weights zero.safetensors --pool kernels.npy --pool states.npy \\
        --minutes 4 --data DIR --trained FILE --output benchmarks/neural_memory.csv --plot benchmarks/neural_memory.png

Every variant (`neural_memory_networks.VARIANTS`) starts from the same trained network of reads (`zero_pretraining.py`)
and is trained on the same batches in the same order, for the same CPU minutes: of reading a batch, which is done once
for all and charged to each, and of its own steps. A backbone (2 layers of width 64) reads patches of 8 steps; what it
adds begins at 0. The control "reads" is trained on alone. The variants "…-draft" start from the control after its
training, which stays as it is, and have --draft-minutes more: a backbone with a forecast of its own that is trained
directly as well. The control does not have these minutes: they favour the memory. --trained keeps the weights; variants
in a file that exists are not trained again.

Evaluation: horizon 48 after histories of 256 to 65,536 steps, the same windows for all: the last ones of public sets,
528 steps apart, and held-out series of templates and motifs. Differences are means of logarithms of ratios of losses,
paired over series (over windows, where a set is one series), with ±95 %:

- "reads": the variant against the control with the same history;
- "emptied": all of the history against the same network whose backbone (or gated memory, or analogues) reads the last
  32 patches only, from its initial state, beside reads of everything;
- "reads at 256": against the control with 256 steps.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from matplotlib.figure import Figure
from neural_memory_data import HORIZON, LONGEST, Held, Windows, real_series, synthetic_series
from neural_memory_networks import (
    ATTENDED,
    DRAFTED,
    VARIANTS,
    ReadsAlone,
    Sample,
    WithDraft,
    added,
    pinball,
    state_size,
)
from torch import Tensor, nn
from zero_pretraining import normalised, sampled_steps, zeros

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads import ReadingNetwork, Series
from titans_ts.forecasting.reads.network import LARGEST
from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, take

ALL = (*VARIANTS, *DRAFTED)
HISTORIES = (256, 1024, 4096, 16384, LONGEST)
# Boundaries of a series in training, the shortest visible part, learning rates of the reads and of what is added.
BOUNDARIES, VISIBLE, RATES = 24, 256, (3e-4, 2e-3)
WARM_UP, STABLE, DECAY = 50, 0.5, 0.99
# Steps that are evaluated at once.
AT_ONCE = 65_536
COLUMNS = ("group", "history", "variant", "against", "series", "wql", "wql_95", "mae", "mae_95")


def main() -> None:
    """Train, evaluate, write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="network of reads that knows no other drafts")
    parser.add_argument("--pool", type=Path, action="append", required=True, help=".npy file of series; repeatable")
    parser.add_argument("--minutes", type=float, default=4, help="CPU minutes of training of each variant")
    parser.add_argument("--draft-minutes", type=float, default=2, help="of those that start from the trained control")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=list(ALL))
    parser.add_argument(
        "--trained", type=Path, help="weights of the trained variants: written, or read where it exists"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--windows", type=int, default=6, help="of each public series")
    parser.add_argument("--synthetic", type=int, default=40, help="held-out series")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="CSV of the differences")
    parser.add_argument("--plot", type=Path, help="write the picture")
    args = parser.parse_args()
    unknown = set(args.variants) - set(ALL)
    if unknown or "reads" not in args.variants:
        parser.error(f"--variants must be of {', '.join(ALL)}, with reads, got {','.join(args.variants)}")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    networks = made(args)
    for name, network in networks.items():
        size = sum(parameter.numel() for parameter in added(network))
        kept = state_size(network)
        state = "all of the series" if kept < 0 else f"{kept:>6,} numbers"
        print(f"{name:<12} adds {size:>7,} parameters and keeps {state}")
    held = [*synthetic_series(args.synthetic, args.seed + 1), *real_series(args.data, args.windows)]
    rows = compared(losses(networks, held))
    if args.output:
        write(args.output, rows)
    report(rows)
    if args.plot:
        draw(rows, args.plot)


def made(args: argparse.Namespace) -> dict[str, nn.Module]:
    """The variants, trained now or before."""
    states = torch.load(args.trained) if args.trained and args.trained.is_file() else {}
    reads = ReadingNetwork.load(args.weights)
    found: dict[str, nn.Module] = {}
    for group, minutes in ((VARIANTS, args.minutes), (DRAFTED, args.draft_minutes)):
        learners = {}
        for name in (name for name in group if name in args.variants):
            torch.manual_seed(args.seed)
            learners[name] = Learner(group[name](reads), 60 * minutes)
            if name in states:
                learners[name].average.load_state_dict(states[name])
        new = {name: learner for name, learner in learners.items() if name not in states}
        if new:
            # The same batches whichever variants there are.
            torch.manual_seed(args.seed)
            train(new, Windows([np.load(path, mmap_mode="r") for path in args.pool], args.seed))
            states |= {name: learner.average.state_dict() for name, learner in new.items()}
            if args.trained:
                with in_place_of(args.trained) as beside:
                    torch.save(states, beside)
        found |= {name: learner.average.eval() for name, learner in learners.items()}
        reads = cast(ReadsAlone, found["reads"]).reads
    return {name: found[name] for name in args.variants}


@dataclass(frozen=True)
class Batch:
    """Series that were read, the values that followed (B, M, H) in units of the boundaries, and which were observed."""

    sample: Sample
    wanted: Tensor
    observed: Tensor
    seconds: float


class Learner:
    """A variant in training for some CPU seconds, and the running mean of its weights."""

    def __init__(self, network: nn.Module, budget: float) -> None:
        self.network, self.budget = network.train(), budget
        self.average = copy.deepcopy(network)
        new = added(network)
        known = {id(parameter) for parameter in new}
        old = [value for value in network.parameters() if id(value) not in known and value.requires_grad]
        groups = [
            {"params": part, "lr": rate, "peak": rate} for part, rate in zip((old, new), RATES, strict=True) if part
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)
        self.steps, self.seconds, self.loss = 0, 0.0, math.nan

    @property
    def done(self) -> bool:
        """Whether its CPU seconds are spent."""
        return self.seconds >= self.budget

    def step(self, batch: Batch) -> None:
        """One step, and the seconds of it and of reading the batch."""
        start = time.process_time()
        rate = min(1, (self.steps + 1) / WARM_UP) * min(1, (1 - self.seconds / self.budget) / (1 - STABLE))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        if isinstance(self.network, WithDraft):
            loss = self.network.losses(batch.sample, batch.wanted, batch.observed)
        else:
            deciles = self.network(batch.sample)
            loss = (pinball(deciles, batch.wanted) * batch.observed).sum() / batch.observed.sum().clamp_min(1)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise RuntimeError(f"the gradient of step {self.steps} is not finite")
        self.optimizer.step()
        with torch.no_grad():
            kept = min(DECAY, self.steps / (self.steps + 10))
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1 - kept)
        self.steps += 1
        self.loss = loss.item() if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss.item()
        self.seconds += time.process_time() - start + batch.seconds


def train(learners: dict[str, Learner], windows: Windows) -> None:
    """Train all on the same batches; one that takes less of its own sees more of them."""
    number = 0
    while not all(learner.done for learner in learners.values()):
        batch = read(windows)
        for learner in learners.values():
            if not learner.done:
                learner.step(batch)
        number += 1
        if number % 50 == 0:
            told = "  ".join(f"{name} {learner.loss:.4f}" for name, learner in learners.items())
            print(f"step {number}  {told}", flush=True)
    for name, learner in learners.items():
        print(f"{name:<12} {learner.steps:>5} steps  loss {learner.loss:.4f}", flush=True)


def read(windows: Windows) -> Batch:
    """The next batch, at a sample of boundaries after a visible part that alone decides about scale and periods."""
    start = time.process_time()
    values = torch.tensor(windows.batch(), dtype=torch.float32)
    count, length = len(values), values.shape[1] - HORIZON
    observed = values.isfinite().float()
    first = values.isnan().sum(1).clamp_max(length - VISIBLE)
    visible = first + VISIBLE + (torch.rand(count) * (length - first - VISIBLE)).long()
    seen = observed * (torch.arange(values.shape[1]) < visible[:, None])
    values = normalised(values.nan_to_num(), seen).clamp(-30, 30) * observed
    periods = computed_periods(values.double().numpy(), observed.numpy() > 0, visible.tolist())
    series = Series.of(
        values[:, :length], observed[:, :length], torch.tensor(periods).float(), zeros(values, seen, windows.rng)
    )
    boundaries, earliest = length // BLOCK, (visible - 1) // BLOCK
    places = earliest[:, None] + (torch.rand(count, BOUNDARIES) * (boundaries - earliest)[:, None]).long()
    sample = Sample.of(series, places.clamp_max(boundaries - 1), sampled_steps(HORIZON))
    columns = (sample.places[..., None] + 1) * BLOCK + sample.steps - 1
    unit = sample.inputs
    wanted = ((take(values, columns) - unit.centre) / unit.scale).clamp(-LARGEST, LARGEST)
    return Batch(sample, wanted, take(observed, columns), time.process_time() - start)


# (group, series, end, history, variant, "all" or "emptied") → pinball loss and absolute error in units of the series.
Key = tuple[str, str, int, int, str, str]
Losses = dict[Key, tuple[float, ...]]
# (history, variant, "all" or "emptied"), and the series or, of a set of one series, its window.
Kind = tuple[int, str, str]
Unit = tuple[str, str, int]


@torch.no_grad()
def losses(networks: dict[str, nn.Module], held: Sequence[Held]) -> Losses:
    """Of all variants on all windows at all histories; prints the CPU time of each on the longest."""
    found: Losses = {}
    spent: dict[str, float] = defaultdict(float)
    for history in HISTORIES:
        spent.clear()
        count = 0
        for windows in _batches(held, history):
            start = time.process_time()
            sample, wanted, scale = _sample(windows, history)
            spent["reading all"] += time.process_time() - start
            count += len(windows)
            for name, network in networks.items():
                for memory in ("all", "emptied"):
                    start = time.process_time()
                    deciles = network(sample, ATTENDED if memory == "emptied" else None)[:, 0]
                    spent[f"{name} {memory}"] += time.process_time() - start
                    deciles = deciles * sample.inputs.scale + sample.inputs.centre
                    scores = _scores(deciles, wanted) * scale
                    for (series, end), score in zip(windows, scores, strict=True):
                        found[series.group, series.name, end, history, name, memory] = tuple(score)
        told = "  ".join(f"{name} {seconds / count * 1e3:.1f}" for name, seconds in spent.items())
        print(f"history {history}, {count} windows, CPU ms a window: {told}", flush=True)
    return found


def _batches(held: Sequence[Held], history: int) -> Iterator[list[tuple[Held, int]]]:
    """Windows whose histories have the same length."""
    groups: dict[tuple[str, int], list[tuple[Held, int]]] = defaultdict(list)
    for series in held:
        for end in series.ends:
            values = series.history(end, history)
            if values is not None and np.isfinite(series.values[end : end + HORIZON]).any():
                groups[series.group, len(values)].append((series, end))
    size = max(1, AT_ONCE // history)
    for windows in groups.values():
        for first in range(0, len(windows), size):
            yield windows[first : first + size]


def _sample(windows: Sequence[tuple[Held, int]], history: int) -> tuple[Sample, Tensor, np.ndarray]:
    """Histories read at their ends, what followed (B, H), both in units of the histories, and these units (B, 1)."""
    past = [series.history(end, history) for series, end in windows]
    rows = np.stack([part for part in past if part is not None])
    ahead = np.stack([series.values[end : end + HORIZON] for series, end in windows])
    mean, scale = np.nanmean(rows, 1, keepdims=True), np.nanstd(rows, 1, keepdims=True) + 1e-9
    length = rows.shape[1]
    scaled = np.pad((rows - mean) / scale, ((0, 0), (-length % BLOCK, 0)), constant_values=np.nan)
    observed = np.isfinite(scaled)
    values = np.where(observed, np.clip(scaled, -30, 30), 0.0)
    periods = chosen_periods(computed_periods(values, observed), [length] * len(rows), windows[0][0].season)
    zero = np.where(np.nanmin(rows, 1) >= 0, -(mean / scale)[:, 0], np.nan)
    parts = [torch.tensor(part, dtype=torch.float32) for part in (values, observed, periods, zero)]
    steps = torch.arange(1, HORIZON + 1)
    return Sample.at_end(Series.of(*parts), steps), torch.tensor((ahead - mean) / scale, dtype=torch.float32), scale


def _scores(deciles: Tensor, wanted: Tensor) -> np.ndarray:
    """(B, 2): pinball loss and absolute error of the median, means over the observed steps."""
    known = wanted.isfinite()
    wanted = wanted.nan_to_num()
    loss = (pinball(deciles, wanted) * known).sum(1) / known.sum(1)
    error = ((wanted - deciles[..., deciles.shape[-1] // 2]).abs() * known).sum(1) / known.sum(1)
    return torch.stack([loss, error], 1).double().numpy()


@dataclass(frozen=True)
class Row:
    """A comparison: mean logarithms of ratios of pinball losses and absolute errors, half their 95 % intervals."""

    group: str
    history: int
    variant: str
    against: str
    series: int
    wql: float
    wql_95: float
    mae: float
    mae_95: float


def compared(found: Losses) -> list[Row]:
    """All comparisons of each set, and of the public series that have every history, "real"."""
    long = {(group, name) for group, name, _, history, *_ in found if history == HISTORIES[-1]}
    groups: dict[str, list[Key]] = defaultdict(list)
    for key in found:
        groups[key[0]].append(key)
        if key[0] != "synthetic" and key[:2] in long:
            groups["real"].append(key)
    rows: list[Row] = []
    for group, keys in groups.items():
        single = len({key[:2] for key in keys}) == 1
        units: dict[tuple[Kind, Unit], list[tuple[float, ...]]] = defaultdict(list)
        for key in keys:
            unit = (key[0], key[1], key[2] if single else 0)
            units[key[3:], unit].append(found[key])
        means = {key: np.mean(values, axis=0) for key, values in units.items()}
        rows += _rows(group, means)
    return rows


def _rows(group: str, means: dict[tuple[Kind, Unit], np.ndarray]) -> Iterator[Row]:
    """Of mean losses."""
    keys = sorted({key for key, _ in means}, key=str)
    for history, variant, memory in keys:
        if memory == "emptied":
            continue
        others: dict[str, Kind] = {
            "reads": (history, "reads", "all"),
            "emptied": (history, variant, "emptied"),
            "reads at 256": (HISTORIES[0], "reads", "all"),
        }
        for against, other in others.items():
            if other == (history, variant, memory) or (against == "emptied" and variant == "reads"):
                continue
            units = [unit for key, unit in means if key == (history, variant, memory)]
            pairs = np.array([[means[(history, variant, memory), unit], means[other, unit]] for unit in units])
            # Nothing to compare where a forecast is exact.
            ratio = np.log(pairs[:, 0] / pairs[:, 1])[(pairs > 0).all((1, 2))]
            half = 1.96 * ratio.std(0, ddof=1) / math.sqrt(len(ratio)) if len(ratio) > 1 else np.full(2, np.nan)
            mean = ratio.mean(0)
            yield Row(group, history, variant, against, len(ratio), mean[0], half[0], mean[1], half[1])


def write(path: Path, rows: Iterable[Row]) -> None:
    """One line a comparison, in per cent."""
    with in_place_of(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            numbers = [f"{100 * value:.2f}" for value in (row.wql, row.wql_95, row.mae, row.mae_95)]
            writer.writerow([row.group, row.history, row.variant, row.against, row.series, *numbers])


def report(rows: Sequence[Row]) -> None:
    """Print differences of the pinball loss, in per cent."""
    for against in ("reads", "emptied", "reads at 256"):
        print(f"\npinball loss against {against}, per cent")
        for group in dict.fromkeys(row.group for row in rows):
            for variant in ALL:
                mine = [row for row in rows if (row.group, row.variant, row.against) == (group, variant, against)]
                mine.sort(key=lambda row: row.history)
                told = "  ".join(f"{row.history}: {100 * row.wql:+.1f} ± {100 * row.wql_95:.1f}" for row in mine)
                if mine:
                    print(f"{group:<10} {variant:<12} {told}")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Above: loss against history. Below: difference from the reads with the same, longest history."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(2, 2)
    for column, group in enumerate(("synthetic", "real")):
        above, below = panels[0, column], panels[1, column]
        of_group = [row for row in rows if row.group == group]
        variants = [name for name in ALL if any(row.variant == name for row in of_group)]
        for place, variant in enumerate(variants):
            mine = [row for row in of_group if row.variant == variant]
            line = {row.history: math.exp(row.wql) for row in mine if row.against == "reads at 256"}
            line |= {HISTORIES[0]: 1.0} if variant == "reads" else {}
            colour = "black" if variant == "reads" else f"C{place}"
            kind, thick = "--" if variant in DRAFTED else "-", 2.5 if variant == "reads" else 1.3
            steps = sorted(line)
            losses_there = [line[history] for history in steps]
            above.plot(steps, losses_there, kind, marker=".", color=colour, linewidth=thick, label=variant)
            for row in mine:
                if (row.against, row.history) == ("reads", HISTORIES[-1]):
                    below.errorbar(100 * row.wql, place, xerr=100 * row.wql_95, fmt="o", color=colour)
        above.set_xscale("log", base=2)
        above.set_xticks(HISTORIES, [f"{history:,}" for history in HISTORIES])
        above.set(title=f"{group} series", xlabel="steps of history", ylabel="pinball loss / reads with 256 steps")
        above.grid(alpha=0.3)
        below.axvline(0, color="black", linewidth=1)
        below.set_yticks(range(1, len(variants)), variants[1:])
        below.invert_yaxis()
        below.set_xlabel("against the reads alone, 65,536 steps, 100 × log ratio (± 95 %)")
        below.grid(alpha=0.3)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize="small")
    with in_place_of(path) as beside:
        figure.savefig(beside, dpi=110, format="png")


if __name__ == "__main__":
    main()
