"""One number a sequence from any model: log odds of a class, or a column of what a callable returns.

Shapes: n sequences, K classes, labels or columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit, logsumexp

from titans_datasets.dna.alphabet import Codes, decode, encode, reverse_complement

FloatArray = npt.NDArray[np.float64]
STRANDS = ("one", "both")
# Bases that a model is asked for at once.
BASES_A_CALL = 1_000_000


class Scorer(NamedTuple):
    """A model reduced to one number a sequence.

    Attributes:
        read: n sequences of letters → (n,).
        name: what the number is, for tables and pictures.
        strands: "both" takes the mean over a sequence and its reverse complement.
    """

    read: Callable[[list[str]], FloatArray]
    name: str
    strands: str

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """(n,) of encoded sequences, asked for in pieces."""
        found, first = [], 0
        while first < len(codes):
            last, bases = first + 1, len(codes[first])
            while last < len(codes) and bases + len(codes[last]) <= BASES_A_CALL:
                bases, last = bases + len(codes[last]), last + 1
            found.append(self._piece(codes[first:last]))
            first = last
        return np.concatenate(found)

    def _piece(self, codes: Sequence[Codes]) -> FloatArray:
        scores = self.read([decode(one) for one in codes])
        if self.strands == "both":
            scores = (scores + self.read([decode(reverse_complement(one)) for one in codes])) / 2
        return scores


def scorer(model: Any, output: Any, strands: str) -> Scorer:
    """The number that analyses are about.

    Args:
        model: a fitted classifier with `classes_` and `decision_function` or `predict_proba`, or a callable from a list
            of n strings to (n,) or (n, K) scores.
        output: the class or label; the column of a callable's scores. None takes the second of two classes.
        strands: see `Scorer`.

    Raises:
        ValueError: unknown strands or output, a classifier that is not fitted or labels bases.
        TypeError: the model is neither.
    """
    if strands not in STRANDS:
        raise ValueError(f"strands must be one of {', '.join(STRANDS)}, got {strands!r}")
    model = getattr(model, "best_estimator_", model)
    if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
        if not callable(model):
            raise TypeError(
                "model must be a fitted classifier or a callable from a list of strings to scores, got "
                f"{type(model).__name__}"
            )
        return Scorer(lambda texts: _column(model(texts), len(texts), output), _column_name(output), strands)
    check_classifier(model)
    place = class_place(model.classes_, output)
    return Scorer(_log_odds_of(model, place), f"log odds of {model.classes_[place]}", strands)


def check_classifier(model: Any) -> None:
    """Refuse classifiers of which no single number can be had.

    Raises:
        ValueError: it is not fitted, or labels bases.
    """
    if not hasattr(model, "classes_"):
        raise ValueError(f"{type(model).__name__} is not fitted: call fit first")
    if getattr(model, "per_base", False):
        raise ValueError(
            "a classifier with per_base answers for every base: pass a callable that makes one number a sequence of it"
        )


def class_place(classes: Any, output: Any) -> int:
    """Number of the class or label that is meant.

    Raises:
        ValueError: there is no such class, or none is named among more than two.
    """
    names = np.asarray(classes).tolist()
    if output is None and len(names) == 2:
        return 1
    if output is None or output not in names:
        what = "missing" if output is None else f"{output!r}, which is none of them"
        raise ValueError(f"output must name one of the classes {names!r}, got {what}")
    return names.index(output)


def _log_odds_of(model: Any, place: int) -> Callable[[list[str]], FloatArray]:
    if not hasattr(model, "decision_function"):

        def from_probabilities(texts: list[str]) -> FloatArray:
            """(n,) of n strings."""
            tiny = np.finfo(np.float64).eps
            found = np.asarray(model.predict_proba(texts), dtype=np.float64)[:, place]
            return np.asarray(logit(found.clip(tiny, 1 - tiny)))

        return from_probabilities
    fitted = getattr(model, "model_", None)
    task = "classes" if fitted is None else fitted.config.task

    def from_logits(texts: list[str]) -> FloatArray:
        """(n,) of n strings."""
        logits = np.asarray(model.decision_function(texts), dtype=np.float64)
        if logits.ndim == 1:
            return logits if place == 1 else -logits
        return logits[:, place] if task == "labels" else log_odds(logits, place)

    return from_logits


def log_odds(logits: FloatArray, place: int) -> FloatArray:
    """Log of p / (1 − p) of one of several classes that exclude each other: (n, K) → (n,)."""
    return np.asarray(logits[:, place] - logsumexp(np.delete(logits, place, axis=1), axis=1))


def _column_name(output: Any) -> str:
    return "score" if output is None else f"score {output}"


def _column(scores: Any, count: int, output: Any) -> FloatArray:
    """One column of what a callable returned.

    Raises:
        ValueError: another shape than (n,) or (n, K), numbers that are not finite, or no such column.
    """
    scores = scores.detach().cpu() if hasattr(scores, "detach") else scores
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != count or found.size == 0:
        raise ValueError(
            f"model must return one row a sequence, ({count},) or ({count}, K), got shape {found.shape} for {count} "
            "sequences"
        )
    if not np.isfinite(found).all():
        raise ValueError("model returned scores that are NaN or infinite: return finite ones")
    if found.ndim == 1 or (output is None and found.shape[1] == 1):
        if found.ndim == 1 and output is not None:
            raise ValueError(f"output must be None where the model returns one score a sequence, got {output!r}")
        return found.reshape(-1)
    whole = isinstance(output, int | np.integer) and not isinstance(output, bool)
    if not whole or not 0 <= output < found.shape[1]:
        raise ValueError(
            f"output must be one of the columns 0 … {found.shape[1] - 1} of the scores that the model returns, got "
            f"{output!r}"
        )
    return found[:, output]


def encode_one(sequence: Any) -> Codes:
    """Codes (T,) of one sequence.

    Raises:
        ValueError: it is empty or holds a letter that is none of DNA's.
        TypeError: it is no sequence.
    """
    codes = encode(sequence)
    if not len(codes):
        raise ValueError("sequence must hold at least one base, got an empty one")
    return codes
