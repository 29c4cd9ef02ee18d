"""ReadingNetwork: its files, its loss, and that it learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.forecasting.reads.batches import batch
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.features import boundary_inputs
from titans_ts.forecasting.reads.series import take

STEPS = torch.arange(1, 13)


def examples():
    series = batch(length=320)
    at = Boundaries.of(series, 40)
    places = torch.arange(20, 36).expand(4, -1)
    columns = at.chosen(places).times(STEPS)
    inputs = boundary_inputs(at, places, STEPS)
    inputs = type(inputs)(*(part.float() for part in inputs))
    return inputs, take(series.filled, columns).float(), take(series.observed, columns).float()


def test_it_learns():
    torch.manual_seed(0)
    network = ReadingNetwork(ReadingConfig(width=32, depth=1, step_width=16))
    inputs, targets, observed = examples()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = network.loss(inputs, STEPS, targets, observed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@torch.no_grad()
def test_the_loss_is_the_pinball_loss_of_observed_steps():
    network = ReadingNetwork(ReadingConfig(width=16, depth=0, step_width=8)).eval()
    inputs, targets, observed = examples()
    deciles = network(inputs, STEPS).detach()
    wanted = (targets - inputs.centre) / inputs.scale
    total = 0.0
    for place in range(9):
        level, error = (place + 1) / 10, wanted - deciles[..., place]
        total += float((torch.where(error > 0, level * error, (level - 1) * error) * observed).sum()) * 2 / 9
    assert float(network.loss(inputs, STEPS, targets, observed)) == pytest.approx(
        total / float(observed.sum()), rel=1e-4
    )
    missing = torch.where(observed > 0, targets, 1e6)
    torch.testing.assert_close(
        network.loss(inputs, STEPS, missing, observed), network.loss(inputs, STEPS, targets, observed)
    )


@torch.no_grad()
def test_deciles_are_ordered_and_each_step_is_by_itself():
    network = ReadingNetwork(ReadingConfig(width=16, depth=1, step_width=8)).eval()
    for weight in network.parameters():
        weight.data += torch.randn_like(weight)
    inputs, _, _ = examples()
    whole = network(inputs, STEPS)
    assert (whole.diff(dim=-1) >= 0).all()
    part = network(inputs._replace(drafts=inputs.drafts[..., 3:5]), STEPS[3:5])
    torch.testing.assert_close(part, whole[:, :, 3:5], rtol=1e-3, atol=1e-3)


def test_files(tmp_path):
    network = ReadingNetwork(ReadingConfig((*NAMES, "mixture"), width=16, depth=1, step_width=8)).eval()
    path = tmp_path / "weights.safetensors"
    network.save(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    loaded = ReadingNetwork.load(path)
    assert loaded.config == network.config
    for one, other in zip(loaded.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no ReadingNetwork"):
        ReadingNetwork.load(path)


def test_sizes_are_checked_and_small():
    assert sum(weight.numel() for weight in ReadingNetwork(ReadingConfig()).parameters()) <= 2_000_000
    with pytest.raises(ValueError, match="drafts"):
        ReadingConfig(NAMES[1:])
    with pytest.raises(ValueError, match="names that differ"):
        ReadingConfig((*NAMES, NAMES[0]))
    with pytest.raises(ValueError, match="width"):
        ReadingConfig(width=0)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "zero.safetensors"
    ReadingNetwork(ReadingConfig(width=8, depth=0, step_width=8)).save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["zero.safetensors"]
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"zero\.safetensors holds no ReadingNetwork, or a damaged one"):
        ReadingNetwork.load(path)
