"""The modules of a recipe's `model:` section, what follows from the data filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from titans_ts.core.config import TitansConfig
from titans_ts.genomics.model.config import HeadName, LanguageConfig, ObjectiveName, SequenceConfig, StrandsName
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.training.data import Outputs
from titans_ts.genomics.training.module import (
    BaseLabelsModule,
    LanguageModule,
    LossName,
    RegressionModule,
    SequenceModule,
)
from titans_ts.support.guards.limits import built

BACKBONE, LANGUAGE_BACKBONE = SequenceConfig(1).backbone, LanguageConfig().backbone


@dataclass(frozen=True)
class EncoderOptions:
    """From bases to the tokens that the backbone reads; see `SequenceConfig`.

    Attributes:
        channels: width of the encoder and of the head's input.
        stem: bases that one filter reads, odd.
        pool: bases of one token; null is 4, and 1 where bases have the answers.
        conv_layers: residual convolutions over tokens.
        kernel: tokens that each of them reads, odd.
        merge: neighbouring tokens that the backbone reads as one.
        mixing: false leaves the backbone out (convolutions only), for comparisons.
        bidirectional: with one strand, also read from the end to the start.
    """

    channels: int = 64
    stem: int = 15
    pool: int | None = None
    conv_layers: int = 1
    kernel: int = 5
    merge: int = 2
    mixing: bool = True
    bidirectional: bool = True

    def values(self, per_base: bool) -> dict[str, Any]:
        """Fields of `SequenceConfig`."""
        pool = self.pool if self.pool is not None else 1 if per_base else 4
        return {**asdict(self), "pool": pool}


def classification_module(
    outputs: Any,
    *,
    head: HeadName = "pooled",
    strands: StrandsName = "one",
    encoder: EncoderOptions = EncoderOptions(),
    backbone: TitansConfig = BACKBONE,
    hidden: int = 64,
    head_dropout: float = 0.3,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
) -> SequenceModule:
    """A network that classifies sequences, with its loss, optimiser and schedule.

    Args:
        outputs: of the data (`titans_ts.genomics.training.data.Outputs`), from which classes and length follow.
        head: pooled (motifs anywhere), segments (eight equal parts) or position (sequences of one length).
        strands: one, both (a sequence and its reverse complement get the same answer), or either (one strand drawn in
            training, the mean of both afterwards).
        encoder: from bases to tokens.
        backbone: block, width, heads, layers, memory …
        hidden: width of the head's hidden layer.
        head_dropout: dropout of the head.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on matrices.

    Raises:
        ValueError: a value is out of range or does not fit the data.
    """
    network = _network(outputs, head, strands, encoder, backbone, hidden=hidden, head_dropout=head_dropout)
    return SequenceModule(network, learning_rate, weight_decay)


def base_labels_module(
    outputs: Any,
    *,
    strands: StrandsName = "one",
    encoder: EncoderOptions = EncoderOptions(),
    backbone: TitansConfig = BACKBONE,
    hidden: int = 64,
    head_dropout: float = 0.3,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
) -> BaseLabelsModule:
    """A network that classifies bases, with its loss, optimiser and schedule.

    Args:
        outputs: of the data, from which classes follow.
        strands: one or both; see `SequenceConfig`.
        encoder, backbone, hidden, head_dropout, learning_rate, weight_decay: see `classification_module`.

    Raises:
        ValueError: a value is out of range.
    """
    network = _network(outputs, "per_base", strands, encoder, backbone, hidden=hidden, head_dropout=head_dropout)
    return BaseLabelsModule(network, learning_rate, weight_decay)


def regression_module(
    outputs: Any,
    *,
    loss: LossName = "mse",
    head: HeadName = "pooled",
    strands: StrandsName = "one",
    encoder: EncoderOptions = EncoderOptions(),
    backbone: TitansConfig = BACKBONE,
    hidden: int = 64,
    head_dropout: float = 0.3,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
) -> RegressionModule:
    """A network that predicts a number of each sequence, with its loss, optimiser and schedule.

    Args:
        outputs: of the data, from which mean and spread of the numbers and the length follow.
        loss: mse, huber, or poisson for counts.
        head, strands, encoder, backbone, hidden, head_dropout, learning_rate, weight_decay: see
            `classification_module`.

    Raises:
        ValueError: a value is out of range or does not fit the data.
    """
    network = _network(outputs, head, strands, encoder, backbone, hidden=hidden, head_dropout=head_dropout)
    facts = {"mean": outputs.mean, "spread": outputs.spread}
    return RegressionModule(network, learning_rate, weight_decay, loss=loss, **facts)


def language_module(
    outputs: Any,
    *,
    objective: ObjectiveName = "causal",
    soft_mask_weight: float = 1.0,
    backbone: TitansConfig = LANGUAGE_BACKBONE,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
) -> LanguageModule:
    """A network that predicts bases, with its loss, optimiser and schedule.

    Args:
        outputs: of the data, from which the length of windows follows.
        objective: causal (each base from those before it) or masked (from all others in its window).
        soft_mask_weight: weight of lower-case bases in the loss.
        backbone: block, width, heads, layers, memory …
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on matrices.

    Raises:
        ValueError: a value is out of range.
    """
    assert isinstance(outputs, Outputs)
    config = LanguageConfig(objective, soft_mask_weight, backbone)
    network = built(partial(LanguageNetwork, config), "the network")
    return LanguageModule(network, learning_rate, weight_decay, context_length=outputs.context_length)


def _network(
    outputs: Any, head: HeadName, strands: StrandsName, encoder: EncoderOptions, backbone: TitansConfig, **values: Any
) -> SequenceNetwork:
    """The network for the data.

    Raises:
        ValueError: head and data do not fit.
    """
    assert isinstance(outputs, Outputs)
    per_base = outputs.task == "base_labels"
    if (head == "per_base") != per_base:
        raise ValueError("head 'per_base' is for task base_labels: choose pooled, segments or position")
    if head == "position" and not outputs.length:
        raise ValueError("head 'position' needs sequences of one length, these differ: choose 'segments'")
    config = SequenceConfig(
        max(1, len(outputs.classes)),
        head=head,
        strands=strands,
        length=outputs.length if head == "position" else 0,
        backbone=backbone,
        **encoder.values(per_base),
        **values,
    )
    network = built(partial(SequenceNetwork, config), "the network")
    # A bias before a norm changes nothing, and AdamW moves it by the signs of rounding errors, which
    # would differ with the number of processes.
    bias = network.encoder.stem.bias
    assert bias is not None
    bias.requires_grad_(False)
    return network


# Task of a recipe → its module.
MODULES: dict[str, Callable[..., SequenceModule]] = {
    "sequence_classification": classification_module,
    "sequence_regression": regression_module,
    "base_labels": base_labels_module,
    "language_model": language_module,
}
