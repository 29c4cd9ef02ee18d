"""Tables of results in the pages and in the README, made from the files of results: no number is typed.

A line `<!-- table: gift_eval -->` of a page becomes that recipe's table, `<!-- table: peers -->` and
`<!-- table: dna -->` the short ones of the README.
`python docs/site/results.py` writes the latter into the README.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from titans_datasets.writing import in_place_of
from titans_recipes.page import published_results, read_results, sections
from titans_recipes.suite.rows import others, summary
from titans_recipes.tables import average, by_run, mean_of, numbers

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)
SUITES = {"gift_eval": "GIFT-Eval", "chronos_ii": "Chronos Benchmark II"}
FORECASTERS = {
    "titans, no gradient step": "**titans**, nothing trained by gradients",
    "titans zero": "**titans zero**, no training at all",
    "Fracast": "Fracast",
    "FLAIR": "FLAIR",
    "chronos-2": "Chronos-2 (120 M parameters), published",
    "chronos_bolt_small": "Chronos-Bolt small (48 M), published",
    "tirex": "TiRex (35 M), published",
    "TTM-R3-PT": "TTM-R3, published",
    "PatchTST": "PatchTST, trained per task, published",
    "auto_ets": "AutoETS, published",
    "auto_arima": "AutoARIMA, published",
    "seasonal naive": "seasonal naive",
}
# Sets of DNA with their numbers of test sequences, and the columns of their table: run and score.
DNA_SETS = (
    "mouse_0",
    "mouse_2",
    "mouse_3",
    "tf_0",
    "tf_1",
    "tf_3",
    "tf_4",
    "prom_core_tata",
    "prom_300_tata",
    "uci_splice",
)
DNA_SCORES = {
    "**titans**": ("titans", "mcc"),
    "linear part alone": ("titans", "linear_mcc"),
    "networks alone": ("titans", "network_mcc"),
    "small CNN": ("small CNN", "mcc"),
    "k-mers with gaps": ("k-mers with gaps", "mcc"),
}


@cache
def rows_of(recipe: str) -> list[Mapping[str, Any]]:
    """The newest rows of a recipe.

    Raises:
        KeyError: no file of results has it.
    """
    found = [row for row in all_rows() if row["recipe"] == recipe]
    if not found:
        raise KeyError(f"no file of results in recipes/ has rows of {recipe!r}")
    return found


@cache
def all_rows() -> list[Mapping[str, Any]]:
    return [row for file in published_results(ROOT / "recipes") for row in read_results(file)]


def peers_table() -> str:
    """Relative MASE / WQL and CPU seconds of the forecasters above, where they have all tasks of a suite."""
    scores = {suite: _suite_scores(suite) for suite in SUITES}
    tasks = {suite: len({row["set"] for row in rows_of(suite)}) for suite in SUITES}
    header = " | ".join(f"{title}, {tasks[suite]} tasks | CPU s" for suite, title in SUITES.items())
    lines = [f"| MASE / WQL | {header} |", "|---|" + "---:|---:|" * len(SUITES)]
    for name, title in FORECASTERS.items():
        cells = [scores[suite].get(name, "– | –") for suite in SUITES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dna_table() -> str:
    """MCC on the test parts of the sets above, and CPU seconds of one training."""
    lines = ["| MCC | " + " | ".join(DNA_SCORES) + " | CPU s |", "|---|" + "---:|" * (len(DNA_SCORES) + 1)]
    for name in DNA_SETS:
        runs = by_run(rows_of(name))
        cells = [average(numbers(runs.get(run, []), score), 3) for run, score in DNA_SCORES.values()]
        tested = numbers(runs["titans"], "test_rows")
        lines.append(
            f"| {name} ({tested[0]:.0f}) | {' | '.join(cells)} | {mean_of(runs['titans'], 'cpu_seconds', '{:.0f}')} |"
        )
    return "\n".join(lines)


def _suite_scores(suite: str) -> dict[str, str]:
    """Two cells a forecaster: both scores, and the time where it was run here."""
    rows = rows_of(suite)
    tasks = {row["set"]: (float(row["naive_mase"]), float(row["naive_wql"])) for row in rows}
    cells = {}
    for name, (means, count) in others(rows, tasks).items():
        if count == len(tasks):
            cells[name] = f"{means[0]:.3f} / {means[1]:.3f} | –"
    for run, mine in by_run(rows).items():
        found = summary(mine)
        if found.tasks == len(tasks):
            cells[run] = f"{found.mase:.3f} / {found.wql:.3f} | {found.cpu_seconds:,.0f}"
    return cells


SHORT = {"peers": peers_table, "dna": dna_table}


def with_tables(markdown: str) -> str:
    """A page with its marks replaced by tables."""

    def table(found: re.Match[str]) -> str:
        if found[1] in SHORT:
            return SHORT[found[1]]()
        # Without its heading; a star behind a commit (with changes) is no emphasis.
        return sections(rows_of(found[1])).split("\n", 1)[1].strip().replace("*", "\\*")

    return MARK.sub(table, markdown)


def readme_with_tables(text: str) -> str:
    """The README with the tables between their marks."""
    for name, table in SHORT.items():
        start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
        before, after = text.split(start)[0], text.split(end)[1]
        text = f"{before}{start}\n{table()}\n{end}{after}"
    return text


def on_page_markdown(markdown: str, **_: object) -> str:
    return with_tables(markdown)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    with in_place_of(readme) as beside:
        beside.write_text(readme_with_tables(readme.read_text(encoding="utf-8")), encoding="utf-8")
