"""The genome recall task of recipes: a genome is read, then pieces of a relative, with the memory carried or empty.

Shapes: B windows, T bases of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_recipes.genome_recall.relatives import Codes, homologs
from titans_recipes.pictures import save_picture

if TYPE_CHECKING:
    from titans_recipes.genome_recall.models import Model, State

FloatArray = npt.NDArray[np.float64]
# Read before, read after, and the control: as long a genome that is no relative.
SETS = {"ecoli": ("ecoli_k12", "ecoli_536", "saureus_n315")}
KINDS = ("words", "titans")
EVERYWHERE, ALIKE = "everywhere", "alike"
CHUNK = 65536


class GenomeRow(NamedTuple):
    """One model after so many bases of the first genome.

    Attributes:
        run, seed: which model.
        windows: "alike", windows of the relative whose like was read, or "everywhere", evenly over the relative.
        length: bases read before; pieces: how many windows.
        empty, carried, control: bits a base with an empty memory, after the genome, after as much of the control's
            (less where that is shorter).
        gain: empty − carried; gain_error: its standard error over windows.
        reverse_gain: the gain on the windows' reverse complements.
        memory: numbers in the memory of one stream; cpu_seconds: of everything up to this row.
        protocol: what is read.
    """

    run: str
    seed: int
    windows: str
    length: int
    pieces: int
    empty: float
    carried: float
    control: float
    gain: float
    gain_error: float
    reverse_gain: float
    memory: int
    cpu_seconds: float
    protocol: str


class Curves(NamedTuple):
    """Bits a base of windows along the relative: first bases (B,), and a row of (B,) a condition."""

    starts: npt.NDArray[np.int64]
    empty: FloatArray
    carried: FloatArray
    control: FloatArray


class Genomes(NamedTuple):
    """Codes of A, C, G, T of one strand each."""

    read: Codes
    relative: Codes
    control: Codes


def check_genome(path: Any, recipe: Mapping[str, Any]) -> None:
    """Refuse unknown sets, windows and settings.

    Raises:
        ValueError: with what is known.
    """
    from titans_recipes.genome_recall.word_memory import GenomeConfig

    if recipe["set"] not in SETS:
        raise ValueError(f"{path} has no genomes {recipe['set']!r}: set must be one of {list(SETS)}")
    lengths, windows = recipe.get("lengths"), recipe.get("windows")
    if not isinstance(lengths, Sequence) or not lengths or sorted(lengths) != list(lengths) or int(lengths[0]) < 1:
        raise ValueError(f"{path} must say lengths, ascending numbers of bases such as [16384, 65536], got {lengths}")
    if not isinstance(windows, Mapping) or set(windows) != {"size", "count"}:
        raise ValueError(f"{path} must say windows: {{size: bases, count: how many}}, got {windows}")
    known = {"words": {f.name for f in fields(GenomeConfig)}, "titans": {"backbone", "memory", "steps"}}
    for name, run in recipe["runs"].items():
        kind = (run or {}).get("kind")
        if kind not in KINDS:
            raise ValueError(f"{path}: run {name!r} must say kind, one of {KINDS}, got {kind!r}")
        unknown = sorted(set(run) - known[kind] - {"kind", "lengths"})
        if unknown:
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {sorted(known[kind])}")
        if kind == "words":
            GenomeConfig(**{field: value for field, value in run.items() if field in known[kind]})


def genome_rows(
    recipe: Mapping[str, Any], name: str, run: Mapping[str, Any], seed: int, plot: Path | None = None
) -> Iterator[GenomeRow]:
    """Build and train one model, read the genome, ask at each of the recipe's lengths.

    Args:
        recipe: the checked recipe.
        name: of the run; run: its settings.
        seed: of the model and of the choice of windows.
        plot: a picture of the last length, windows along the relative.

    Raises:
        FileNotFoundError, ValueError: genomes are not there, or not the known ones.
    """
    from titans_recipes.genome_recall.models import build

    genomes, size, count = load(recipe["set"]), int(recipe["windows"]["size"]), int(recipe["windows"]["count"])
    lengths = [min(int(n), len(genomes.read)) for n in run.get("lengths", recipe["lengths"])]
    started = time.process_time()
    model, before = build(run, genomes.read, lengths, seed)
    alike = homologs(genomes.read, genomes.relative, size, size)
    rng, control, done = np.random.default_rng(seed), None, 0
    for length in lengths:
        control = read(model, genomes.control[done:length], control)
        carried, done = before[length], length
        mine = [one.start for one in alike if one.place + size <= length]
        sets = {ALIKE: np.sort(rng.permutation(mine)[:count])}
        if length == lengths[-1]:
            sets[EVERYWHERE] = np.linspace(0, len(genomes.relative) - size, count).astype(np.int64)
        for windows, starts in sets.items():
            if len(starts):
                curves, back = ask(model, genomes.relative, starts, size, (carried, control))
                spent = time.process_time() - started
                yield _row((name, seed, windows, length), curves, back, carried, spent, recipe["set"])
                if plot is not None and windows == EVERYWHERE:
                    plot_curves(curves, size, plot, f"{name}: windows of {size:,} bases")


def _row(
    named: tuple[str, int, str, int], curves: Curves, back: FloatArray, state: State, spent: float, chosen: str
) -> GenomeRow:
    from titans_recipes.genome_recall.models import numbers

    gain = curves.empty - curves.carried
    return GenomeRow(
        *named,
        pieces=len(gain),
        empty=float(curves.empty.mean()),
        carried=float(curves.carried.mean()),
        control=float(curves.control.mean()),
        gain=float(gain.mean()),
        gain_error=float(gain.std() / math.sqrt(len(gain))),
        reverse_gain=float(back.mean()),
        memory=numbers(state),
        cpu_seconds=round(spent, 1),
        protocol="{} read, then windows of {}, or {} read first".format(*SETS[chosen]),
    )


def load(name: str) -> Genomes:
    """The genomes of a set.

    Raises:
        FileNotFoundError, ValueError: see `titans_datasets.dna.public.benchmarks.reference_genome`.
    """
    from titans_datasets.dna.alphabet import N
    from titans_datasets.dna.public.benchmarks import reference_genome

    found = []
    for one in SETS[name]:
        genome = reference_genome(one)
        codes = np.concatenate([genome.fetch(record, 0, n) for record, n in genome.lengths.items()])
        found.append(codes[codes < N])
    return Genomes(*found)


def read(model: Model, codes: Codes, state: State | None) -> State | None:
    """The state after more bases of one stream, read without gradients."""
    import torch

    with torch.no_grad():
        for start in range(0, len(codes), CHUNK):
            ids = torch.from_numpy(codes[None, start : start + CHUNK].astype(np.int64))
            state = model.losses(ids, state)[1] if ids.shape[1] > 1 else state
    return state


def ask(
    model: Model, relative: Codes, starts: npt.NDArray[np.int64], size: int, states: tuple[State, State]
) -> tuple[Curves, FloatArray]:
    """Bits a base of windows, each read by itself, from an empty memory and from two states of one stream.

    Returns:
        The curves, and the gain of the first state on reverse complements (B,).
    """
    pieces = np.stack([relative[s : s + size] for s in starts]).astype(np.int64)
    turned = 3 - pieces[:, ::-1]
    from titans_recipes.genome_recall.models import side_by_side

    beside = side_by_side(states[0])
    empty, carried, control = (_bits(model, pieces, state, beside) for state in (None, *states))
    back = _bits(model, turned, None, beside) - _bits(model, turned, states[0], beside)
    return Curves(starts, empty, carried, control), back


def _bits(model: Model, pieces: npt.NDArray[np.int64], state: State | None, beside: int) -> FloatArray:
    """(B,) mean bits of the bases of each window but its first."""
    import torch

    from titans_recipes.genome_recall.models import expand

    found = []
    with torch.no_grad():
        for first in range(0, len(pieces), beside):
            ids = torch.from_numpy(pieces[first : first + beside].copy())
            start = None if state is None else expand(state, len(ids))
            found.append(model.losses(ids, start)[0].double().mean(1).numpy() / math.log(2))
    return np.concatenate(found)


def plot_curves(curves: Curves, size: int, path: Path, title: str) -> None:
    """Bits a base against position, a line a condition.

    Args:
        curves: windows in order.
        size: bases of a window.
        path: .png, .pdf or .svg; replaced as a whole.
        title: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    middle = (curves.starts + size / 2) / 1e6
    for label, values in (
        ("empty memory", curves.empty),
        ("after the relative", curves.carried),
        ("after the control", curves.control),
    ):
        axes.plot(middle, values, linewidth=1, label=f"{label}, mean {values.mean():.3f}")
    axes.set(xlabel="position (million bases)", ylabel="bits a base", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_picture(figure, path)
