"""Text tables as people save them: separator, decimal mark and marks of thousands, found from the whole file.

Shapes: n rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from titans_datasets.text import some

# Before pandas 3.1 the default parser is off by one unit in the last place for some numbers.
_OLD_PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _OLD_PANDAS else {}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes", ",": "commas"}
SAMPLE = 100_000
_SPACES = re.compile(r"(?<=\d)[\u00a0\u202f' \u2019](?=\d{3}(?!\d))")
_NUMBER = r"[+-]?\s?"
# What a value tells about the marks; the first that fits.
_EVIDENCE = {
    "plain": re.compile(rf"{_NUMBER}\d+"),
    "point": re.compile(rf"{_NUMBER}(\d*\.\d+|\d+\.|\d*\.?\d+[eE][+-]?\d+|\d{{1,3}}(,\d{{3}})+\.\d*|\d{{1,3}}(,\d{{3}}){{2,}})"),
    "comma": re.compile(rf"{_NUMBER}(\d*,\d+|\d+,|\d*,?\d+[eE][+-]?\d+|\d{{1,3}}(\.\d{{3}})+,\d*|\d{{1,3}}(\.\d{{3}}){{2,}})"),
}
_THREE = {"point": re.compile(rf"{_NUMBER}[1-9]\d{{0,2}}\.\d{{3}}"), "comma": re.compile(rf"{_NUMBER}[1-9]\d{{0,2}},\d{{3}}")}
_MARKS = {"point": ".", "comma": ","}
_MISSING = {"", "na", "n/a", "nan", "null", "none", "#n/a", "<na>", "-", "?"}


class Marks(NamedTuple):
    """What the values of a column tell about its decimal mark.

    Attributes:
        sure: "point" or "comma" where a value shows the decimal mark, "both" where values contradict each other.
        three: "point" or "comma" where all other marks are followed by three digits: decimals, or thousands.
        small, large: whether there are whole numbers without a mark below and from 1,000 on.
        example: a value with a mark.
    """

    sure: str
    three: str
    small: bool
    large: bool
    example: str


def read_text_table(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """A csv, tsv or other text table (also .gz) with any of `SEPARATORS`, and notes on how it was read.

    Raises:
        ValueError: it holds no columns, or rows and header differ in their number.
    """
    text, notes = _decoded(file)
    skip = 1 if re.match(r"sep=.\r?\n", text) else 0
    separator = text[4] if skip else _separator(text, file)
    options: dict[str, Any] = {**_EXACT, "sep": separator, "skiprows": skip, "skipinitialspace": separator != ","}
    frame = _parsed(text, file, options)
    if separator != ",":
        notes = [*notes, f"{file.name} was read as values separated by {SEPARATORS.get(separator, repr(separator))}"]
    texts = None
    if separator != "," or any(_quoted_numbers(frame[name]) for name in frame.columns):
        texts = _parsed(text, file, {**options, "dtype": str, "keep_default_na": False})
    return (frame, notes) if texts is None else _with_numbers(frame, texts, notes, separator)


def _decoded(file: Path) -> tuple[str, list[str]]:
    raw = file.read_bytes()
    if file.name.lower().endswith(".gz"):
        raw = gzip.decompress(raw)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16"), []
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return raw.decode("latin-1"), [f"{file.name} is not UTF-8 and was read as latin-1"]


def _separator(text: str, file: Path) -> str:
    """The separator of which the header and every row of the beginning hold the same number.

    Semicolons, tabs and pipes come before commas, which may be decimal marks.
    """
    lines = [line for line in text[:SAMPLE].splitlines() if line.strip()]
    if len(text) > SAMPLE:
        lines = lines[:-1]
    if not lines:
        raise ValueError(f"{file} holds no columns: expected a header line and rows")
    for separator in SEPARATORS:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator)]
        if counts[0] > 1 and len(set(counts)) == 1:
            return separator
    header = next(csv.reader(lines[:1]))
    for separator, name in SEPARATORS.items():
        fields = [len(row) for row in csv.reader(lines, delimiter=separator)]
        if separator != "," and len(header) == 1 and fields[0] > 1:
            line = next(place for place, count in enumerate(fields) if count != fields[0])
            raise ValueError(
                f"{file} looks separated by {name}, but line {line + 1} has {fields[line]} fields and the header "
                f"{fields[0]}: correct this line ({lines[line][:80]!r})"
            )
    return ","


def _parsed(text: str, file: Path, options: dict[str, Any]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(io.StringIO(text), **options)
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{file} holds no columns: expected a header line and rows") from error
    except pd.errors.ParserError as error:
        name = SEPARATORS.get(options["sep"], options["sep"])
        raise ValueError(f"{file} is not a table of values separated by {name}: {error}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(
            f"{file} is not a table: its rows have more fields than its header ({some(frame.columns, 9)}). Name every "
            "column; numbers with decimal commas need semicolons between the columns, or quotes"
        )
    return frame


def _quoted_numbers(column: pd.Series[Any]) -> bool:
    """Whether a column of a comma-separated file holds numbers with commas."""
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    marks = _marks(column.dropna().astype(str))
    return marks is not None and "," in marks.example


def _with_numbers(
    frame: pd.DataFrame, texts: pd.DataFrame, notes: list[str], separator: str
) -> tuple[pd.DataFrame, list[str]]:
    """The frame with its numbers read by the decimal mark that the whole file shows."""
    found = {name: marks for name in texts.columns if (marks := _marks(texts[name])) is not None}
    sure = {marks.sure for marks in found.values() if marks.sure}
    shown = sure.pop() if len(sure) == 1 and "both" not in sure else ""
    columns: dict[str, list[str]] = {}
    for name, marks in found.items():
        decimal, doubt = _decide(marks, shown, separator)
        if not decimal:
            continue
        frame[name] = _numbers(texts[name], decimal)
        value = _numbers(pd.Series([marks.example]), decimal).iloc[0]
        said = f"{marks.example!r} as {value:.15g}"
        if doubt:
            other = _numbers(pd.Series([marks.example]), "," if decimal == "." else ".").iloc[0]
            notes.append(f"numbers of {name!r} can be read in two ways: {said}, not {other:.15g}; {doubt}")
        elif decimal == "," or "," in marks.example:
            columns.setdefault(decimal, []).append(f"{name!r} ({said})")
    for decimal, names in columns.items():
        mark = "commas" if decimal == "," else "points"
        notes.append(f"numbers were read with decimal {mark}: {', '.join(names[:3])}" + (" …" if names[3:] else ""))
    return frame, notes


def _decide(marks: Marks, shown: str, separator: str) -> tuple[str, str]:
    """Decimal mark of a column ("" leaves it as it is), and why where its values do not show it."""
    if marks.sure == "both":
        return "", ""
    if marks.sure:
        return _MARKS[marks.sure], ""
    if not marks.three:
        return "", ""
    if shown:
        return _MARKS[shown], ""
    mark, other = _MARKS[marks.three], {"point": ",", "comma": "."}[marks.three]
    if marks.small and not marks.large:
        return other, "numbers below 1000 have no mark, so it separates thousands; write them without to be sure"
    if marks.three == "comma" and separator == ",":
        return other, "a comma in a comma-separated file separates thousands; write them without to be sure"
    return mark, f"the mark {mark!r} was taken as the decimal one; write thousands without a mark"


def _marks(column: pd.Series[Any]) -> Marks | None:
    """What a column of texts (n,) tells; None where it does not hold numbers with marks only."""
    values = pd.unique(column.str.strip())
    values = [_SPACES.sub("", text) for text in values if text.lower() not in _MISSING]
    kinds: set[str] = set()
    three, example, small, large = set(), "", False, False
    for text in values:
        if _EVIDENCE["plain"].fullmatch(text):
            small, large = small or len(text.lstrip("+- ")) < 4, large or len(text.lstrip("+- ")) >= 4
            continue
        fits = [kind for kind in ("point", "comma") if _EVIDENCE[kind].fullmatch(text)]
        if not fits:
            return None
        kind = next((kind for kind in ("point", "comma") if _THREE[kind].fullmatch(text)), "")
        three |= {kind} if kind else set()
        kinds |= set() if kind or len(fits) > 1 else {fits[0]}
        example = example if example and not (kind == "" and _first_three(example)) else text
    if not example:
        return None
    sure = "both" if len(kinds) > 1 else kinds.pop() if kinds else "both" if len(three) > 1 else ""
    return Marks(sure, three.pop() if len(three) == 1 else "", small, large, example)


def _first_three(text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in _THREE.values())


def _numbers(column: pd.Series[Any], decimal: str) -> pd.Series[Any]:
    """Texts (n,) as numbers, NaN where they are empty or stand for a missing value."""
    thousands = "." if decimal == "," else ","
    text = column.str.strip().str.replace(_SPACES, "", regex=True)
    text = text.mask(text.str.lower().isin(_MISSING)).str.replace(thousands, "", regex=False)
    text = text.str.replace(decimal, ".", regex=False).str.replace(r"^([+-])\s", r"\1", regex=True)
    return pd.to_numeric(text).astype(np.float64)
