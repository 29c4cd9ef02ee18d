"""Fitting: chooses and trains the parts of a classifier or regressor: strands, head, networks, linear part, weights.

Every choice is made on held-out sequences.

Shapes: n sequences, S sources (the mean of the networks, then the linear models), K classes, labels or targets.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import DNAWarning
from titans_ts.genomics.fitted import CountedModel, FittedParts
from titans_ts.genomics.linear.blend import blend, fit_weights
from titans_ts.genomics.linear.losses import VALUE_TASKS, FloatArray, mean_loss
from titans_ts.genomics.linear.model import LinearConfig
from titans_ts.genomics.model.config import HeadName, SequenceConfig, StrandsName
from titans_ts.genomics.model.heads import HEADS
from titans_ts.genomics.model.inference import base_logits, network_logits
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.params import STEPS, VALUE_STEPS, choose_epochs
from titans_ts.genomics.supervised import params as settings
from titans_ts.genomics.supervised.linear_part import LinearChoice, LinearPart
from titans_ts.genomics.supervised.pretrained import check_options, pretrained_network
from titans_ts.genomics.supervised.problem import Problem
from titans_ts.genomics.training.config import TrainingConfig, TrainingResult
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.holdout import IntArray, hold_out
from titans_ts.support.guards.limits import built
from titans_ts.support.progress import PROGRESS, progress_bar

# Times the budget beyond which fitting says why it took longer.
SLACK = 1.2


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
        if not problem.per_base:
            self.options = settings.for_short(self.options, [len(x) for x in problem.codes])
        self.block, chosen = settings.chosen_block(params["block"], self.options, [len(x) for x in problem.codes])
        self.pretrained = pretrained_network(params["pretrained"])
        if self.pretrained is None:
            self.options = chosen
        else:
            check_options(params["block"], params["options"], self.pretrained.config.backbone, settings.BLOCK)
        self.linear = LinearConfig(**self.options["linear"])
        self.training = TrainingConfig(device=params["device"], seed=seed, **self.options["training"])
        epochs = params["max_epochs"]
        if epochs is None:
            steps = VALUE_STEPS if problem.task in VALUE_TASKS else STEPS
            epochs = choose_epochs(len(problem.codes), self.training.batch_size, steps)
        self.training = replace(self.training, max_epochs=int(epochs))
        fraction, self.size = float(params["validation_fraction"]), int(params["ensemble_size"])
        self.parts: list[IntArray] = []
        if fraction > 0:
            self.parts = hold_out(problem.clusters, problem.strata, fraction, self.size, seed)
        self.everything = np.arange(len(problem.codes))
        self.choices: dict[str, float] = {}
        self.positions_win = False
        self.results: list[TrainingResult] = []
        self.started = time.monotonic()
        self.budget = float("inf") if params["time_budget"] is None else float(params["time_budget"])
        self.spent: dict[str, float] = {}

    def run(self) -> FittedParts:
        """Choose strands and linear part, train the networks, blend."""
        with self._phase("linear part"):
            linear = self._choose_linear()
        self.choices.update(linear.choices)
        self.positions_win = linear.positions_win
        # Afterwards the linear part is fitted again, on what was held out too.
        self.deadline = self.started + max(self.budget - self.size * linear.seconds(), self.budget / 2)
        with self._phase("networks", bar=False):
            networks = self._networks(linear.strands)
        weights, linear_weights = np.ones(1), np.empty(0)
        models: list[CountedModel] = []
        with self._phase("weights and fits on all sequences"):
            if self.parts:
                weights, linear_weights = self._blend(networks, linear)
                kept = _of_use(weights, linear_weights)
                models = linear.on_everything(kept, self.everything, self.started + self.budget)
                weights, linear_weights = weights[np.concatenate([[True], kept])], linear_weights[kept]
        self._check_time()
        training = [result._asdict() for result in self.results]
        return FittedParts(networks, models, weights, linear_weights, self.choices, training)

    @contextmanager
    def _phase(self, name: str, *, bar: bool = True) -> Iterator[None]:
        """Seconds of a phase are noted; a bar shows it, where training does not show its own."""
        started = time.monotonic()
        with progress_bar(bar and self.training.progress):
            yield
        self.spent[name] = time.monotonic() - started

    def _check_time(self) -> None:
        """Say why fitting took much longer than the budget."""
        seconds = time.monotonic() - self.started
        if seconds > SLACK * self.budget:
            parts = ", ".join(f"{name} {spent:.1f} s" for name, spent in self.spent.items())
            warnings.warn(
                f"fit took {seconds:.1f} s, time_budget is {self.budget:g} s: {parts}; every part takes at least one "
                "step: give more time, or fewer or shorter sequences",
                DNAWarning,
                stacklevel=4,
            )

    def _rest(self, part: IntArray) -> IntArray:
        return np.setdiff1d(self.everything, part)

    def _choose_linear(self) -> LinearPart:
        if not self.parts or self.problem.per_base:
            return LinearPart("both" if self.params["reverse_complement"] == "augment" else "one")
        return LinearChoice(self.params, self.linear, self.problem, self.parts[0], self.budget).run()

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
            # Positional heads where positions are better than k-mers on held-out sequences. Numbers are mostly measured
            # for variants of one sequence: there both are tried.
            positional = [name for name, head in heads.items() if head.fixed_length]
            if self.positions_win:
                return positional
            return [*positional, *pooled] if self.problem.task in VALUE_TASKS else pooled
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
            self.block,
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
            network = built(lambda: SequenceNetwork(config), "the network")
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

    def _blend(self, networks: list[SequenceNetwork], linear: LinearPart) -> tuple[FloatArray, FloatArray]:
        """Weights of all sources (S, …), and of the linear models by themselves (S − 1, …); see `fit_weights`.

        Fitted on all held-out parts together, each predicted by models that did not see it.
        """
        PROGRESS.info("weighing the linear part against the network")
        logits = self._held_out_logits(networks, linear)
        held = self.problem.targets(np.concatenate(self.parts))
        by_themselves = fit_weights(logits[:, 1:], held, network=False) if linear.models else np.empty(0)
        if linear.models and self.results[0].epochs == 0:
            # An untrained network gets no weight.
            weights = np.concatenate([np.zeros_like(by_themselves[:1]), by_themselves])
        else:
            weights = fit_weights(logits, held)
        self.choices["network"] = round(mean_loss(logits[:, 0], held), 5)
        if linear.models:
            self.choices["linear part"] = round(mean_loss(blend(logits[:, 1:], by_themselves), held), 5)
        self.choices["blend"] = round(mean_loss(blend(logits, weights), held), 5)
        return weights, by_themselves

    def _held_out_logits(self, networks: list[SequenceNetwork], linear: LinearPart) -> FloatArray:
        """(n, S, K) of the held-out parts one after another."""
        device = torch.device("cpu")
        found = []
        for place, (network, part) in enumerate(zip(networks, self.parts, strict=True)):
            codes = [self.problem.codes[i] for i in part]
            if self.problem.per_base:
                found.append(np.concatenate(base_logits(network, codes, device))[:, None])
                continue
            models = linear.without(self._rest(part)) if place else linear.fitted()
            sources = [network_logits(network, codes, device), *(model(codes) for model in models)]
            found.append(np.stack(sources, axis=1))
        return np.concatenate(found)


def _of_use(weights: FloatArray, linear_weights: FloatArray) -> npt.NDArray[np.bool_]:
    """Which linear and kernel models have a weight, beside the network or without it."""
    pairs = zip(weights[1:], linear_weights, strict=True)
    return np.array([beside.any() or alone.any() for beside, alone in pairs], dtype=np.bool_)
