"""Signals end a command with one line and the conventional status, wherever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from titans_datasets.writing import in_place_of
from titans_ts.support.guards.answers import answered
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.progress import PROGRESS

ENDS = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}


@pytest.fixture(autouse=True)
def python_hears_signals() -> Iterator[None]:
    """Programs that a shell starts in the background ignore Ctrl-C from the start, those under nohup SIGHUP."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hung_up)


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ENDS)
def test_one_line_and_the_status(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(getattr(signal, name))

    def work() -> None:
        PROGRESS.info("reading a.csv")
        send(name)

    assert answered(work) == ENDS[name]
    how = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert capsys.readouterr().err == f"titans-ts: {how} while reading a.csv; nothing was kept\n"
    assert signal.getsignal(getattr(signal, name)) == before


@pytest.mark.parametrize("name", ENDS)
def test_what_was_written_is_named_and_nothing_is_half_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with in_place_of(tmp_path / "whole.csv") as beside:
            beside.write_text("a,b")
        with in_place_of(tmp_path / "half.csv") as beside:
            beside.write_text("a")
            send(name)

    assert answered(work) == ENDS[name]
    assert capsys.readouterr().err.endswith(f"; kept: {tmp_path / 'whole.csv'}\n")
    assert os.listdir(tmp_path) == ["whole.csv"]


@pytest.mark.parametrize("error", [SystemExit(1), ValueError("a library's own"), RuntimeError()])
def test_a_signal_counts_whatever_a_library_makes_of_it(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        try:
            send("SIGTERM")
        except BaseException:
            raise error from None

    assert answered(work) == 143
    assert capsys.readouterr().err.count("\n") == 1


def test_work_that_was_cut_short_says_so_and_has_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(lambda: cut_short("training after step 3 of 9", "step 2 is used")) == 130
    assert capsys.readouterr().err == "titans-ts: training after step 3 of 9 was cut short by Ctrl-C: step 2 is used\n"


@pytest.mark.parametrize("name", ENDS)
def test_a_signal_in_a_callback_of_memory_is_not_lost(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Thing:
        pass

    def work() -> None:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: send(name))
        del thing
        for _ in range(1000):
            time.sleep(0.01)
        finished.append(reference)

    finished: list[object] = []
    assert answered(work) == ENDS[name] and not finished
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert answered(lambda: send("SIGHUP")) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom titans_datasets.writing import folder_in_place_of, in_place_of\n"
        "with folder_in_place_of(sys.argv[1] + '/model') as a, in_place_of(sys.argv[1] + '/a.csv') as b:\n"
        "    (a / 'weights').touch(), b.touch(), print('there', flush=True), time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert writer.stdout is not None and writer.stdout.readline() == "there\n"
    with in_place_of(tmp_path / "b.csv") as beside:
        beside.touch()
    # It is still at work.
    assert len(os.listdir(tmp_path)) == 3
    writer.kill()
    writer.wait()
    writer.stdout.close()
    with in_place_of(tmp_path / "b.csv") as beside:
        beside.touch()
    assert os.listdir(tmp_path) == ["b.csv"]


def test_an_old_folder_whose_place_is_empty_is_put_back(tmp_path: Path) -> None:
    with in_place_of(tmp_path / "a.csv") as beside:
        beside.touch()
        machine = beside.name[:13]
    old = tmp_path / f"{machine}{2**31:08x}{12 * '0'}.model.old"
    old.mkdir()
    (old / "weights").touch()
    with in_place_of(tmp_path / "a.csv") as beside:
        beside.touch()
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "model"] and os.listdir(tmp_path / "model") == ["weights"]


def test_what_another_machine_left_goes_after_a_day(tmp_path: Path) -> None:
    left = [tmp_path / f".{32 * digit}.a.csv" for digit in "ab"]
    for file in left:
        file.touch()
    os.utime(left[0], (time.time() - 2 * 86400,) * 2)
    with in_place_of(tmp_path / "a.csv") as beside:
        beside.touch()
    assert sorted(os.listdir(tmp_path)) == [left[1].name, "a.csv"]


def test_an_error_of_the_disk_names_the_wanted_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    full = OSError(28, "No space left on device")
    message = r"cannot write it, what was there stays: No space left on device: '.*/a'"
    with pytest.raises(OSError, match=message), in_place_of(tmp_path / "a"):
        raise full
    with pytest.raises(FileExistsError, match=r"/a'"), in_place_of(tmp_path / "a" / "b.csv"):
        pass
