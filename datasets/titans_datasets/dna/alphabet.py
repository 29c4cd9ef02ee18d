"""DNA letters as numbers: A 0, C 1, G 2, T 3, N 4, padding 5; one uint8 per base.

Case does not change the number (`soft_mask` reports it), U is T, and the IUPAC codes for several bases are N.

Shapes: n bases of a sequence; `…` any leading dimensions.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

A, C, G, T, N, PAD = range(6)
VOCABULARY = 6
LETTERS = "ACGTN"
AMBIGUOUS = "RYSWKMBDHV"

Codes: TypeAlias = npt.NDArray[np.uint8]
_AMBIGUOUS, _UNKNOWN = 254, 255


class DNAWarning(UserWarning):
    """Something in the data was ambiguous, changed or left out; the message describes it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     codes = encode("ACRT")
        >>> told[0].category.__name__
        'DNAWarning'
    """


def _table() -> bytes:
    table = bytearray([_UNKNOWN] * 256)
    for letters, code in (*zip("ACGTUN", (A, C, G, T, T, N), strict=True), (AMBIGUOUS, _AMBIGUOUS)):
        for letter in letters + letters.lower():
            table[ord(letter)] = code
    return bytes(table)


_CODES = _table()
_COMPLEMENT = np.array([T, G, C, A, N, PAD], dtype=np.uint8)
_TEXT = LETTERS.encode().ljust(256, b"\0")
_SEVERAL_BASES = re.compile(f"[{AMBIGUOUS}]", re.IGNORECASE)


def encode(sequence: str | bytes | Seq | SeqRecord) -> Codes:
    """Numbers of the letters (n,) uint8, in a new array.

    IUPAC codes other than N become N, with a `DNAWarning` that counts them.

    Raises:
        ValueError: a letter that is not DNA or RNA; the message gives its position (from 1).
        TypeError: the argument is not a sequence.

    Example:
        >>> encode("ACGTN").tolist(), encode("acgu").tolist()
        ([0, 1, 2, 3, 4], [0, 1, 2, 3])
    """
    return _encode([_text(sequence, None)], None)


def encode_all(X: Any) -> list[Codes]:
    """Numbers of every sequence: arrays (n,) uint8, for everything that `as_sequences` accepts.

    IUPAC codes other than N become N, with one `DNAWarning` that counts them. The arrays are views of one array.

    Raises:
        ValueError: as `as_sequences`; or a letter that is not DNA or RNA; the message gives the index of the sequence
            (from 0) and the position (from 1).
        TypeError: as `as_sequences`.

    Example:
        >>> [codes.tolist() for codes in encode_all(["ACG", "T"])]
        [[0, 1, 2], [3]]
    """
    texts = as_sequences(X)
    borders = np.cumsum([len(text) for text in texts])
    return np.split(_encode(texts, borders), borders[:-1])


def _encode(texts: list[str], borders: npt.NDArray[np.int64] | None) -> Codes:
    joined = texts[0] if len(texts) == 1 else "".join(texts)
    # latin-1 would accept letters like µ, and "replace" keeps one byte per letter: positions stay right.
    ids = np.frombuffer(bytearray(joined.encode("ascii", "replace")).translate(_CODES), dtype=np.uint8)
    if ids.size and ids.max() > N:
        wrong = ids == _UNKNOWN
        if wrong.any():
            raise ValueError(_complaint(joined, int(wrong.argmax()), borders))
        ambiguous = ids == _AMBIGUOUS
        ids[ambiguous] = N
        count = int(ambiguous.sum())
        bases = "1 base is" if count == 1 else f"{count:,} bases are"
        warnings.warn(f"{bases} given by an IUPAC code ({AMBIGUOUS}) and read as N", DNAWarning, stacklevel=3)
    return ids


def _complaint(joined: str, place: int, borders: npt.NDArray[np.int64] | None) -> str:
    where, position = "", place + 1
    if borders is not None:
        index = int(np.searchsorted(borders, place, side="right"))
        where, position = f"sequence {index}, ", place + 1 - (int(borders[index - 1]) if index else 0)
    return (
        f"{where}position {position}: letter {joined[place]!r} is none of A, C, G, T, U, N or an IUPAC code "
        f"({AMBIGUOUS}): expected DNA or RNA; remove gaps and digits; protein is not accepted"
    )


def soft_mask(sequence: str | bytes | Seq | SeqRecord) -> npt.NDArray[np.bool_]:
    """Where the letters are lower case (n,): repeats in soft-masked genomes.

    Example:
        >>> soft_mask("ACgt").tolist()
        [False, False, True, True]
    """
    raw = np.frombuffer(_text(sequence, None).encode("ascii", "replace"), dtype=np.uint8)
    return (raw >= ord("a")) & (raw <= ord("z"))


def ambiguous_letters(sequence: str) -> dict[int, str]:
    """Position (from 0) and letter, in upper case, of the IUPAC codes for several bases other than N.

    Example:
        >>> ambiguous_letters("ACmN")
        {2: 'M'}
    """
    return {found.start(): found.group().upper() for found in _SEVERAL_BASES.finditer(sequence)}


def decode(ids: npt.ArrayLike) -> str:
    """The letters of numbers (n,), in upper case.

    Raises:
        ValueError: a number is not 0 … 4; cut off padding (5) by the attention mask first.

    Example:
        >>> decode([0, 1, 2, 3, 4])
        'ACGTN'
    """
    codes = np.asarray(ids)
    if codes.ndim != 1 or (codes.size and (codes.dtype.kind not in "iu" or codes.min() < A or codes.max() > N)):
        raise ValueError(
            f"ids must be one row of whole numbers {A} … {N} ({LETTERS}), got {_show(codes)}: cut off padding "
            f"({PAD}) with ids[attention_mask]"
        )
    return codes.astype(np.uint8).tobytes().translate(_TEXT).decode("ascii")


def _show(codes: npt.NDArray[Any]) -> str:
    if codes.ndim != 1 or codes.dtype.kind not in "iu":
        return f"an array {codes.shape} of {codes.dtype}"
    return f"{codes.min()} … {codes.max()}"


def reverse_complement(ids: npt.ArrayLike) -> npt.NDArray[Any]:
    """The reverse complement (…, n) along the last dimension; N stays N, padding moves to the other end.

    Raises:
        ValueError: a number is not 0 … 5.

    Example:
        >>> decode(reverse_complement(encode("AACGN")))
        'NCGTT'
    """
    codes = np.asarray(ids)
    if codes.size and (codes.dtype.kind not in "iu" or codes.min() < A or codes.max() > PAD):
        raise ValueError(
            f"ids must be whole numbers {A} … {PAD}, got {_show(codes.ravel())}: encode the sequences first"
        )
    return _COMPLEMENT.astype(codes.dtype)[codes.astype(np.intp)][..., ::-1].copy()


def reverse_complement_text(sequence: str) -> str:
    """The reverse complement in letters: IUPAC codes and case are kept (R↔Y, K↔M, B↔V, D↔H), U becomes A.

    Raises:
        ValueError: a letter that is not DNA or RNA; the message gives its position (from 1).

    Example:
        >>> reverse_complement_text("AACGr")
        'yCGTT'
    """
    from Bio.Seq import reverse_complement as of_text

    raw = sequence.encode("ascii", "replace").translate(_CODES)
    place = raw.find(_UNKNOWN)
    if place >= 0:
        raise ValueError(_complaint(sequence, place, None))
    return str(of_text(sequence))


def as_sequences(X: Any) -> list[str]:
    """Any collection of sequences as a list of strings; letters are not changed.

    Args:
        X: list, tuple, one-dimensional array, Series or Index of str, bytes, Seq, SeqRecord or `DNARecord`; a
            DataFrame with a column "sequence"; or the path of a file that `read_records` reads.

    Raises:
        TypeError: a single sequence, or an element that is not a sequence (a number, NaN, None); the message gives its
            index.
        ValueError: no sequences, a table without the column, or an empty sequence; the message gives its index.

    Example:
        >>> as_sequences(["ACGT", b"GG"])
        ['ACGT', 'GG']
        >>> len(as_sequences("builtin:orchids"))
        94
    """
    if isinstance(X, Path) or (isinstance(X, str) and _is_path(X)):
        from titans_datasets.dna.read.files import read_records

        X = read_records(X, label_column=None)
    texts = [_text(item, index) for index, item in enumerate(_items(X))]
    if not texts:
        raise ValueError("X must hold at least one sequence, got none")
    for index, text in enumerate(texts):
        if not text:
            raise ValueError(f"sequence {index} is empty: remove it")
    return texts


def _is_path(text: str) -> bool:
    from titans_datasets.dna.read.files import format_of

    return text.startswith("builtin:") or format_of(text) is not None or (len(text) < 256 and os.path.isfile(text))


def _items(X: Any) -> Sequence[Any]:
    if isinstance(X, str | bytes) or hasattr(X, "reverse_complement"):
        text = str(getattr(X, "seq", X))
        shown = text if len(text) <= 20 else text[:20] + "…"
        raise TypeError(f"X must be a list of sequences, got one sequence ({shown!r}): give a list, [sequence]")
    if hasattr(X, "columns"):
        if "sequence" not in X.columns:
            raise ValueError(f"the table has no column 'sequence', only {', '.join(map(str, X.columns))}: rename one")
        X = X["sequence"]
    if getattr(X, "ndim", 1) != 1:
        raise ValueError(f"X must be one-dimensional, one sequence per element, got shape {X.shape}")
    if isinstance(X, list | tuple):
        return X
    if hasattr(X, "tolist"):
        return list(X.tolist())
    raise TypeError(f"X must be a list, tuple, array or Series of sequences, got {type(X).__name__}: give a list")


def _text(item: Any, index: int | None) -> str:
    """The letters of any kind of sequence; duck-typed, so that strings do not need Biopython."""
    if isinstance(item, str):
        return item
    found = getattr(item, "seq", getattr(item, "sequence", item))
    if isinstance(found, str):
        return found
    where = "the sequence" if index is None else f"sequence {index}"
    try:
        if isinstance(found, bytes | bytearray):
            return found.decode("latin-1")
        if hasattr(found, "reverse_complement"):
            return str(found)
    except (TypeError, ValueError) as error:  # UndefinedSequenceError: a record with a length but no letters
        raise ValueError(f"{where} has a length but no letters: get the record with its sequence") from error
    raise TypeError(f"{where} must be a str, Seq or SeqRecord, got {type(item).__name__} {item!r:.40}: remove it")
