"""Types of options: text in, a value or a usage error out. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import math
from typing import Any


def names(text: str) -> tuple[str, ...]:
    """ "a, b" → ("a", "b"); an empty text gives no names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def whole_numbers(text: str) -> list[int]:
    """ "0,1,2" → [0, 1, 2].

    Raises:
        argparse.ArgumentTypeError: a part is no whole number ≥ 0.
    """
    return [int(at_least(0)(part)) for part in names(text)]


def levels(text: str) -> tuple[float, ...]:
    """ "0.1,0.5" → (0.1, 0.5).

    Raises:
        argparse.ArgumentTypeError: a part is no number between 0 and 1.
    """
    try:
        found = tuple(float(part) for part in names(text))
    except ValueError:
        found = ()
    if not found or not all(0 < level < 1 for level in found):
        raise argparse.ArgumentTypeError(f"expected numbers between 0 and 1 such as 0.1,0.5,0.9, got {text!r}")
    return found


def at_least(low: int) -> type[int]:
    """An argparse type: whole numbers ≥ `low`."""

    class Whole(int):
        """Made from text."""

        def __new__(cls, text: str) -> Whole:
            try:
                value = int(text)
            except ValueError:
                value = low - 1
            if value < low:
                raise argparse.ArgumentTypeError(f"expected a whole number ≥ {low}, got {text!r}")
            return super().__new__(cls, value)

    return Whole


def positive(text: str) -> float:
    """A number above 0.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def not_negative(text: str) -> float:
    """0, or a number above 0.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    return 0.0 if _number(text) == 0 else positive(text)


def share(text: str) -> float:
    """A number between 0 and 1, both excluded.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1 such as 0.01, got {text!r}")
    return value


def bound(text: str) -> float | str:
    """A number, "auto" or "none".

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    try:
        value = text if text in ("auto", "none") else float(text)
    except ValueError:
        value = math.inf
    if isinstance(value, float) and not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, auto or none, got {text!r}")
    return value


def head(text: str) -> str:
    """The name of a head of forecasts.

    Raises:
        argparse.ArgumentTypeError: there is none of that name.
    """
    from titans_datasets.text import lookup
    from titans_ts.forecasting.model.heads import HEADS

    try:
        lookup(HEADS, text, "head")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def setting(text: str) -> tuple[str, Any]:
    """ "width=32" → ("width", 32); the value is a literal of Python or YAML, or text.

    Raises:
        argparse.ArgumentTypeError: it has no name or no value, or brackets are open.
    """
    from titans_ts.support.params import literal

    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    try:
        if name and equals and value.strip():
            return name, literal(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected NAME=VALUE such as width=32 or memory={{kind: linear}}, got {text!r}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
