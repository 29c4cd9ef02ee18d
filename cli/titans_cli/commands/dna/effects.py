"""`titans-ts dna effects`: what variants, or all substitutions, do to a model's answer.

Shapes: n sequences, T bases of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from titans_cli.input.dna_files import (
    CLASSIFIER,
    LANGUAGE_MODEL,
    check_output,
    load_dna_model,
    named,
    rows,
    write_frame,
)
from titans_cli.output.notes import notes_on_stderr
from titans_datasets.dna.read.files import DNARecord, record_batches

if TYPE_CHECKING:
    import pandas as pd

    from titans_ts.genomics.analysis.mutagenesis import MutationMap

_OF_VARIANTS, _OF_SEQUENCES = ("vcf", "fasta", "window"), ("only", "start", "end", "plot", "logo")
LIKELIHOOD = "log-likelihood in nats"


class EffectsJob(NamedTuple):
    """The arguments, named as on the command line."""

    file: str | None
    model: str
    output_class: str | None
    both_strands: bool
    output: str | None
    device: str | None
    vcf: str | None
    fasta: str | None
    window: int | None
    mismatch: str
    outside: str
    symbolic: str
    sequence: str
    id: str | None
    only: str | None
    start: int | None
    end: int | None
    plot: str | None
    logo: str | None


class Asked(NamedTuple):
    """A model as `mutate` and `variant_effects` take it.

    Attributes:
        model: a classifier, or a function from n strings to log-likelihoods (n,).
        output: the class, None for the second one of two.
        name: what the score is, None for the model's own name of it.
        window: bases around a variant that suit the model, None where any do.
    """

    model: Any
    output: Any
    name: str | None
    window: int | None


def effects(job: EffectsJob) -> None:
    """Run the command.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    _check(job)
    asked = _asked(job)
    with notes_on_stderr(numbers=False):
        count = _variants(job, asked) if job.vcf is not None else _substitutions(job, asked)
    if job.output is not None:
        print(f"effects  {job.output} ({count:,} rows)")


def _check(job: EffectsJob) -> None:
    """Refuse arguments that do not go together.

    Raises:
        ValueError: the first that does not fit.
    """
    check_output(job.output)
    if (job.vcf is None) == (job.file is None):
        raise ValueError("expected either sequences, as FILE, or variants, as --vcf FILE --fasta GENOME")
    given = [name for name in (_OF_SEQUENCES if job.vcf else _OF_VARIANTS) if getattr(job, name) is not None]
    if given:
        what = "sequences (FILE)" if job.vcf else "variants (--vcf)"
        raise ValueError(f"--{given[0]} is for {what}: leave it out")
    if job.vcf is not None and job.fasta is None:
        raise ValueError("--fasta is missing: give the genome that the variants of --vcf are of")
    if job.plot is not None or job.logo is not None:
        from titans_ts.genomics.analysis.plot import check_picture

        check_picture(job.plot)
        check_picture(job.logo)


def _asked(job: EffectsJob) -> Asked:
    model: Any = load_dna_model(job.model, (CLASSIFIER, LANGUAGE_MODEL), job.device)
    if not hasattr(model, "classes_"):
        if job.output_class is not None:
            raise ValueError(f"--class is for classifiers, {job.model} holds a {LANGUAGE_MODEL}: leave it out")
        likelihood: Callable[[list[str]], Any] = model.log_likelihood
        return Asked(likelihood, None, LIKELIHOOD, int(model.context_length))
    if model.per_base:
        raise ValueError(f"{job.model} labels bases: expected a classifier of sequences, or a language model")
    names = {str(name): name for name in model.classes_.tolist()}
    if job.output_class is None and len(names) > 2:
        raise ValueError(f"--class must name one of {', '.join(names)}: the model has more than two")
    if job.output_class is not None and job.output_class not in names:
        raise ValueError(f"--class must name one of {', '.join(names)}, got {job.output_class!r}")
    output = None if job.output_class is None else names[job.output_class]
    return Asked(model, output, None, model.model_.config.length or None)


def _variants(job: EffectsJob, asked: Asked) -> int:
    from titans_datasets.dna.read.genome import read_genome
    from titans_datasets.dna.read.tables import read_vcf
    from titans_ts.genomics.analysis.variants import variant_effects

    window = job.window or asked.window
    if window is None:
        raise ValueError(
            "--window is missing: give the bases around a variant that the model reads, as long as the sequences that "
            "it was trained on"
        )
    assert job.vcf is not None and job.fasta is not None
    found = variant_effects(
        asked.model,
        read_vcf(job.vcf, symbolic=job.symbolic),
        read_genome(job.fasta),
        window=window,
        output=asked.output,
        strands=_strands(job),
        mismatch=job.mismatch,
        outside=job.outside,
    )
    write_frame(_plain(found), job.output)
    return len(found)


def _plain(found: pd.DataFrame) -> pd.DataFrame:
    """Missing numbers of windows as empty cells."""
    places = [name for name in found.columns if str(found[name].dtype) == "Int64"]
    return found.assign(**{name: found[name].astype(object).where(found[name].notna(), "") for name in places})


def _strands(job: EffectsJob) -> str:
    return "both" if job.both_strands else "one"


def _substitutions(job: EffectsJob, asked: Asked) -> int:
    assert job.file is not None
    drawn = job.plot is not None or job.logo is not None
    last: MutationMap | None = None
    name, done = "", 0
    columns = ["id", "position", "reference", "A", "C", "G", "T", "importance"]
    # A picture alone needs no table.
    silent = drawn and job.output is None
    with rows(job.output, columns) as table:
        for record in _records(job):
            if drawn and done == 1:
                raise ValueError(
                    f"{job.file} holds more than one sequence, --plot and --logo draw one: name it by --only"
                )
            last, name, done = _map(job, asked, record), record.id, done + 1
            for row in () if silent else last.to_frame().itertuples(index=False):
                table.write(record.id, *row)
    if last is None:
        raise ValueError(f"--only {job.only}: {job.file} holds no such sequence")
    _draw(job, last, name)
    return table.count


def _records(job: EffectsJob) -> Any:
    """The records that are asked for, one after another."""
    assert job.file is not None
    for batch in record_batches(job.file, sequence_column=job.sequence, id_column=job.id):
        yield from (record for record in batch if job.only in (None, record.id))


def _map(job: EffectsJob, asked: Asked, record: DNARecord) -> MutationMap:
    from titans_ts.genomics.analysis.mutagenesis import mutate

    assert job.file is not None
    options: dict[str, Any] = {"output": asked.output, "strands": _strands(job)}
    try:
        with named(job.file, [record]):
            found = mutate(asked.model, record.sequence, job.start, job.end, **options)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(job.file) else f"{job.file}: record {record.id}: {text}") from error
    return found if asked.name is None else found._replace(output=asked.name)


def _draw(job: EffectsJob, found: MutationMap, name: str) -> None:
    from titans_ts.genomics.analysis.plot import plot_logo, plot_mutations

    if job.plot is not None:
        plot_mutations(found, title=name, path=job.plot)
        print(f"picture  {job.plot}")
    if job.logo is not None:
        plot_logo(found, title=name, path=job.logo)
        print(f"picture  {job.logo}")
