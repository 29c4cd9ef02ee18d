"""Verbs over any model: what mutations and gradients say where it is known what they must say.

`T` bases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from Bio.Seq import Seq
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.genomics.common import classifier, network, sequences
from titans_datasets.dna import encode, reverse_complement_text
from titans_ts.genomics import integrated_gradients, mutate, variant_effects
from titans_ts.genomics.analysis.attribution import IntegrationWarning, shuffle_pairs
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.model.encoder import BASES


def letters(count: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), count))


def gata(texts: list[str]) -> list[int]:
    return [text.count("GATA") for text in texts]


def all_letters(texts: list[str]) -> np.ndarray:
    """Two columns that any change of a letter changes."""
    weight = np.arange(1, len(texts[0]) + 1)
    values = np.array([["ACGTN".index(letter) for letter in text.ljust(len(weight), "N")] for text in texts])
    return np.stack([values @ weight, (values**2) @ weight], axis=1).astype(float)


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    return classifier(options={"head_dropout": 0.1}, max_epochs=4).fit(*sequences(80))


@pytest.fixture(scope="module")
def trained_network() -> DNAClassifier:
    """A network alone that has learned the motif."""
    options = {"learning_rate": 1e-2, "patience": 20}
    return classifier(linear=False, max_epochs=12, options=options).fit(*sequences(120))


def test_the_map_of_a_counted_motif() -> None:
    found = mutate(gata, "CCGATAcu")
    expected = np.zeros((8, BASES))
    for place, letter in zip(range(2, 6), "GATA", strict=True):
        expected[place] = -1.0
        expected[place, "ACGT".index(letter)] = 0.0
    np.testing.assert_array_equal(found.effects, expected)
    assert (found.score, found.sequence, found.start) == (1.0, "CCGATACT", 0)
    np.testing.assert_array_equal(found.importance, [0, 0, 1, 1, 1, 1, 0, 0])
    assert mutate(gata, "CCGCTACC").effects.tolist()[3] == [1.0, 0.0, 0.0, 0.0]


def test_the_map_is_the_difference_of_two_answers() -> None:
    sequence = letters(30)
    found = mutate(all_letters, Seq(sequence), 5, 19, output=1)
    assert found.effects.shape == (14, BASES) and found.reference == sequence[5:19]
    for place, letter in ((5, 0), (11, 3), (18, 2)):
        changed = sequence[:place] + "ACGT"[letter] + sequence[place + 1 :]
        difference = all_letters([changed])[0, 1] - all_letters([sequence])[0, 1]
        assert found.effects[place - 5, letter] == difference
    whole = mutate(all_letters, sequence, output=1)
    np.testing.assert_array_equal(whole.effects[5:19], found.effects)


def test_many_pieces_give_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = letters(40)
    whole = mutate(gata, sequence + "GATA", strands="both")
    for module in ("titans_ts.genomics.analysis.scorer", "titans_ts.genomics.analysis.effects"):
        monkeypatch.setattr(f"{module}.BASES_A_CALL", 100)
    np.testing.assert_array_equal(mutate(gata, sequence + "GATA", strands="both").effects, whole.effects)


def test_both_strands_see_the_same() -> None:
    sequence = letters(24) + "GATA" + letters(10, 1)
    there = mutate(gata, sequence, strands="both")
    back = mutate(gata, reverse_complement_text(sequence), strands="both")
    # The map of the other strand is this one from the end, A and T and C and G exchanged.
    np.testing.assert_array_equal(back.effects, there.effects[::-1, ::-1])
    assert np.abs(there.effects).max() == 0.5
    assert mutate(gata, "CCTATCCC").score == 0.0 and mutate(gata, "CCTATCCC", strands="both").score == 0.5


def test_an_unknown_base_has_effects_but_no_importance() -> None:
    found = mutate(gata, "CCGANACC")
    np.testing.assert_array_equal(found.effects[4], [0, 0, 0, 1])
    assert np.isnan(found.importance[4]) and np.isfinite(np.delete(found.importance, 4)).all()


def test_log_odds_of_classifiers(fitted: DNAClassifier) -> None:
    sequence = sequences(80)[0][-1]
    found = mutate(fitted, sequence, 8, 12)
    assert found.output == "log odds of yes"
    np.testing.assert_allclose(found.score, fitted.decision_function([sequence])[0])
    changed = sequence[:9] + "C" + sequence[10:]
    expected = fitted.decision_function([changed])[0] - found.score
    np.testing.assert_allclose(found.effects[1, 1], expected, atol=1e-5)
    np.testing.assert_allclose(mutate(fitted, sequence, 8, 12, output="no").effects, -found.effects, atol=1e-5)


def test_log_odds_of_three_classes_and_of_labels() -> None:
    X, Y = sequences(60)
    three = classifier(max_epochs=1).fit(X, np.where(Y == "no", "no", np.where(np.arange(60) % 2, "a", "b")))
    probability = three.predict_proba(X[:1])[0, 1]
    found = mutate(three, X[0], 0, 1, output="b")
    np.testing.assert_allclose(found.score, np.log(probability / (1 - probability)), atol=1e-5)
    with pytest.raises(ValueError, match=r"output must name one of the classes .*'a', 'b', 'no'.* got missing"):
        mutate(three, X[0])
    several = classifier(max_epochs=1).fit(X, np.stack([Y == "yes", np.arange(60) % 2], axis=1).astype(int))
    probability = several.predict_proba(X[:1])[0, 0]
    assert mutate(several, X[0], 0, 1, output=0).score == pytest.approx(
        np.log(probability / (1 - probability)), abs=1e-5
    )


def test_any_fitted_classifier() -> None:
    X, Y = sequences(60)
    counts = CountVectorizer(analyzer="char", ngram_range=(3, 3), lowercase=False)
    model = make_pipeline(counts, LogisticRegression()).fit(X, Y)
    changed = "T" + X[0][1:]
    expected = model.decision_function([changed]) - model.decision_function([X[0]])
    np.testing.assert_allclose(mutate(model, X[0], 0, 1).effects[0, 3], expected[0])


def test_files_of_a_map(tmp_path: Path) -> None:
    found = mutate(gata, "CCGATANC", 1, 7)
    frame = found.to_frame()
    assert list(frame) == ["position", "reference", "A", "C", "G", "T", "importance"]
    assert frame["position"].tolist() == [*range(1, 7)] and "".join(frame["reference"]) == "CGATAN"
    found.to_csv(tmp_path / "made" / "map.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "made" / "map.csv"), frame)
    found.to_bedgraph(tmp_path / "map.bedgraph", "chr1", 100)
    head, *lines = (tmp_path / "map.bedgraph").read_text().splitlines()
    assert head.startswith("track type=bedGraph")
    assert lines[:2] == ["chr1\t101\t102\t0", "chr1\t102\t103\t1"]
    assert len(lines) == 5
    found.to_bedgraph(tmp_path / "map.bedgraph", "chr1", 100, "-")
    lines = (tmp_path / "map.bedgraph").read_text().splitlines()[1:]
    # The sequence's third base, G, is the sixth from the left on the chromosome; its N, the second, is left out.
    assert "chr1\t105\t106\t1" in lines and lines[0].startswith("chr1\t102")
    for change, match in (({"chrom": "chr 1"}, "chrom must"), ({"start": -1}, "start must"), ({"strand": "."}, "stra")):
        with pytest.raises(ValueError, match=match):
            found.to_bedgraph(**{"path": tmp_path / "map.bedgraph", "chrom": "chr1", "start": 0, **change})
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["map.bedgraph", "map.csv"]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"sequence": "ACGTE"}, ValueError, "position 5: letter 'E'"),
        ({"sequence": ""}, ValueError, "at least one base"),
        ({"sequence": ["ACGT"]}, TypeError, "must be a str, Seq or SeqRecord, got list"),
        ({"start": 2, "end": 9}, ValueError, "0 ≤ start < end ≤ 8 .*got start 2, end 9"),
        ({"start": -1}, ValueError, "got start -1, end 8"),
        ({"start": 3, "end": 3}, ValueError, "got start 3, end 3"),
        ({"output": "yes"}, ValueError, "output must be None where"),
        ({"strands": "two"}, ValueError, "strands must be one of one, both, got 'two'"),
        ({"model": 3}, TypeError, "model must be a fitted classifier or a callable .*got int"),
        ({"model": classifier()}, ValueError, "DNAClassifier is not fitted"),
        ({"model": all_letters}, ValueError, "one of the columns 0 … 1 .*got None"),
        ({"model": all_letters, "output": 2}, ValueError, "one of the columns 0 … 1 .*got 2"),
        ({"model": lambda texts: [1.0]}, ValueError, r"\(1,\) for 3|\(1,\) for 24"),
        ({"model": lambda texts: [np.nan for _ in texts]}, ValueError, "NaN or infinite"),
    ],
)
def test_bad_input_of_mutate(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        mutate(**{"model": gata, "sequence": "CCGATACC", **arguments})


def test_unknown_class_and_bases(fitted: DNAClassifier) -> None:
    with pytest.raises(ValueError, match=r"one of the classes \['no', 'yes'\], got 'maybe'"):
        mutate(fitted, letters(30), output="maybe")
    labels = ["ab" * 10 for _ in range(20)]
    per_base = classifier(per_base=True, max_epochs=1).fit([letters(20, seed) for seed in range(20)], labels)
    with pytest.raises(ValueError, match="per_base answers for every base"):
        mutate(per_base, letters(20))


def test_a_substitution_is_what_the_map_says(fitted: DNAClassifier) -> None:
    bases = sequences(80)[0][-1]
    alt = "A" if bases[14] != "A" else "C"
    table = pd.DataFrame({"chrom": ["c"], "pos": 15, "ref": bases[14], "alt": alt})
    found = variant_effects(fitted, table, {"c": bases}, window=29, outside="clip")
    expected = mutate(fitted, bases[:29], 14, 15).effects[0, "ACGT".index(alt)]
    np.testing.assert_allclose(found["effect"], expected, atol=1e-5)


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


def test_too_few_steps_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_ts.genomics.analysis.attribution.WIDE_GAP", 0.0)
    monkeypatch.setattr("titans_ts.genomics.analysis.attribution.SMALL_GAP", 0.0)
    with pytest.warns(IntegrationWarning, match="log odds differ by .*raise steps above 16"):
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
        ({"model": network(head="per_base")}, ValueError, "answers for every base"),
        ({"model": network()}, ValueError, r"one of the classes \[0, 1, 2\], got missing"),
        ({"model": fitted, "output": "maybe"}, ValueError, "'maybe'"),
        ({"baseline": "zero"}, ValueError, "baseline must be one of uniform, shuffled, got 'zero'"),
        ({"steps": 0}, ValueError, "steps must be ≥ 1, got 0"),
        ({"sequence": "ACX"}, ValueError, "letter 'X'"),
        ({"sequence": ""}, ValueError, "at least one base"),
    ):
        with pytest.raises(error, match=match):
            integrated_gradients(**{"model": net, "sequence": letters(12), **arguments})
    maps_only = classifier(max_epochs=0).fit(*sequences(60))
    with pytest.raises(ValueError, match="no say beside its logistic maps"):
        integrated_gradients(maps_only, letters(30))


def test_shares_of_letters_are_letters() -> None:
    net, sequence = network(4, strands="both"), letters(21, 5) + "N"
    ids = torch.from_numpy(encode(sequence).astype(np.int64))[None]
    mask = torch.ones_like(ids, dtype=torch.bool)
    shares = (ids[..., None] == torch.arange(BASES)).double()
    hard, soft = (net({"input_ids": each, "attention_mask": mask}) for each in (ids, shares))
    torch.testing.assert_close(hard, soft)
    mask[0, 3] = False
    with pytest.raises(ValueError, match="without padding"):
        net({"input_ids": shares, "attention_mask": mask})
