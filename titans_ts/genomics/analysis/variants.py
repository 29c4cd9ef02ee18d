"""`variant_effects`: differences of a model's score between alternative and reference alleles.

Shapes: n variants, W bases of a window. Positions of variants count from 1, those of windows from 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from titans_datasets.dna.alphabet import (
    Codes,
    DNAWarning,
    ambiguous_letters,
    as_sequences,
    decode,
    encode,
    encode_all,
)
from titans_datasets.dna.read.genome import Genome, MemoryGenome
from titans_datasets.dna.read.reference import open_genome
from titans_datasets.dna.read.tables import chromosome_names, no_name_in_common, read_vcf
from titans_ts.genomics.analysis.scorer import BASES_PER_CALL, Scorer, scorer

COLUMNS = ("chrom", "pos", "ref", "alt")
RESULTS = ("window_start", "window_end", "ref_score", "alt_score", "effect", "reason")
MISMATCH, OUTSIDE = ("error", "skip"), ("error", "clip", "skip")
# IUPAC codes for several bases: the reference alleles that a VCF may have there, the first base in the alphabet or N.
SEVERAL_BASES = {
    "R": "AN",
    "Y": "CN",
    "S": "CN",
    "W": "AN",
    "K": "GN",
    "M": "AN",
    "B": "CN",
    "D": "AN",
    "H": "AN",
    "V": "AN",
}
CHECK = "Check that both are of the same assembly, that chromosomes have the same names and that pos counts from 1"
PAST = "its window reaches past an end of its chromosome"
# Most variants that an error or a warning lists.
NAMED = 10


class Variant(NamedTuple):
    """One alternative allele: `pos` from 1, upper-case letters."""

    chrom: str
    pos: int
    ref: str
    alt: str

    def __str__(self) -> str:
        return f"{self.chrom}:{self.pos} {self.ref}>{self.alt}"


class Pair(NamedTuple):
    """Windows with both alleles; start and end of the first one on the chromosome, from 0."""

    reference: Codes
    alternative: Codes
    start: int
    end: int


def variant_effects(
    model: Any,
    variants: pd.DataFrame | str | PathLike[str],
    genome: Genome | Mapping[str, Any] | str | PathLike[str],
    *,
    window: int,
    output: Any = None,
    strands: str = "one",
    mismatch: str = "error",
    outside: str = "error",
) -> pd.DataFrame:
    """Effect of variants: score of the window with the alternative allele minus that with the reference allele.

    Both windows begin at the same base, with the allele in the middle (a single base right of the middle where W is
    even, as in `titans_datasets.dna.around`); after an insertion or deletion the bases that follow it are shifted, and
    both windows still have W bases. Windows follow the position as written: the same insertion or deletion in a repeat
    has other windows, and may have another effect, when written further left or right. Normalise such variants first,
    for example by `bcftools norm`.

    Where the genome has an IUPAC code for several bases, a reference allele fits with the first of these in the
    alphabet (VCF specification 4.3), or with N; both alleles are read as the variant has them.

    Args:
        model: as in `mutate`.
        variants: a VCF (.vcf, .vcf.gz), or a table with the columns chrom, pos (from 1), ref, alt, as `read_vcf`
            returns it; insertions and deletions as in VCF, with the base before them.
        genome: the result of `read_genome` or `open_genome`, a dict of names and sequences, or the path of a FASTA,
            GenBank or 2bit file.
        window: W bases; for a model that reads positions, the length of its training sequences.
        output, strands: as in `mutate`.
        mismatch: a variant that does not match the genome (another reference allele, an unknown chromosome, a position
            past its end): "error" raises and lists all of them, "skip" leaves them without scores, with a `DNAWarning`.
        outside: a window past an end of its chromosome: "error" raises, "clip" cuts both windows there, with a
            `DNAWarning`: both are equally long, and hold the bases that the shorter one has. Where the longer allele
            has no room then, its window begins later. "skip" leaves such variants without scores, with a `DNAWarning`;
            a model that reads positions has no shorter windows.

    Returns:
        The table of variants, in its order, with the columns window_start, window_end (of the reference window, from
        0), ref_score, alt_score, effect (the difference) and reason: why a row has no scores, else "".

    Raises:
        ValueError: a column is missing or taken, a row is no variant, an allele is longer than the window, variants do
            not match the genome, a window reaches past a chromosome or is not the length of a model that reads
            positions, an unknown option, or see `mutate`.
        TypeError: variants or genome are of another type.

    Example:
        >>> import pandas as pd
        >>> variants = pd.DataFrame({"chrom": ["chr1"], "pos": [6], "ref": ["T"], "alt": ["C"]})
        >>> genome = {"chr1": "CCCGATACCC"}
        >>> found = variant_effects(lambda texts: [text.count("GATA") for text in texts], variants, genome, window=8)
        >>> found[["ref_score", "alt_score", "effect"]].iloc[0].tolist()
        [1.0, 0.0, -1.0]
    """
    for name, value, allowed in (("mismatch", mismatch, MISMATCH), ("outside", outside, OUTSIDE)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    read = scorer(model, output, strands)
    table = _table(variants)
    rows = _variants(table)
    if window < 1:
        raise ValueError(f"window must be ≥ 1 base, got {window}")
    if read.length and window != read.length:
        raise ValueError(
            f"window must be {read.length}, the bases of each sequence of training, got {window}: the model reads "
            "positions"
        )
    longest = max(rows, key=lambda row: max(len(row.ref), len(row.alt)))
    if max(len(longest.ref), len(longest.alt)) > window:
        raise ValueError(
            f"window must hold both alleles of {longest!s:.60}, got {window}: widen it or drop the variant"
        )
    chromosomes = _genome(genome)
    reasons = _check_reference(chromosomes, rows, mismatch)
    past = [not reason and _is_past(chromosomes, row, window) for row, reason in zip(rows, reasons, strict=True)]
    _check_ends(chromosomes, rows, past, window, outside, read.length)
    if outside == "skip":
        reasons = [PAST if out else reason for out, reason in zip(past, reasons, strict=True)]
    fitting = [place for place, reason in enumerate(reasons) if not reason]
    found = _scores(read, chromosomes, [rows[place] for place in fitting], window)
    return _result(table, fitting, found, reasons)


def _table(variants: Any) -> pd.DataFrame:
    if isinstance(variants, str | PathLike):
        return read_vcf(variants)
    if not isinstance(variants, pd.DataFrame):
        raise TypeError(
            f"variants must be the path of a VCF or a table with the columns {', '.join(COLUMNS)}, got "
            f"{type(variants).__name__}"
        )
    missing = [column for column in COLUMNS if column not in variants.columns]
    if missing:
        raise ValueError(
            f"variants have no column {missing[0]!r}, only {', '.join(map(str, variants.columns))}: rename it"
        )
    taken = [column for column in RESULTS if column in variants.columns]
    if taken:
        raise ValueError(f"variants have a column {taken[0]!r}, which is the name of a result: rename it")
    if variants.empty:
        raise ValueError("variants have no rows")
    return variants


def _variants(table: pd.DataFrame) -> list[Variant]:
    """Rows as variants.

    Raises:
        ValueError: a position that is not a whole number ≥ 1, or an allele with letters other than A, C, G, T, N.
    """
    places = pd.to_numeric(table["pos"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~((places >= 1) & (places == np.floor(places)))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row} of variants: pos must be a whole number ≥ 1, got {table['pos'].iloc[row]!r}")
    for column in ("ref", "alt"):
        wrong = ~table[column].astype(str).str.fullmatch("[ACGTNacgtn]+").to_numpy(dtype=bool)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"row {row} of variants: {column} must be letters A, C, G, T or N, got {table[column].iloc[row]!r}: "
                "write insertions and deletions with the base before them, one row per allele"
            )
    letters = [table[column].astype(str).str.upper() for column in ("ref", "alt")]
    names = chromosome_names(table["chrom"], "variants")
    parts = zip(names, places.astype(np.int64).tolist(), *letters, strict=True)
    return [Variant(*part) for part in parts]


def _genome(genome: Any) -> Genome:
    if isinstance(genome, str | PathLike):
        return open_genome(genome)
    if isinstance(genome, Mapping):
        names = [str(name) for name in genome]
        texts = as_sequences([*genome.values()])
        ambiguous = {name: ambiguous_letters(text) for name, text in zip(names, texts, strict=True)}
        return MemoryGenome(dict(zip(names, encode_all(texts), strict=True)), ambiguous=ambiguous)
    if not hasattr(genome, "lengths") or not hasattr(genome, "fetch"):
        raise TypeError(
            "genome must be the result of read_genome, an IndexedGenome, a dict of names and sequences, or the path of "
            f"a FASTA file, got {type(genome).__name__}"
        )
    found: Genome = genome
    return found


def _check_reference(genome: Genome, rows: list[Variant], mismatch: str) -> list[str]:
    """Why each variant does not match the genome, "" where it does.

    Raises:
        ValueError: there are such variants and `mismatch` is "error".
    """
    reasons = [_misfit(genome, row) for row in rows]
    listed = [f"{row!s:.60} ({reason})" for row, reason in zip(rows, reasons, strict=True) if reason]
    if not listed:
        return reasons
    strange = no_name_in_common([row.chrom for row in rows], genome.lengths, "the genome")
    shown = "; ".join(listed[:NAMED]) + (f"; and {len(listed) - NAMED:,} more" if len(listed) > NAMED else "")
    count = f"{len(listed):,} of {len(rows):,}"
    if mismatch == "error":
        raise ValueError(
            f"variants that do not match the genome: {count}: {shown}. {strange or CHECK}; mismatch='skip' leaves them "
            "without scores"
        )
    shown += f". {strange}" if strange else ""
    warnings.warn(f"variants that do not match the genome, left without scores: {count}: {shown}", DNAWarning, 3)
    return reasons


def _misfit(genome: Genome, row: Variant) -> str:
    if row.chrom not in genome.lengths:
        return f"no chromosome {row.chrom!r} in the genome"
    first, last = row.pos - 1, row.pos - 1 + len(row.ref)
    if last > genome.lengths[row.chrom]:
        return f"past the end, {genome.lengths[row.chrom]}"
    found = _letters(genome, row.chrom, first, last)
    fits = all(ref == base or ref in SEVERAL_BASES.get(base, "") for ref, base in zip(row.ref, found, strict=True))
    return "" if fits else f"the genome has {found:.30}"


def _letters(genome: Genome, name: str, start: int, end: int) -> str:
    """Upper-case letters, with IUPAC codes where the genome knows them."""
    letters = getattr(genome, "letters", None)
    return decode(genome.fetch(name, start, end)) if letters is None else str(letters(name, start, end))


def _check_ends(genome: Genome, rows: list[Variant], past: list[bool], window: int, outside: str, length: int) -> None:
    """Windows past an end of their chromosome, refused or reported.

    Args:
        genome: the variants are of.
        rows: the variants.
        past: (n,) whether the window of each reaches past an end.
        window, outside: as in `variant_effects`.
        length: bases of every sequence that the model can read, 0 for any number.

    Raises:
        ValueError: there are such windows and they are neither cut nor left out.
    """
    found = [row for row, out in zip(rows, past, strict=True) if out]
    if not found:
        return
    shown = "; ".join(f"{row!s:.60}" for row in found[:NAMED]) + (" …" if len(found) > NAMED else "")
    summary = f"windows of {window} bases that reach past an end of their chromosome: {len(found):,} of {len(rows):,}"
    if length and outside != "skip":
        raise ValueError(
            f"{summary}: {shown}. The model reads positions of {length} bases, and no shorter windows: leave these "
            "without scores by outside='skip', or train on sequences of several lengths"
        )
    if outside == "error":
        raise ValueError(
            f"{summary}: {shown}. Use a smaller window, cut them with outside='clip', or leave these without scores by "
            "outside='skip'"
        )
    if outside == "clip":
        _check_room(genome, found, window)
    done = "cut there" if outside == "clip" else "left without scores"
    warnings.warn(f"{summary}, {done}: {shown}", DNAWarning, 3)


def _check_room(genome: Genome, rows: list[Variant], window: int) -> None:
    """Refuse a variant whose windows, cut at the end of the chromosome, do not hold both alleles."""
    narrow = next((row for row in rows if _cut_size(genome, row, window) < max(len(row.ref), len(row.alt))), None)
    if narrow is not None:
        size = _cut_size(genome, narrow, window)
        raise ValueError(
            f"{narrow!s:.60}: its windows, cut to {size} bases, do not hold both alleles: drop the variant"
        )


def _span(row: Variant, window: int) -> tuple[int, int]:
    """Start of both windows, and the end of the bases they need of the chromosome."""
    start = row.pos - 1 - (window - max(len(row.ref), len(row.alt)) + 1) // 2
    deleted = len(row.ref) - len(row.alt)
    return start, start + window + max(deleted, 0)


def _is_past(genome: Genome, row: Variant, window: int) -> bool:
    start, end = _span(row, window)
    return start < 0 or end > genome.lengths[row.chrom]


def _bounds(genome: Genome, row: Variant, window: int) -> tuple[int, int]:
    """The bases of the chromosome that both windows are cut from; at least as many as the longer allele has."""
    start, end = _span(row, window)
    left, right = max(start, 0), min(end, genome.lengths[row.chrom])
    shorter = right - left - max(len(row.ref) - len(row.alt), 0)
    lacking = max(len(row.ref), len(row.alt)) - shorter
    return max(left - max(lacking, 0), 0), right


def _cut_size(genome: Genome, row: Variant, window: int) -> int:
    """Bases of both windows: W, less what lies before the chromosome, at most those that the shorter one can have."""
    start, _ = _span(row, window)
    left, right = _bounds(genome, row, window)
    return min(window - max(-start, 0), right - left - max(len(row.ref) - len(row.alt), 0))


def _pair(genome: Genome, row: Variant, window: int) -> Pair:
    left, right = _bounds(genome, row, window)
    bases = genome.fetch(row.chrom, left, right)
    at, size = row.pos - 1 - left, _cut_size(genome, row, window)
    rest = bases[at + len(row.ref) :]
    both, firsts = [], []
    for allele in (row.ref, row.alt):
        # The window of an allele that would not fit begins later.
        first = max(at + len(allele) - size, 0)
        both.append(np.concatenate([bases[:at], encode(allele), rest])[first : first + size])
        firsts.append(first)
    return Pair(both[0], both[1], left + firsts[0], left + firsts[0] + size)


def _scores(read: Scorer, genome: Genome, rows: list[Variant], window: int) -> list[tuple[int, int, float, float]]:
    """Window start and end and both scores of each variant, in batches of windows."""
    found: list[tuple[int, int, float, float]] = []
    step = max(BASES_PER_CALL // (2 * window), 1)
    for first in range(0, len(rows), step):
        pairs = [_pair(genome, row, window) for row in rows[first : first + step]]
        scores = read([codes for pair in pairs for codes in pair[:2]]).reshape(-1, 2)
        found += [
            (pair.start, pair.end, float(both[0]), float(both[1])) for pair, both in zip(pairs, scores, strict=True)
        ]
    return found


def _result(
    table: pd.DataFrame, fitting: list[int], found: list[tuple[int, int, float, float]], reasons: list[str]
) -> pd.DataFrame:
    numbers = np.full((len(table), 4), np.nan)
    numbers[fitting] = np.array(found).reshape(-1, 4)
    result = table.copy()
    for name, column in zip(RESULTS[:2], numbers.T[:2], strict=True):
        result[name] = pd.array(column, dtype="Int64")
    result["ref_score"], result["alt_score"] = numbers[:, 2], numbers[:, 3]
    result["effect"] = numbers[:, 3] - numbers[:, 2]
    result["reason"] = reasons
    return result
