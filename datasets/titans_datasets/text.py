"""Small parts of messages: a few things by name, a number with its noun, a name that is looked up."""

from __future__ import annotations

import re
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


def short(value: float, digits: int = 3) -> str:
    """A number for a sentence, without the zero before its point.

    Example:
        >>> short(0.1512), short(-0.5), short(12.345), short(123_456.0)
        ('.151', '-.5', '12.3', '123,456')
    """
    text = f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


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


def renamed(text: str, options: Mapping[str, str]) -> str:
    """A message with arguments of Python under the names of options of the command line.

    Args:
        text: names arguments as ``name=value`` or ``name=``; those with an underscore also alone.
        options: argument → option.

    Example:
        >>> renamed("pass freq='D', or name yours with id_column=", {"freq": "--freq", "id_column": "--id"})
        'pass --freq D, or name yours with --id'
        >>> renamed("upper=-5 is too low", {"upper": "--upper"})
        '--upper -5 is too low'
    """

    def option(found: re.Match[str]) -> str:
        value = f" {found[3]}" if found[3] else ""
        return options[found[1]] + (value or (" " if found[4] and not found[2] else ""))

    text = re.sub(rf"\b({'|'.join(options)})=(True\b|'([^']*)')?(?=([-\w(])?)", option, text)
    alone = [name for name in options if "_" in name]
    return re.sub(rf"\b({'|'.join(alone)})\b", lambda found: options[found[0]], text) if alone else text
