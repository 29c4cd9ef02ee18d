"""Small parts of messages: a few things by name, a number with its noun, a name that is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import pandas as pd

T = TypeVar("T")


def some(things: Iterable[object], most: int = 3) -> str:
    """The first few of some things for a message.

    Example:
        >>> some(["a", "b", "c", "d"])
        "'a', 'b', 'c' and 1 more"
    """
    listed = list(things)
    text = ", ".join(repr(str(x)) if isinstance(x, (str, pd.Timestamp)) else repr(x) for x in listed[:most])
    return text if len(listed) <= most else f"{text} and {len(listed) - most} more"


def counted(number: int, noun: str) -> str:
    """Number and noun.

    Example:
        >>> counted(1, "item"), counted(3_000, "item")
        ('1 item', '3,000 items')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """The entry of a table.

    Raises:
        ValueError: there is none; the message suggests the nearest name and lists all.
    """
    if name in table:
        return table[name]
    by_lower = {key.lower(): key for key in table}
    near = get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    raise ValueError(f"unknown {what} {name!r}: {hint}choose among {', '.join(table)}")
