"""The public benchmark sets: one table of files, and the protocol of each set.

Checksums are given where an official copy was available; the other files are recognised by their number of rows and
columns (`DataFile.rows`, `DataFile.columns`).
"""

from __future__ import annotations

from typing import NamedTuple


class DataFile(NamedTuple):
    """A file of a benchmark set.

    Args:
        address: where the official file is downloaded from; a .zip holds it as its one .tsf member.
        places: accepted paths below the data folder, best first; each also with ".gz" appended.
        home: the page where a person can get it.
        credit: source and licence in one line.
        rows: data rows (csv) or series (tsf), None where unknown.
        columns: value columns besides the first one, None where unknown or meaningless.
        sha256: checksum of the unpacked file, None where no official copy was available.
    """

    address: str
    places: tuple[str, ...]
    home: str
    credit: str
    rows: int | None = None
    columns: int | None = None
    sha256: str | None = None


class LongHorizonSet(NamedTuple):
    """Frequency, and the split in steps (train, validation, test); None where it is 70/10/20 % of the rows."""

    freq: str
    split: tuple[int, int, int] | None = None


class Market(NamedTuple):
    """Covariates of a market: our name, and a word by which the file's column is recognised."""

    covariates: tuple[tuple[str, str], tuple[str, str]]


class M4Frequency(NamedTuple):
    """Series, horizon, season of the competition's MASE, and pandas alias of the step."""

    series: int
    horizon: int
    season: int
    freq: str


class MonashSet(NamedTuple):
    """Zenodo record, file name without suffix, horizon of the archive's evaluation, number of series where known."""

    record: int
    stem: str
    horizon: int
    series: int | None = None


_MONTH = 30 * 24
_HOURLY = (12 * _MONTH, 4 * _MONTH, 4 * _MONTH)
_QUARTER_HOURLY = (48 * _MONTH, 16 * _MONTH, 16 * _MONTH)
LONG_HORIZON = {
    "ETTh1": LongHorizonSet("h", _HOURLY),
    "ETTh2": LongHorizonSet("h", _HOURLY),
    "ETTm1": LongHorizonSet("15min", _QUARTER_HOURLY),
    "ETTm2": LongHorizonSet("15min", _QUARTER_HOURLY),
    "Weather": LongHorizonSet("10min"),
    "Exchange": LongHorizonSet("D"),
    "ECL": LongHorizonSet("h"),
    "Traffic": LongHorizonSet("h"),
    "ILI": LongHorizonSet("7D"),
}
_GENERATION_AND_LOAD = (("generation_forecast", "generation"), ("load_forecast", "load"))
MARKETS = {
    "NP": Market((("load_forecast", "load"), ("wind_forecast", "wind"))),
    "PJM": Market((("system_load_forecast", "system"), ("zonal_load_forecast", "zonal"))),
    "BE": Market(_GENERATION_AND_LOAD),
    "FR": Market(_GENERATION_AND_LOAD),
    # The carriers name the second column "Wind power forecast" and "PV+Wind Forecast".
    "DE": Market((("wind_solar_forecast", "wind"), ("load_forecast", "load"))),
}
M4 = {
    "Yearly": M4Frequency(23_000, 6, 1, "YS"),
    "Quarterly": M4Frequency(24_000, 8, 4, "QS"),
    "Monthly": M4Frequency(48_000, 18, 12, "MS"),
    "Weekly": M4Frequency(359, 13, 1, "7D"),
    "Daily": M4Frequency(4_227, 14, 1, "D"),
    "Hourly": M4Frequency(414, 48, 24, "h"),
}
# Horizons: the file's @horizon line, else what the archive's own evaluation takes (experiments/fixed_horizon.R of
# github.com/rakshitha123/TSForecasting), else the 30 steps of its other daily sets (vehicle_trips) and the week of its
# elecdemand (australian_electricity_demand). Not here: cif_2016, whose horizons differ by series, and m4_yearly, which
# reaches beyond the years that pandas can hold (`m4("Yearly")` cuts it).
MONASH = {
    "m1_yearly": MonashSet(4656193, "m1_yearly_dataset", 6, 181),
    "m1_quarterly": MonashSet(4656154, "m1_quarterly_dataset", 8, 203),
    "m1_monthly": MonashSet(4656159, "m1_monthly_dataset", 18, 617),
    "m3_yearly": MonashSet(4656222, "m3_yearly_dataset", 6, 645),
    "m3_quarterly": MonashSet(4656262, "m3_quarterly_dataset", 8, 756),
    "m3_monthly": MonashSet(4656298, "m3_monthly_dataset", 18, 1428),
    "m3_other": MonashSet(4656335, "m3_other_dataset", 8),
    "m4_quarterly": MonashSet(4656410, "m4_quarterly_dataset", 8),
    "m4_monthly": MonashSet(4656480, "m4_monthly_dataset", 18),
    "m4_weekly": MonashSet(4656522, "m4_weekly_dataset", 13, 359),
    "m4_daily": MonashSet(4656548, "m4_daily_dataset", 14),
    "m4_hourly": MonashSet(4656589, "m4_hourly_dataset", 48, 414),
    "tourism_yearly": MonashSet(4656103, "tourism_yearly_dataset", 4, 518),
    "tourism_quarterly": MonashSet(4656093, "tourism_quarterly_dataset", 8, 427),
    "tourism_monthly": MonashSet(4656096, "tourism_monthly_dataset", 24, 366),
    "nn5_daily": MonashSet(4656117, "nn5_daily_dataset_without_missing_values", 56),
    "nn5_weekly": MonashSet(4656125, "nn5_weekly_dataset", 8),
    "car_parts": MonashSet(4656021, "car_parts_dataset_without_missing_values", 12),
    "hospital": MonashSet(4656014, "hospital_dataset", 12, 767),
    "fred_md": MonashSet(4654833, "fred_md_dataset", 12, 107),
    "covid_deaths": MonashSet(4656009, "covid_deaths_dataset", 30),
    "dominick": MonashSet(4654802, "dominick_dataset", 8),
    "weather": MonashSet(4654822, "weather_dataset", 30),
    "us_births": MonashSet(4656049, "us_births_dataset", 30, 1),
    "saugeenday": MonashSet(4656058, "saugeenday_dataset", 30, 1),
    "sunspot": MonashSet(4654722, "sunspot_dataset_without_missing_values", 30, 1),
    "vehicle_trips": MonashSet(5122537, "vehicle_trips_dataset_without_missing_values", 30, 329),
    "traffic_weekly": MonashSet(4656135, "traffic_weekly_dataset", 8, 862),
    "traffic_hourly": MonashSet(4656132, "traffic_hourly_dataset", 168),
    "electricity_weekly": MonashSet(4656141, "electricity_weekly_dataset", 8, 321),
    "electricity_hourly": MonashSet(4656140, "electricity_hourly_dataset", 168),
    "solar_weekly": MonashSet(4656151, "solar_weekly_dataset", 5, 137),
    "solar_10_minutes": MonashSet(4656144, "solar_10_minutes_dataset", 1008),
    "pedestrian_counts": MonashSet(4656626, "pedestrian_counts_dataset", 24),
    "kdd_cup_2018": MonashSet(4656756, "kdd_cup_2018_dataset_without_missing_values", 168),
    "kaggle_web_traffic_weekly": MonashSet(4656664, "kaggle_web_traffic_weekly_dataset", 8),
    "australian_electricity_demand": MonashSet(4659727, "australian_electricity_demand_dataset", 336),
}


def _ett(name: str, rows: int, sha256: str | None = None) -> DataFile:
    file = f"{name}.csv"
    return DataFile(
        # A fixed commit: the checksums are those of its files.
        f"https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/{file}",
        (f"ett/{file}", f"ETT-small/{file}", file),
        "https://github.com/zhouhaoyi/ETDataset",
        "Zhou et al. 2021 (Informer), CC BY-ND 4.0",
        rows,
        7,
        sha256,
    )


def _library(path: str, credit: str, rows: int, columns: int, sha256: str | None = None) -> DataFile:
    """A file of the collection that the authors of Autoformer and TimesNet publish."""
    home = "https://huggingface.co/datasets/thuml/Time-Series-Library"
    places = (path, path.partition("/")[2])
    return DataFile(f"{home}/resolve/main/{path}", places, home, credit, rows, columns, sha256)


def _market(name: str) -> DataFile:
    home = "https://zenodo.org/records/4624805"
    places = (f"epf/EPF_{name}.csv", f"EPF/{name}.csv", f"epf/{name}.csv", f"EPF_{name}.csv", f"{name}.csv")
    credit = "Lago et al. 2021 (epftoolbox), licence on the Zenodo record"
    return DataFile(f"{home}/files/{name}.csv", places, home, credit, 52_416, 3)


def _m4(frequency: str, part: str) -> DataFile:
    file = f"{frequency}-{part}.csv"
    commit = "6c1067e5a57161249b17289a565178dc7a3fb3ca"
    folder = f"Dataset/{part.capitalize()}"
    entry = M4[frequency]
    return DataFile(
        f"https://raw.githubusercontent.com/Mcompetitions/M4-methods/{commit}/{folder}/{file}",
        (f"m4/{file}", f"m4/{folder}/{file}", f"{folder}/{file}", file),
        "https://github.com/Mcompetitions/M4-methods",
        "Makridakis et al. 2020, no licence stated (the Monash archive republishes M4 as CC BY 4.0)",
        entry.series,
        entry.horizon if part == "test" else None,
        _M4_SHA256.get(f"{frequency}-{part}"),
    )


def _monash(entry: MonashSet) -> DataFile:
    home, file = f"https://zenodo.org/records/{entry.record}", f"{entry.stem}.tsf"
    credit = "Godahewa et al. 2021 (Monash archive), CC BY 4.0"
    return DataFile(f"{home}/files/{entry.stem}.zip", (f"monash/{file}", file), home, credit, entry.series)


_M4_SHA256 = {
    "Hourly-train": "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
    "Hourly-test": "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
    "Weekly-train": "d478d3f6ed673e6ed3c2cb0fbed5425f72eedd51318ebebeb0b5ecfcefc37714",
    "Weekly-test": "3b2bc4be8e636e802260dcd843ca3c5da40536a1fbe1ecb3229a97dae4f44688",
    "Daily-test": "633b0815626ae266d36872c4d53e95eb93ee8d43e79587fceec519eba3e6b05e",
    "Quarterly-test": "bf1cab3b969a744c220cdc148e3829803eaa5da2754270fc4f376e775cd7d0ae",
    "Yearly-test": "6dc2dd45b3af320389e2d3735cb4b3cdf320b63cbcda15d1a17193ab99702306",
}
FILES: dict[str, DataFile] = {
    "ETTh1": _ett("ETTh1", 17_420, "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"),
    "ETTh2": _ett("ETTh2", 17_420),
    "ETTm1": _ett("ETTm1", 69_680, "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e"),
    "ETTm2": _ett("ETTm2", 69_680),
    "Weather": _library(
        "weather/weather.csv",
        "Max Planck Institute for Biogeochemistry, Jena (www.bgc-jena.mpg.de/wetter), free for research",
        *(52_696, 21),
        "34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63",
    ),
    "Exchange": _library("exchange_rate/exchange_rate.csv", "Lai et al. 2018 (LSTNet), no licence stated", 7_588, 8),
    "ECL": _library(
        "electricity/electricity.csv", "UCI ElectricityLoadDiagrams20112014 (Trindade), CC BY 4.0", 26_304, 321
    ),
    "Traffic": _library("traffic/traffic.csv", "California PeMS, no licence stated", 17_544, 862),
    "ILI": _library("illness/national_illness.csv", "US CDC FluView, public domain", 966, 7),
    "aus_elec": DataFile(
        "https://github.com/tidyverts/tsibbledata/raw/1b1af39e4fe670fafdb504c0a80abace34eae984/data/aus_elec.rda, "
        "from R by write.csv(aus_elec, row.names = FALSE)",
        ("aus_elec/aus_elec.csv", "aus_elec.csv"),
        "https://github.com/tidyverts/tsibbledata",
        "AEMO and Bureau of Meteorology, package tsibbledata, GPL-3",
        *(263_040, 4),
    ),
    **{f"epf:{name}": _market(name) for name in MARKETS},
    **{f"m4:{frequency}-{part}": _m4(frequency, part) for frequency in M4 for part in ("train", "test")},
    **{f"monash:{name}": _monash(entry) for name, entry in MONASH.items()},
}
