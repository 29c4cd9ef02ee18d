"""`titans-ts dna score` and `titans-ts dna embed`: numbers for each sequence, some sequences at a time.

Shapes: n sequences of a batch, F features.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_cli.input.dna_files import CLASSIFIER, LANGUAGE_MODEL, TABLES, check_output, load_dna_model, named, rows
from titans_cli.output.notes import notes_on_stderr
from titans_datasets.dna.alphabet import N, encode
from titans_datasets.dna.read.files import DNARecord, record_batches
from titans_datasets.writing import in_place_of

if TYPE_CHECKING:
    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.language.language_model import DNALanguageModel

ARRAYS = (".npz", ".parquet")


class ScoreJob(NamedTuple):
    """The arguments of `score`, named as on the command line."""

    file: str
    model: str
    sequence: str
    id: str | None
    device: str | None
    both_strands: bool
    output: str | None
    surprise: str | None


class EmbedJob(NamedTuple):
    """The arguments of `embed`, named as on the command line."""

    file: str
    model: str
    sequence: str
    id: str | None
    device: str | None
    output: str


def score(job: ScoreJob) -> None:
    """Write the log-likelihood of each sequence.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    check_output(job.output)
    check_output(job.surprise, (".bedgraph",))
    model: Any = load_dna_model(job.model, (LANGUAGE_MODEL,), job.device)
    columns = ["id", "bases", "log_likelihood", "bits_per_base"]
    with notes_on_stderr(numbers=False), rows(job.output, columns) as table:
        for batch in record_batches(job.file, sequence_column=job.sequence, id_column=job.id):
            with named(job.file, batch):
                bases = [int((encode(record.sequence) < N).sum()) for record in batch]
                nats = model.log_likelihood([record.sequence for record in batch], both_strands=job.both_strands)
            for record, count, value in zip(batch, bases, nats.tolist(), strict=True):
                bits = -value / count / math.log(2) if count else math.nan
                table.write(record.id, count, value, bits)
    if job.output is not None:
        print(f"scores  {job.output} ({table.count:,} sequences)")
    if job.surprise is not None:
        _surprise(job, model)
        print(f"surprise  {job.surprise}", file=sys.stdout if job.output is not None else sys.stderr)


def _surprise(job: ScoreJob, model: DNALanguageModel) -> None:
    """A bedGraph over all sequences, each a chromosome by its own name."""
    from titans_ts.genomics.analysis.surprise import write_surprise

    assert job.surprise is not None
    batches = record_batches(job.file, sequence_column=job.sequence, id_column=job.id)
    with notes_on_stderr(numbers=False):
        write_surprise(job.surprise, ((one.id, model.surprise(one.sequence)) for batch in batches for one in batch))


def embed(job: EmbedJob) -> None:
    """Write what the network makes of each sequence.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    check_output(job.output, (*TABLES, *ARRAYS))
    model = load_dna_model(job.model, (CLASSIFIER, LANGUAGE_MODEL), job.device)
    if getattr(model, "per_base", False):
        raise ValueError(f"{job.model} labels bases: its embeddings, a row a base, are had by DNAClassifier.embed")
    suffix = Path(job.output).suffix.lower()
    write = {".npz": _npz, ".parquet": _parquet}.get(suffix, _table)
    with notes_on_stderr(numbers=False):
        count, width = write(job.output, _embedded(job, model))
    print(f"embeddings  {job.output} ({count:,} sequences, {width} numbers each)")


Piece = tuple[list[str], npt.NDArray[np.float32]]


def _embedded(job: EmbedJob, model: DNAClassifier | DNALanguageModel) -> Iterator[Piece]:
    """Ids (n,) and embeddings (n, F) of each batch."""
    for batch in record_batches(job.file, sequence_column=job.sequence, id_column=job.id):
        with named(job.file, batch):
            found = model.embed([record.sequence for record in batch])
        yield _ids(batch), found.astype(np.float32)


def _ids(batch: list[DNARecord]) -> list[str]:
    return [record.id for record in batch]


def _names(width: int) -> list[str]:
    return [f"e{place}" for place in range(width)]


def _table(path: str, pieces: Iterator[Piece]) -> tuple[int, int]:
    with contextlib.ExitStack() as stack:
        table, width = None, 0
        for ids, found in pieces:
            width = found.shape[1]
            table = table or stack.enter_context(rows(path, ["id", *_names(width)]))
            for name, row in zip(ids, found.tolist(), strict=True):
                table.write(name, *row)
        assert table is not None
    return table.count, width


def _npz(path: str, pieces: Iterator[Piece]) -> tuple[int, int]:
    """Arrays `ids` and `embeddings`: the one kind of file that is held in memory as a whole."""
    whole = list(pieces)
    ids, found = np.array([name for names, _ in whole for name in names]), np.concatenate([part for _, part in whole])
    with in_place_of(path) as beside, beside.open("wb") as handle:
        np.savez(handle, ids=ids, embeddings=found)
    return found.shape[0], found.shape[1]


def _parquet(path: str, pieces: Iterator[Piece]) -> tuple[int, int]:
    import pyarrow as pa
    from pyarrow import parquet

    count, width = 0, 0
    with in_place_of(path) as beside, contextlib.ExitStack() as stack:
        writer = None
        for ids, found in pieces:
            count, width = count + len(ids), found.shape[1]
            table = pa.table({"id": ids, **dict(zip(_names(width), found.T, strict=True))})
            writer = writer or stack.enter_context(parquet.ParquetWriter(beside, table.schema))
            writer.write_table(table)
    return count, width
