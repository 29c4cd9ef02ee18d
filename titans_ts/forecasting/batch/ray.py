"""Files of a data set given to Ray Data: a pool of actors, each with the model loaded once. Needs `titans-ts[ray]`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import ray
    import ray.data
except ImportError as error:
    raise ImportError(f"engine='ray' needs Ray Data ({error}): pip install 'titans-ts[ray]'") from error

from titans_ts.forecasting.batch.files import Part
from titans_ts.forecasting.batch.part import BatchJob, PartReport, forecast_part, load_on

# Only paths and reports pass through Ray's object store; by default it reserves a third of the machine.
OBJECT_STORE_BYTES = 200_000_000


class PartForecaster:
    """One actor of the pool: forecasts the files it is given, one a call."""

    def __init__(self, model: str, device: str, job: BatchJob) -> None:
        self.fitted = load_on(model, device)
        self.job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Names and paths of files → their reports, a column a field."""
        rows = zip(*(batch[name] for name in Part._fields), strict=True)
        parts = [Part(str(name), Path(str(source)), Path(str(target))) for name, source, target in rows]
        reports = [forecast_part(self.fitted, part, self.job) for part in parts]
        return {
            name: ["\n".join(report.notes) if name == "notes" else getattr(report, name) for report in reports]
            for name in PartReport._fields
        }


def run_on_ray(model: Path, device: str, todo: list[Part], job: BatchJob, workers: int) -> Iterator[PartReport]:
    """Reports of the files in the order in which they are done.

    Args:
        model: folder of the saved forecaster.
        device: of the forecaster; "cuda" gives each actor one GPU.
        todo: the files.
        job: how each is forecast.
        workers: actors, one CPU each.
    """
    rows = [
        {"name": part.name, "source": os.fspath(part.source.absolute()), "target": os.fspath(part.target.absolute())}
        for part in todo
    ]
    with _running_ray(workers), _quiet():
        reports = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            PartForecaster,
            fn_constructor_args=(os.fspath(model.absolute()), device, job),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=1 if device.startswith("cuda") else None,
        )
        for row in reports.iter_rows():
            notes = tuple(str(row["notes"]).split("\n")) if row["notes"] else ()
            yield PartReport(
                str(row["name"]), int(row["series"]), int(row["rows"]), float(row["seconds"]), notes, str(row["error"])
            )


@contextmanager
def _running_ray(workers: int) -> Iterator[None]:
    """Ray as it runs or is configured; otherwise one of our own, which is stopped again."""
    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        # A library sends no usage reports unless its user asks for it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no log lines of Ray Data; its settings are put back."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    names = ("enable_progress_bars", "print_on_execution_start")
    before, level = {name: getattr(context, name, None) for name in names}, logger.level
    for name in names:
        setattr(context, name, False)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        logger.setLevel(level)
