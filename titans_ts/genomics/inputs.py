"""From what callers pass to codes of bases and numbers of classes.

Shapes: n sequences, T bases of one, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, as_sequences, encode_all
from titans_ts.genomics.model.config import TaskName

FloatArray = npt.NDArray[np.float64]
# More classes than that whose names are numbers, most of which come once, are taken for numbers on a scale.
MOST_NUMBERED_CLASSES = 10


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
        y: (n,) labels; (n, K) zeros and ones, several of which may be 1; n lists, tuples or sets of tags, each of which
            is a label; per base a list of n rows of labels, or of n strings with one letter per base.
        count: n sequences.
        per_base: whether every base has a label.

    Raises:
        ValueError: another number of labels than sequences, missing labels, labels of different types, fewer than two
            classes, or numbers on a scale.
    """
    rows = len(y)
    if rows != count:
        raise ValueError(f"y must have one entry per sequence: {count} sequences, {rows} entries")
    if per_base:
        flat = [_one_row(row, index) for index, row in enumerate(y)]
        classes, numbers = _classes(_joined(flat), "bases")
        borders = np.cumsum([len(row) for row in flat])[:-1]
        return Labels(classes, np.split(numbers, borders), "classes")
    tags = _tags(y)
    if tags is not None:
        names = sorted(set().union(*tags), key=lambda name: (str(type(name)), name))
        return _indicator(_tag_columns(tags, names), names)
    values = _values(y)
    if values.ndim == 2 and values.shape[1] > 1:
        return _indicator(values, list(y.columns) if isinstance(y, pd.DataFrame) else None)
    if values.ndim > 2:
        raise ValueError(f"y must be (sequences,) or (sequences, labels), got shape {values.shape}")
    classes, numbers = _classes(values.reshape(-1), "sequences")
    return Labels(classes, numbers, "classes")


def _values(y: Any) -> npt.NDArray[Any]:
    """Labels as an array; a list with missing values, or with text and numbers, keeps them as they are."""
    if isinstance(y, pd.Series | pd.DataFrame):
        return np.asarray(y.to_numpy())
    if not isinstance(y, list | tuple):
        return np.asarray(y)
    if any(isinstance(one, Sized) and not isinstance(one, str | bytes) for one in y):
        return np.asarray(y)
    values = np.empty(len(y), dtype=object)
    values[:] = y
    alike = len({isinstance(one, str) for one in y}) < 2
    return np.asarray(y) if alike and not pd.isna(values).any() else values


def _tags(y: Any) -> list[set[Any]] | None:
    """The tags of each sequence where y holds lists of them; None where it holds labels, or zeros and ones.

    Raises:
        ValueError: some entries are lists of tags and others are not.
    """
    if isinstance(y, pd.DataFrame) or getattr(y, "ndim", 1) != 1:
        return None
    listed = [isinstance(one, list | tuple | set | frozenset | np.ndarray) for one in y]
    rows = [one for one, of_tags in zip(y, listed, strict=True) if of_tags]
    by_name = any(isinstance(row, set | frozenset) or any(isinstance(tag, str) for tag in row) for row in rows)
    if not rows or not (by_name or len({len(row) for row in rows}) > 1):
        return None
    if len(rows) < len(listed):
        raise ValueError(
            f"y[{listed.index(False)}] must be a list of tags, as other entries are: give every sequence a list, an "
            "empty one for no tags; or use sklearn.preprocessing.MultiLabelBinarizer"
        )
    for index, row in enumerate(rows):
        if any(pd.isna(tag) for tag in row):
            raise ValueError(f"y[{index}] has a missing tag: leave it out of the list")
    return [set(row) for row in rows]


def _tag_columns(tags: list[set[Any]], names: Sequence[Any]) -> npt.NDArray[np.int64]:
    return np.array([[name in row for name in names] for row in tags], dtype=np.int64)


def _one_row(row: Any, index: int) -> npt.NDArray[Any]:
    values = np.array(list(row)) if isinstance(row, str) else _values(row)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"y[{index}] must have a label per base (a row or a string of letters), got {row!r:.60}")
    return values


def _joined(rows: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """All rows one after another; text and numbers stay what they are."""
    alike = len({row.dtype.kind in "US" for row in rows}) == 1
    return np.concatenate(rows if alike else [row.astype(object) for row in rows])


def _classes(values: npt.NDArray[Any], what: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    missing = pd.isna(values)
    if missing.any():
        raise ValueError(
            f"y has {int(missing.sum())} missing labels (the first at {int(missing.argmax())}): drop those {what}"
        )
    _check_scale(values)
    try:
        classes, numbers = np.unique(values, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(f"y mixes labels of types {', '.join(kinds)}: use one type") from error
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got only {classes.tolist()!r}")
    return classes, numbers.reshape(-1).astype(np.int64)


def _check_scale(values: npt.NDArray[Any]) -> None:
    """Refuse numbers on a scale: fractions, or numbers of which most come once.

    Raises:
        ValueError: y holds such numbers, also as text.
    """
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return
    kinds = len(np.unique(numbers))
    fractions = bool((numbers != np.floor(numbers)).any())
    as_text = values.dtype.kind not in "fiub"
    if fractions and not as_text:
        what = f"fractions, such as {float(numbers[numbers != np.floor(numbers)][0]):g}"
    elif kinds > max(len(values) / 2, MOST_NUMBERED_CLASSES):
        what = f"{kinds:,} different numbers for {len(values):,} sequences"
    else:
        return
    raise ValueError(
        f"y holds {what}, but a classifier needs classes: predict numbers on a scale with DNARegressor (`titans-ts "
        "regress`), or bin them into classes first"
    )


def _indicator(values: npt.NDArray[Any], names: list[Any] | None) -> Labels:
    if pd.isna(values).any() or not np.isin(values, (0, 1)).all():
        raise ValueError(
            "y with one column per label must hold 0 and 1 only (or False and True): get it from lists of tags by "
            "sklearn.preprocessing.MultiLabelBinarizer"
        )
    numbers = values.astype(np.int64)
    constant = (numbers == numbers[0]).all(0)
    if constant.any():
        place = int(constant.argmax())
        name, value = place if names is None else names[place], int(numbers[0, place])
        raise ValueError(
            f"label {name} is {value} for every sequence: leave it out (lists of tags are read as by "
            "sklearn.preprocessing.MultiLabelBinarizer)"
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
        ValueError: another number of labels than sequences, a label that training did not have, or columns of labels
            with other numbers than 0 and 1.
    """
    if len(y) != count:
        raise ValueError(f"y must have one entry per sequence: {count} sequences, {len(y)} entries")
    if per_base:
        return [_known_numbers(_one_row(row, index), classes) for index, row in enumerate(y)]
    if task == "labels":
        return _known_columns(y, count, classes)
    return _known_numbers(_values(y).reshape(-1), classes)


def _known_columns(y: Any, count: int, classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(n, K) zeros and ones, or n lists of tags, in the order of training."""
    tags, names = _tags(y), classes.tolist()
    if tags is not None:
        strangers = set().union(*tags) - set(names)
        if strangers:
            raise ValueError(f"y has the tag {sorted(strangers, key=str)[0]!r}, training had {names!r}: leave it out")
        return _tag_columns(tags, names)
    values = _values(y)
    if values.shape != (count, len(classes)):
        raise ValueError(f"y must be ({count}, {len(classes)}) zeros and ones, got shape {values.shape}")
    if pd.isna(values).any() or not np.isin(values, (0, 1)).all():
        raise ValueError("y with one column per label must hold 0 and 1 only (or False and True)")
    return values.astype(np.int64)


def _known_numbers(values: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    numbers = pd.Index(classes).get_indexer(values)
    if (numbers < 0).any():
        stranger = values.tolist()[int((numbers < 0).argmax())]
        raise ValueError(f"y has the label {stranger!r}, training had {classes.tolist()!r}: leave it out")
    return numbers.astype(np.int64)
