#!/usr/bin/env python
"""Whether a pretrained language model helps a classifier that has few labels.

    python benchmarks/dna_pretraining.py                    # about 20 CPU minutes, one thread
    python benchmarks/dna_pretraining.py --seeds 0 --labels 60

The built-in chloroplast genome: a causal language model reads 82,263 bases of it without labels; classifiers are
trained on some labelled windows of these bases (no gene, a gene on this strand, a gene on the other strand), and are
tested on windows of 45,950 other bases. Networks are compared without the logistic models beside them. "random trunk"
is the same network as the pretrained one, after a single step of pretraining at a thousandth of the rate. Rates are
those of the pretrained weights over that of the new ones. A fifth of the labelled windows is held out to stop training.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_datasets.builtin import load_dna
from titans_datasets.dna import coding_labels
from titans_ts.genomics import DNAClassifier, DNALanguageModel
from titans_ts.genomics.report.metrics import class_metrics

# The second copy of the chloroplast's inverted repeat is left out: it is the reverse complement of the first one.
LEARNED, TESTED = ((0, 56_000), (84_170, 110_433)), ((56_000, 84_170), (110_434, 128_214))
CONTEXT = 512
LANGUAGE = {"width": 32, "heads": 2, "layers": 1, "learning_rate": 5e-3, "progress": False}
CLASSIFIER = {"progress": False, "batch_size": 16}
NAMES = np.array(["none", "+", "-"])


def windows(places: tuple[tuple[int, int], ...], size: int) -> tuple[list[str], np.ndarray]:
    """Adjacent windows and the label of nine tenths of their bases; mixed ones are left out."""
    record = load_dna("chloroplast")[0]
    letters, labels = str(record.seq), coding_labels(record)
    found, classes = [], []
    for first, last in places:
        for start in range(first, last - size + 1, size):
            counts = np.bincount(labels[start : start + size], minlength=3)
            if counts.max() >= 0.9 * size:
                found.append(letters[start : start + size])
                classes.append(NAMES[counts.argmax()])
    return found, np.array(classes)


def language_model(seed: int, epochs: int) -> DNALanguageModel:
    """Pretrained on the unlabelled bases; 0 epochs: a single step that changes almost nothing."""
    letters = str(load_dna("chloroplast")[0].seq)
    learned = [letters[first:last] for first, last in LEARNED]
    if epochs == 0:
        options = {**LANGUAGE, "learning_rate": LANGUAGE["learning_rate"] / 1000}
        model = DNALanguageModel(max_epochs=1, validation_fraction=0, device="cpu", random_state=seed, options=options)
        return model.fit([learned[0][:CONTEXT]])
    return DNALanguageModel(
        context_length=CONTEXT, max_epochs=epochs, device="cpu", random_state=seed, options=LANGUAGE
    ).fit(learned)


def main() -> None:
    """Train, test, print one row per classifier and seed, then the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--labels", type=int, default=120)
    parser.add_argument("--window", type=int, default=192)
    parser.add_argument("--pretraining-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rates", type=lambda text: [float(n) for n in text.split(",")], default=[1.0, 0.3, 0.1, 0.0])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    everything, classes = windows(LEARNED, arguments.window)
    test, truth = windows(TESTED, arguments.window)
    numbers = np.searchsorted(np.sort(NAMES), truth)
    counts = dict(zip(*np.unique(truth, return_counts=True), strict=True))
    print(
        f"{arguments.labels} of {len(everything)} labelled windows of {arguments.window} bases, {len(test)} for test: "
        + ", ".join(f"{count} {name}" for name, count in counts.items())
    )
    print(f"{'seed':>4}  {'classifier':<24}  {'held-out loss':>13}  {'test loss':>9}  {'test MCC':>8}  {'CPU s':>6}")
    rows: dict[str, list[tuple[float, float, float]]] = {}

    def run(name: str, seed: int, **params: Any) -> None:
        chosen = np.random.default_rng(seed).permutation(len(everything))[: arguments.labels]
        options = {**CLASSIFIER, **params.pop("options", {})}
        model = DNAClassifier(
            **{"max_epochs": arguments.epochs, "linear": False, "head": "pooled", **params},
            reverse_complement="none",
            validation_fraction=0.2,
            device="cpu",
            random_state=seed,
            options=options,
        )
        started = time.process_time()
        model.fit([everything[i] for i in chosen], classes[chosen])
        found = class_metrics(model.predict_proba(test), numbers)
        held = model.choices_["blend"]
        rows.setdefault(name, []).append((held, found["log_loss"], found["mcc"]))
        spent = time.process_time() - started
        print(
            f"{seed:>4}  {name:<24}  {held:>13.3f}  {found['log_loss']:>9.3f}  {found['mcc']:>8.3f}  {spent:>6.0f}",
            flush=True,
        )

    for seed in arguments.seeds:
        run("logistic models alone", seed, max_epochs=0, linear=True)
        run("network from scratch", seed)
        run("random trunk", seed, pretrained=language_model(seed, 0))
        started = time.process_time()
        pretrained = language_model(seed, arguments.pretraining_epochs)
        bits = pretrained.training_["best_loss"] / np.log(2)
        print(
            f"{seed:>4}  pretraining: {bits:.3f} bits a held-out base, {time.process_time() - started:.0f} CPU s",
            flush=True,
        )
        for rate in arguments.rates:
            run(f"pretrained, rate {rate:g}", seed, pretrained=pretrained, options={"pretrained_rate": rate})
    title = f"mean of {len(arguments.seeds)} seeds"
    print(f"\n{title:<24}  {'held-out loss':>13}  {'test loss':>9}  {'test MCC (sd)':>15}")
    for name, values in rows.items():
        held, loss, mcc = np.mean(values, axis=0)
        spread = np.std([value[2] for value in values])
        print(f"{name:<24}  {held:>13.3f}  {loss:>9.3f}  {mcc:>7.3f} ({spread:.3f})")


if __name__ == "__main__":
    main()
