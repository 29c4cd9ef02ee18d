"""Pictures of forecasts: what is drawn, what is refused, and how files are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from titans_ts.forecasting import plot_forecast
from titans_ts.forecasting.plot import MOST_PANELS, quantile_at

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def history(items: int = 1, steps: int = 100, **names: str) -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=steps, freq="h")
    frames = [
        pd.DataFrame({"item_id": f"s{i}", "timestamp": stamps, "target": np.sin(np.arange(steps) / 4) + i})
        for i in range(items)
    ]
    return pd.concat(frames, ignore_index=True).rename(columns=names)


def forecast(items: int = 1, steps: int = 12, levels: tuple[float, ...] = LEVELS, after: int = 100) -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=after + steps, freq="h")[after:]
    frames = [
        pd.DataFrame({"item_id": f"s{i}", "timestamp": stamps, "mean": i, **{str(q): q + i for q in levels}})
        for i in range(items)
    ]
    return pd.concat(frames, ignore_index=True)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(figure: Figure, label: str) -> Any:
    return next(x for x in figure.axes[0].lines if x.get_label() == label)


def test_history_median_and_both_bands_are_drawn() -> None:
    figure = plot_forecast(history(), forecast())
    assert legend(figure) == ["history", "90 % interval", "50 % interval", "median", "end of history"]
    assert figure.get_size_inches()[0] * figure.dpi == 1200
    assert figure.axes[0].get_ylabel() == "target"
    assert np.allclose(line(figure, "median").get_ydata(), 0.5)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0.05, 0.25, 0.5, 0.75, 0.95), ["90 % interval", "50 % interval", "median"]),
        ((0.1, 0.5, 0.9), ["80 % interval", "median"]),
        ((0.1, 0.9), ["80 % interval", "mean"]),
        ((0.5,), ["median"]),
        ((), ["mean"]),
    ],
)
def test_the_legend_says_which_bands_there_are(levels: tuple[float, ...], expected: list[str]) -> None:
    labels = legend(plot_forecast(history(), forecast(levels=levels)))
    assert [label for label in labels if label not in ("history", "end of history")] == expected


def test_quantiles_between_columns_are_interpolated() -> None:
    frame = forecast(steps=3)
    found = quantile_at(frame, 0.25)
    assert found is not None and np.allclose(found, 0.25)
    assert quantile_at(frame, 0.01) is None
    # 0.1 and 0.9 say nothing about 0.25.
    assert quantile_at(forecast(levels=(0.1, 0.9)), 0.25) is None


@pytest.mark.parametrize("how", ["absent rows", "missing values"])
def test_gaps_stay_gaps(how: str) -> None:
    frame = history()
    frame = (
        frame.drop(index=range(80, 90))
        if how == "absent rows"
        else frame.assign(target=frame["target"].where(~frame.index.isin(range(80, 90))))
    )
    values = np.asarray(line(plot_forecast(frame, forecast()), "history").get_ydata(), dtype=float)
    assert np.isnan(values).any()
    assert np.isfinite(values[0]) and np.isfinite(values[-1])


def test_months_of_different_length_are_no_gaps() -> None:
    stamps = pd.date_range("2020-01-01", periods=48, freq="MS")
    frame = pd.DataFrame({"timestamp": stamps, "target": 1.0})
    ahead = pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=3, freq="MS"), "mean": 1.0, "0.5": 1.0})
    assert np.isfinite(np.asarray(line(plot_forecast(frame, ahead), "history").get_ydata(), dtype=float)).all()


def test_actual_and_backtest_are_drawn_and_named() -> None:
    earlier = pd.concat([forecast(after=76).assign(cutoff="a"), forecast(after=88).assign(cutoff="b")])
    actual = forecast()[["item_id", "timestamp"]].assign(target=1.0)
    labels = legend(plot_forecast(history(), forecast(), backtest=earlier, actual=actual))
    assert "backtest: median, 90 % interval" in labels and "actual" in labels


def test_at_most_six_series_and_the_rest_is_counted() -> None:
    figure = plot_forecast(history(9), forecast(9), title="Load")
    assert len(figure.axes) == MOST_PANELS
    assert figure.get_suptitle() == "Load · 3 more series not drawn"
    chosen = plot_forecast(history(9), forecast(9), items=["s7", "s2"])
    assert [panel.get_title(loc="left") for panel in chosen.axes] == ["s7", "s2"]


def test_other_column_names_integer_steps_and_one_step() -> None:
    past = pd.DataFrame({"t": range(50), "y": np.arange(50.0)})
    ahead = pd.DataFrame({"t": [50], "mean": [50.0], "0.05": [45.0], "0.5": [50.0], "0.95": [55.0]})
    figure = plot_forecast(past, ahead, timestamp_column="t", target_column="y", history_steps=20)
    assert len(line(figure, "history").get_xdata()) == 20
    assert figure.axes[0].get_ylabel() == "y"
    assert figure.axes[0].get_xlabel() == "step"


def test_one_channel_of_several_is_drawn() -> None:
    past = history().assign(load=1.0)
    ahead = pd.concat([forecast().assign(target="load", mean=7.0), forecast().assign(target="target")])
    figure = plot_forecast(past, ahead.drop(columns=[str(q) for q in LEVELS]), target_column="load")
    assert np.allclose(line(figure, "mean").get_ydata(), 7.0)


def test_the_frames_stay_as_they_are() -> None:
    past, ahead = history(2), forecast(2)
    before = past.copy(), ahead.copy()
    plot_forecast(past, ahead)
    pd.testing.assert_frame_equal(past, before[0])
    pd.testing.assert_frame_equal(ahead, before[1])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_files_are_written_whole(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "new" / f"picture{suffix}"
    plot_forecast(history(), forecast(), path=file)
    assert file.stat().st_size > 1000
    assert [x.name for x in file.parent.iterdir()] == [file.name]
    (tmp_path / "ordinary").touch()
    assert file.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"old")

    def fail(self: Figure, name: str, **options: Any) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_forecast(history(), forecast(), path=file)
    assert file.read_bytes() == b"old"
    assert [x.name for x in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "out.bmp"}, r"path must end in one of \.png.*got 'out\.bmp'"),
        ({"target_column": "load"}, "history must have the columns timestamp, load, but load is not among: item_id"),
        ({"timestamp_column": "time"}, "history must have the columns time"),
        ({"items": ["s9"]}, r"items must be in both history and forecast, got \['s9'\]"),
        ({"id_column": "name", "items": ["s0"]}, "items= needs the column 'name'"),
    ],
)
def test_clear_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_forecast(history(), forecast(), **options)


def test_pyplot_is_left_alone() -> None:
    import subprocess
    import sys

    code = "import sys, titans_ts.forecasting.plot; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
