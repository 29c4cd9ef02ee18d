"""The longest-ORF rule: by hand, by definition, on both strands, on a genome in the box."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.builtin import load_dna
from titans_datasets.dna import (
    coding_labels,
    reading_frame_labels,
    reading_frames,
    reverse_complement_text,
    reverse_labels,
)
from titans_datasets.dna.orfs import ReadingFrame

GENE = "ATG" + "GCA" * 28 + "TAA"  # 90 bases


def by_definition(text: str) -> set[tuple[int, int]]:
    """Every stretch from a start codon to the first stop codon in its frame, the longest of each stop codon."""
    longest: dict[int, int] = {}
    for start in range(len(text) - 2):
        if text[start : start + 3] in ("ATG", "GTG", "TTG"):
            for end in range(start + 3, len(text) - 2, 3):
                if text[end : end + 3] in ("TAA", "TAG", "TGA"):
                    longest.setdefault(end + 3, start)
                    break
    return {(start, end) for end, start in longest.items()}


def test_a_gene_on_each_strand() -> None:
    text = "CCCCC" + GENE + "CCCCCCC" + reverse_complement_text(GENE) + "CC"
    assert reading_frames(text) == [ReadingFrame(5, 95, "+"), ReadingFrame(102, 192, "-")]
    assert reading_frames(text, 93) == []
    assert np.bincount(reading_frame_labels(text)).tolist() == [14, 90, 90]


def test_the_first_start_codon_and_no_open_end() -> None:
    assert reading_frames("ATGCCCGTGCCCTAG", 6) == [ReadingFrame(0, 15, "+")]
    assert reading_frames("ATGTAGGTGCCCTAG", 6) == [ReadingFrame(0, 6, "+"), ReadingFrame(6, 15, "+")]
    assert reading_frames("ATGCCCGTGCCC", 6) == []
    assert reading_frames("ATGCCCTNA", 6) == []
    assert reading_frames("AT", 6) == []


@pytest.mark.parametrize("seed", range(5))
def test_all_frames_of_random_dna(seed: int) -> None:
    text = "".join(np.random.default_rng(seed).choice(list("ACGT"), 400))
    both = {(s, e, "+") for s, e in by_definition(text)}
    both |= {(400 - e, 400 - s, "-") for s, e in by_definition(reverse_complement_text(text))}
    found = reading_frames(text, 6)
    assert {tuple(one) for one in found} <= both
    covered = np.zeros(400, dtype=int)
    for one in found:
        covered[one.start : one.end] += 1
    assert covered.max() == 1
    # Whatever was left out overlaps something that is at least as long.
    for start, end, strand in both - {tuple(one) for one in found}:
        rivals = [one for one in found if one.start < end and start < one.end]
        assert max(one.end - one.start for one in rivals) >= end - start, (start, end, strand)


def test_the_other_strand_gives_the_mirrored_labels() -> None:
    """Up to ties between equally long frames."""
    text = str(load_dna("plasmid")[0].seq)
    mirrored = reverse_labels(reading_frame_labels(reverse_complement_text(text)))
    assert (mirrored == reading_frame_labels(text)).mean() > 0.97


def test_most_genes_of_a_plasmid_are_found() -> None:
    record = load_dna("plasmid")[0]
    found, truth = reading_frame_labels(record), coding_labels(record)
    assert (found == truth)[truth > 0].mean() > 0.7


def test_frames_too_short_to_be_any() -> None:
    with pytest.raises(ValueError, match="shortest must be ≥ 6"):
        reading_frames("ATGTAA", 3)
    with pytest.raises(TypeError):
        reading_frames(7)


def test_bases_of_overlapping_frames_are_those_of_the_longest() -> None:
    """The second frame begins in the last codon of the first, as genes of one operon often do."""
    text = "ATG" + "GCC" * 7 + "GGATGACC" + "CCC" * 20 + "TAA"
    assert reading_frames(text, 12) == [ReadingFrame(26, 95, "+")]
    assert reading_frames(text, 12, overlaps=True) == [ReadingFrame(0, 30, "+"), ReadingFrame(26, 95, "+")]
    assert (reading_frame_labels(text, 12, overlaps=True) == 1).all()


def test_with_overlaps_every_base_has_its_longest_frame() -> None:
    text = "".join(np.random.default_rng(1).choice(list("ACGT"), 3_000))
    every = reading_frames(text, 30, overlaps=True)
    labels = reading_frame_labels(text, 30, overlaps=True)
    assert len(every) > len(reading_frames(text, 30)) > 0
    for place in range(0, 3_000, 7):
        here = [one for one in every if one.start <= place < one.end]
        longest = max((one.end - one.start for one in here), default=0)
        strands = {1 if one.strand == "+" else 2 for one in here if one.end - one.start == longest} or {0}
        assert labels[place] in strands
