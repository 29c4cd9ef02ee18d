"""What a session carries from observation to observation.

Shapes: I items, M channels, C = I·M columns, L context steps, n steps of a block, Ft time features (calendar, then
known covariates), Fk known and Fp past covariates, K tokens, N memories, H heads, D width, S static categories,
R static numbers, Q patch length, P parts of a departure (`detection.PARTS`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from functools import wraps
from typing import Concatenate, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from titans_datasets.series import Frequency
from titans_ts.core.backbone import TitansState
from titans_ts.core.surprise import InnerLoss, MemoryState

FloatArray = npt.NDArray[np.float64]
MemoryUse = Literal["window", "carried"]
LateUse = Literal["error", "fill", "ignore"]
Given = ParamSpec("Given")
Found = TypeVar("Found")


class SessionLock:
    """Lets one thread at a time into a session, as often as it likes; a copy of a session has one of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[SessionLock], tuple[()]]:
        return SessionLock, ()


class Locked(Protocol):
    """Whatever has a lock."""

    lock: SessionLock


Locking = TypeVar("Locking", bound=Locked)


def locked(method: Callable[Concatenate[Locking, Given], Found]) -> Callable[Concatenate[Locking, Given], Found]:
    """The method of a session, run by one thread at a time."""

    @wraps(method)
    def run(session: Locking, /, *args: Given.args, **options: Given.kwargs) -> Found:
        with session.lock:
            return method(session, *args, **options)

    return run


class Block(NamedTuple):
    """Steps that follow each other: values (n, C), NaN where missing; known (n, I, Fk), past (n, I, Fp)."""

    values: FloatArray
    known: npt.NDArray[np.float32]
    past: npt.NDArray[np.float32]

    def cut(self, first: int, last: int | None = None) -> Block:
        """The steps first … last − 1."""
        steps = slice(first, last)
        return Block(self.values[steps], self.known[steps], self.past[steps])

    def place(self, block: Block, first: int) -> None:
        """Write a shorter block into this one, from step `first` on."""
        steps = slice(first, first + len(block.values))
        self.values[steps], self.known[steps], self.past[steps] = block

    @classmethod
    def join(cls, blocks: list[Block]) -> Block:
        """One block after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


@dataclass(frozen=True)
class Clock:
    """The part of a session that stays the same.

    Attributes:
        start: step 0, the earliest first step of the session's series.
        frequency: the time step.
        first: (I,) step at which each series begins.
        codes: (I,) names of the series as numbers.
        cat: (I, S); real: (I, R), static covariates.
        timezone: of the series' records.
    """

    start: pd.Timestamp
    frequency: Frequency
    first: Tensor
    codes: Tensor
    cat: Tensor
    real: Tensor
    timezone: tzinfo | None = None


class Watch(NamedTuple):
    """The running levels that later surprise is compared with.

    Attributes:
        memory: of `StepMemory`.
        errors: (C, 2, Q), its errors at the last steps, NaN where missing.
        running: (4, C, P), running levels of the tokens so far, see `detection.departures`; on the CPU.
    """

    memory: MemoryState
    errors: Tensor
    running: Tensor


class StreamState(NamedTuple):
    """A session after `steps` steps; its size does not depend on their number.

    Attributes:
        steps: steps read.
        values: (C, L) float64, the last steps, NaN where missing.
        times: (I, L, Ft), past: (I, L, Fp), their features.
        seen: (4, C) float64: values observed, the first of them, sum and sum of squares of the distances from it.
        watch: the running levels that surprise is compared with.
        memory: of the backbone after the last token; None before the first context is full.
        last: (C, D), output of the backbone at the last token.
        surprise: of the last token, (C, N, H) each; None where no memory has read anything.
        departure: of the last token (C, 2, P), as `detection.departures` has it, on the CPU; None likewise.
    """

    steps: int
    values: Tensor
    times: Tensor
    past: Tensor
    seen: Tensor
    watch: Watch
    memory: TitansState | None = None
    last: Tensor | None = None
    surprise: InnerLoss | None = None
    departure: Tensor | None = None


class Read(NamedTuple):
    """Tokens read from one block; they end with the steps `ends` (K).

    Attributes:
        surprise: (C, K, N, H) each.
        departure: (C, K, 2, P), on the CPU; NaN for tokens of the first context.
    """

    ends: list[int]
    surprise: InnerLoss
    departure: Tensor
