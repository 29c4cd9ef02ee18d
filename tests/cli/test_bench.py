"""`titans-ts bench memory`: a table, a CSV that only grows, errors of one line; no test of a time."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from titans_cli.commands.bench.memory import provenance
from titans_cli.main import main
from titans_kernels.bench import rows as bench_rows
from titans_kernels.bench import run as bench
from titans_kernels.bench.child import Once
from titans_kernels.bench.records import POINT_COLUMNS, RESULT_COLUMNS, WHERE
from titans_recipes import memory_report as bench_report
from titans_ts.support.run_log import append_csv

TINY = ["bench", "memory", "--device", "cpu", "--shapes", "tiny", "--only", "chunked,triton", "--repeats", "1"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_a_csv_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, picture = tmp_path / "deep" / "rows.csv", tmp_path / "rows.png"
    assert main([*TINY, "--skip-peak", "--csv", str(rows), "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "tiny-mlp: memory 8-16-8, batch 1, 2 heads, T=24, C=8, float32" in out
    assert "forward ms" in out and "µs/token" in out and "of floor" in out and "× chunked" in out
    assert out.count("triton: needs CUDA tensors, these are on cpu") == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = read(rows)
    assert [(line["shape"], line["row"]) for line in found] == [
        (shape, row) for shape in ("tiny-mlp", "tiny-linear", "tiny-decode") for row in ("chunked", "triton")
    ]
    assert tuple(found[0]) == RESULT_COLUMNS
    mlp, refused, *_, decode, _ = found
    assert float(mlp["forward_min_ms"]) <= float(mlp["forward_ms"]) and mlp["times_chunked"] == "1"
    assert mlp["decode_us"] == "" and float(mlp["of_floor"]) < 1
    assert refused["forward_ms"] == "" and refused["note"].startswith("needs CUDA")
    assert float(decode["decode_us"]) > 0 and decode["forward_ms"] == ""
    assert mlp["torch"] and mlp["date"].endswith("Z") and mlp["machine"]


def test_the_csv_only_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.csv"
    arguments = [*TINY[:5], "tiny-linear", "--only", "chunked", "--repeats", "1", "--skip-peak", "--csv", str(rows)]
    assert main(arguments) == 0
    first = rows.read_text(encoding="utf-8")
    assert main(arguments) == 0
    both = rows.read_text(encoding="utf-8")
    assert both.startswith(first) and len(both.splitlines()) == 3
    assert list(tmp_path.iterdir()) == [rows]
    rows.write_text("other,columns\n1,2\n", encoding="utf-8")
    capsys.readouterr()
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and "has other columns than this version writes" in err and len(err.splitlines()) == 1
    assert rows.read_text(encoding="utf-8") == "other,columns\n1,2\n"


def test_where_the_csv_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TINY[:5], "tiny-linear", "--only", "chunked", "--repeats", "1", "--skip-peak", "--csv"]) == 0
    assert read(tmp_path / "benchmarks" / "memory.csv")


def test_a_broken_row_leaves_the_csv_as_it_was(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    append_csv(rows, ("a", "b"), [{"a": "1", "b": "2"}])
    with pytest.raises(ValueError):
        append_csv(rows, ("a", "b"), [{"a": "3", "b": "4"}, {"c": "5"}])
    assert rows.read_text(encoding="utf-8") == "a,b\n1,2\n"
    assert list(tmp_path.iterdir()) == [rows]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes", "mlp-9k"], "no shape named 'mlp-9k': choose among mlp-t64, mlp-c64-1k"),
        (["--shapes", "tiny", "--only", "fast"], "no row named 'fast': choose among reference, chunked, native"),
        (["--shapes", "tiny", "--only", "chunked-compiled"], "no row named 'chunked-compiled'"),
        (["--device", "tpu"], "--device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "memory", "--device", "cpu", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["bench"], "COMMAND"),
        (["bench", "attention"], "invalid choice: 'attention'"),
        (["bench", "memory", "--repeats", "0"], "expected a whole number ≥ 1, got '0'"),
        (["bench", "memory", "--limit", "-1"], "expected a number > 0"),
    ],
)
def test_usage_errors_exit_with_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom titans_cli.main import main\n"
        "try:\n    main(['bench', 'memory', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "--floors" in done.stdout and "tiny" not in done.stdout


def test_a_wrong_op_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = bench_rows.linear_memory

    def wrong(*args: Any, backend: str | None = None, **options: Any) -> Any:
        y, state = right(*args, backend=backend, **options)
        return (y if backend == "reference" else 1.01 * y), state

    monkeypatch.setattr(bench_rows, "linear_memory", wrong)
    arguments = [*TINY[:5], "tiny-linear", "--only", "chunked", "--skip-peak", "--csv", str(tmp_path / "rows.csv")]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "tiny-linear: chunked is wrong, so it is not timed: y differs from the reference by 1.0e-02" in err
    assert "forward ms" not in out and not (tmp_path / "rows.csv").exists()
    assert main([*arguments, "--scaling"]) == 1
    assert "µs/token" not in capsys.readouterr().out
    assert main([*arguments[:-2], "--skip-check", "--repeats", "1"]) == 0


def test_floors_need_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "memory", "--floors"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][0] == "H100"
    (forward,) = (line for line in lines if line[:2] == ["gpu-mlp-256", "forward"])
    gflop, megabytes, arithmetic, traffic, floor = map(float, forward[2:7])
    assert arithmetic == pytest.approx(gflop / 989, rel=1e-3) and traffic == pytest.approx(megabytes / 3350, rel=1e-3)
    assert floor == max(arithmetic, traffic) and forward[7] == "arithmetic"


def test_scaling_prints_a_line_a_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(order: Any, timeout: float) -> Once:
        tokens = order.calls * order.shape.T
        return Once(None, None, "out of memory") if order.training and tokens > 1024 else Once(tokens / 2e4, 1.5)

    monkeypatch.setattr(bench, "run_in_child", run)
    rows, picture = tmp_path / "rows.csv", tmp_path / "rows.svg"
    arguments = [*TINY[:5], "tiny-mlp", "--only", "chunked", "--scaling", "--csv", str(rows), "--plot", str(picture)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "1,048,576       50.00 µs/token         1.5 MiB" in out and "4,096  out of memory" in out
    found = read(rows)
    assert tuple(found[0]) == POINT_COLUMNS and [line["training"] for line in found] == ["False"] * 6 + ["True"] * 2
    assert found[5]["us_per_token"] == "50" and found[-1]["note"] == "out of memory"
    assert picture.read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_machine_and_versions_are_known() -> None:
    where = provenance(bench.Options())
    assert tuple(where) == WHERE and where["device"] == "cpu" and where["threads"] == "1"
    assert "torch 2" in bench_report.title(where)
