"""From what callers pass to codes of bases and numbers of classes.

Shapes: n sequences, T bases of one, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, as_sequences, encode_all
from titans_ts.genomics.model.config import TaskName

FloatArray = npt.NDArray[np.float64]


class Labels(NamedTuple):
    """Labels of n sequences.

    Attributes:
        classes: (K,) sorted class names; for several labels the numbers or column names of the labels.
        numbers: (n,) class numbers, (n, K) zeros and ones, or a list of n arrays (T,) for bases.
        task: "classes" exclude each other, "labels" do not.
    """

    classes: npt.NDArray[Any]
    numbers: Any
    task: TaskName

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """(n,) numbers whose proportions splits keep: class, set of labels, most frequent class of the bases."""
        if isinstance(self.numbers, list):
            return np.array([np.bincount(row).argmax() for row in self.numbers], dtype=np.int64)
        if self.numbers.ndim == 1:
            return np.asarray(self.numbers)
        return np.unique(self.numbers, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def read_sequences(X: Any, sequence_column: str) -> list[str]:
    """The letters of a list, Series, array, table, records or the path of a file.

    Raises:
        ValueError, TypeError: see `titans_datasets.dna.as_sequences`; or the table lacks the column.
    """
    if isinstance(X, pd.DataFrame):
        if sequence_column not in X.columns:
            raise ValueError(
                f"sequence_column {sequence_column!r} is no column of the table, which has "
                f"{', '.join(map(repr, X.columns))}: pass its name as sequence_column"
            )
        X = X[sequence_column]
    return as_sequences(X)


def read_codes(X: Any, sequence_column: str) -> list[Codes]:
    """`read_sequences`, encoded.

    Raises:
        ValueError, TypeError: as `read_sequences`; or a letter is not DNA.
    """
    return encode_all(read_sequences(X, sequence_column))


def read_labels(X: Any, y: Any, label_column: str) -> Any:
    """y, or the label column of the table where y is None.

    Raises:
        ValueError: there are no labels.
    """
    if y is not None:
        return y
    if isinstance(X, pd.DataFrame) and label_column in X.columns:
        return X[label_column]
    raise ValueError(
        f"y is missing: pass the labels as y, or a table with the column {label_column!r} (label_column names another)"
    )


def encode_labels(y: Any, count: int, per_base: bool) -> Labels:
    """Class numbers of labels of any type.

    Args:
        y: (n,) labels; (n, K) zeros and ones, several of which may be 1; per base a list of n rows of labels, or of n
            strings with one letter per base.
        count: n sequences.
        per_base: whether every base has a label.

    Raises:
        ValueError: another number of labels than sequences, missing labels, fewer than two classes, or continuous
            numbers.
    """
    rows = len(y)
    if rows != count:
        raise ValueError(f"y must have one entry per sequence: {count} sequences, {rows} entries")
    if per_base:
        flat = [_one_row(row, index) for index, row in enumerate(y)]
        classes, numbers = _classes(np.concatenate(flat), "bases")
        borders = np.cumsum([len(row) for row in flat])[:-1]
        return Labels(classes, np.split(numbers, borders), "classes")
    values = y.to_numpy() if isinstance(y, (pd.Series, pd.DataFrame)) else np.asarray(y)
    if values.ndim == 2 and values.shape[1] > 1:
        return _indicator(values, list(y.columns) if isinstance(y, pd.DataFrame) else None)
    if values.ndim > 2:
        raise ValueError(f"y must be (sequences,) or (sequences, labels), got shape {values.shape}")
    classes, numbers = _classes(values.reshape(-1), "sequences")
    return Labels(classes, numbers, "classes")


def _one_row(row: Any, index: int) -> npt.NDArray[Any]:
    values = np.array(list(row)) if isinstance(row, str) else np.asarray(row)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"y[{index}] must have a label per base (a row or a string of letters), got {row!r:.60}")
    return values


def _classes(values: npt.NDArray[Any], what: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    missing = pd.isna(values)
    if missing.any():
        raise ValueError(
            f"y has {int(missing.sum())} missing labels (the first at {int(missing.argmax())}): drop those {what}"
        )
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise ValueError("y holds fractions, but a classifier needs classes: bin the numbers into classes first")
    try:
        classes, numbers = np.unique(values, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(f"y mixes labels of types {', '.join(kinds)}: use one type") from error
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got only {classes.tolist()!r}")
    return classes, numbers.reshape(-1).astype(np.int64)


def _indicator(values: npt.NDArray[Any], names: list[Any] | None) -> Labels:
    if pd.isna(values).any() or not np.isin(values, (0, 1)).all():
        raise ValueError("y with one column per label must hold 0 and 1 only (or False and True)")
    numbers = values.astype(np.int64)
    constant = (numbers == numbers[0]).all(0)
    if constant.any():
        raise ValueError(
            f"label {int(constant.argmax())} is {int(numbers[0, constant.argmax()])} for every sequence: leave it out"
        )
    return Labels(np.array(names if names is not None else range(values.shape[1])), numbers, "labels")


def check_bases(codes: list[Codes], numbers: list[npt.NDArray[np.int64]]) -> None:
    """Check that every base has a label.

    Raises:
        ValueError: a row of labels is longer or shorter than its sequence.
    """
    for index, (sequence, row) in enumerate(zip(codes, numbers, strict=True)):
        if len(sequence) != len(row):
            raise ValueError(f"y[{index}] must have {len(sequence)} labels, one per base, got {len(row)}")


def class_weights(setting: Any, labels: Labels) -> FloatArray:
    """Weight of each class (K,); ones for several labels.

    Raises:
        ValueError: a dict with an unknown class or a negative weight, or class weights for several labels.
    """
    weights = np.ones(len(labels.classes))
    if setting is None:
        return weights
    if labels.task == "labels":
        raise ValueError("class_weight is for classes that exclude each other: pass sample_weight instead")
    numbers = np.concatenate(labels.numbers) if isinstance(labels.numbers, list) else labels.numbers
    if isinstance(setting, Mapping):
        names = labels.classes.tolist()
        for name, weight in setting.items():
            if name not in names:
                raise ValueError(f"class_weight names {name!r}, which is not one of the classes {names!r}")
            if not weight >= 0:
                raise ValueError(f"class_weight of {name!r} must be ≥ 0, got {weight!r}")
            weights[names.index(name)] = float(weight)
        return weights
    return len(numbers) / (len(weights) * np.bincount(numbers, minlength=len(weights)))


def sample_weights(sample_weight: Any, count: int) -> FloatArray:
    """Weight of each sequence (n,), ones where None.

    Raises:
        ValueError: another number of weights, negative or missing ones, or only zeros.
    """
    if sample_weight is None:
        return np.ones(count)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (count,):
        raise ValueError(f"sample_weight must have one number per sequence ({count}), got shape {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("sample_weight must be finite, ≥ 0 and not all 0")
    return weights


def check_groups(groups: Any, count: int) -> Any:
    """Groups as given, or None.

    Raises:
        ValueError: another number of groups than sequences.
    """
    if groups is not None and len(groups) != count:
        raise ValueError(f"groups must have one entry per sequence: {count} sequences, {len(groups)} entries")
    return groups


def known_labels(y: Any, count: int, classes: npt.NDArray[Any], task: str, per_base: bool) -> Any:
    """Numbers of labels in the order of the classes of training: (n,), (n, K), or n arrays (T,) for bases.

    Raises:
        ValueError: another number of labels than sequences, or a label that training did not have.
    """
    if len(y) != count:
        raise ValueError(f"y must have one entry per sequence: {count} sequences, {len(y)} entries")
    if per_base:
        return [_known_numbers(_one_row(row, index), classes) for index, row in enumerate(y)]
    values = y.to_numpy() if isinstance(y, (pd.Series, pd.DataFrame)) else np.asarray(y)
    if task == "labels":
        if values.shape != (count, len(classes)):
            raise ValueError(f"y must be ({count}, {len(classes)}) zeros and ones, got shape {values.shape}")
        return values.astype(np.int64)
    return _known_numbers(values.reshape(-1), classes)


def _known_numbers(values: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    numbers = pd.Index(classes).get_indexer(values)
    if (numbers < 0).any():
        stranger = values.tolist()[int((numbers < 0).argmax())]
        raise ValueError(f"y has the label {stranger!r}, training had {classes.tolist()!r}: leave it out")
    return numbers.astype(np.int64)
