"""Integrated gradients (Sundararajan, Taly and Yan 2017): attribution of a network's output to letters.

Shapes: T bases of a sequence, S steps, K classes, labels or targets, Q baselines.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.dna.alphabet import Codes, N, decode
from titans_ts.genomics.analysis.bedgraph import Place, write_bedgraph, write_frame
from titans_ts.genomics.analysis.scorer import (
    check_classifier,
    check_regressor,
    class_place,
    encode_one,
    predicts_numbers,
    target_place,
)
from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.model.inference import evaluating
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.regression.fitted import FittedRegressor

FloatArray = npt.NDArray[np.float64]
BASELINES = ("uniform", "shuffled")
SHUFFLES = 8
# Bases of one batch of steps: gradients keep all activations.
BASES_PER_BATCH = 8_192
# A gap above this share of the difference and above this many nats is refined: the steps are multiplied by these.
WIDE_GAP, SMALL_GAP = 0.05, 0.01
REFINEMENTS = (1, 2, 4, 8)


class IntegrationWarning(UserWarning):
    """Attributions do not add up to the difference of the scores."""


class Attribution(NamedTuple):
    """Attribution of the score of a sequence to its bases.

    Attributes:
        sequence: T letters, upper case.
        values: (T, 4) attribution to each letter of the one-hot code; that of a base is the sum of its four.
        score: log odds of the sequence, or its predicted target on the scale that is learned.
        baseline_score: the mean of the baselines.
        gap: sum of the values minus (score − baseline_score): 0 for infinitely many steps.
        steps: points on each line.
        output: name of the score.
    """

    sequence: str
    values: FloatArray
    score: float
    baseline_score: float
    gap: float
    steps: int
    output: str

    @property
    def importance(self) -> FloatArray:
        """(T,) attribution of each base."""
        return np.asarray(self.values.sum(1))

    def to_frame(self) -> pd.DataFrame:
        """One row per base: position in the sequence, reference, importance."""
        places = np.arange(len(self.sequence))
        return pd.DataFrame({"position": places, "reference": list(self.sequence), "importance": self.importance})

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write `to_frame`, completely or not at all."""
        write_frame(path, self.to_frame())

    def to_bedgraph(self, path: str | PathLike[str], chrom: str, start: int, strand: str = "+") -> None:
        """Write the attribution of every base for genome browsers, completely or not at all.

        Args:
            path, chrom, start, strand: as `MutationMap.to_bedgraph`.

        Raises:
            ValueError: an unknown strand, a negative start, or an empty name or one with white space.
        """
        write_bedgraph(path, [(self.importance, Place(chrom, start, 0, strand))], f"attribution to {self.output}")


def integrated_gradients(
    model: Any,
    sequence: Any,
    *,
    output: Any = None,
    baseline: str = "uniform",
    steps: int = 32,
    random_state: int = 0,
) -> Attribution:
    """Attribute a network's log odds, or its predicted target, to the letters of a sequence.

    The gradients are those along straight lines from baselines to the sequence.

    Of a classifier only the networks are explained, with their weight in the blend; its linear part cannot be
    differentiated by letters: `mutate` explains the whole classifier.

    Args:
        model: a fitted `DNAClassifier` or `DNARegressor`, or a `SequenceNetwork` (classes are then 0 … K − 1). Of a
            regressor the part of its networks in the target is attributed, in its units; with log1p in log(1 + y), with
            Poisson's loss in log rates.
        sequence: T bases, as str, Seq or SeqRecord.
        output: the class or label, or the name of the target; None takes the second of two classes, the only target.
        baseline: "uniform" starts at a quarter of each letter (zero where the sequence has N); "shuffled" averages over
            eight shuffles of the sequence that keep the counts of neighbouring pairs.
        steps: S points on each line, at the middles of equal parts; doubled, up to eight times as many, while the
            attributions do not add up to the difference in log odds (to 5 % of it, or 0.01 nats).
        random_state: seed of the shuffles.

    Returns:
        The attributions; a gap that stays wide is reported in an `IntegrationWarning`.

    Raises:
        ValueError: see `mutate`; or the networks have no weight in the classifier, steps < 1, an unknown baseline.
        TypeError: model or sequence are of another type.

    Example:
        >>> from titans_ts.genomics import SequenceConfig, SequenceNetwork
        >>> network = SequenceNetwork(SequenceConfig(outputs=2)).eval()  # not trained
        >>> found = integrated_gradients(network, "ACGTTGACTCATTT")
        >>> found.importance.shape
        (14,)
        >>> bool(abs(found.importance.sum() - (found.score - found.baseline_score)) < 0.05)
        True
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, got {baseline!r}")
    if steps < 1:
        raise ValueError(f"steps must be ≥ 1, got {steps}")
    explained = _explained(model, output)
    networks = explained.networks
    codes = encode_one(sequence)
    ends = _onehot(codes)
    starts = _baselines(codes, baseline, random_state)
    with evaluating(networks):
        read = explained.reader()
        with torch.no_grad():
            score, *others = read(torch.from_numpy(np.stack([ends, *starts]))).tolist()
        difference = score - float(np.mean(others))
        for count in (steps * more for more in REFINEMENTS):
            values = _integral(read, starts, ends, count)
            gap = float(values.sum()) - difference
            if abs(gap) <= max(WIDE_GAP * abs(difference), SMALL_GAP * explained.unit):
                break
        else:
            text = f"attributions add up to {values.sum():.4g}, the scores differ by {difference:.4g}"
            warnings.warn(f"{text}: raise steps above {count}", IntegrationWarning, stacklevel=2)
    return Attribution(decode(codes), values, score, score - difference, gap, count, explained.name)


class _Explained(NamedTuple):
    """A number of a model's networks.

    Attributes:
        networks: whose mean is attributed.
        weight: of that mean: in the blend, for a target times its spread.
        place: of the class or target among the outputs.
        name: of the number.
        odds: whether it is the log odds of a class, not an output itself.
        unit: of the number, in which a small gap is measured.
    """

    networks: list[SequenceNetwork]
    weight: float
    place: int
    name: str
    odds: bool
    unit: float = 1.0

    def reader(self) -> Callable[[Tensor], Tensor]:
        """From shares of letters to the number."""
        home = next(self.networks[0].parameters())

        def read(shares: Tensor) -> Tensor:
            """Shares of letters (B, T, 4) float64 → (B,) float64 of the networks' weighted mean."""
            ids = shares.to(home.device, home.dtype)
            batch = {"input_ids": ids, "attention_mask": torch.ones(ids.shape[:2], dtype=torch.bool, device=ids.device)}
            outputs = self.weight * torch.stack([network(batch) for network in self.networks]).double().mean(0).cpu()
            one = outputs[:, self.place]
            if not self.odds:
                return one
            others = [k for k in range(outputs.shape[1]) if k != self.place]
            return one - outputs[:, others].logsumexp(1)

        return read


def _explained(model: Any, output: Any) -> _Explained:
    """What is attributed of a model.

    Raises:
        ValueError, TypeError: see `integrated_gradients`.
    """
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, SequenceNetwork):
        if model.config.head == "per_base":
            raise ValueError("model has head 'per_base', an answer per base: attribution needs one answer per sequence")
        place = class_place(range(model.config.outputs), output)
        return _Explained([model], 1.0, place, f"log odds of {place}", model.config.task == "classes")
    if predicts_numbers(model):
        return _target_of(model, output)
    if not hasattr(model, "decision_function") or not hasattr(model, "fit"):
        raise TypeError(
            "model must be a fitted DNAClassifier or DNARegressor, or a SequenceNetwork, got "
            f"{type(model).__name__}: mutate explains any callable"
        )
    check_classifier(model)
    fitted = getattr(model, "model_", None)
    if not isinstance(fitted, FittedClassifier):
        raise TypeError(f"{type(model).__name__} has no network: mutate explains any classifier")
    place, weight = class_place(fitted.classes, output), float(fitted.weights[0])
    _check_weight(weight, "classifier")
    name = f"log odds of {fitted.classes[place]}"
    return _Explained(list(fitted.networks), weight, place, name, fitted.task == "classes")


def _target_of(model: Any, output: Any) -> _Explained:
    fitted = getattr(model, "model_", None)
    if not isinstance(fitted, FittedRegressor):
        raise TypeError(
            f"model must be a fitted DNARegressor, got {type(model).__name__}: call fit first; mutate explains any "
            "regressor"
        )
    check_regressor(fitted)
    parts, scale = fitted.parts, fitted.scale
    place = target_place(fitted.names, output)
    weight = float(np.broadcast_to(parts.weights[0], len(fitted.names))[place])
    _check_weight(weight, "regressor")
    logs = "log rate of " if scale.loss == "poisson" else "log(1 + y) of " if scale.log1p else "predicted "
    unit = 1.0 if scale.loss == "poisson" else float(scale.spread[place])
    return _Explained(list(parts.networks), weight * unit, place, f"{logs}{fitted.names[place]}", False, unit)


def _check_weight(weight: float, what: str) -> None:
    if weight == 0:
        raise ValueError(
            f"the {what}'s networks have weight 0 (its linear part was better on held-out sequences): use mutate, or "
            "fit with linear=False"
        )


def _integral(read: Callable[[Tensor], Tensor], starts: list[FloatArray], end: FloatArray, steps: int) -> FloatArray:
    """(T, 4) mean over the baselines."""
    each = [(end - start) * _mean_gradient(read, start, end, steps) for start in starts]
    return np.asarray(np.mean(each, axis=0))


def _mean_gradient(read: Callable[[Tensor], Tensor], start: FloatArray, end: FloatArray, steps: int) -> FloatArray:
    """(T, 4) mean over the line; gradients of the letters only, those of parameters are not touched."""
    total = np.zeros_like(end)
    along = (np.arange(steps) + 0.5) / steps
    size = max(BASES_PER_BATCH // len(end), 1)
    for first in range(0, steps, size):
        share = along[first : first + size, None, None]
        points = torch.from_numpy(start + share * (end - start)).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(read(points).sum(), points)
        total += slope.sum(0).numpy()
    return total / steps


def _onehot(codes: Codes) -> FloatArray:
    """(T, 4), zeros for N."""
    return (codes[:, None] == np.arange(N)).astype(np.float64)


def _baselines(codes: Codes, baseline: str, seed: int) -> list[FloatArray]:
    """Q arrays (T, 4)."""
    if baseline == "uniform":
        return [np.where((codes < N)[:, None], np.full((len(codes), N), 1 / N), 0.0)]
    random = np.random.default_rng(seed)
    return [_onehot(shuffle_pairs(codes, random)) for _ in range(SHUFFLES)]


def shuffle_pairs(codes: Codes, random: np.random.Generator) -> Codes:
    """Shuffled letters with the same counts of neighbouring pairs and the same ends.

    A random walk along the pairs: the successors of each letter are permuted, but the last one stays the last, so that
    the walk cannot end before it has used every pair (Altschul and Erickson 1985).
    """
    following = {}
    for letter in np.unique(codes):
        after = codes[1:][codes[:-1] == letter]
        following[int(letter)] = [*random.permutation(after[:-1]).tolist(), *after[-1:].tolist()][::-1]
    walk = [int(codes[0])]
    for _ in range(len(codes) - 1):
        walk.append(following[walk[-1]].pop())
    return np.array(walk, dtype=codes.dtype)
