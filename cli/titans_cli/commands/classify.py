"""`titans-ts classify`: train and score a classifier of DNA, or label the sequences of a file with one.

Shapes: n sequences, K classes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console

from titans_cli.input.dna_files import CLASSIFIER, LANGUAGE_MODEL, check_output, load_dna_model, named, rows
from titans_cli.input.dna_labelled import Columns, IntArray, Labelled, clusters, folds, like, read_labelled
from titans_cli.output.classify_report import FoldScores, parts_line, report_dict, summary, write_json
from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import make_console
from titans_datasets.dna.read.files import record_batches

if TYPE_CHECKING:
    from titans_ts.genomics.classifier.classifier import DNAClassifier
    from titans_ts.genomics.report.classes import ClassificationReport


class ClassifyJob(NamedTuple):
    """The arguments, named as on the command line; None where the default holds."""

    file: str
    test: str | None = None
    cv: int | None = None
    sequence: str = "sequence"
    label: str = "label"
    id: str | None = None
    group: str | None = None
    related: int = 31
    model: str | None = None
    pretrained: str | None = None
    head: str | None = None
    reverse_complement: str | None = None
    no_linear: bool = False
    ensemble_size: int | None = None
    block: str | None = None
    max_epochs: int | None = None
    time_budget: float | None = None
    seed: int = 0
    device: str | None = None
    output: str | None = None
    json: str | None = None
    plot: str | None = None
    quiet: bool = False


class Training(NamedTuple):
    """What is learned from: sequences, and which of them belong together (n,)."""

    data: Labelled
    together: IntArray


def classify(job: ClassifyJob) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    check_output(job.output)
    check_output(job.json, (".json",))
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
    if job.model is None:
        raise ValueError(
            "expected --test FILE or --cv K, to train on labelled sequences, or --model DIR, to label sequences with a "
            "trained model"
        )
    for name in ("plot", "json", "group", "pretrained"):
        if getattr(job, name) is not None:
            raise ValueError(f"--{name} is for labelled sequences: give --test FILE or --cv K, or leave it out")
    model = _loaded(job)
    several = model.model_.config.task == "labels"
    names = [str(name) for name in model.classes_.tolist()]
    with rows(job.output, ["id", "predicted", *names]) as table:
        for batch in record_batches(job.file, sequence_column=job.sequence, id_column=job.id):
            with named(job.file, batch):
                found = model.predict_proba([record.sequence for record in batch])
            for record, p in zip(batch, found.tolist(), strict=True):
                held = [name for name, value in zip(names, p, strict=True) if value > 0.5]
                table.write(record.id, ";".join(held) if several else names[int(np.argmax(p))], *p)
    if job.output is not None:
        print(f"predictions  {job.output} ({table.count:,} sequences)")


def _loaded(job: ClassifyJob) -> DNAClassifier:
    assert job.model is not None
    model: Any = load_dna_model(job.model, (CLASSIFIER,), job.device)
    if model.per_base:
        raise ValueError(
            f"{job.model} labels bases, `titans-ts classify` sequences: use DNAClassifier.predict in Python"
        )
    found: DNAClassifier = model
    return found


def _read(job: ClassifyJob, console: Console) -> Training:
    data = read_labelled(job.file, Columns(job.sequence, job.label, job.id, job.group))
    together = clusters(data, job.related)
    console.print("\n".join(summary(data, together)), markup=False)
    return Training(data, together)


def _is_there(job: ClassifyJob) -> bool:
    return job.model is not None and Path(job.model).expanduser().exists()


def _check_pretrained(job: ClassifyJob) -> None:
    """Refuse --pretrained where nothing is trained, and folders without a language model, before files are read."""
    if job.pretrained is None:
        return
    if _is_there(job):
        raise ValueError(
            f"--pretrained starts a new model, but {job.model} is there already: give another --model folder, or leave "
            "--pretrained out"
        )
    load_dna_model(job.pretrained, (LANGUAGE_MODEL,), None)


def _train_and_test(job: ClassifyJob, training: Training, console: Console) -> None:
    assert job.test is not None
    test = read_labelled(job.test, Columns(job.sequence, job.label, job.id, None))
    console.print("\n".join(summary(test, None)), markup=False)
    written = []
    if _is_there(job):
        model = _loaded(job)
        console.print(f"\nmodel loaded from {job.model}: no training", markup=False)
    else:
        console.print(f"\ntraining{_budget(job)}")
        model = _fit(job, training, np.arange(len(training.data.sequences)))
        console.print(f"  · {parts_line(model)}", markup=False)
        if job.model is not None:
            written.append(f"model        {model.save(_folder(job))}")
    labels = like(training.data.labels, test.labels)
    known = (training.data.sequences, training.data.labels)
    try:
        report = model.report(test.sequences, labels, train=known)
    except ValueError as error:
        raise ValueError(f"{test.name}: {error}") from error
    console.print(f"\n{test.name}, {len(labels):,} sequences that training has not seen:", markup=False)
    console.print(str(report), markup=False, no_wrap=True)
    if report.leaked is not None and report.leaked.clean.all():
        console.print(f"leakage: no test sequence shares {report.leaked.k} bases with a training sequence")
    if job.json is not None:
        write_json(job.json, {"test": job.test, **report_dict(report)})
        written.append(f"report       {job.json}")
    _write(job, _Scored(test, labels, report.probabilities, report), written)
    _say(console, written)


class _Scored(NamedTuple):
    """Sequences with their true classes (n,), and model → probabilities (n, K) by models that did not see them."""

    data: Labelled
    labels: Any
    probabilities: dict[str, Any]
    report: ClassificationReport


def _cross_validate(job: ClassifyJob, training: Training, console: Console) -> None:
    assert job.cv is not None
    if _is_there(job):
        raise ValueError(
            f"--cv trains new models, but {job.model} is there already: give another --model folder, or score the "
            "model in it by --test FILE"
        )
    data = training.data
    parts = folds(data, training.together, job.cv, job.seed)
    scores = FoldScores(len(data.sequences))
    console.print(f"\ntraining {job.cv} models{_budget(job)}; related sequences lie in one fold")
    for number, part in enumerate(parts, start=1):
        rest = np.setdiff1d(np.arange(len(data.sequences)), part)
        model = _fit(job, training, rest)
        report = model.report([data.sequences[i] for i in part], data.labels[part])
        scores.add(part, report)
        said = f"fold {number}: {len(part):,} sequences, MCC {report.table['mcc'].iloc[0]:.3f}; {parts_line(model)}"
        console.print(f"  · {said}", markup=False)
    console.print(f"\n{data.name}, mean ± sd of {job.cv} folds:", markup=False)
    console.print(scores.table().to_string(), markup=False, no_wrap=True)
    console.print("\n".join(scores.notes()), markup=False)
    written = []
    if job.model is not None:
        everything = np.arange(len(data.sequences))
        written.append(
            f"model        {_fit(job, training, everything).save(_folder(job))} (learned from all sequences)"
        )
    if job.json is not None:
        write_json(job.json, {"folds": scores.to_dict()})
        written.append(f"report       {job.json}")
    _write(job, _Scored(data, data.labels, scores.probabilities(), report), written)
    _say(console, written)


def _folder(job: ClassifyJob) -> Path:
    assert job.model is not None
    return Path(job.model).expanduser()


def _budget(job: ClassifyJob) -> str:
    return "" if job.time_budget is None else f", at most {job.time_budget:g} s each"


def _fit(job: ClassifyJob, training: Training, places: IntArray) -> DNAClassifier:
    """A classifier by the arguments, its own defaults where they say nothing."""
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
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet},
        **given,
    )
    data = training.data
    try:
        model.fit([data.sequences[i] for i in places], data.labels[places], groups=training.together[places].tolist())
    except ValueError as error:
        related = "related" in str(error)
        hint = "; --related 0 lets sequences that share words (not copies) lie on both sides" if related else ""
        raise ValueError(f"{data.name}: {error}{hint}") from error
    return model


def _write(job: ClassifyJob, scored: _Scored, written: list[str]) -> None:
    """Predictions and picture."""
    ours = next(iter(scored.probabilities.values()))
    classes = scored.report.classes
    if job.output is not None:
        names = [str(name) for name in classes.tolist()]
        with rows(job.output, ["id", "label", "predicted", *names]) as table:
            for name, label, p in zip(scored.data.ids, scored.labels.tolist(), ours.tolist(), strict=True):
                table.write(name, label, names[int(np.argmax(p))], *p)
        written.append(f"predictions  {job.output}")
    if job.plot is not None:
        from titans_ts.genomics.report.plot import plot_report

        truth = np.searchsorted(classes, scored.labels)
        how = f"in {job.cv} folds" if job.cv is not None else "that training has not seen"
        title = f"{Path(scored.data.name).name}: {len(truth):,} sequences {how}"
        plot_report(scored.probabilities, truth, classes, title=title, path=job.plot)
        written.append(f"picture      {job.plot}")


def _say(console: Console, written: list[str]) -> None:
    console.print()
    for line in written:
        # Said also with --quiet.
        print(line)
