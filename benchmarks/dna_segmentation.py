#!/usr/bin/env python
"""Which bases are coding, and on which strand: a `DNAClassifier` of bases beside the longest-ORF rule.

    python benchmarks/dna_segmentation.py                   # about 3 CPU minutes, one thread

Built-in annotated genomes, coding sequences of their GenBank records as truth (three classes: none, +, -). Trained on
two parts of a chloroplast, tested on two other parts of it and on a plasmid of bacteria and a phage, which are other
kinds of genomes. Training windows are read from both strands, with + and - exchanged. The second copy of the
chloroplast's inverted repeat is left out. The rule (`titans_datasets.dna.reading_frames`) is not trained and reads
whole test segments; the classifier reads windows.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from titans_datasets.builtin import load_dna
from titans_datasets.dna import coding_labels, reading_frame_labels, reverse_complement_text, reverse_labels
from titans_ts.genomics import DNAClassifier
from titans_ts.genomics.report.metrics import confusion, matthews

Labels = npt.NDArray[np.uint8]
Pieces = dict[str, tuple[str, Labels]]
TRAIN = ((0, 56_000), (84_170, 110_433))
TEST = {"chloroplast, 28 kb of the large single copy": (56_000, 84_170), "its small single copy": (110_434, 128_214)}
OTHERS = {"plasmid pPCP1": "plasmid", "phage phiX174": "phix174"}
LETTERS = np.array(["n", "+", "-"])


def genome(name: str) -> tuple[str, Labels]:
    """Letters and the class of each base."""
    record = load_dna(name)[0]
    return str(record.seq), coding_labels(record)


def windows(text: str, labels: Labels, size: int, stride: int) -> tuple[list[str], list[Labels]]:
    """Windows of a segment, the last one shorter."""
    starts = range(0, max(len(text) - size + stride, 1), stride)
    return [text[s : s + size] for s in starts], [labels[s : s + size] for s in starts]


def training_set(size: int) -> tuple[list[str], list[str], list[int]]:
    """Windows of both strands, half overlapping, labels as letters, and groups that keep neighbours together."""
    text, labels = genome("chloroplast")
    found: list[str] = []
    rows: list[str] = []
    groups: list[int] = []
    for first, last in TRAIN:
        some, theirs = windows(text[first:last], labels[first:last], size, size // 2)
        for place, (one, row) in enumerate(zip(some, theirs, strict=True)):
            found += [one, reverse_complement_text(one)]
            rows += ["".join(LETTERS[each]) for each in (row, reverse_labels(row))]
            groups += [(first + place * size // 2) // 4_000] * 2
    return found, rows, groups


def test_pieces() -> Pieces:
    """By name."""
    text, labels = genome("chloroplast")
    pieces: Pieces = {name: (text[a:b], labels[a:b]) for name, (a, b) in TEST.items()}
    return {**pieces, **{title: genome(name) for title, name in OTHERS.items()}}


def score(truth: Labels, found: Labels) -> tuple[float, float]:
    """Accuracy and MCC of the bases."""
    table = confusion(truth.astype(np.int64), found.astype(np.int64), 3)
    return float(np.trace(table) / table.sum()), matthews(table)


def main() -> None:
    """Train, print one row per test segment and rule, then the classifier's report on the chloroplast's test part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--window", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found, rows, groups = training_set(arguments.window)
    model = DNAClassifier(
        per_base=True,
        reverse_complement="none",
        max_epochs=arguments.epochs,
        device="cpu",
        random_state=arguments.seed,
        options={"progress": False, "batch_size": 8, "merge": 3, "width": 32, "mutation_rate": 0.05},
    )
    started = time.process_time()
    model.fit(found, rows, groups=groups)
    spent = time.process_time() - started
    print(f"{len(found)} windows of {arguments.window} bases, seed {arguments.seed}: {spent:.0f} CPU s")
    print(model.training_[0])
    print(f"\n{'bases':<48}{'':<12}{'accuracy':>9}{'MCC':>8}")
    for name, (text, labels) in test_pieces().items():
        some, _ = windows(text, labels, arguments.window, arguments.window)
        ours = (np.concatenate(model.predict(some))[:, None] == LETTERS).argmax(1)
        answers = {"classifier": ours, "longest ORF": reading_frame_labels(text), "majority": np.zeros_like(labels)}
        answers["majority"][:] = np.bincount(genome("chloroplast")[1]).argmax()
        for rule, answer in answers.items():
            accuracy, mcc = score(labels, answer)
            print(f"{name if rule == 'classifier' else '':<48}{rule:<12}{accuracy:>9.3f}{mcc:>8.3f}")
    text, labels = test_pieces()[next(iter(TEST))]
    some, theirs = windows(text, labels, arguments.window, arguments.window)
    print(f"\nReport on {next(iter(TEST))}:\n{model.report(some, [''.join(LETTERS[row]) for row in theirs])}")


if __name__ == "__main__":
    main()
