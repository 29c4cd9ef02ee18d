#!/usr/bin/env python
"""How fast DNA is read: predictions in one call against one by one, encoding a genome, the leakage check.

    python benchmarks/dna_speed.py --csv benchmarks/dna_speed.csv

Sequences are random, of 100 to 1,000 bases. The classifier is the default one after a pass over 200 sequences, without
logistic models (so that its network is used), and once with them. One by one is measured on some of the same sequences
and scaled to all; both predictions are compared first. CPU seconds of the process, one thread.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from titans_datasets.dna import encode
from titans_datasets.dna.leakage import leakage
from titans_ts.genomics import DNAClassifier
from titans_ts.support.run_log import append_csv, machine

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)
GENOME = 5_000_000


def random_sequences(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Uniform letters, uniform lengths."""
    random = np.random.default_rng(seed)
    lengths = random.integers(shortest, longest + 1, count)
    return [LETTERS[random.integers(0, 4, n)].tobytes().decode() for n in lengths.tolist()]


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """Smallest CPU seconds of some runs."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def fitted(linear: bool) -> DNAClassifier:
    """Trained on random sequences; its network has a weight above 0."""
    model = DNAClassifier(
        max_epochs=1,
        linear=linear,
        head="pooled",
        reverse_complement="augment",
        device="cpu",
        options={"progress": False},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(random_sequences(200, 100, 1000, 1), np.arange(200) % 2)
    # Random labels teach nothing: the weights, decided by held-out sequences, are set so that all parts are used.
    model.model_.weights[:] = 1.0
    return model


def predictions(name: str, model: DNAClassifier, sequences: list[str], sample: int) -> list[dict[str, Any]]:
    """Rows: all in one call, one by one, their ratio."""
    chosen = np.random.default_rng(2).permutation(len(sequences))[:sample]
    some = [sequences[i] for i in chosen]
    together = model.predict_proba(some)
    alone = np.concatenate([model.predict_proba([one]) for one in some])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    single = seconds(lambda: [model.predict([one]) for one in some]) / len(some) * len(sequences)
    whole = seconds(lambda: model.predict(sequences))
    what = f"{len(sequences):,} sequences, {name}"
    return [
        {"what": f"predict, one call: {what}", "value": whole, "unit": "s"},
        {"what": f"predict, one by one ({len(some)} measured): {what}", "value": single, "unit": "s"},
        {"what": f"predict, one by one over one call: {what}", "value": single / whole, "unit": "x"},
    ]


def main() -> None:
    """Measure, print a table, append it to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=300, help="sequences that are predicted one by one")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sequences = random_sequences(arguments.sequences, 100, 1000, 0)
    rows = predictions("network", fitted(False), sequences, arguments.sample)
    rows += predictions("network and logistic models", fitted(True), sequences, arguments.sample)
    genome = random_sequences(1, GENOME, GENOME, 3)[0]
    rows.append({"what": f"encode {GENOME:,} bases", "value": seconds(lambda: encode(genome), 5), "unit": "s"})
    half = arguments.sequences // 2
    rows.append(
        {
            "what": f"leakage check, {half:,} and {half:,} sequences",
            "value": seconds(lambda: leakage(sequences[:half], sequences[half:])),
            "unit": "s",
        }
    )
    for row in rows:
        print(f"{row['what']:<90}  {row['value']:>9.3f} {row['unit']}")
    if arguments.csv:
        head = {"machine": machine(), "torch": torch.__version__, "numpy": np.__version__}
        lines = [{**head, **row, "value": f"{row['value']:.4f}"} for row in rows]
        append_csv(arguments.csv, list(lines[0]), lines)


if __name__ == "__main__":
    main()
