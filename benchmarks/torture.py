"""Torture: bad inputs, outputs in the way, kills at random moments, tampered files; nothing may be lost or lied about.

Each case is a command line in a process of its own, with 30 CPU s and 1.5 GB. A case is *answered* when its status is
the right one, standard error has at most three lines beside notes, and no traceback; *lost* when a file that was there
before has changed.

    python -m benchmarks.torture --only outputs,tables --csv torture.csv
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# CPU seconds; a busy machine may take ten times as long by the clock.
SECONDS, BYTES = 30, 1_500_000_000
FORECAST = "forecast {file} --horizon 5 --max-steps 0 --backtest-windows 0"
QUICK = "forecast good.csv --horizon 5 --model model"


class Case(NamedTuple):
    """A command and what it must do.

    Attributes:
        group: of cases.
        name: what is wrong.
        command: arguments of titans-ts.
        statuses: those that tell the truth.
        prepare: makes the files of the case in its folder.
        signal: sent after `after` seconds; None sends none.
        after: seconds.
    """

    group: str
    name: str
    command: str
    statuses: tuple[int, ...] = (1,)
    prepare: Callable[[Path], object] = lambda folder: None
    signal: int | None = None
    after: float = 0.0


class Outcome(NamedTuple):
    """What a case did: its status, seconds, standard error, and files that were lost or half written."""

    case: Case
    status: int
    seconds: float
    error: str
    lost: tuple[str, ...]

    @property
    def answered(self) -> bool:
        """Whether status and message are right."""
        lines = [line for line in self.error.splitlines() if not line.startswith(("titans-ts: note", "usage:", "  "))]
        lines = [line for line in lines if not line.endswith("loading packages")]
        return self.status in self.case.statuses and len(lines) <= 3 and "Traceback" not in self.error


def series(rows: int = 60, **columns: object) -> str:
    """A table of two series as csv."""
    lines = ["item_id,timestamp,target" + "".join(f",{name}" for name in columns)]
    for item in "ab":
        for step in range(rows):
            more = "".join(f",{value}" for value in columns.values())
            lines.append(f"{item},2024-01-{1 + step // 24:02d} {step % 24:02d}:00:00,{step % 12 + 0.5}{more}")
    return "\n".join(lines) + "\n"


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Writes a file into the case's folder."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


GOOD = series()
# What is wrong → the file, under the suffix of its name.
TABLES: dict[str, tuple[str, str | bytes]] = {
    "empty": ("t.csv", ""),
    "header only": ("t.csv", "item_id,timestamp,target\n"),
    "zeros": ("t.csv", b"\0" * 4096),
    "random bytes": ("t.csv", random.Random(0).randbytes(4096)),
    "truncated gzip": ("t.csv.gz", gzip.compress(GOOD.encode())[:150]),
    "no gzip": ("t.csv.gz", GOOD),
    "damaged gzip": ("t.csv.gz", gzip.compress(GOOD.encode())[:60] + b"\xff" * 80),
    "no parquet": ("t.parquet", GOOD),
    "truncated parquet": ("t.parquet", b"PAR1" + b"\0" * 20),
    "no feather": ("t.feather", GOOD),
    "no excel": ("t.xlsx", GOOD),
    "broken json": ("t.jsonl", '{"a": 1\n'),
    "deep json": ("t.jsonl", "[" * 100_000 + "\n"),
    "no json table": ("t.jsonl", "1\n2\n"),
    "no tsf": ("t.tsf", GOOD),
    "unknown suffix": ("t.xyz", GOOD),
    "dna": ("t.csv", "sequence,label\nACGT,0\n"),
    "two targets": (
        "t.csv",
        GOOD.replace("target", "target,target").replace("\n", ",1\n").replace("target,1", "target"),
    ),
    "two timestamps": ("t.csv", GOOD.replace("item_id,timestamp", "timestamp,timestamp", 1)),
    "text targets": ("t.csv", GOOD.replace("0.5", "many")),
    "infinite targets": ("t.csv", GOOD.replace("0.5", "inf")),
    "no dates": ("t.csv", GOOD.replace("2024-01-0", "day ")),
    "date out of range": ("t.csv", GOOD.replace("2024-01-02 05", "20240-01-02 05")),
    "far date": ("t.csv", GOOD.replace("2024-01-03 11", "2250-01-03 11")),
    "far past": ("t.csv", GOOD.replace("2024-01-01 00", "1690-01-01 00")),
    "double rows": ("t.csv", GOOD + "\n".join(GOOD.splitlines()[-3:]) + "\n"),
    "rows too long": ("t.csv", GOOD.replace("\nb,", "\nb,x,x,")),
    "no id": ("t.csv", GOOD.replace("\nb,", "\n,")),
    "all missing": ("t.csv", "item_id,timestamp,target\n" + "".join(f"a,2024-01-{d:02d},\n" for d in range(1, 29))),
    "open quote": ("t.csv", GOOD.replace("\na,", '\n"a,', 1)),
    "long line": ("t.csv", "item_id,timestamp,target\na," + "x" * 3_000_000 + ",1\n"),
    "utf-16 without end": ("t.csv", GOOD.encode("utf-16")[:-1]),
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "tab": "task: recall\n\truns: 1\n",
    "open bracket": "runs: [1, 2",
    "alias bomb": BOMB,
    "alias of itself": "runs: &a [*a]",
    "python object": "runs: !!python/object/apply:os.system ['true']",
    "list": "- 1\n- 2\n",
    "number": "3",
    "empty": "",
    "binary": b"\x00\xff\xfe",
    "deep": "[" * 3000,
    "unknown task": "task: no\nruns: {a: {}}\nseeds: [0]\n",
    "wrong kinds": "task: 3\nruns: 4\nseeds: 5\n",
}
OUTPUTS = (
    "--output good.csv",
    "--output ./good.csv",
    "--output link.csv",
    "--output hard.csv",
    "--output sub/../good.csv",
    "--plot good.csv",
    "--output o.csv --plot o.csv",
    "--output o.csv --model o.csv",
    "--output new/o.csv --model new",
    "--output sub",
    "--output /dev/null",
    "--output /dev/stdout",
    "--output good.csv/o.csv",
    "--output /proc/o.csv",
    "--output o.xlsx",
    "--plot o.csv",
    "--future future.csv --output future.csv",
    "--model good.csv",
    "--model sub",
    "--id mean --output o.csv",
    "--timestamp 0.5 --output o.csv",
    "--id forecast_by --output o.csv",
)
COUNTS = (
    "--horizon 1000000000",
    "--horizon 999999",
    "--backtest-windows 1000000000",
    "--context 1000000000",
    "--option layers=1000000",
    "--option width=1000000",
    "--option width=100000",
    "--option persistent_tokens=1000000000",
    "--option memory={depth: 1000000}",
    "--option harmonics=1000000000",
    "--option patch_length=1000000000",
    "--quantiles " + ",".join(f"{place / 5000:g}" for place in range(1, 5000)),
)


def cases(model: Path) -> Iterator[Case]:
    """Every case; `model` is a trained model folder to be copied and tampered with."""
    for name, (file, content) in TABLES.items():
        yield Case("tables", name, FORECAST.format(file=file), (1,), text(file, content))
        yield Case("future", name, f"{QUICK} --future {file}", (0, 1), text(file, content))
    for name, content in YAML.items():
        yield Case("yaml", f"recipes run: {name}", "recipes run q.yaml", (1,), text("q.yaml", content))
        yield Case("yaml", f"fit: {name}", "fit -c q.yaml", (1, 2), text("q.yaml", content))
    for given in OUTPUTS:
        yield Case("outputs", given, f"{FORECAST.format(file='good.csv')} {given}", (1,), _rename(given))
    for given in COUNTS:
        yield Case("counts", given[:40], f"{FORECAST.format(file='good.csv')} {given}", (0, 1, 2))
    for name, tamper in tampered(model):
        yield Case("models", name, QUICK, (1,), tamper)
    numbers = random.Random(1)
    for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        for _ in range(5):
            after = numbers.uniform(0.3, 12)
            yield Case(
                "signals",
                f"{sent.name} after {after:.1f} s",
                f"{QUICK}2 --output o.csv --max-steps 200",
                (0, 128 + sent, -sent),
                signal=sent,
                after=after,
            )


def _rename(given: str) -> Callable[[Path], object]:
    """Gives the table's columns the names that a case asks for."""
    words = given.split()
    old = {"--id": "item_id", "--timestamp": "timestamp"}.get(words[0])
    return lambda folder: None if old is None else text("good.csv", GOOD.replace(old, words[1], 1))(folder)


def tampered(model: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Ways to damage a model folder."""
    config = (model / "config.json").read_text(encoding="utf-8")
    weights = (model / "model.safetensors").read_bytes()
    for name, content in {
        "config: empty": "",
        "config: deep": "[" * 200_000,
        "config: list": "[]",
        "config: other horizon": config.replace('"prediction_length": 5', '"prediction_length": 6'),
        "config: newer version": config.replace('"version": 3', '"version": 4'),
        "config: many layers": config.replace('"layers": 2', '"layers": 200000'),
        "config: truncated": config[: len(config) // 2],
    }.items():
        yield name, text("model/config.json", content)
    for name, data in {
        "weights: empty": b"",
        "weights: truncated": weights[:-10],
        "weights: flipped": weights[:-10] + bytes([weights[-10] ^ 1]) + weights[-9:],
        "weights: zeros": b"\0" * len(weights),
        "weights: long header": b"\xff" * 8 + weights[8:],
    }.items():
        yield name, text("model/model.safetensors", data)
    yield "no weights", lambda folder: (folder / "model/model.safetensors").unlink()
    yield "no config", lambda folder: (folder / "model/config.json").unlink()


def run(case: Case, model: Path) -> Outcome:
    """Run a case in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    (folder / "good.csv").write_text(GOOD, encoding="utf-8")
    (folder / "future.csv").write_text(series(3), encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub/kept").touch()
    os.symlink(folder / "good.csv", folder / "link.csv")
    os.link(folder / "good.csv", folder / "hard.csv")
    shutil.copytree(model, folder / "model")
    case.prepare(folder)
    before = _sums(folder)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "titans_cli.main", *_words(case.command)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=_limits,
        start_new_session=True,
    )
    try:
        if case.signal is not None:
            time.sleep(case.after)
            process.send_signal(case.signal)
        error = process.communicate(timeout=10 * SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        error = process.communicate()[1] + b"\nTraceback: too long"
    seconds = time.monotonic() - started
    after = _sums(folder)
    lost = [name for name, digest in before.items() if after.get(name) != digest]
    if case.signal != signal.SIGKILL:
        lost += [name for name in after if Path(name).name.startswith(".") and len(Path(name).name) > 33]
    shutil.rmtree(folder)
    return Outcome(case, process.returncode, seconds, error.decode(errors="replace"), tuple(lost))


def _words(command: str) -> list[str]:
    """Arguments, with those in braces kept together."""
    found: list[str] = []
    for word in command.split():
        if found and found[-1].count("{") > found[-1].count("}"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _limits() -> None:
    # Address space counts code and files too: torch alone maps some GB, so that the heap is limited.
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _sums(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Run the cases, print counts tried / answered / lost by group, and write a row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="groups, separated by commas")
    parser.add_argument("--csv", help="file to write")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    folder = Path(tempfile.mkdtemp(prefix="torture-model-"))
    (folder / "good.csv").write_text(GOOD, encoding="utf-8")
    command = FORECAST.format(file="good.csv") + " --quiet --model model"
    subprocess.run([sys.executable, "-m", "titans_cli.main", *command.split()], cwd=folder, check=True)
    outcomes = []
    for case in cases(folder / "model"):
        if only and case.group not in only:
            continue
        outcome = run(case, folder / "model")
        outcomes.append(outcome)
        if not outcome.answered or outcome.lost:
            last = outcome.error.strip().splitlines()[-1:] or [""]
            print(
                f"  {case.group}: {case.name}: status {outcome.status}, lost {outcome.lost}, {last[0][:200]}",
                flush=True,
            )
    for group in dict.fromkeys(one.case.group for one in outcomes):
        mine = [one for one in outcomes if one.case.group == group]
        print(
            f"{group:10} tried {len(mine):4}  answered {sum(one.answered for one in mine):4}  "
            f"lost {sum(bool(one.lost) for one in mine):3}  longest {max(one.seconds for one in mine):.1f} s"
        )
    if given.csv:
        Path(given.csv).parent.mkdir(parents=True, exist_ok=True)
        with open(given.csv, "w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["group", "case", "status", "answered", "lost", "message"])
            for one in outcomes:
                message = " ".join(one.error.split())[-300:]
                writer.writerow([one.case.group, one.case.name, one.status, one.answered, len(one.lost), message])
    shutil.rmtree(folder)
    sys.exit(not all(one.answered and not one.lost for one in outcomes))


if __name__ == "__main__":
    main()
