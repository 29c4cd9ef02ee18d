"""The public benchmark sets: their table, splits and protocols, and errors that say what to do. No network."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesWarning, electricity_price, long_horizon, m4, monash, to_records
from titans_datasets.series.public.catalogue import FILES, LONG_HORIZON, M4, MARKETS, MONASH

TSF = "@attribute series_name string\n@attribute start_timestamp date\n@frequency monthly\n@data\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TITANS_TS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def resize(monkeypatch: pytest.MonkeyPatch, name: str, rows: int | None, columns: int | None = None) -> None:
    monkeypatch.setitem(FILES, name, FILES[name]._replace(rows=rows, columns=columns))


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def table(rows: int, columns: int, freq: str = "h") -> pd.DataFrame:
    frame = pd.DataFrame(np.random.default_rng(0).normal(3, 2, (rows, columns))).add_prefix("v")
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=rows, freq=freq))
    return frame


def prices(rows: int, *names: str) -> pd.DataFrame:
    frame = pd.DataFrame({name: np.arange(rows) + 1000.0 * i for i, name in enumerate(names)})
    frame.insert(0, "Date", pd.date_range("2013-01-01", periods=rows, freq="h").strftime("%Y/%m/%d %H:%M"))
    return frame


def test_the_table_is_complete_and_sound() -> None:
    # aus_elec is the demand of five states, which has a loader of its own.
    assert len(FILES) == len(LONG_HORIZON) + len(MARKETS) + 2 * len(M4) + len(MONASH) + 1
    assert {*LONG_HORIZON, "aus_elec"} <= {*FILES}
    for name, file in FILES.items():
        assert file.address.startswith("https://") and file.home.startswith("https://") and file.credit, name
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256), name
        assert file.places[0].count("/") == 1 and all(place.endswith((".csv", ".tsf")) for place in file.places), name
    sums = [file.sha256 for file in FILES.values() if file.sha256]
    assert len(sums) == len({*sums}) == 10


@pytest.mark.parametrize("name", ["ETTh2", "ETTm1"])
def test_ett_is_split_by_months(folder: Path, name: str) -> None:
    steps = 720 * (4 if name == "ETTm1" else 1)
    with pytest.warns(SeriesWarning, match=r"expected .* rows × 7 value columns, got .* rows × 1 value column"):
        table(20 * steps + 50, 1).to_csv(put(folder / "ETT-small" / f"{name}.csv", ""), index=False)
        task = long_horizon(name, 96, 48)
    assert [len(w) for w in (task.train, task.validation, task.test)] == [
        12 * steps - 96 - 48 + 1,
        4 * steps - 48 + 1,
        4 * steps - 48 + 1,
    ]
    assert int(task.store.lengths[0]) == 20 * steps


def test_other_sets_are_split_by_ratio_and_scaled_by_the_train_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize(monkeypatch, "ILI", 333, 2)
    frame = table(333, 2, "7D")
    put(folder / "illness" / "national_illness.csv.gz", frame.to_csv(index=False))
    task = long_horizon("ILI", 36, 24)
    train, validation, test = 233, 34, 66
    assert [len(w) // 2 for w in (task.train, task.validation, task.test)] == [train - 59, validation - 23, test - 23]
    assert int(task.test.positions[0]) == train + validation and int(task.test.positions[-1]) == 333 - 24
    values = frame["v1"].to_numpy()
    expected = (values - values[:train].mean()) / values[:train].std()
    last = task.store.batch(task.test.take(slice(-1, None)))
    np.testing.assert_allclose(last["future_target"][0].numpy(), expected[-24:], rtol=1e-6)
    np.testing.assert_allclose(task.store.item_loc.numpy(), 0, atol=1e-6)


def test_latin_1_header(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resize(monkeypatch, "Weather", 300, 1)
    put(folder / "weather.csv", table(300, 1).rename(columns={"v0": "µmol"}).to_csv(index=False).encode("latin-1"))
    assert long_horizon("Weather", 10, 5).store.item_ids == ["µmol"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.iloc[:-1], "expected 300 rows × 2 value columns, got 299 rows × 2 value columns"),
        (lambda f: f.drop(columns="v1"), "expected 300 rows × 2 value columns, got 300 rows × 1 value column;"),
        (lambda f: f.assign(v1="x"), "expected numbers in every column, got text in 'v1'"),
        (lambda f: f.assign(v1=f.v1.where(f.index != 7)), r"got nan in data row 8, column 'v1' \(1 such cell\)"),
    ],
)
def test_wrong_content(folder: Path, monkeypatch: pytest.MonkeyPatch, change, message: str) -> None:  # type: ignore[no-untyped-def]
    resize(monkeypatch, "Exchange", 300, 2)
    put(folder / "exchange_rate.csv", change(table(300, 2)).to_csv(index=False))
    with pytest.raises(ValueError, match=message):
        long_horizon("Exchange", 10, 5)


def test_a_short_ett_file_and_windows_that_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "ett" / "ETTh1.csv", table(14_399, 7).to_csv(index=False))
    with pytest.raises(ValueError, match=r"expected 17,420 rows × 7 value columns, got 14,399"):
        long_horizon("ETTh1", 96, 96)
    resize(monkeypatch, "ILI", 100, 1)
    put(folder / "national_illness.csv", table(100, 1).to_csv(index=False))
    with pytest.raises(ValueError, match="no validation window fits context_length = 20 and horizon = 15"):
        long_horizon("ILI", 20, 15)


@pytest.mark.parametrize(
    ("market", "columns", "covariates"),
    [
        ("NP", (" Price", " Grid load forecast", " Wind power forecast"), ("load_forecast", "wind_forecast")),
        ("BE", (" Generation forecast", " System load forecast", "OT"), ("generation_forecast", "load_forecast")),
        ("DE", ("Price", "Ampirion Load Forecast", "PV+Wind Forecast"), ("wind_solar_forecast", "load_forecast")),
        (
            "PJM",
            (" Zonal COMED price", " System load forecast", " Zonal COMED load foecast"),
            ("system_load_forecast", "zonal_load_forecast"),
        ),
    ],
)
def test_electricity_prices(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    market: str,
    columns: tuple[str, str, str],
    covariates: tuple[str, str],
) -> None:
    resize(monkeypatch, f"epf:{market}", 600, 3)
    source = prices(600, *columns)
    put(folder / "EPF" / f"{market}.csv", source.to_csv(index=False))
    task = electricity_price(market)
    assert list(task.frame.columns) == ["item_id", "timestamp", "target", *covariates]
    assert task.cutoffs == tuple(range(120, 600, 24)) and (task.horizon, task.season) == (24, 24)
    assert task.quantiles == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    price = next(name for name in columns if name == "OT" or "rice" in name)
    assert task.frame["target"].tolist() == source[price].tolist()
    record = to_records(task.frame, task.schema).records[0]
    assert (record.item_id, record.freq, record.start) == (market, "h", pd.Timestamp("2013-01-01"))
    assert record.feat_dynamic_real is not None and record.feat_dynamic_real.shape == (2, 600)


def test_price_columns_that_are_not_those_of_the_market(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resize(monkeypatch, "epf:NP", 600, 3)
    put(folder / "NP.csv", prices(600, "Price", "Load", "Sun").to_csv(index=False))
    with pytest.raises(ValueError, match="one each with 'load' and 'wind', got 'Price', 'Load', 'Sun'"):
        electricity_price("NP")
    resize(monkeypatch, "epf:NP", 52_416, 3)
    with pytest.raises(ValueError, match="expected 52,416 rows × 3 value columns, got 600 rows × 3"):
        electricity_price("NP")


def m4_files(folder: Path, frequency: str, train: str, test: str) -> None:
    for part, lines in (("train", train), ("test", test)):
        width = max(line.count(",") for line in lines.splitlines())
        header = ",".join(f'"V{i}"' for i in range(1, width + 2))
        put(folder / "m4" / f"{frequency}-{part}.csv.gz", f"{header}\n{lines}")


def test_m4(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        resize(monkeypatch, f"m4:Weekly-{part}", 2, 13 if part == "test" else None)
    ahead = ",".join(f'"{i}"' for i in range(13))
    m4_files(folder, "Weekly", '"W1","1","2.5","4"\n"W2","7","8",\n', f'"W2",{ahead}\n"W1",{ahead}\n')
    task = m4("Weekly")
    assert [record.target.tolist() for record in task.train] == [[1, 2.5, 4], [7, 8]]
    assert task.test.shape == (2, 13) and (task.horizon, task.season) == (13, 1)
    assert [(record.item_id, record.freq) for record in task.train] == [("W1", "7D"), ("W2", "7D")]


def test_m4_yearly_stays_within_pandas_years(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        resize(monkeypatch, f"m4:Yearly-{part}", 1, None)
    m4_files(folder, "Yearly", "Y1," + ",".join(map(str, range(835))) + "\n", "Y1,1,2,3,4,5,6\n")
    task = m4("Yearly")
    assert task.train[0].target[0] == 335 and task.notes == ["1 series cut to their last 500 values"]
    assert task.train[0].future_index(6)[-1].year == 2205


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("H1,1,2\n", "H2,3,4\n", "train and test differ in series 'H1', 'H2'"),
        ("H1,1,x\n", "H1,3,4\n", "line 2: values must be numbers"),
        ("H1,1\nH1,2\n", "H1,3,4\n", "line 3: series 'H1' comes up twice"),
        ("H1,,\n", "H1,3,4\n", "line 2: series 'H1' has no values"),
        ("H1,1\n", "H1,3\n", "expected 1 row × 2 value columns, got 1 row × 1 value column;"),
        ("H1,1\nH2,1\n", "H1,3,4\n", "expected 1 row, got 2 rows;"),
        ("H1,1\n", "H1,3,\n", "expected 2 values per series, got another number in 'H1'"),
    ],
)
def test_m4_wrong_content(folder: Path, monkeypatch: pytest.MonkeyPatch, train: str, test: str, message: str) -> None:
    resize(monkeypatch, "m4:Hourly-train", 2 if train.count("H1") == 2 else 1)
    resize(monkeypatch, "m4:Hourly-test", 1, 2)
    m4_files(folder, "Hourly", train, test)
    with pytest.raises(ValueError, match=message):
        m4("Hourly")


def test_monash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resize(monkeypatch, "monash:hospital", 4)
    lines = [
        f"T{i}:2000-01-01 00-00-00:" + ",".join(map(str, range(length))) for i, length in enumerate((14, 20, 12, 5))
    ]
    put(folder / "monash" / "hospital_dataset.tsf.gz", TSF + "\n".join(lines))
    task = monash("hospital")
    assert [record.target.tolist() for record in task.train] == [[0, 1], list(range(8))]
    np.testing.assert_array_equal(task.test, [range(2, 14), range(8, 20)])
    assert (task.horizon, task.season, task.notes) == (12, 12, ["2 series of at most 12 steps left out"])
    resize(monkeypatch, "monash:hospital", 767)
    with pytest.raises(ValueError, match="expected 767 series, got 4 series"):
        monash("hospital")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (
            lambda: long_horizon("etth1", 96, 96),
            r"unknown set 'etth1': did you mean 'ETTh1'\? choose among ETTh1, ETTh2",
        ),
        (lambda: electricity_price("UK"), "unknown market 'UK': choose among NP, PJM, BE, FR, DE"),
        (lambda: m4("hourly"), "unknown M4 frequency 'hourly': did you mean 'Hourly'"),
        (lambda: monash("hospitals"), "unknown Monash set 'hospitals': did you mean 'hospital'"),
    ],
)
def test_unknown_names(load, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        load()


@pytest.mark.parametrize(
    "load", [lambda: long_horizon("ECL", 96, 96), lambda: electricity_price("FR"), lambda: m4("Daily")]
)
def test_missing_files(folder: Path, load) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        FileNotFoundError, match=r"is not here: get it from https://.* put it at .*data/.*download=True"
    ):
        load()
