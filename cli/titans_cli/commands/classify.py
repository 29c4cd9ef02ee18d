"""`titans-ts classify`: train and score a DNA classifier, or label the sequences of a file with one.

Shapes: n sequences, K classes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from titans_cli.input import common
from titans_cli.input.options import Group, add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least
from titans_ts.genomics.model.config import SEQUENCE_HEADS

if TYPE_CHECKING:
    from rich.console import Console

    from titans_datasets.dna.read.labelled import Labelled
    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.report.classes import ClassificationReport
    from titans_ts.genomics.report.folds import FoldScores
    from titans_ts.genomics.training.holdout import IntArray

HEADS = ("auto", *SEQUENCE_HEADS)
REVERSE_COMPLEMENTS = ("auto", "augment", "none")
DATA, MODEL, RESULTS = Group("data"), Group("model"), Group("results")


@dataclass(frozen=True, kw_only=True)
class ClassifyJob:
    """With --test or --cv: train on labelled sequences, and compare all metrics with trivial baselines. With neither:
    load --model and label the sequences of FILE."""

    file: str = argument(
        "FILE",
        f"{common.DNA_FILES}. For training it must be labelled: columns of a csv or tsv, or one file per class, as in "
        "promoter=a.fa,other=b.fa",
    )
    test: str | None = option("FILE", "labelled sequences to score on", either="scored")
    cv: int | None = option(
        "K",
        "score by K-fold cross-validation; related sequences are in one fold, classes in proportion",
        type=at_least(2),
        either="scored",
    )
    format: str | None = common.file_format(DATA)
    sequence: str = common.sequence(DATA)
    id: str | None = common.record_id(DATA)
    label: str = common.label(DATA)
    group: str | None = option("COLUMN", "rows with the same value stay in one fold, such as a chromosome", group=DATA)
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
    block: str | None = common.block(MODEL)
    max_epochs: int | None = common.max_epochs(MODEL)
    time_budget: float | None = common.time_budget(MODEL)
    seed: int = common.seed(MODEL)
    device: str | None = common.device(MODEL)
    output: str | None = option(
        "FILE", "write predictions as csv or tsv, with the probability of each class", group=RESULTS
    )
    json: str | None = option("FILE", "write the report", group=RESULTS)
    plot: str | None = option("FILE", f"write a picture of the report: {common.PICTURES}", group=RESULTS)
    report: str | None = common.report(RESULTS)
    quiet: bool = common.quiet(RESULTS)


class Training(NamedTuple):
    """Sequences to learn from, and the group of related sequences of each (n,)."""

    data: Labelled
    together: IntArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, ClassifyJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.input.dna_files import check_output
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import make_console
    from titans_ts.report import check_report

    job = read_options(arguments, ClassifyJob)
    check_output(job.output)
    check_output(job.json, (".json",))
    check_report(job.report)
    if job.plot is not None:
        from titans_ts.genomics.analysis.plot import check_picture

        check_picture(job.plot)
    if job.test is None and job.cv is None:
        with notes_on_stderr(numbers=False):
            _label(job)
        return
    _check_pretrained(job)
    started = time.monotonic()
    console = make_console(job.quiet)
    with notes_on_stderr():
        training = _read(job, console)
        if job.cv is not None:
            _cross_validate(job, training, console)
        else:
            _train_and_test(job, training, console)
    console.print(f"done in {time.monotonic() - started:.1f} s")


def _label(job: ClassifyJob) -> None:
    """Label the sequences of a file with a trained model."""
    import numpy as np

    from titans_cli.input.dna_files import named, rows
    from titans_datasets.dna.read.files import record_batches

    if job.model is None:
        raise ValueError(
            "expected --test FILE or --cv K, to train on labelled sequences, or --model DIR, to label sequences with a "
            "trained model"
        )
    for name in ("plot", "json", "report", "group", "pretrained"):
        if getattr(job, name) is not None:
            raise ValueError(f"--{name} is for labelled sequences: give --test FILE or --cv K, or leave it out")
    model = _loaded(job)
    several = model.model_.config.task == "labels"
    names = [str(name) for name in model.classes_.tolist()]
    with rows(job.output, ["id", "predicted", *names]) as table:
        for batch in record_batches(job.file, format=job.format, sequence_column=job.sequence, id_column=job.id):
            with named(job.file, batch):
                found = model.predict_proba([record.sequence for record in batch])
            for record, p in zip(batch, found.tolist(), strict=True):
                held = [name for name, value in zip(names, p, strict=True) if value > 0.5]
                table.write(record.id, ";".join(held) if several else names[int(np.argmax(p))], *p)
    if job.output is not None:
        print(f"predictions  {job.output} ({table.count:,} sequences)")


def _loaded(job: ClassifyJob) -> DNAClassifier:
    from titans_cli.input.dna_files import CLASSIFIER, load_dna_model

    assert job.model is not None
    model: Any = load_dna_model(job.model, (CLASSIFIER,), job.device)
    if model.per_base:
        raise ValueError(
            f"{job.model} labels single bases, `titans-ts classify` sequences: use DNAClassifier.predict in Python"
        )
    found: DNAClassifier = model
    return found


def _read(job: ClassifyJob, console: Console) -> Training:
    from titans_datasets.dna.read.labelled import Columns, read_labelled
    from titans_ts.genomics.inputs import encode_labels
    from titans_ts.genomics.report.summary import data_lines
    from titans_ts.genomics.training.holdout import clusters

    data = read_labelled(job.file, Columns(job.sequence, job.label, job.id, job.group, job.format))
    try:
        encode_labels(data.labels, len(data.labels), per_base=False)
    except ValueError as error:
        raise ValueError(f"{data.name}, column {job.label!r}: {error}") from error
    together = clusters(data, job.related)
    console.print("\n".join(data_lines(data, together, "--related 0 groups only copies")), markup=False)
    return Training(data, together)


def _read_test(job: ClassifyJob, classes: Any, console: Console) -> Labelled:
    """The test sequences, checked before anything is trained: labels in the type of `classes`, letters, lengths."""
    from titans_datasets.dna.alphabet import encode_all
    from titans_datasets.dna.read.labelled import Columns, like, read_labelled
    from titans_ts.genomics.inputs import known_labels
    from titans_ts.genomics.report.summary import data_lines

    assert job.test is not None
    test = read_labelled(job.test, Columns(job.sequence, job.label, job.id, None))
    console.print("\n".join(data_lines(test, None)), markup=False)
    test = test._replace(labels=like(classes, test.labels))
    try:
        known_labels(test.labels, len(test.labels), classes, "classes", per_base=False)
        encode_all(test.sequences)
    except ValueError as error:
        raise ValueError(f"{test.name}: {error}") from error
    return test


def _is_there(job: ClassifyJob) -> bool:
    return job.model is not None and Path(job.model).expanduser().exists()


def _check_pretrained(job: ClassifyJob) -> None:
    """Refuse --pretrained where nothing is trained, and folders without a language model, before files are read."""
    from titans_cli.input.dna_files import LANGUAGE_MODEL, load_dna_model

    if job.pretrained is None:
        return
    if _is_there(job):
        raise ValueError(
            f"--pretrained starts a new model, but {job.model} is there already: give another --model folder, or leave "
            "--pretrained out"
        )
    load_dna_model(job.pretrained, (LANGUAGE_MODEL,), None)


def _train_and_test(job: ClassifyJob, training: Training, console: Console) -> None:
    import numpy as np

    from titans_ts.genomics.report.folds import report_dict
    from titans_ts.genomics.report.summary import headline_of, parts_line

    model = _loaded(job) if _is_there(job) else None
    test = _read_test(job, np.unique(training.data.labels) if model is None else model.classes_, console)
    written = []
    if model is not None:
        console.print(f"\nmodel loaded from {job.model}: no training", markup=False)
    else:
        console.print(f"\ntraining{_budget(job)}")
        model = _fit(job, training, np.arange(len(training.data.sequences)))
        console.print(f"  · {parts_line(model)}", markup=False)
        if job.model is not None:
            written.append(f"model        {model.save(_folder(job))}")
    known = (training.data.sequences, training.data.labels)
    try:
        report = model.report(test.sequences, test.labels, train=known)
    except ValueError as error:
        raise ValueError(f"{test.name}: {error}") from error
    headline = headline_of(len(test.labels), report.leaked)
    console.print(f"\n{test.name}, {headline}:", markup=False)
    console.print(str(report), markup=False, no_wrap=True)
    if report.leaked is not None and report.leaked.clean.all():
        console.print(f"leakage: no test sequence shares {report.leaked.k} bases with a training sequence")
    content = {"test": job.test, **report_dict(report)}
    _write(job, _Scored(test, report.probabilities, report, headline), content, written, console)


class _Scored(NamedTuple):
    """Sequences, and model → probabilities (n, K); what the picture says of them."""

    data: Labelled
    probabilities: dict[str, Any]
    report: ClassificationReport
    headline: str
    folds: FoldScores | None = None


def _cross_validate(job: ClassifyJob, training: Training, console: Console) -> None:
    import numpy as np

    from titans_ts.genomics.report.folds import FoldScores
    from titans_ts.genomics.report.summary import parts_line
    from titans_ts.genomics.training.holdout import cross_validation

    assert job.cv is not None
    if _is_there(job):
        raise ValueError(
            f"--cv trains new models, but {job.model} is there already: give another --model folder, or score the "
            "model in it by --test FILE"
        )
    data = training.data
    try:
        parts = cross_validation(training.together, data.labels, job.cv, job.seed)
    except ValueError as error:
        hint = ", or --related 0 if k-mers shared by chance or repeats connect them" if "empty" in str(error) else ""
        raise ValueError(str(error).replace("folds=", "--cv ") + hint) from error
    scores = FoldScores(len(data.sequences))
    console.print(f"\ntraining {job.cv} models{_budget(job)}; related sequences are in one fold")
    for number, part in enumerate(parts, start=1):
        rest = np.setdiff1d(np.arange(len(data.sequences)), part)
        model = _fit(job, training, rest)
        report = model.report([data.sequences[i] for i in part], data.labels[part])
        scores.add(part, report)
        line = f"fold {number}: {len(part):,} sequences, MCC {report.table['mcc'].iloc[0]:.3f}; {parts_line(model)}"
        console.print(f"  · {line}", markup=False)
    console.print(f"\n{data.name}, mean ± sd of {job.cv} folds:", markup=False)
    console.print(scores.table().to_string(), markup=False, no_wrap=True)
    console.print("\n".join(scores.notes()), markup=False)
    written = []
    if job.model is not None:
        everything = np.arange(len(data.sequences))
        written.append(f"model        {_fit(job, training, everything).save(_folder(job))} (trained on all sequences)")
    headline = f"{len(data.labels):,} sequences in {job.cv} folds"
    scored = _Scored(data, scores.probabilities(), report, headline, scores)
    _write(job, scored, {"folds": scores.to_dict()}, written, console)


def _folder(job: ClassifyJob) -> Path:
    assert job.model is not None
    return Path(job.model).expanduser()


def _budget(job: ClassifyJob) -> str:
    return "" if job.time_budget is None else f", at most {job.time_budget:g} s each"


def _fit(job: ClassifyJob, training: Training, places: IntArray) -> DNAClassifier:
    """A classifier with the given options, and its own defaults for the others."""
    from titans_ts.genomics.classifier.classifier import DNAClassifier

    names = (
        *("head", "reverse_complement", "block", "pretrained"),
        *("max_epochs", "time_budget", "ensemble_size", "device"),
    )
    given = {name: getattr(job, name) for name in names if getattr(job, name) is not None}
    if "pretrained" in given:
        given["pretrained"] = Path(given["pretrained"]).expanduser()
    model = DNAClassifier(
        linear=not job.no_linear,
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet},
        **given,
    )
    data = training.data
    try:
        model.fit([data.sequences[i] for i in places], data.labels[places], groups=training.together[places].tolist())
    except ValueError as error:
        related = "related" in str(error)
        hint = "; --related 0 allows sequences that share k-mers (not copies) on both sides" if related else ""
        raise ValueError(f"{data.name}: {error}{hint}") from error
    return model


def _write(job: ClassifyJob, scored: _Scored, content: dict[str, Any], written: list[str], console: Console) -> None:
    """Write the report's content as JSON, predictions and picture, and print what was written."""
    import numpy as np

    from titans_cli.input.dna_files import rows, write_json
    from titans_cli.output.tables import print_written

    ours = next(iter(scored.probabilities.values()))
    classes, labels = scored.report.classes, scored.data.labels
    if job.json is not None:
        write_json(job.json, content)
        written.append(f"report       {job.json}")
    if job.output is not None:
        names = [str(name) for name in classes.tolist()]
        with rows(job.output, ["id", "label", "predicted", *names]) as table:
            for name, label, p in zip(scored.data.ids, labels.tolist(), ours.tolist(), strict=True):
                table.write(name, label, names[int(np.argmax(p))], *p)
        written.append(f"predictions  {job.output}")
    if job.plot is not None:
        from titans_ts.genomics.report.plot import plot_report

        title = f"{Path(scored.data.name).name}: {scored.headline}"
        plot_report(scored.probabilities, np.searchsorted(classes, labels), classes, title=title, path=job.plot)
        written.append(f"picture      {job.plot}")
    if job.report is not None:
        from titans_ts.genomics.report.web_page import class_report

        name, truth = Path(scored.data.name).name, np.searchsorted(classes, labels)
        page = class_report(scored.report, name, folds=scored.folds, truth=truth, settings=vars(job))
        page.to_html(job.report)
        written.append(f"report       {job.report}")
    print_written(console, written)
