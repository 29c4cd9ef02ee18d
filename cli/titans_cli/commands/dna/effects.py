"""`titans-ts dna effects`: how variants, or all single substitutions, change a model's score.

Shapes: n sequences, T bases of one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from titans_cli.input import common
from titans_cli.input.options import Group, add_options, argument, option, read_options
from titans_cli.input.values import at_least

if TYPE_CHECKING:
    import pandas as pd

    from titans_datasets.dna.read.files import DNARecord
    from titans_datasets.dna.read.genome import Genome
    from titans_ts.genomics.analysis.mutagenesis import MutationMap

OF_SEQUENCES = ("format", "only", "start", "end", "plot", "logo")
VCF = (".vcf", ".vcf.gz", ".vcf.bgz")
LIKELIHOOD = "log-likelihood in nats"
VARIANTS, SUBSTITUTIONS = Group("variants"), Group("substitutions")


@dataclass(frozen=True, kw_only=True)
class EffectsJob:
    """With --vcf and --fasta: the change of the score by each variant. With FILE: by each substitution in each
    sequence. The score is the log odds of a class, a predicted number, or a language model's log-likelihood."""

    file: str | None = argument("FILE", f"{common.DNA_FILES}; or .bed with --fasta", default=None)
    model: str = common.saved_model()
    output_class: str | None = option(
        "NAME", "class or target to score; of two classes the second by default", flag="--class"
    )
    both_strands: bool = common.both_strands()
    output: str | None = option("FILE", f"{common.TABLES}; of --vcf also .vcf, .vcf.gz; standard output by default")
    report: str | None = common.report()
    device: str | None = common.device()
    vcf: str | None = option("FILE", "variants: .vcf, .vcf.gz, or - for standard input", group=VARIANTS)
    fasta: str | None = option("FILE", "the genome: FASTA, GenBank or 2bit", group=VARIANTS)
    window: int | None = option("N", "bases around a variant or interval to read", type=at_least(1), group=VARIANTS)
    mismatch: str = option(
        None,
        "what to do with a variant whose reference differs from the genome",
        default="error",
        choices=("error", "skip"),
        group=VARIANTS,
    )
    outside: str = option(
        None,
        "what to do with a window past the end of its chromosome; clip, skip: of variants, drop: of intervals",
        default="error",
        choices=("error", "clip", "skip", "drop"),
        group=VARIANTS,
    )
    symbolic: str = option(
        None,
        "what to do with an allele without letters, such as <DEL>",
        default="error",
        choices=("error", "skip"),
        group=VARIANTS,
    )
    format: str | None = common.file_format(SUBSTITUTIONS, (*common.KINDS, "vcf"))
    sequence: str = common.sequence(SUBSTITUTIONS)
    id: str | None = common.record_id(SUBSTITUTIONS)
    only: str | None = option("ID", "only this sequence", group=SUBSTITUTIONS)
    start: int | None = option("N", "first base, 0-based", type=at_least(0), group=SUBSTITUTIONS)
    end: int | None = option("N", "end, exclusive", type=at_least(1), group=SUBSTITUTIONS)
    plot: str | None = option("FILE", f"heat map of one sequence: {common.PICTURES}", group=SUBSTITUTIONS)
    logo: str | None = option(
        "FILE", "sequence logo of one sequence: letter height = attribution score", group=SUBSTITUTIONS
    )


class Scorer(NamedTuple):
    """A model as `mutate` and `variant_effects` take it.

    Attributes:
        model: a classifier or regressor, or a function from n strings to log-likelihoods (n,).
        output: the class; None for the second one of two.
        name: of the score; None for the model's own name.
        window: bases around a variant that suit the model; None where any number does.
    """

    model: Any
    output: Any
    name: str | None
    window: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, EffectsJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from titans_cli.input.dna_files import batches_of
    from titans_cli.output.notes import errors_in_options, notes_on_stderr

    job = read_options(arguments, EffectsJob)
    if job.file is not None and job.vcf is None and (job.format == "vcf" or job.file.lower().endswith(VCF)):
        job = replace(job, vcf=job.file, file=None, format=None)
    _check(job)
    with errors_in_options(), notes_on_stderr(numbers=False):
        # Read before the model is loaded, which brings PyTorch.
        if job.file is None:
            variants, genome = _read_variants(job)
            count = _variants(job, _scorer(job), variants, genome)
        else:
            batches = batches_of(job, job.file)
            count = _substitutions(job, _scorer(job), batches)
    if job.output is not None:
        print(f"effects  {job.output} ({count:,} rows)")
    if job.report is not None:
        print(f"report   {job.report}")


def _check(job: EffectsJob) -> None:
    """Refuse options that cannot be combined.

    Raises:
        ValueError: with the first of them.
    """
    from titans_cli.input.dna_files import TABLES, check_output
    from titans_ts.report import check_report

    check_output(job.output, TABLES if job.vcf is None else (*TABLES, *VCF))
    check_report(job.report)
    if (job.vcf is None) == (job.file is None):
        raise ValueError("expected either sequences, as FILE, or variants, as --vcf FILE --fasta GENOME")
    given = [name for name in OF_SEQUENCES if job.vcf and getattr(job, name) is not None]
    if given:
        raise ValueError(f"--{given[0]} is for sequences (FILE): leave it out")
    if job.outside in (("drop",) if job.vcf else ("clip", "skip")):
        fits, others = ("intervals", "clip or skip") if job.vcf else ("variants", "drop")
        raise ValueError(f"--outside {job.outside} is for {fits}: give {others}, or leave it out")
    if job.vcf is not None and job.fasta is None:
        raise ValueError("--fasta is missing: give the genome that the variants of --vcf are of")
    if job.plot is not None or job.logo is not None:
        from titans_ts.genomics.analysis.plot import check_picture

        check_picture(job.plot)
        check_picture(job.logo)


def _scorer(job: EffectsJob) -> Scorer:
    from titans_cli.input.dna_files import CLASSIFIER, LANGUAGE_MODEL, REGRESSOR, load_dna_model

    model: Any = load_dna_model(job.model, (CLASSIFIER, REGRESSOR, LANGUAGE_MODEL), job.device)
    targets = hasattr(model, "target_names_")
    if not targets and not hasattr(model, "classes_"):
        if job.output_class is not None:
            raise ValueError(f"--class is for classifiers, {job.model} holds a {LANGUAGE_MODEL}: leave it out")
        likelihood: Callable[[list[str]], Any] = model.log_likelihood
        return Scorer(likelihood, None, LIKELIHOOD, int(model.context_length))
    if model.per_base:
        raise ValueError(f"{job.model} answers for single bases: expected a model of whole sequences")
    names = {str(name): name for name in (model.target_names_ if targets else model.classes_.tolist())}
    if job.output_class is None and len(names) > 2 - targets:
        raise ValueError(f"--class must name one of {', '.join(names)}: the model has several")
    if job.output_class is not None and job.output_class not in names:
        raise ValueError(f"--class must name one of {', '.join(names)}, got {job.output_class!r}")
    output = None if job.output_class is None else names[job.output_class]
    return Scorer(model, output, None, model.model_.parts.length or None)


def _read_variants(job: EffectsJob) -> tuple[pd.DataFrame, Genome]:
    from titans_datasets.dna.read.reference import open_genome
    from titans_datasets.dna.read.tables import read_vcf

    assert job.vcf is not None and job.fasta is not None
    return read_vcf(job.vcf, symbolic=job.symbolic), open_genome(job.fasta)


def _variants(job: EffectsJob, scorer: Scorer, variants: pd.DataFrame, genome: Genome) -> int:
    from titans_cli.input.dna_files import write_frame
    from titans_datasets.dna.annotation import annotate_vcf
    from titans_ts.genomics.analysis.variants import variant_effects
    from titans_ts.report import effect_report

    assert job.vcf is not None
    window = job.window or scorer.window
    if window is None:
        raise ValueError(
            "--window is missing: give the number of bases around a variant that the model reads, such as the length "
            "of the sequences it was trained on"
        )
    found = variant_effects(
        scorer.model,
        variants,
        genome,
        window=window,
        output=scorer.output,
        strands=_strands(job),
        mismatch=job.mismatch,
        outside=job.outside,
    )
    if job.report is not None:
        effect_report(found, job.vcf, score=scorer.name or "the log odds", settings=vars(job)).to_html(job.report)
    if job.output is not None and job.output.lower().endswith(VCF):
        annotate_vcf(job.vcf, job.output, found["effect"].tolist(), of=scorer.name or scorer.output)
    elif job.output is not None or job.report is None:
        write_frame(_plain(found), job.output)
    return len(found)


def _plain(found: pd.DataFrame) -> pd.DataFrame:
    """Missing window positions as empty cells."""
    places = [name for name in found.columns if str(found[name].dtype) == "Int64"]
    return found.assign(**{name: found[name].astype(object).where(found[name].notna(), "") for name in places})


def _strands(job: EffectsJob) -> str:
    return "both" if job.both_strands else "one"


def _substitutions(job: EffectsJob, scorer: Scorer, batches: Iterable[list[DNARecord]]) -> int:
    from titans_cli.input.dna_files import rows
    from titans_ts.report import SubstitutionReport

    assert job.file is not None
    drawn, report = job.plot is not None or job.logo is not None, SubstitutionReport(job.file)
    last: MutationMap | None = None
    name, done = "", 0
    columns = ["id", "position", "reference", "A", "C", "G", "T", "importance"]
    # For a picture or a report alone no table is written.
    silent = (drawn or job.report is not None) and job.output is None
    with rows(job.output, columns) as table:
        for record in (record for batch in batches for record in batch if job.only in (None, record.id)):
            if drawn and done == 1:
                raise ValueError(
                    f"{job.file} holds more than one sequence, --plot and --logo draw one: name it by --only"
                )
            last, name, done = _map(job, scorer, record), record.id, done + 1
            report.add(name, last)
            for row in () if silent else last.to_frame().itertuples(index=False):
                table.write(record.id, *row)
    if last is None:
        raise ValueError(f"--only {job.only}: {job.file} holds no such sequence")
    if drawn:
        _draw(job, last, name)
    if job.report is not None:
        report.finished(vars(job)).to_html(job.report)
    return table.count


def _map(job: EffectsJob, scorer: Scorer, record: DNARecord) -> MutationMap:
    from titans_cli.input.dna_files import named
    from titans_ts.genomics.analysis.mutagenesis import mutate

    assert job.file is not None
    options: dict[str, Any] = {"output": scorer.output, "strands": _strands(job)}
    try:
        with named(job.file, [record]):
            found = mutate(scorer.model, record.sequence, job.start, job.end, **options)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if "record " in text else f"{job.file}: record {record.id}: {text}") from error
    return found if scorer.name is None else found._replace(output=scorer.name)


def _draw(job: EffectsJob, found: MutationMap, name: str) -> None:
    from titans_ts.genomics.analysis.plot import plot_logo, plot_mutations

    if job.plot is not None:
        plot_mutations(found, title=name, path=job.plot)
        print(f"picture  {job.plot}")
    if job.logo is not None:
        plot_logo(found, title=name, path=job.logo)
        print(f"picture  {job.logo}")
