"""The pages: every Python block runs, every YAML block parses, every command line is one that the program takes."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pytest
import yaml
from packaging.version import Version

from titans_cli.main import parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "kernels/**/*.md", "recipes/*.md", "benchmarks/*.md", "datasets/**/*.md")
    for page in ROOT.glob(pattern)
)
FENCE = re.compile(r"^(```|~~~)(\w*)\s*$")
NEEDS = re.compile(r"<!-- needs: (\S+) -->")


class Block(NamedTuple):
    """A block of code: language of the fence ("" for none, "indented" for four spaces), first line from 1, lines, and
    the optional package named above it by ``<!-- needs: fev -->``."""

    language: str
    line: int
    lines: tuple[str, ...]
    needs: str = ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, fenced and indented."""
    lines, place = text.split("\n"), 0
    while place < len(lines):
        fence = FENCE.match(lines[place])
        if fence:
            end = next(i for i in range(place + 1, len(lines)) if lines[i].startswith(fence[1]))
            needs = NEEDS.match(lines[place - 1])
            yield Block(fence[2], place + 2, tuple(lines[place + 1 : end]), needs[1] if needs else "")
            place = end
        elif lines[place].startswith("    ") and (place == 0 or not lines[place - 1].strip()):
            end = next(
                (i for i in range(place, len(lines)) if lines[i] and not lines[i].startswith("    ")), len(lines)
            )
            yield Block("indented", place + 1, tuple(line[4:] for line in lines[place:end]))
            place = end - 1
        place += 1


def is_here(requirement: str) -> bool:
    """Whether a package is installed, in the version that is asked for: "fev", "torch>=2.13"."""
    name, _, oldest = requirement.partition(">=")
    if find_spec(name) is None:
        return False
    return not oldest or Version(version(name)) >= Version(oldest)


def commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Lines that call titans-ts, continuation lines joined, as arguments."""
    joined, first = "", 0
    for number, line in enumerate(block.lines, block.line):
        first = first if joined else number
        joined += line.removesuffix("\\") + " "
        if line.endswith("\\"):
            continue
        call = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*titans-ts (.*)", joined)
        if call:
            yield first, shlex.split(call[1], comments=True)
        joined = ""


def pages_with(language: str) -> list[Any]:
    found = [page for page in PAGES if any(b.language == language for b in blocks(page.read_text(encoding="utf-8")))]
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in found]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of a few steps on half a year of weather: the pages show the defaults, which take a minute."""
    import titans_ts
    import titans_ts.data
    from titans_ts import DNAClassifier, DNALanguageModel, TitansForecaster

    matplotlib.use("Agg")
    weather = titans_ts.data.load_weather().query("timestamp >= '2013-06-01'")
    # The door first: it is filled from the module when it is first asked, and restored to what it had then.
    monkeypatch.setattr(titans_ts, "load_weather", lambda: weather)
    monkeypatch.setattr(titans_ts.data, "load_weather", lambda: weather)
    for facade, limits in (
        (TitansForecaster, {"max_steps": 2}),
        (DNAClassifier, {"max_epochs": 1}),
        (DNALanguageModel, {"max_epochs": 1}),
    ):
        for name, value in limits.items():
            monkeypatch.setitem(facade.__init__.__kwdefaults__, name, value)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """The blocks of a page run in order, in one namespace and an empty folder; those of absent packages do not."""
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks(text):
            if block.language == "python" and (not block.needs or is_here(block.needs)):
                code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
                exec(code, namespace)


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_yaml_blocks_parse(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_command_lines_are_known(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language in ("python", "yaml"):
            continue
        for line, arguments in commands(block):
            try:
                parse(arguments)
            except SystemExit as end:
                if end.code not in (0, None):
                    wrong.append(f"line {line}: titans-ts {' '.join(arguments)}\n{capsys.readouterr().err}")
    assert wrong == []


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    inside = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in inside if not (page.parent / target).exists()] == []


def test_blocks_and_commands_are_found() -> None:
    page = "Text\n\n    titans-ts forecast a.csv \\\n        --horizon 3  # why\n\nMore\n```python\nx = 1\n```\n"
    indented, fenced = blocks(page)
    assert list(commands(indented)) == [(3, ["forecast", "a.csv", "--horizon", "3"])]
    assert (fenced.language, fenced.line, fenced.text) == ("python", 8, "x = 1")
