"""Pretrained reads beside the experts: their shares, averages, series one by one, the model folder, the forecaster."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from tests.forecasting.common import ROLES, forecaster, frame, with_covariates
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.experts.companion import LEAST, Companion
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.shares import Shares
from titans_ts.forecasting.pretrained.reads import NAME, PretrainedReads
from titans_ts.forecasting.pretrained.tuned_reads import Tuned
from titans_ts.forecasting.pretrained.weighing import PRIOR, unweighed, weighed
from titans_ts.support.model_folder import sealed

LEVELS = [0.1, 0.5, 0.9]


class Oracle(PretrainedReads):
    """Reads that say the same of every series and step: a normal distribution around `level`."""

    level = 0.0

    def quantiles(self, histories, horizon, levels, covariates=None):
        return np.tile(self.level + ndtri(np.asarray(levels)), (len(histories), horizon, 1))


class Right(Oracle):
    """Those that know the level."""

    level = 50.0


def steps(level: float, length: int = 120, seed: int = 0) -> np.ndarray:
    """White noise around a level."""
    return level + np.random.default_rng(seed).normal(size=length)


def mixture_of(histories: list[np.ndarray], reads: PretrainedReads, horizon: int = 7) -> FittedMixture:
    plain = FittedMixture.learn(histories, horizon, reads.season, reads.second)
    companion = weighed(reads, histories, range(len(histories)), horizon)
    return FittedMixture(plain.season, plain.second, plain.statistics, companion=companion)


def test_good_reads_get_a_large_share_and_bad_ones_none():
    histories = [steps(50.0, seed=seed) for seed in range(12)]
    assert weighed(Oracle(7), histories, range(12), 7).shares.panel.max() == 0
    assert weighed(Right(7), histories, range(12), 7).shares.panel.min() >= PRIOR


def test_without_windows_the_share_is_the_prior():
    found = weighed(PretrainedReads(7), [steps(1.0, 20)], [0], 30).shares
    assert (found.panel == PRIOR).all() and not found.series
    assert (weighed(PretrainedReads(7), [np.full(9, np.nan)], [0], 3).shares.panel == PRIOR).all()


def test_quantiles_are_averaged_level_by_level():
    history = [steps(50.0)]
    plain = FittedMixture(7).forecast(history, 5, LEVELS)
    reads = PretrainedReads(7)
    found = FittedMixture(7, companion=Companion(reads, Shares.only(0.25))).forecast(history, 5, LEVELS)
    expected = 0.75 * plain.quantiles + 0.25 * reads.quantiles(history, 5, LEVELS)
    np.testing.assert_allclose(found.quantiles, expected, rtol=1e-6)
    assert found.weights[0, -1] == 0.25
    np.testing.assert_allclose(found.weights[:, :-1], 0.75 * plain.weights)


def test_each_series_is_forecast_by_itself():
    histories = [steps(50.0, 40 + 17 * seed, seed) for seed in range(8)]
    mixture = mixture_of(histories, PretrainedReads(7))
    together = mixture.forecast(histories, 7, LEVELS, codes=range(8))
    for row, history in enumerate(histories):
        alone = mixture.forecast([history], 7, LEVELS, codes=[row])
        np.testing.assert_allclose(together.quantiles[row], alone.quantiles[0], rtol=1e-6)
        np.testing.assert_allclose(together.mean[row], alone.mean[0], rtol=1e-6)


def test_the_order_of_series_does_not_matter():
    histories = [steps(50.0, 60 + seed, seed) for seed in range(9)]
    found = weighed(PretrainedReads(7), histories, range(9), 7).shares
    turned = weighed(PretrainedReads(7), histories[::-1], range(8, -1, -1), 7).shares
    np.testing.assert_array_equal(found.panel, turned.panel)
    assert {name: own.tolist() for name, own in found.series.items()} == {
        name: own.tolist() for name, own in turned.series.items()
    }


def test_a_longer_horizon_begins_with_the_one_of_the_fit():
    histories = [steps(50.0, seed=seed) for seed in range(3)]
    mixture = mixture_of(histories, PretrainedReads(7))
    found = [mixture.forecast(histories, steps_ahead, LEVELS).quantiles for steps_ahead in (3, 7, 20)]
    np.testing.assert_array_equal(found[0], found[1][:, :3])
    np.testing.assert_array_equal(found[1], found[2][:, :7])


def test_constants_stay_and_counts_are_whole():
    rng = np.random.default_rng(0)
    histories = [np.full(60, 3.3), rng.poisson(2.0, 90).astype(float), np.zeros(50), steps(5.0, LEAST - 1)]
    found = FittedMixture(7, companion=unweighed(PretrainedReads(7))).forecast(histories, 6, LEVELS)
    np.testing.assert_array_equal(found.quantiles[0], np.full((6, 3), 3.3))
    np.testing.assert_array_equal(found.quantiles[1], found.quantiles[1].round())
    assert (found.quantiles[2] == 0).all()
    # Where the experts' interval has no width there is nothing to add to it.
    assert found.weights[[0, 2, 3], -1].tolist() == [0.0, 0.0, 0.0]
    assert 0 < found.weights[1, -1] <= 0.5
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0)


def test_written_and_read_again():
    histories = [steps(50.0, seed=seed) for seed in range(3)]
    mixture = mixture_of(histories, PretrainedReads(7))
    values = json.loads(json.dumps(mixture.to_dict(), default=np.ndarray.tolist))
    again = FittedMixture.from_dict(values, PretrainedReads.from_dict)
    found = [one.forecast(histories, 9, LEVELS, codes=range(3)).quantiles for one in (mixture, again)]
    np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="pass the source that makes it"):
        FittedMixture.from_dict(values)


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    return forecaster(max_steps=0, options={"pretrained": "zero"}).fit(frame())


def test_the_default_forecast_has_them(fitted):
    assert fitted.experts_.columns[-1] == NAME
    np.testing.assert_allclose(fitted.experts_.sum(axis=1), 1.0)
    companion = fitted.fitted_.mixture.companion
    own = 1 - fitted.experts_.iloc[:, 0]
    shares = companion.shares.of(fitted.fitted_.row_codes(fitted.panel_.records), 6).mean(axis=1)
    np.testing.assert_allclose(fitted.experts_[NAME], own * shares, rtol=1e-6)


@pytest.mark.parametrize("value", [None, False])
def test_they_can_be_left_out(fitted, value):
    without = forecaster(max_steps=0, options={"pretrained": value}).fit(frame())
    assert NAME not in without.experts_ and without.fitted_.mixture.companion is None
    assert not np.allclose(without.predict()["mean"], fitted.predict()["mean"])
    network = forecaster(max_steps=0, options={"experts": False}).fit(frame())
    assert network.fitted_.mixture.companion is None


@pytest.mark.parametrize("value", ["one", True, 3, ["zero"]])
def test_other_names_are_refused(value):
    with pytest.raises(ValueError, match="pretrained must be 'zero', or None to leave it out"):
        forecaster(options={"pretrained": value}).fit(frame())


def test_a_model_folder_holds_the_share_and_the_checksum(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    again = TitansForecaster.load(folder)
    pd.testing.assert_frame_equal(again.predict(frame()), fitted.predict(frame()))
    config = json.loads((folder / "config.json").read_text())
    config["mixture"]["companion"]["source"]["sha256"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(sealed(config)))
    with pytest.raises(ValueError, match=r"^the model was made with other pretrained weights 'zero'"):
        TitansForecaster.load(folder)


def test_known_covariates_are_read():
    data = with_covariates(160, 6)
    past, future = data.iloc[:160], data.iloc[160:].drop(columns="target")
    options = {"validation_windows": 0, "pretrained": "zero"}
    model = forecaster(max_steps=0, options=options, **ROLES).fit(past)
    found = model.predict(past, future=future)["mean"]
    other = model.predict(past, future=future.assign(price=future["price"] + 3))["mean"]
    reads = model.fitted_.mixture.companion.source
    assert isinstance(reads, PretrainedReads) and not np.allclose(found, other)
    records = model.panel_.records
    known = model.fitted_.covariates(records, 6)
    assert len(known) == 1 and known[0].shape[1] == records[0].length + 6


def test_reads_far_from_the_experts_count_less():
    """A shop that has just opened: nothing in the zeros before tells how well reads follow."""
    history = np.r_[np.zeros(60), np.ones(3)]
    reads = PretrainedReads(7)
    near = unweighed(reads)
    mixture = FittedMixture(7, companion=near).forecast([history], 6, LEVELS)
    alone = FittedMixture(7).forecast([history], 6, LEVELS)
    own = reads.quantiles([history], 6, LEVELS)
    assert np.abs(own[0, :, 1] - alone.quantiles[0, :, 1]).mean() > 0.2
    assert np.abs(mixture.quantiles[0, :, 1] - alone.quantiles[0, :, 1]).mean() < 0.25
    # The levels that are asked for do not change it.
    single = FittedMixture(7, companion=near).forecast([history], 6, (0.5,))
    np.testing.assert_allclose(single.quantiles[..., 0], mixture.quantiles[..., 1])


@pytest.mark.parametrize("kind", ["growth", "level shift"])
def test_reads_far_wider_than_the_experts_count_less(kind):
    rng = np.random.default_rng(0)
    grown = 100 * 1.05 ** np.arange(48) * np.exp(rng.normal(0, 0.02, 48))
    shifted = np.r_[rng.normal(100, 2, 200), rng.normal(160, 2, 10)]
    history, season = (grown, 12) if kind == "growth" else (shifted, 7)
    # Wide whatever weights are installed.
    installed = PretrainedReads(season).pretrained
    wide = Tuned.of(installed.name, installed.card, installed.network.widened(2.0))
    reads = PretrainedReads(season, pretrained=wide)
    companion = weighed(reads, [history], ["a"], 12)
    known = FittedMixture.learn([history], 12, season, 0)
    alone = known.forecast([history], 12, LEVELS).quantiles[0]
    both = replace(known, companion=companion).forecast([history], 12, LEVELS, codes=["a"]).quantiles[0]
    own = reads.quantiles([history], 12, LEVELS)[0]

    def width(quantiles):
        return (quantiles[:, 2] - quantiles[:, 0]).mean()

    assert width(own) > 3 * width(alone)
    assert width(both) < 1.8 * width(alone)


@pytest.mark.parametrize("jump", [-500.0, 500.0])
def test_reads_do_not_count_where_a_series_has_just_gone_elsewhere(jump):
    usual = 10 + np.random.default_rng(0).normal(0, 0.5, 60)
    histories = [
        usual,
        np.r_[usual, jump],
        np.r_[usual, np.full(9, jump)],
        np.r_[usual, usual[-1] + 3],
        np.full(40, 2.0),
    ]
    share = unweighed(PretrainedReads(1)).share(histories, 5, None)
    assert (share > 0).all(axis=1).tolist() == [True, False, True, True, True]
    # A series that never moved before says nothing about what a step means.
    assert (unweighed(PretrainedReads(1)).share([np.r_[np.zeros(40), 1.0]], 5, None) > 0).all()
