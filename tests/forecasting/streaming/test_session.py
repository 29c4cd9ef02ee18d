"""Sessions: any split equals one read, failures change nothing, a restored session goes on with the same numbers."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dateutil.tz import tzoffset
from sklearn.exceptions import NotFittedError

from tests.forecasting.common import ROLES, frame, values, with_covariates
from tests.forecasting.common import network_only as forecaster
from titans_ts.core.backbone import Titans
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.streaming.session import TitansStream
from titans_ts.support.model_folder import sealed

CONTEXT = 24
PATCHES: dict[str, Any] = {"patch_length": 4, "patch_stride": 2}
USES: tuple[Any, ...] = ("window", "carried")
MEMORIES: dict[str, dict[str, Any]] = {
    "deep": {"chunk_size": 4},
    "token anchor": {"kind": "linear", "anchor": "token"},
}


def shaken(model: TitansForecaster) -> TitansForecaster:
    """A network that matters: its last layers, which start at zero, get weights."""
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in (model.network_.from_last, model.network_.from_horizon):
            layer.weight.normal_(std=0.3)
    return model


def model_of(block: str = "mag", memory: str = "deep", **params: Any) -> TitansForecaster:
    options = {**PATCHES, "window": 5, "segment": 7, "memory": MEMORIES[memory], **params.pop("options", {})}
    return shaken(forecaster(block=block, max_steps=0, options=options, **params).fit(frame()))


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return model_of()


def table(length: int) -> np.ndarray:
    """The series of `frame` side by side (T, 2)."""
    return np.stack([values(length, 0, 0), values(length, 5, 1)], axis=1)


def rows(first: int, last: int, items: tuple[str, ...] = ("b", "a")) -> pd.DataFrame:
    data = frame(items, last)
    return data[data["timestamp"] >= data["timestamp"][first]]


def numbers(forecast: pd.DataFrame) -> np.ndarray:
    return forecast.drop(columns=["item_id", "timestamp", "target"], errors="ignore").to_numpy()


def tensors(part: object) -> list[torch.Tensor]:
    """All tensors of nested tuples."""
    if isinstance(part, torch.Tensor):
        return [part]
    return [leaf for piece in part for leaf in tensors(piece)] if isinstance(part, tuple) else []


def state_of(stream: TitansStream) -> list[torch.Tensor]:
    """After every step, also those that complete no token and wait to be read with the next."""
    state, _ = stream.buffer.read_waiting()
    return [x.double().nan_to_num(7.0) for x in tensors(state)]


def observe_in_pieces(stream: TitansStream, block: np.ndarray, random: np.random.Generator, ask: bool) -> None:
    while len(block):
        size = int(random.integers(1, random.choice([2, 10, 90])))
        stream.observe(block[:size])
        block = block[size:]
        if ask and random.random() < 0.3:
            assert stream.surprise is not None or stream.steps < CONTEXT
            stream.forecast()


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("block", ["mag", "mac"])
def test_any_split_equals_one_read(block: str, memory: str) -> None:
    model, series = model_of(block, memory), table(303)
    for use in USES:
        check_splits(model, series, use)


def check_splits(model: TitansForecaster, series: np.ndarray, use: Any) -> None:
    whole = model.stream(frame(length=len(series)), memory=use)
    expected, state = numbers(whole.forecast()), state_of(whole)
    for seed in range(2):
        random = np.random.default_rng(seed)
        start = int(random.integers(3, 200))
        for ask in (False, True):
            stream = model.stream(frame(length=start), memory=use)
            observe_in_pieces(stream, series[start:], random, ask)
            found = numbers(stream.forecast())
            if not ask:
                # Blocks are read at the same steps: the same bits.
                assert (found == expected).all()
            assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
            for one, other in zip(state_of(stream), state, strict=True):
                assert one.shape == other.shape
                assert torch.allclose(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().sum() > 0))


def test_window_forecasts_are_those_of_predict(model: TitansForecaster) -> None:
    series, stream = table(260), model.stream(frame(length=30))
    for step in range(30, 260):
        if step % 46 == 0 or step in (30, 31):
            found = stream.forecast(9 if step % 2 else None)
            expected = model.predict(frame(length=step), prediction_length=9 if step % 2 else None)
            pd.testing.assert_frame_equal(found, expected, rtol=1e-5)
        stream.observe(series[step])


@pytest.mark.parametrize("length", [5, CONTEXT])
@pytest.mark.parametrize("block", ["lmm", "mac", "mag", "mal", "attention"])
def test_carried_memory_begins_as_predict(block: str, length: int) -> None:
    model, data = model_of(block), frame(length=length)
    found = model.stream(data, memory="carried").forecast()
    pd.testing.assert_frame_equal(found, model.predict(data), rtol=1e-4)


def test_carried_memory_remembers_what_the_window_has_lost(model: TitansForecaster) -> None:
    # The same old values in another order: mean and spread of the series, and its last window, are the same.
    one, other = values(200), values(200)
    np.random.default_rng(0).shuffle(other[:100])
    found = {use: [numbers(model.stream(x, memory=use).forecast()) for x in (one, other)] for use in USES}
    assert np.abs(found["window"][0] - found["window"][1]).max() < 1e-4
    assert np.abs(found["carried"][0] - found["carried"][1]).max() > 1e-2


def test_series_together_equal_each_alone(model: TitansForecaster) -> None:
    both = model.stream(frame(length=100), memory="carried")
    both.observe(table(200)[100:])
    for place, item in enumerate(("b", "a")):
        data = frame(length=100)
        alone = model.stream(data[data["item_id"] == item], memory="carried")
        alone.observe(table(200)[100:, place])
        found = both.forecast()
        found = found[found["item_id"] == item].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone.forecast(), found, rtol=1e-4)
        assert both.surprise is not None and alone.surprise is not None
        assert np.allclose(both.surprise.loss[place], alone.surprise.loss[0], rtol=1e-4)


def test_series_that_begin_and_end_apart(model: TitansForecaster) -> None:
    data = frame(length=120)
    late, early = data["timestamp"] < data["timestamp"][50], data["timestamp"] >= data["timestamp"][110]
    data = data[~((data["item_id"] == "a") & late) & ~((data["item_id"] == "b") & early)]
    stream = model.stream(data)
    assert stream.steps == 120
    stream.observe(table(130)[120:])
    complete = pd.concat([data, rows(120, 130)])
    with pytest.warns(UserWarning, match="missing steps"):
        expected = model.predict(complete.sort_values("item_id", key=lambda x: x != "b", kind="stable"))
    pd.testing.assert_frame_equal(stream.forecast(), expected, rtol=1e-5)


@pytest.mark.parametrize("gap", [1, CONTEXT - 1, 3 * CONTEXT])
def test_missing_values_of_any_length(model: TitansForecaster, gap: int) -> None:
    stream = model.stream(frame(length=100))
    stream.observe(np.full((gap, 2), np.nan))
    data = frame(length=100 + gap)
    data.loc[data["timestamp"] >= data["timestamp"][100], "target"] = np.nan
    found = stream.forecast()
    assert np.isfinite(numbers(found)).all()
    pd.testing.assert_frame_equal(found, model.predict(data), rtol=1e-5)
    if gap > CONTEXT:
        assert stream.surprise is not None and np.isnan(stream.surprise.loss).all()
        assert not stream.detect(0.5).any()
        # Steps without any value leave what was learned as it was.
        before = stream.buffer.state.memory[0].memory.memory.weights  # type: ignore[index, union-attr]
        stream.observe(np.full((40, 2), np.nan))
        stream.catch_up()
        after = stream.buffer.state.memory[0].memory.memory.weights  # type: ignore[index, union-attr]
        assert all(bool((x == y).all()) for x, y in zip(before, after, strict=True))


def test_a_series_that_has_never_been_seen(model: TitansForecaster) -> None:
    stream = model.stream(frame(("b", "a"), 40))
    block = table(100)[40:]
    block[:, 0] = np.nan
    stream.observe(block)
    assert np.isfinite(numbers(stream.forecast())).all()


def test_tables_and_arrays(model: TitansForecaster) -> None:
    array, long, single = (model.stream(frame(length=100)) for _ in range(3))
    array.observe(table(150)[100:])
    long.observe(rows(100, 150).sample(frac=1, random_state=0))
    for _, step in rows(100, 150).groupby("timestamp"):
        single.observe(step)
    assert array.steps == long.steps == single.steps == 150
    assert long.next_timestamp == pd.Timestamp("2024-01-01") + pd.Timedelta(hours=150)
    pd.testing.assert_frame_equal(long.forecast(), array.forecast())
    pd.testing.assert_frame_equal(single.forecast(), array.forecast())


def test_wide_tables_and_series_by_name(model: TitansForecaster) -> None:
    array, wide, by_name = (model.stream(frame(length=100)) for _ in range(3))
    array.observe(table(110)[100:])
    steps = rows(100, 110).pivot(index="timestamp", columns="item_id", values="target")
    assert list(steps.columns) == ["a", "b"]
    wide.observe(steps)
    for _, step in steps.iterrows():
        by_name.observe(step)
    for stream in (wide, by_name):
        pd.testing.assert_frame_equal(stream.forecast(), array.forecast())
    single, stamped = (model.stream(frame(("b",), 100)) for _ in range(2))
    single.observe(np.ma.masked_array([np.nan, np.nan, *table(110)[102:, 0]], mask=[0, 1, *[0] * 8]))
    stamped.observe(steps["b"][2:])
    pd.testing.assert_frame_equal(stamped.forecast(), single.forecast())
    with pytest.raises(ValueError, match="covariates= goes with an array"):
        wide.observe(rows(110, 111), {"price": [1.0]})


def test_steps_and_series_without_a_row_are_missing(model: TitansForecaster) -> None:
    long, array = model.stream(frame(length=100)), model.stream(frame(length=100))
    some = rows(100, 110)
    long.observe(some[(some["timestamp"].dt.hour % 2 == 0) & (some["item_id"] == "a")])
    block = table(110)[100:]
    block[:, 0] = np.nan
    hours = pd.date_range("2024-01-01", periods=110, freq="h")[100:].hour
    block[hours % 2 == 1] = np.nan
    array.observe(block[: long.steps - 100])
    pd.testing.assert_frame_equal(long.forecast(), array.forecast())


def test_late_values(model: TitansForecaster) -> None:
    series = table(110)
    gap = series.copy()
    gap[105, 1] = np.nan
    late = rows(105, 106, ("b", "a"))
    late = late[late["item_id"] == "a"]
    streams = {use: model.stream(frame(length=100), late=use) for use in ("error", "fill", "ignore")}  # type: ignore[arg-type]
    for stream in streams.values():
        stream.observe(gap[100:])
    before = streams["ignore"].forecast()
    with pytest.raises(ValueError, match=r"'target' of item 'a' at 2024-01-05 09:00:00 comes late.*late='fill'"):
        streams["error"].observe(late)
    for use in ("fill", "ignore"):
        streams[use].observe(late)
    for use in ("error", "ignore"):
        pd.testing.assert_frame_equal(streams[use].forecast(), before)
    expected = model.predict(frame(length=110))
    pd.testing.assert_frame_equal(streams["fill"].forecast(), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="observed already"):
        streams["fill"].observe(late)
    with pytest.raises(ValueError, match="too late"):
        streams["fill"].observe(rows(20, 21))


BAD: dict[str, tuple[Any, str]] = {
    "columns": (np.zeros((3, 3)), r"2 columns.*\(n, 2\)"),
    "one step": (np.zeros(3), "2 columns"),
    "scalar": (1.0, "2 columns"),
    "three axes": (np.zeros((1, 2, 1)), "2 columns"),
    "infinite": (np.array([[1.0, np.inf]]), "infinite"),
    "text": (["a", "b"], "numbers"),
    "stranger": (rows(100, 101, ("c",)), "'c' is not in this session"),
    "double": (pd.concat([rows(100, 101), rows(100, 101)]), "several rows"),
    "no target": (rows(100, 101).drop(columns="target"), "lacks the target"),
    "late": (rows(98, 103), "comes late"),
    "infinite row": (rows(100, 101).assign(target=np.inf), "infinite"),
    "off the grid": (rows(100, 101).assign(timestamp=pd.Timestamp("2024-03-01 00:30")), "grid"),
    "text target": (rows(100, 101).assign(target="x"), "numeric"),
    "dates as target": (rows(100, 101).assign(target=pd.Timestamp("2024")), "numeric"),
    "dates": (np.full((1, 2), np.datetime64("2024-01-01")), "numbers"),
    "beyond float32": ([1.0, 1e39], "too large"),
    "row beyond float32": (rows(100, 101).assign(target=1e39), "too large"),
    "no timestamps": (rows(100, 101).drop(columns="timestamp"), "lacks the timestamps"),
    "no names": (rows(100, 101).drop(columns="item_id"), "lacks 'item_id'"),
    "one of two": (rows(100, 101, ("b",)).set_index("timestamp")["target"], "a table with all"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_observe_that_fails_changes_nothing(model: TitansForecaster, case: str) -> None:
    stream, spare = model.stream(frame(length=100)), model.stream(frame(length=100))
    given, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        stream.observe(given)
    assert stream.steps == 100
    for one in (stream, spare):
        one.observe(table(170)[100:])
    assert all(bool((x == y).all()) for x, y in zip(state_of(stream), state_of(spare), strict=True))


def test_a_failure_inside_the_network_changes_nothing(model: TitansForecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, spare = model.stream(frame(length=100)), model.stream(frame(length=100))
    with monkeypatch.context() as patch:
        patch.setattr(Titans, "forward", lambda *args, **kwargs: 1 / 0)
        stream.observe(table(101)[100:])
        for failing in (lambda: stream.observe(table(300)[101:]), lambda: stream.observe(rows(101, 200))):
            with pytest.raises(ZeroDivisionError):
                failing()
        assert stream.steps == 101
    stream.observe(table(170)[101:])
    spare.observe(table(170)[100:])
    assert all(bool((x == y).all()) for x, y in zip(state_of(stream), state_of(spare), strict=True))


def test_what_is_carried_does_not_grow(model: TitansForecaster) -> None:
    stream = model.stream(frame(length=100))
    sizes = []
    for _ in range(4):
        stream.observe(table(320))
        stream.catch_up()
        found = tensors(stream.buffer.state)
        sizes.append((len(found), sum(x.untyped_storage().nbytes() for x in found if x.dtype != torch.int64)))
    # An open chunk keeps its center beside the weights.
    assert max(size for _, size in sizes) <= 1.5 * sizes[0][1]


def test_a_session_keeps_its_weights(model: TitansForecaster) -> None:
    own = model_of()
    stream = own.stream(frame(length=100))
    before = stream.forecast()
    own.fit(frame(length=130))
    pd.testing.assert_frame_equal(stream.forecast(), before)


def test_covariates_come_as_table_or_by_name() -> None:
    data = with_covariates(ahead=6)
    model = shaken(forecaster(**ROLES, max_steps=0, options=PATCHES).fit(data[:160]))
    long, array = (model.stream(data[:100], memory="carried") for _ in range(2))
    long.observe(data[100:160])
    names = ["price", "kind", "noise"]
    array.observe(data["target"][100:130], data[names][100:130])  # type: ignore[arg-type]
    for step in range(130, 160):
        array.observe(data["target"][step], {name: data[name][step] for name in names})
    with pytest.raises(ValueError, match="price"):
        array.observe(1.0)
    with pytest.raises(ValueError, match="known covariates"):
        array.forecast()
    found = array.forecast(future=data[160:])
    pd.testing.assert_frame_equal(long.forecast(future=data[160:]), found)
    window = model.stream(data[:160]).forecast(3, future=data[160:])
    expected = model.predict(data[:160], future=data[160:], prediction_length=3)
    pd.testing.assert_frame_equal(window, expected, rtol=1e-5)


def test_several_targets_and_mixed_series() -> None:
    data = frame(length=130).assign(other=lambda x: 2 * x["target"] + 1)
    targets = {"target_column": ("target", "other"), "options": {"channel_mixing": True, **PATCHES}}
    model = shaken(forecaster(max_steps=0, **targets).fit(data))
    early = data["timestamp"] < data["timestamp"][100]
    stream = model.stream(data[early])
    assert stream.columns == [("b", "target"), ("b", "other"), ("a", "target"), ("a", "other")]
    stream.observe(data[~early])
    pd.testing.assert_frame_equal(stream.forecast(), model.predict(data), rtol=1e-5)
    mixed = shaken(forecaster(max_steps=0, options={"channel_mixing": True, **PATCHES}).fit(frame(length=130)))
    stream = mixed.stream(frame(length=100))
    stream.observe(table(130)[100:])
    pd.testing.assert_frame_equal(stream.forecast(), mixed.predict(frame(length=130)), rtol=1e-5)
    begin = frame(length=CONTEXT)
    carried = mixed.stream(begin, memory="carried").forecast()
    pd.testing.assert_frame_equal(carried, mixed.predict(begin), rtol=1e-4)


AGAIN = """
import sys, numpy as np, pandas as pd
from titans_ts import TitansForecaster
from titans_ts.forecasting.streaming.session import TitansStream
folder = sys.argv[1]
stream = TitansStream.restore(TitansForecaster.load(folder + "/model"), folder + "/session")
found = [stream.forecast()]
stream.observe(np.load(folder + "/later.npy"))
found.append(stream.forecast(9))
np.savez(folder + "/found.npz", *[x.iloc[:, 2:].to_numpy() for x in found], stream.surprise.loss, stream.detect(0.2))
"""


def test_a_new_process_goes_on_with_the_same_bits(model: TitansForecaster, tmp_path: Path) -> None:
    stream = model.stream(frame(length=150), memory="carried")
    stream.observe(table(171)[150:])
    model.save(tmp_path / "model")
    stream.snapshot(tmp_path / "session")
    later = table(300)[171:]
    np.save(tmp_path / "later.npy", later)
    subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path)], check=True, timeout=120)
    found = list(np.load(tmp_path / "found.npz").values())
    expected = [stream.forecast()]
    stream.observe(later)
    expected.append(stream.forecast(9))
    assert all((x == numbers(y)).all() for x, y in zip(found, expected, strict=False))
    assert stream.surprise is not None and (found[2] == stream.surprise.loss).all()
    assert (found[3] == stream.detect(0.2)).all()


def test_snapshots_of_another_model_or_version(model: TitansForecaster, tmp_path: Path) -> None:
    stream = model.stream(frame(length=100), late="fill")
    folder = stream.snapshot(tmp_path / "session")
    same = TitansStream.restore(model, folder)
    assert (same.memory, same.late, same.steps, same.columns) == ("window", "fill", 100, stream.columns)
    assert all(bool((x == y).all()) for x, y in zip(state_of(same), state_of(stream), strict=True))
    with pytest.raises(FileExistsError, match="holds a forecaster, a stream would replace it"):
        stream.snapshot(model.save(tmp_path / "other"))
    with pytest.raises(ValueError, match="another model"):
        TitansStream.restore(model_of(options={"width": 12}), folder)
    with pytest.raises(ValueError, match="holds a forecaster"):
        TitansStream.restore(model, model.save(tmp_path / "model"))
    with pytest.raises(FileNotFoundError):
        TitansStream.restore(model, tmp_path / "nowhere")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(sealed({**config, "stream_version": 99})))
    with pytest.raises(ValueError, match=r"version 99.*start a new session"):
        TitansStream.restore(model, folder)
    (folder / "config.json").write_text(json.dumps(sealed({**config, "numbers": {}})))
    with pytest.raises(ValueError, match="damaged"):
        TitansStream.restore(model, folder)


@pytest.mark.filterwarnings("ignore:timestamps in time zone")
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", tzoffset(None, 5400)], ids=str)
def test_snapshots_keep_the_kind_of_time(tmp_path: Path, zone: Any) -> None:
    data, due = frame(length=60), pd.Timestamp("2024-01-03 12:00", tz="UTC")
    zoned = data["timestamp"].dt.tz_localize("UTC").dt.tz_convert(zone or "UTC")
    data["timestamp"] = np.tile(np.arange(60), 2) if zone is None else zoned
    model = forecaster(max_steps=0, freq="h").fit(data)
    stream = model.stream(data)
    again = TitansStream.restore(model, stream.snapshot(tmp_path / "session"))
    # An offset without a name comes back as the same offset of another class.
    named = zone is None or isinstance(zone, str)
    assert (again.forecast()["timestamp"] == stream.forecast()["timestamp"]).all()
    pd.testing.assert_frame_equal(again.forecast(), stream.forecast(), check_dtype=named)
    assert again.next_timestamp == stream.next_timestamp == (60 if zone is None else due)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_another_device_goes_on(model: TitansForecaster, tmp_path: Path) -> None:
    stream = model.stream(frame(length=60), memory="carried")
    folder, own = stream.snapshot(tmp_path / "session"), model_of(device="cuda")
    own.network_.load_state_dict(model.network_.state_dict())
    moved = TitansStream.restore(own, folder)
    for one in (stream, moved):
        one.observe(table(100)[60:])
    assert np.allclose(numbers(stream.forecast()), numbers(moved.forecast()), rtol=1e-3, atol=1e-3)


def test_update_goes_on_from_the_training_data() -> None:
    model = model_of()
    weights = {name: value.clone() for name, value in model.network_.state_dict().items()}
    assert model.update(rows(160, 170)) is model
    model.update(rows(172, 180, ("a",)))
    with pytest.warns(UserWarning, match="missing"):
        expected = model.predict(pd.concat([frame(length=170), rows(172, 180, ("a",))]))
    pd.testing.assert_frame_equal(model.predict(), expected)
    assert all(bool((value == weights[name]).all()) for name, value in model.network_.state_dict().items())
    model.update(frame(("c",), 40))
    assert list(model.predict()["item_id"].unique()) == ["b", "a", "c"]
    before = model.predict()
    with pytest.raises(ValueError, match=r"has other values at .*; pass rows that agree, or"):
        model.update(rows(150, 190))
    pd.testing.assert_frame_equal(model.predict(), before)


def test_update_keeps_grid_and_kind_of_time() -> None:
    model = model_of()
    before = model.predict()
    for given, message in (
        (rows(160, 162).assign(timestamp=lambda x: x["timestamp"] + pd.Timedelta("30min")), "the same grid"),
        (np.ones((2, 5)), "the same kind"),
    ):
        with pytest.raises(ValueError, match=message):
            model.update(given)
    pd.testing.assert_frame_equal(model.predict(), before)


@pytest.mark.filterwarnings("ignore:timestamps in time zone")
def test_one_hour_of_a_time_zone_is_no_calendar_day() -> None:
    data = frame(("b",), 61)
    data["timestamp"] = data["timestamp"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    model = forecaster(max_steps=0).fit(data[:60])
    model.update(data[60:])
    assert model.predict()["timestamp"][0] == data["timestamp"][60] + pd.Timedelta("1h")
    with pytest.raises(ValueError, match=r"without a time zone.*tz_localize\('Europe/Berlin'\)"):
        model.stream().observe(data[60:].assign(timestamp=data["timestamp"].dt.tz_localize(None)))


def test_update_with_covariates_and_after_loading(tmp_path: Path) -> None:
    data = with_covariates(ahead=6)
    model = forecaster(**ROLES, max_steps=0).fit(data[:140])
    expected = model.predict(data[:160], future=data[160:])
    pd.testing.assert_frame_equal(model.update(data[140:160]).predict(future=data[160:]), expected)
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    pd.testing.assert_frame_equal(loaded.update(data[:160]).predict(future=data[160:]), expected)


def test_options_are_checked(model: TitansForecaster) -> None:
    with pytest.raises(ValueError, match="memory must be one of"):
        model.stream(frame(), memory="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="late must be one of"):
        model.stream(frame(), late="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prediction_length"):
        model.stream(frame()).forecast(0)


def test_a_session_of_titans_ts_0_1_is_refused_with_what_to_do(model: TitansForecaster, tmp_path: Path) -> None:
    folder = model.stream(frame(length=100)).snapshot(tmp_path / "session")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "version": 1, "library": "0.1.0"}))
    with pytest.raises(ValueError, match=r"holds a stream written by titans-ts 0\.1 .*: start a new session from the"):
        TitansStream.restore(model, folder)


def test_a_forecaster_without_a_fit_restores_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted: restore a session with the fitted one"):
        TitansStream.restore(TitansForecaster(24), tmp_path)


def test_two_threads_lose_nothing(model: TitansForecaster) -> None:
    """The session is that of one thread after the other, in the order in which they came."""
    stream, steps = model.stream(), 100
    came: list[np.ndarray] = []
    failed: list[BaseException] = []

    def feed(shift: float) -> None:
        try:
            for step in range(steps):
                block = np.array([values(1, shift + step % 7, 0)[0], shift])
                with stream.lock:
                    came.append(block)
                    stream.observe(block)
                stream.forecast() if step % 25 == 0 else stream.observe([np.nan, np.nan])
        except BaseException as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=feed, args=(shift,)) for shift in (0.0, 50.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not failed
    assert stream.steps == 160 + 2 * (steps + steps - steps // 25)
    assert stream.buffer.state.seen[0].sum() + np.isfinite(stream.buffer.waiting.values).sum() == 2 * (160 + 2 * steps)


def test_unlocked_threads_in_blocks_equal_one_order(model: TitansForecaster) -> None:
    stream = model.stream()
    blocks = [np.full((3, 2), 10.0 + place) for place in range(40)]
    threads = [
        threading.Thread(target=lambda part=part: [stream.observe(block) for block in part])
        for part in (blocks[:20], blocks[20:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    window = np.concatenate([stream.buffer.state.values.T.numpy(), stream.buffer.waiting.values])
    assert stream.steps == 160 + 120
    # Blocks of three equal rows stay together.
    runs = np.flatnonzero(np.diff(window[:, 0]) != 0)
    assert set(np.diff(runs) % 3) == {0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.array([1.0, 2j]), "complex128"),
        (1j, "complex128"),
        (np.array([1.0, "x"], dtype=object), "type object"),
        (np.array([1.0, 2.0], dtype=object), r"astype\(float\)"),
        (["1", "2"], "<U1"),
    ],
)
def test_only_real_numbers_are_taken(model: TitansForecaster, given: Any, said: str) -> None:
    stream = model.stream()
    before = state_of(stream)
    with pytest.raises(TypeError, match=f"observe takes real numbers.*{said}"):
        stream.observe(given)
    assert stream.steps == 160
    assert all(torch.equal(one, two) for one, two in zip(before, state_of(stream), strict=True))


def test_nullable_numbers_and_none_in_a_list_are_taken(model: TitansForecaster) -> None:
    one, two = model.stream(), model.stream()
    one.observe(pd.Series([1.0, None], dtype="Float64"))
    two.observe([1.0, None])
    assert all(torch.equal(x, y) for x, y in zip(state_of(one), state_of(two), strict=True))


def test_a_stamp_far_ahead_is_refused_unless_allowed(model: TitansForecaster) -> None:
    stream = model.stream()
    far = rows(159, 160).assign(timestamp=pd.Timestamp("2024-01-07 16:00") + pd.Timedelta(hours=1001))
    with pytest.raises(ValueError, match=r"row at 2024-02-18 09:00:00 comes 1,001 missing.*up to 1,000 .*ahead=1001"):
        stream.observe(far)
    later = pd.concat([rows(160, 163), far])
    with pytest.raises(ValueError, match=r"comes 998 missing steps .*up to 900 \(ahead=\)"):
        stream.observe(later, ahead=900)
    assert stream.steps == 160
    with pytest.raises(ValueError, match="ahead must be an integer ≥ 0 or None"):
        stream.observe(later, ahead=-1)
    stream.observe(far, ahead=1001)
    assert stream.steps == 160 + 1002
    # As many missing steps as were seen.
    stream.observe(far.assign(timestamp=far["timestamp"] + pd.Timedelta(hours=1163)))
    assert stream.steps == 160 + 1002 + 1163


def test_a_session_is_copied_with_a_lock_of_its_own(model: TitansForecaster) -> None:
    stream = model.stream()
    twin = pickle.loads(pickle.dumps(stream))
    assert twin.lock is not stream.lock
    pd.testing.assert_frame_equal(twin.forecast(), stream.forecast())


def test_restore_with_a_forecaster_that_is_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="restore a session with the fitted one"):
        TitansStream.restore(forecaster(), tmp_path)
