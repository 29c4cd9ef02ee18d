"""Sessions of a pretrained network: tables and arrays alike, names and timestamps, alarms, snapshots, refusals."""

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.reads.test_forecast import NETWORK, network
from titans_datasets.series import SeriesSchema, SeriesWarning
from titans_ts.forecasting.reads import ForecastOptions, forecast
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.streaming.pretrained import PretrainedStream, start_pretrained_stream

LEVELS = (0.1, 0.5, 0.9)


def wave(length=200, seed=0):
    rng = np.random.default_rng(seed)
    return 50 + 10 * np.sin(2 * np.pi * np.arange(length) / 24) + rng.normal(size=length)


def table(length=200, items=("b", "a"), first=0):
    stamps = pd.date_range("2024-03-30", periods=length, freq="h")
    parts = [
        pd.DataFrame({"item_id": item, "timestamp": stamps, "target": wave(length, seed)}).iloc[first:]
        for seed, item in enumerate(items)
    ]
    return pd.concat(parts, ignore_index=True)


def start(freq="h", **options):
    return start_pretrained_stream(NETWORK, freq, 6, LEVELS, **options)


def test_a_table_in_pieces_is_the_whole_table_and_the_forecast_of_the_histories():
    whole, pieces = start(), start()
    data = table()
    whole.observe(data)
    for _, rows in data.groupby("timestamp"):
        pieces.observe(rows)
    found = whole.forecast()
    pd.testing.assert_frame_equal(pieces.forecast(), found)
    assert whole.columns == [("b", "target"), ("a", "target")] and whole.steps == 200
    assert found["timestamp"].iloc[0] == pd.Timestamp("2024-04-07 08:00") == whole.next_timestamp
    histories = [data[data["item_id"] == item]["target"].to_numpy() for item in ("b", "a")]
    expected = forecast(NETWORK, histories, 6, 24, LEVELS, options=ForecastOptions(168))
    np.testing.assert_allclose(found[["0.1", "0.5", "0.9"]].to_numpy().reshape(2, 6, 3), expected, rtol=0, atol=1e-2)
    assert found["mean"].between(found["0.1"], found["0.9"]).all()
    assert len(whole.forecast(11)) == 22


def test_numbers_are_steps():
    one, other, many = start(), start(), start(None)
    values = wave(60)
    one.observe(values)
    for value in values:
        other.observe(value)
    pd.testing.assert_frame_equal(one.forecast(), other.forecast())
    assert one.forecast()["timestamp"].tolist() == list(range(60, 66))
    many.observe(np.stack([values, values + 1], axis=1))
    many.observe(np.array([50.0, 51.0]))
    assert many.steps == 61 and len(many.columns) == 2
    dated = start(None)
    dated.observe(pd.Series(values, pd.date_range("2024-01-01", periods=60, freq="h")))
    dated.observe(50.0)
    assert dated.next_timestamp == pd.Timestamp("2024-01-03 13:00")


def test_steps_without_a_row_are_missing():
    one, other = start(), start()
    data = table(items=("a",))
    gap = data["timestamp"].between("2024-04-01", "2024-04-02")
    one.observe(data[~gap][:40])
    one.observe(data[~gap][40:])
    other.observe(data.assign(target=data["target"].mask(gap)))
    pd.testing.assert_frame_equal(one.forecast(), other.forecast())


def test_an_outlier_is_an_alarm():
    stream = start()
    assert stream.surprise is None
    stream.observe(table(500, ("a",)))
    usual = stream.surprise
    assert usual.timestamp == pd.Timestamp("2024-04-19 19:00") and usual.score.shape == (1,)
    stream.observe(200.0)
    assert stream.detect(0.02).tolist() == [True] and stream.surprise.score[0] > 5 * usual.score[0]
    stream.observe(np.nan)
    assert stream.detect(0.02).tolist() == [False] and np.isnan(stream.surprise.score[0])


def test_scores_do_not_depend_on_when_they_are_asked_for():
    one, other = start(), start()
    values = wave(3100)
    for first in range(0, 3100, 31):
        one.observe(values[first : first + 31])
        other.observe(values[first : first + 31])
        if first > 1500:
            assert one.surprise is not None
    scores = [stream._scores() for stream in (one, other)]
    shared = min(one.shape[1] for one in scores)
    known = ~np.isnan(scores[0][0, -shared:]) & ~np.isnan(scores[1][0, -shared:])
    assert known.sum() > 2000
    # Pieces that are read at once differ, and with them the units and the steps of history that are read.
    assert np.corrcoef(scores[0][0, -shared:][known], scores[1][0, -shared:][known])[0, 1] > 0.95


@pytest.mark.parametrize("length", [100, 3000])
def test_a_restored_session_goes_on_with_the_same_numbers(tmp_path, length):
    stream = start(flip=True, season=24, second=0)
    with pytest.warns(SeriesWarning, match="UTC"):
        stream.observe(table(length).assign(timestamp=lambda x: x["timestamp"].dt.tz_localize("UTC")))
    assert stream.surprise is not None
    again = PretrainedStream.restore(NETWORK, stream.snapshot(tmp_path / "session.safetensors"))
    assert again.settings == stream.settings and again.columns == stream.columns
    for one in (stream, again):
        one.observe(np.array([50.0, 51.0]))
    pd.testing.assert_frame_equal(again.forecast(), stream.forecast())
    np.testing.assert_array_equal(again.surprise.score, stream.surprise.score)
    assert again.next_timestamp == stream.next_timestamp


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path):
    stream = start()
    for call in (
        stream.forecast,
        stream.detect,
        lambda: stream.snapshot(tmp_path / "x"),
        lambda: stream.next_timestamp,
    ):
        with pytest.raises(ValueError, match="nothing has been observed"):
            call()
    data = table(100)
    stream.observe(data[data["timestamp"] < data["timestamp"].iloc[90]])
    before = stream.forecast()
    with pytest.raises(ValueError, match=r"item 'b' at 2024-04-01 00:00:00 comes late.*stands at 2024-04-02 18:00"):
        stream.observe(data[data["timestamp"] == "2024-04-01"])
    with pytest.raises(ValueError, match="'c' is not in this session"):
        stream.observe(data.tail(1).assign(item_id="c"))
    with pytest.raises(ValueError, match="2 columns"):
        stream.observe(np.zeros(3))
    with pytest.raises(ValueError, match="prediction_length"):
        stream.forecast(0)
    with pytest.raises(ValueError, match="needs at least"):
        stream.detect(0.0001)
    pd.testing.assert_frame_equal(stream.forecast(), before)
    with pytest.raises(ValueError, match="one target without covariates"):
        start(schema=SeriesSchema(known_covariates=("price",)))
    with pytest.raises(ValueError, match="reads"):
        start_pretrained_stream(network((*NAMES, "strange")), "h", 6)
    with pytest.raises(ValueError, match="season"):
        start(season=-1)
    stream._opened.reads.snapshot(tmp_path / "bare")
    with pytest.raises(ValueError, match="without names"):
        PretrainedStream.restore(NETWORK, tmp_path / "bare")


def test_restore_needs_a_network(tmp_path):
    session = start()
    session.observe(table())
    session.snapshot(tmp_path / "session.safetensors")
    with pytest.raises(TypeError, match=r"session\.network"):
        PretrainedStream.restore("zero", tmp_path / "session.safetensors")
