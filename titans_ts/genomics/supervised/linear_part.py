"""The linear part of a model: which features are counted, on one strand or both, within a share of the time.

Every choice is made on held-out sequences.

Shapes: n sequences, S linear models, K classes, labels or targets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_ts.genomics.fitted import CountedModel
from titans_ts.genomics.linear.blend import blend, fit_weights, helps
from titans_ts.genomics.linear.features import Features, KmerFeatures, PositionFeatures
from titans_ts.genomics.linear.kernel import KMERS, KernelCandidate, KernelModel
from titans_ts.genomics.linear.losses import VALUE_TASKS, losses
from titans_ts.genomics.linear.model import LinearConfig, LinearModel, positions
from titans_ts.genomics.linear.selection import Candidate
from titans_ts.genomics.model.config import StrandsName
from titans_ts.genomics.supervised.problem import Problem
from titans_ts.genomics.training.holdout import IntArray
from titans_ts.support.progress import PROGRESS

# Share of the time budget in which the linear part is chosen.
SHARE = 0.4
# What a choice of wide k-mers takes, in times of that of narrow ones per number of masks: 1.7 with 2,948 sequences of
# 101 bases (mouse_2), .8 with 7,288 (mouse_0) and .7 with 2,396 RNAs of 8 classes.
WIDER = 1.5
# (span, letters) of short k-mers that are tried for numbers, which often follow the composition.
SHORT_KMERS = ((2, 2), (4, 3))
# The kernel's fit takes about so many times as long as that of narrow k-mers: 3 to 5 with 2,620 to 32,378 sequences.
KERNEL = 5.0
Models = list[tuple[Candidate, LinearModel]]
Kernels = list[tuple[KernelCandidate, KernelModel]]


@dataclass
class LinearPart:
    """What was chosen.

    Attributes:
        strands: whether a sequence and its reverse complement are equivalent.
        models: linear models with the candidates that fit them again; none without a linear part.
        kernels: kernel models beside them.
        positions_win: whether positions are better than k-mers.
        choices: held-out loss of everything that was compared.
    """

    strands: StrandsName
    models: Models = field(default_factory=list)
    kernels: Kernels = field(default_factory=list)
    positions_win: bool = False
    choices: dict[str, float] = field(default_factory=dict)

    def seconds(self) -> float:
        """What fitting all models again takes, about: the choice of a penalty takes several fits."""
        seconds = [candidate.seconds for candidate, _ in self.models]
        return sum(seconds + [candidate.seconds for candidate, _ in self.kernels]) / 2

    def fitted(self) -> list[CountedModel]:
        """The models as they were chosen: linear ones, then kernels."""
        return [*(model for _, model in self.models), *(model for _, model in self.kernels)]

    def without(self, rest: IntArray) -> list[CountedModel]:
        """The models fitted on these rows only, which leave another held-out part out."""
        linear = [candidate.refit(model, rest) for candidate, model in self.models]
        return [*linear, *(candidate.refit(model, rest) for candidate, model in self.kernels)]

    def on_everything(
        self, kept: npt.NDArray[np.bool_], everything: IntArray, deadline: float = float("inf")
    ) -> list[CountedModel]:
        """Some of the models, fitted on all sequences; as they are where no time is left.

        Args:
            kept: which ones.
            everything: numbers of all sequences.
            deadline: `time.monotonic` time after which nothing is fitted.
        """
        found: list[CountedModel] = []
        for place, (candidate, model) in enumerate(self.models):
            if kept[place]:
                PROGRESS.info(f"fitting the linear part on all sequences, {feature_name(candidate.features)}")
                late = time.monotonic() > deadline
                found.append(model if late else candidate.refit(model, everything, model, deadline))
        for place, (of_kernel, kernel) in enumerate(self.kernels, len(self.models)):
            if kept[place]:
                PROGRESS.info(f"fitting the linear part on all sequences, {kernel_name(of_kernel.features)}")
                late = time.monotonic() > deadline
                found.append(kernel if late else of_kernel.refit(kernel, everything, deadline))
        return found


class LinearChoice:
    """Compares linear models on a held-out part.

    Args:
        params: parameters of the estimator, checked.
        config: options of the linear part.
        problem: training sequences and what is to be learnt.
        part: numbers of the held-out sequences.
        budget: seconds for the whole fit; infinite for no limit.
    """

    def __init__(
        self, params: Mapping[str, Any], config: LinearConfig, problem: Problem, part: IntArray, budget: float
    ) -> None:
        self.params, self.config, self.problem, self.part = params, config, problem, part
        self.rest = np.setdiff1d(np.arange(len(problem.codes)), part)
        self.targets = problem.targets(np.arange(len(problem.codes)))
        self.end = time.monotonic() + SHARE * budget
        self.choices: dict[str, float] = {}
        self.numbers = problem.task in VALUE_TASKS

    def run(self) -> LinearPart:
        """Choose strands and models.

        Compares two linear parts: k-mers of both strands counted as one, and k-mers and positions of one strand. One
        strand must be better by more than the standard error of the difference. k-mers in wider windows replace the
        first ones where they are better. For numbers the order of k-mers at positions is chosen, and short k-mers are
        tried too.
        """
        wanted = self.params["reverse_complement"]
        if not self._needed(wanted):
            return LinearPart("both" if wanted == "augment" else "one")
        given: list[tuple[int, Features]] = [(2, KmerFeatures(6, 5, 2))] if wanted != "none" else []
        given += [(1, KmerFeatures(6, 5, 1))] if wanted != "augment" else []
        given += [(1, features) for features in self._at_positions()] if wanted != "augment" else []
        found: dict[int, Models] = {1: [], 2: []}
        for left, (count, features) in zip(range(len(given), 0, -1), given, strict=True):
            found[count].append(self._fitted(features, left + 1))
        one, both = [*found[1][:1], *self._best(found[1][1:])], found[2]
        strands: StrandsName = "both" if not one or (both and not self._better(one, both)) else "one"
        chosen = both if strands == "both" else one
        losses = [self.choices[feature_name(candidate.features)] for candidate, _ in chosen]
        positions_win = len(losses) == 2 and losses[1] < losses[0]
        if not self.params["linear"]:
            return LinearPart(strands, positions_win=positions_win, choices=self.choices)
        narrow, count = chosen[0], 2 if strands == "both" else 1
        chosen[0] = self._best_kmers(narrow, count, positions_win)
        tried = [KmerFeatures(*KMERS, count), *(one.features for one, _ in chosen[1:])]
        kernels = self._kernels(tried, narrow[0], [model for _, model in chosen])
        return LinearPart(strands, chosen, kernels, positions_win, self.choices)

    def _kernels(self, features: list[Features], narrow: Candidate, linear: list[LinearModel]) -> Kernels:
        """Kernel models of these features that help the linear ones, as far as there is time and memory for them."""
        found: Kernels = []
        held, codes = self.targets.take(self.part), [self.problem.codes[i] for i in self.part]
        outputs = [model(codes) for model in linear]
        for one in features if self.config.gaussian else []:
            candidate = KernelCandidate(one, self.problem.codes, self.targets)
            if time.monotonic() + KERNEL * narrow.seconds > self.end or not candidate.worthwhile():
                PROGRESS.info(f"no time or memory for a {kernel_name(one)}")
                continue
            PROGRESS.info(f"fitting the linear part, {kernel_name(one)}")
            model, loss = candidate.choose(self.rest, self.part, self.end)
            self.choices[kernel_name(one)] = round(loss, 5)
            outputs.insert(0, model(codes))
            if helps(np.stack(outputs, axis=1), held):
                found.append((candidate, model))
            else:
                outputs.pop(0)
        return found

    def _at_positions(self) -> list[PositionFeatures]:
        """Letters at positions where all sequences are as long; for numbers all orders of k-mers."""
        places = positions(self.problem.codes)
        if places is None:
            return []
        orders = range(1 if self.numbers else places.order, places.order + 1)
        return [PositionFeatures(places.length, order) for order in orders]

    def _best(self, models: Models) -> Models:
        """The one with the least held-out loss, if there is any."""
        return sorted(models, key=lambda one: self.choices[feature_name(one[0].features)])[:1]

    def _best_kmers(
        self, narrow: tuple[Candidate, LinearModel], strands: int, positions_win: bool
    ) -> tuple[Candidate, LinearModel]:
        """Wider k-mers where they are better and positions are not; for numbers, shorter ones where they are better."""
        best = narrow if positions_win else self._wider(narrow, strands)
        if not self.numbers or self.config.kmers is not None:
            return best
        short = [self._fitted(KmerFeatures(*kmers, strands), len(SHORT_KMERS)) for kmers in SHORT_KMERS]
        return self._best([best, *short])[0]

    def _needed(self, wanted: str) -> bool:
        """Whether linear models are used, or decide on strands or head."""
        heads = self.params["head"] == "auto" and wanted == "none" and self.problem.length
        return bool(self.params["linear"] or wanted == "auto" or heads)

    def _fitted(self, features: Features, left: int) -> tuple[Candidate, LinearModel]:
        """A model fitted on the rest, its penalty chosen on the part, in its share of the time for `left` fits."""
        name = feature_name(features)
        PROGRESS.info(f"fitting the linear part, {name}")
        now = time.monotonic()
        candidate = Candidate(features, self.problem.codes, self.targets)
        model, loss = candidate.choose(self.rest, self.part, now + max(self.end - now, 0) / left)
        self.choices[name] = round(loss, 5)
        return candidate, model

    def _wider(self, narrow: tuple[Candidate, LinearModel], strands: int) -> tuple[Candidate, LinearModel]:
        """Wider k-mers if they are better on the held-out part, and there is time to find out."""
        bases = sum(len(x) for x in self.problem.codes)
        features = self.config.features(bases, strands, self.problem.outputs)
        first = narrow[0].features
        assert isinstance(first, KmerFeatures)
        if features == first:
            return narrow
        expected = WIDER * narrow[0].seconds * len(features.masks) / len(first.masks)
        if time.monotonic() + expected > self.end:
            PROGRESS.info(f"no time for {feature_name(features)}")
            return narrow
        wide = self._fitted(features, 1)
        better = self.choices[feature_name(features)] < self.choices[feature_name(first)]
        return wide if better or self.config.kmers is not None else narrow

    def _better(self, one: Models, both: Models) -> bool:
        held, codes = self.targets.take(self.part), [self.problem.codes[i] for i in self.part]
        gain = np.zeros(len(codes))
        for sign, models in ((1, one), (-1, both)):
            sources = np.stack([model(codes) for _, model in models], axis=1)
            gain -= sign * losses(blend(sources, fit_weights(sources, held, network=False)), held)
        gain *= held.weight / max(float(held.weight.mean()), 1e-12)
        return float(gain.mean()) > float(gain.std()) / len(gain) ** 0.5


def kernel_name(features: Features) -> str:
    """Of a kernel model, in `choices`."""
    return f"kernel of {feature_name(features)}"


def feature_name(features: Features) -> str:
    """Of a linear model, in `choices`."""
    if isinstance(features, KmerFeatures):
        strands = "both strands" if features.strands == 2 else "one strand"
        return f"k-mers of {features.letters} letters in {features.span} bases, {strands}"
    return f"positions, k-mers of up to {features.to_dict()['order']} letters"
