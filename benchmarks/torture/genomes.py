"""Bad sequences, variants, intervals and labelled tables; and files damaged at random."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator

from benchmarks.torture.case import Case, text
from benchmarks.torture.files import BED, DNA, GENOME, LETTERS, VCF, VCF_HEAD, variant
from benchmarks.torture.series import fuzzed

ONE = LETTERS[:60]
LABEL = "classify --model classifier {file} --output o.csv"
SCORE = "dna score --model language {file} --output o.csv"
EFFECTS = "dna effects --model classifier --vcf {file} --fasta genome.fa --window 60 --output o.csv"
TRAIN = "classify {file} --test dna_test.csv --max-epochs 0 --quiet --json o.json"
NUMBERS = "regress {file} --test dna_test.csv --max-epochs 0 --quiet --json o.json"
PLACES = "classify --model classifier {file} --fasta genome.fa --output o.csv"
# What is wrong → name, content, and whether it can be meant.
SEQUENCES: dict[str, tuple[str, str | bytes, bool]] = {
    "empty": ("t.fa", "", False),
    "no sequence": ("t.fa", ">a\n>b\n", False),
    "no header": ("t.fa", f"{ONE}\n", False),
    "only >": ("t.fa", ">\n", False),
    "zeros": ("t.fa", b"\0" * 4096, False),
    "random bytes": ("t.fa", random.Random(0).randbytes(4096), False),
    "truncated gzip": ("t.fa.gz", gzip.compress(GENOME.encode())[:300], False),
    "no gzip": ("t.fa.gz", GENOME, True),
    "protein": ("t.fa", ">a\nMKVLWAALLVTFLAGCQAKVEQAVETEPEPELRQQTEWQSGQRWELALGRFWDYLRWVQT\n", False),
    "digits": ("t.fa", f">a\n{ONE}12345\n", False),
    "accents": ("t.fa", f">é\n{ONE}\n>b\nACGÉ\n", False),
    "utf-16": ("t.fa", f">a\n{ONE}\n".encode("utf-16"), True),
    "names twice": ("t.fa", f">a\n{ONE}\n>a\n{ONE}\n", True),
    "windows": ("t.fa", f">a\r\n{ONE}\r\n", True),
    "lower case": ("t.fa", f">a\n{ONE.lower()}\n", True),
    "rna": ("t.fa", f">a\n{ONE.replace('T', 'U')}\n", True),
    "gaps": ("t.fa", f">a\n{ONE[:30]}---{ONE[33:]}\n", True),
    "unknown bases": ("t.fa", f">a\n{'N' * 60}\n", True),
    "long header": ("t.fa", f">{'x' * 1_000_000}\n{ONE}\n", True),
    "one base": ("t.fa", ">a\nA\n", True),
    "long sequence": ("t.fa", f">a\n{LETTERS * 30}\n", True),
    "broken fastq": ("t.fq", f"@a\n{ONE}\n+\nIII\n", False),
    "truncated fastq": ("t.fq", f"@a\n{ONE}\n", False),
    "broken genbank": ("t.gb", "LOCUS       x\nORIGIN\n", False),
    "no parquet": ("t.parquet", GENOME, False),
    "unknown suffix": ("t.xyz", b"\x01\x02", False),
    "series": ("t.csv", "item_id,timestamp,target\na,2024-01-01,1\n", False),
}
HUGE = "9" * 30
VARIANTS: dict[str, tuple[str, str | bytes, bool]] = {
    "empty": ("t.vcf", "", False),
    "header only": ("t.vcf", VCF_HEAD, True),
    "no header": ("t.vcf", variant(200), True),
    "spaces": ("t.vcf", VCF.replace("\t", " "), False),
    "few columns": ("t.vcf", VCF_HEAD + "chr1\t200\n", False),
    "place 0": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", "\t0\t"), False),
    "place -5": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", "\t-5\t"), False),
    "place text": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", "\tx\t"), False),
    "place 1.5": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", "\t1.5\t"), False),
    "place huge": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", f"\t{HUGE}\t"), False),
    "past the end": ("t.vcf", VCF_HEAD + variant(200).replace("\t200\t", "\t200000\t"), False),
    "near the end": ("t.vcf", VCF_HEAD + variant(3), False),
    "other chromosome": ("t.vcf", VCF_HEAD + variant(200, chromosome="chrX"), False),
    "other reference": ("t.vcf", VCF_HEAD + f"chr1\t200\t.\t{'ACGT'[LETTERS[199] == 'A']}\tN\t.\t.\t.\n", False),
    "no alternative": ("t.vcf", VCF_HEAD + variant(200, "."), False),
    "symbolic": ("t.vcf", VCF_HEAD + variant(200, "<DEL>"), False),
    "breakend": ("t.vcf", VCF_HEAD + variant(200, "G]17:198982]"), False),
    "star": ("t.vcf", VCF_HEAD + variant(200, "*"), False),
    "protein": ("t.vcf", VCF_HEAD + variant(200, "MKV"), False),
    "same": ("t.vcf", VCF_HEAD + variant(200, LETTERS[199]), True),
    "lower case": ("t.vcf", VCF_HEAD + variant(200).lower(), True),
    "twice": ("t.vcf", VCF_HEAD + variant(200) * 2, True),
    "many alternatives": ("t.vcf", VCF_HEAD + variant(200, ",".join(["A" * 9 + "C" * n for n in range(300)])), True),
    "long alternative": ("t.vcf", VCF_HEAD + variant(200, "A" * 2_000_000), True),
    "long info": ("t.vcf", VCF_HEAD + variant(200).rstrip().removesuffix(".") + "X=" + "y" * 2_000_000 + "\n", True),
    "truncated gzip": ("t.vcf.gz", gzip.compress(VCF.encode())[:100], False),
    "no gzip": ("t.vcf.gz", VCF, True),
    "zeros": ("t.vcf", b"\0" * 4096, False),
    "random bytes": ("t.vcf", random.Random(0).randbytes(4096), False),
    "utf-16": ("t.vcf", VCF.encode("utf-16"), True),
    "a table": ("t.vcf", DNA, False),
}
INTERVALS: dict[str, tuple[str, str | bytes, bool]] = {
    "empty": ("t.bed", "", False),
    "comments": ("t.bed", "# nothing\ntrack name=x\n", False),
    "end before start": ("t.bed", "chr1\t100\t40\ta\n", False),
    "no bases": ("t.bed", "chr1\t100\t100\ta\n", False),
    "negative": ("t.bed", "chr1\t-10\t50\ta\n", False),
    "text": ("t.bed", "chr1\tx\ty\ta\n", False),
    "decimals": ("t.bed", "chr1\t1.5\t61.5\ta\n", False),
    "two columns": ("t.bed", "chr1\t100\n", False),
    "spaces": ("t.bed", "chr1 100 160 a\n", True),
    "huge": ("t.bed", f"chr1\t0\t{HUGE}\ta\n", False),
    "past the end": ("t.bed", "chr1\t1990\t2050\ta\n", False),
    "other chromosome": ("t.bed", "chrX\t0\t60\ta\n", False),
    "strand": ("t.bed", "chr1\t0\t60\ta\t0\t?\n", False),
    "twice": ("t.bed", "chr1\t0\t60\ta\n" * 2, True),
    "columns differ": ("t.bed", "chr1\t0\t60\ta\nchr1\t60\t120\n", True),
    "windows": ("t.bed", "chr1\t0\t60\ta\r\n", True),
    "truncated gzip": ("t.bed.gz", gzip.compress(BED.encode())[:60], False),
    "zeros": ("t.bed", b"\0" * 4096, False),
    "random bytes": ("t.bed", random.Random(0).randbytes(4096), False),
    "utf-16": ("t.bed", BED.encode("utf-16"), True),
}
ROWS = DNA.splitlines()


def labelled(sequence: str, target: str) -> str:
    """A table of 20 rows of two classes."""
    return ROWS[0] + "\n" + "".join(f"s{row},{sequence},{row % 2},{target}\n" for row in range(20))


LABELLED: dict[str, tuple[str, str | bytes, bool]] = {
    "no column": ("t.csv", DNA.replace("sequence,label,target", "a,b,c"), False),
    "header only": ("t.csv", ROWS[0] + "\n", False),
    "one row": ("t.csv", "\n".join(ROWS[:2]) + "\n", False),
    "no label": ("t.csv", DNA.replace(",0,", ",,").replace(",1,", ",,"), True),
    "no target": ("t.csv", labelled(ONE, ""), True),
    "text targets": ("t.csv", labelled(ONE, "much"), False),
    "infinite targets": ("t.csv", labelled(ONE, "inf"), False),
    "no sequences": ("t.csv", labelled("", "1"), False),
    "missing values": ("t.csv", DNA.replace(ROWS[5], "s4,,,"), False),
    "rows too long": ("t.csv", DNA.replace(ROWS[5], ROWS[5] + ",x,y"), False),
    "open quote": ("t.csv", DNA.replace("s4,", '"s4,'), True),
    "columns twice": ("t.csv", DNA.replace("id,sequence", "sequence,sequence"), False),
    "protein": ("t.csv", DNA.replace("TATAAT", "MKVLWE"), False),
    "zeros": ("t.csv", b"\0" * 4096, False),
    "truncated gzip": ("t.csv.gz", gzip.compress(DNA.encode())[:300], False),
    "utf-16": ("t.csv", DNA.encode("utf-16"), True),
}
CELLS = ("", "0", "-1", HUGE, "1e5", "x", "\0", "N", "ACGT", "acgu", "<DEL>", ".", "*", "é", ">", "@", "chr2")
CELLS += ("chr9", "\t")
FUZZED = 24


def cases() -> Iterator[Case]:
    """Every case."""
    for kind, commands, found in (
        ("sequences", (LABEL, SCORE), SEQUENCES),
        ("variants", (EFFECTS, EFFECTS.replace("o.csv", "o.vcf")), VARIANTS),
        ("intervals", (PLACES,), INTERVALS),
        ("labelled", (TRAIN, NUMBERS), LABELLED),
    ):
        for name, (file, content, meant) in found.items():
            for command in commands:
                named = f"{' '.join(command.split()[: 1 + command.startswith('dna')])}: {name}"
                output = command.split()[-1]
                given = command.format(file=file)
                yield Case(kind, named, given, (0, 1) if meant else (1,), text(file, content), (output,))
    for seed in range(FUZZED):
        for file, content, between, command in (
            ("t.fa", GENOME, "A", LABEL),
            ("t.vcf", VCF, "\t", EFFECTS),
            ("t.bed", BED, "\t", PLACES),
            ("t.csv", DNA, ",", TRAIN),
        ):
            data = fuzzed(content, random.Random(seed), CELLS, between)
            output = command.split()[-1]
            yield Case("fuzzed", f"{file} {seed}", command.format(file=file), (0, 1), text(file, data), (output,))
