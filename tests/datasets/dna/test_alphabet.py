"""Letters and numbers: every letter in every case, both strands, and errors that name the place."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import MutableSeq, Seq
from Bio.SeqRecord import SeqRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import (
    DNAWarning,
    as_sequences,
    decode,
    encode,
    encode_all,
    reverse_complement,
    reverse_complement_text,
    soft_mask,
)
from titans_datasets.dna.alphabet import PAD, VOCABULARY

DNA = st.text(alphabet="ACGTNacgtn", max_size=50)
IUPAC = st.text(alphabet="ACGTNRYSWKMBDHVacgtnryswkmbdhv", max_size=50)
PARTNERS = ["AT", "CG", "RY", "KM", "BV", "DH", "SS", "WW", "NN"]


@settings(deadline=None)
@given(DNA)
def test_letters_come_back_in_upper_case_and_the_mask_keeps_the_case(text: str) -> None:
    ids = encode(text)
    assert ids.dtype == np.uint8 and ids.flags.writeable
    assert decode(ids) == text.upper()
    cased = [low.lower() if lower else low for low, lower in zip(decode(ids), soft_mask(text), strict=True)]
    assert "".join(cased) == text


def test_numbers_of_the_letters() -> None:
    np.testing.assert_array_equal(encode("ACGTNacgtnUu"), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 3, 3])
    assert PAD == 5 and VOCABULARY == 6


@pytest.mark.parametrize("wrap", [str, str.encode, Seq, MutableSeq, lambda text: SeqRecord(Seq(text), id="x")])
def test_all_kinds_of_sequences_encode_alike(wrap: Any) -> None:
    np.testing.assert_array_equal(encode(wrap("ACGTnUa")), encode("ACGTNTA"))
    assert soft_mask(wrap("ACgtN")).tolist() == [False, False, True, True, False]
    assert [ids.tolist() for ids in encode_all([wrap("AC"), wrap("G")])] == [[0, 1], [2]]


def test_an_encoded_sequence_shares_no_memory_with_its_source() -> None:
    source = Seq("ACGT")
    encode(source)[:] = 0
    assert str(source) == "ACGT"


@settings(deadline=None)
@given(IUPAC)
def test_the_other_strand_of_the_other_strand_is_the_first(text: str) -> None:
    assert reverse_complement_text(reverse_complement_text(text)) == text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DNAWarning)
        ids = encode(text)
        np.testing.assert_array_equal(reverse_complement(ids), encode(reverse_complement_text(text)))
    np.testing.assert_array_equal(reverse_complement(reverse_complement(ids)), ids)


@pytest.mark.parametrize("pair", PARTNERS)
def test_complements_of_all_letters(pair: str) -> None:
    first, second = pair
    assert reverse_complement_text(first) == second and reverse_complement_text(second) == first
    assert reverse_complement_text(first.lower()) == second.lower()


def test_the_other_strand_of_a_batch_moves_padding_to_the_other_side() -> None:
    batch = np.array([[0, 1, 5], [4, 3, 2]])
    np.testing.assert_array_equal(reverse_complement(batch), [[5, 2, 3], [1, 0, 4]])
    assert reverse_complement(batch).dtype == batch.dtype
    assert reverse_complement_text("ACU") == "AGT"


def test_ambiguous_letters_are_counted_and_told_once() -> None:
    with pytest.warns(DNAWarning) as found:
        first, second = encode_all(["ARY", "nk"])
    assert [str(warning.message) for warning in found] == [
        "3 bases are given by an IUPAC code (RYSWKMBDHV) and read as N"
    ]
    assert found[0].filename == __file__
    assert first.tolist() == [0, 4, 4] and second.tolist() == [4, 4]
    with pytest.warns(DNAWarning, match="1 base is"):
        encode("W")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_all(["ACGTN", "acgtu"])


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=9), min_size=1, max_size=9), st.data())
def test_a_wrong_letter_is_named_with_its_place(texts: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(texts) - 1))
    place = data.draw(st.integers(0, len(texts[index]) - 1))
    letter = data.draw(st.sampled_from("EFILPQXZ-*.0 Jeµ"))
    texts[index] = texts[index][:place] + letter + texts[index][place + 1 :]
    with pytest.raises(ValueError, match=rf"^sequence {index}, position {place + 1}: letter ") as found:
        encode_all(texts)
    assert f"letter {letter!r} is none of" in str(found.value)
    with pytest.raises(ValueError, match=rf"^position {place + 1}: letter "):
        encode(texts[index])
    with pytest.raises(ValueError, match=rf"^position {place + 1}: letter "):
        reverse_complement_text(texts[index])


@pytest.mark.parametrize(
    "X",
    [
        ["ACGT", "gg"],
        ("ACGT", "gg"),
        np.array(["ACGT", "gg"]),
        np.array(["ACGT", "gg"], dtype=object),
        pd.Series(["ACGT", "gg"], index=[7, 3]),
        pd.Series(["ACGT", "gg"], dtype="string"),
        pd.Index(["ACGT", "gg"]),
        [Seq("ACGT"), Seq("gg")],
        pd.Series([Seq("ACGT"), SeqRecord(Seq("gg"), id="x")]),
        [b"ACGT", "gg"],
        pd.DataFrame({"label": [0, 1], "sequence": ["ACGT", "gg"]}),
    ],
)
def test_all_collections_give_the_same_strings(X: Any) -> None:
    assert as_sequences(X) == ["ACGT", "gg"]


def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">x one\nAC\nGT\n>y\ngg\n")
    (tmp_path / "a.csv").write_text("name,sequence\nx,ACGT\ny,gg\n")
    for X in (tmp_path / "a.fa", str(tmp_path / "a.fa"), tmp_path / "a.csv"):
        assert as_sequences(X) == ["ACGT", "gg"]
    with pytest.raises(FileNotFoundError, match=r"b\.fa does not exist"):
        as_sequences(str(tmp_path / "b.fa"))
    assert len(as_sequences("builtin:orchids")) == 94


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("ACGT", TypeError, r"got one sequence \('ACGT'\): give a list, \[sequence\]"),
        (Seq("ACGT"), TypeError, "got one sequence"),
        (SeqRecord(Seq("ACGT" * 20)), TypeError, r"\('ACGTACGTACGTACGTACGT…'\)"),
        (["AC", 3.0], TypeError, "sequence 1 must be a str, Seq or SeqRecord, got float 3.0"),
        (["AC", float("nan")], TypeError, "sequence 1 .* got float nan"),
        ([None], TypeError, "sequence 0 .* got NoneType None"),
        (pd.Series(["A", pd.NA]), TypeError, "sequence 1 .* got NAType"),
        ({"AC"}, TypeError, "must be a list, tuple, array or Series of sequences, got set"),
        (7, TypeError, "got int"),
        ([], ValueError, "at least one sequence, got none"),
        (["A", ""], ValueError, "sequence 1 is empty"),
        (np.array([["A", "C"]]), ValueError, r"one-dimensional, .* got shape \(1, 2\)"),
        (pd.DataFrame({"seq": ["A"]}), ValueError, "no column 'sequence', only seq"),
        ([Seq(None, 5)], ValueError, "sequence 0 has a length but no letters"),
    ],
)
def test_what_is_no_collection_of_sequences_is_refused(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_sequences(X)


@pytest.mark.parametrize("ids", [[0, 5], [-1], [[0, 1]], [0.0], [True]])
def test_what_are_no_numbers_of_letters_is_not_decoded(ids: Any) -> None:
    with pytest.raises(ValueError, match=r"must be one row of whole numbers 0 … 4 \(ACGTN\)"):
        decode(ids)


def test_numbers_beyond_the_alphabet_have_no_complement() -> None:
    with pytest.raises(ValueError, match="must be whole numbers 0 … 5, got 6 … 6"):
        reverse_complement([6])
