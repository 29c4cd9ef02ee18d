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
_PLAIN = re.compile(rf"{_NUMBER}\d+")


def _decimal(mark: str, thousands: str) -> re.Pattern[str]:
    """Numbers of which a decimal mark is sure: it, or the mark of thousands twice."""
    groups = rf"\d{{1,3}}({thousands}\d{{3}})"
    return re.compile(rf"{_NUMBER}(\d*{mark}\d+|\d+{mark}|\d*{mark}?\d+[eE][+-]?\d+|{groups}+{mark}\d*|{groups}{{2,}})")


_EVIDENCE = {"point": _decimal(r"\.", ","), "comma": _decimal(",", r"\.")}
# One mark before three digits: a decimal mark, or one of thousands.
_THREE = {
    mark: re.compile(rf"{_NUMBER}[1-9]\d{{0,2}}{sign}\d{{3}}") for mark, sign in (("point", r"\."), ("comma", ","))
}
_MARKS = {"point": ".", "comma": ","}
# Where dates are written like this, decimals have commas.
_DOTTED = re.compile(r"\d{1,2}\.\d{1,2}\.(\d{4}|\d\d)\b")
# In the attributes of a frame: names that more than one column of its file had.
TWICE = "columns_twice"
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
        ValueError: it holds no columns, or rows and header differ in their number of fields.
    """
    head, encoding = _head(file)
    options: dict[str, Any] = {**_EXACT, "encoding": encoding, "sep": ","}
    if hint := re.match(r"sep=(.)\r?\n", head):
        # Excel's own way to say it.
        options |= {"sep": hint[1], "skiprows": 1, "skipinitialspace": True}
    elif (separator := _separator(head, file)) != ",":
        options |= {"sep": separator, "skipinitialspace": True}
    frame, notes = _parsed(file, options)
    twice = _named_twice(head, options)
    if twice:
        notes = [
            *notes,
            f"{file.name} has more than one column {some(twice)}: the later ones are called {twice[0]}.1 …",
        ]
    separator, bare = options["sep"], [str(name).strip() for name in frame.columns]
    if bare != frame.columns.tolist() and len(set(bare)) == len(bare):
        notes = [*notes, f"spaces around the names of columns of {file.name} were left out"]
        frame.columns = pd.Index(bare)
    frame.attrs.update({TWICE: twice} if twice else {})
    if separator != ",":
        notes = [*notes, f"{file.name} was read as values separated by {SEPARATORS.get(separator, repr(separator))}"]
    elif not any(_unread_numbers(frame[name]) for name in frame.columns):
        return frame, notes
    texts, _ = _parsed(file, {**options, "dtype": str, "keep_default_na": False})
    texts.columns = frame.columns
    return _with_numbers(frame, texts, notes, separator)


def _head(file: Path) -> tuple[str, str | None]:
    """The beginning of a text, cut at a line, and its encoding where it names one."""
    with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as opened:
        raw = opened.read(SAMPLE)
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else None
    text = raw.decode(encoding or "utf-8-sig", errors="ignore")
    return (text if len(raw) < SAMPLE else text[: text.rfind("\n") + 1]), encoding


def _named_twice(head: str, options: dict[str, Any]) -> list[str]:
    """Names that more than one column has; pandas gives the later ones others."""
    lines = csv.reader(io.StringIO(head), delimiter=options["sep"])
    rows = [row for row in lines if row][options.get("skiprows", 0) :]
    names = [name.strip() for name in rows[0]] if rows else []
    return [name for name in dict.fromkeys(names) if name and names.count(name) > 1]


def _separator(head: str, file: Path) -> str:
    """The separator that the header and every row have equally often.

    Semicolons, tabs and pipes come before commas, which may be decimal marks.
    """
    counts: dict[str, list[int]] = {}
    for separator in SEPARATORS:
        try:
            rows = [row for row in csv.reader(io.StringIO(head), delimiter=separator) if row]
        except csv.Error:
            continue
        counts[separator] = [len(row) for row in rows]
        if rows and len(rows[0]) > 1 and len(set(counts[separator])) == 1:
            return separator
    if not counts.get(",") or counts[","][0] > 1:
        return ","
    for separator, fields in counts.items():
        if fields[0] > 1:
            row = next(place for place, count in enumerate(fields) if count != fields[0])
            raise ValueError(
                f"{file} looks separated by {SEPARATORS[separator]}, but row {row + 1} has {fields[row]} fields and "
                f"the header {fields[0]}: correct this row"
            )
    return ","


def _parsed(file: Path, options: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    notes = []
    try:
        try:
            frame = pd.read_csv(file, **options)
        except UnicodeDecodeError:
            frame = pd.read_csv(file, **{**options, "encoding": "latin-1"})
            notes = [f"{file.name} is not UTF-8 and was read as latin-1"]
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
    return frame, notes


def _unread_numbers(column: pd.Series[Any]) -> bool:
    """Whether a column of a comma-separated file holds numbers that pandas does not know as such."""
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    return _marks(column.dropna().astype(str)) is not None


def _with_numbers(
    frame: pd.DataFrame, texts: pd.DataFrame, notes: list[str], separator: str
) -> tuple[pd.DataFrame, list[str]]:
    """The frame with its numbers read by the decimal mark that the whole file shows."""
    found = {name: marks for name in texts.columns if (marks := _marks(texts[name])) is not None}
    sure = {marks.sure for marks in found.values() if marks.sure}
    shown = sure.pop() if len(sure) == 1 and "both" not in sure else ""
    pointed = separator != "," and any(_DOTTED.match(str(value)) for value in texts.iloc[0])
    columns: dict[str, list[str]] = {}
    for name, marks in found.items():
        decimal, doubt = _decide(marks, shown, separator, pointed)
        if not decimal:
            continue
        # What pandas has read is exact already.
        if decimal == "," or not pd.api.types.is_numeric_dtype(frame[name].dtype):
            frame[name] = _numbers(texts[name], decimal)
        if dashes := sorted({*texts[name].str.strip()} & {"-", "?"}):
            notes.append(f"{some(dashes)} in {name!r} was read as a missing value")
        value = _numbers(pd.Series([marks.example]), decimal).iloc[0]
        said = f"{marks.example!r} as {value:.15g}"
        if doubt:
            other = _numbers(pd.Series([marks.example]), "," if decimal == "." else ".").iloc[0]
            notes.append(f"numbers of {name!r} can be read in two ways: {said}, not {other:.15g}; {doubt}")
        elif decimal == "," or not re.fullmatch(r"[+-]?\d*\.?\d*([eE][+-]?\d+)?", marks.example):
            columns.setdefault(decimal, []).append(f"{name!r} ({said})")
    for decimal, names in columns.items():
        mark = "commas" if decimal == "," else "points"
        notes.append(f"numbers were read with decimal {mark}: {', '.join(names[:3])}" + (" …" if names[3:] else ""))
    return frame, notes


def _decide(marks: Marks, shown: str, separator: str, pointed: bool) -> tuple[str, str]:
    """Decimal mark of a column ("" leaves it as it is), and why where its values do not show it.

    Args:
        marks: of the column.
        shown: "point" or "comma" where other columns show it.
        separator: of the file.
        pointed: whether it has dates with points.
    """
    if marks.sure == "both":
        return "", ""
    if marks.sure:
        return _MARKS[marks.sure], ""
    if not marks.three:
        # Spaces between the digits only.
        return ".", ""
    if shown:
        return _MARKS[shown], ""
    mark, other = _MARKS[marks.three], {"point": ",", "comma": "."}[marks.three]
    if marks.three == "point" and pointed:
        return other, "the dates have points, so points separate thousands; write them without to be sure"
    if marks.small and not marks.large:
        return other, "numbers below 1000 have no mark, so it separates thousands; write them without to be sure"
    if marks.three == "comma" and separator == ",":
        return other, "a comma in a comma-separated file separates thousands; write them without to be sure"
    return mark, f"the mark {mark!r} was taken as the decimal one; write thousands without a mark"


def _marks(column: pd.Series[Any]) -> Marks | None:
    """What a column of texts (n,) tells; None where it does not hold numbers with marks only."""
    every = [text for text in pd.unique(column.str.strip()) if text.lower() not in _MISSING]
    values = [_SPACES.sub("", text) for text in every]
    kinds: set[str] = set()
    three, example, small, large = set(), "", False, False
    for text in values:
        if _PLAIN.fullmatch(text):
            small, large = small or len(text.lstrip("+- ")) < 4, large or len(text.lstrip("+- ")) >= 4
            continue
        fits = [kind for kind in ("point", "comma") if _EVIDENCE[kind].fullmatch(text)]
        if not fits:
            return None
        kind = next((kind for kind in ("point", "comma") if _THREE[kind].fullmatch(text)), "")
        three |= {kind} if kind else set()
        kinds |= set() if kind or len(fits) > 1 else {fits[0]}
        example = example if example and not (kind == "" and _first_three(example)) else text
    example = example or next((text for text in every if _SPACES.search(text)), "")
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
    return text.map(float, na_action="ignore").astype(np.float64)
