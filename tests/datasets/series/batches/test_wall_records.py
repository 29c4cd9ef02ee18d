"""Records on local clocks."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_datasets.series.batches.wall_records import wall_record

BERLIN = ZoneInfo("Europe/Berlin")


def test_every_field_moves_with_the_clock() -> None:
    index = pd.date_range("2023-03-25 12:00", periods=30, freq="h")
    local = index.tz_localize("UTC").tz_convert(BERLIN).tz_localize(None)
    hours = local.hour.to_numpy(dtype=np.float64)
    known = np.stack([hours, hours + 1]).astype(np.float32)
    static = np.array([3])
    record = SeriesRecord(
        "a", index[0], "h", np.stack([hours, -hours])[:, :24], known[:, :24], known, static, timezone=BERLIN
    )
    wall, clock = wall_record(record, 6)
    expected = pd.date_range(local[0], periods=31, freq="h").hour.to_numpy(dtype=np.float64)
    hole = np.flatnonzero(expected[:25] == 2)[-1]
    assert (wall.length, clock.horizon, wall.timezone, wall.feat_static_cat is static) == (25, 6, None, True)
    np.testing.assert_array_equal(np.delete(wall.target[0], hole), np.delete(expected[:25], hole))
    assert np.isnan(wall.target[:, hole]).all()
    filled = np.where(np.arange(31) == hole, 1, expected)
    np.testing.assert_array_equal(wall.feat_dynamic_real, np.stack([filled, filled + 1]))
    np.testing.assert_array_equal(wall.past_feat_dynamic_real, np.stack([filled, filled + 1])[:, :25])
    # Without values for the horizon, those of the history remain.
    assert wall_record(record, 7)[0].feat_dynamic_real.shape == (2, 25)  # type: ignore[union-attr]


def test_a_forecast_may_cross_the_change() -> None:
    index = pd.date_range("2023-10-28 12:00", periods=24, freq="h")
    ahead = np.arange(24.0)[None].astype(np.float32)
    record = SeriesRecord("a", index[0], "h", np.arange(6.0), feat_dynamic_real=ahead, timezone=BERLIN)
    wall, clock = wall_record(record, 18)
    # At 2 o'clock for the second time, 7 hours later.
    assert clock.horizon == 17
    assert wall.feat_dynamic_real is not None
    np.testing.assert_array_equal(wall.feat_dynamic_real[0, 11:15], [11, 12.5, 14, 15])
    store = WindowStore([wall], WindowSpec(6, clock.horizon, calendar=("day",)))
    assert store.batch(store.last_window())["future_time_feat"].shape == (1, 17, 3)


def test_without_a_zone_a_record_stays() -> None:
    record = SeriesRecord("a", pd.Timestamp("2023-03-25"), "h", np.arange(48.0))
    wall, clock = wall_record(record, 5)
    assert wall is record
    assert not clock.changes
