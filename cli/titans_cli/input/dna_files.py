"""What the commands for DNA read and write: model folders, intervals and sequences, names of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from titans_datasets.dna.read.files import DNARecord
from titans_datasets.dna.read.intervals import Placed, Places
from titans_datasets.dna.read.labelled import Columns
from titans_datasets.dna.read.labelled import named as named
from titans_datasets.dna.read.labelled import record_source as record_source
from titans_datasets.dna.tracks import BEDGRAPH, BIGWIG
from titans_datasets.rows import TABLES as TABLES
from titans_datasets.rows import rows as rows
from titans_datasets.rows import write_frame as write_frame
from titans_datasets.rows import write_json as write_json

CLASSIFIER, LANGUAGE_MODEL, REGRESSOR = "dna classifier", "dna language model", "dna regressor"
_ELSEWHERE = {
    CLASSIFIER: "label sequences by `titans-ts classify --model DIR FILE`, or train a language model by `titans-ts dna "
    "pretrain`",
    LANGUAGE_MODEL: "score sequences by `titans-ts dna score --model DIR FILE`, or train a classifier by `titans-ts "
    "classify FILE --cv 5 --model DIR`",
    REGRESSOR: "predict numbers by `titans-ts regress --model DIR FILE`",
    "forecaster": "forecast by `titans-ts forecast FILE --horizon N --model DIR`",
}


def check_output(name: str | None, suffixes: tuple[str, ...] = TABLES) -> None:
    """Refuse names that cannot be written before any time is spent.

    Raises:
        ValueError: another suffix.
    """
    if name is None:
        return
    if not name.lower().endswith(suffixes):
        raise ValueError(f"cannot write {name}: expected a name ending in {', '.join(suffixes)}")


def check_predictions(job: Any) -> None:
    """Refuse names of results of `classify` and `regress` that cannot be written, and a report without its library.

    Raises:
        ValueError: another suffix, or a folder.
    """
    from titans_ts.report import check_report

    check_output(job.output, (*TABLES, *BEDGRAPH, *BIGWIG) if job.fasta is not None else TABLES)
    check_output(job.json, (".json",))
    check_report(job.report)
    if job.plot is not None:
        from titans_ts.genomics.analysis.plot import check_picture

        check_picture(job.plot)


def refuse(job: Any, names: tuple[str, ...], use: str) -> None:
    """Refuse options that are of no use here.

    Raises:
        ValueError: one of them is given.
    """
    for name in names:
        if getattr(job, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')} is for {use}, or leave it out")


def load_dna_model(folder: str, wanted: tuple[str, ...], device: str | None, *, estimator: bool = False) -> Any:
    """The model of a folder, without scikit-learn.

    Args:
        folder: where `save` or `--model` wrote it.
        wanted: kinds that the command can use.
        device: where it runs; None for the model's own setting.
        estimator: load a classifier or regressor as an estimator of scikit-learn, which writes reports.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is damaged or holds no model, or one of another kind.
    """
    if not Path(folder).expanduser().is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: give the --model folder of a trained model, or train one by `titans-ts classify "
            "FILE --cv 5 --model DIR` or `titans-ts dna pretrain FILE --model DIR`"
        )
    # Imported here: it brings PyTorch.
    from titans_ts.support.model_folder import kind_of

    kind = kind_of(folder)
    if kind not in wanted:
        hint = _ELSEWHERE.get(kind, "load it in Python with the class that saved it")
        raise ValueError(f"{folder} holds a {kind}, expected a {' or a '.join(wanted)}: {hint}")
    if not estimator:
        from titans_ts.genomics.plain import load_plain

        return load_plain(Path(folder).expanduser(), kind, device)
    model: Any
    if kind == REGRESSOR:
        from titans_ts.genomics.regression.regressor import DNARegressor

        model = DNARegressor.load(Path(folder).expanduser())
    else:
        from titans_ts.genomics.classifier.classifier import DNAClassifier

        model = DNAClassifier.load(Path(folder).expanduser())
    if device is not None:
        model.set_params(device=device)
    return model


def source_of(job: Any, label: str = "name") -> tuple[Columns, Places | None]:
    """Where a command with the options of `SourceJob` finds sequences and labels in its files.

    Args:
        job: the options.
        label: column of BED files that holds the label: "name" or "score".

    Raises:
        ValueError: an option for intervals without --fasta.
    """
    columns = Columns(job.sequence, getattr(job, "label", ""), job.id, getattr(job, "group", None), job.format)
    # Negatives are a class: `regress` has none.
    negatives = getattr(job, "negatives", None) is not None
    if job.fasta is not None:
        return columns, Places(job.fasta, job.window, job.outside, label, negatives, getattr(job, "seed", 0))
    for name in ("window", "negatives", "test_chromosomes", "signal"):
        if getattr(job, name, None) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for intervals (.bed): give the genome they lie on by --fasta")
    return columns, None


def batches_of(job: Any, file: str) -> Iterator[list[DNARecord]]:
    """The sequences of a file, or of its intervals on the genome, in batches, the first of which is read here.

    It goes before `load_dna_model`, which brings PyTorch: a file that cannot be read is refused sooner.

    Raises:
        FileNotFoundError, ValueError: see `record_source`.
    """
    found = record_source(file, *source_of(job))
    return found.batches() if isinstance(found, Placed) else found
