"""Windows equal naive slicing, never show the future in the past, and mask what is missing.

Shapes as in titans_datasets.series.batches.windows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.series import (
    SeriesRecord,
    ShortSeriesWarning,
    Windows,
    WindowSpec,
    WindowStore,
    seen_cycles,
    time_features,
)

START = pd.Timestamp("2024-01-01")
FIELDS = {
    "past_target": (3,),
    "past_observed_values": (3,),
    "future_target": (2,),
    "future_observed_values": (2,),
    "past_time_feat": (3, 6),
    "future_time_feat": (2, 6),
    "past_feat_dynamic_real": (3, 0),
    "feat_static_cat": (0,),
    "feat_static_real": (0,),
    "item_index": (),
    "item_code": (),
    "item_loc": (),
    "item_scale": (),
    "item_origin": (2,),
}


def record(target: np.ndarray, name: object = "a", start: pd.Timestamp = START, **fields: np.ndarray) -> SeriesRecord:
    return SeriesRecord(str(name), start, "h", np.asarray(target, dtype=np.float64), **fields)


def ramps(*lengths: int) -> list[SeriesRecord]:
    """Series whose values tell item and step: 1000 * item + step."""
    return [record(1000.0 * item + np.arange(length), item) for item, length in enumerate(lengths)]


@st.composite
def panels(draw: st.DrawFn) -> tuple[list[SeriesRecord], WindowSpec]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    records = []
    for item in range(draw(st.integers(1, 4))):
        length, extra = draw(st.integers(1, 25)), draw(st.integers(0, 5))
        target = np.where(rng.random(length) < draw(st.sampled_from([0, 0.5])), np.nan, rng.normal(size=length))
        fields = {
            "past_feat_dynamic_real": rng.normal(size=(2, length)).astype(np.float32),
            "feat_dynamic_real": rng.normal(size=(1, length + extra)).astype(np.float32),
            "feat_static_cat": rng.integers(0, 5, size=1),
            "feat_static_real": rng.normal(size=3).astype(np.float32),
        }
        start = START + pd.Timedelta(minutes=int(rng.integers(0, 4)) * 30)
        records.append(record(target, item, start, **fields))
    context = draw(st.integers(1, 8))
    spec = WindowSpec(
        context,
        draw(st.integers(1, 5)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, context)),
        draw(st.sampled_from(["skip", "pad"])),
    )
    return records, spec


def sliced(source: SeriesRecord, spec: WindowSpec, position: int) -> dict[str, np.ndarray]:
    """The fields of one window, step by step."""
    steps = range(position - spec.context_length, position + spec.prediction_length)
    length = source.length
    target = [source.target[t] if 0 <= t < length else np.nan for t in steps]
    calendar = time_features(source.frequency.range(source.start, length + spec.prediction_length), "h")
    assert source.feat_dynamic_real is not None and source.past_feat_dynamic_real is not None
    reach = source.feat_dynamic_real.shape[1]
    known = [source.feat_dynamic_real[:, t] if 0 <= t < reach else np.zeros(1) for t in steps]
    times = [calendar[t] if t >= 0 else np.zeros(6) for t in steps]
    both = np.array([np.concatenate(pair) for pair in zip(times, known, strict=True)])
    cut = spec.context_length
    past = [source.past_feat_dynamic_real[:, t] if 0 <= t < length else np.zeros(2) for t in list(steps)[:cut]]
    return {
        "past_target": np.nan_to_num(target[:cut]),
        "past_observed_values": ~np.isnan(target[:cut]),
        "future_target": np.nan_to_num(target[cut:]),
        "future_observed_values": ~np.isnan(target[cut:]),
        "past_time_feat": both[:cut],
        "future_time_feat": both[cut:],
        "past_feat_dynamic_real": np.array(past),
        "feat_static_cat": np.asarray(source.feat_static_cat),
        "feat_static_real": np.asarray(source.feat_static_real),
    }


@settings(max_examples=60, deadline=None)
@given(panels())
@pytest.mark.filterwarnings("ignore::titans_datasets.series.read.records.ShortSeriesWarning")
def test_windows_equal_naive_slices(panel: tuple[list[SeriesRecord], WindowSpec]) -> None:
    records, spec = panel
    store = WindowStore(records, spec)
    expected = set()
    for item, source in enumerate(records):
        last = source.length - spec.prediction_length
        starts = list(range(last, spec.min_history - 1, -spec.stride))
        if not starts and spec.short == "pad" and source.length >= 2:
            starts = [max(last, 1)]
        for position in starts:
            past = source.target[max(position - spec.context_length, 0) : position]
            future = source.target[position : position + spec.prediction_length]
            if np.isfinite(past).any() and np.isfinite(future).any():
                expected.add((item, position))
    try:
        windows = store.windows()
    except ValueError:
        assert not expected
        return
    pairs = list(zip(windows.items.tolist(), windows.positions.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)) and set(pairs) == expected
    batch = store.batch(windows)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in batch.values())
    for row, (item, position) in enumerate(pairs):
        origin = float(batch["item_origin"][row].double().sum())
        for name, value in sliced(records[item], spec, position).items():
            found = batch[name][row].numpy()
            if name in ("past_target", "future_target"):
                seen = batch[name.replace("target", "observed_values")][row].numpy()
                found = found + origin * seen
            np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-6, err_msg=name)


def test_fields_and_shapes() -> None:
    store = WindowStore(ramps(10, 12), WindowSpec(3, 2))
    batch = store.batch(store.last_window())
    assert {name: tuple(tensor.shape[1:]) for name, tensor in batch.items()} == FIELDS
    integers = {"feat_static_cat", "item_index", "item_code"}
    assert all(tensor.dtype == (torch.int64 if name in integers else torch.float32) for name, tensor in batch.items())
    assert (store.num_time_features, store.num_past_features, store.num_channels) == (6, 0, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_past_fields_do_not_depend_on_the_future(seed: int, position: int) -> None:
    rng = np.random.default_rng(seed)
    target, load = rng.normal(size=24), rng.normal(size=(1, 24)).astype(np.float32)
    other, other_load = target.copy(), load.copy()
    other[position:], other_load[:, position:] = 99.0, 99.0
    window = Windows(torch.tensor([0]), torch.tensor([position]))
    one, two = (
        WindowStore([record(values, past_feat_dynamic_real=past)], WindowSpec(6, 4)).batch(window)
        for values, past in ((target, load), (other, other_load))
    )
    for name in (name for name in one if name.startswith("past")):
        assert torch.equal(one[name], two[name]), name
    assert torch.equal(one["future_time_feat"], two["future_time_feat"])


def test_split_keeps_validation_targets_out_of_training() -> None:
    store = WindowStore(ramps(30, 40, 6), WindowSpec(5, 3))
    train, validation = store.split(2)
    held = {0: 24, 1: 34, 2: 6}
    for item, position in zip(train.items.tolist(), train.positions.tolist(), strict=True):
        assert position + 3 <= held[item]
    assert sorted(zip(validation.items.tolist(), validation.positions.tolist(), strict=True)) == [
        (0, 24), (0, 27), (1, 34), (1, 37),
    ]  # fmt: skip
    assert int((train.items == 2).sum()) == 3
    everything, nothing = store.split(0)
    assert len(nothing) == 0 and len(everything) == len(store.windows())


def test_rolling_windows_are_a_backtest() -> None:
    windows = WindowStore(ramps(20, 7), WindowSpec(5, 3)).rolling(3, step=2)
    assert windows.items.tolist() == [0, 0, 1, 0, 1]
    assert windows.positions.tolist() == [13, 15, 2, 17, 4]


def test_last_window_follows_the_series() -> None:
    store = WindowStore(ramps(20, 2), WindowSpec(4, 3))
    batch = store.batch(store.last_window())
    assert batch["past_target"].tolist() == [[16, 17, 18, 19], [0, 0, 1000, 1001]]
    assert batch["past_observed_values"].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert batch["future_observed_values"].sum() == 0 and batch["item_index"].tolist() == [0, 1]
    stamps = pd.date_range(START + pd.Timedelta(hours=20), periods=3, freq="h")
    np.testing.assert_allclose(batch["future_time_feat"][0], time_features(stamps, "h"), atol=1e-6)


def test_channels() -> None:
    source = SeriesRecord("a", START, "h", np.array([[0.0, 1, 2, 3, 4], [5, np.nan, 7, 8, 9]]))
    store = WindowStore([source], WindowSpec(3, 2))
    batch = store.batch(Windows(torch.tensor([0]), torch.tensor([3])))
    assert batch["past_target"].tolist() == [[[0, 5], [1, 0], [2, 7]]]
    assert batch["past_observed_values"].tolist() == [[[1, 1], [1, 0], [1, 1]]]
    assert batch["future_target"].shape == (1, 2, 2) and batch["item_scale"].shape == (1, 2)


def test_item_statistics_can_leave_out_the_last_steps() -> None:
    series = record(np.array([1.0, 3.0, np.nan, 100.0, 200.0]))
    store = WindowStore([series], WindowSpec(2, 1), statistics_holdout=2)
    assert float(store.item_loc[0]) == 2.0 and float(store.item_scale[0]) == 1.0


def test_item_scale_is_the_spread_of_observed_values_and_never_zero() -> None:
    target = np.array([1.0, np.nan, 4, 9, np.nan, 2])
    store = WindowStore([record(target), record(np.full(6, 5e3)), record(np.zeros(6))], WindowSpec(2, 1))
    np.testing.assert_allclose(store.item_scale, [np.nanstd(target), 5e-3, 1e-12], rtol=1e-6)


def test_short_series_are_left_out_aloud() -> None:
    store = WindowStore(ramps(30, 4, 2), WindowSpec(5, 3, min_history=2))
    assert [tuple(short) for short in store.short_items()] == [("1", 4, 1), ("2", 2, 3)]
    with pytest.warns(ShortSeriesWarning, match=r"2 series shorter than .* = 5 steps: '1' \(4 steps, 1 missing\)"):
        windows = store.windows()
    assert set(windows.items.tolist()) == {0}


def test_short_series_can_be_padded_or_refused() -> None:
    padded = WindowStore(ramps(4, 2), WindowSpec(5, 3, min_history=2, short="pad"))
    windows = padded.windows()
    assert windows.positions.tolist() == [1, 1]
    assert padded.batch(windows)["future_observed_values"].tolist() == [[1, 1, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match="lower prediction_length"):
        WindowStore(ramps(30, 4), WindowSpec(5, 3, min_history=2, short="error")).windows()
    with pytest.raises(ValueError, match=r"'0' \(4 steps, 1 missing\)"):
        WindowStore(ramps(4), WindowSpec(5, 3, min_history=2)).windows()


def test_known_covariates_must_reach_the_forecast() -> None:
    known = np.ones((1, 12), dtype=np.float32)
    store = WindowStore([record(np.arange(10.0), feat_dynamic_real=known)], WindowSpec(4, 3))
    with pytest.raises(ValueError, match="'a' lacks known covariates for 3 steps"):
        store.batch(store.last_window())
    assert WindowStore([record(np.arange(9.0), feat_dynamic_real=known)], WindowSpec(4, 3)).last_window()


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (4, 1, 0), (4, 1, 1, 5), (4, 1, 1, 1, "drop")])
def test_spec_refuses(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        WindowSpec(*arguments)  # type: ignore[arg-type]


def test_records_must_be_alike() -> None:
    with pytest.raises(ValueError, match="item 'b' differs from item 'a'"):
        WindowStore([record(np.zeros(3)), SeriesRecord("b", START, "D", np.zeros(3))], WindowSpec(2, 1))
    with pytest.raises(ValueError, match="no series"):
        WindowStore([], WindowSpec(2, 1))


def test_far_apart_and_out_of_phase_series_share_no_giant_calendar() -> None:
    starts = [START, START + pd.Timedelta("30min"), pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01")]
    store = WindowStore([record(np.arange(8.0), k, start) for k, start in enumerate(starts)], WindowSpec(4, 2))
    batch = store.batch(store.last_window())
    for row, start in enumerate(starts):
        stamps = pd.date_range(start, periods=10, freq="h")
        np.testing.assert_allclose(batch["future_time_feat"][row], time_features(stamps[8:], "h"), atol=1e-6)
    assert len(store._calendar) < 5000


def test_only_the_chosen_calendar_cycles_are_given() -> None:
    records = [record(np.arange(40.0))]
    full = WindowStore(records, WindowSpec(8, 4))
    day = WindowStore(records, WindowSpec(8, 4, calendar=("day",)))
    assert full.num_time_features == 6 and day.num_time_features == 2
    window = full.last_window()
    torch.testing.assert_close(day.batch(window)["past_time_feat"], full.batch(window)["past_time_feat"][..., :2])


@pytest.mark.parametrize(
    ("freq", "steps", "expected"),
    [
        ("h", 24 * 300, ("day", "week")),
        ("h", 24 * 731, ("day", "week", "year")),
        ("ME", 23, ()),
        ("ME", 25, ("year",)),
        ("B", 9, ()),
    ],
)
def test_a_cycle_counts_as_seen_from_its_second_turn(freq: str, steps: int, expected: tuple[str, ...]) -> None:
    assert seen_cycles(freq, steps) == expected
