"""Signals at random moments of every command that writes, and of the start of a program."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

from benchmarks.torture.case import Case, Prepare

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EACH = 1
STARTS = 8
# Commands, and what they write.
WRITERS: dict[str, tuple[str, ...]] = {
    "forecast good.csv --horizon 5 --max-steps 5 --output o.csv --plot o.png --report o.html --model new": (
        "o.csv",
        "o.png",
        "o.html",
        "new",
    ),
    "forecast parts --horizon 5 --model model --output fc": ("fc",),
    "detect good.csv --false-alarm-rate 0.2 --output o.csv --plot o.png --report o.html": ("o.csv", "o.png", "o.html"),
    "classify dna.csv --test dna_test.csv --max-epochs 1 --model new --output o.csv --json o.json --plot o.png": (
        "new",
        "o.csv",
        "o.json",
        "o.png",
    ),
    "classify --model classifier dna.csv --output o.csv": ("o.csv",),
    "regress dna.csv --test dna_test.csv --max-epochs 1 --model new --output o.csv --json o.json": (
        "new",
        "o.csv",
        "o.json",
    ),
    "dna pretrain genome.fa --context 128 --max-epochs 1 --model new": ("new",),
    "dna score --model language genome.fa --output o.csv": ("o.csv",),
    "dna embed --model language dna.csv --output o.parquet": ("o.parquet",),
    "dna embed --model language dna.csv --output o.npz": ("o.npz",),
    "dna effects --model classifier --vcf good.vcf --fasta genome.fa --window 60 --output o.vcf": ("o.vcf",),
    "dna effects --model classifier one.fa --output o.csv --plot o.png --logo l.png": ("o.csv", "o.png", "l.png"),
    "leakage dna.csv dna_test.csv --json o.json": ("o.json",),
    "fit -c fit.yaml --trainer.default_root_dir fresh": ("fresh",),
    "fit -c fit.yaml --ckpt_path last --trainer.max_epochs 4": ("run",),
    "predict -c fit.yaml --output o.csv": ("o.csv",),
    "recall recall.yaml --output o.csv --plot o.png": ("o.csv", "o.png"),
    "recipes run recall.yaml --output o.csv": ("o.csv",),
}
# Of these an old file is there, which a new one replaces.
OLD = {"o.csv": "a,b\n1,2\n", "o.json": "{}\n", "o.html": "<html></html>\n", "o.vcf": "#\n"}


def cases() -> Iterator[Case]:
    """Every case."""
    numbers = random.Random(1)
    for command, writes in WRITERS.items():
        for sent in SIGNALS:
            for _ in range(EACH):
                name = f"{sent.name}: {command.split(' --')[0]}"
                moment = numbers.uniform(0, 1.1)
                yield Case("kills", name, command, (0, 128 + sent), _old(command), writes, sent, moment)
    command = "forecast good.csv --horizon 5 --model model --output o.csv"
    for place in range(STARTS):
        sent = SIGNALS[1 + place % 3]
        moment = 0.04 + 0.1 * numbers.random() if place < STARTS // 2 else numbers.uniform(0.1, 4)
        name = f"{sent.name} after {moment:.2f} s of a program's start"
        statuses = (0, 128 + sent)
        yield Case("starts", name, command, statuses, writes=("o.csv",), signal=sent, moment=moment, real=True)


def _old(command: str) -> Prepare:
    """Makes the files that are replaced; commands that append to a table have none."""
    appends = command.startswith("rec")

    def write(folder: Path) -> None:
        for name, content in OLD.items():
            if name in command and not appends:
                (folder / name).write_text(content, encoding="utf-8")

    return write
