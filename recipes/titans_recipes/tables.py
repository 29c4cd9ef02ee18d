"""Results of recipes as tables: a summary of one run, and the page that is made anew from the results' files.

Shapes: none.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from titans_datasets.writing import in_place_of

START, END = "<!-- results: start -->", "<!-- results: end -->"
PAIRS = (("mse", "mae"), ("wql", "mase"))
HEADER = ("run", "horizon", "seeds", "test", "memory off", "share kept", "CPU s")
DNA_HEADER = ("run", "seeds", "MCC", "95 %", "accuracy", "AUROC", "MCC, clean part", "networks alone", "CPU s")
DNA_NUMBERS = ("mcc", "mcc_low", "mcc_high", "accuracy", "auroc", "clean_mcc", "network_mcc", "cpu_seconds")
GENOME_HEADER = (
    *("run", "bases read", "windows", "empty memory", "after it", "after the control"),
    *("gain", "gain, other strand", "memory", "CPU s"),
)
LANGUAGE_HEADER = ("run", "seeds", "bits a base, test", "held-out windows", "epochs", "parameters", "CPU s")
SEGMENTATION_ENDS = ("held-out log loss", "epochs", "parameters", "CPU s")
RECALL_HEADER = ("run", "seeds", "trained to")
DEMAND_ENDS = ("memory emptied", "gain", "95 %", "CPU s")
KEYS = ("recipe", "run", "horizon", "length", "windows", "item", "history", "genome", "seed")
Rows = Sequence[Mapping[str, Any]]
Lines = list[tuple[str, ...]]


def summary(rows: Rows) -> tuple[tuple[str, ...], Lines]:
    """Header and lines of the results of one recipe."""
    if any(row.get("genome") for row in rows):
        return segmentation_lines(rows)
    if any(_number(row, "mcc") is not None for row in rows):
        return DNA_HEADER, dna_lines(rows)
    if any(_number(row, "correct") is not None for row in rows):
        lengths = sorted({int(row["length"]) for row in rows})
        return (*RECALL_HEADER, *(f"{n:,}" for n in lengths), "CPU s"), recall_lines(rows, lengths)
    if any(_number(row, "wape") is not None for row in rows):
        return demand_lines(rows)
    if any(_number(row, "carried") is not None for row in rows):
        return GENOME_HEADER, genome_lines(rows)
    if any(_number(row, "bits") is not None for row in rows):
        return LANGUAGE_HEADER, language_lines(rows)
    return HEADER, forecast_lines(rows)


def demand_lines(rows: Rows) -> tuple[tuple[str, ...], Lines]:
    """Header, and a line a run: errors of each series on the last stretch, those of all with the gain of memory."""
    last = max(int(row["history"]) for row in rows)
    rows = [row for row in rows if int(row["history"]) == last]
    items = list(dict.fromkeys(row["item"] for row in rows))
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        errors = [_spread([w for r in mine if r["item"] == i and (w := _number(r, "wape"))], 2) for i in items]
        total = [row for row in mine if row["item"] == items[-1]]
        ends = [f"{mean(float(row[name]) for row in total):+.1f}" for name in ("gain", "gain_low", "gain_high")]
        emptied = _mean([total], "emptied", "{:.2f}")
        spent = _mean([total], "cpu_seconds", "{:.0f}")
        lines.append((run, str(len(total)), *errors, emptied, f"{ends[0]} %", f"{ends[1]} to {ends[2]} %", spent))
    return ("run", "seeds", *(f"WAPE %, {item}" for item in items), *DEMAND_ENDS), lines


def dna_lines(rows: Rows) -> Lines:
    """A line a run: MCC as mean ± standard deviation over seeds, the mean ends of its bootstrap intervals."""
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        values = {name: [v for row in mine if (v := _number(row, name)) is not None] for name in DNA_NUMBERS}
        ends = [f"{mean(values[name]):.3f}" for name in ("mcc_low", "mcc_high")]
        shown = [_short(values[name], 3) for name in ("accuracy", "auroc", "clean_mcc", "network_mcc")]
        spent = f"{mean(values['cpu_seconds']):.0f}" if values["cpu_seconds"] else "–"
        lines.append((run, str(len(mine)), _spread(values["mcc"], 3), " – ".join(ends), *shown, spent))
    return lines


def genome_lines(rows: Rows) -> Lines:
    """A line a run, amount read and kind of windows: bits a base, means over seeds; gain ± its error over windows."""
    lines: Lines = []
    for run, length, windows in dict.fromkeys((row["run"], int(row["length"]), row["windows"]) for row in rows):
        mine = [r for r in rows if (r["run"], int(r["length"]), r["windows"]) == (run, length, windows)]
        bits = [_mean([mine], name, "{:.3f}") for name in ("empty", "carried", "control")]
        gain = f"{_mean([mine], 'gain', '{:.3f}')} ± {_mean([mine], 'gain_error', '{:.3f}')}"
        rest = [_mean([mine], "reverse_gain", "{:.3f}"), _mean([mine], "memory", "{:,.0f}")]
        shown = f"{mine[0]['pieces']} {windows}"
        lines.append((run, f"{length:,}", shown, *bits, gain, *rest, _mean([mine], "cpu_seconds", "{:.0f}")))
    return lines


def language_lines(rows: Rows) -> Lines:
    """A line a run: bits a base as mean ± standard deviation over seeds."""
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        bits = [_number(row, "bits") or 0.0 for row in mine]
        shown = [_mean([mine], "validation", "{:.3f}"), _mean([mine], "epochs", "{:.0f}")]
        rest = [_mean([mine], "parameters", "{:,.0f}"), _mean([mine], "cpu_seconds", "{:.0f}")]
        lines.append((run, str(len(mine)), _spread(bits, 3), *shown, *rest))
    return lines


def segmentation_lines(rows: Rows) -> tuple[tuple[str, ...], Lines]:
    """Header, and a line a run: MCC on each genome, of one seed with its interval, of several ± their spread."""
    genomes = list(dict.fromkeys(row["genome"] for row in rows))
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        scores = [_with_interval([row for row in mine if row["genome"] == genome]) for genome in genomes]
        shown = [_mean([mine], "validation", "{:.3f}"), _mean([mine], "epochs", "{:.0f}")]
        rest = [_mean([mine], "parameters", "{:,.0f}"), _mean([mine], "cpu_seconds", "{:.0f}")]
        lines.append((run, str(len({row["seed"] for row in mine})), *scores, *shown, *rest))
    return ("run", "seeds", *(f"MCC, {genome}" for genome in genomes), *SEGMENTATION_ENDS), lines


def _with_interval(rows: Rows) -> str:
    if len(rows) != 1:
        return _spread([_number(row, "mcc") or 0.0 for row in rows], 3)
    return "{:.3f} ({:.3f} – {:.3f})".format(*(float(rows[0][name]) for name in ("mcc", "mcc_low", "mcc_high")))


def recall_lines(rows: Rows, lengths: Sequence[int]) -> Lines:
    """A line a run: share of questions answered at each length, the mean over seeds; and a line for guessing."""
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        seeds = {row["seed"] for row in mine}
        shares = [
            _spread(_by_seed([[r for r in mine if int(r["length"]) == n]], sorted(seeds), "correct"), 2)
            for n in lengths
        ]
        trained = f"{max(int(row['trained']) for row in mine):,}"
        lines.append((run, str(len(seeds)), trained, *shares, _mean([mine], "cpu_seconds", "{:.0f}")))
    chance = max(_number(row, "chance") or 0.0 for row in rows)
    return [*lines, ("guessing", "", "", *(f"{chance:.2g}" for _ in lengths), "")]


def forecast_lines(rows: Rows) -> Lines:
    """A line a run and horizon, and where a run has several horizons one of their mean, over seeds that have them all.

    "test" is MSE / MAE, or WQL / MASE, as mean ± standard deviation over seeds; "memory off" the same scores of the
    closed-form linear map alone.
    """
    lines: Lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        horizons = sorted({int(row["horizon"]) for row in mine})
        lines += [_line(run, str(h), [[row for row in mine if int(row["horizon"]) == h]]) for h in horizons]
        if len(horizons) > 1:
            groups = _complete([[row for row in mine if int(row["horizon"]) == h] for h in horizons])
            lines += [_line(run, f"mean of {len(horizons)}", groups)] if groups[0] else []
    return lines


def _complete(groups: Sequence[Rows]) -> list[Rows]:
    """The rows of those seeds that every group has: a mean over horizons needs all of them."""
    seeds = set.intersection(*({row["seed"] for row in rows} for rows in groups))
    return [[row for row in rows if row["seed"] in seeds] for rows in groups]


def _line(run: str, horizon: str, groups: Sequence[Rows]) -> tuple[str, ...]:
    """One line over groups of rows, a horizon each; the mean over horizons is taken within a seed."""
    first, second = next(pair for pair in PAIRS if _number(groups[0][0], pair[0]) is not None)
    seeds = sorted({row["seed"] for rows in groups for row in rows})
    test = " / ".join(_spread(_by_seed(groups, seeds, name)) for name in (first, second))
    off = " / ".join(_short(_by_seed(groups, seeds, f"linear_{name}")) for name in (first, second))
    rest = (_mean(groups, "share", "{:.2f}"), _mean(groups, "cpu_seconds", "{:.0f}"))
    return (run, horizon, str(len(seeds)), test, off, *rest)


def _by_seed(groups: Sequence[Rows], seeds: Sequence[Any], name: str) -> list[float]:
    found = []
    for seed in seeds:
        values = [_number(row, name) for rows in groups for row in rows if row["seed"] == seed]
        found += [mean(v for v in values if v is not None)] if any(v is not None for v in values) else []
    return found


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return None if value in (None, "") else float(str(value))


def _spread(values: Sequence[float], digits: int = 4) -> str:
    return f"{mean(values):.{digits}f} ± {pstdev(values):.{digits}f}" if len(values) > 1 else _short(values, digits)


def _short(values: Sequence[float], digits: int = 4) -> str:
    return f"{mean(values):.{digits}f}" if values else "–"


def _mean(groups: Sequence[Rows], name: str, form: str) -> str:
    values = [value for rows in groups for row in rows if (value := _number(row, name)) is not None]
    return form.format(mean(values)) if values else "–"


def newest(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The last row of each recipe, run, horizon (length, windows, series, …) and seed: the newest counts."""
    found: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in rows:
        found[tuple(row.get(name, "") for name in KEYS)] = row
    return list(found.values())


def table(rows: Rows) -> str:
    """Markdown: a section a recipe, with the commits and the machine its rows come from."""
    parts = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == recipe]
        commits = ", ".join(dict.fromkeys(row["commit"] for row in mine if row["commit"]))
        header, found = summary(mine)
        score = "MSE / MAE" if any(_number(row, "mse") is not None for row in mine) else "WQL / MASE"
        head = [f"{score}, test" if name == "test" else name for name in header]
        lines = [" | ".join(head), " | ".join(["---"] * len(head)), *(" | ".join(line) for line in found)]
        parts.append(f"### {recipe}\n\n" + "\n".join(f"| {line} |" for line in lines))
        protocol = f"{mine[-1]['protocol']}.\n" if mine[-1].get("protocol") else ""
        where = f"{mine[-1]['machine']}, {mine[-1]['threads']} thread, torch {mine[-1]['torch']}; commit {commits}"
        parts.append(protocol + where)
    return "\n\n".join(parts)


def write_table(results: Sequence[Path], page: Path) -> None:
    """Put the tables of results' files between the two marks of a page, which is replaced as a whole.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: the page lacks the marks.
    """
    for file in (*results, page):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there: run this in the root of the repository, or name the files")
    text = page.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must have the lines {START!r} and {END!r} once each, between which the table goes")
    rows: list[Mapping[str, str]] = []
    for file in results:
        with file.open(encoding="utf-8") as stream:
            rows += newest(csv.DictReader(stream))
    before, after = text.split(START)[0], text.split(END)[1]
    with in_place_of(page) as beside:
        beside.write_text(f"{before}{START}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")
