"""Bad tables of series: to forecast, to detect in, as the future of covariates; and tables damaged at random."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator

from benchmarks.torture.case import Case, text
from benchmarks.torture.files import GOOD

FORECAST = "forecast {file} --horizon 5 --max-steps 0 --backtest-windows 0"
QUICK = "forecast good.csv --horizon 5 --model model"
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
# Cells that are put into a good table.
CELLS = ("", "nan", "inf", "-inf", "1e400", "1e308", "-1e308", "5e-324", "x", "\0", '"', "'", "é", "2024-02-30", "0x10")
CELLS += ("1_000", "1,5", "9" * 400, "NaT", "2024-01-01", "1e5", "True", "[1]", "=1+1", " ", "\t", "12:00", "-1", "１")
FUZZED = 60


def cases() -> Iterator[Case]:
    """Every case."""
    for name, (file, content) in TABLES.items():
        yield Case("tables", name, FORECAST.format(file=file), (1,), text(file, content))
        watch = f"detect {file} --false-alarm-rate 0.2 --output o.csv"
        yield Case("tables", f"detect: {name}", watch, (1,), text(file, content), ("o.csv",))
        later = f"{QUICK} --future {file} --output o.csv"
        yield Case("tables", f"future: {name}", later, (0, 1), text(file, content), ("o.csv",))
    for seed in range(FUZZED):
        content = fuzzed(GOOD, random.Random(seed))
        command = f"{FORECAST.format(file='t.csv')} --output o.csv"
        yield Case("fuzzed", f"table {seed}", command, (0, 1), text("t.csv", content), ("o.csv",))


def fuzzed(content: str, numbers: random.Random, cells: tuple[str, ...] = CELLS, between: str = ",") -> bytes:
    """A text with one to four damages: cells, lines, bytes, or its end."""
    lines = content.splitlines()
    for _ in range(numbers.randint(1, 4)):
        place, kind = numbers.randrange(len(lines)), numbers.randrange(6)
        row = lines[place].split(between)
        if kind <= 1:
            row[numbers.randrange(len(row))] = numbers.choice(cells)
            lines[place] = between.join(row)
        elif kind == 2:
            lines.insert(numbers.randrange(len(lines)), lines[place])
        elif kind == 3:
            numbers.shuffle(row)
            lines[place] = between.join(row)
        elif kind == 4:
            lines[place] = lines[place][: numbers.randrange(len(lines[place]) + 1)]
        else:
            del lines[place : place + numbers.randint(1, len(lines) // 2)]
            lines = lines or [""]
    data = bytearray(("\n".join(lines) + "\n").encode())
    if numbers.random() < 0.3:
        data[numbers.randrange(len(data))] = numbers.randrange(256)
    return bytes(data if numbers.random() < 0.9 else data[: numbers.randrange(len(data))])
