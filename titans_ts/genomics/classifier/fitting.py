"""Choosing and training a classifier's parts: strands, head, networks, logistic maps, and how much each has to say.

Everything is decided on sequences that are held out of what is compared.

Shapes: n sequences, S sources (the networks' mean, then the maps), K classes or labels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics import params as settings
from titans_ts.genomics.analysis.predict import base_logits, network_logits
from titans_ts.genomics.language.pretrained import check_options, pretrained_network
from titans_ts.genomics.linear.blend import blend, fit_blend
from titans_ts.genomics.linear.features import KmerFeatures
from titans_ts.genomics.linear.logistic import (
    FloatArray,
    LogisticMap,
    MapsConfig,
    Targets,
    choose_logistic,
    fit_logistic,
    log_likelihoods,
    log_loss,
    positions,
)
from titans_ts.genomics.model.heads import HeadName, TaskName
from titans_ts.genomics.model.network import SequenceConfig, SequenceNetwork, StrandsName
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.holdout import IntArray, hold_out

if TYPE_CHECKING:
    from titans_ts.genomics.training.config import TrainingResult


class Problem(NamedTuple):
    """What is to be learned.

    Attributes:
        codes: n encoded sequences.
        labels: class numbers (n,), zeros and ones (n, K), or a list of rows for bases.
        weight: (n,) of the sequences, their class's weight included unless bases have the labels.
        class_weight: (K,), used for labels of bases.
        outputs: K.
        task: see `titans_ts.genomics.model.heads`.
        clusters: (n,) numbers of related sequences; strata: (n,) numbers to be kept in proportion.
    """

    codes: list[Codes]
    labels: Any
    weight: FloatArray
    class_weight: FloatArray
    outputs: int
    task: TaskName
    clusters: IntArray
    strata: IntArray

    @property
    def per_base(self) -> bool:
        """Whether bases have the labels."""
        return isinstance(self.labels, list)

    @property
    def length(self) -> int:
        """Bases of every sequence, 0 where they differ."""
        lengths = {len(x) for x in self.codes}
        return lengths.pop() if len(lengths) == 1 else 0

    def targets(self, rows: IntArray) -> Targets:
        """Of some sequences, or of all their bases."""
        if not self.per_base:
            return Targets(self.labels[rows], self.weight[rows], self.outputs, self.task)
        labels = np.concatenate([self.labels[i] for i in rows])
        weight = np.concatenate([np.full(len(self.labels[i]), self.weight[i]) for i in rows])
        return Targets(labels, weight * self.class_weight[labels], self.outputs, self.task)


@dataclass
class FittedModel:
    """A classifier's parts.

    Attributes:
        networks: the members, on the CPU, in evaluation mode.
        maps: logistic maps beside them.
        scale: (S,) weights of the networks' mean and of the maps.
        choices: held-out log loss in nats of everything that was compared.
        training: what each member's training did.
    """

    networks: list[SequenceNetwork]
    maps: list[LogisticMap]
    scale: FloatArray
    choices: dict[str, float] = field(default_factory=dict)
    training: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> SequenceConfig:
        """Of every member."""
        return self.networks[0].config

    def logits(self, codes: Sequence[Codes], device: torch.device) -> FloatArray:
        """(n, K) blended and calibrated."""
        # What has no say is not asked.
        asked = np.flatnonzero(self.scale)
        if not len(asked):
            # Held-out sequences trusted none of the sources: all classes alike.
            return np.zeros((len(codes), self.config.outputs))
        sources = [self._source(int(place), codes, device) for place in asked]
        return blend(np.stack(sources, axis=1), self.scale[asked])

    def _source(self, place: int, codes: Sequence[Codes], device: torch.device) -> FloatArray:
        if place > 0:
            return self.maps[place - 1](codes)
        return np.asarray(np.mean([network_logits(network, codes, device) for network in self.networks], axis=0))

    def base_logits(self, codes: Sequence[Codes], device: torch.device) -> list[FloatArray]:
        """n arrays (T, K), calibrated, of a network that labels bases."""
        each = [base_logits(network, codes, device) for network in self.networks]
        return [self.scale[0] * np.mean(rows, axis=0) for rows in zip(*each, strict=True)]


class Fitting:
    """One call of fit: what was decided so far, and the parts it is made of.

    Args:
        params: parameters of the classifier, checked.
        seed: of splits, initialisation and training.
        problem: what is to be learned.
    """

    def __init__(self, params: Mapping[str, Any], seed: int, problem: Problem) -> None:
        self.params, self.seed, self.problem = params, seed, problem
        self.options = settings.split_options(params["options"])
        self.pretrained = pretrained_network(params["pretrained"])
        if self.pretrained is not None:
            check_options(params["block"], params["options"], self.pretrained.config.backbone, settings.BLOCK)
        self.maps = MapsConfig(**self.options.maps)
        self.training = TrainingConfig(device=params["device"], seed=seed, **self.options.training)
        epochs = params["max_epochs"]
        if epochs is None:
            epochs = settings.choose_epochs(len(problem.codes), self.training.batch_size)
        self.training = replace(self.training, max_epochs=int(epochs))
        fraction, members = float(params["validation_fraction"]), int(params["members"])
        self.parts: list[IntArray] = []
        if fraction > 0:
            self.parts = hold_out(problem.clusters, problem.strata, fraction, members, seed)
        self.everything = np.arange(len(problem.codes))
        self.choices: dict[str, float] = {}
        self.places = False
        self.results: list[TrainingResult] = []
        budget = params["time_budget"]
        self.deadline = float("inf") if budget is None else time.monotonic() + float(budget)

    def run(self) -> FittedModel:
        """Choose, train, blend."""
        strands, maps = self._choose_maps()
        networks = self._networks(strands)
        scale = np.array([1.0] + [0.0] * len(maps))
        if self.parts:
            scale, maps = self._blend(networks, maps)
        training = [result._asdict() for result in self.results]
        return FittedModel(networks, maps, scale, self.choices, training)

    def _rest(self, part: IntArray) -> IntArray:
        return np.setdiff1d(self.everything, part)

    def _map(self, features: Any, part: IntArray) -> LogisticMap:
        """A map learned on all but the part, its penalty chosen on the part."""
        rest = self._rest(part)
        codes = self.problem.codes
        x, held = features([codes[i] for i in rest]), features([codes[i] for i in part])
        found, loss = choose_logistic(features, x, self.problem.targets(rest), held, self.problem.targets(part))
        self.choices[_name(features)] = round(loss, 5)
        return found

    def _choose_maps(self) -> tuple[StrandsName, list[LogisticMap]]:
        """Whether a sequence and its reverse complement mean the same, and the maps that suit the answer.

        Told by logistic maps on the first held-out part: words counted on both strands as one, against words and
        positions of one strand. One strand has to be better by more than the noise of the difference.
        """
        asked, part = self.params["reverse_complement"], self.parts[0] if self.parts else None
        if part is None or self.problem.per_base:
            return "both" if asked == "augment" else "one", []
        both = [self._map(KmerFeatures(6, 5, 2), part)] if asked != "none" else []
        one = [self._map(KmerFeatures(6, 5, 1), part)] if asked != "augment" else []
        where = positions(self.problem.codes)
        if one and where is not None:
            one.append(self._map(where, part))
        strands: StrandsName = "both" if not one else "one" if not both or self._better(one, both, part) else "both"
        maps = both if strands == "both" else one
        self.places = len(maps) == 2 and self.choices[_name(maps[1].features)] < self.choices[_name(maps[0].features)]
        if not self.places:
            # Words decide: more of them.
            bases = sum(len(x) for x in self.problem.codes)
            maps[0] = self._map(self.maps.features(bases, 2 if strands == "both" else 1), part)
        return strands, maps if self.params["linear"] else []

    def _better(self, one: list[LogisticMap], both: list[LogisticMap], part: IntArray) -> bool:
        held, codes = self.problem.targets(part), [self.problem.codes[i] for i in part]
        gain = np.zeros(len(codes))
        for sign, maps in ((1, one), (-1, both)):
            sources = np.stack([each(codes) for each in maps], axis=1)
            gain += sign * log_likelihoods(blend(sources, fit_blend(sources, held)), held)
        gain *= held.weight / max(float(held.weight.mean()), 1e-12)
        return float(gain.mean()) > float(gain.std()) / len(gain) ** 0.5

    def _head_candidates(self, strands: StrandsName) -> list[HeadName]:
        """Heads worth a training: one that keeps positions where these say more than words on held-out sequences."""
        if self.problem.per_base:
            return ["per_base"]
        if self.params["head"] != "auto":
            head: HeadName = self.params["head"]
            if head == "position" and not self.problem.length:
                sizes = [len(x) for x in self.problem.codes]
                raise ValueError(
                    f"head 'position' needs sequences of one length, got {min(sizes)} to {max(sizes)} bases: choose "
                    "'segments'"
                )
            return [head]
        if strands == "both" or not self.parts:
            return ["pooled"]
        if self.problem.length:
            return ["position" if self.places else "pooled"]
        return ["segments", "pooled"]

    def _networks(self, strands: StrandsName) -> list[SequenceNetwork]:
        """The members; the first one is trained with each head that could do, and the better is kept for all."""
        heads = self._head_candidates(strands)
        members = int(self.params["members"])
        parts: list[IntArray | None] = [*self.parts] if self.parts else [None] * members
        left = len(heads) + members - 1
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
        for member in range(1, members):
            other, result = self._train(network.config, parts[member], member, left)
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
        self, config: SequenceConfig, part: IntArray | None, member: int, left: int
    ) -> tuple[SequenceNetwork, TrainingResult]:
        """One network, in its share of the time that is left for `left` trainings."""
        # Imported here: Lightning takes seconds, and only training needs it.
        from titans_ts.genomics.training.fit import train

        seed = self.seed + member
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
        if config.strands == "either" and "patience" not in self.options.training:
            # Sequences that turn at random are learned late: 2,000 of them after 10 to 15 of 45 passes.
            training = replace(training, patience=max(training.patience, training.max_epochs // 3))
        return network, train(network, examples, held_out, training)

    def _examples(self, rows: IntArray) -> Examples:
        of_class = self.problem.class_weight if self.problem.per_base else None
        return Examples(self.problem.codes, self.problem.labels, self.problem.weight, of_class).take(rows)

    def _blend(
        self, networks: list[SequenceNetwork], maps: list[LogisticMap]
    ) -> tuple[npt.NDArray[np.float64], list[LogisticMap]]:
        """Weights of the sources on all held-out parts, each predicted by models that did not see it; maps of all."""
        device = torch.device("cpu")
        found = []
        for place, (network, part) in enumerate(zip(networks, self.parts, strict=True)):
            codes = [self.problem.codes[i] for i in part]
            if self.problem.per_base:
                found.append(np.concatenate(base_logits(network, codes, device))[:, None])
                continue
            others = maps if place == 0 else [self._again(one, self._rest(part)) for one in maps]
            found.append(np.stack([network_logits(network, codes, device), *(one(codes) for one in others)], axis=1))
        held = self.problem.targets(np.concatenate(self.parts))
        logits = np.concatenate(found)
        # An untrained network has nothing to say.
        first = 1 if maps and self.results[0].epochs == 0 else 0
        scale = np.zeros(logits.shape[1])
        scale[first:] = fit_blend(logits[:, first:], held)
        self.choices["network"] = round(log_loss(logits[:, 0], held), 5)
        self.choices["blend"] = round(log_loss(blend(logits, scale), held), 5)
        return scale, [self._again(one, self.everything) for one in maps]

    def _again(self, one: LogisticMap, rows: IntArray) -> LogisticMap:
        """The same map learned on other sequences."""
        x = one.features([self.problem.codes[i] for i in rows])
        return fit_logistic(one.features, x, self.problem.targets(rows), one.inverse_penalty)


def _name(features: Any) -> str:
    if isinstance(features, KmerFeatures):
        strands = "both strands" if features.strands == 2 else "one strand"
        return f"{features.letters} letters in {features.span}, {strands}"
    return f"positions, runs of {features.order}"
