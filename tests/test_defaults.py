"""Docstrings of public classes state the defaults of their arguments, and state them right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.test_public_api import public_definitions

CLASSES = {name: node for name, node in public_definitions().items() if isinstance(node, ast.ClassDef)}
MAIN = (
    *("titans_ts.TitansForecaster", "titans_ts.TitansEstimator", "titans_ts.DNAClassifier", "titans_ts.DNARegressor"),
    *("titans_ts.DNALanguageModel", "titans_ts.NeuralMemory", "titans_ts.MemoryConfig", "titans_ts.TitansConfig"),
)


class Entry(NamedTuple):
    """Arguments that a docstring describes together."""

    names: list[str]
    text: str


def entries(node: ast.ClassDef) -> Iterator[Entry]:
    """What the sections of arguments say."""
    for _, section in re.findall(r"^(Args|Attributes):\n((?:    .*\n?)+)", ast.get_docstring(node) or "", re.MULTILINE):
        for names, text in re.findall(r"^    ([a-z_, ]+): ((?:.*\n?)(?:     +.*\n?)*)", section, re.MULTILINE):
            yield Entry(names.split(", "), " ".join(text.split()))


def defaults(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Default of each field or argument that has one."""
    found = {
        x.target.id: x.value
        for x in node.body
        if isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name) and x.value
    }
    for made in node.body:
        if isinstance(made, ast.FunctionDef) and made.name == "__init__":
            given = made.args
            late = given.args[len(given.args) - len(given.defaults) :]
            found |= {x.arg: value for x, value in zip(late, given.defaults, strict=True)}
            found |= {x.arg: value for x, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    return found


def plain(value: ast.expr) -> object:
    """A literal; None for names of constants and for factories."""
    try:
        return ast.literal_eval(value)
    except ValueError:
        return None


@pytest.mark.parametrize("name", CLASSES)
def test_stated_defaults_are_those_of_the_signature(name: str) -> None:
    real = defaults(CLASSES[name])
    for entry in entries(CLASSES[name]):
        stated = re.search(r"Defaults?: (.+)\.$", entry.text)
        values = [plain(real[one]) for one in entry.names if one in real]
        if stated and stated[1] != "none" and None not in values:
            texts = [repr(value).replace("'", '"') for value in values]
            assert stated[1] in (", ".join(texts), ", ".join(dict.fromkeys(texts))), entry


@pytest.mark.parametrize("name", MAIN)
def test_main_classes_state_every_default(name: str) -> None:
    described = {one: entry.text for entry in entries(CLASSES[name]) for one in entry.names}
    real = {one: value for one, value in defaults(CLASSES[name]).items() if one.islower()}
    silent = [
        one
        for one, value in real.items()
        if "default" not in described[one].lower() and not (ast.unparse(value) == "None" and "None" in described[one])
    ]
    assert silent == []
