"""`titans-ts classify`: train and score a DNA classifier, or label the sequences of a file with one.

Shapes: n sequences, K classes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titans_cli.input import common
from titans_cli.input.options import Group, add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least
from titans_ts.genomics.model.config import SEQUENCE_HEADS

if TYPE_CHECKING:
    from rich.console import Console

    from titans_datasets.dna.read.labelled import Labelled
    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.report.trial import Scored
    from titans_ts.genomics.training.holdout import IntArray

HEADS = ("auto", *SEQUENCE_HEADS)
REVERSE_COMPLEMENTS = ("auto", "augment", "none")
DATA, PLACES = common.DATA, common.PLACES
MODEL, RESULTS = Group("model"), Group("results")


@dataclass(frozen=True, kw_only=True)
class TrialJob(common.SourceJob):
    """What `classify` and `regress` have in common: train on some sequences and score on others, or use a model."""

    test: str | None = option("FILE", "labelled sequences to score on", either="scored")
    test_chromosomes: str | None = option(
        "NAMES", "chromosomes to score on, as in chr8,chr9, or a share of the intervals, as in 0.2", either="scored"
    )
    cv: int | None = option(
        "K",
        "score by K-fold cross-validation; related sequences are in one fold, classes in proportion",
        type=at_least(2),
        either="scored",
    )
    label: str = common.label(DATA)
    group: str | None = option(
        "COLUMN", "rows with the same value stay in one fold; chrom: intervals of a chromosome", group=DATA
    )
    related: int = option(
        "N",
        "sequences that share N consecutive bases (at most 32) are related and stay in one fold; 0: only copies are",
        type=at_least(0),
        default=31,
        group=DATA,
    )
    model: str | None = option(
        "DIR", "load the model from this folder; if it does not exist, train and save there", group=MODEL
    )
    pretrained: str | None = option(
        "DIR",
        "start from a language model of `titans-ts dna pretrain`, which also sets block and sizes",
        group=MODEL,
    )
    head: str | None = option(
        None,
        "pooled: global pooling; segments: in 8 bins; position: flattened, fixed length; auto: best by held-out loss",
        choices=HEADS,
        group=MODEL,
    )
    reverse_complement: str | None = option(
        None, "augment: train and predict on both strands (default: auto)", choices=REVERSE_COMPLEMENTS, group=MODEL
    )
    no_linear: bool = switch("network without the linear part", group=MODEL)
    ensemble_size: int | None = option("N", "networks to average (default: 1)", type=at_least(1), group=MODEL)
    block: str | None = common.block(MODEL, ("auto",), "mag; lmm where sequences have 2,000 bases or more")
    max_epochs: int | None = common.max_epochs(MODEL)
    time_budget: float | None = common.time_budget(MODEL)
    seed: int = common.seed(MODEL)
    device: str | None = common.device(MODEL)
    json: str | None = option("FILE", "write the report", group=RESULTS)
    plot: str | None = option("FILE", f"write a picture of the report: {common.PICTURES}", group=RESULTS)
    report: str | None = common.report(RESULTS)
    quiet: bool = common.quiet(RESULTS)


@dataclass(frozen=True, kw_only=True)
class ClassifyJob(TrialJob):
    """With --test, --test-chromosomes or --cv: train on labelled sequences, and compare all metrics with trivial
    baselines. With none of them: load --model and label the sequences of FILE."""

    file: str = argument(
        "FILE",
        f"{common.DNA_FILES}, or .bed with --fasta. For training it must be labelled: columns of a csv or tsv, names "
        "in a .bed, or one file per class, as in promoter=a.fa,other=b.fa",
    )
    train_only: bool = switch("train on all of FILE and save --model, without a score", either="scored")
    per_base: bool = switch("labels are texts with a letter per base", group=DATA)
    negatives: str | None = option(
        None, "a second class: other places of the genome, alike in GC", choices=("gc-matched",), group=PLACES
    )
    output: str | None = option(
        "FILE",
        "write predictions: csv or tsv; of intervals .bedgraph or .bw with the probability of --class",
        group=RESULTS,
    )
    output_class: str | None = option("NAME", "of a track (default: second of two)", flag="--class", group=RESULTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, ClassifyJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.input.dna_files import check_predictions
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import make_console

    job = read_options(arguments, ClassifyJob)
    check_predictions(job)
    if not (job.test or job.cv or job.test_chromosomes or job.train_only):
        with notes_on_stderr(numbers=False):
            _label(job)
        return
    _check(job)
    started = time.monotonic()
    console = make_console(job.quiet)
    with notes_on_stderr():
        training, test = _read(job, job.file), None
        if job.test_chromosomes is not None:
            from titans_datasets.dna.read.labelled import by_chromosome

            training, test = by_chromosome(training, job.test_chromosomes, job.seed)
        _run(job, training, test, console)
    console.print(f"done in {time.monotonic() - started:.1f} s")


def _label(job: ClassifyJob) -> None:
    """Label the sequences of a file with a trained model."""
    from titans_cli.input.dna_files import CLASSIFIER, load_dna_model, record_source, refuse, source_of
    from titans_ts.genomics.report.predictions import class_predictor, write_predictions

    if job.model is None:
        raise ValueError(
            "expected --test FILE or --cv K, to train on labelled sequences, or --model DIR, to label sequences with a "
            "trained model"
        )
    refuse(
        job,
        ("plot", "json", "report", "group", "pretrained", "negatives"),
        "labelled sequences: give --test FILE or --cv K",
    )
    source = record_source(job.file, *source_of(job, "name"))
    found = class_predictor(load_dna_model(job.model, (CLASSIFIER,), job.device), job.output_class, job.output)
    said = write_predictions(job.file, source, job.output, *found)
    if job.output is not None:
        print(f"predictions  {job.output} ({said})")


def _loaded(job: ClassifyJob) -> DNAClassifier:
    from titans_cli.input.dna_files import CLASSIFIER, load_dna_model

    assert job.model is not None
    model: Any = load_dna_model(job.model, (CLASSIFIER,), job.device, estimator=True)
    found: DNAClassifier = model
    return found


def _read(job: ClassifyJob, file: str) -> Labelled:
    from titans_cli.input.dna_files import source_of
    from titans_datasets.dna.read.labelled import read_labelled

    columns, places = source_of(job, "name")
    if file != job.file:
        columns = columns._replace(group=None, format=None)
    return read_labelled(file, columns, places)._replace(per_base=job.per_base)


def _is_there(job: ClassifyJob) -> bool:
    return job.model is not None and Path(job.model).expanduser().exists()


def _check(job: ClassifyJob) -> None:
    """Refuse what cannot be trained, before files are read."""
    from titans_cli.input.dna_files import LANGUAGE_MODEL, load_dna_model

    there = f"{job.model} is there already: give another --model folder"
    if job.train_only and job.model is None:
        raise ValueError("--train-only needs --model DIR, the folder for the model")
    if job.pretrained is not None and _is_there(job):
        raise ValueError(f"--pretrained starts a new model, but {there}, or leave --pretrained out")
    if (job.cv is not None or job.train_only) and _is_there(job):
        what = "--cv trains new models" if job.cv else "--train-only trains a new model"
        raise ValueError(f"{what}, but {there}, or score the model in it by --test FILE")
    if job.pretrained is not None:
        load_dna_model(job.pretrained, (LANGUAGE_MODEL,), None)


def _run(job: ClassifyJob, training: Labelled, test: Labelled | None, console: Console) -> None:
    """Train and score, or load and score."""
    import numpy as np

    from titans_ts.genomics.report import trial
    from titans_ts.genomics.report.summary import data_lines, parts_line
    from titans_ts.genomics.training.holdout import clusters

    def told(line: str) -> None:
        """Print a line."""
        console.print(line, markup=False)

    own, drawn = job.output if job.cv else None, (job.plot or job.report) is not None
    labels = trial.checked(training, f"column {job.label!r}", drawn=drawn, output=own)
    together, everything = clusters(training, job.related), np.arange(len(training.sequences))
    told("\n".join(data_lines(training, together, "--related 0 groups only copies")))
    budget = "" if job.time_budget is None else f", at most {job.time_budget:g} s each"

    def fit(places: IntArray) -> DNAClassifier:
        """A classifier of some of the sequences."""
        return _fit(job, training, together, places)

    scored, model = None, None
    if job.cv is not None:
        told(f"\ntraining {job.cv} models{budget}; related sequences are in one fold")
        scored = trial.folds(training, together, fit, (job.cv, job.seed), lambda line: told(f"  · {line}"))
    elif not job.train_only:
        model = _loaded(job) if _is_there(job) else None
        test = _read(job, str(job.test)) if test is None else test
        told("\n".join(data_lines(test, None)))
        if model is not None:
            labels = labels._replace(classes=model.classes_, task=model.model_.task)
        test = trial.known(test, labels, job.output)
    if model is not None:
        told(f"\nmodel loaded from {job.model}: no training")
    elif job.cv is None:
        told(f"\ntraining{budget}")
        model = fit(everything)
        told(f"  · {parts_line(model)}")
    if test is not None and model is not None:
        scored = trial.tested(model, training, test)
    if scored is not None:
        told(f"\n{scored.text}")
    written = []
    if job.model is not None and not _is_there(job):
        note = " (trained on all sequences)" if job.cv or job.train_only else ""
        saved = (fit(everything) if model is None else model).save(Path(job.model).expanduser())
        written.append(f"model        {saved}{note}")
    _write(job, scored, written, console)


def _fit(job: ClassifyJob, data: Labelled, together: IntArray, places: IntArray) -> DNAClassifier:
    """A classifier with the given options, and its own defaults for the others."""
    from titans_ts.genomics.classifier.classifier import DNAClassifier

    names = (
        "head",
        "reverse_complement",
        "block",
        "pretrained",
        "max_epochs",
        "time_budget",
        "ensemble_size",
        "device",
    )
    given = {name: getattr(job, name) for name in names if getattr(job, name) is not None}
    if "pretrained" in given:
        given["pretrained"] = Path(given["pretrained"]).expanduser()
    model = DNAClassifier(
        linear=not job.no_linear,
        per_base=job.per_base,
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet},
        **given,
    )
    part = data.take(places)
    try:
        model.fit(part.sequences, part.targets(), groups=together[places].tolist())
    except ValueError as error:
        related = "related" in str(error)
        hint = "; --related 0 allows sequences that share k-mers (not copies) on both sides" if related else ""
        raise ValueError(f"{data.name}: {error}{hint}") from error
    return model


def _write(job: ClassifyJob, scored: Scored | None, written: list[str], console: Console) -> None:
    """Write the report as JSON, predictions and picture, and print what was written."""
    from titans_cli.output.tables import print_written
    from titans_datasets.rows import write_json

    if scored is not None and job.json is not None:
        write_json(job.json, {**({} if job.test is None else {"test": job.test}), **scored.content})
        written.append(f"report       {job.json}")
    if scored is not None and job.output is not None:
        scored.write(job.output, job.output_class)
        written.append(f"predictions  {job.output}")
    if scored is not None and job.plot is not None:
        scored.plot(job.plot)
        written.append(f"picture      {job.plot}")
    if scored is not None and job.report is not None:
        scored.page(vars(job)).to_html(job.report)
        written.append(f"report       {job.report}")
    print_written(console, written)
