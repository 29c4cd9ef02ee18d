"""Averages of a network's weights over training steps, and the best of them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Network = TypeVar("Network", bound=nn.Module)
Weights = dict[str, Tensor]


class AveragedWeights(Generic[Network]):
    """Exponential mean of a network's weights over steps.

    Args:
        network: whose weights are averaged; it is copied.
        decay: share of the mean that a step keeps; 0 takes the last weights.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self._average = AveragedModel(network, multi_avg_fn=_averaging(decay))

    @property
    def network(self) -> Network:
        """The network with averaged weights."""
        return cast(Network, self._average.module)

    def update(self, network: Network, step: int) -> None:
        """Take in the weights after a step; steps count from 1."""
        # With the full decay an early mean would stay near the start: its memory grows with the steps.
        self._average.multi_avg_fn = _averaging(min(self.decay, step / (step + 10)))
        self._average.update_parameters(network)


class BestWeights(Generic[Network]):
    """The averaged weights of least loss so far; the network's own weights before the first better ones.

    Args:
        network: the network that is trained, at its start.
        decay: see `AveragedWeights`.
        loss: of the start, which an average has to beat; infinite where any may replace it.

    Attributes:
        average: the `AveragedWeights`, to be updated after each step.
        state: the best weights.
        loss: theirs.
        at: step or epoch they come from, 0 for the start.
        waited: checks since then.
    """

    def __init__(self, network: Network, decay: float, loss: float) -> None:
        self.average = AveragedWeights(network, decay)
        self.loss, self.at, self.waited = loss, 0, 0
        self.state = copied(network)

    def offer(self, loss: float | None, at: int) -> bool:
        """Keep the average if its loss is the least so far; None (nothing is held out) always keeps it.

        Returns:
            Whether it was kept.
        """
        self.waited += 1
        better = loss is None or loss < self.loss
        if better:
            self.state, self.at, self.waited = copied(self.average.network), at, 0
            self.loss = self.loss if loss is None else loss
        return better


def copied(network: nn.Module) -> Weights:
    """The weights as they are now, on their device."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _averaging(decay: float) -> Any:
    """torch's exponential averaging of weights."""
    return get_ema_multi_avg_fn(decay)
