"""Parameters of the scikit-learn style models: rules that check them, and `options` sorted into configurations."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args

from titans_ts.core.config import BlockName, MemoryConfig, TitansConfig

Check = Callable[[Any], bool]
Rule = tuple[str, Check]
WORDS = {"true": True, "false": False, "null": None, "~": None}


def whole(low: int) -> Check:
    """Check of an integer ≥ low."""
    return lambda value: isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low


def number(check: Callable[[float], bool]) -> Check:
    """Check of a real number (no bool)."""
    return lambda value: isinstance(value, Real) and not isinstance(value, bool) and check(float(value))


def optional(check: Check) -> Check:
    """The same check, or None."""
    return lambda value: value is None or check(value)


def text(value: Any) -> bool:
    """Check of a str."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """Check of True or False."""
    return isinstance(value, bool)


TYPES: dict[str, Rule] = {
    "int": ("an integer", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    "float": ("a number", number(lambda value: True)),
    "bool": ("True or False", flag),
    "str": ("text", text),
}
COMMON: dict[str, Rule] = {
    "block": (f"one of {get_args(BlockName)}", lambda value: value in get_args(BlockName)),
    "time_budget": ("a number > 0 (seconds), or None for no limit", optional(number(lambda value: value > 0))),
    "device": ("'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'", text),
    "options": (
        "a dict of option names and values, or None",
        optional(lambda value: isinstance(value, Mapping)),
    ),
}
"""Rules of the parameters that every model has."""


def check_rules(params: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Check parameters against rules.

    Raises:
        ValueError: the first parameter that breaks its rule, with what was expected and what came.
    """
    for name, (expected, check) in rules.items():
        if not check(params[name]):
            raise ValueError(f"{name} must be {expected}, got {params[name]!r}")


def backbone_names() -> set[str]:
    """Options of the backbone; its block is a parameter."""
    return {f.name for f in fields(TitansConfig)} - {"block"}


def sort_options(options: Mapping[str, Any] | None, homes: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    """Sort flat option names into the configurations that have a field of that name.

    Args:
        options: names and values; "memory" may be a dict of MemoryConfig's fields.
        homes: the names of each configuration.

    Raises:
        ValueError: an unknown name; the message has the closest one and all.
    """
    given = dict(options or {})
    require_known(given, set().union(*homes.values()), "option")
    check_types(given, TitansConfig)
    memory = given.get("memory")
    if isinstance(memory, Mapping):
        require_known(memory, {f.name for f in fields(MemoryConfig)}, "memory option")
        check_types(memory, MemoryConfig)
        given["memory"] = MemoryConfig(**memory)
    elif "memory" in given and not isinstance(memory, MemoryConfig):
        raise ValueError(f"memory must be a dict of MemoryConfig's fields such as {{'kind': 'linear'}}, got {memory!r}")
    return {home: {name: given[name] for name in given if name in names} for home, names in homes.items()}


def with_options(params: Mapping[str, Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters of `set_params`, those named ``options__x`` as entries x of a copy of the options.

    Example:
        >>> with_options({"block": "mal", "options__width": 32}, {"layers": 2})
        {'block': 'mal', 'options': {'layers': 2, 'width': 32}}
    """
    prefix = "options__"
    single = {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
    found = {name: value for name, value in params.items() if not name.startswith(prefix)}
    return {**found, "options": {**(found.get("options", options) or {}), **single}} if single else found


def check_types(given: Mapping[str, Any], *configurations: Any) -> None:
    """Refuse values of another type than the field of that name has, in the configurations (dataclasses) that have it.

    Numbers, flags and text are told apart; other types, and ranges, are left to the configurations themselves.

    Raises:
        ValueError: a value has the wrong type.

    Example:
        >>> check_types({"width": "wide"}, TitansConfig)
        Traceback (most recent call last):
        ...
        ValueError: width must be an integer, got 'wide'
    """
    kinds = {one.name: str(one.type) for configuration in configurations for one in fields(configuration)}
    for name, value in given.items():
        kind, _, none = kinds.get(name, "").partition(" | ")
        expected, check = TYPES.get(kind, ("", None))
        if check is not None and not check(value) and not (none == "None" and value is None):
            raise ValueError(f"{name} must be {expected}{' or None' if none else ''}, got {value!r}")


def require_known(given: Mapping[str, Any], known: set[str], what: str) -> None:
    """Refuse a name that is none of the known ones, with the closest of them.

    Raises:
        ValueError: a name is unknown.
    """
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"{what} {name!r} is unknown{hint}: choose among {', '.join(sorted(known))}")


def literal(text: str) -> Any:
    """A value from text: of Python, or of YAML with numbers such as 1e-3 and without its yes and no.

    Raises:
        ValueError: it is neither.

    Example:
        >>> literal("1e-3"), literal("{kind: linear}"), literal("none"), literal("true")
        (0.001, {'kind': 'linear'}, 'none', True)
    """
    # Imported here: only a command line has such texts.
    import yaml

    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError):
        pass
    try:
        return _plain(yaml.load(text, yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _plain(value: Any) -> Any:
    """Texts of YAML as values."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
