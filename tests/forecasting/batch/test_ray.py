"""The ray engine: two actors on this machine give the numbers of one process, resume, and report errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import forecaster, frame
from titans_ts.forecasting import TitansForecaster, predict_dataset
from titans_ts.forecasting.batch.part import PartReport

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
# Ray leaves its own processes and log files open, and some releases use names that they call deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ITEMS = tuple(f"s{i}" for i in range(6))
NAMES = ["a.parquet", "b.parquet", "c.parquet"]


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """One Ray for all tests: starting it takes longer than everything else."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return forecaster().fit(frame(ITEMS))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder, table = tmp_path / "data", frame(ITEMS)
    folder.mkdir()
    for place, name in enumerate(NAMES):
        chosen = table["item_id"].isin(ITEMS[2 * place : 2 * place + 2])
        table[chosen].to_parquet(folder / name, index=False)
    return folder


def read_all(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(folder / name) for name in NAMES], ignore_index=True)


def settings() -> list[Any]:
    context = ray.data.DataContext.get_current()
    return [context.enable_progress_bars, context.print_on_execution_start]


def test_two_workers_give_the_numbers_of_one_process_and_resume(
    running: None, model: TitansForecaster, data: Path, tmp_path: Path
) -> None:
    before, seen = settings(), list[PartReport]()
    broken = pd.read_parquet(data / "b.parquet")
    broken.assign(target=np.inf).to_parquet(data / "b.parquet", index=False)
    with pytest.raises(ValueError, match=r"1 file of 3 could not be forecast: b.parquet: item 's2' has an infinite"):
        predict_dataset(model, data, tmp_path / "out", engine="ray", workers=2, on_part=seen.append)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.parquet", "c.parquet"]
    broken.to_parquet(data / "b.parquet", index=False)
    assert sorted((report.name, report.series, report.rows) for report in seen if not report.error) == [
        ("a.parquet", 2, 12),
        ("c.parquet", 2, 12),
    ]
    # What was begun by two workers is ended by one process.
    result = predict_dataset(model, data, tmp_path / "out")
    assert result.written == ["b.parquet"] and result.skipped == ["a.parquet", "c.parquet"]
    expected = model.predict(frame(ITEMS))
    pd.testing.assert_frame_equal(read_all(tmp_path / "out"), expected, rtol=1e-5, atol=1e-5)
    predict_dataset(model, data, tmp_path / "local")
    pd.testing.assert_frame_equal(read_all(tmp_path / "out"), read_all(tmp_path / "local"))
    assert settings() == before
    assert ray.is_initialized(), "a Ray that was running is left running"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES
