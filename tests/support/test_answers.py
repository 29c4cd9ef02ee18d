"""Whatever is raised, one line says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from titans_ts.support.guards.answers import EXTRAS, answered, described, without_debug
from titans_ts.support.guards.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), "a b"),
        (ValueError(), "ValueError; this is not expected: --debug shows where, please report it"),
        (KeyError("x"), "KeyError: 'x'; this is not expected: --debug shows where, please report it"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv: No such file or directory"),
        (MemoryError(), "not enough memory: give less data, a shorter horizon or a smaller network"),
        (ModuleNotFoundError("no", name="ray.data"), "ray is not installed: pip install 'titans-ts[ray]'"),
        (ModuleNotFoundError("no", name="what"), "what is not installed: pip install -U titans-ts"),
        (ImportError("it needs x: pip install 'titans-ts[x]'"), "it needs x: pip install 'titans-ts[x]'"),
    ],
)
def test_errors_are_one_line(error: Exception, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise error

    assert described(error) == text
    assert answered(work) == 1
    assert capsys.readouterr() == ("", f"titans-ts: error: {text}\n")


def test_nesting_ends_somewhere() -> None:
    def deep() -> None:
        deep()

    with pytest.raises(RecursionError) as caught:
        deep()
    assert described(caught.value).startswith("the input is nested too deeply")


def test_long_messages_are_cut() -> None:
    assert len(described(ValueError("x" * 100_000))) == 1000


def test_extras_are_those_of_the_package() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in EXTRAS.values():
        assert f"\n{extra} = [" in text


def test_debug_may_stand_anywhere_but_after_two_dashes() -> None:
    assert without_debug(["forecast", "--debug", "a.csv"]) == (["forecast", "a.csv"], True)
    assert without_debug(["leakage", "--", "--debug"]) == (["leakage", "--", "--debug"], False)


@pytest.mark.parametrize("redirected", ["2>&1 >&-", ">/dev/null 2>&-"])
def test_closed_streams_do_not_end_in_files(redirected: str, tmp_path: Path) -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from titans_ts.support.guards.answers import answered
def work():
    with open({str(tmp_path / "o")!r}, "w") as handle:
        print("lost"), print("lost", file=sys.stderr), os.write(1, b"lost"), os.write(2, b"lost")
        handle.write("kept")
sys.exit(answered(work))
"""
    (tmp_path / "p.py").write_text(code, encoding="utf-8")
    assert subprocess.run(f"{sys.executable} {tmp_path / 'p.py'} {redirected}", shell=True).returncode == 0
    assert (tmp_path / "o").read_text() == "kept"


def test_letters_that_a_stream_does_not_know_are_escaped() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom titans_ts.support.guards.answers import answered\n"
    code += "sys.exit(answered(lambda: print('90 \\u2013 95')))"
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "90 \\u2013 95\n")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("task: dna\n\truns: 1\n", r"q\.yaml, line 2, column 1 is no YAML: .*mind spaces and tabs"),
        ("a: [1, 2", r"q\.yaml, line 1, column \d+ is no YAML"),
        (BOMB, "stands for 12,345,6[0-9][0-9] values through its aliases|stands for [0-9,]+ values"),
        ("a: &a [*a]", "an alias stands for itself"),
        ("[" * 500 + "]" * 500, "nested"),
        ("a: !!python/object/apply:os.getcwd []", "is no YAML"),
        ("x: " + "1" * 1_000_001, "expected a recipe of at most 1,000,000"),
        ("a: \x00", "is no YAML"),
    ],
)
def test_yaml_that_cannot_be_read_is_one_message(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_yaml(tmp_path / "q.yaml")


def test_aliases_of_a_few_values_are_read(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("a: &a {width: 8}\nb: *a\n", encoding="utf-8")
    assert read_yaml(tmp_path / "q.yaml") == {"a": {"width": 8}, "b": {"width": 8}}
