"""Torture: bad inputs, outputs in the way, kills at random moments, tampered files; nothing may be lost or lied about.

Each case is a command line in a process and a folder of its own, with 30 CPU s and 1.5 GB; most processes are copies of
one that has loaded everything. See `benchmarks.torture.case` for what is counted.

    python -m benchmarks.torture --only outputs,tables --csv torture.csv
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from benchmarks.torture import genomes, kills, models, options, recipes, series, streams, threads, workers
from benchmarks.torture.case import Case, Outcome
from benchmarks.torture.files import furnish
from benchmarks.torture.process import load_all, run

# Models that cases load.
MODELS = (
    "forecast good.csv --horizon 5 --max-steps 0 --backtest-windows 0 --model model",
    "classify dna.csv --train-only --max-epochs 1 --model classifier",
    "regress dna.csv --test dna_test.csv --max-epochs 1 --model regressor",
    "dna pretrain genome.fa --context 128 --max-epochs 1 --model language",
    "fit -c fit.yaml",
    f"forecast parts --horizon 5 --model model --output {workers.ALONE}",
)
COLUMNS = ("tried", "answered", "lost", "tracebacks", "unbounded", "lying statuses")
MARK = "<!-- torture -->"
# Cases after which the csv file is written anew: a long run that is ended keeps what it has.
EACH = 10
Row = dict[str, str]


def cases(template: Path) -> Iterator[Case]:
    """Every case; `template` is the folder that they start from."""
    for module in (series, genomes, recipes, options):
        yield from module.cases()
    yield from models.cases(template)
    for module in (kills, streams, workers, threads):
        yield from module.cases()


def prepared(template: Path) -> None:
    """The folder that all cases start from.

    Raises:
        RuntimeError: a model cannot be trained.
    """
    furnish(template)
    workers.furnish(template)
    for command in MODELS:
        written = command.split()[-1] if "--" in command else "run"
        outcome = run(Case("", command, command, (0,), writes=(written,)), template, kept=(written,))
        if not outcome.answered:
            raise RuntimeError(f"{command}: status {outcome.status}, {outcome.lost}: {outcome.error}")


def row_of(one: Outcome) -> Row:
    """A case as a row of the csv file."""
    kinds = (one.answered, bool(one.lost), one.traceback, one.unbounded, one.lies)
    return {
        "group": one.case.group,
        "case": one.case.name,
        "status": str(one.status),
        "seconds": f"{one.seconds:.2f}",
        "megabytes": str(one.memory // 10**6),
        **{name: str(int(kind)) for name, kind in zip(COLUMNS[1:], kinds, strict=True)},
        "message": " ".join([*one.lost, *one.error.split()])[-400:],
    }


def told(rows: Sequence[Row]) -> list[str]:
    """A table of counts by group, in Markdown."""
    lines = [f"| Group | {' | '.join(COLUMNS)} | longest | largest |", "|---|" + "---:|" * (len(COLUMNS) + 2)]
    for group in [*dict.fromkeys(row["group"] for row in rows), ""]:
        mine = [row for row in rows if group in ("", row["group"])]
        kinds = [sum(int(row[name]) for row in mine) for name in COLUMNS[1:]]
        longest, largest = max(float(row["seconds"]) for row in mine), max(int(row["megabytes"]) for row in mine)
        cells = [group or "all", *map(str, [len(mine), *kinds]), f"{longest:.1f} s", f"{largest:,} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def stored(file: Path, rows: Sequence[Row]) -> list[Row]:
    """Write rows into a csv file, where those of groups that did not run stay; all of its rows."""
    run = {row["group"] for row in rows}
    kept: list[Row] = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as handle:
            kept = [row for row in csv.DictReader(handle) if row["group"] not in run]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])
    return [*kept, *rows]


def write_page(page: Path, table: Sequence[str]) -> None:
    """Put the table between the two marks of a page."""
    content = page.read_text(encoding="utf-8")
    fresh = "\n".join([MARK, *table, MARK])
    page.write_text(re.sub(f"{MARK}.*{MARK}", lambda _: fresh, content, flags=re.DOTALL), encoding="utf-8")


def _run(case: Case, template: Path) -> Outcome:
    """Run a case, and print what is not right."""
    usual = 1.0
    if case.signal is not None and not case.real:
        usual = _usual(case.command, template)
    outcome = run(case, template, usual)
    if not outcome.answered:
        taken = f"{outcome.seconds:.1f} s, {outcome.memory // 10**6} MB, {outcome.lost[:3]}"
        said = " ".join(outcome.lines[-2:])[-300:]
        print(f"  {case.group}: {case.name}: status {outcome.status}, {taken}, {said}", flush=True)
    return outcome


@cache
def _usual(command: str, template: Path) -> float:
    """Seconds that a command takes when nothing comes between."""
    started = time.monotonic()
    run(Case("", command, command), template)
    return time.monotonic() - started


def main() -> None:
    """Run the cases, print counts by group, and write a row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="groups, separated by commas")
    parser.add_argument("--match", default="", help="only cases whose name matches this regular expression")
    parser.add_argument("--csv", help="file to write, a row a case; rows of other groups stay")
    parser.add_argument("--page", help="page whose table is replaced by that of all rows")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    load_all()
    template = Path(tempfile.mkdtemp(prefix="torture-template-"))
    prepared(template)
    rows: list[Row] = []
    # What has run by then is told after Ctrl-C too.
    with suppress(KeyboardInterrupt):
        for case in cases(template):
            if (not only or case.group in only) and re.search(given.match, case.name):
                rows.append(row_of(_run(case, template)))
                if given.csv and len(rows) % EACH == 0:
                    stored(Path(given.csv), rows)
    shutil.rmtree(template)
    all_right = all(row["answered"] == "1" for row in rows)
    if given.csv:
        rows = stored(Path(given.csv), rows)
    table = told(rows)
    print("\n".join(table))
    if given.page:
        write_page(Path(given.page), table)
    sys.exit(not all_right)


if __name__ == "__main__":
    main()
