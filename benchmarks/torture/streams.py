"""Standard streams that are closed, full or know only ASCII, and disks that are full."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.torture.case import Case
from benchmarks.torture.process import can_mount

OUTPUT = "forecast good.csv --horizon 5 --model model --output o.csv"
COMMANDS = {
    OUTPUT: ("o.csv",),
    "leakage dna.csv dna_test.csv --json o.json": ("o.json",),
}
# The status of a pipe whose reader is gone is that of SIGPIPE.
REDIRECTED = {
    ">&-": (0,),
    "2>&-": (0,),
    ">&- 2>&-": (0,),
    "<&- >&-": (0,),
    "| head -0": (0, 141),
    "| true": (0, 141),
    ">/dev/full": (1,),
    "2>/dev/full": (0,),
}
# To standard output alone.
SHOWN = ("forecast good.csv --horizon 5 --model model", "dna score --model language genome.fa", "recipes list")
SHOWN += ("doctor",)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# What is written, and the bytes after which the disk is full.
FULL = {
    f"{OUTPUT}": ("o.csv",),
    "forecast good.csv --horizon 5 --max-steps 0 --backtest-windows 0 --model new": ("new",),
    "forecast good.csv --horizon 5 --model model --output o.csv --plot o.png": ("o.csv", "o.png"),
    "forecast good.csv --horizon 5 --model model --report o.html": ("o.html",),
    "forecast parts --horizon 5 --model model --output fc": ("fc",),
    "detect good.csv --false-alarm-rate 0.2 --output o.csv": ("o.csv",),
    "detect good.csv --false-alarm-rate 0.2 --plot o.png": ("o.png",),
    "classify dna.csv --train-only --max-epochs 0 --model new": ("new",),
    "regress dna.csv --test dna_test.csv --max-epochs 0 --json o.json": ("o.json",),
    "dna pretrain genome.fa --context 128 --max-epochs 0 --model new": ("new",),
    "dna score --model language dna.csv --output o.csv": ("o.csv",),
    "dna embed --model language dna.csv --output o.parquet": ("o.parquet",),
    "dna embed --model language dna.csv --output o.npz": ("o.npz",),
    "dna effects --model classifier --vcf good.vcf --fasta genome.fa --window 60 --output o.vcf": ("o.vcf",),
    "leakage dna.csv dna_test.csv --json o.json": ("o.json",),
    "fit -c fit.yaml --trainer.default_root_dir fresh": ("fresh",),
    "predict -c fit.yaml --output o.csv": ("o.csv",),
    "recipes run recall.yaml --output o.csv": ("o.csv",),
}
BYTES = (0, 100)


def cases() -> Iterator[Case]:
    """Every case."""
    for command, writes in COMMANDS.items():
        for shell, statuses in REDIRECTED.items():
            name = f"{command.split()[0]} {shell}"
            yield Case("streams", name, command, statuses, writes=writes, real=True, shell=shell)
    for command in SHOWN:
        yield Case("streams", f"{command} | head -0", command, (141,), real=True, shell="| head -0")
        yield Case("streams", f"{command} > /dev/full", command, (1,), real=True, shell=">/dev/full")
    for command, writes in COMMANDS.items():
        name = f"{command.split()[0]} in ASCII"
        yield Case("streams", name, command, (0,), writes=writes, real=True, shell="| cat", environment=ASCII)
    for command, writes in FULL.items():
        for largest in BYTES:
            name = f"{command.split(' --')[0]} {writes[-1]} after {largest} bytes"
            yield Case("full disk", name, command, (1,), writes=writes, largest=largest)
        if can_mount():
            command = re.sub(r"\b(o\.\w+|new|fc|fresh)\b", r"disk/\1", command)
            yield Case("full disk", f"a full {command}", command, (1,), disk=True)
