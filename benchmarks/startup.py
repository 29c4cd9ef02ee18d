#!/usr/bin/env python
"""CPU seconds of whole commands beside those of importing torch and pandas alone, in the same run.

    python benchmarks/startup.py --runs 3 --dna-model DIR --language-model DIR

`forecast` reads 100 rows, the commands of DNA one sequence of 60 bases; these need models.
Commands are run in turn; the fastest run of each counts.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

BASE = "import torch, pandas"
SEQUENCE = "TTAGCCCCCTTGACTCAGGGATTATCATTAGTTCTTAAACAACGGCTGGTTAATCACCCC"


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each command")
    parser.add_argument("--dna-model", type=Path, help="folder of a trained classifier")
    parser.add_argument("--language-model", type=Path, help="folder of a language model of DNA")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = {BASE: ["-c", BASE], **titans_commands(chosen, Path(folder))}
        fastest = dict.fromkeys(commands, math.inf)
        for _ in range(chosen.runs):
            for name, command in commands.items():
                fastest[name] = min(fastest[name], cpu_seconds(name, command))
    print("\n".join(lines(fastest)))


def titans_commands(chosen: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """What is run, by its name in the table; the inputs are written into the folder."""
    table, fasta = folder / "series.csv", folder / "one.fa"
    noise = random.Random(0)
    values = (10 + math.sin(i * math.tau / 7) + noise.gauss(0, 0.3) for i in range(100))
    # Without noise the linear part would be best, and gradient steps would follow.
    rows = (f"{date(2024, 1, 1) + timedelta(days=i)},{value}" for i, value in enumerate(values))
    table.write_text("timestamp,target\n" + "\n".join(rows) + "\n", encoding="utf-8")
    fasta.write_text(f">a\n{SEQUENCE}\n", encoding="utf-8")
    forecast = ["forecast", str(table), "--horizon", "5", "--output", str(folder / "forecast.csv")]
    found = {
        "--help": ["--help"],
        "forecast, a wrong column": [*forecast, "--target", "other"],
        "forecast": forecast,
        "forecast --max-steps 0 --backtest-windows 0": [*forecast, "--max-steps", "0", "--backtest-windows", "0"],
        "forecast --pretrained": [*forecast, "--pretrained"],
    }
    model, language = chosen.dna_model, chosen.language_model
    if model is not None:
        found["classify --model"] = ["classify", str(fasta), "--model", str(model), "--output", str(folder / "p.csv")]
        found["dna effects"] = ["dna", "effects", str(fasta), "--model", str(model), "--output", str(folder / "e.csv")]
    if language is not None:
        found["dna score"] = ["dna", "score", str(fasta), "--model", str(language)]
    return {name: ["-m", "titans_cli.main", *command] for name, command in found.items()}


def cpu_seconds(name: str, arguments: Sequence[str]) -> float:
    """User and system seconds of the interpreter with these arguments, on one thread.

    Raises:
        RuntimeError: the command failed, and is not the one that has to.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if (done.returncode != 0) != ("wrong" in name):
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def lines(fastest: Mapping[str, float]) -> list[str]:
    """The table: command, CPU seconds, ratio to the base."""
    rows = [f"{name:45}{seconds:9.2f}{seconds / fastest[BASE]:9.2f}" for name, seconds in fastest.items()]
    return [f"{'command':45}{'CPU s':>9}{'ratio':>9}", *rows]


if __name__ == "__main__":
    main()
