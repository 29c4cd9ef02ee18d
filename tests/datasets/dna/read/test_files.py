"""Sequence files of every kind, packed and plain; tables of places; what is wrong with a file is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from Bio import bgzf

from titans_datasets.dna import (
    DNAWarning,
    iterate_records,
    read_annotated,
    read_bed,
    read_records,
    read_vcf,
    record_batches,
)

FASTA = ">x one\nACG\nt\n\n>y\nNNA\n"
FASTQ = "@x one\nACGt\n+\nIIII\n@y\nNNA\n+y\n@@I\n"
GENBANK = """LOCUS       x                          4 bp    DNA     linear   UNK 01-JAN-1980
DEFINITION  .
ACCESSION   x
VERSION     x
FEATURES             Location/Qualifiers
     CDS             1..3
ORIGIN
        1 acgt
//
"""
VCF = "##x\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\nc1\t3\trs1\tg\tA,TT\t.\nc1\t4\t.\tNA\tC\t.\n"


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("pack", ["", ".gz", ".bgz", "hidden", "only named.gz", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.fa", FASTA), ("a.FASTA", FASTA), ("a.fastq", FASTQ), ("a.unknown", FASTA), ("b.txt", FASTQ)]
)
def test_records_of_every_format_and_packing(tmp_path: Path, name: str, text: str, pack: str) -> None:
    path = tmp_path / (name + (pack if "." in pack else ""))
    if pack == ".bgz":
        with bgzf.open(str(path), "wb") as file:
            file.write(text.encode())
    elif pack == "utf-16":
        path.write_bytes(text.encode("utf-16"))
    else:
        path.write_bytes(gzip.compress(text.encode()) if pack in (".gz", "hidden") else text.encode())
    records = read_records(path)
    assert records == [("x", "ACGt", None), ("y", "NNA", None)]
    assert list(iterate_records(path)) == records


def test_places_in_utf_16_or_only_named_gz(tmp_path: Path) -> None:
    for name, text, read in (("a.vcf", VCF, read_vcf), ("a.bed", "c1\t3\t9\ta\nc1\t4\t5\tb\n", read_bed)):
        plain = read(put(tmp_path / name, text))
        (tmp_path / f"other_{name}").write_bytes(text.encode("utf-16"))
        pd.testing.assert_frame_equal(read(tmp_path / f"other_{name}"), plain)
        pd.testing.assert_frame_equal(read(put(tmp_path / f"{name}.gz", text)), plain)


def test_batches_hold_what_the_file_holds(tmp_path: Path) -> None:
    fasta = put(tmp_path / "a.fa", "".join(f">r{i}\n{'ACGT' * (i + 1)}\n" for i in range(7)))
    table = put(tmp_path / "a.csv", "name,seq\n" + "".join(f"r{i},{'ACGT' * (i + 1)}\n" for i in range(7)))
    whole = read_records(fasta)
    for path, columns in ((fasta, {}), (table, {"sequence_column": "seq", "id_column": "name"})):
        batches = list(record_batches(path, records=3, bases=40, **columns))
        assert [len(batch) for batch in batches] == [3, 2, 1, 1]
        assert [record for batch in batches for record in batch] == whole
    rows = record_batches(table, sequence_column="seq", records=2)
    assert [record.id for batch in rows for record in batch] == list("0123456")
    for text, message in (("name,seq\n", "no rows"), ("name,seq\na,AC\nb,\n", "line 3: column 'seq' is empty")):
        with pytest.raises(ValueError, match=message):
            list(record_batches(put(tmp_path / "b.csv", text), sequence_column="seq", records=1))
    with pytest.raises(ValueError, match=r"record 2 \(y\) is empty"):
        list(record_batches(put(tmp_path / "b.fa", ">x\nACGT\n>y\n")))


def test_genbank(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gb", GENBANK)
    assert [record[:2] for record in read_records(path)] == [("x", "ACGT")]
    (record,) = read_annotated(path)
    assert [feature.type for feature in record.features] == ["CDS"]
    with pytest.raises(ValueError, match=r"must be a GenBank file \(\.gb, .* got fasta"):
        read_annotated(put(tmp_path / "a.fa", FASTA))
    without = put(
        tmp_path / "b.gb", GENBANK.replace("        1 acgt\n", "").replace("ORIGIN\n", "CONTIG      join(y:1..4)\n")
    )
    for read in (read_records, read_annotated):
        with pytest.raises(ValueError, match=r"b\.gb: record x has a length but no letters"):
            read(without)


def test_tables_keep_the_sequence_that_looks_like_a_missing_value(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,sequence,label,more\np,NA,1,x\nq, acgt ,0,\n")
    assert read_records(path) == [("0", "NA", 1), ("1", "acgt", 0)]
    assert read_records(path, id_column="id")[1] == ("q", "acgt", 0)
    assert read_records(path, label_column=None)[0] == ("0", "NA", None)
    other = put(tmp_path / "b.tsv", "seq\tclass\nAC\tpromoter\n")
    assert read_records(other, sequence_column="seq", label_column="class") == [("0", "AC", "promoter")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.fa", "; note\n>x\nAC\n", r"a\.fa, line 1: a FASTA file begins with '>', got '; note'"),
        ("a.fa", "\nACGT\n", r"a\.fa, line 2: a FASTA file begins with '>', got 'ACGT'"),
        ("a.fa", ">x\n>y\nA\n", r"a\.fa: record 1 \(x\) is empty: remove it"),
        ("a.fa", ">y\nA\n> \nA\n", r"a\.fa: record 2 has no name"),
        ("a.fa", ">x 1\nA\n>y\nA\n>x 2\nC\n", r"a\.fa: records 1 and 3 are both named x: rename or remove one"),
        ("a.fa", "\n\n", "holds no sequence"),
        ("a.fa", "", r"is empty \(0 bytes\)"),
        ("a.fq", "@x\nACGT\n+\nIII\n", r"a\.fq: .*[Ll]ength"),
        ("a.txt", "hello", "unknown format of .*: give it as one of fasta, "),
        ("a.csv", "seq,label\nA,1\n", "no column 'sequence', only seq, label: rename it"),
        ("a.csv", "sequence,class\nA,1\n", "no column 'label', only sequence, class"),
        ("a.csv", "sequence,label\nA,1\nC,\n", "line 3: column 'label' is empty"),
        ("a.csv", "sequence,label\nA,1\n ,0\n", "line 3: column 'sequence' is empty"),
        ("a.csv", "sequence,label\n", "column names but no rows"),
        ("a.csv", "\n", "is not a table"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_records(put(tmp_path / name, text))


def test_files_that_are_not_there_or_not_whole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.fa does not exist: check the path"):
        read_records(tmp_path / "none.fa")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_records(tmp_path, format="fasta")
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(b"".join(b">x%d\nACGT\n" % i for i in range(999)))[:-20])
    with pytest.raises(ValueError, match=r"a\.fa\.gz is truncated .*: get it again"):
        read_records(tmp_path / "a.fa.gz")
    with pytest.raises(ValueError, match="format must be one of fasta, fastq, genbank, csv, tsv, parquet, got 'bam'"):
        read_records(tmp_path / "a.fa.gz", format="bam")
    with pytest.raises(ValueError, match="no built-in DNA 'yeast': there are chloroplast"):
        read_records("builtin:yeast")


def test_names_that_come_twice_can_be_allowed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.fa", ">x\nA\n>x\nC\n")
    assert [record.sequence for record in read_records(path, unique_ids=False)] == ["A", "C"]


def test_bed(tmp_path: Path) -> None:
    text = "track name=x\n#c\nchr1\t0\t5\ta gene\t0\t-\t0\nchr2\t3\t4\tb\t1\t+\t0\n"
    frame = read_bed(put(tmp_path / "a.bed", text))
    assert frame.to_dict("list") == {
        "chrom": ["chr1", "chr2"],
        "start": [0, 3],
        "end": [5, 4],
        "name": ["a gene", "b"],
        "score": ["0", "1"],
        "strand": ["-", "+"],
    }
    assert read_bed(put(tmp_path / "b.bed", "1 0 5\n2 3 4\n")).columns.tolist() == ["chrom", "start", "end"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t5\n", "line 1: expected 0 ≤ start < end, got start 5, end 5"),
        ("#\nchr1\t5\t9\nchr1\t7\t2\n", "line 3: .* got start 7, end 2"),
        ("chr1\t5\n", "line 1: expected chrom, start, end"),
        ("chr1\t-1\t5\n", "start must be a whole number, got '-1' in line 1"),
        ("chr1\t1\t5.0\n", "end must be a whole number, got '5.0' in line 1"),
        ("# nothing\n", "has no interval"),
    ],
)
def test_bed_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_bed(put(tmp_path / "a.bed", text))


def test_vcf(tmp_path: Path) -> None:
    expected = pd.DataFrame(
        [("c1", 3, "G", "A", "rs1"), ("c1", 3, "G", "TT", "rs1"), ("c1", 4, "NA", "C", ".")],
        columns=["chrom", "pos", "ref", "alt", "id"],
    )
    pd.testing.assert_frame_equal(read_vcf(put(tmp_path / "a.vcf", VCF)), expected)
    symbolic = put(tmp_path / "b.vcf", VCF.replace("TT", "<DEL>"))
    with pytest.raises(ValueError, match="c1:3 G><DEL>: ALT must be letters"):
        read_vcf(symbolic)
    with pytest.warns(DNAWarning, match="alleles without letters skipped: 1, first c1:3 G><DEL>"):
        found = read_vcf(symbolic, symbolic="skip")
    pd.testing.assert_frame_equal(found, expected.iloc[[0, 2]].reset_index(drop=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#CHROM\tPOS", "#POS\tCHROM", "line 2: expected the header #CHROM POS ID REF ALT"),
        ("\t3\t", "\t0\t", "line 3: POS counts from 1, got 0"),
        ("\t4\t", "\tx\t", "POS must be a whole number, got 'x' in line 4"),
        ("\tg\t", "\tR\t", "c1:3 R>A: REF must be letters"),
        (VCF[VCF.index("c1") :], "", "holds a header but no site"),
        (VCF, "##only\n", "expected the header"),
    ],
)
def test_vcf_errors(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_vcf(put(tmp_path / "a.vcf", VCF.replace(old, new)))
