"""`titans-ts regress`: train and score a regressor of DNA, or predict numbers for the sequences of a file with one.

Shapes: n sequences, K targets.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from titans_cli.commands.classify import DATA, MODEL, PLACES, RESULTS, TrialJob
from titans_cli.input import common
from titans_cli.input.options import add_options, argument, option, read_options, switch
from titans_cli.input.values import names
from titans_ts.genomics.model.config import ValueTask

if TYPE_CHECKING:
    from rich.console import Console

    from titans_datasets.dna.read.measured import Measured

CHOSEN = ("head", "reverse_complement", "block", "pretrained", "loss", "max_epochs", "time_budget", "device")

# That of titans_datasets.dna.read.signal, whose import takes pandas.
UNCOVERED = ("error", "zero")


@dataclass(frozen=True, kw_only=True)
class RegressJob(TrialJob):
    """With --test, --test-chromosomes or --cv: train on sequences with known numbers, and compare correlations and
    errors with trivial baselines. With none of them: load --model and predict the numbers of the sequences of FILE."""

    file: str = argument(
        "FILE", f"{common.DNA_FILES}, or .bed with --fasta; for training with numbers: --target, the score, --signal"
    )
    label: str = option("COLUMNS", "numbers in a csv or tsv", default="target", flag="--target", group=DATA)
    per_base: bool = switch("a number for every base: lists as in 0.5,1,0, or --signal", group=DATA)
    signal: tuple[str, ...] | None = option(
        "FILE",
        "bedGraph or bigWig of the numbers (means without --per-base); several: f,g",
        type=names,
        group=PLACES,
    )
    uncovered: str = option(
        None, "bases that --signal has no value of", default="error", choices=UNCOVERED, group=PLACES
    )
    loss: str | None = option(None, "loss of the network (default: mse)", choices=get_args(ValueTask), group=MODEL)
    log1p: bool = switch("learn log(1 + y), for targets that span orders of magnitude", group=MODEL)
    output: str | None = option(
        "FILE", "write predictions: csv or tsv; of intervals .bedgraph or .bw with the first target", group=RESULTS
    )


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
    from titans_cli.input.dna_files import REGRESSOR, load_dna_model, record_source, refuse, source_of
    from titans_ts.genomics.report.predictions import value_predictor, write_predictions

    if job.model is None:
        raise ValueError("expected --test FILE or --cv K, to train, or --model DIR, to predict with a trained model")
    trained = ("plot", "json", "report", "group", "pretrained", "signal")
    refuse(job, trained, "sequences with known numbers: give --test FILE or --cv K")
    source = record_source(job.file, *source_of(job, "score"))
    found = value_predictor(load_dna_model(job.model, (REGRESSOR,), job.device))
    said = write_predictions(job.file, source, job.output, *found)
    if job.output is not None:
        print(f"predictions  {job.output} ({said})")


def _loaded(job: RegressJob, per_base: bool | None = None) -> Any:
    """The model; one for bases or for sequences where the data are."""
    from titans_cli.input.dna_files import REGRESSOR, load_dna_model

    model = load_dna_model(str(job.model), (REGRESSOR,), job.device, estimator=True)
    if per_base not in (None, model.per_base):
        advice = "give --per-base" if model.per_base else "leave --per-base out"
        raise ValueError(
            f"{job.model} predicts numbers of {'bases' if model.per_base else 'whole sequences'}: {advice}"
        )
    return model


def _read(job: RegressJob, file: str) -> Measured:
    from titans_cli.input.dna_files import source_of
    from titans_datasets.dna.read.measured import Tracks, read_measured

    columns, places = source_of(job, "score")
    if file != job.file:
        columns = columns._replace(group=None, format=None)
    tracks = None if job.signal is None else Tracks(job.signal, job.uncovered)
    return read_measured(file, columns, places, per_base=job.per_base, tracks=tracks)


def _check(job: RegressJob) -> bool:
    """Whether the model is there; refuse what cannot be trained, before files are read."""
    from titans_cli.input.dna_files import LANGUAGE_MODEL, load_dna_model

    there = job.model is not None and Path(job.model).expanduser().exists()
    if there and (job.cv is not None or job.pretrained is not None):
        raise ValueError(f"{job.model} is there already, and new models are to be trained: give another --model folder")
    if job.pretrained is not None:
        load_dna_model(job.pretrained, (LANGUAGE_MODEL,), None)
    return there


def _score(job: RegressJob) -> None:
    from titans_cli.output.tables import make_console, print_written
    from titans_datasets.dna.leakage import leakage
    from titans_ts.genomics.regression.validation import cross_validated
    from titans_ts.genomics.report.predictions import check_tracked
    from titans_ts.genomics.report.summary import headline_of, number_lines
    from titans_ts.genomics.training.holdout import clusters

    there = _check(job)
    console, measured = make_console(job.quiet), _read(job, job.file)
    tested = measured if job.test is None else _read(job, job.test)
    if job.test_chromosomes is not None:
        measured, tested = measured.by_chromosome(job.test_chromosomes, job.seed)
    check_tracked(job.output, tested.data.intervals, tested.data.name)
    together = clusters(measured.data, job.related)
    lines = number_lines(measured, together)
    console.print("\n".join(lines), markup=False)

    def fit(part: Measured) -> Any:
        """A regressor with the given options, and its own defaults for the others."""
        return _fit(job, part, console)

    measured = measured._replace(data=measured.data._replace(groups=list(map(str, together.tolist()))))
    if job.cv is not None:
        report = cross_validated(fit, measured, together, job.cv, job.seed)
        headline = f"{len(tested.data.ids):,} sequences in {job.cv} folds, each new to its model"
        model: Any = None if job.model is None else fit(measured)
    else:
        model = _loaded(job, measured.per_base) if there else fit(measured)
        train = (measured.data.sequences, measured.targets())
        report = model.report(tested.data.sequences, tested.targets(), train=train)
        headline = headline_of(len(tested.data.ids), leakage(measured.data.sequences, tested.data.sequences))
    console.print(f"\n{tested.data.name}, {headline}:", markup=False)
    console.print(str(report), markup=False, no_wrap=True)
    written = []
    if job.model is not None and not there:
        written.append(f"model        {model.save(Path(job.model).expanduser())}")
    written += _write(job, report, tested, (headline, lines))
    print_written(console, written)


def _fit(job: RegressJob, part: Measured, console: Console) -> Any:
    from titans_ts.genomics.regression.regressor import DNARegressor
    from titans_ts.genomics.report.summary import parts_line

    given = {name: getattr(job, name) for name in CHOSEN if getattr(job, name) is not None}
    given["options"] = {"progress": sys.stderr.isatty() and not job.quiet, "log1p": job.log1p}
    if "pretrained" in given:
        given["pretrained"] = Path(given["pretrained"]).expanduser()
    model = DNARegressor(
        linear=not job.no_linear,
        per_base=part.per_base,
        ensemble_size=job.ensemble_size or 1,
        random_state=job.seed,
        **given,
    )
    try:
        model.fit(part.data.sequences, part.targets(), groups=part.data.groups)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{part.data.name}: {error}") from error
    console.print(f"  · {parts_line(model)}", markup=False)
    return model


def _write(job: RegressJob, report: Any, tested: Measured, said: tuple[str, list[str]]) -> list[str]:
    """Write the report, predictions and pictures; a line for each."""
    from titans_cli.input.dna_files import write_json
    from titans_ts.genomics.regression.web_page import value_report
    from titans_ts.genomics.report.predictions import write_measured

    written, name = [], Path(tested.data.name).name
    if job.json is not None:
        write_json(job.json, report.to_dict())
        written.append(f"report       {job.json}")
    if job.output is not None:
        write_measured(job.output, tested.data, report)
        written.append(f"predictions  {job.output}")
    if job.plot is not None:
        report.plot(job.plot, title=name)
        written.append(f"picture      {job.plot}")
    if job.report is not None:
        value_report(report, name, headline=said[0], data=said[1], settings=vars(job)).to_html(job.report)
        written.append(f"report       {job.report}")
    return written
