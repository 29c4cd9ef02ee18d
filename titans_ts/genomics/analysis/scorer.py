"""Scorer: one number per sequence from any model: log odds of a class, a predicted target, or a callable's score.

Shapes: n sequences, K classes, labels or columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit, logsumexp

from titans_datasets.dna.alphabet import Codes, decode, encode, reverse_complement
from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.regression.fitted import FittedRegressor

FloatArray = npt.NDArray[np.float64]
STRANDS = ("one", "both")
# Most bases of one call of a model.
BASES_PER_CALL = 1_000_000


class Scorer(NamedTuple):
    """A model reduced to one number per sequence.

    Attributes:
        read: n sequences of letters → (n,).
        name: of the number, for tables and figures.
        strands: "both" takes the mean over a sequence and its reverse complement.
        length: bases of every sequence, where the model reads positions; 0 for any number.
    """

    read: Callable[[list[str]], FloatArray]
    name: str
    strands: str
    length: int = 0

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """Scores (n,) of encoded sequences, in batches."""
        found, first = [], 0
        while first < len(codes):
            last, bases = first + 1, len(codes[first])
            while last < len(codes) and bases + len(codes[last]) <= BASES_PER_CALL:
                bases, last = bases + len(codes[last]), last + 1
            found.append(self._batch(codes[first:last]))
            first = last
        return np.concatenate(found)

    def _batch(self, codes: Sequence[Codes]) -> FloatArray:
        scores = self.read([decode(one) for one in codes])
        if self.strands == "both":
            scores = (scores + self.read([decode(reverse_complement(one)) for one in codes])) / 2
        return scores


def scorer(model: Any, output: Any, strands: str) -> Scorer:
    """The scorer of a model.

    Args:
        model: a fitted classifier with `classes_` and `decision_function` or `predict_proba`, a fitted regressor, or a
            callable from a list of n strings to (n,) or (n, K) scores.
        output: the class or label; the name of a regressor's target; the column of a callable's scores. None takes the
            second of two classes, the only target.
        strands: see `Scorer`.

    Raises:
        ValueError: unknown strands or output, a model that is not fitted or answers for bases.
        TypeError: the model is none of these.
    """
    if strands not in STRANDS:
        raise ValueError(f"strands must be one of {', '.join(STRANDS)}, got {strands!r}")
    model = getattr(model, "best_estimator_", model)
    if predicts_numbers(model):
        return _prediction_of(model, output, strands)
    if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
        if not callable(model):
            raise TypeError(
                "model must be a fitted classifier or regressor, or a callable from a list of strings to scores, got "
                f"{type(model).__name__}"
            )
        return Scorer(lambda texts: _column(model(texts), len(texts), output), _column_name(output), strands)
    check_classifier(model)
    place = class_place(model.classes_, output)
    fitted = getattr(model, "model_", None)
    length = fitted.parts.length if isinstance(fitted, FittedClassifier) else 0
    return Scorer(_log_odds_of(model, place), f"log odds of {model.classes_[place]}", strands, length)


def predicts_numbers(model: Any) -> bool:
    """Whether it is a regressor, such as those of scikit-learn: it predicts, but neither probabilities nor logits."""
    if isinstance(getattr(model, "model_", None), FittedRegressor):
        return True
    classes = hasattr(model, "predict_proba") or hasattr(model, "decision_function")
    return hasattr(model, "fit") and hasattr(model, "predict") and not classes


def _prediction_of(model: Any, output: Any, strands: str) -> Scorer:
    """A target in its units; of other regressors than DNARegressor by its column."""
    fitted = getattr(model, "model_", None)
    if not isinstance(fitted, FittedRegressor):
        return Scorer(lambda texts: _column(model.predict(texts), len(texts), output), _column_name(output), strands)
    check_regressor(fitted)
    place = target_place(fitted.names, output)
    name = f"predicted {fitted.names[place]}"
    length = fitted.parts.length
    return Scorer(lambda texts: model.predict(texts).reshape(len(texts), -1)[:, place], name, strands, length)


def check_regressor(fitted: FittedRegressor) -> None:
    """Refuse regressors without one answer per sequence.

    Raises:
        ValueError: it predicts targets of bases.
    """
    if fitted.parts.per_base:
        raise ValueError(
            "a regressor with per_base has an answer per base: pass a callable that returns one number per sequence"
        )


def target_place(names: list[Any], output: Any) -> int:
    """Number of a target.

    Raises:
        ValueError: there is no such target, or none is named and there are several.
    """
    if output is None and len(names) == 1:
        return 0
    if output is None or output not in names:
        raise ValueError(f"output must be one of the targets {names!r}, got {output!r}")
    return names.index(output)


def check_classifier(model: Any) -> None:
    """Refuse classifiers without one answer per sequence.

    Raises:
        ValueError: it is not fitted, or labels bases.
    """
    if not hasattr(model, "classes_"):
        raise ValueError(f"{type(model).__name__} is not fitted: call fit first")
    if getattr(model, "per_base", False):
        raise ValueError(
            "a classifier with per_base has an answer per base: pass a callable that returns one number per sequence"
        )


def class_place(classes: Any, output: Any) -> int:
    """Number of a class or label.

    Raises:
        ValueError: there is no such class, or no class is named and there are not two.
    """
    names = np.asarray(classes).tolist()
    if output is None and len(names) == 2:
        return 1
    if output is None or output not in names:
        raise ValueError(f"output must be one of the classes {names!r}, got {output!r}")
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
    task = fitted.task if isinstance(fitted, FittedClassifier) else "classes"

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
    """One column of a callable's scores.

    Raises:
        ValueError: a shape other than (n,) or (n, K), numbers that are not finite, or no such column.
    """
    scores = scores.detach().cpu() if hasattr(scores, "detach") else scores
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != count or found.size == 0:
        raise ValueError(
            f"model must return one row per sequence, ({count},) or ({count}, K), got shape {found.shape} for {count} "
            "sequences"
        )
    if not np.isfinite(found).all():
        raise ValueError("model returned scores that are NaN or infinite: return finite ones")
    if found.ndim == 1 or (output is None and found.shape[1] == 1):
        if found.ndim == 1 and output is not None:
            raise ValueError(f"output must be None where the model returns one score per sequence, got {output!r}")
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
        ValueError: it is empty or has a letter that is not DNA.
        TypeError: it is no sequence.
    """
    codes = encode(sequence)
    if not len(codes):
        raise ValueError("sequence must hold at least one base, got an empty one")
    return codes
