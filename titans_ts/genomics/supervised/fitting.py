"""Fitting: chooses and trains the parts of a classifier or regressor: strands, head, networks, linear part, weights.

Every choice is made on held-out sequences.

Shapes: n sequences, S sources (the mean of the networks, then the linear models), K classes, labels or targets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.fitted import FittedParts
from titans_ts.genomics.linear.blend import blend, fit_weights
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import KmerFeatures, PositionFeatures
from titans_ts.genomics.linear.losses import VALUE_TASKS, FloatArray, Targets, losses, mean_loss
from titans_ts.genomics.linear.model import LinearConfig, LinearModel, positions
from titans_ts.genomics.model.config import HeadName, SequenceConfig, StrandsName, TaskName
from titans_ts.genomics.model.heads import HEADS
from titans_ts.genomics.model.inference import base_logits, network_logits
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.params import choose_epochs
from titans_ts.genomics.supervised import params as settings
from titans_ts.genomics.supervised.pretrained import check_options, pretrained_network
from titans_ts.genomics.training.config import TrainingConfig, TrainingResult
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.holdout import IntArray, hold_out

# (span, letters) of short k-mers that are tried for numbers.
SHORT_KMERS = ((2, 2), (4, 3))


class Problem(NamedTuple):
    """Training sequences with everything that is known of them.

    Attributes:
        codes: n encoded sequences.
        numbers: (n,) class numbers, (n, K) zeros and ones, (n, K) standardised targets; or a list of n arrays (T,) or
            (T, K) for bases.
        task: what the numbers are; see :class:`titans_ts.genomics.model.config.SequenceConfig`.
        outputs: K.
        weight: (n,) of the sequences, times the weight of their class unless bases have the labels.
        class_weight: (K,), used for labels of bases; None for ones.
        clusters: (n,) numbers of related sequences.
        strata: (n,) numbers whose proportions held-out parts keep.
    """

    codes: list[Codes]
    numbers: npt.NDArray[Any] | list[npt.NDArray[Any]]
    task: TaskName
    outputs: int
    weight: FloatArray
    class_weight: FloatArray | None
    clusters: IntArray
    strata: IntArray

    @property
    def per_base(self) -> bool:
        """Whether bases have the labels."""
        return isinstance(self.numbers, list)

    @property
    def length(self) -> int:
        """Bases of every sequence, 0 where they differ."""
        lengths = {len(x) for x in self.codes}
        return lengths.pop() if len(lengths) == 1 else 0

    def targets(self, rows: IntArray) -> Targets:
        """Of some sequences, or of all their bases."""
        if not isinstance(self.numbers, list):
            return Targets(self.numbers[rows], self.weight[rows], self.outputs, self.task)
        flat = np.concatenate([self.numbers[i] for i in rows])
        weight = np.concatenate([np.full(len(self.numbers[i]), self.weight[i]) for i in rows])
        if self.class_weight is not None:
            weight = weight * self.class_weight[flat]
        return Targets(flat, weight, self.outputs, self.task)


class Fitting:
    """One call of `DNAClassifier.fit` or `DNARegressor.fit`.

    Args:
        params: parameters of the estimator, checked.
        seed: of splits, initialisation and training.
        problem: training sequences and what is to be learnt.

    Raises:
        ValueError: an option is unknown, out of range or contradicts the pretrained model, or too few groups of related
            sequences to hold some out.
    """

    def __init__(self, params: Mapping[str, Any], seed: int, problem: Problem) -> None:
        self.params, self.seed, self.problem = params, seed, problem
        self.options = settings.sorted_options(params["options"])
        self.pretrained = pretrained_network(params["pretrained"])
        if self.pretrained is not None:
            check_options(params["block"], params["options"], self.pretrained.config.backbone, settings.BLOCK)
        self.linear = LinearConfig(**self.options["linear"])
        self.training = TrainingConfig(device=params["device"], seed=seed, **self.options["training"])
        epochs = params["max_epochs"]
        if epochs is None:
            epochs = choose_epochs(len(problem.codes), self.training.batch_size)
        self.training = replace(self.training, max_epochs=int(epochs))
        fraction, self.size = float(params["validation_fraction"]), int(params["ensemble_size"])
        self.parts: list[IntArray] = []
        if fraction > 0:
            self.parts = hold_out(problem.clusters, problem.strata, fraction, self.size, seed)
        self.everything = np.arange(len(problem.codes))
        self.choices: dict[str, float] = {}
        self.positions_win = False
        self.results: list[TrainingResult] = []
        budget = params["time_budget"]
        self.deadline = float("inf") if budget is None else time.monotonic() + float(budget)

    def run(self) -> FittedParts:
        """Choose strands and linear part, train the networks, blend."""
        strands, linear = self._choose_linear()
        networks = self._networks(strands)
        weights, linear_weights = np.ones(1), np.empty(0)
        if self.parts:
            weights, linear_weights = self._blend(networks, linear)
            linear = [self._refitted(model, self.everything) for model in linear]
        training = [result._asdict() for result in self.results]
        return FittedParts(networks, linear, weights, linear_weights, self.choices, training)

    def _rest(self, part: IntArray) -> IntArray:
        return np.setdiff1d(self.everything, part)

    def _fitted(self, features: Any, part: IntArray) -> LinearModel:
        """A model fitted on all sequences but the part, its penalty chosen on the part."""
        rest = self._rest(part)
        codes = self.problem.codes
        x, held = features([codes[i] for i in rest]), features([codes[i] for i in part])
        found, loss = choose_linear(features, x, self.problem.targets(rest), held, self.problem.targets(part))
        self.choices[_name(features)] = round(loss, 5)
        return found

    def _choose_linear(self) -> tuple[StrandsName, list[LinearModel]]:
        """Whether a sequence and its reverse complement are equivalent, and the linear models for that case.

        Compares two linear parts on the first held-out part: k-mers of both strands counted as one, and k-mers and
        positions of one strand. One strand must be better by more than the standard error of the difference.
        """
        wanted, part = self.params["reverse_complement"], self.parts[0] if self.parts else None
        if part is None or self.problem.per_base:
            return "both" if wanted == "augment" else "one", []
        both = [self._fitted(KmerFeatures(6, 5, 2), part)] if wanted != "none" else []
        one = [self._fitted(KmerFeatures(6, 5, 1), part)] if wanted != "augment" else []
        if one:
            one += self._at_positions(part)
        strands: StrandsName = "both" if not one else "one" if not both or self._better(one, both, part) else "both"
        linear = both if strands == "both" else one
        losses = [self.choices[_name(model.features)] for model in linear]
        self.positions_win = len(losses) == 2 and losses[1] < losses[0]
        linear[0] = self._best_kmers(linear[0], part)
        return strands, linear if self.params["linear"] else []

    def _at_positions(self, part: IntArray) -> list[LinearModel]:
        """One model of letters at positions where all sequences are as long; of numbers the best order of k-mers."""
        places = positions(self.problem.codes)
        if places is None:
            return []
        orders = range(1, places.order + 1) if self.problem.task in VALUE_TASKS else [places.order]
        tried = [self._fitted(PositionFeatures(places.length, order), part) for order in orders]
        return [min(tried, key=lambda one: self.choices[_name(one.features)])]

    def _best_kmers(self, model: LinearModel, part: IntArray) -> LinearModel:
        """Wider k-mers in place of those of a model, unless positions are better; of numbers, the best of all widths.

        Classes are told apart by motifs, numbers often follow the composition, which short k-mers count.
        """
        strands = model.features.strands if isinstance(model.features, KmerFeatures) else 1
        widest = self.linear.features(sum(len(x) for x in self.problem.codes), strands)
        wide = [] if self.positions_win else [self._fitted(widest, part)]
        if self.problem.task not in VALUE_TASKS or self.linear.kmers is not None:
            return wide[0] if wide else model
        short = [self._fitted(KmerFeatures(span, letters, strands), part) for span, letters in SHORT_KMERS]
        return min([model, *wide, *short], key=lambda one: self.choices[_name(one.features)])

    def _better(self, one: list[LinearModel], both: list[LinearModel], part: IntArray) -> bool:
        held, codes = self.problem.targets(part), [self.problem.codes[i] for i in part]
        gain = np.zeros(len(codes))
        for sign, models in ((1, one), (-1, both)):
            sources = np.stack([model(codes) for model in models], axis=1)
            gain -= sign * losses(blend(sources, fit_weights(sources, held, network=False)), held)
        gain *= held.weight / max(float(held.weight.mean()), 1e-12)
        return float(gain.mean()) > float(gain.std()) / len(gain) ** 0.5

    def _head_candidates(self, strands: StrandsName) -> list[HeadName]:
        """Heads to be trained and compared.

        Raises:
            ValueError: the chosen head needs sequences of one length.
        """
        if self.problem.per_base:
            return [name for name, head in HEADS.items() if head.per_base]
        if self.params["head"] != "auto":
            chosen: HeadName = self.params["head"]
            if HEADS[chosen].fixed_length and not self.problem.length:
                sizes = [len(x) for x in self.problem.codes]
                raise ValueError(
                    f"head {chosen!r} needs sequences of one length, got {min(sizes)} to {max(sizes)} bases: choose "
                    "'segments'"
                )
            return [chosen]
        heads = {name: head for name, head in HEADS.items() if not head.per_base}
        pooled = [name for name, head in heads.items() if not head.positional]
        if strands == "both" or not self.parts:
            return pooled
        if self.problem.length:
            # Positional heads where positions are better than k-mers on held-out sequences.
            return [name for name, head in heads.items() if head.fixed_length] if self.positions_win else pooled
        return [name for name, head in heads.items() if head.positional and not head.fixed_length] + pooled

    def _networks(self, strands: StrandsName) -> list[SequenceNetwork]:
        """The ensemble; the first network is trained with each candidate head, and the better head is kept for all."""
        heads = self._head_candidates(strands)
        parts: list[IntArray | None] = [*self.parts] if self.parts else [None] * self.size
        left = len(heads) + self.size - 1
        first = []
        for head in heads:
            network, result = self._train(self._config(strands, head), parts[0], 0, left)
            first.append((result.best_loss, network, result))
            if self.parts:
                self.choices[f"head {head}"] = round(result.best_loss, 5)
            left -= 1
        _, network, result = min(first, key=lambda entry: entry[0]) if self.parts else first[0]
        self.results.append(result)
        networks = [network]
        for place in range(1, self.size):
            other, result = self._train(network.config, parts[place], place, left)
            networks.append(other)
            self.results.append(result)
            left -= 1
        return networks

    def _config(self, strands: StrandsName, head: HeadName) -> SequenceConfig:
        if strands == "both" and self.pretrained is None and head != "per_base":
            strands = "either"
        return settings.network_config(
            self.params["block"],
            self.options,
            outputs=self.problem.outputs,
            task=self.problem.task,
            head=head,
            strands=strands,
            length=self.problem.length if head == "position" else 0,
            language=None if self.pretrained is None else self.pretrained.config,
        )

    def _train(
        self, config: SequenceConfig, part: IntArray | None, place: int, left: int
    ) -> tuple[SequenceNetwork, TrainingResult]:
        """Network number `place` of the ensemble, in its share of the time that remains for `left` trainings."""
        # Imported here: Lightning takes seconds, and only training needs it.
        from titans_ts.genomics.training.fit import train

        seed = self.seed + place
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SequenceNetwork(config)
        if network.language is not None and self.pretrained is not None:
            network.language.take(self.pretrained.state_dict())
        remaining = self.deadline - time.monotonic()
        budget = None if remaining == float("inf") else max(remaining / left, 1e-3)
        examples = self._examples(self.everything if part is None else self._rest(part))
        held_out = None if part is None else self._examples(part)
        training = replace(self.training, seed=seed, time_budget=budget)
        if config.strands == "either" and "patience" not in self.options["training"]:
            # With strands drawn at random learning starts late: with 2,000 sequences after 10 to 15 of 45 epochs.
            training = replace(training, patience=max(training.patience, training.max_epochs // 3))
        return network, train(network, examples, held_out, training)

    def _examples(self, rows: IntArray) -> Examples:
        problem = self.problem
        return Examples(problem.codes, problem.numbers, problem.weight, problem.class_weight).take(rows)

    def _blend(self, networks: list[SequenceNetwork], linear: list[LinearModel]) -> tuple[FloatArray, FloatArray]:
        """Weights of all sources (S, …), and of the linear models by themselves (S − 1, …); see `fit_weights`.

        Fitted on all held-out parts together, each predicted by models that did not see it.
        """
        logits = self._held_out_logits(networks, linear)
        held = self.problem.targets(np.concatenate(self.parts))
        by_themselves = fit_weights(logits[:, 1:], held, network=False) if linear else np.empty(0)
        if linear and self.results[0].epochs == 0:
            # An untrained network gets no weight.
            weights = np.concatenate([np.zeros_like(by_themselves[:1]), by_themselves])
        else:
            weights = fit_weights(logits, held)
        self.choices["network"] = round(mean_loss(logits[:, 0], held), 5)
        if linear:
            self.choices["linear part"] = round(mean_loss(blend(logits[:, 1:], by_themselves), held), 5)
        self.choices["blend"] = round(mean_loss(blend(logits, weights), held), 5)
        return weights, by_themselves

    def _held_out_logits(self, networks: list[SequenceNetwork], linear: list[LinearModel]) -> FloatArray:
        """(n, S, K) of the held-out parts one after another."""
        device = torch.device("cpu")
        found = []
        for place, (network, part) in enumerate(zip(networks, self.parts, strict=True)):
            codes = [self.problem.codes[i] for i in part]
            if self.problem.per_base:
                found.append(np.concatenate(base_logits(network, codes, device))[:, None])
                continue
            models = linear if place == 0 else [self._refitted(model, self._rest(part)) for model in linear]
            sources = [network_logits(network, codes, device), *(model(codes) for model in models)]
            found.append(np.stack(sources, axis=1))
        return np.concatenate(found)

    def _refitted(self, model: LinearModel, rows: IntArray) -> LinearModel:
        """The same model fitted on other sequences."""
        x = model.features([self.problem.codes[i] for i in rows])
        return fit_linear(model.features, x, self.problem.targets(rows), model.inverse_penalty)


def _name(features: Any) -> str:
    """Of a linear model, in `choices`."""
    if isinstance(features, KmerFeatures):
        strands = "both strands" if features.strands == 2 else "one strand"
        return f"k-mers of {features.letters} letters in {features.span} bases, {strands}"
    return f"positions, k-mers of up to {features.order} letters"
