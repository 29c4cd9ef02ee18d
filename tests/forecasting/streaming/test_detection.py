"""Surprise as a table, and alarms at the requested rate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tests.forecasting.common import forecaster, frame, values
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.streaming.detection import (
    PARTS,
    conformal_threshold,
    departures,
    initial_running,
    score,
    token_levels,
)

OPTIONS = {"patch_length": 6, "patch_stride": 6, "memory": {"chunk_size": 4}}


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return forecaster(max_steps=0, options=OPTIONS).fit(frame(length=600))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("count", [99, 150, 1000])
def test_false_alarms_of_exchangeable_scores(rate: float, count: int) -> None:
    random = np.random.default_rng(count)
    scores = torch.from_numpy(random.gumbel(size=(2000, count + 1)))
    alarms = scores[:, -1] > conformal_threshold(scores[:, :-1], rate)
    expected = np.floor(rate * (count + 1) + 1e-9) / (count + 1)
    assert abs(float(alarms.double().mean()) - expected) < 4 * (expected / 2000) ** 0.5
    assert expected <= rate


def test_threshold_is_a_score_and_missing_ones_do_not_count() -> None:
    scores = torch.tensor([[3.0, 1.0, torch.nan, 2.0, 4.0]]).double()
    assert conformal_threshold(scores, 0.2).item() == 4.0
    assert conformal_threshold(scores, 0.4).item() == 3.0
    with pytest.raises(ValueError, match=r"at least 5 tokens.*got 4"):
        conformal_threshold(scores[:, :5], 0.17)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        conformal_threshold(scores, 1.0)


def test_score_of_a_missing_token_is_missing() -> None:
    loss, errors = torch.ones(1, 2, 2, 3), torch.ones(1, 2, 2, 4)
    loss[0, 1], errors[0, :, 1] = torch.nan, torch.nan
    levels = token_levels(loss, errors)
    assert levels[0, 1].isnan().all()
    assert torch.allclose(levels[0, 0], torch.tensor([0.0, 0.0, 0.75, 0.0]).double(), atol=1e-6)
    assert score(levels[:, :, None])[0, 1].isnan()
    errors[0, :, 1, 0] = 1.0
    # One observed step is enough.
    assert torch.equal(token_levels(loss, errors)[0, 1, [1, 3]], levels[0, 0, [1, 3]])


def test_score_counts_quiet_steps_but_not_familiar_patches() -> None:
    def of(*parts: float) -> float:
        return float(score(torch.tensor([parts, parts]).double()))

    # patch, step, dynamics, season
    assert of(-3.0, 0.0, 0.0, -3.0) == 0
    assert of(0.0, -2.0, 0.0, 0.0) == 1
    assert of(torch.nan, -2.0, torch.nan, torch.nan) == 2


def test_departures_are_compared_with_the_past_alone_and_continue() -> None:
    levels = torch.from_numpy(np.random.default_rng(0).normal(3, 2, size=(2, 400, len(PARTS))))
    levels[0, 50] = torch.nan
    found, after = departures(levels, initial_running(2))
    assert found[:, :10].isnan().all() and found[0, 50].isnan().all()
    assert not found[0, 51:].isnan().any() and not found[1, 10:].isnan().any()
    assert abs(float(found[:, 51:].mean())) < 0.2 and abs(float(found[:, 51:].std()) - 1) < 0.15
    first, between = departures(levels[:, :77], initial_running(2))
    second, last = departures(levels[:, 77:], between)
    assert torch.equal(torch.cat([first, second], dim=1).nan_to_num(), found.nan_to_num()) and torch.equal(last, after)
    spoilt = levels.clone()
    spoilt[:, 300] += 1000
    other, _ = departures(spoilt, initial_running(2))
    assert torch.equal(other[:, 10:50], found[:, 10:50])
    # One anomaly, however wild, does not make the next tokens look usual.
    assert (other[:, 300] > 100).all() and (other[:, 301:, 0] - found[:, 301:, 0]).abs().max() < 0.6


def test_averages_vary_as_departures_do_and_grow_where_a_departure_stays() -> None:
    levels = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 400, len(PARTS))))
    found, _ = departures(levels, initial_running(50))
    single, average = found[:, 100:].unbind(2)
    assert abs(float(average.std() / single.std()) - 1) < 0.05
    levels[:, 300:] += 1.5
    single, average = departures(levels, initial_running(50))[0][:, 303:306].unbind(2)
    assert average.mean() > 1.5 * single.mean()


def test_surprise_table(model: TitansForecaster) -> None:
    found = model.surprise(frame(length=130))
    ends = pd.date_range("2024-01-01 05:00", periods=21, freq="6h")
    assert list(found["item_id"]) == ["b"] * 21 + ["a"] * 21
    assert list(found["timestamp"][:21]) == list(ends)
    names = [f"{what}.0.{head}" for what in ("loss", "gradient") for head in (0, 1)]
    assert list(found.columns) == ["item_id", "timestamp", "surprise", *PARTS, *names]
    read = found.groupby("item_id").cumcount() >= 4 + 10
    assert found.loc[read, "surprise"].notna().all() and found.loc[~read, "surprise"].isna().all()
    assert found.loc[read, list(PARTS)].notna().all().all() and (found.loc[read, "surprise"] > 0).all()
    assert (found[names] > 0).all().all()
    stream = model.stream(frame(length=130))
    assert stream.surprise is not None and stream.surprise.timestamp == found["timestamp"][20]
    assert np.allclose(stream.surprise.loss[1, 0], found[["loss.0.0", "loss.0.1"]].iloc[-1], rtol=1e-4)
    assert np.allclose(stream.surprise.departure[1], found[list(PARTS)].iloc[-1], rtol=1e-3)
    assert np.allclose(stream.surprise.score[1], found["surprise"].iloc[-1], rtol=1e-3)


def later(spoil: bool) -> pd.DataFrame:
    """The 60 steps after 600, in "b" with a day of noise when it is spoilt."""
    data = frame(length=660)
    data["target"] = np.concatenate([values(660, 0, 0), values(660, 5, 1)])
    data = data[data["timestamp"] >= data["timestamp"][600]].reset_index(drop=True)
    if spoil:
        data.loc[24:35, "target"] += 8 * np.random.default_rng(0).choice([-1, 1], size=12)
    return data


def test_alarms_fall_on_what_is_strange(model: TitansForecaster) -> None:
    found = model.detect(later(spoil=True), 0.05, history=frame(length=600))
    assert list(found.columns) == ["item_id", "timestamp", "surprise", "threshold", "alarm", *PARTS]
    assert len(found) == 20
    strange = (found["item_id"] == "b") & found["timestamp"].between("2024-01-27 05:00", "2024-01-27 11:00")
    assert found["alarm"][strange].all()
    # The day after, values of the strange one are what a season ago was.
    echo = (found["item_id"] == "b") & (found["timestamp"] > "2024-01-27 11:00")
    assert found["alarm"][~strange & ~echo].mean() < 0.3
    stream = model.stream(frame(length=600))
    alarms = []
    for _, steps in later(spoil=True).groupby("timestamp"):
        stream.observe(steps)
        if stream.steps % 6 == 0:
            alarms.append(stream.detect(0.05))
    assert (np.stack(alarms, axis=1).reshape(-1) == found["alarm"].to_numpy()).all()


def test_messages(model: TitansForecaster) -> None:
    with pytest.raises(ValueError, match="tokens of history"):
        model.detect(later(spoil=False), 0.001)
    with pytest.raises(ValueError, match=r"\(0, 1\), got 'a'"):
        model.detect(later(spoil=False), "a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"DataFrame of rows.*ndarray"):
        model.detect(np.ones((2, 5)), 0.1)
    with pytest.raises(ValueError, match="completes no token"):
        model.detect(later(spoil=False)[:3], 0.1)
    with pytest.raises(ValueError, match="comes late"):
        model.detect(frame(length=600), 0.1)
    with pytest.raises(ValueError, match="no surprise"):
        model.surprise(frame(length=10))
    blind = forecaster(block="attention", max_steps=0, options=OPTIONS).fit(frame())
    with pytest.raises(ValueError, match="no memory"):
        blind.surprise()
    with pytest.raises(ValueError):
        blind.stream().detect(0.1)
