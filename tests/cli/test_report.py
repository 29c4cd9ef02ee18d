"""`--report` of the commands: the file is there, refusals come before any work, and other outputs stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.genomics.common import classifier, sequences
from titans_cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series, labelled sequences, a classifier, a genome and its variants."""
    place = tmp_path_factory.mktemp("report")
    days = pd.date_range("2024-01-01", periods=60)
    rng = np.random.default_rng(0)
    rows = [pd.DataFrame({"item_id": x, "timestamp": days, "target": rng.normal(9, 1, 60)}) for x in ("a", "<b>b</b>")]
    pd.concat(rows).to_csv(place / "series.csv", index=False)
    texts, labels = sequences(60)
    pd.DataFrame({"sequence": texts, "label": labels}).to_csv(place / "labelled.csv", index=False)
    classifier(max_epochs=1).fit(texts, labels).save(place / "model")
    (place / "few.fa").write_text(
        "".join(f">s{i}<script>alert(1)</script>\n{text}\n" for i, text in enumerate(texts[:2]))
    )
    genome = "".join(sequences(20, seed=3)[0])
    (place / "genome.fa").write_text(f">chr1\n{genome}\n")
    alt = "A" if genome[99] != "A" else "C"
    (place / "v.vcf").write_text(f"#CHROM\tPOS\tID\tREF\tALT\nchr1\t100\t.\t{genome[99]}\t{alt}\n")
    return place


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short names of files."""
    monkeypatch.chdir(folder)
    yield


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("forecast series.csv --horizon 3 --pretrained --backtest-windows 1", "How good it was: the backtest"),
        ("detect series.csv --false-alarm-rate 0.2 --context 16", "False-alarm rate"),
        ("classify labelled.csv --test labelled.csv --model model", "Precision and recall"),
        ("dna effects few.fa --model model", "The strongest substitutions"),
        ("dna effects --vcf v.vcf --fasta genome.fa --window 30 --model model", "Along the chromosomes"),
    ],
)
def test_a_report_is_written_and_named(argv: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv.split(), "--report", "out/report.html"]) == 0
    assert "out/report.html" in capsys.readouterr().out
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert told in page
    assert "<b>b</b>" not in page and "<script>alert" not in page


def test_a_cross_validation_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    argv = "classify labelled.csv --cv 2 --max-epochs 0 --quiet --report cv.html"
    assert main(argv.split()) == 0
    assert "Mean over the folds" in Path("cv.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "argv",
    [
        "forecast series.csv --horizon 3",
        "detect series.csv",
        "classify labelled.csv --test labelled.csv",
        "dna effects few.fa --model model",
    ],
)
def test_another_suffix_is_refused_in_one_line(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv.split(), "--report", "report.pdf"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--report report.pdf: expected a name ending in .html or .htm" in error


def test_labelling_has_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "few.fa", "--model", "model", "--report", "x.html"]) == 1
    assert "--report is for labelled sequences" in capsys.readouterr().err
