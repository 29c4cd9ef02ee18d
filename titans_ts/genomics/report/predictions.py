"""Predictions for the sequences of a file, batch by batch: tables, or tracks where they are intervals of a genome.

Shapes: n sequences, T bases of one, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.read.files import DNARecord
from titans_datasets.dna.read.intervals import Placed
from titans_datasets.dna.read.labelled import Labelled, named
from titans_datasets.dna.read.text import title
from titans_datasets.dna.tracks import bases_of, check_track, is_track, write_track
from titans_datasets.rows import rows, write_frame

if TYPE_CHECKING:
    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.plain import PlainClassifier, PlainRegressor
    from titans_ts.genomics.regression.regressor import DNARegressor
    from titans_ts.genomics.report.values import RegressionReport

FloatArray = npt.NDArray[np.float64]
Row = tuple[Any, ...]
Predict = Callable[[list[DNARecord]], Iterable[Row]]


def write_predictions(
    file: str,
    source: Placed | Iterable[list[DNARecord]],
    output: str | None,
    header: list[str],
    predict: Predict,
    track: int,
) -> str:
    """Predict for all sequences of a file; one batch of them is in memory at a time, and a value each for a track.

    Args:
        file: its name.
        source: its sequences or intervals, see `record_source`.
        output: a table (csv, tsv), a bedGraph or bigWig of intervals; None for standard output.
        header: names of the columns of the table.
        predict: records to rows of the table, one for each or one for each base.
        track: place in a row of the value that a track holds.

    Returns:
        What was written, in words.

    Raises:
        ValueError: what the file holds; a track of sequences without places, or of overlapping intervals; letters that
            are not DNA.
    """
    file = title(file)
    if not isinstance(source, Placed):
        check_tracked(output, None, file)
        return _table(file, source, output, header, predict)
    check_tracked(output, source.frame, file)
    if output is None or not is_track(output):
        return _table(file, source.batches(), output, header, predict)
    values = np.array([row[track] for batch in source.batches() for row in predict(batch)])
    write_values(output, source.frame, source.genome.lengths, values, header[track])
    return f"{len(source.frame):,} intervals, {header[track]}"


def check_tracked(output: str | None, intervals: pd.DataFrame | None, name: str) -> None:
    """Refuse a track that cannot be written, before anything is trained or predicted.

    Args:
        output: file of the predictions, which may be no track.
        intervals: of the sequences; None for sequences without places.
        name: of their file.

    Raises:
        ValueError: sequences without places, or see `check_track`.
    """
    if output is None or not is_track(output):
        return
    if intervals is None:
        raise ValueError(f"{output}: a track needs intervals of a genome (.bed with --fasta), got {name}")
    check_track(output, intervals)


def write_values(
    output: str, intervals: pd.DataFrame | None, contigs: Mapping[str, int] | None, values: FloatArray, name: str
) -> None:
    """A track of values of intervals, or of all of their bases in reading order; see `write_track`."""
    assert intervals is not None and contigs is not None
    frame = intervals if len(values) == len(intervals) else bases_of(intervals)
    write_track(output, frame, values, contigs, name=name)


def _table(
    file: str, batches: Iterable[list[DNARecord]], output: str | None, header: list[str], predict: Predict
) -> str:
    count = 0
    with rows(output, header) as table:
        for batch in batches:
            with named(file, batch):
                found = predict(batch)
            for row in found:
                table.write(*row)
            count += len(batch)
    return f"{count:,} sequences"


def class_predictor(
    model: DNAClassifier | PlainClassifier, name: str | None, output: str | None
) -> tuple[list[str], Predict, int]:
    """Header, rows and place of the value of a track, for `write_predictions`.

    Args:
        model: a fitted classifier, of sequences or of bases.
        name: of the class in a track; None for the second of two.
        output: file of the predictions.

    Raises:
        ValueError: see `track_place`.
    """
    header = class_header(model)

    def predict(batch: list[DNARecord]) -> Iterator[Row]:
        """Rows of a batch, after the model has read all of it."""
        found = model.predict_proba([record.sequence for record in batch])
        flat = np.concatenate(found) if model.per_base else found
        return class_rows(model, [record.id for record in batch], [len(record.sequence) for record in batch], flat)

    return header, predict, track_place(model, header, name, output)


def value_predictor(model: DNARegressor | PlainRegressor) -> tuple[list[str], Predict, int]:
    """Header, rows and place of the value of a track (the first target), for `write_predictions`.

    Args:
        model: a fitted regressor, of sequences or of bases.
    """
    first = ["id", "position"] if model.per_base else ["id"]

    def predict(batch: list[DNARecord]) -> Iterator[Row]:
        """Rows of a batch, after the model has read all of it."""
        found = model.predict([record.sequence for record in batch])
        if not model.per_base:
            table = found.reshape(len(batch), -1).tolist()
            return ((record.id, *numbers) for record, numbers in zip(batch, table, strict=True))
        return (
            (record.id, place, *numbers)
            for record, row in zip(batch, found, strict=True)
            for place, numbers in enumerate(row.reshape(len(row), -1).tolist())
        )

    return [*first, *map(str, model.target_names_)], predict, len(first)


def write_measured(path: str, data: Labelled, report: RegressionReport) -> None:
    """The predictions of a report: a table, or a track of the first target.

    Args:
        path: csv or tsv, bedGraph or bigWig.
        data: the sequences that were tested.
        report: of them.
    """
    frame, name = report.to_frame(data.ids), f"predicted {report.names[0]}"
    if is_track(path):
        write_values(path, data.intervals, data.contigs, frame[name].to_numpy(), name)
    else:
        write_frame(frame, path)


def track_place(model: DNAClassifier | PlainClassifier, header: list[str], name: str | None, output: str | None) -> int:
    """The column whose values a track holds.

    Raises:
        ValueError: another class, or none for a track where there are more than two.
    """
    names = [str(one) for one in model.classes_.tolist()]
    if name is None and len(names) > 2 and output is not None and is_track(output):
        raise ValueError(f"{output} holds the probability of one class: name one of {', '.join(names)} by --class")
    if name is not None and name not in names:
        raise ValueError(f"--class must name one of {', '.join(names)}, got {name!r}")
    return len(header) - len(names) + (len(names) - 1 if name is None else names.index(name))


def class_header(model: DNAClassifier | PlainClassifier, *, labelled: bool = False) -> list[str]:
    """Names of the columns of `class_rows`."""
    first = ["id", *(["position"] if model.per_base else []), *(["label"] if labelled else [])]
    return [*first, "predicted", *(str(name) for name in model.classes_.tolist())]


def class_rows(
    model: DNAClassifier | PlainClassifier,
    ids: Sequence[str],
    lengths: Sequence[int],
    probability: FloatArray,
    truth: npt.NDArray[np.int64] | None = None,
) -> Iterator[Row]:
    """Rows of a table: id, position (from 0) of a base, label, predicted class or labels, K probabilities.

    Args:
        model: which predicted.
        ids, lengths: (n,) of the sequences.
        probability: (n, K); of bases (R, K), those of all sequences one after another.
        truth: (n,) or (R,) class numbers, or (n, K) zeros and ones; None where labels are not known.
    """
    names, several = np.array([str(name) for name in model.classes_.tolist()]), model.model_.task == "labels"

    def shown(value: Any) -> str:
        """A class number or a row of zeros and ones."""
        return ";".join(names[value.astype(bool)]) if several else str(names[int(value)])

    predicted = probability > 0.5 if several else probability.argmax(-1)
    firsts: list[Row] = [(name,) for name in ids]
    if model.per_base:
        firsts = [(name, place) for name, length in zip(ids, lengths, strict=True) for place in range(length)]
    for place, (first, p) in enumerate(zip(firsts, probability.tolist(), strict=True)):
        known = () if truth is None else (shown(truth[place]),)
        yield (*first, *known, shown(predicted[place]), *p)
