"""FittedParts: networks, linear part and weights of a trained DNA model; FittedClassifier: parts and classes.

Neither knows the scikit-learn facades.

Shapes: n sequences, T bases of one, S sources (the mean of the networks, then the linear models), K classes, labels or
targets, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.linear.blend import blend, probabilities
from titans_ts.genomics.linear.features import PositionFeatures
from titans_ts.genomics.linear.kernel import KernelModel
from titans_ts.genomics.linear.model import LinearModel
from titans_ts.genomics.model.config import SequenceConfig, TaskName
from titans_ts.genomics.model.inference import base_embeddings, base_logits, network_embeddings, network_logits
from titans_ts.genomics.model.network import SequenceNetwork

FloatArray = npt.NDArray[np.float64]
# A row per sequence, or an array (T, …) per sequence where bases have the answers.
Answers = FloatArray | list[FloatArray]
# A model of the linear part.
CountedModel = LinearModel | KernelModel


@dataclass(frozen=True)
class FittedParts:
    """Networks, linear part and the weights that blend them.

    Attributes:
        networks: the ensemble, on the CPU, in evaluation mode.
        linear: models of the linear part; none without one.
        weights: (S,) blend weights of the networks' mean and of the linear models; (S, K) for numbers.
        linear_weights: (S − 1,) or (S − 1, K) blend weights of the linear models where they answer without the
            networks.
        choices: held-out loss of everything that was compared.
        training: what the training of each network did.
    """

    networks: list[SequenceNetwork]
    linear: list[CountedModel]
    weights: FloatArray
    linear_weights: FloatArray
    choices: dict[str, float] = field(default_factory=dict)
    training: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> SequenceConfig:
        """Of every network."""
        return self.networks[0].config

    @property
    def per_base(self) -> bool:
        """Whether bases have the answers."""
        return self.networks[0].head.per_base

    @property
    def length(self) -> int:
        """Bases of every sequence, where the head or a linear model that is used reads positions; 0 for any number."""
        used = np.asarray(self.weights.reshape(len(self.weights), -1).any(1))[1:]
        counted = [model.features for model, use in zip(self.linear, used, strict=True) if use]
        read = (features.length for features in counted if isinstance(features, PositionFeatures))
        return self.config.length or max(read, default=0)

    def check_lengths(self, codes: Sequence[Codes], length: int | None = None) -> None:
        """Refuse sequences of another length than those of training where positions are read.

        Args:
            codes: n sequences.
            length: bases that they must have, 0 for any number; None for `length`.

        Raises:
            ValueError: with the first such sequence.
        """
        length = self.length if length is None else length
        wrong = next((place for place, one in enumerate(codes) if length and len(one) != length), None)
        if wrong is not None:
            reader = "head 'position'" if self.config.length else "the linear part, which reads positions,"
            other = "train with another head" if self.config.length else "train on sequences of several lengths"
            raise ValueError(
                f"{reader} learned {length} bases, got {len(codes[wrong])} (sequence {wrong}): cut windows of "
                f"{length} bases, or {other}"
            )

    def outputs(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """Blended outputs (n, K); a list of n arrays (T, K) where bases have the answers.

        Raises:
            ValueError: a sequence of another length where positions are read.
        """
        self.check_lengths(codes)
        if self.per_base:
            bases = [base_logits(network, codes, device) for network in self.networks]
            return [self.weights[0] * np.mean(rows, axis=0) for rows in zip(*bases, strict=True)]
        network = partial(self._network_outputs, codes, device)
        return self._blend([network, *self._linear_sources(codes)], self.weights, len(codes))

    def linear_outputs(self, codes: Sequence[Codes]) -> FloatArray | None:
        """Outputs (n, K) of the linear part alone, weighted for itself; None without a linear part."""
        if not self.linear:
            return None
        return self._blend(self._linear_sources(codes), self.linear_weights, len(codes))

    def embeddings(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """Input features of the heads (n, F), networks side by side; a list of n arrays (T, F) where bases have the
        answers.

        Raises:
            ValueError: as `outputs`.
        """
        self.check_lengths(codes, self.config.length)
        if self.per_base:
            bases = [base_embeddings(network, codes, device) for network in self.networks]
            return [np.concatenate(rows, axis=-1) for rows in zip(*bases, strict=True)]
        return np.concatenate([network_embeddings(network, codes, device) for network in self.networks], axis=-1)

    def _network_outputs(self, codes: Sequence[Codes], device: torch.device) -> FloatArray:
        return np.asarray(np.mean([network_logits(network, codes, device) for network in self.networks], axis=0))

    def _linear_sources(self, codes: Sequence[Codes]) -> list[Callable[[], FloatArray]]:
        return [partial(model, codes) for model in self.linear]

    def _blend(self, sources: list[Callable[[], FloatArray]], weights: FloatArray, count: int) -> FloatArray:
        """(n, K); sources of weight 0 are not computed."""
        used = np.flatnonzero(weights.reshape(len(weights), -1).any(1))
        if not len(used):
            # No source was better than chance on held-out sequences: all classes get the same probability, numbers
            # their mean.
            return np.zeros((count, self.config.outputs))
        return blend(np.stack([sources[place]() for place in used], axis=1), weights[used])


@dataclass(frozen=True)
class FittedClassifier:
    """Classes and the parts whose outputs are calibrated logits.

    Attributes:
        classes: (K,) sorted classes; the labels' names with several labels.
        parts: networks, linear part and blend weights.
    """

    classes: npt.NDArray[Any]
    parts: FittedParts

    @property
    def networks(self) -> list[SequenceNetwork]:
        """The ensemble."""
        return self.parts.networks

    @property
    def linear(self) -> list[CountedModel]:
        """Models of the linear part."""
        return self.parts.linear

    @property
    def weights(self) -> FloatArray:
        """(S,) blend weights."""
        return self.parts.weights

    @property
    def choices(self) -> dict[str, float]:
        """Held-out log loss in nats of everything that was compared."""
        return self.parts.choices

    @property
    def training(self) -> list[dict[str, Any]]:
        """What the training of each network did."""
        return self.parts.training

    @property
    def config(self) -> SequenceConfig:
        """Of every network."""
        return self.parts.config

    @property
    def task(self) -> TaskName:
        """Whether classes exclude each other."""
        return self.config.task

    def logits(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """Blended and calibrated logits (n, K); a list of n arrays (T, K) where bases have the answers."""
        return self.parts.outputs(codes, device)

    def decisions(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """`logits`; of two classes that exclude each other the log odds of the second, (n,) or n arrays (T,)."""
        logits = self.logits(codes, device)
        if len(self.classes) != 2 or self.task != "classes":
            return logits
        if isinstance(logits, list):
            return [row[..., 1] - row[..., 0] for row in logits]
        return logits[..., 1] - logits[..., 0]

    def probabilities(self, codes: Sequence[Codes], device: torch.device) -> Answers:
        """Calibrated probabilities, shaped as `logits`: rows add up to 1 unless labels do not exclude each other."""
        logits = self.logits(codes, device)
        if isinstance(logits, list):
            return [probabilities(row, "classes") for row in logits]
        return probabilities(logits, self.task)

    def linear_probabilities(self, codes: Sequence[Codes]) -> FloatArray | None:
        """Probabilities (n, K) of the linear part alone, calibrated for itself; None without a linear part."""
        logits = self.parts.linear_outputs(codes)
        return None if logits is None else probabilities(logits, self.task)
