"""Several threads of one process at one session, one forecaster, one model of DNA: they get what one thread gets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.torture.case import Case

# Threads, and seconds after which Python lets another go on; its own is 5 ms.
COUNTS = (2, 4, 8)
INTERVALS = (5e-3, 1e-6)
ROUNDS = 3
Work = Callable[[int], Any]


def forecasts() -> Work:
    """Each thread forecasts tables of its own with one forecaster."""
    from titans_ts import TitansForecaster

    model, table = TitansForecaster.load("model"), _table()
    return lambda place: model.predict(table.assign(target=table["target"] * (1 + place) + place))["mean"].to_numpy()


def sessions() -> Work:
    """Each thread has a session of its own, all of one forecaster."""
    from titans_ts import TitansForecaster

    model, table = TitansForecaster.load("model"), _table()

    def work(place: int) -> Any:
        """Some steps, and a forecast."""
        session = model.stream(table)
        for step in range(4):
            session.observe([step + place, 2.0 * step])
        return session.forecast()["mean"].to_numpy()

    return work


def classes() -> Work:
    """Each thread asks one classifier about sequences of its own."""
    from titans_ts import DNAClassifier

    model, texts = DNAClassifier.load("classifier"), _sequences()
    return lambda place: model.predict_proba(texts[place:])


def numbers() -> Work:
    """The same of a regressor."""
    from titans_ts import DNARegressor

    model, texts = DNARegressor.load("regressor"), _sequences()
    return lambda place: model.predict(texts[place:])


def language() -> Work:
    """The same of a language model."""
    from titans_ts import DNALanguageModel

    model, texts = DNALanguageModel.load("language"), _sequences()
    return lambda place: model.log_likelihood(texts[place:])


def _table() -> pd.DataFrame:
    return pd.read_csv("good.csv", parse_dates=["timestamp"])


def _sequences() -> list[str]:
    return pd.read_csv("dna_test.csv")["sequence"].tolist()


KINDS: dict[str, Callable[[], Work]] = {
    work.__name__: work for work in (forecasts, sessions, classes, numbers, language)
}
SHARED = "session"


def cases() -> Iterator[Case]:
    """Every case."""
    for kind in (*KINDS, SHARED):
        for count in COUNTS:
            for interval in INTERVALS:
                command = f"{kind} {count} {interval}"
                yield Case("threads", f"{count} at {kind}, {interval} s each", command, (0,), program=compared)


def compared(words: Sequence[str]) -> int:
    """Run threads and then one; the status of a command: 0 where they agree."""
    kind, count, interval = words[0], int(words[1]), float(words[2])
    usual = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        same = _one_session(count) if kind == SHARED else _each_its_own(KINDS[kind](), count)
    finally:
        sys.setswitchinterval(usual)
    if not same:
        print(f"titans-ts threads: {count} threads at {kind} do not get what one gets", file=sys.stderr)
    return int(not same)


def _each_its_own(work: Work, count: int) -> bool:
    """Whether each of some threads gets, every time, what one alone gets with the same input."""
    found = together(lambda place: [work(place) for _ in range(ROUNDS)], count)
    return all(
        all(np.array_equal(again, alone) for again in found[place])
        for place, alone in enumerate(map(work, range(count)))
    )


def _one_session(count: int) -> bool:
    """Whether a session that all threads feed with the same rows, so that no order matters, is that of one thread."""
    from titans_ts import TitansForecaster

    model, row, steps = TitansForecaster.load("model"), [1.5, 2.5], 6
    shared, alone = model.stream(_table()), model.stream(_table())

    def feed(place: int) -> None:
        """Observations, with a forecast between."""
        for step in range(steps):
            shared.observe(row)
            if step == place % steps:
                shared.forecast()

    together(feed, count)
    for _ in range(steps * count):
        alone.observe(row)
    return shared.steps == alone.steps and shared.forecast().equals(alone.forecast())


def together(work: Work, count: int) -> list[Any]:
    """What threads that begin at the same moment get.

    Raises:
        BaseException: the first that a thread raised.
    """
    gate, found, failed = threading.Barrier(count), [None] * count, []

    def run(place: int) -> None:
        """One thread."""
        gate.wait()
        try:
            found[place] = work(place)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return found
