"""ForecastNetwork: equivariance, masks, covariates, channels, all heads and blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.forecasting.networks import CONTEXT, HORIZON, START, network_for, series, shake, small_backbone, store_of
from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES, NetworkConfig
from titans_ts.forecasting.model.network import linear_part


def fitted(store: WindowStore, **changes: object):  # type: ignore[no-untyped-def]
    network = network_for(store, **changes)  # type: ignore[arg-type]
    windows = store.windows()
    network.fit_linear([lambda: [store.batch(windows)]])
    return shake(network)


@pytest.mark.parametrize("block", ["lmm", "mac", "mag", "mal", "attention"])
def test_every_block_forecasts(block: str) -> None:
    store = store_of(series())
    network = fitted(store, backbone=small_backbone(block=block, segment=4))
    forecast = network(store.batch(store.last_window()))
    assert forecast.mean.shape == (2, HORIZON) and forecast.mean.isfinite().all()
    assert forecast.quantiles.shape == (2, HORIZON, len(DEFAULT_QUANTILES))


def test_forecasts_follow_a_change_of_units() -> None:
    plain = series(items=1)
    changed = [replace(r, target=-3.0 + 250.0 * r.target) for r in plain]
    one, two = store_of(plain), store_of(changed)
    network = fitted(one)
    a, b = network(one.batch(one.last_window())), network(two.batch(two.last_window()))
    torch.testing.assert_close(b.quantiles, -3.0 + 250.0 * a.quantiles, rtol=1e-3, atol=0.05)
    torch.testing.assert_close(b.mean, -3.0 + 250.0 * a.mean, rtol=1e-3, atol=0.05)


def test_values_under_the_mask_do_not_matter() -> None:
    store = store_of(series())
    network = fitted(store)
    batch = store.batch(store.last_window())
    batch["past_observed_values"][:, 5:9] = 0
    other = {**batch, "past_target": batch["past_target"].clone()}
    other["past_target"][:, 5:9] = 1e6
    torch.testing.assert_close(network(batch).quantiles, network(other).quantiles)


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    store = store_of(series(items=3))
    network = fitted(store)
    together = network(store.batch(store.last_window())).quantiles
    for row in range(3):
        alone = network(store.batch(store.last_window().take(slice(row, row + 1)))).quantiles
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


def test_the_future_target_is_not_read() -> None:
    store = store_of(series())
    network = fitted(store)
    batch = store.batch(store.rolling(3))
    forecast = network(batch).quantiles
    batch["future_target"] = torch.full_like(batch["future_target"], torch.nan)
    torch.testing.assert_close(network(batch).quantiles, forecast)


def test_known_covariates_of_the_horizon_reach_the_forecast_through_the_network() -> None:
    store = store_of(series(known=1))
    network = fitted(store, known=1, linear="none")
    batch = store.batch(store.last_window())
    before = network(batch).mean
    batch["future_time_feat"] = batch["future_time_feat"].clone()
    batch["future_time_feat"][:, -1, -1] += 1.0
    assert (network(batch).mean - before).abs().max() > 1e-4


def test_the_linear_part_finds_the_effect_of_a_known_covariate() -> None:
    store = store_of(series(length=2000, known=1))
    network = network_for(store, known=1)
    windows = store.windows()
    network.fit_linear([lambda: [store.batch(windows)]])
    alone = linear_part(network)
    batch = store.batch(store.rolling(8))
    before = alone(batch).mean
    batch["future_time_feat"] = batch["future_time_feat"].clone()
    batch["future_time_feat"][:, 2, -1] += 1.0
    change = alone(batch).mean - before
    torch.testing.assert_close(change[:, 2], torch.ones(len(change)).double(), atol=0.1, rtol=0)
    assert change[:, [0, 1, 3, 4, 5]].abs().max() < 0.1


def test_before_training_the_network_is_the_linear_part() -> None:
    store = store_of(series())
    network = network_for(store).eval()
    windows = store.windows()
    network.fit_linear([lambda: [store.batch(windows)]])
    batch = store.batch(store.last_window())
    torch.testing.assert_close(network(batch).quantiles, linear_part(network)(batch).quantiles)
    linear = network(batch).mean
    trained = shake(network)
    assert (trained(batch).mean - linear).abs().max() > 1e-4
    torch.testing.assert_close(linear_part(trained)(batch).mean, linear)


def test_the_linear_part_needs_a_fit() -> None:
    with pytest.raises(ValueError, match="fit the model"):
        linear_part(network_for(store_of(series())))


@pytest.mark.parametrize("head", ["quantile", "student_t", "negative_binomial", "point"])
def test_loss_ignores_missing_horizon_steps(head: str) -> None:
    store = store_of(series())
    network = fitted(store, head=head)
    batch = store.batch(store.windows().take(slice(0, 40)))
    batch["future_observed_values"][:, 2] = 0
    loss = network.loss(batch)
    batch["future_target"][:, 2] = 1e5
    torch.testing.assert_close(network.loss(batch), loss)
    assert loss.isfinite()


def channels(count: int = 3) -> WindowStore:
    rng = np.random.default_rng(0)
    target = np.sin(np.arange(200) / 4)[None] + rng.standard_normal((count, 200)) * 0.1 + np.arange(count)[:, None]
    return WindowStore([SeriesRecord("a", START, "h", target)], WindowSpec(CONTEXT, HORIZON))


def test_multichannel_targets_give_multichannel_forecasts() -> None:
    store = channels()
    forecast = fitted(store)(store.batch(store.rolling(2)))
    assert forecast.mean.shape == (2, HORIZON, 3)
    assert forecast.quantiles.shape == (2, HORIZON, 3, len(DEFAULT_QUANTILES))
    assert forecast.mean.mean((0, 1)).diff().gt(0.5).all()


@pytest.mark.parametrize("mixing", [False, True])
def test_channels_see_each_other_only_when_mixed(mixing: bool) -> None:
    store = channels()
    network = fitted(store, channel_mixing=mixing)
    if network.mixer is not None:
        torch.nn.init.normal_(network.mixer.out.weight)
    batch = store.batch(store.rolling(1))
    before = network(batch).mean
    batch["past_target"] = batch["past_target"].clone()
    batch["past_target"][:, -8:, 0] += 1.0
    change = (network(batch).mean - before).abs().amax((0, 1))
    assert change[0] > 1e-3
    assert bool(change[1:].min() > 1e-6) is mixing


def test_config_survives_plain_values() -> None:
    config = NetworkConfig(64, 12, quantiles=(0.1, 0.5), backbone=small_backbone(block="mal"))
    assert NetworkConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context_length": 4}, "context_length must be ≥ patch_length = 16"),
        ({"prediction_length": 0}, "prediction_length must be ≥ 1"),
        ({"patch_stride": 17}, "patch_stride must be 1 to patch_length"),
    ],
)
def test_config_errors_tell_what_to_do(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**{"context_length": 64, "prediction_length": 12, **changes})
