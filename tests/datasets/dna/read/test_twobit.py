"""2bit files: the bases, the stretches of N and of lower case, both byte orders, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import IndexedGenome, MemoryGenome, TwoBitGenome, decode, open_genome, soft_mask

LETTERS = st.text(alphabet="ACGTNacgtn", min_size=1, max_size=40)


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def packed(chromosomes: dict[str, str], order: str = "<", version: int = 0) -> bytes:
    """A 2bit file as the format's description has it."""

    def words(*values: int) -> bytes:
        return np.array(values, dtype=f"{order}u4").tobytes()

    records = []
    for text in chromosomes.values():
        record = words(len(text))
        for mask in (np.array([one in "Nn" for one in text]), np.array([one.islower() for one in text])):
            found = stretches(mask)
            record += words(len(found), *(start for start, _ in found), *(size for _, size in found))
        bits = ["TCAG".index(one) if one in "TCAG" else 0 for one in text.upper()] + [0] * (-len(text) % 4)
        record += words(0) + bytes(64 * a + 16 * b + 4 * c + d for a, b, c, d in np.array(bits).reshape(-1, 4).tolist())
        records.append(record)
    width = 8 if version else 4
    at, index = 16 + sum(1 + len(name) + width for name in chromosomes), b""
    for name, record in zip(chromosomes, records, strict=True):
        index += bytes([len(name)]) + name.encode() + np.array([at], dtype=f"{order}u{width}").tobytes()
        at += len(record)
    return words(0x1A412743, version, len(chromosomes), 0) + index + b"".join(records)


@settings(deadline=None, max_examples=40)
@given(st.lists(LETTERS, min_size=1, max_size=3), st.sampled_from("<>"), st.sampled_from([0, 1]), st.data())
def test_intervals_are_those_of_the_letters(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], order: str, version: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("twobit") / "a.2bit"
    path.write_bytes(packed({f"c{i}": text for i, text in enumerate(texts)}, order, version))
    genome = TwoBitGenome(path)
    assert genome.lengths == {f"c{i}": len(text) for i, text in enumerate(texts)}
    for i, text in enumerate(texts):
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        assert decode(genome.fetch(f"c{i}", start, end)) == text[start:end].upper()
        assert np.array_equal(genome.soft_mask(f"c{i}", start, end), soft_mask(text[start:end]))


def test_the_same_bases_as_py2bit(tmp_path: Path) -> None:
    py2bit = pytest.importorskip("py2bit")
    text = "".join(np.random.default_rng(0).choice(list("ACGTNacgt"), 5000))
    (tmp_path / "a.2bit").write_bytes(packed({"one": text, "two": "NNACGT"}))
    theirs, ours = py2bit.open(str(tmp_path / "a.2bit")), TwoBitGenome(tmp_path / "a.2bit")
    assert theirs.chroms() == ours.lengths
    for start, end in ((0, 5000), (17, 18), (333, 4001)):
        assert theirs.sequence("one", start, end).upper() == decode(ours.fetch("one", start, end))
    theirs.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b">chr1\nACGT\n", "no 2bit file"),
        (packed({"a": "ACGT"}, version=1).replace(b"\x01\0\0\0", b"\x07\0\0\0", 1), "of version 7: expected 0 or 1"),
        (packed({"a": "ACGTACGT" * 9})[:-9], "truncated"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.2bit").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TwoBitGenome(tmp_path / "a.2bit").fetch("a", 0, 72)


def test_places_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.2bit").write_bytes(packed({"a": "ACGT"}))
    genome = open_genome(tmp_path / "a.2bit")
    assert isinstance(genome, TwoBitGenome)
    with pytest.raises(ValueError, match="must lie on 0-4"):
        genome.fetch("a", 2, 5)
    with pytest.raises(ValueError, match="no chromosome 'b'"):
        genome.fetch("b", 0, 1)


def test_a_genome_is_opened_in_the_form_that_needs_least_memory(tmp_path: Path) -> None:
    from Bio.bgzf import BgzfWriter

    (tmp_path / "a.fa").write_text(">one\nACGT\n>two\nGGN\n")
    assert isinstance(open_genome(tmp_path / "a.fa"), MemoryGenome)
    with BgzfWriter(str(tmp_path / "b.fa.gz"), "wb") as out:
        out.write((tmp_path / "a.fa").read_bytes())
    assert decode(open_genome(tmp_path / "b.fa.gz").fetch("two", 0, 3)) == "GGN"
    pytest.importorskip("pyfaidx")
    IndexedGenome(tmp_path / "a.fa", build_index=True)
    assert isinstance(open_genome(tmp_path / "a.fa"), IndexedGenome)
    assert isinstance(open_genome(str(tmp_path / "b.fa.gz")), MemoryGenome)
