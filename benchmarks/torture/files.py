"""The files that every case finds in its folder, and whether a file is whole."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import yaml
from pyarrow import parquet

from benchmarks.torture.case import MISSING, Case
from titans_datasets.writing import clear_leftovers
from titans_ts.support.model_folder import kind_of, load_model

HIDDEN = re.compile(r"\.[0-9a-f]{32}\..+", re.DOTALL)
BASES = "ACGT"


def series(rows: int = 60, **columns: object) -> str:
    """A table of two series as csv."""
    lines = ["item_id,timestamp,target" + "".join(f",{name}" for name in columns)]
    for item in "ab":
        for step in range(rows):
            more = "".join(f",{value}" for value in columns.values())
            lines.append(f"{item},2024-01-{1 + step // 24:02d} {step % 24:02d}:00:00,{step % 12 + 0.5}{more}")
    return "\n".join(lines) + "\n"


def dna(rows: int, seed: int) -> str:
    """Labelled sequences of 60 bases as csv: those of label 1 hold a motif."""
    numbers = random.Random(seed)
    lines = ["id,sequence,label,target"]
    for row in range(rows):
        letters = "".join(numbers.choices(BASES, k=60))
        if row % 2:
            letters = letters[:20] + "TATAAT" + letters[26:]
        lines.append(f"s{row},{letters},{row % 2},{row % 2 + numbers.random():.3f}")
    return "\n".join(lines) + "\n"


GOOD, DNA = series(), dna(60, 0)
LETTERS = "".join(random.Random(2).choices(BASES, k=3000))
GENOME = f">chr1 of a test\n{LETTERS[:2000]}\n>chr2\n{LETTERS[2000:]}\n"
VCF_HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def variant(place: int, alternative: str = "", chromosome: str = "chr1") -> str:
    """A line of VCF whose reference is that of the genome; `place` is 1-based."""
    reference = LETTERS[place - 1]
    return f"{chromosome}\t{place}\t.\t{reference}\t{alternative or 'ACGT'[reference == 'A']}\t.\tPASS\t.\n"


VCF = VCF_HEAD + "".join(variant(place) for place in range(200, 1800, 100))
BED = "".join(f"chr1\t{start}\t{start + 60}\t{'ab'[row % 2]}\t0\t+\n" for row, start in enumerate(range(0, 1800, 60)))
FIT = {
    "data": {
        "source": "good.csv",
        "context_length": 12,
        "prediction_length": 4,
        "batch_size": 8,
        "steps_per_epoch": 5,
        "validation_windows": 2,
        "test_windows": 2,
    },
    "model": {"backbone": {"width": 8, "heads": 2, "layers": 1}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, "default_root_dir": "run"},
    "checkpoint_every_n_steps": 3,
}
RECALL = {
    "task": "recall",
    "set": "passkey",
    "lengths": {64: 4},
    "seeds": [0, 1],
    "defaults": {
        "backbone": {"width": 16, "heads": 2, "layers": 1, "window": 8},
        "memory": {"kind": "linear"},
        "training": {"shortest": 64, "longest": 64, "span": 64, "tokens": 256, "steps": 5},
    },
    "runs": {"lmm": {"backbone": {"block": "lmm"}}},
}


def furnish(folder: Path) -> None:
    """Write the files that all cases have."""
    for name, content in {
        "good.csv": GOOD,
        "future.csv": series(3),
        "dna.csv": DNA,
        "dna_test.csv": dna(20, 1),
        "genome.fa": GENOME,
        "one.fa": f">one\n{LETTERS[:60]}\n",
        "good.vcf": VCF,
        "good.bed": BED,
        "fit.yaml": yaml.safe_dump(FIT),
        "recall.yaml": yaml.safe_dump(RECALL),
        "page.md": "# Page\n",
    }.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub/kept").touch()
    os.symlink("good.csv", folder / "link.csv")
    os.link(folder / "good.csv", folder / "hard.csv")


def sums(folder: Path) -> dict[str, str]:
    """Checksums of all files below a folder, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lost(case: Case, folder: Path, before: dict[str, str], status: int | None) -> tuple[str, ...]:
    """What is wrong with the files after a case, in words."""
    if case.signal is not None:
        # As the next writer does in the folders it writes to.
        for place in {path.parent for path in folder.rglob("*")}:
            clear_leftovers(place / "next")
    after, found = sums(folder), []
    for name in {**before, **after}:
        if before.get(name) == after.get(name):
            continue
        path = folder / name
        if any(HIDDEN.fullmatch(part) for part in Path(name).parts):
            found.append(f"{name} was left")
        elif Path(name).parts[0] not in case.writes:
            found.append(f"{name} was {'changed' if name in before else 'made'}")
        elif name not in after:
            # A folder that is replaced as a whole may have other files.
            found += [] if len(Path(name).parts) > 1 else [f"{name} is gone"]
        elif not whole(path):
            found.append(f"{name} is not whole")
    for name in case.writes:
        if (folder / name / "config.json").is_file() and not _model(folder / name):
            found.append(f"{name} does not load")
        if status == 0 and (not (folder / name).exists() or before.get(name, "") == after.get(name, " ")):
            found.append(name + MISSING)
    for file in sorted((folder / case.like).glob("*.parquet")) if case.like else ():
        same = folder / case.writes[0] / file.name
        if not same.is_file() or not parquet.read_table(same).equals(parquet.read_table(file)):
            found.append(f"{same.name} is not what one program alone writes")
    return tuple(found)


def whole(path: Path) -> bool:
    """Whether a file is complete, by its suffix."""
    check = CHECKS.get(path.suffix)
    try:
        return check is None or check(path)
    except Exception:  # what a damaged file makes of its reader is of no interest
        return False


def _table(path: Path) -> bool:
    csv.field_size_limit(10**8)
    written = path.read_text(encoding="utf-8")
    rows = list(csv.reader(written.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ","))
    if not written.endswith("\n") or len({len(row) for row in rows}) != 1:
        return False
    means = [row[rows[0].index("mean")] for row in rows[1:]] if "mean" in rows[0] else []
    return all(math.isfinite(float(value)) for value in means)


def _model(folder: Path) -> bool:
    try:
        load_model(folder, kind_of(folder))
    except (ValueError, OSError):
        return False
    return True


def _zip(path: Path) -> bool:
    with ZipFile(path) as archive:
        return archive.testzip() is None


CHECKS: dict[str, Callable[[Path], bool]] = {
    ".csv": _table,
    ".tsv": _table,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")) is not None,
    # Lightning writes tags of Python, which no reader of ours follows.
    ".yaml": lambda path: bool(list(yaml.parse(path.read_text(encoding="utf-8"), yaml.SafeLoader))),
    ".html": lambda path: path.read_text(encoding="utf-8").rstrip().endswith("</html>"),
    ".png": lambda path: b"IEND" in path.read_bytes()[-12:],
    ".parquet": lambda path: parquet.read_table(path) is not None,
    ".vcf": lambda path: path.read_text(encoding="utf-8").endswith("\n"),
    ".gz": lambda path: gzip.decompress(path.read_bytes()) is not None,
    ".ckpt": _zip,
    ".npz": _zip,
}
