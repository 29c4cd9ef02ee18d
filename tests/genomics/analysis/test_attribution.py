"""Integrated gradients: sums, symmetries, baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.genomics.common import classifier, network, sequences
from titans_datasets.dna import encode, reverse_complement_text
from titans_ts.genomics import integrated_gradients
from titans_ts.genomics.analysis.attribution import IntegrationWarning, shuffle_pairs
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.model.encoder import BASES


def letters(count: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), count))


def gata(texts: list[str]) -> list[int]:
    return [text.count("GATA") for text in texts]


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    return classifier(options={"head_dropout": 0.1}, max_epochs=4).fit(*sequences(80))


@pytest.fixture(scope="module")
def trained_network() -> DNAClassifier:
    """A network alone that has learned the motif."""
    options = {"learning_rate": 1e-2, "patience": 20}
    return classifier(linear=False, max_epochs=12, options=options).fit(*sequences(120))


@pytest.mark.parametrize(
    "changes", [{"strands": "one"}, {"strands": "either"}, {"strands": "both", "head": "segments"}]
)
def test_gradients_add_up(changes: dict[str, Any]) -> None:
    net, sequence = network(1, **changes), letters(30, 7)
    found = integrated_gradients(net, sequence, output=2, steps=256)
    with torch.no_grad():
        ids = torch.from_numpy(encode(sequence).astype(np.int64))[None]
        logits = net({"input_ids": ids, "attention_mask": torch.ones_like(ids, dtype=torch.bool)})[0]
    np.testing.assert_allclose(found.score, float(logits[2] - logits[:2].logsumexp(0)))
    difference = found.score - found.baseline_score
    assert found.values.shape == (30, BASES)
    np.testing.assert_allclose(found.importance.sum(), difference + found.gap)
    assert abs(found.gap) < max(0.02 * abs(difference), 0.005)


def test_gradients_of_both_strands_are_mirrored() -> None:
    net, sequence = network(2, strands="both", outputs=2), letters(24, 8)
    there = integrated_gradients(net, sequence, steps=8)
    back = integrated_gradients(net, reverse_complement_text(sequence), steps=8)
    np.testing.assert_allclose(back.values, there.values[::-1, ::-1], atol=1e-9)


def test_gradients_find_the_motif(trained_network: DNAClassifier, tmp_path: Path) -> None:
    yes = sequences(60, seed=5)[0][-1]
    found = integrated_gradients(trained_network, yes)
    np.testing.assert_allclose(found.score, trained_network.decision_function([yes])[0], atol=1e-3)
    difference = found.score - found.baseline_score
    assert abs(found.gap) <= max(0.05 * abs(difference), 0.01)
    inside = np.abs(found.importance[10:17]).mean()
    assert inside > 2 * np.abs(np.delete(found.importance, np.arange(10, 17))).mean()
    np.testing.assert_allclose(integrated_gradients(trained_network, yes, output="no").values, -found.values, atol=1e-4)
    found.to_csv(tmp_path / "gradients.csv")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "gradients.csv")["importance"], found.importance)
    found.to_bedgraph(tmp_path / "gradients.bedgraph", "c", 0)
    assert len((tmp_path / "gradients.bedgraph").read_text().splitlines()) == 31


def test_baselines() -> None:
    net, sequence = network(3, outputs=2), "N" + letters(20, 9) + "N"
    uniform = integrated_gradients(net, sequence, steps=64)
    assert (uniform.values[[0, -1]] == 0).all()
    shuffled = integrated_gradients(net, sequence, steps=16, baseline="shuffled", random_state=1)
    again = integrated_gradients(net, sequence, steps=16, baseline="shuffled", random_state=1)
    np.testing.assert_array_equal(shuffled.values, again.values)
    assert shuffled.baseline_score != uniform.baseline_score and shuffled.score == uniform.score


def test_too_few_steps_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_ts.genomics.analysis.attribution.WIDE_GAP", 0.0)
    monkeypatch.setattr("titans_ts.genomics.analysis.attribution.SMALL_GAP", 0.0)
    with pytest.warns(IntegrationWarning, match="scores differ by .*raise steps above 16"):
        assert integrated_gradients(network(outputs=2), letters(20), steps=2).steps == 16


def test_shuffles_keep_neighbours() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        codes = random.integers(0, 5, int(random.integers(1, 60))).astype(np.uint8)
        shuffled = shuffle_pairs(codes, random)
        pairs = [np.unique(each[:-1] * 5 + each[1:], return_counts=True) for each in (codes, shuffled)]
        np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
        np.testing.assert_array_equal(pairs[0][1], pairs[1][1])
    assert (shuffle_pairs(encode(letters(60)), np.random.default_rng(0)) != encode(letters(60))).any()


def test_bad_input_of_gradients(fitted: DNAClassifier) -> None:
    net = network(outputs=2)
    for arguments, error, match in (
        ({"model": gata}, TypeError, "got function: mutate explains any callable"),
        ({"model": classifier()}, ValueError, "not fitted"),
        ({"model": LogisticRegression().fit([[0], [1]], [0, 1])}, TypeError, "no network"),
        ({"model": network(head="per_base")}, ValueError, "an answer per base"),
        ({"model": network()}, ValueError, r"one of the classes \[0, 1, 2\], got None"),
        ({"model": fitted, "output": "maybe"}, ValueError, "'maybe'"),
        ({"baseline": "zero"}, ValueError, "baseline must be one of uniform, shuffled, got 'zero'"),
        ({"steps": 0}, ValueError, "steps must be ≥ 1, got 0"),
        ({"sequence": "ACX"}, ValueError, "letter 'X'"),
        ({"sequence": ""}, ValueError, "at least one base"),
    ):
        with pytest.raises(error, match=match):
            integrated_gradients(**{"model": net, "sequence": letters(12), **arguments})


@pytest.mark.parametrize("baseline", ["uniform", "shuffled"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_part_is_explained_too(baseline: str, classes: int) -> None:
    texts, labels = sequences(90)
    if classes == 3:
        labels[:20] = "third"
        texts[:20] = ["GATTACA" + text[7:] for text in texts[:20]]
    both = classifier(max_epochs=4, options={"kmers": [4, 3]}).fit(texts, labels)
    assert (both.model_.weights[1:] > 0).any()
    found = integrated_gradients(both, texts[-1], output="yes", baseline=baseline, steps=64)
    probability = both.predict_proba([texts[-1]])[0][both.classes_.tolist().index("yes")]
    np.testing.assert_allclose(found.score, np.log(probability / (1 - probability)), rtol=1e-3)
    difference = found.score - found.baseline_score
    np.testing.assert_allclose(found.importance.sum(), difference, atol=max(0.05 * abs(difference), 0.01))


def test_a_classifier_whose_networks_have_no_weight() -> None:
    linear = classifier(max_epochs=0).fit(*sequences(90))
    assert linear.model_.weights[0] == 0
    yes = sequences(60, seed=5)[0][-1]
    found = integrated_gradients(linear, yes, steps=1)
    assert abs(found.gap) < 1e-6 and found.steps == 1
    inside = found.importance[10:17].mean()
    assert inside > 3 * np.abs(np.delete(found.importance, np.arange(10, 17))).mean()
