"""Files of embeddings.

Shapes: n sequences of a batch, F features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from titans_datasets.rows import TABLES, rows
from titans_datasets.writing import in_place_of

SUFFIXES = (*TABLES, ".npz", ".parquet")
# Ids (n,) and embeddings (n, F).
Batch = tuple[list[str], npt.NDArray[np.float32]]


def write_embeddings(path: str, batches: Iterator[Batch]) -> tuple[int, int]:
    """Write batch after batch, in the format that the name's suffix (one of `SUFFIXES`) gives.

    Returns:
        Numbers of sequences and of features.
    """
    write = {".npz": _npz, ".parquet": _parquet}.get(Path(path).suffix.lower(), _table)
    return write(path, batches)


def _names(width: int) -> list[str]:
    return [f"e{place}" for place in range(width)]


def _table(path: str, batches: Iterator[Batch]) -> tuple[int, int]:
    with contextlib.ExitStack() as stack:
        table, width = None, 0
        for ids, found in batches:
            width = found.shape[1]
            table = table or stack.enter_context(rows(path, ["id", *_names(width)]))
            for name, row in zip(ids, found.tolist(), strict=True):
                table.write(name, *row)
        assert table is not None
    return table.count, width


def _npz(path: str, batches: Iterator[Batch]) -> tuple[int, int]:
    """Arrays `ids` and `embeddings`: the only format that is held in RAM as a whole."""
    whole = list(batches)
    ids, found = np.array([name for names, _ in whole for name in names]), np.concatenate([part for _, part in whole])
    with in_place_of(path) as beside, beside.open("wb") as handle:
        np.savez(handle, ids=ids, embeddings=found)
    return found.shape[0], found.shape[1]


def _parquet(path: str, batches: Iterator[Batch]) -> tuple[int, int]:
    count, width = 0, 0
    with in_place_of(path) as beside, contextlib.ExitStack() as stack:
        writer = None
        for ids, found in batches:
            count, width = count + len(ids), found.shape[1]
            table = pa.table({"id": ids, **dict(zip(_names(width), found.T, strict=True))})
            writer = writer or stack.enter_context(parquet.ParquetWriter(beside, table.schema))
            writer.write_table(table)
    return count, width
