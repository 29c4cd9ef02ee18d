"""Streams of tokens that state something once, somewhere, and ask for it at the end.

After the needle tests of long-context language models (the paper's section 5.3, RULER's S-NIAH): a needle is
``NEEDLE key value…``, hidden in a haystack; a question is ``ASK key value…``, whose value has to be predicted.

Shapes: B streams, T tokens, A answer tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from titans_ts.core.config import require

Ids = npt.NDArray[np.uint8]
Haystack = Literal["cycle", "noise", "words"]

KEYS, DIGITS, WORDS, NOISE = 32, 10, 64, 64
ASK, NEEDLE, FIRST_KEY = 0, 1, 2
FIRST_DIGIT = FIRST_KEY + KEYS
FIRST_WORD = FIRST_DIGIT + DIGITS
FIRST_NOISE = FIRST_WORD + WORDS
TEXT_VOCABULARY = FIRST_NOISE + NOISE
CYCLE = 24


class Streams(NamedTuple):
    """B streams of one length.

    Attributes:
        ids: (B, T) uint8.
        answers: (A,) int64, ascending: positions whose token is predicted from those before it, the same in all rows.
        questions: how many questions the A positions belong to, equally many to each.
    """

    ids: Ids
    answers: npt.NDArray[np.int64]
    questions: int


@dataclass(frozen=True)
class NeedleStreams:
    """Needles in a haystack of text-like tokens.

    Attributes:
        haystack: ``"cycle"`` repeats one sentence, ``"noise"`` draws tokens at random, ``"words"`` draws half of them
            from the words that are also values, so that a value cannot be recognised without its needle.
        needles: key–value pairs in the stream, with different keys.
        questions: how many of them are queried at the end.
        value: ``"digits"`` or ``"word"``: the kind of tokens in a value.
        value_length: tokens of a value.
    """

    haystack: Haystack = "noise"
    needles: int = 1
    questions: int = 1
    value: Literal["digits", "word"] = "digits"
    value_length: int = 1

    def __post_init__(self) -> None:
        require(self.haystack in get_args(Haystack), "haystack", f"one of {get_args(Haystack)}", self.haystack)
        require(1 <= self.needles <= KEYS, "needles", f"1 to {KEYS}", self.needles)
        require(1 <= self.questions <= self.needles, "questions", f"1 to needles = {self.needles}", self.questions)
        require(self.value in ("digits", "word"), "value", "'digits' or 'word'", self.value)
        require(self.value_length >= 1, "value_length", "≥ 1 token", self.value_length)

    @property
    def vocabulary(self) -> int:
        """Different tokens."""
        return TEXT_VOCABULARY

    @property
    def shortest(self) -> int:
        """Fewest tokens of a stream: needles and questions with nothing between them."""
        return (self.needles + self.questions) * (2 + self.value_length)

    @property
    def chance(self) -> float:
        """Share of questions answered by guessing among the values."""
        return float((DIGITS if self.value == "digits" else WORDS) ** -self.value_length)

    def draw(self, batch: int, length: int, rng: np.random.Generator) -> Streams:
        """Streams of `length` tokens; needles lie anywhere before the questions.

        Raises:
            ValueError: the length is too short for needles and questions.
        """
        require(length >= self.shortest, "length", f"≥ {self.shortest} tokens for these streams", length)
        size = 2 + self.value_length
        keys = FIRST_KEY + rng.random((batch, KEYS)).argsort(1)[:, : self.needles]
        first, kinds = (FIRST_DIGIT, DIGITS) if self.value == "digits" else (FIRST_WORD, WORDS)
        values = first + rng.integers(0, kinds, (batch, self.needles, self.value_length))
        stated = np.concatenate([np.full((batch, self.needles, 1), NEEDLE), keys[..., None], values], axis=2)
        queries = stated[:, rng.permutation(self.needles)[: self.questions]].copy()
        queries[..., 0] = ASK
        body = length - self.questions * size
        ids = np.empty((batch, length), dtype=np.uint8)
        ids[:, body:] = queries.reshape(batch, -1)
        self._hide(ids[:, :body], stated, rng)
        answers = body + (np.arange(self.questions)[:, None] * size + np.arange(2, size)).ravel()
        return Streams(ids, answers.astype(np.int64), self.questions)

    def _hide(self, ids: Ids, stated: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
        """Fill (B, n) with haystack and the needles (B, N, s), at positions drawn separately for each row."""
        needles, size = stated.shape[1:]
        hay = ids.shape[1] - needles * size
        for row, line in enumerate(stated):
            straw = self._straw(hay, rng)
            # A needle goes before straw number `gap`; needles may be adjacent.
            gaps = np.sort(rng.integers(0, hay + 1, needles))
            places = gaps + np.arange(needles) * size
            taken = np.zeros(ids.shape[1], dtype=bool)
            inside = (places[:, None] + np.arange(size)).ravel()
            taken[inside] = True
            ids[row, inside] = line.ravel()
            ids[row, ~taken] = straw

    def _straw(self, count: int, rng: np.random.Generator) -> Ids:
        if self.haystack == "cycle":
            return np.resize(np.arange(FIRST_NOISE, FIRST_NOISE + CYCLE, dtype=np.uint8), count)
        straw = rng.integers(FIRST_NOISE, FIRST_NOISE + NOISE, count, dtype=np.uint8)
        if self.haystack == "words":
            words = rng.integers(FIRST_WORD, FIRST_WORD + WORDS, count, dtype=np.uint8)
            straw = np.where(rng.random(count) < 0.5, straw, words)
        return straw


@dataclass(frozen=True)
class RepeatStreams:
    """Random bases in which one segment is repeated at the end, as it was or as its reverse complement.

    Nothing marks the bases that will matter: everything read has to be stored, so recall is limited by the memory's
    capacity.

    Attributes:
        segment: bases that are repeated.
        cue: the first of them, which are given; the others are predicted.
        reverse_complement: the segment is repeated as its reverse complement.
    """

    segment: int = 32
    cue: int = 12
    reverse_complement: bool = False

    def __post_init__(self) -> None:
        require(1 <= self.cue < self.segment, "cue", f"1 to segment − 1 = {self.segment - 1}", self.cue)

    @property
    def vocabulary(self) -> int:
        """A, C, G, T."""
        return 4

    @property
    def shortest(self) -> int:
        """The segment twice."""
        return 2 * self.segment

    @property
    def questions(self) -> int:
        """Each predicted base is one."""
        return self.segment - self.cue

    @property
    def chance(self) -> float:
        """Share of bases guessed right."""
        return 0.25

    def draw(self, batch: int, length: int, rng: np.random.Generator) -> Streams:
        """Streams of `length` bases; the first copy lies anywhere before the second.

        Raises:
            ValueError: the length is too short for two copies.
        """
        require(length >= self.shortest, "length", f"≥ {self.shortest} tokens for these streams", length)
        ids = rng.integers(0, 4, (batch, length), dtype=np.uint8)
        body = length - self.segment
        for row, start in zip(ids, rng.integers(0, body - self.segment + 1, batch), strict=True):
            first = row[start : start + self.segment]
            row[body:] = 3 - first[::-1] if self.reverse_complement else first
        return Streams(ids, np.arange(body + self.cue, length, dtype=np.int64), self.questions)


StreamKind = NeedleStreams | RepeatStreams

# What recipes of task recall name as their `set`.
STREAM_KINDS: dict[str, StreamKind] = {
    "passkey": NeedleStreams("cycle", needles=1, value_length=4),
    "number": NeedleStreams("noise", needles=4, value_length=4),
    "word": NeedleStreams("words", needles=4, value="word"),
    "associative": NeedleStreams("noise", needles=8, questions=8, value="word"),
    "repeat": RepeatStreams(),
    "reverse repeat": RepeatStreams(reverse_complement=True),
}
