"""Every spelling of a frequency, its season, its inference from timestamps, its calendar features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import parse_frequency, seasonality, time_features, to_records
from titans_datasets.series.time.frequency import Frequency

ALIASES = [
    # spelling, offset alias, period alias, season
    ("H", "h", "h", 24),
    ("h", "h", "h", 24),
    ("60min", "h", "h", 24),
    ("T", "min", "min", 1440),
    ("min", "min", "min", 1440),
    ("10min", "10min", "10min", 144),
    ("15T", "15min", "15min", 96),
    ("30min", "30min", "30min", 48),
    ("1h30min", "90min", "90min", 16),
    ("S", "s", "s", 3600),
    ("10s", "10s", "10s", 360),
    ("D", "D", "D", 7),
    ("24h", "D", "D", 7),
    ("7D", "7D", "7D", 52),
    ("B", "B", "B", 5),
    ("W", "W-SUN", "W-SUN", 52),
    ("W-MON", "W-MON", "W-MON", 52),
    ("2W-TUE", "2W-TUE", "2W-TUE", 26),
    ("M", "ME", "M", 12),
    ("ME", "ME", "M", 12),
    ("MS", "MS", "M", 12),
    ("BM", "BME", "M", 12),
    ("2MS", "2MS", "2M", 6),
    ("Q", "QE-DEC", "Q-DEC", 4),
    ("QE-NOV", "QE-NOV", "Q-NOV", 4),
    ("QS", "QS-JAN", "Q-DEC", 4),
    ("QS-FEB", "QS-FEB", "Q-JAN", 4),
    ("A", "YE-DEC", "Y-DEC", 1),
    ("Y", "YE-DEC", "Y-DEC", 1),
    ("A-JUN", "YE-JUN", "Y-JUN", 1),
    ("YS", "YS-JAN", "Y-DEC", 1),
    ("AS-APR", "YS-APR", "Y-MAR", 1),
]


@pytest.mark.parametrize(("alias", "offset", "period", "season"), ALIASES)
def test_alias(alias: str, offset: str, period: str, season: int) -> None:
    frequency = parse_frequency(alias)
    assert (frequency.offset_alias, frequency.period_alias, seasonality(alias)) == (offset, period, season)
    assert parse_frequency(frequency.offset_alias) == frequency
    assert parse_frequency(frequency.period_alias).seasonality == season


@pytest.mark.parametrize("alias", sorted({offset for _, offset, _, _ in ALIASES}))
def test_stamps_and_period_agree_with_pandas(alias: str) -> None:
    frequency = parse_frequency(alias)
    expected = pd.date_range("2019-12-01", periods=30, freq=alias)
    assert list(frequency.range(expected[0], 30)) == list(expected)
    assert frequency.shift(expected[5], 7) == expected[12]
    assert frequency.shift(expected[5], -5) == expected[0]
    if alias not in ("B",):  # pandas is giving up business-day periods
        pd.Period(expected[0], freq=frequency.period_alias)


@pytest.mark.parametrize("alias", sorted({offset for _, offset, _, _ in ALIASES} - {"7D"}))
def test_inference_survives_gaps(alias: str) -> None:
    index = pd.date_range("2019-12-01", periods=60, freq=alias)
    kept = np.delete(np.arange(60), [7, 8, 31])
    panel = to_records(pd.Series(np.arange(60.0)[kept], index=index[kept]))
    assert panel.frequency == parse_frequency(alias)
    assert panel.records[0].length == 60
    assert list(panel.records[0].index) == list(index)
    assert np.isnan(panel.records[0].target).sum() == 3
    assert panel.notes == ["1 item had 3 missing steps, now marked missing"]


def test_a_delta_or_an_offset_is_a_frequency() -> None:
    assert parse_frequency(pd.Timedelta("15min")) == parse_frequency("15min")
    assert parse_frequency(pd.offsets.MonthBegin()) == parse_frequency("MS")
    assert isinstance(parse_frequency(parse_frequency("h")), Frequency)


@pytest.mark.parametrize("bad", ["fortnight", "0h", "M-FOO", "", "-1D"])
def test_unknown_frequency_says_what_is_known(bad: str) -> None:
    with pytest.raises(ValueError, match="W\\[-MON\\] M MS ME"):
        parse_frequency(bad)


@pytest.mark.parametrize(("said", "start", "used"), [("M", "MS", "MS"), ("MS", "ME", "ME"), ("W", "W-MON", "W-MON")])
def test_frequency_is_read_where_the_stamps_lie(said: str, start: str, used: str) -> None:
    from titans_datasets.series import SeriesSchema

    index = pd.date_range("2020-01-01", periods=20, freq=start)
    panel = to_records(pd.Series(np.arange(20.0), index=index), SeriesSchema(freq=said))
    assert panel.frequency.offset_alias == used
    assert "was read as" in panel.notes[0]


@pytest.mark.parametrize(
    ("alias", "width"), [("15min", 8), ("h", 6), ("10s", 10), ("D", 6), ("B", 6), ("W", 2), ("M", 2)]
)
def test_features_are_bounded_and_periodic(alias: str, width: int) -> None:
    frequency = parse_frequency(alias)
    index = frequency.range(pd.date_range("2021-01-01", periods=1, freq=frequency.offset_alias)[0], 500)
    features = time_features(index, frequency)
    assert features.shape == (500, width) and features.dtype == np.float32
    assert np.abs(features).max() <= 1
    assert np.allclose(features[:, 0::2] ** 2 + features[:, 1::2] ** 2, 1, atol=1e-5)


def test_same_hour_same_feature() -> None:
    index = pd.date_range("2021-03-01", periods=24 * 14, freq="h")
    features = time_features(index, "h")
    assert np.array_equal(features[:24, :2], features[24:48, :2])
    assert np.array_equal(features[:24, 2:4], features[24 * 7 : 24 * 8, 2:4])
    assert time_features(index[:5], "YS").shape == (5, 0)
