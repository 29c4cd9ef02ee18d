"""Analyses leave the model, and the random numbers of others, as they found them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from tests.genomics.common import classifier, network, sequences
from titans_ts.genomics import DNALanguageModel, SequenceNetwork, integrated_gradients, mutate, variant_effects
from titans_ts.genomics.classifier.classifier import DNAClassifier

X, Y = sequences(40, 24)
VARIANTS = pd.DataFrame({"chrom": ["c"], "pos": [30], "ref": ["A"], "alt": ["C"]})
GENOME = {"c": "ACGTT" * 5 + "ACGTA" + "GGCAT" * 6}


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    """One whose networks have a weight."""
    return classifier(linear=False, validation_fraction=0, ensemble_size=2).fit(X, Y)


def touched(model: nn.Module) -> None:
    """A model in the middle of somebody's work: gradients there, one part frozen, parts in different modes."""
    model.train()
    for place, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(place % 3 > 0)
        parameter.grad = torch.full_like(parameter, float(place)) if place % 2 else None
    for place, part in enumerate(model.modules()):
        part.training = place % 2 == 0


def snapshot(model: nn.Module) -> list[Any]:
    """Everything that an analysis could change without being asked."""

    def copied(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.detach().clone()

    parts: list[Any] = [(id(p), p.requires_grad, copied(p), copied(p.grad)) for p in model.parameters()]
    parts += [(name, copied(value)) for name, value in model.named_buffers()]
    return [*parts, [(name, part.training) for name, part in model.named_modules()]]


def random_states() -> list[Any]:
    """Of torch, NumPy and Python."""
    name, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), name, np.asarray(keys).tolist(), rest, random.getstate()]


def same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return isinstance(after, Tensor) and torch.equal(before, after)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def check(networks: list[Any], analysis: Callable[[], object]) -> None:
    for one in networks:
        touched(one)
    torch.manual_seed(5)
    before, numbers = [snapshot(one) for one in networks], random_states()
    grad = torch.is_grad_enabled()
    analysis()
    assert torch.is_grad_enabled() == grad
    assert same(numbers, random_states())
    assert same(before, [snapshot(one) for one in networks])


ANALYSES: dict[str, Callable[[Any], object]] = {
    "uniform": lambda model: integrated_gradients(model, X[-1], output=None, steps=4),
    "shuffled": lambda model: integrated_gradients(model, X[-1], baseline="shuffled", steps=2),
    "mutate": lambda model: mutate(model, X[-1], 3, 9),
    "both strands": lambda model: mutate(model, X[-1], 3, 9, strands="both"),
    "variants": lambda model: variant_effects(model, VARIANTS, GENOME, window=24),
    "predict": lambda model: model.predict_proba(X[:4]),
    "embed": lambda model: model.embed(X[:4]),
}


@pytest.mark.filterwarnings("ignore:attributions add up")
@pytest.mark.parametrize("name", ANALYSES)
def test_a_classifier_is_left_as_found(name: str, fitted: DNAClassifier) -> None:
    check(fitted.model_.networks, lambda: ANALYSES[name](fitted))


@pytest.mark.filterwarnings("ignore:attributions add up")
def test_a_network_is_left_as_found() -> None:
    one: SequenceNetwork = network()
    check([one], lambda: integrated_gradients(one, X[-1], output=2, steps=4))


@pytest.mark.parametrize("name", ["predict", "attribute"])
def test_also_when_it_fails(name: str) -> None:
    """A head that knows positions refuses another length in the middle of the work."""
    model = classifier(linear=False, validation_fraction=0, head="position", reverse_complement="none").fit(X, Y)

    def fails() -> None:
        with pytest.raises(ValueError, match="position"):
            model.predict_proba(["ACGTACGT"]) if name == "predict" else integrated_gradients(model, "ACGTACGT")

    check(model.model_.networks, fails)


def test_a_language_model_is_left_as_found() -> None:
    options = {"width": 8, "heads": 2, "layers": 1, "memory": {"chunk_size": 8}, "progress": False}
    model = DNALanguageModel(context_length=24, max_epochs=1, device="cpu", options=options).fit(X)
    check([model.network_], lambda: (model.score(X[:3]), model.embed(X[:3]), model.generate(4, random_state=0)))
