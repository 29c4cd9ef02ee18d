"""Results that go to files are written when nobody reads standard output, and the status says what was not read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from titans_cli.main import has_outputs

WORK = """
import sys
from titans_ts.support.guards.answers import answered
def work():
    for line in range(3):
        print("line " * 5000, flush=True)
    open("o.csv", "w").write("a,b")
sys.exit(answered(work, files={files}))
"""


def shell(folder: Path, redirected: str, files: bool = True) -> tuple[int, str]:
    """Status and standard error of a program that prints, then writes a file."""
    line = f'set -o pipefail; "{sys.executable}" -c "$WORK" {redirected}'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "WORK": WORK.format(files=files)}
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirected", "status", "message"),
    [
        ("| true", 141, ""),
        (">&-", 0, ""),
        (">/dev/full", 1, "titans-ts: error: standard output: No space left on device\n"),
        ("2>/dev/full", 0, ""),
    ],
)
def test_files_are_written(redirected: str, status: int, message: str, tmp_path: Path) -> None:
    assert shell(tmp_path, redirected) == (status, message)
    assert (tmp_path / "o.csv").read_text() == "a,b"


def test_work_for_standard_output_alone_ends_with_its_reader(tmp_path: Path) -> None:
    assert shell(tmp_path, "| true", files=False) == (141, "")
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("forecast a.csv --horizon 5", False),
        ("forecast a.csv --horizon 5 --output=o.csv", True),
        ("forecast a.csv --horizon 5 --model m", True),
        ("dna score --model m a.fa", False),
        ("dna score --model m a.fa --surprise s.bedgraph", True),
        ("fit -c r.yaml", True),
        ("recipes list", False),
    ],
)
def test_commands_whose_results_are_files(command: str, files: bool) -> None:
    assert has_outputs(command.split()) == files
