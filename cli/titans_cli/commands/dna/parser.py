"""The commands about DNA: their arguments, and who runs them. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from titans_cli.input.arguments import BLOCKS, at_least, positive
from titans_ts.genomics.model.config import SEQUENCE_HEADS, ObjectiveName

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

COMMANDS = ("leakage", "classify", "dna")
HEADS = ("auto", *SEQUENCE_HEADS)
REVERSE_COMPLEMENTS = ("auto", "augment", "none")
OBJECTIVES = get_args(ObjectiveName)
FILES = "FASTA, FASTQ, GenBank, csv or tsv file, also .gz"


def add_parsers(commands: Commands) -> None:
    """Add the commands to the parser of `titans-ts`."""
    _add_leakage(commands)
    _add_classify(commands)
    dna = commands.add_parser("dna", help="language models of DNA, embeddings, effects of mutations")
    verbs = dna.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_pretrain(verbs)
    _add_score(verbs)
    _add_embed(verbs)
    _add_effects(verbs)


def run(arguments: argparse.Namespace) -> None:
    """Run a command of `COMMANDS`."""
    if arguments.command == "leakage":
        from titans_cli.commands.leakage import LeakageJob, check_leakage

        check_leakage(_job(LeakageJob, arguments))
    elif arguments.command == "classify":
        from titans_cli.commands.classify import ClassifyJob, classify

        classify(_job(ClassifyJob, arguments))
    elif arguments.verb == "pretrain":
        from titans_cli.commands.dna.pretrain import PretrainJob, pretrain

        pretrain(_job(PretrainJob, arguments))
    elif arguments.verb == "effects":
        from titans_cli.commands.dna.effects import EffectsJob, effects

        effects(_job(EffectsJob, arguments))
    else:
        from titans_cli.commands.dna.score import EmbedJob, ScoreJob, embed, score

        if arguments.verb == "score":
            score(_job(ScoreJob, arguments))
        else:
            embed(_job(EmbedJob, arguments))


def _job(kind: Any, arguments: argparse.Namespace) -> Any:
    """A NamedTuple of arguments."""
    wanted = vars(arguments)
    return kind(**{name: wanted[name] for name in kind._fields})


def _add_leakage(commands: Commands) -> None:
    leakage = commands.add_parser(
        "leakage",
        help="what a DNA test set shares with its training set",
        description="Count copies, reverse complements, shared words and conflicting labels of two sets of DNA "
        "sequences, and score baselines that learn nothing of DNA.",
    )
    for name in ("train", "test"):
        leakage.add_argument(name, metavar=name.upper(), help="csv, tsv, FASTA, FASTQ or GenBank file, also .gz")
    leakage.add_argument("--json", metavar="FILE", help="write the report, with the rows that are not clean")
    leakage.add_argument("--k", type=at_least(1), default=31, metavar="N", help="bases a word (31; at most 32)")
    leakage.add_argument("--sequence", default="sequence", metavar="COLUMN", help="of a csv or tsv (sequence)")
    leakage.add_argument("--label", default="label", metavar="COLUMN", help="of a csv or tsv (label)")
    leakage.add_argument("--no-label", action="store_true", help="the files hold no labels, or leave them out")


def _add_classify(commands: Commands) -> None:
    classify = commands.add_parser(
        "classify",
        help="train and score a DNA classifier, or label sequences with one",
        description="With --test or --cv: train on labelled sequences, print all metrics beside trivial baselines. "
        "With neither: load --model and label the sequences of FILE.",
    )
    classify.add_argument(
        "file",
        metavar="FILE",
        help=f"{FILES}; labelled where it is learned from: columns of a csv or tsv, or a file a class, as in "
        "promoter=a.fa,other=b.fa",
    )
    scored = classify.add_mutually_exclusive_group()
    scored.add_argument("--test", metavar="FILE", help="labelled sequences to score on")
    scored.add_argument(
        "--cv", type=at_least(2), metavar="K", help="score by K folds, related sequences in one, classes in proportion"
    )
    group = classify.add_argument_group("data")
    _add_columns(group)
    group.add_argument("--label", default="label", metavar="COLUMN", help="of a csv or tsv (label)")
    group.add_argument("--group", metavar="COLUMN", help="rows alike in it stay in one fold, such as a chromosome")
    group.add_argument(
        "--related",
        type=at_least(0),
        default=31,
        metavar="N",
        help="sequences that share N bases are related and stay in one fold (31; at most 32); 0: copies only",
    )
    group = classify.add_argument_group("model")
    group.add_argument("--model", metavar="DIR", help="load the model from this folder, or save it there if it is new")
    group.add_argument(
        "--pretrained",
        metavar="DIR",
        help="start from a language model, written here by `titans-ts dna pretrain`; block and sizes are its",
    )
    group.add_argument("--head", choices=HEADS, help="how the network pools a sequence (auto)")
    group.add_argument("--reverse-complement", choices=REVERSE_COMPLEMENTS, help="augment reads both strands (auto)")
    group.add_argument("--no-linear", action="store_true", help="network without the linear part")
    group.add_argument("--ensemble-size", type=at_least(1), metavar="N", help="networks to average (1)")
    _add_training(group)
    group = classify.add_argument_group("results")
    group.add_argument("--output", metavar="FILE", help="write predictions as csv or tsv, a probability a class")
    group.add_argument("--json", metavar="FILE", help="write the report")
    group.add_argument("--plot", metavar="FILE", help="write a picture of the report: png, svg, pdf, jpg, webp")
    group.add_argument("--quiet", action="store_true", help="print only warnings and where the files are")


def _add_columns(group: Any) -> None:
    group.add_argument("--sequence", default="sequence", metavar="COLUMN", help="of a csv or tsv (sequence)")
    group.add_argument("--id", metavar="COLUMN", help="names in a csv or tsv; numbers of the rows by default")


def _add_training(group: Any) -> None:
    group.add_argument("--block", choices=BLOCKS, help="how the memory is used (mag)")
    group.add_argument("--max-epochs", type=at_least(0), metavar="N", help="most passes over the data")
    group.add_argument("--time-budget", type=positive, metavar="SECONDS", help="longest training of a model")
    group.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="random seed (0)")
    _add_device(group)


def _add_device(group: Any) -> None:
    group.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N or mps")


def _add_pretrain(verbs: Commands) -> None:
    pretrain = verbs.add_parser(
        "pretrain",
        help="train a language model on unlabelled DNA",
        description="Train a language model and print what a base costs in bits; 2 is chance.",
    )
    pretrain.add_argument("file", metavar="GENOME", help=FILES)
    pretrain.add_argument("--model", required=True, metavar="DIR", help="save the model in this new folder")
    pretrain.add_argument("--test", metavar="FILE", help="sequences to score on, beside simple models of DNA")
    _add_columns(pretrain)
    pretrain.add_argument("--objective", choices=OBJECTIVES, default="causal", help="what is expected (causal)")
    pretrain.add_argument("--context", type=at_least(2), metavar="N", help="bases of a training window (1024)")
    pretrain.add_argument(
        "--soft-mask-weight", type=_weight, metavar="W", help="weight of lower-case bases in training (1)"
    )
    pretrain.add_argument("--one-strand", action="store_true", help="do not read training windows' other strand")
    _add_training(pretrain)
    pretrain.add_argument("--quiet", action="store_true", help="print only warnings and where the model is")


def _weight(text: str) -> float:
    return 0.0 if text in ("0", "0.0") else positive(text)


def _add_score(verbs: Commands) -> None:
    score = verbs.add_parser(
        "score",
        help="log-likelihood of each sequence under a language model",
        description="Write id, bases (A, C, G, T), log-likelihood in nats and bits a base of each sequence.",
    )
    _add_reading(score)
    score.add_argument(
        "--surprise", metavar="FILE", help="also write what surprised the memory, base by base: a .bedgraph file"
    )
    score.add_argument("--both-strands", action="store_true", help="mean over a sequence and its reverse complement")
    score.add_argument("--output", metavar="FILE", help="csv or tsv file; standard output by default")


def _add_embed(verbs: Commands) -> None:
    embed = verbs.add_parser(
        "embed",
        help="numbers for each sequence, from a language model or a classifier",
        description="Write what the network makes of each sequence.",
    )
    _add_reading(embed)
    embed.add_argument("--output", required=True, metavar="FILE", help="csv, tsv, npz or parquet file")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=f"{FILES}, of any size")
    parser.add_argument("--model", required=True, metavar="DIR", help="folder of the model")
    _add_columns(parser)
    _add_device(parser)


def _add_effects(verbs: Commands) -> None:
    effects = verbs.add_parser(
        "effects",
        help="what variants, or all single substitutions, do to a model's answer",
        description="With --vcf and --fasta: the change of the score by each variant. With FILE: by each substitution "
        "in each sequence. The score is the log odds of a class, or a language model's log-likelihood.",
    )
    effects.add_argument("file", nargs="?", metavar="FILE", help=FILES)
    effects.add_argument("--model", required=True, metavar="DIR", help="folder of a classifier or language model")
    effects.add_argument("--class", dest="output_class", metavar="NAME", help="the class; the second one of two")
    effects.add_argument("--both-strands", action="store_true", help="mean over a sequence and its reverse complement")
    effects.add_argument("--output", metavar="FILE", help="csv or tsv file; standard output by default")
    _add_device(effects)
    group = effects.add_argument_group("variants")
    group.add_argument("--vcf", metavar="FILE", help="variants: .vcf, .vcf.gz")
    group.add_argument("--fasta", metavar="FILE", help="the genome: FASTA or GenBank")
    group.add_argument("--window", type=at_least(1), metavar="N", help="bases around a variant that the model reads")
    for name, other, text in (
        ("mismatch", "skip", "a variant that does not fit the genome"),
        ("outside", "clip", "a window past the end of its chromosome"),
        ("symbolic", "skip", "an allele without letters, such as <DEL>"),
    ):
        group.add_argument(f"--{name}", choices=("error", other), default="error", help=f"{text} (error)")
    group = effects.add_argument_group("substitutions")
    _add_columns(group)
    group.add_argument("--only", metavar="ID", help="this sequence only")
    group.add_argument("--start", type=at_least(0), metavar="N", help="first base, from 0")
    group.add_argument("--end", type=at_least(1), metavar="N", help="the base behind the last one")
    group.add_argument("--plot", metavar="FILE", help="heat map of one sequence: png, svg, pdf, jpg, webp")
    group.add_argument("--logo", metavar="FILE", help="letters as tall as they are important, of one sequence")
