"""Progress as log records, and as lines every few seconds."""

from __future__ import annotations

import io
import logging
import time

import pytest

from titans_ts.support import progress
from titans_ts.support.progress import EVERY, PROGRESS, ProgressLines, moves_bars, progress_bar, progress_lines


def test_at_most_a_line_every_few_seconds() -> None:
    now, out = [100.0], io.StringIO()
    lines = ProgressLines(out, 100.0, lambda: now[0])

    def at(seconds: float, message: str | None = None) -> list[str]:
        now[0] = 100.0 + seconds
        if message is not None:
            lines.handle(logging.LogRecord("x", logging.INFO, "", 0, message, None, None))
        lines.show()
        return out.getvalue().splitlines()

    assert at(1, "fitting the linear part") == []
    assert at(EVERY) == ["titans-ts: 5 s, fitting the linear part"]
    assert len(at(EVERY + 1, "training, step 1 of 9")) == 1
    assert at(2 * EVERY)[1:] == ["titans-ts: 10 s, training, step 1 of 9"]
    # What takes long is said again.
    assert at(5 * EVERY)[2:] == ["titans-ts: 25 s, training, step 1 of 9"]


def test_nothing_is_shown_before_anything_is_known() -> None:
    out = io.StringIO()
    ProgressLines(out, 0.0, lambda: 100.0).show()
    assert out.getvalue() == ""


def test_the_log_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = (list(PROGRESS.handlers), PROGRESS.level)
    with pytest.raises(KeyError), progress_lines(io.StringIO(), 0.0):
        assert PROGRESS.isEnabledFor(logging.DEBUG)
        raise KeyError
    with progress_lines(None, 0.0):
        assert (list(PROGRESS.handlers), PROGRESS.level) == before
    assert (list(PROGRESS.handlers), PROGRESS.level) == before


def test_lines_come_while_the_main_thread_works() -> None:
    out = io.StringIO()
    # Started long ago, the first line is due at once.
    with progress_lines(out, -1e6):
        PROGRESS.info("waiting")
        # As long as it takes: another thread writes, and the machine may be busy.
        deadline = time.monotonic() + 60
        while not out.getvalue() and time.monotonic() < deadline:
            sum(range(10_000))
    assert "waiting" in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ZMQInteractiveShell:
    """What Jupyter's kernel calls its shell, by which rich knows it."""


@pytest.mark.parametrize(("widgets", "moves"), [(None, False), ("ipywidgets", True)])
def test_bars_move_on_terminals_and_in_notebooks(
    widgets: str | None, moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda name: widgets)
    assert moves_bars(Terminal()) and not moves_bars(io.StringIO())
    monkeypatch.setattr("builtins.get_ipython", ZMQInteractiveShell, raising=False)
    assert moves_bars(io.StringIO()) is moves


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_names_what_is_done_unless_asked_not_to(shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    with progress_bar(shown):
        PROGRESS.info("fitting the linear part")
    assert ("fitting the linear part" in stream.getvalue()) is shown
