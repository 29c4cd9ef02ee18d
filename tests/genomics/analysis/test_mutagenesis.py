"""In-silico mutagenesis of models whose answers are known.

`T` bases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.genomics.common import classifier, sequences
from titans_datasets.dna import reverse_complement_text
from titans_ts.genomics import mutate, variant_effects
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


def test_many_batches_give_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = letters(40)
    whole = mutate(gata, sequence + "GATA", strands="both")
    for module in ("titans_ts.genomics.analysis.scorer", "titans_ts.genomics.analysis.mutagenesis"):
        monkeypatch.setattr(f"{module}.BASES_PER_CALL", 100)
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
    with pytest.raises(ValueError, match=r"output must be one of the classes .*'a', 'b', 'no'.* got None"):
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
        ({"model": 3}, TypeError, "model must be a fitted classifier or regressor, or a callable .*got int"),
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
    with pytest.raises(ValueError, match="per_base has an answer per base"):
        mutate(per_base, letters(20))


def test_a_substitution_is_what_the_map_says(fitted: DNAClassifier) -> None:
    bases = sequences(80)[0][-1]
    alt = "A" if bases[14] != "A" else "C"
    table = pd.DataFrame({"chrom": ["c"], "pos": 15, "ref": bases[14], "alt": alt})
    found = variant_effects(fitted, table, {"c": bases}, window=29, outside="clip")
    expected = mutate(fitted, bases[:29], 14, 15).effects[0, "ACGT".index(alt)]
    np.testing.assert_allclose(found["effect"], expected, atol=1e-5)
