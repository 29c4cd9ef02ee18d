"""What the held-out windows decide: shrinkage towards the linear part."""

from __future__ import annotations

import pytest
import torch

from tests.forecasting.networks import network_for, series, shake, store_of
from titans_ts.forecasting.model.network import linear_part
from titans_ts.forecasting.training.holdout import Losses, held_out_losses, network_weight, time_blocks

STORE = store_of(series())
BLOCKS = torch.arange(40) // 4


def losses(values: torch.Tensor) -> Losses:
    return Losses(values.double(), torch.ones(len(values)))


def test_a_sure_gain_is_kept_and_a_noisy_one_is_not() -> None:
    before = losses(torch.ones(40))
    noise = torch.randn(10, generator=torch.Generator().manual_seed(0)).repeat_interleave(4)
    assert network_weight(before, losses(0.5 + 0.01 * noise), BLOCKS) > 0.99
    assert network_weight(before, losses(0.99 + 2.0 * noise), BLOCKS) < 0.5
    assert network_weight(before, losses(1.5 * torch.ones(40)), BLOCKS) == 0.0


def test_few_blocks_keep_half_and_no_window_keeps_all() -> None:
    assert network_weight(losses(torch.ones(4)), losses(torch.zeros(4)), torch.zeros(4)) == 0.5
    empty = losses(torch.zeros(0))
    assert network_weight(empty, empty, torch.zeros(0)) == 1.0


def test_weight_is_one_minus_the_squared_relative_error_of_block_sums_times_what_chance_gives() -> None:
    before, after = losses(torch.ones(40)), losses(torch.rand(40, generator=torch.Generator().manual_seed(3)))
    sums = (before.total - after.total).reshape(10, 4).sum(1)
    error = sums.std() * 10**0.5
    assert network_weight(before, after, BLOCKS) == pytest.approx(float(1 - 9 / 7 * (error / sums.sum()) ** 2))


def test_few_blocks_must_show_a_gain_more_clearly_than_many() -> None:
    gains = torch.tensor([0.1, 0.3])
    few, many = (
        network_weight(losses(torch.ones(2 * n)), losses(1 - gains.repeat(n)), torch.arange(2 * n)) for n in (2, 20)
    )
    assert few < 1 - (0.1 / 0.2) ** 2 / 4 < many


@pytest.mark.parametrize(
    ("count", "horizon", "blocks_found"), [(10, 20, 1), (40, 20, 2), (41, 20, 2), (59, 20, 2), (60, 20, 3)]
)
def test_time_blocks_are_never_shorter_than_a_horizon(count: int, horizon: int, blocks_found: int) -> None:
    positions = (500 + torch.arange(count)).repeat(3)
    blocks = time_blocks(positions, horizon)
    sizes = blocks.unique(return_counts=True)[1]
    assert len(sizes) == blocks_found
    assert int(sizes.min()) >= 3 * min(count, horizon)
    assert torch.equal(blocks.reshape(3, -1)[0], blocks.reshape(3, -1)[2])


def test_losses_of_windows_add_up_to_the_loss_of_the_batch() -> None:
    network = shake(network_for(STORE))
    batch = STORE.batch(STORE.windows().take(slice(0, 30)))
    batch["future_observed_values"][3, :4] = 0
    assert held_out_losses(network, [batch]).mean == pytest.approx(network.loss(batch).item(), rel=1e-5)


def test_shrinking_leads_from_the_network_to_the_linear_part() -> None:
    network = network_for(STORE)
    windows = STORE.windows()
    network.fit_linear([lambda: [STORE.batch(windows)]])
    shake(network)
    with torch.no_grad():
        network.head.residual_quantiles.add_(0.3)  # type: ignore[operator]
    batch, alone = STORE.batch(STORE.last_window()), linear_part(network)
    full, linear = network(batch).quantiles, alone(batch).quantiles
    network.shrink_to_linear(1.0)
    torch.testing.assert_close(network(batch).quantiles, full)
    network.shrink_to_linear(0.0)
    torch.testing.assert_close(network(batch).quantiles, linear)
    assert (full - linear).abs().max() > 0.05
