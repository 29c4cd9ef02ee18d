"""Variants: which windows are read, what becomes of those that do not fit the genome.

`W` bases of a window.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.genomics.common import classifier, sequences
from titans_datasets.dna import (
    DNAWarning,
    IndexedGenome,
    MemoryGenome,
    around,
    encode,
    read_genome,
    reverse_complement_text,
)
from titans_ts.genomics import variant_effects

GENOME = {"chr1": sequences(2, 40)[0][0], "chr2": sequences(2, 30, seed=4)[0][0]}


def variants(*rows: tuple[str, int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])


def seen(texts: list[str]) -> list[float]:
    """A number that names the letters read: a mix of all of them."""
    return [float(sum((place + 1) * "ACGTN".index(letter) for place, letter in enumerate(text))) for text in texts]


def test_a_substitution_in_its_window() -> None:
    one, other = GENOME["chr1"], GENOME["chr2"]
    table = variants(("chr1", 21, one[20], "ACGT"["TGCA".index(one[20])]), ("chr2", 11, other[10].lower(), "n"))
    table.index = pd.Index(["first", "second"])
    found = variant_effects(seen, table, GENOME, window=9)
    assert found.index.tolist() == ["first", "second"] and (found["reason"] == "").all()
    assert found[["window_start", "window_end"]].values.tolist() == [[16, 25], [6, 15]]
    expected = [seen([one[16:25]])[0], seen([one[16:20] + table["alt"].iloc[0] + one[21:25]])[0]]
    assert found.loc["first", ["ref_score", "alt_score"]].tolist() == expected
    assert found.loc["first", "effect"] == expected[1] - expected[0]
    assert found.loc["second", "alt_score"] == seen([other[6:10] + "N" + other[11:15]])[0]
    assert list(table) == ["chrom", "pos", "ref", "alt"]


@pytest.mark.parametrize(("ref", "alt"), [("", "GG"), ("xxx", ""), ("xx", "T")])
def test_insertions_and_deletions_keep_the_length(ref: str, alt: str) -> None:
    bases, pos = GENOME["chr1"], 18
    row = ("chr1", pos, bases[pos - 1 : pos + len(ref)], bases[pos - 1] + alt)
    read: list[str] = []

    def listen(texts: list[str]) -> list[float]:
        read.extend(texts)
        return seen(texts)

    found = variant_effects(listen, variants(row), GENOME, window=12)
    start = int(found["window_start"].iloc[0])
    mutated = bases[: pos - 1] + row[3] + bases[pos - 1 + len(row[2]) :]
    assert read == [bases[start : start + 12], mutated[start : start + 12]]
    assert read[0].index(row[2], pos - 1 - start) == pos - 1 - start


def test_windows_at_the_ends() -> None:
    bases = GENOME["chr2"]
    table = variants(("chr2", 2, bases[1], "N"), ("chr2", 30, bases[29], "N"), ("chr2", 15, bases[14], "N"))
    with pytest.raises(ValueError, match=r"2 of 3: chr2:2 .*; chr2:30 .*outside='clip'"):
        variant_effects(seen, table, GENOME, window=9)
    with pytest.warns(DNAWarning, match="past an end of their chromosome: 2 of 3, cut there"):
        found = variant_effects(seen, table, GENOME, window=9, outside="clip")
    assert found[["window_start", "window_end"]].values.tolist() == [[0, 6], [25, 30], [10, 19]]
    assert found["alt_score"].tolist() == [
        seen([bases[0] + "N" + bases[2:6]])[0],
        seen([bases[25:29] + "N"])[0],
        seen([bases[10:14] + "N" + bases[15:19]])[0],
    ]


def test_windows_at_the_ends_left_without_scores() -> None:
    table = variants(*[("chr2", pos, GENOME["chr2"][pos - 1], "N") for pos in (2, 15)])
    with pytest.warns(DNAWarning, match="1 of 2, left without scores: chr2:2"):
        found = variant_effects(seen, table, GENOME, window=9, outside="skip")
    assert found["effect"].notna().tolist() == [False, True]
    assert found["reason"].tolist() == ["its window reaches past an end of its chromosome", ""]


@pytest.mark.parametrize("reader", [{"head": "position", "linear": False, "max_epochs": 1}, {"max_epochs": 0}])
def test_models_that_read_positions_have_windows_of_one_length(reader: dict[str, Any]) -> None:
    texts, _ = sequences(80)
    labels = ["yes" if text[4] in "AC" else "no" for text in texts]
    model = classifier(reverse_complement="none", **reader).fit(texts, labels)
    with pytest.raises(ValueError, match=r"learned 30 bases, got 29 \(sequence 1\): cut windows of 30 bases"):
        model.predict([texts[0], texts[1][:29]])
    table = variants(*[("chr1", pos, GENOME["chr1"][pos - 1], "N") for pos in (2, 20)])
    with pytest.raises(ValueError, match="window must be 30, the bases of each sequence of training, got 29"):
        variant_effects(model, table, GENOME, window=29)
    with pytest.raises(ValueError, match=r"1 of 2: chr1:2 .* positions of 30 bases.*outside='skip'"):
        variant_effects(model, table, GENOME, window=30, outside="clip")


@given(st.integers(1, 30), st.integers(0, 6), st.integers(0, 6), st.integers(7, 40))
def test_clipped_windows_of_both_alleles_are_equally_long(pos: int, deleted: int, inserted: int, window: int) -> None:
    bases, seen_texts = GENOME["chr2"], list[str]()
    ref = bases[pos - 1 : pos + deleted]
    alt = ref[0] + "ACGTAC"[:inserted]
    assume(ref != alt)

    def uniform(texts: list[str]) -> list[float]:
        seen_texts.extend(texts)
        return [float(len(text)) for text in texts]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DNAWarning)
        found = variant_effects(uniform, variants(("chr2", pos, ref, alt)), GENOME, window=window, outside="clip")
    start, end = found["window_start"].iloc[0], found["window_end"].iloc[0]
    assert found["effect"].tolist() == [0] and seen_texts[0] == bases[start:end] and end - start <= window
    mutated = bases[: pos - 1] + alt + bases[pos - 1 + len(ref) :]
    # Windows hold their alleles.
    for whole, text, allele in ((bases, seen_texts[0], ref), (mutated, seen_texts[1], alt)):
        firsts = range(max(pos - 1 + len(allele) - len(text), 0), pos)
        assert any(whole.startswith(text, first) for first in firsts)


def test_an_insertion_after_the_last_base_is_read() -> None:
    row = ("chr2", 30, GENOME["chr2"][29], GENOME["chr2"][29] + "GATTACA")
    with pytest.warns(DNAWarning, match="cut there"):
        found = variant_effects(
            lambda texts: [text.count("GATTACA") for text in texts], variants(row), GENOME, window=20, outside="clip"
        )
    assert found["effect"].tolist() == [1]
    with pytest.raises(ValueError, match=r"c:1 A>.*cut to 3 bases, do not hold both alleles: drop the variant"):
        variant_effects(seen, variants(("c", 1, "A", "ACCCCC")), {"c": "ACG"}, window=9, outside="clip")


@pytest.mark.parametrize("window", [8, 9, 20, 21])
def test_windows_have_the_centre_of_around(window: int) -> None:
    genome = MemoryGenome({name: encode(bases) for name, bases in GENOME.items()})
    found = variant_effects(seen, variants(("chr1", 20, GENOME["chr1"][19], "N")), genome, window=window)
    assert found["window_start"].tolist() == [around(genome, "chr1", 19, window).start]


@pytest.mark.parametrize("how", ["dict", "memory", "indexed"])
def test_ambiguity_codes_in_the_genome(how: str, tmp_path: Path) -> None:
    bases, fasta = "ACGTmKBRN", tmp_path / "a.fa"
    fasta.write_text(f">c\n{bases}\n")
    firsts = "ACGTAGCA"
    fits = [("c", pos, ref, "N" if ref != "N" else "A") for pos, ref in enumerate(firsts, start=1)]
    fits += [("c", 5, "N", "G"), ("c", 4, "TAGC", "T"), ("c", 9, "N", "C")]
    wrong = [("c", 5, "C", "G"), ("c", 6, "T", "G"), ("c", 9, "A", "C"), ("c", 1, "N", "C")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DNAWarning)
        genome: Any = {"c": bases}
        if how == "memory":
            genome = read_genome(fasta)
        elif how == "indexed":
            pytest.importorskip("pyfaidx")
            genome = IndexedGenome(fasta, build_index=True)
        table = variants(*fits, *wrong)
        found = variant_effects(seen, table, genome, window=5, mismatch="skip", outside="clip")
    assert (found["reason"].iloc[: len(fits)] == "").all()
    assert found["reason"].iloc[len(fits) :].tolist() == [f"the genome has {letter}" for letter in "MKNA"]


def test_chromosome_names() -> None:
    genome = {"1": GENOME["chr1"], "2": GENOME["chr2"]}
    table = variants(("1", 20, GENOME["chr1"][19], "N")).assign(chrom=[1])
    expected = variant_effects(seen, table.assign(chrom="1"), genome, window=9)
    assert variant_effects(seen, table, genome, window=9)["effect"].equals(expected["effect"])
    assert variant_effects(seen, table.assign(chrom=[1.0]), genome, window=9)["effect"].equals(expected["effect"])
    said = "no name is shared: chr1 here, 1, 2 in the genome: write both with 'chr' or both without it"
    with pytest.raises(ValueError, match=said):
        variant_effects(seen, table.assign(chrom="chr1"), genome, window=9)
    with pytest.warns(DNAWarning, match=said):
        variant_effects(seen, table.assign(chrom="chr1"), genome, window=9, mismatch="skip")
    with pytest.raises(ValueError, match="variants, row 0: the name of the chromosome is missing"):
        variant_effects(seen, table.assign(chrom=None), genome, window=9)


def test_variants_that_do_not_fit_the_genome() -> None:
    bases = GENOME["chr1"]
    wrong = "ACGT"["CGTA".index(bases[14])]
    good = ("chr1", 20, bases[19], "N")
    table = variants(("chr1", 15, wrong, "N"), good, ("1", 15, "A", "C"), ("chr1", 41, "A", "C"))
    listed = (
        f"3 of 4: chr1:15 {wrong}>N \\(the genome has {bases[14]}\\); 1:15 A>C \\(no chromosome '1' in the genome\\); "
        "chr1:41 A>C \\(past the end, 40\\)"
    )
    with pytest.raises(ValueError, match=f"{listed}.*mismatch='skip'"):
        variant_effects(seen, table, GENOME, window=9)
    with pytest.warns(DNAWarning, match=f"left without scores: {listed}"):
        found = variant_effects(seen, table, GENOME, window=9, mismatch="skip")
    assert len(found) == 4 and found["effect"].isna().tolist() == [True, False, True, True]
    assert found["window_start"].isna().tolist() == [True, False, True, True]
    assert found["reason"].tolist() == [
        f"the genome has {bases[14]}",
        "",
        "no chromosome '1' in the genome",
        "past the end, 40",
    ]
    with pytest.warns(DNAWarning):
        nothing = variant_effects(seen, table.iloc[:1], GENOME, window=9, mismatch="skip")
    assert nothing[["ref_score", "effect"]].isna().all(axis=None)


def test_a_vcf_and_a_fasta_file(tmp_path: Path) -> None:
    fasta, vcf = tmp_path / "genome.fa", tmp_path / "sites.vcf"
    fasta.write_text("".join(f">{name}\n{bases.lower()}\n" for name, bases in GENOME.items()))
    one = GENOME["chr1"][19]
    rest = [letter for letter in "ACGT" if letter != one][:2]
    vcf.write_text(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t20\trs1\t{one}\t{','.join(rest)}\n")
    found = variant_effects(seen, vcf, fasta, window=9)
    assert found["id"].tolist() == ["rs1", "rs1"] and found["alt"].tolist() == rest
    table = variants(*(("chr1", 20, one, letter) for letter in rest))
    expected = variant_effects(seen, table, read_genome(fasta), window=9)
    np.testing.assert_array_equal(found["effect"], expected["effect"])


def test_variants_on_both_strands_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("chr1", pos, GENOME["chr1"][pos - 1], "N") for pos in range(6, 35)]
    whole = variant_effects(seen, variants(*rows), GENOME, window=9, strands="both")
    other = {name: reverse_complement_text(bases) for name, bases in GENOME.items()}
    mirrored = [("chr1", 41 - pos, reverse_complement_text(ref), "N") for _, pos, ref, _ in rows]
    back = variant_effects(seen, variants(*mirrored), other, window=9, strands="both")
    np.testing.assert_allclose(back["effect"], whole["effect"])
    for module in ("titans_ts.genomics.analysis.scorer", "titans_ts.genomics.analysis.variants"):
        monkeypatch.setattr(f"{module}.BASES_PER_CALL", 50)
    again = variant_effects(seen, variants(*rows), GENOME, window=9, strands="both")
    pd.testing.assert_frame_equal(again, whole)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"variants": variants(("chr1", 0, "A", "C"))},
            ValueError,
            "row 0 of variants: pos must be a whole number",
        ),
        ({"variants": variants(("chr1", 9, "A", "<DEL>"))}, ValueError, "row 0 of variants: alt must be letters"),
        ({"variants": variants(("chr1", 9, "", "A"))}, ValueError, "ref must be letters .*the base before them"),
        ({"variants": variants()}, ValueError, "variants have no rows"),
        ({"variants": pd.DataFrame({"chrom": ["chr1"]})}, ValueError, "no column 'pos', only chrom"),
        ({"variants": variants(("chr1", 9, "A", "C")).assign(effect=0)}, ValueError, "a column 'effect'"),
        ({"variants": [("chr1", 9, "A", "C")]}, TypeError, "path of a VCF or a table .*got list"),
        ({"genome": 3}, TypeError, "genome must be .*got int"),
        ({"window": 0}, ValueError, "window must be ≥ 1"),
        ({"window": 3}, ValueError, "hold both alleles of chr1:9 ACGT>A"),
        ({"mismatch": "drop"}, ValueError, "mismatch must be one of error, skip, got 'drop'"),
        ({"outside": "pad"}, ValueError, "outside must be one of error, clip, skip, got 'pad'"),
        ({"genome": {"chr1": "ACGTE"}}, ValueError, "letter 'E'"),
    ],
)
def test_bad_input_of_variant_effects(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    usual = {"model": seen, "variants": variants(("chr1", 9, "ACGT", "A")), "genome": GENOME, "window": 9}
    with pytest.raises(error, match=match):
        variant_effects(**{**usual, **arguments})
