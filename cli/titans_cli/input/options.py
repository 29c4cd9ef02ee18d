"""Options of a command, declared once: as the fields of a dataclass, which the parsed arguments then fill.

    @dataclass(frozen=True, kw_only=True)
    class GreetJob:
        '''Print a greeting.'''

        name: str = argument("NAME", "who is greeted")
        times: int = option("N", "how often", type=at_least(1), default=1)

`add_options` gives an argparse parser these arguments, with the docstring as its description; `read_options` makes the
dataclass from what was parsed. An option is named after its field: ``time_budget`` is ``--time-budget``.
"""

from __future__ import annotations

import argparse
import inspect
from dataclasses import MISSING, field, fields
from typing import Any, NamedTuple, TypeVar

from titans_ts.support.guards.outputs import check_outputs, check_streams, places

Job = TypeVar("Job")
REQUIRED = MISSING


class Group(NamedTuple):
    """A section of a command's help."""

    title: str
    description: str | None = None


class Spec(NamedTuple):
    """How a field is given on the command line.

    Attributes:
        flag: name of the option; "" for that of the field, None for a positional argument.
        group: section of the help; None for the general one.
        either: name of a set of options of which only one can be given.
        settings: for `argparse.ArgumentParser.add_argument`.
    """

    flag: str | None
    group: Group | None
    either: str | None
    settings: dict[str, Any]

    def field(self, default: Any) -> Any:
        """A field of a dataclass."""
        metadata = {"spec": self}
        return field(metadata=metadata) if default is REQUIRED else field(default=default, metadata=metadata)


def argument(metavar: str, text: str, *, group: Group | None = None, default: Any = REQUIRED) -> Any:
    """A positional argument.

    Args:
        metavar: its name in the help.
        text: its help.
        group: its section.
        default: makes it optional.
    """
    settings = {"metavar": metavar, "help": text, **({} if default is REQUIRED else {"nargs": "?"})}
    return Spec(None, group, None, settings).field(default)


def option(
    metavar: str | None,
    text: str,
    *,
    default: Any = None,
    group: Group | None = None,
    either: str | None = None,
    flag: str = "",
    **settings: Any,
) -> Any:
    """An option with a value.

    Args:
        metavar: the value's name in the help; None for the list of its choices.
        text: its help, to which a default other than None is added.
        default: the value when it is not given, or `REQUIRED`.
        group, either, flag: see `Spec`.
        settings: type, choices, nargs, const or action, as for `argparse.ArgumentParser.add_argument`.
    """
    shown = text if default in (None, REQUIRED) else f"{text} (default: {default})"
    required = {"required": True} if default is REQUIRED else {}
    return Spec(flag, group, either, {"metavar": metavar, "help": shown, **required, **settings}).field(default)


def switch(text: str, *, group: Group | None = None, either: str | None = None, flag: str = "") -> Any:
    """An option without a value: True when it is given; the arguments are those of `option`."""
    return Spec(flag, group, either, {"help": text, "action": "store_true"}).field(False)


def add_options(parser: argparse.ArgumentParser, job: type) -> None:
    """Give a parser the arguments of a dataclass."""
    parser.description = " ".join((inspect.getdoc(job) or "").split())
    homes: dict[Any, Any] = {None: parser}
    for one in fields(job):
        spec: Spec = one.metadata["spec"]
        if spec.group not in homes:
            assert spec.group is not None
            homes[spec.group] = parser.add_argument_group(spec.group.title, spec.group.description)
        home = homes[spec.group]
        if spec.either is not None:
            homes[spec.either] = homes.get(spec.either) or home.add_mutually_exclusive_group()
            home = homes[spec.either]
        settings = spec.settings if one.default is MISSING else {**spec.settings, "default": one.default}
        if spec.flag is None:
            home.add_argument(one.name, **settings)
        else:
            home.add_argument(spec.flag or f"--{one.name.replace('_', '-')}", dest=one.name, **settings)


def read_options(arguments: argparse.Namespace, job: type[Job]) -> Job:
    """The dataclass of parsed arguments, whose outputs stand in nobody's way.

    Raises:
        ValueError: see `titans_ts.support.guards.outputs.check_outputs`.
    """
    found = {one.name: getattr(arguments, one.name) for one in fields(job)}  # type: ignore[arg-type]
    specs: dict[str, Spec] = {one.name: one.metadata["spec"] for one in fields(job)}  # type: ignore[arg-type]
    given = [(name, spec.flag, spec.settings.get("metavar"), found[name]) for name, spec in specs.items()]
    check_streams(given)
    check_outputs([place for one in given for place in places(*one)])
    return job(**found)
