"""The parser of recipes: one-line errors with the nearest valid key."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

USAGE_ERROR = 2
NO_DATA = (
    "the recipe has no data: add a section `data:` with source (a file, builtin:weather or a benchmark set such as "
    "ETTh1), context_length and prediction_length"
)
_UNKNOWN = (re.compile(r"does not accept option '([^']+)'"), re.compile(r"unrecognized arguments: --([\w.]+)"))
_MISSING = re.compile(r"arguments are required: (.+)")


class RecipeParser(LightningArgumentParser):
    """jsonargparse's parser; an error exits with status 2 and one line that states what is expected."""

    recipe_parsers: Mapping[str, LightningArgumentParser] = MappingProxyType({})
    task: str = ""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the line and exit."""
        parser = getattr(ex, "subcommand_parser", None) or self
        keys = known_keys(parser)
        print(f"{parser.prog.replace(' [options]', '')}: error: {explain(message, keys, self.task)}", file=sys.stderr)
        self.exit(USAGE_ERROR)


def known_keys(parser: LightningArgumentParser) -> list[str]:
    """Dotted keys that a recipe may have, with those of a parser's subcommands."""
    parsers = [parser, *getattr(parser, "recipe_parsers", {}).values()]
    defaults = [one.get_defaults(skip_validation=True) for one in parsers]
    return sorted({key for one in defaults for key, _ in one.items()})


def explain(message: str, keys: Iterable[str], task: str = "") -> str:
    """jsonargparse's message in one line; for an unknown key with the nearest known one.

    Args:
        message: of jsonargparse.
        keys: all valid dotted keys.
        task: as which the recipe is read.
    """
    message = " ".join(message.split())
    missing = _MISSING.search(message)
    if missing:
        wanted = [key.split(".", 1)[1] if key.count(".") > 1 else key for key in missing.group(1).split(", ")]
        if "data.source" in wanted:
            return NO_DATA
        return f"the recipe lacks {', '.join(wanted)}"
    for pattern in _UNKNOWN:
        found = pattern.search(message)
        if found:
            return unknown(found.group(1), list(keys), task)
    return message


def unknown(key: str, keys: list[str], task: str = "") -> str:
    """The message for an unknown key."""
    near = nearest(key, keys)
    if not near and task and key.split(".")[0] in ("data", "model"):
        return f"{key} is no key of a recipe of task {task}: add a line `task:` where it is of another"
    hint = f"did you mean {near}?" if near else f"sections are {', '.join(sorted({k.split('.')[0] for k in keys}))}"
    return f"{key} is no key of a recipe: {hint}"


def nearest(key: str, keys: list[str]) -> str | None:
    """The key that was probably meant: similar as a whole, or with the same last part in another section."""
    sections = {prefix for name in keys for prefix in _prefixes(name)}
    close = difflib.get_close_matches(key, [*keys, *sections], n=1, cutoff=0.75)
    if close:
        return close[0]
    name = key.rsplit(".", 1)[-1]
    by_name = {known.rsplit(".", 1)[-1]: known for known in keys}
    found = difflib.get_close_matches(name, by_name, n=1, cutoff=0.75)
    return by_name[found[0]] if found else None


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
