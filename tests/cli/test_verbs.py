"""The table of commands: what each of them has, what its help imports, and options that come from dataclasses."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from titans_cli.commands import classify, regress
from titans_cli.input import common
from titans_cli.input.options import REQUIRED, Group, add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least
from titans_cli.main import GROUPS, VERBS, build_parser, main
from titans_datasets.dna.read import intervals, signal
from titans_ts.genomics.supervised import params

HEAVY = ("torch", "lightning", "pandas", "numpy", "rich", "matplotlib", "jsonargparse", "sklearn")
# What only training, pictures, reports and estimators need.
UNUSED = (
    *("torch._dynamo", "sympy", "lightning", "torchmetrics", "matplotlib", "plotly", "numba", "statsmodels"),
    *("sklearn", "scipy.stats", "scipy.optimize"),
)
OURS = [name for name, verb in VERBS.items() if not verb.own_parser]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_its_parts(name: str) -> None:
    verb = VERBS[name]
    module = import_module(f"titans_cli.commands.{verb.module}")
    assert callable(module.add_arguments) and callable(module.run)
    assert verb.help and "\n" not in verb.help and len(verb.help) < 80
    assert " " not in name or name.split()[0] in GROUPS
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert parser.description


@pytest.mark.parametrize("name", OURS)
def test_help_of_every_verb(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: titans-ts {name} ") and "==SUPPRESS==" not in out and "MISSING" not in out


def test_the_overview_lists_every_verb_and_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for name in {name.split()[0] for name in VERBS}:
        assert f"    {name} " in out
    for group in GROUPS:
        with pytest.raises(SystemExit):
            main([group, "--help"])
        out = capsys.readouterr().out
        assert all(f"    {name.split()[1]} " in out for name in VERBS if name.startswith(f"{group} "))


def test_help_and_usage_errors_import_nothing_heavy() -> None:
    calls = [["--help"], ["--version"], ["forecast"], ["dna"], *([*name.split(), "--help"] for name in OURS)]
    code = (
        "import sys\nfrom titans_cli.main import main\n"
        f"for argv in {calls!r}:\n    try:\n        main(argv)\n    except SystemExit:\n        pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_forecast_imports_what_it_computes_with(tmp_path: Path) -> None:
    """Nothing to compute with before the data have been read; no compiler, trainer or estimator without training."""
    rows = "".join(f"2024-01-{day:02},{day % 7}\n" for day in range(1, 31))
    (tmp_path / "a.csv").write_text(f"timestamp,target\n{rows}", encoding="utf-8")
    argv = ["forecast", str(tmp_path / "a.csv"), "--horizon", "2", "--output", str(tmp_path / "b.csv")]
    calls = [
        (["--target", "other"], 1, (*UNUSED, "torch")),
        (["--pretrained"], 0, UNUSED),
        (["--max-steps", "0", "--backtest-windows", "2"], 0, UNUSED),
    ]
    code = "import sys\nfrom titans_cli.main import main\n" + "".join(
        f"assert main({[*argv, *more]!r}) == {status}\n"
        f"print([m for m in {left_out!r} if m in sys.modules], file=sys.stderr)\n"
        for more, status, left_out in calls
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("[")] == ["[]"] * 3


def test_only_the_given_verb_has_options() -> None:
    parser = build_parser("dna score")
    assert parser.parse_args(["dna", "score", "a.fa", "--model", "m"]).file == "a.fa"
    with pytest.raises(SystemExit):
        parser.parse_args(["forecast", "a.csv", "--horizon", "3"])


def test_choices_are_those_of_the_library() -> None:
    assert regress.UNCOVERED == signal.UNCOVERED
    assert (common.KINDS, common.OUTSIDE) == (intervals.KINDS, intervals.OUTSIDE)
    assert classify.HEADS == params.HEADS and classify.REVERSE_COMPLEMENTS == params.REVERSE_COMPLEMENTS


@dataclass(frozen=True, kw_only=True)
class GreetJob:
    """Print
    a greeting."""

    name: str = argument("NAME", "who is greeted")
    other: str | None = argument("OTHER", "who else", default=None)
    times: int = option("N", "how often", type=at_least(1), default=1)
    language: str = option(None, "of the greeting", default=REQUIRED, choices=("en", "de"))
    from_whom: str | None = option("WHO", "who greets", flag="--from", group=Group("letters", "By post."))
    loud: bool = switch("in capitals")
    morning: int | None = option("H", "hour", type=int, either="time")
    evening: int | None = option("H", "hour", type=int, either="time")


def greet(*argv: str) -> GreetJob:
    parser = argparse.ArgumentParser("greet")
    add_options(parser, GreetJob)
    return read_options(parser.parse_args(argv), GreetJob)


def test_a_dataclass_is_a_command_line() -> None:
    assert greet("Ada", "--language", "en") == GreetJob(name="Ada", language="en")
    job = greet("Ada", "Bob", "--language", "de", "--times", "3", "--from", "me", "--loud", "--morning", "8")
    expected = GreetJob(name="Ada", other="Bob", language="de", times=3, from_whom="me", loud=True, morning=8)
    assert job == expected


def test_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        greet("--help")
    out = capsys.readouterr().out
    assert "Print a greeting." in out and "how often (default: 1)" in out and "{en,de}" in out
    assert "letters:\n  By post." in out and "[--morning H | --evening H]" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["Ada"], "the following arguments are required: --language"),
        (["Ada", "--language", "fr"], "invalid choice: 'fr'"),
        (["Ada", "--language", "en", "--times", "0"], "argument --times: expected a whole number ≥ 1, got '0'"),
        (["Ada", "--language", "en", "--morning", "8", "--evening", "9"], "not allowed with argument --morning"),
    ],
)
def test_its_errors(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        greet(*argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
