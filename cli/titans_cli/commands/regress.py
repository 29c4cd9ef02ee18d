"""`titans-ts regress`: train and score a regressor of DNA, or predict numbers for the sequences of a file with one.

Shapes: n sequences, K targets.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from titans_cli.commands.classify import DATA, MODEL, RESULTS, TrialJob
from titans_cli.input import common
from titans_cli.input.options import add_options, argument, option, read_options, switch
from titans_ts.genomics.model.config import ValueTask

if TYPE_CHECKING:
    import pandas as pd

    from titans_datasets.dna.read.labelled import Labelled
    from titans_ts.genomics.training.holdout import IntArray

CHOSEN = ("head", "reverse_complement", "block", "pretrained", "loss", "max_epochs", "time_budget", "device")


@dataclass(frozen=True, kw_only=True)
class RegressJob(TrialJob):
    """With --test or --cv: train on sequences with known numbers, and compare correlations and errors with trivial
    baselines. With neither: load --model and predict the numbers of the sequences of FILE."""

    file: str = argument("FILE", f"{common.DNA_FILES}; for training a csv or tsv with the columns of --target")
    label: str = option("COLUMNS", "numbers in a csv or tsv", default="target", flag="--target", group=DATA)
    loss: str | None = option(None, "loss of the network (default: mse)", choices=get_args(ValueTask), group=MODEL)
    log1p: bool = switch("learn log(1 + y), for targets that span orders of magnitude", group=MODEL)
    output: str | None = option("FILE", "write predictions as csv or tsv", group=RESULTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, RegressJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.input.dna_files import check_predictions
    from titans_cli.output.notes import notes_on_stderr

    job = read_options(arguments, RegressJob)
    check_predictions(job)
    with notes_on_stderr(numbers=False):
        (_score if job.test or job.cv or job.test_chromosomes else _predict)(job)


def _predict(job: RegressJob) -> None:
    from titans_cli.input.dna_files import source_of
    from titans_ts.genomics.report.predictions import write_predictions

    if job.model is None:
        raise ValueError("expected --test FILE or --cv K, to train, or --model DIR, to predict with a trained model")
    model = _loaded(job)

    def predict(batch: list[Any]) -> Any:
        """A row for each sequence."""
        found = model.predict([record.sequence for record in batch]).reshape(len(batch), -1)
        return [(record.id, *numbers) for record, numbers in zip(batch, found.tolist(), strict=True)]

    header = ["id", *map(str, model.target_names_)]
    said = write_predictions((job.file, *source_of(job, "score")), job.output, header, predict, 1)
    if job.output is not None:
        print(f"predictions  {job.output} ({said})")


def _loaded(job: RegressJob) -> Any:
    from titans_cli.input.dna_files import REGRESSOR, load_dna_model

    model = load_dna_model(str(job.model), (REGRESSOR,), job.device)
    if model.per_base:
        raise ValueError(f"{job.model} predicts numbers of bases: use DNARegressor.predict in Python")
    return model


def _read(job: RegressJob, file: str) -> tuple[Labelled, pd.DataFrame]:
    """Sequences and their numbers, a column for each target."""
    import pandas as pd

    from titans_cli.input.dna_files import source_of
    from titans_datasets.dna.read.labelled import as_numbers, read_labelled

    group, names = job.group if file == job.file else None, [name.strip() for name in job.label.split(",")]
    columns, places = source_of(job, "score")
    each = [read_labelled(file, columns._replace(label=name, group=group), places) for name in names]
    return each[0], pd.DataFrame({name: as_numbers(data, name) for name, data in zip(names, each, strict=True)})


def _score(job: RegressJob) -> None:
    import numpy as np
    import pandas as pd

    from titans_cli.output.tables import make_console, print_written
    from titans_datasets.dna.leakage import leakage
    from titans_datasets.dna.read.labelled import by_chromosome
    from titans_ts.genomics.regression.regressor import DNARegressor
    from titans_ts.genomics.regression.validation import cross_validated
    from titans_ts.genomics.report.predictions import check_tracked
    from titans_ts.genomics.report.summary import headline_of, parts_line
    from titans_ts.genomics.training.holdout import clusters

    there = job.model is not None and Path(job.model).expanduser().exists()
    if there and (job.cv is not None or job.pretrained is not None):
        raise ValueError(f"{job.model} is there already, and new models are to be trained: give another --model folder")
    console, (data, numbers) = make_console(job.quiet), _read(job, job.file)
    tested, truth = data, numbers
    if job.test_chromosomes is not None:
        parts = by_chromosome(data._replace(labels=numbers.to_numpy()), job.test_chromosomes, job.seed)
        (data, numbers), (tested, truth) = (
            (part, pd.DataFrame(part.labels, columns=numbers.columns)) for part in parts
        )
    elif job.test is not None:
        tested, truth = _read(job, job.test)
    check_tracked(job.output, tested.intervals, tested.name)
    together, everything = clusters(data, job.related), np.arange(len(numbers))
    console.print(f"{data.name}: {len(numbers):,} sequences", markup=False)

    def fit(places: IntArray) -> Any:
        """A regressor with the given options, and its own defaults for the others."""
        given = {name: getattr(job, name) for name in CHOSEN if getattr(job, name) is not None}
        given["options"] = {"progress": sys.stderr.isatty() and not job.quiet, "log1p": job.log1p}
        size = job.ensemble_size or 1
        model = DNARegressor(linear=not job.no_linear, ensemble_size=size, random_state=job.seed, **given)
        try:
            model.fit([data.sequences[i] for i in places], numbers.iloc[places], groups=together[places].tolist())
        except (TypeError, ValueError) as error:
            raise type(error)(f"{data.name}: {error}") from error
        console.print(f"  · {parts_line(model)}", markup=False)
        return model

    if job.cv is not None:
        report = cross_validated(fit, data.sequences, numbers, together, job.cv, job.seed)
        headline = f"{len(report.truth):,} sequences in {job.cv} folds, each new to its model"
        model: Any = None if job.model is None else fit(everything)
    else:
        model = _loaded(job) if there else fit(everything)
        report = model.report(tested.sequences, truth, train=(data.sequences, numbers))
        headline = headline_of(len(report.truth), leakage(data.sequences, tested.sequences))
    console.print(f"\n{tested.name}, {headline}:", markup=False)
    console.print(str(report), markup=False, no_wrap=True)
    written = []
    if job.model is not None and not there:
        written.append(f"model        {model.save(Path(job.model).expanduser())}")
    written += _write(job, report, tested, f"predicted {numbers.columns[0]}")
    print_written(console, written)


def _write(job: RegressJob, report: Any, tested: Labelled, name: str) -> list[str]:
    """Write the report, predictions (as a track those of the column `name`) and picture; a line for each."""
    from titans_cli.input.dna_files import write_json

    written = []
    if job.json is not None:
        write_json(job.json, report.to_dict())
        written.append(f"report       {job.json}")
    if job.output is not None:
        _write_predictions(job.output, tested, report.to_frame(tested.ids), name)
        written.append(f"predictions  {job.output}")
    if job.plot is not None:
        report.plot(job.plot, title=Path(tested.name).name)
        written.append(f"picture      {job.plot}")
    return written


def _write_predictions(path: str, tested: Labelled, frame: pd.DataFrame, name: str) -> None:
    """A table, or a track of the column `name`."""
    from titans_cli.input.dna_files import write_frame
    from titans_datasets.dna.tracks import is_track
    from titans_ts.genomics.report.predictions import write_values

    if is_track(path):
        write_values(path, tested.intervals, tested.contigs, frame[name].to_numpy(), name)
    else:
        write_frame(frame, path)
