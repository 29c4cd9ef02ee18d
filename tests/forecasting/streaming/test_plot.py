"""Pictures of surprise: what is drawn, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import forecaster, frame, values
from titans_ts.forecasting import plot_surprise

STEPS, PATCH = 120, 6


def series(items: int = 1) -> pd.DataFrame:
    return frame(tuple(f"s{place}" for place in range(items)), STEPS)


def found(items: int = 1) -> pd.DataFrame:
    """Item n has n + 1 alarms."""
    stamps = pd.date_range("2024-01-01", periods=STEPS, freq="h")[PATCH - 1 :: PATCH]
    surprise = np.linspace(0.5, 1.5, len(stamps))
    parts = [
        pd.DataFrame({"item_id": f"s{place}", "timestamp": stamps, "surprise": surprise, "threshold": 1.4}).assign(
            alarm=np.arange(len(stamps)) >= len(stamps) - 1 - place
        )
        for place in range(items)
    ]
    return pd.concat(parts, ignore_index=True)


def test_series_surprise_threshold_and_alarms_are_drawn() -> None:
    figure = plot_surprise(series(), found())
    above, below = figure.axes
    assert above.get_ylabel() == "target" and below.get_ylabel() == "surprise"
    lines = {str(line.get_label()): line for line in below.lines}
    assert set(lines) == {"surprise", "threshold", "alarm"}
    assert np.allclose(lines["surprise"].get_ydata(), found()["surprise"])
    assert np.allclose(lines["alarm"].get_ydata(), [1.5])
    shaded = [patch.get_label() for panel in (above, below) for patch in panel.patches]
    assert len(shaded) == 2 and shaded.count("steps of alarms") == 1
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["series", "steps of alarms", "surprise", "threshold", "alarm"]


def test_four_items_with_most_alarms_or_those_named() -> None:
    figure = plot_surprise(series(6), found(6), title="six")
    assert [panel.get_title(loc="left") for panel in figure.axes[::2]] == ["s5", "s4", "s3", "s2"]
    assert figure._suptitle is not None and figure._suptitle.get_text() == "six · 2 more series not drawn"
    figure = plot_surprise(series(6), found(6), items=["s1", "s0"])
    assert [panel.get_title(loc="left") for panel in figure.axes[::2]] == ["s1", "s0"]


def test_surprise_alone(tmp_path: Path) -> None:
    figure = plot_surprise(series(), found()[["timestamp", "surprise"]], path=tmp_path / "alone.svg")
    assert [line.get_label() for line in figure.axes[1].lines] == ["surprise"]
    assert (tmp_path / "alone.svg").stat().st_size > 1000


def test_of_a_forecaster(tmp_path: Path) -> None:
    model = forecaster(max_steps=0, options={"patch_length": 6, "patch_stride": 6}).fit(frame(length=600))
    later = frame(length=660)
    later["target"] = np.concatenate([values(660, 0, 0), values(660, 5, 1)])
    later = later[later["timestamp"] >= later["timestamp"][600]]
    figure = model.plot_surprise(later, 0.05, items=["a"], path=tmp_path / "alarms.png")
    assert [panel.get_title(loc="left") for panel in figure.axes[::2]] == ["a"]
    assert (tmp_path / "alarms.png").exists()


def test_messages() -> None:
    with pytest.raises(ValueError, match="surprise must have the columns timestamp, surprise"):
        plot_surprise(series(), found().drop(columns="surprise"))
    with pytest.raises(ValueError, match="items must be in both"):
        plot_surprise(series(), found(), items=["other"])
    with pytest.raises(ValueError, match="path must end in"):
        plot_surprise(series(), found(), path="surprise.gif")
