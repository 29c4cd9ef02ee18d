"""The linear part: what is fitted, what is kept, how long it may take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.genomics.common import SMALL, classifier, sequences
from titans_datasets.dna import DNAWarning
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.linear.features import KmerFeatures
from titans_ts.genomics.linear.kernel import KernelModel
from titans_ts.genomics.linear.model import LinearModel
from titans_ts.genomics.supervised import linear_part

X, Y = sequences(60)
NARROW, WIDE = "k-mers of 5 letters in 6 bases, one strand", "k-mers of 7 letters in 10 bases, one strand"


def motifs(count: int = 100) -> tuple[list[str], np.ndarray]:
    """Sequences of different lengths, a motif somewhere in every second one."""
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        text = "".join(random.choice(list("ACGT"), random.integers(60, 120)))
        place = int(random.integers(0, len(text) - 8))
        found.append(text[:place] + "GATAAGGA" + text[place + 8 :] if i % 2 else text)
    return found, np.arange(count) % 2


def fitted(**params: Any) -> DNAClassifier:
    options = {name: value for name, value in SMALL.items() if name != "kmers"}
    model = DNAClassifier(**{"max_epochs": 0, "device": "cpu", "reverse_complement": "none", **params}, options=options)
    return model.fit(*motifs())


def test_the_better_of_two_kmer_maps_is_kept() -> None:
    model = fitted()
    (kept,) = [one.features for one in model.model_.linear if isinstance(one, LinearModel)]
    assert isinstance(kept, KmerFeatures)
    better = NARROW if model.choices_[NARROW] <= model.choices_[WIDE] else WIDE
    assert kept == (KmerFeatures(6, 5, 1) if better == NARROW else KmerFeatures(10, 7, 1))


def test_nothing_is_fitted_that_nothing_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WIDE not in fitted(linear=False).choices_ and NARROW not in fitted(linear=False).choices_
    assert NARROW in fitted(linear=False, reverse_complement="auto").choices_
    told: list[str] = []
    monkeypatch.setattr(linear_part.PROGRESS, "info", told.append)
    fitted(head="pooled", linear=False)
    assert not any("k-mers" in text for text in told)
    fitted()
    assert any(text == f"fitting the linear part, {NARROW}" for text in told)


def test_a_budget_that_is_too_short_leaves_the_wide_map_out_and_says_so() -> None:
    with pytest.warns(DNAWarning, match=r"fit took .* s, time_budget is 0\.001 s: linear part .* s, networks .* s"):
        model = fitted(time_budget=0.001)
    assert WIDE not in model.choices_ and NARROW in model.choices_
    assert model.predict_proba(motifs(8)[0]).shape == (8, 2)


def test_an_ensemble_with_a_linear_part() -> None:
    model = classifier(max_epochs=0, ensemble_size=2, validation_fraction=0.2).fit(X, Y)
    assert len(model.model_.networks) == 2 and model.score(X, Y) > 0.8


def test_a_kernel_is_kept_where_it_helps() -> None:
    random = np.random.default_rng(0)
    letters, there = random.choice(list("ACGT"), (400, 20)), random.integers(0, 2, (400, 2)).astype(bool)
    for row, (first, second) in zip(letters, there, strict=True):
        row[2:9] = list("TGACTCA") if first else row[2:9]
        row[11:18] = list("GGCCATG") if second else row[11:18]
    texts, labels = ["".join(row) for row in letters], (there[:, 0] == there[:, 1]).astype(int)
    right = {}
    for gaussian in (True, False):
        options = {**SMALL, "kmers": (5, 5), "gaussian": gaussian}
        model = DNAClassifier(max_epochs=0, device="cpu", options=options).fit(texts[:300], labels[:300])
        right[gaussian] = model.score(texts[300:], labels[300:])
        assert any(isinstance(one, KernelModel) for one in model.model_.linear) == gaussian
    assert right[True] > max(right[False], 0.8)
    with pytest.raises(ValueError, match="gaussian must be True or False"):
        fitted(validation_fraction=0.2).set_params(options={"gaussian": "yes"}).fit(*motifs())
