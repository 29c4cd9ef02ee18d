"""Three programs that forecast one folder, one of them killed: what one alone writes is there in the end."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.torture.case import Case
from benchmarks.torture.files import GOOD

PARTS = 8
COMMAND = "forecast parts --horizon 5 --model model --output fc"
TIMES = 8
ALONE = "alone"


def furnish(folder: Path) -> None:
    """Write a folder of Parquet files with two series each."""
    (folder / "good2.csv").write_text(GOOD, encoding="utf-8")
    table = pd.read_csv(folder / "good2.csv", parse_dates=["timestamp"])
    (folder / "good2.csv").unlink()
    (folder / "parts").mkdir()
    for part in range(PARTS):
        named = table.assign(item_id=table["item_id"] + str(part), target=table["target"] + part)
        named.to_parquet(folder / f"parts/p{part}.parquet", index=False)


def cases() -> Iterator[Case]:
    """Every case; what three programs write, one killed, is compared with what one alone writes by their files."""
    numbers = random.Random(3)
    three = " & ".join([COMMAND] * 3)
    for sent in (signal.SIGKILL, signal.SIGTERM):
        for _ in range(TIMES // 2):
            moment = numbers.uniform(0.1, 1.0)
            yield Case(
                "workers",
                f"three, one by {sent.name}",
                three,
                (0,),
                writes=("fc",),
                signal=sent,
                moment=moment,
                like=ALONE,
            )
