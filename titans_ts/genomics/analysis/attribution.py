"""Integrated gradients (Sundararajan, Taly and Yan 2017): attribution of a model's output to letters.

The linear part of a model cannot be differentiated by letters: what it adds is known for every base
(`LinearModel.contributions`), and its outputs move along the same line as the letters of the networks do.

Shapes: T bases of a sequence, S steps, K classes, labels or targets, Q baselines, B points.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
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
from titans_ts.genomics.fitted import CountedModel, FittedClassifier, FittedParts
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
    """Attributions do not add up to the difference in log odds."""


class Attribution(NamedTuple):
    """Attribution of the score of a sequence to its bases.

    Attributes:
        sequence: T letters, upper case.
        values: (T, 4) attribution to each letter of the one-hot code; that of a base is the sum of its four.
        score: log odds of the sequence.
        baseline_score: mean log odds of the baselines.
        gap: sum of the values minus (score − baseline_score): 0 for infinitely many steps.
        steps: points on each line.
        output: name of the score.

    Example:
        >>> found = Attribution("AC", np.array([[0.5, 0, 0, 0], [0, -0.2, 0, 0]]), 1.3, 1.0, 0.0, 32, "class 1")
        >>> found.importance.tolist()
        [0.5, -0.2]
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
    """Attribute a model's log odds, or its predicted target, to the letters of a sequence.

    The gradients are those along straight lines from baselines to the sequence. All of a model is explained: its
    networks and its linear part, with their weights in the blend.

    Args:
        model: a fitted `DNAClassifier` or `DNARegressor`, or a `SequenceNetwork` (classes are then 0 … K − 1). A
            regressor's target is explained in its units; with log1p in log(1 + y), with Poisson's loss in log rates.
        sequence: T bases, as str, Seq or SeqRecord.
        output: the class or label, or the name of the target; None takes the second of two classes, the only target.
        baseline: "uniform" starts at a quarter of each letter (zero where the sequence has N); "shuffled" averages over
            eight shuffles of the sequence that keep the counts of neighbouring pairs. The linear part begins at its
            bias for the first, at what it says of the shuffles for the second.
        steps: S points on each line, at the middles of equal parts; doubled, up to eight times as many, while the
            attributions do not add up to the difference in log odds (to 5 % of it, or 0.01 nats).
        random_state: seed of the shuffles.

    Returns:
        The attributions; a gap that stays wide is reported in an `IntegrationWarning`.

    Raises:
        ValueError: see `mutate`; or steps < 1, an unknown baseline.
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
    codes = encode_one(sequence)
    end, *starts = (_Point.of(explained, one, shares) for one, shares in _ends(codes, baseline, random_state))
    with evaluating(explained.networks):
        with torch.no_grad():
            score, *others = (float(explained.score(*point.batch())) for point in (end, *starts))
        difference = score - float(np.mean(others))
        for count in (steps * more for more in REFINEMENTS):
            values = np.mean([_integral(explained, start, end, count) for start in starts], axis=0)
            gap = float(values.sum()) - difference
            if abs(gap) <= max(WIDE_GAP * abs(difference), SMALL_GAP * explained.unit):
                break
        else:
            text = f"attributions add up to {values.sum():.4g}, the scores differ by {difference:.4g}"
            warnings.warn(f"{text}: raise steps above {count}", IntegrationWarning, stacklevel=2)
    return Attribution(decode(codes), values, score, score - difference, gap, count, explained.name)


class _Explained(NamedTuple):
    """What is explained: the weighted mean of networks, weighted linear models, and the output asked about.

    Attributes:
        networks: none where their weight is 0.
        weight: of their mean: in the blend, for a target times its spread.
        linear: models of the linear part with their weights.
        outputs: K.
        place: of the class or target among the outputs.
        odds: whether the score is the log odds of a class, not an output itself.
        name: of the score.
        unit: of the score, in which a small gap is measured.
        offset: added to the output.
    """

    networks: list[SequenceNetwork]
    weight: float
    linear: list[tuple[float, CountedModel]]
    outputs: int
    place: int
    odds: bool
    name: str
    unit: float = 1.0
    offset: float = 0.0

    def score(self, shares: Tensor, linear: Tensor) -> Tensor:
        """Shares of letters (B, T, 4) and outputs of the linear part (B, K), float64 → scores (B,) float64."""
        outputs = linear
        if self.networks:
            home = next(self.networks[0].parameters())
            ids = shares.to(home.device, home.dtype)
            mask = torch.ones(ids.shape[:2], dtype=torch.bool, device=ids.device)
            batch = {"input_ids": ids, "attention_mask": mask}
            mean = torch.stack([network(batch) for network in self.networks]).double().mean(0).cpu()
            outputs = outputs + self.weight * mean
        one = outputs[:, self.place] + self.offset
        if not self.odds:
            return one
        others = [k for k in range(self.outputs) if k != self.place]
        return one - outputs[:, others].logsumexp(1)


class _Point(NamedTuple):
    """An end of a line.

    Attributes:
        shares: (T, 4) of the letters.
        linear: (K,) outputs of the linear part.
        laid: (T, K) what each base adds to them.
    """

    shares: FloatArray
    linear: FloatArray
    laid: FloatArray

    @classmethod
    def of(cls, explained: _Explained, codes: Codes | None, shares: FloatArray) -> _Point:
        """Of a sequence, or of no letters in particular."""
        linear, laid = np.zeros(explained.outputs), np.zeros((len(shares), explained.outputs))
        for weight, model in explained.linear:
            if codes is None:
                linear += weight * model.floor
            else:
                linear += weight * model([codes])[0]
                laid += weight * model.contributions(codes)
        return cls(shares, linear, laid)

    def batch(self) -> tuple[Tensor, Tensor]:
        """(1, T, 4) and (1, K)."""
        return torch.from_numpy(self.shares[None]), torch.from_numpy(self.linear[None])


def _explained(model: Any, output: Any) -> _Explained:
    """The parts of a model.

    Raises:
        ValueError, TypeError: see `integrated_gradients`.
    """
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, SequenceNetwork):
        config = model.config
        if config.head == "per_base":
            raise ValueError("model has head 'per_base', an answer per base: attribution needs one answer per sequence")
        place = class_place(range(config.outputs), output)
        return _Explained([model], 1.0, [], config.outputs, place, config.task == "classes", f"log odds of {place}")
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
    place, parts = class_place(fitted.classes, output), fitted.parts
    weight, linear = _weighted(parts, parts.weights)
    name = f"log odds of {fitted.classes[place]}"
    networks = list(parts.networks) if weight else []
    return _Explained(networks, weight, linear, parts.config.outputs, place, fitted.task == "classes", name)


def _target_of(model: Any, output: Any) -> _Explained:
    fitted = getattr(model, "model_", None)
    if not isinstance(fitted, FittedRegressor):
        raise TypeError(
            f"model must be a fitted DNARegressor, got {type(model).__name__}: call fit first; mutate explains any "
            "regressor"
        )
    check_regressor(fitted)
    parts, scale = fitted.parts, fitted.scale
    place, poisson = target_place(fitted.names, output), scale.loss == "poisson"
    logs = "log rate of " if poisson else "log(1 + y) of " if scale.log1p else "predicted "
    spread = float(scale.spread[place])
    unit, offset = (1.0, float(np.log(spread))) if poisson else (spread, float(scale.centre[place]))
    of_target = parts.weights[:, place] if parts.weights.ndim == 2 else parts.weights
    weight, linear = _weighted(parts, unit * of_target)
    networks, name = list(parts.networks) if weight else [], f"{logs}{fitted.names[place]}"
    return _Explained(networks, weight, linear, len(fitted.names), place, False, name, unit, offset)


def _weighted(parts: FittedParts, weights: FloatArray) -> tuple[float, list[tuple[float, CountedModel]]]:
    """Weight of the networks, and the linear models that have one."""
    weight, *others = (float(one) for one in weights)
    return weight, [(share, one) for share, one in zip(others, parts.linear, strict=True) if share]


def _integral(explained: _Explained, start: _Point, end: _Point, steps: int) -> FloatArray:
    """(T, 4) of one line; gradients of the letters and of the linear part's logits only, not of parameters."""
    letters, linear = np.zeros_like(end.shares), np.zeros_like(end.linear)
    along = (np.arange(steps) + 0.5) / steps
    size = max(BASES_PER_BATCH // len(end.shares), 1)
    for first in range(0, steps, size):
        share = along[first : first + size, None]
        shares = torch.from_numpy(start.shares + share[..., None] * (end.shares - start.shares)).requires_grad_()
        outputs = torch.from_numpy(start.linear + share * (end.linear - start.linear)).requires_grad_()
        with torch.enable_grad():
            found = torch.autograd.grad(explained.score(shares, outputs).sum(), (shares, outputs), allow_unused=True)
        if found[0] is not None:
            letters += found[0].sum(0).numpy()
        linear += found[1].sum(0).numpy()
    linear /= steps
    values = letters / steps * (end.shares - start.shares)
    return np.asarray(
        values + end.shares * (end.laid @ linear)[:, None] - start.shares * (start.laid @ linear)[:, None]
    )


def _ends(codes: Codes, baseline: str, seed: int) -> Iterator[tuple[Codes | None, FloatArray]]:
    """The sequence, then Q baselines: their letters, None for a quarter of each, and shares (T, 4)."""
    yield codes, _onehot(codes)
    if baseline == "uniform":
        yield None, np.where((codes < N)[:, None], np.full((len(codes), N), 1 / N), 0.0)
        return
    random = np.random.default_rng(seed)
    for _ in range(SHUFFLES):
        shuffled = shuffle_pairs(codes, random)
        yield shuffled, _onehot(shuffled)


def _onehot(codes: Codes) -> FloatArray:
    """(T, 4), zeros for N."""
    return (codes[:, None] == np.arange(N)).astype(np.float64)


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
