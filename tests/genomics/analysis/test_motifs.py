"""Motifs: shuffled controls, marginal effects, seqlets of planted motifs and their matches."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_ts.genomics import find_seqlets, marginalize, match_motifs, mutate, shuffled

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("tangermeme") is None or importlib.util.find_spec("memelite") is None,
    reason="the extra motifs is not installed",
)
FOR, AGAINST = "TGACTCA", "GATAAG"
JASPAR = """>MA0099.3 FOS::JUN
A [ 0 0 10 0 0 0 10 ]
C [ 0 0 0 10 0 10 0 ]
G [ 0 10 0 0 0 0 0 ]
T [10 0 0 0 10 0 0 ]
>MA0035.4 GATA1
A [ 0 10 0 10 10 0 ]
C [ 0 0 0 0 0 0 ]
G [10 0 0 0 0 10 ]
T [ 0 0 10 0 0 0 ]
"""
MEME = """MEME version 4

ALPHABET= ACGT

MOTIF AP1
letter-probability matrix: alength= 4 w= 7 nsites= 20 E= 0
0 0 0 1
0 0 1 0
1 0 0 0
0 1 0 0
0 0 0 1
0 1 0 0
1 0 0 0
"""


def score(texts: list[str]) -> list[float]:
    return [3.0 * text.count(FOR) - 2.0 * text.count(AGAINST) + 0.05 * text.count("GC") for text in texts]


def letters(count: int, random: np.random.Generator) -> str:
    return "".join(random.choice(list("ACGT"), count))


@pytest.fixture(scope="module")
def planted() -> list[str]:
    """40 sequences with one of the two motifs each."""
    random, found = np.random.default_rng(0), []
    for number in range(40):
        text, motif = letters(60, random), FOR if number % 2 else AGAINST
        place = int(random.integers(5, 45))
        found.append(text[:place] + motif + text[place + len(motif) :])
    return found


def test_shuffles_keep_pairs(planted: list[str]) -> None:
    controls = shuffled(planted, 2, random_state=1)
    assert len(controls) == 80 and controls == shuffled(planted, 2, random_state=1)
    for text, control in zip(planted * 2, controls, strict=True):
        for pair in ("AA", "AC", "GA", "TG"):
            assert sum(text[i : i + 2] == pair for i in range(59)) == sum(control[i : i + 2] == pair for i in range(59))
    assert sum(FOR in text for text in controls) < 5


def test_what_a_motif_does_alone() -> None:
    random = np.random.default_rng(1)
    backgrounds = [letters(41, random) for _ in range(30)]
    found = marginalize(lambda texts: [3.0 * text.count(FOR) for text in texts], FOR.lower(), backgrounds)
    assert found.motif == FOR and found.position == 17 and found.differences.shape == (30,)
    np.testing.assert_allclose([found.mean, found.low, found.high], 3.0, atol=1e-9)
    other = marginalize(score, AGAINST, backgrounds, position=0)
    assert other.low < other.mean < other.high < 0
    one = marginalize(score, FOR, backgrounds[:1])
    assert np.isfinite(one.mean) and one.low == -np.inf and one.high == np.inf


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sequences": []}, r"at least one background, got none: shuffled\(sequences\) makes some"),
        ({"sequences": ["ACGTAC"]}, "a motif of 7 bases at 0 does not fit into a sequence of 6"),
        ({"position": 5}, "a motif of 7 bases at 5 does not fit into a sequence of 10"),
        ({"motif": "TGAXTCA"}, "letter 'X'"),
    ],
)
def test_bad_input_of_marginal_effects(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        marginalize(score, **{"motif": FOR, "sequences": ["ACGTACGTAC"], **arguments})  # type: ignore[arg-type]


def test_bad_input_of_seqlets() -> None:
    two = [mutate(score, "ACGTACGTAC"), mutate(score, "ACGTACGTACG")]
    with pytest.raises(ValueError, match="one length, 4 bases at least, got 10 to 11 bases: cut windows"):
        find_seqlets(two)
    with pytest.raises(ValueError, match="explained must hold at least one attribution"):
        find_seqlets([])
    with pytest.raises(ValueError, match="controls must hold at least one attribution"):
        find_seqlets(two[:1], [])
    with pytest.raises(ValueError, match="false_discovery_rate"):
        find_seqlets(two[:1], two[:1], false_discovery_rate=1.0)


def test_bad_input_of_matches(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("TRANSFAC")
    for motifs, match in (
        ({}, "at least one motif"),
        ({"a": [[1, 0, 0]]}, r"'a' must be \(W, 4\) shares"),
        ({"a": [[2, 0, 0, 0]]}, "add up to 1"),
        (tmp_path / "text", "must be in MEME .* or JASPAR"),
    ):
        with pytest.raises(ValueError, match=match):
            match_motifs([FOR], motifs)
    with pytest.raises(ValueError, match="column 'letters'"):
        match_motifs(pd.DataFrame({"text": [FOR]}), {"a": np.eye(4)})
    with pytest.raises(ValueError, match="4 bases at least, got 'ACG'"):
        match_motifs(["ACG"], {"a": np.eye(4)})
    with pytest.raises(OSError, match="nowhere"):
        match_motifs([FOR], tmp_path / "nowhere")


@pytest.mark.parametrize("module", ["tangermeme.seqlet", "memelite"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'titans-ts\[motifs\]'"):
        find_seqlets([mutate(score, "ACGTACGTAC")]) if "seqlet" in module else match_motifs([FOR], {"a": np.eye(4)})


@needs_extra
def test_planted_motifs_are_found(planted: list[str], tmp_path: Path) -> None:
    explained = [mutate(score, text) for text in planted]
    found = find_seqlets(explained, [mutate(score, text) for text in shuffled(planted, 2)])
    for row in found.itertuples():
        assert planted[row.sequence][row.start : row.end] == row.letters
    for motif, sign in ((FOR, 1), (AGAINST, -1)):
        mine = found[np.sign(found["attribution"]) == sign]
        places = set(mine.loc[[motif in text for text in mine["letters"]], "sequence"])
        assert len(places) >= 19 and len(mine) <= 24
    (tmp_path / "known.jaspar").write_text(JASPAR)
    matched = match_motifs(found, tmp_path / "known.jaspar")
    expected = np.where(matched["attribution"] > 0, "MA0099.3 FOS::JUN", "MA0035.4 GATA1")
    assert (matched["motif"] == expected).mean() > 0.9 and matched["motif_p_value"].between(0, 0.05).mean() > 0.9
    (tmp_path / "known.meme").write_text(MEME)
    alone = match_motifs([FOR], tmp_path / "known.meme", most=3)
    assert alone["motif"].tolist() == ["AP1"] and list(alone.columns) == ["letters", "motif", "motif_p_value"]


@needs_extra
@pytest.mark.parametrize("text", [MEME[:-20], MEME.replace("0 0 1 0", "0 x 1 0"), JASPAR.replace("[10 0 0", "[10 0")])
def test_damaged_files_of_motifs(tmp_path: Path, text: str) -> None:
    (tmp_path / "known").write_text(text)
    with pytest.raises(ValueError, match=r"known (is damaged|names 1 motifs, but 0 matrices are whole)"):
        match_motifs([FOR], tmp_path / "known")


@needs_extra
def test_nothing_stands_out_of_noise() -> None:
    random = np.random.default_rng(3)
    texts = [letters(60, random) for _ in range(20)]

    def noise(rows: list[str]) -> list[float]:
        return [float(np.random.default_rng(list(row.encode())).normal()) for row in rows]

    found = find_seqlets([mutate(noise, text) for text in texts], [mutate(noise, text) for text in shuffled(texts, 2)])
    assert len(found) <= 3 and list(found.columns) == ["sequence", "start", "end", "letters", "attribution", "p_value"]
    assert match_motifs(found.iloc[:0], {"a": np.eye(4)}).empty
