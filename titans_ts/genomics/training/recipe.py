"""The modules of a recipe's `model:` section, what follows from the data filled in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from titans_ts.core.config import TitansConfig
from titans_ts.genomics.model.config import HeadName, LanguageConfig, ObjectiveName, SequenceConfig, StrandsName
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.supervised.pretrained import pretrained_network
from titans_ts.genomics.training.data import Outputs
from titans_ts.genomics.training.module import (
    BaseLabelsModule,
    LanguageModule,
    LossName,
    RegressionModule,
    SequenceModule,
)
from titans_ts.support.guards.limits import built

BALANCED = "balanced"
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
    pretrained: str | None = None,
    pretrained_rate: float = 1.0,
    class_weight: str | dict[str, float] | None = None,
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
        pretrained: folder of a language model to start from, as `titans-ts dna pretrain --model` writes it; encoder and
            backbone are then its own and stay out of the recipe.
        pretrained_rate: learning rate of pretrained weights over that of new ones; 0 does not train them.
        class_weight: balanced (classes count alike, however many examples they have), or weights of classes in the
            loss, as in {promoter: 2, other: 1}; classes that are not named have weight 1.

    Raises:
        FileNotFoundError: there is no folder `pretrained`.
        ValueError: a value is out of range or does not fit the data.
    """
    network = _network(outputs, head, strands, (encoder, backbone, pretrained), hidden, head_dropout)
    weights = class_weights(class_weight, outputs)
    return SequenceModule(network, learning_rate, weight_decay, _rate(pretrained_rate), class_weights=weights)


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
    pretrained: str | None = None,
    pretrained_rate: float = 1.0,
    class_weight: str | dict[str, float] | None = None,
) -> BaseLabelsModule:
    """A network that classifies bases, with its loss, optimiser and schedule.

    Args:
        outputs: of the data, from which classes follow.
        strands: one or both; see `SequenceConfig`.
        encoder, backbone, hidden, head_dropout, learning_rate, weight_decay, pretrained, pretrained_rate, class_weight:
            see `classification_module`.

    Raises:
        FileNotFoundError, ValueError: see `classification_module`.
    """
    network = _network(outputs, "per_base", strands, (encoder, backbone, pretrained), hidden, head_dropout)
    weights = class_weights(class_weight, outputs)
    return BaseLabelsModule(network, learning_rate, weight_decay, _rate(pretrained_rate), class_weights=weights)


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
    pretrained: str | None = None,
    pretrained_rate: float = 1.0,
) -> RegressionModule:
    """A network that predicts a number of each sequence, with its loss, optimiser and schedule.

    Args:
        outputs: of the data, from which mean and spread of the numbers and the length follow.
        loss: mse, huber, or poisson for counts.
        head, strands, encoder, backbone, hidden, head_dropout, learning_rate, weight_decay, pretrained,
            pretrained_rate: see `classification_module`.

    Raises:
        FileNotFoundError, ValueError: see `classification_module`.
    """
    network = _network(outputs, head, strands, (encoder, backbone, pretrained), hidden, head_dropout)
    facts = {"mean": outputs.mean, "spread": outputs.spread}
    return RegressionModule(network, learning_rate, weight_decay, _rate(pretrained_rate), loss=loss, **facts)


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


def class_weights(setting: str | dict[str, float] | None, outputs: Any) -> list[float] | None:
    """Weight of each of K classes, as `DNAClassifier` has them; None where all count alike.

    Args:
        setting: None, "balanced", or names of classes and their weights; others have weight 1.
        outputs: of the data.

    Raises:
        ValueError: another word, a class that the data lack, or a weight that is negative or no number.
    """
    if setting is None:
        return None
    names = [str(name) for name in outputs.classes]
    if setting == BALANCED:
        return [sum(outputs.counts) / (len(names) * count) for count in outputs.counts]
    if isinstance(setting, str):
        raise ValueError(
            f"class_weight must be null, {BALANCED}, or weights of the classes {', '.join(names)} as in "
            f"{{{names[0]}: 2}}, got {setting!r}"
        )
    found = dict.fromkeys(names, 1.0)
    for name, weight in setting.items():
        if str(name) not in found:
            raise ValueError(f"class_weight names {name!r}, which is none of the classes {', '.join(names)}")
        if not 0 <= weight < math.inf:
            raise ValueError(f"class_weight of {name!r} must be a number ≥ 0, got {weight!r}")
        found[str(name)] = float(weight)
    if not any(found.values()):
        raise ValueError("class_weight must be above 0 for at least one class, got zeros only")
    return list(found.values())


def _rate(pretrained_rate: float) -> float:
    if not 0 <= pretrained_rate < math.inf:
        raise ValueError(f"pretrained_rate must be a number ≥ 0, got {pretrained_rate!r}")
    return pretrained_rate


def _network(
    outputs: Any,
    head: HeadName,
    strands: StrandsName,
    trunk: tuple[EncoderOptions, TitansConfig, str | None],
    hidden: int,
    head_dropout: float,
) -> SequenceNetwork:
    """The network for the data.

    Args:
        outputs, head, strands, hidden, head_dropout: see `classification_module`.
        trunk: encoder and backbone; and the folder of a language model in their place.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: head and data do not fit, or see `_trunk`.
    """
    assert isinstance(outputs, Outputs)
    per_base = outputs.task == "base_labels"
    if (head == "per_base") != per_base:
        raise ValueError("head 'per_base' is for task base_labels: choose pooled, segments or position")
    if head == "position" and not outputs.length:
        raise ValueError("head 'position' needs sequences of one length, these differ: choose 'segments'")
    encoder, backbone, folder = trunk
    language = None if folder is None else _language(folder, encoder, backbone)
    shape: dict[str, Any] = encoder.values(per_base) | {"backbone": backbone}
    if language is not None:
        shape = {"pool": 1, "merge": 1, "language": language.config.objective, "backbone": language.config.backbone}
    config = SequenceConfig(
        max(1, len(outputs.classes)),
        head=head,
        strands=strands,
        length=outputs.length if head == "position" else 0,
        hidden=hidden,
        head_dropout=head_dropout,
        **shape,
    )
    network = built(partial(SequenceNetwork, config), "the network")
    if language is not None:
        assert network.language is not None
        network.language.take(language.state_dict())
        return network
    # A bias before a norm changes nothing, and AdamW moves it by the signs of rounding errors, which
    # would differ with the number of processes.
    bias = network.encoder.stem.bias
    assert bias is not None
    bias.requires_grad_(False)
    return network


def _language(folder: str, encoder: EncoderOptions, backbone: TitansConfig) -> LanguageNetwork:
    """The network of a language model.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no trained language model, or the recipe has an encoder or backbone of its own.
    """
    given = [
        name
        for name, value, default in (("encoder", encoder, EncoderOptions()), ("backbone", backbone, BACKBONE))
        if value != default
    ]
    if given:
        raise ValueError(
            f"model.{given[0]} is for networks that are trained from scratch, those of model.pretrained {folder} are "
            "kept: leave it out"
        )
    try:
        network = pretrained_network(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"model.pretrained: {error}") from error
    assert network is not None
    return network


# Task of a recipe → its module.
MODULES: dict[str, Callable[..., SequenceModule]] = {
    "sequence_classification": classification_module,
    "sequence_regression": regression_module,
    "base_labels": base_labels_module,
    "language_model": language_module,
}
