"""Training: never worse than the linear part on the held-out windows, reproducible, interruptible, quiet."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.forecasting.networks import network_for, series, small_backbone, store_of
from titans_ts.core.config import TitansConfig
from titans_ts.core.optim import parameter_groups
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.training.config import TrainingConfig, TrainingResult
from titans_ts.forecasting.training.fit import refit, train
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.forecasting.training.steps import BestSteps

STORE = store_of(series())


def run(network: ForecastNetwork, **changes: object) -> TrainingResult:
    windows, held = STORE.split(4)
    config = TrainingConfig(**{"max_steps": 6, "batch_size": 16, "checks": 3, "progress": False, **changes})  # type: ignore[arg-type]
    return train(network, STORE, windows, held, config)


def is_linear(network: ForecastNetwork) -> bool:
    """Whether nothing is added to the linear part."""
    return not any(bool(p.any()) for layer in (network.from_last, network.from_horizon) for p in layer.parameters())


def weights(network: ForecastNetwork) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_the_result_is_never_worse_than_the_linear_part_on_held_out_windows() -> None:
    result = run(network_for(STORE), learning_rate=10.0, max_steps=4)
    assert result.best_loss <= result.start_loss


def test_the_network_learns_what_a_linear_part_cannot() -> None:
    records = [
        replace(r, target=r.target + 3 * np.abs(r.feat_dynamic_real[0, : r.length]))  # type: ignore[index]
        for r in series(length=800, known=1)
    ]
    store = store_of(records)
    network = network_for(store, known=1, head_dropout=0.0, backbone=small_backbone(width=16))
    training, held = store.split(20)
    config = TrainingConfig(max_steps=150, batch_size=64, learning_rate=1e-2, progress=False)
    result = train(network, store, training, held, config)
    assert result.best_loss < 0.7 * result.start_loss and result.best_step > 0


def test_training_is_reproducible_and_leaves_the_global_generator_alone() -> None:
    one, two, other = network_for(STORE), network_for(STORE), network_for(STORE)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run(one, max_steps=3)
    assert torch.equal(torch.rand(1), expected)
    run(two, max_steps=3)
    run(other, max_steps=3, seed=1)
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def test_zero_steps_leave_the_linear_part() -> None:
    result = run(network_for(STORE), max_steps=0)
    assert result.steps == 0 and result.best_step == 0


def test_time_budget_stops_early_with_a_usable_model() -> None:
    network = network_for(STORE)
    result = run(network, time_budget=1e-6, max_steps=500)
    assert result.stopped == "time budget" and result.steps < 500
    assert network(STORE.batch(STORE.last_window())).mean.isfinite().all()


def test_no_step_is_taken_after_the_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    network, plain = network_for(STORE), network_for(STORE)
    clock = itertools.count(0, 10)
    monkeypatch.setattr("titans_ts.forecasting.training.fit.time", SimpleNamespace(monotonic=lambda: next(clock)))
    result = run(network, time_budget=5.0)
    assert (result.steps, result.best_step, result.stopped, result.network_weight) == (0, 0, "time budget", 0.0)
    run(plain, max_steps=0)
    assert torch.equal(weights(network), weights(plain))


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_weighed_is_what_is_kept(finished: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose second training came to no end is left out, and its linear part gets weights of its own."""
    seen: list[ForecastNetwork] = []

    def weigh(network: ForecastNetwork) -> float:
        seen.append(copy.deepcopy(network))
        return 1.0

    windows, held = STORE.split(4)
    config = TrainingConfig(max_steps=6, batch_size=16, checks=3, progress=False, learning_rate=1e-2)

    def ended(*arguments: Any) -> bool:
        refit(*arguments)
        return finished

    monkeypatch.setattr("titans_ts.forecasting.training.fit.refit", ended)
    monkeypatch.setattr("titans_ts.forecasting.training.fit.network_weight", lambda *_: 0.5)
    monkeypatch.setattr(BestSteps, "check", lambda keeper, step: keeper.kept.offer(None, step))
    network = network_for(STORE)
    result = train(network, STORE, windows, held, config, refit_windows=STORE.windows(), weigh=weigh)
    first, weighed = seen
    assert is_linear(first)
    assert is_linear(weighed) == is_linear(network) == (not finished)
    assert result.network_weight == (0.5 if finished else 0.0)


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_gradient_steps_only_where_the_linear_part_counts(share: float) -> None:
    windows, held = STORE.split(4)
    config = TrainingConfig(max_steps=6, batch_size=16, checks=3, progress=False)
    network = network_for(STORE)
    result = train(network, STORE, windows, held, config, refit_windows=STORE.windows(), weigh=lambda _: share)
    assert (result.stopped == "small share") == (result.steps == 0) == (share < 0.5)
    assert share > 0.5 or is_linear(network)


def test_a_network_without_a_linear_part_is_trained_whatever_its_share() -> None:
    windows, held = STORE.split(4)
    config = TrainingConfig(max_steps=6, batch_size=16, checks=3, progress=False)
    network = network_for(STORE, linear="none")
    result = train(network, STORE, windows, held, config, refit_windows=STORE.windows(), weigh=lambda _: 0.0)
    assert result.steps > 0


def test_phases_and_checks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    windows, held = STORE.split(4)
    config = TrainingConfig(max_steps=6, batch_size=16, checks=3, progress=False)
    with caplog.at_level(logging.INFO, "titans_ts.progress"):
        train(network_for(STORE), STORE, windows, held, config, refit_windows=STORE.windows(), weigh=lambda _: 1.0)
    phases = [
        "fitting the linear part",
        "weighing experts on held-out windows",
        "fitting the linear part on all windows",
        "weighing experts on held-out windows",
    ]
    assert [message for message in caplog.messages if "step" not in message] == phases
    checks = [message for message in caplog.messages if message.startswith("training, step")]
    assert [message.split(",")[1] for message in checks] == [" step 2 of 6", " step 4 of 6", " step 6 of 6"]
    assert all(re.search(r", held-out loss \d*\.\d+$", message) for message in checks)


def test_early_stopping() -> None:
    result = run(network_for(STORE), learning_rate=5.0, max_steps=400, checks=200, patience=2)
    assert result.stopped == "early stopping" and result.steps < 400


def test_ctrl_c_keeps_the_best_model_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    network, step = network_for(STORE), ForecastingModule.training_step
    before = signal.getsignal(signal.SIGINT)
    calls = []

    def interrupted(self: ForecastingModule, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        calls.append(batch_idx)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ForecastingModule, "training_step", interrupted)
    result = run(network, max_steps=400)
    assert result.stopped == "interrupted" and result.steps == 3
    assert network(STORE.batch(STORE.last_window())).mean.isfinite().all()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_not_finite_stops_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_for(STORE)
    losses = network.row_losses

    def spoilt(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        total, observed = losses(batch)
        return total * (torch.nan if network.training else 1.0), observed

    monkeypatch.setattr(network, "row_losses", spoilt)
    with pytest.raises(ValueError, match="lower learning_rate"):
        run(network)


def test_nothing_is_written_and_nothing_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(network_for(STORE), max_steps=3)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_parameter_groups_cover_every_parameter_once() -> None:
    network = network_for(STORE, backbone=small_backbone(block="mac"))
    groups = parameter_groups(network, 0.1)
    counted = sum(p.numel() for group in groups for p in group["params"])
    assert counted == sum(p.numel() for p in network.parameters())
    assert {id(p) for p in groups[0]["params"]}.isdisjoint(id(p) for p in groups[1]["params"])


def test_module_takes_plain_values_and_keeps_them_plain() -> None:
    network = network_for(STORE)
    module = ForecastingModule(network.config.to_dict(), learning_rate=0.5)
    assert module.network.config == network.config
    assert isinstance(module.hparams["network"], dict) and isinstance(TitansConfig(), TitansConfig)
