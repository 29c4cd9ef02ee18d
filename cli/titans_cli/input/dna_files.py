"""What the commands for DNA read and write: model folders, records, rows of results."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from titans_datasets.dna.alphabet import encode
from titans_datasets.dna.read.files import DNARecord
from titans_datasets.writing import in_place_of

if TYPE_CHECKING:
    import pandas as pd

    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.language.language_model import DNALanguageModel

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
CLASSIFIER, LANGUAGE_MODEL = "dna classifier", "dna language model"
_ELSEWHERE = {
    CLASSIFIER: "label sequences by `titans-ts classify --model DIR FILE`, or train a language model by `titans-ts dna "
    "pretrain`",
    LANGUAGE_MODEL: "score sequences by `titans-ts dna score --model DIR FILE`, or train a classifier by `titans-ts "
    "classify FILE --cv 5 --model DIR`",
    "forecaster": "forecast by `titans-ts forecast FILE --horizon N --model DIR`",
}


def check_output(name: str | None, suffixes: tuple[str, ...] = TABLES) -> None:
    """Refuse names that cannot be written before any time is spent.

    Raises:
        ValueError: another suffix.
    """
    if name is None:
        return
    if not name.lower().endswith(suffixes):
        raise ValueError(f"cannot write {name}: expected a name ending in {', '.join(suffixes)}")


def load_dna_model(folder: str, wanted: tuple[str, ...], device: str | None) -> DNAClassifier | DNALanguageModel:
    """The model of a folder.

    Args:
        folder: where `save` or `--model` wrote it.
        wanted: kinds that the command can use.
        device: where it runs; None for the model's own setting.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is damaged or holds no model, or one of another kind.
    """
    from titans_ts.support.model_folder import kind_of

    if not Path(folder).expanduser().is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: give the --model folder of a trained model, or train one by `titans-ts classify "
            "FILE --cv 5 --model DIR` or `titans-ts dna pretrain FILE --model DIR`"
        )
    kind = kind_of(folder)
    if kind not in wanted:
        hint = _ELSEWHERE.get(kind, "load it in Python with the class that saved it")
        raise ValueError(f"{folder} holds a {kind}, expected a {' or a '.join(wanted)}: {hint}")
    model: DNAClassifier | DNALanguageModel
    if kind == CLASSIFIER:
        from titans_ts.genomics.classifier.classifier import DNAClassifier

        model = DNAClassifier.load(Path(folder).expanduser())
    else:
        from titans_ts.genomics.language.language_model import DNALanguageModel

        model = DNALanguageModel.load(Path(folder).expanduser())
    if device is not None:
        model.set_params(device=device)
    return model


@contextlib.contextmanager
def named(file: str, batch: Iterable[DNARecord]) -> Iterator[None]:
    """A context in which an error about letters names the record instead of its number in the batch."""
    try:
        yield
    except ValueError as error:
        for record in batch:
            try:
                encode(record.sequence)
            except ValueError as own:
                raise ValueError(f"{file}: record {record.id}: {own}") from error
        raise


class Rows:
    """Rows of a table, written one by one to a file, or tab-separated to standard output.

    Args:
        handle: the open file.
        columns: names, written before the first row.
        tabs: whether columns are separated by tabs, not by commas.
    """

    def __init__(self, handle: TextIO, columns: list[str], *, tabs: bool) -> None:
        self._writer = csv.writer(handle, delimiter="\t" if tabs else ",", lineterminator="\n")
        if len(set(columns)) < len(columns):
            raise ValueError(f"two columns of the result would have one name ({', '.join(columns)}): rename the class")
        self._columns = columns
        self.count = 0

    def write(self, *row: Any) -> None:
        """Write a row; floats have six digits, NaN is an empty cell."""
        if not self.count:
            self._writer.writerow(self._columns)
        self._writer.writerow([_text(value) for value in row])
        self.count += 1


@contextlib.contextmanager
def rows(path: str | PathLike[str] | None, columns: list[str]) -> Iterator[Rows]:
    """Rows into a file, which appears when all of them are written, or to standard output where path is None."""
    if path is None:
        yield Rows(sys.stdout, columns, tabs=True)
        return
    name = str(path).lower()
    with in_place_of(path) as beside, _open(beside) as handle:
        yield Rows(handle, columns, tabs=".tsv" in name)


def _open(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "wt", encoding="utf-8")
    return path.open("w", encoding="utf-8")


def write_frame(frame: pd.DataFrame, path: str | PathLike[str] | None) -> None:
    """Write a whole table as `rows` does."""
    with rows(path, [str(name) for name in frame.columns]) as table:
        for row in frame.itertuples(index=False):
            table.write(*row)


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write a report as JSON; a file is replaced as a whole."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    with in_place_of(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def _text(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
