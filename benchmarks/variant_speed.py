#!/usr/bin/env python
"""CPU seconds of `titans-ts dna effects` for a few and for many substitutions, start-up and loading included.

    python benchmarks/variant_speed.py
    python benchmarks/variant_speed.py --variants 4,10000 --window 300

A classifier with default options, trained briefly on random sequences, scores random substitutions
of a random chromosome of a million bases; one thread.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_ts import DNAClassifier

BASES = 1_000_000


def write_variants(path: Path, letters: str, count: int, window: int) -> None:
    """A VCF of substitutions whose windows lie within the chromosome."""
    random = np.random.default_rng(0)
    lines = ["##fileformat=VCFv4.2", "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"])]
    for place in np.sort(random.choice(np.arange(window, BASES - window), count, replace=False)).tolist():
        other = random.choice([base for base in "ACGT" if base != letters[place]])
        lines.append(f"one\t{place + 1}\t.\t{letters[place]}\t{other}\t.\t.\t.")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Print a line a number of variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="4,10000", help="numbers of substitutions, separated by commas")
    parser.add_argument("--window", type=int, default=300, help="bases around a substitution")
    chosen = parser.parse_args()
    random = np.random.default_rng(1)
    letters = "".join(random.choice(list("ACGT"), BASES))
    texts = [
        letters[first : first + chosen.window] for first in random.integers(0, BASES - chosen.window, 400).tolist()
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = DNAClassifier(max_epochs=2, options={"progress": False})
        model.fit(texts, ["TATA" in text for text in texts]).save(folder / "model")
        (folder / "one.fa").write_text(f">one\n{letters}\n", encoding="utf-8")
        for count in map(int, chosen.variants.split(",")):
            write_variants(folder / "some.vcf", letters, count, chosen.window)
            given = {"model": "model", "vcf": "some.vcf", "fasta": "one.fa", "output": "effects.csv"}
            options = [part for option, file in given.items() for part in (f"--{option}", str(folder / file))]
            command = [
                sys.executable,
                "-m",
                "titans_cli.main",
                "dna",
                "effects",
                *options,
                "--window",
                str(chosen.window),
            ]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{count:>7,} substitutions in windows of {chosen.window}: {seconds:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
