"""A VCF with one more entry of INFO: every other byte stays."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from titans_datasets.dna import DNAWarning, annotate_vcf, read_vcf

META = '##fileformat=VCFv4.2\n##source="caf\xe9 ; \tx"\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
SITES = (
    "1\t5\trs1\tA\tC,<DEL>,g\t.\tPASS\tDP=3;DB\tGT\t0/1\n",
    "1\t9\t.\tAC\tA\t1e-3\t.\t.\tGT\t1|1\n",
    "2\t1\t.\tG\t*\t.\t.\tX\tGT\t.\n",
)


def restored(found: bytes) -> bytes:
    """Without the header line and the entries."""
    lines = [line for line in found.splitlines(keepends=True) if not line.startswith(b"##INFO=<ID=TITANS_EFFECT")]
    kept = []
    for line in lines:
        cells = line.split(b"\t")
        if not line.startswith(b"#") and len(cells) > 7:
            entries = [one for one in cells[7].split(b";") if not one.startswith(b"TITANS_EFFECT=")]
            cells[7] = b";".join(entries) or b"."
        kept.append(b"\t".join(cells))
    return b"".join(kept)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_everything_else_stays(tmp_path: Path, end: str, packed: bool) -> None:
    text = (META + COLUMNS + "".join(SITES)).replace("\n", end).encode("latin-1")
    source, path = (tmp_path / f"{name}.vcf{'.gz' if packed else ''}" for name in "ab")
    source.write_bytes(gzip.compress(text) if packed else text)
    with pytest.warns(DNAWarning, match="skipped: 2"):
        assert len(read_vcf(source, symbolic="skip")) == 3
    assert annotate_vcf(source, path, [0.5, float("nan"), -2e-7], of='class "x"') == 3
    found = path.read_bytes()
    if packed:
        assert found[:2] == b"\x1f\x8b" and found[12:14] == b"BC"
        found = gzip.decompress(found)
    assert restored(found) == text
    infos = [line.split(b"\t")[7] for line in found.splitlines() if not line.startswith(b"#")]
    assert infos == [b"DP=3;DB;TITANS_EFFECT=0.5,.,.", b"TITANS_EFFECT=-2e-07", b"X;TITANS_EFFECT=."]
    (header,) = [line for line in found.splitlines() if b"TITANS_EFFECT" in line and line.startswith(b"##")]
    assert header.startswith(b"##INFO=<ID=TITANS_EFFECT,Number=A,Type=Float,") and rb"(class \"x\")" in header


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        (META + COLUMNS + SITES[1], [1.0, 2.0], "fewer alleles than there are values"),
        (META + COLUMNS + SITES[1] + SITES[0], [1.0, 2.0], "line 5: there are more alleles than values"),
        (META + SITES[1], [1.0], "line 3: expected the header #CHROM"),
        (META + COLUMNS + "1\t9\t.\tAC\tA\n", [1.0], "line 4: expected 8 columns or more"),
        (META + COLUMNS + SITES[1].replace("\t.\tGT", "\tTITANS_EFFECT=1\tGT"), [1.0], "line 4: INFO has the entry"),
        ("##INFO=<ID=TITANS_EFFECT,Number=1>\n" + COLUMNS + SITES[1], [1.0], "line 1: the file has the entry"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, values: list[float], message: str) -> None:
    (tmp_path / "a.vcf").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        annotate_vcf(tmp_path / "a.vcf", tmp_path / "b.vcf", values)
    assert [one.name for one in tmp_path.iterdir()] == ["a.vcf"]
