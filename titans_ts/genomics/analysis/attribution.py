"""Integrated gradients (Sundararajan, Taly and Yan 2017): what each letter adds to a network's log odds.

Shapes: T bases of a sequence, S steps, K classes or labels, Q baselines.
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
from titans_ts.genomics.analysis.predict import evaluating
from titans_ts.genomics.analysis.scorer import check_classifier, class_place, encode_one
from titans_ts.genomics.analysis.write import Place, write_bedgraph, write_frame
from titans_ts.genomics.model.network import SequenceNetwork

FloatArray = npt.NDArray[np.float64]
BASELINES = ("uniform", "shuffled")
SHUFFLES = 8
# Bases of one batch of steps: gradients keep all that happened on the way.
BASES_A_BATCH = 8_192
# A gap above this share of the difference, and above this many nats, asks for more steps: as many times those given.
WIDE_GAP, SMALL_GAP = 0.05, 0.01
REFINEMENTS = (1, 2, 4, 8)


class IntegrationWarning(UserWarning):
    """Attributions do not add up to the difference that they explain."""


class Attribution(NamedTuple):
    """What each letter adds to the answer.

    Attributes:
        sequence: T letters, upper case.
        values: (T, 4) share of each letter of the one-hot code; a base's attribution is the sum of its four.
        score: log odds that the network gives the sequence.
        baseline_score: mean of those of the baselines.
        gap: sum of the values minus (score − baseline_score): 0 for infinitely many steps.
        steps: points on each line.
        output: what the score is.
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
        """A row a base: position in the sequence, reference, importance."""
        places = np.arange(len(self.sequence))
        return pd.DataFrame({"position": places, "reference": list(self.sequence), "importance": self.importance})

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write `to_frame`, as a whole or not at all."""
        write_frame(path, self.to_frame())

    def to_bedgraph(self, path: str | PathLike[str], chrom: str, start: int, strand: str = "+") -> None:
        """Write the attribution of every base for genome browsers, as a whole or not at all.

        Args:
            path, chrom, start, strand: as `MutationMap.to_bedgraph`.

        Raises:
            ValueError: an unknown strand, a negative start, or a name of no chromosome.
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
    """Attribute a network's log odds to the letters of a sequence, along straight lines from baselines to it.

    Of a classifier the networks are explained, as they count in its blend; the logistic maps beside them cannot be
    differentiated by letters: `mutate` explains the whole.

    Args:
        model: a fitted `DNAClassifier`, or a `SequenceNetwork` (classes are then 0 … K − 1).
        sequence: T bases, as str, Seq or SeqRecord.
        output: the class or label; None takes the second of two classes.
        baseline: "uniform" starts at a quarter of each letter (nothing where the sequence has N); "shuffled" at eight
            shuffles of the sequence that keep the counts of neighbouring letters, and takes the mean.
        steps: S points on each line, at the middles of equal parts; doubled, to eight times as many at most, while the
            attributions do not add up to the difference of the log odds (5 % of it, or 0.01 nats, are let pass).
        random_state: seed of the shuffles.

    Returns:
        The attributions; a gap that stays wide is said in an `IntegrationWarning`.

    Raises:
        ValueError: see `mutate`; or the networks have no say in the classifier, steps below 1, an unknown baseline.
        TypeError: the model is neither, or the sequence is none.
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, got {baseline!r}")
    if steps < 1:
        raise ValueError(f"steps must be ≥ 1, got {steps}")
    networks, scale, place, name = _networks(model, output)
    codes = encode_one(sequence)
    ends = _onehot(codes)
    starts = _baselines(codes, baseline, random_state)
    with evaluating(networks):
        ask = _log_odds(networks, scale, place)
        with torch.no_grad():
            score, *others = ask(torch.from_numpy(np.stack([ends, *starts]))).tolist()
        difference = score - float(np.mean(others))
        for count in (steps * more for more in REFINEMENTS):
            values = _integral(ask, starts, ends, count)
            gap = float(values.sum()) - difference
            if abs(gap) <= max(WIDE_GAP * abs(difference), SMALL_GAP):
                break
        else:
            text = f"attributions add up to {values.sum():.4g}, the log odds differ by {difference:.4g}"
            warnings.warn(f"{text}: raise steps above {count}", IntegrationWarning, stacklevel=2)
    return Attribution(decode(codes), values, score, score - difference, gap, count, name)


def _networks(model: Any, output: Any) -> tuple[list[SequenceNetwork], float, int, str]:
    """Networks, their weight in the blend, the number of the class and what the score is.

    Raises:
        ValueError, TypeError: see `integrated_gradients`.
    """
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, SequenceNetwork):
        if model.config.head == "per_base":
            raise ValueError("a network with head 'per_base' answers for every base: attribute a sequence's class")
        place = class_place(range(model.config.outputs), output)
        return [model], 1.0, place, f"log odds of {place}"
    if not hasattr(model, "decision_function") or not hasattr(model, "fit"):
        raise TypeError(
            f"model must be a fitted DNAClassifier or a SequenceNetwork, got {type(model).__name__}: mutate explains "
            "any callable"
        )
    check_classifier(model)
    if not hasattr(model, "model_"):
        raise TypeError(f"{type(model).__name__} has no network: mutate explains any classifier")
    place, scale = class_place(model.classes_, output), float(model.model_.scale[0])
    if scale == 0:
        raise ValueError(
            "the classifier's networks have no say beside its logistic maps (held-out sequences decided so): use "
            "mutate, or fit with linear=False"
        )
    return list(model.model_.networks), scale, place, f"log odds of {model.classes_[place]}"


def _log_odds(networks: list[SequenceNetwork], scale: float, place: int) -> Callable[[Tensor], Tensor]:
    home = next(networks[0].parameters())

    def ask(shares: Tensor) -> Tensor:
        """Shares of letters (B, T, 4) float64 → log odds (B,) float64 of the networks' weighted mean."""
        ids = shares.to(home.device, home.dtype)
        batch = {"input_ids": ids, "attention_mask": torch.ones(ids.shape[:2], dtype=torch.bool, device=ids.device)}
        logits = scale * torch.stack([network(batch) for network in networks]).double().mean(0).cpu()
        one = logits[:, place]
        if networks[0].config.task == "labels":
            return one
        others = [k for k in range(logits.shape[1]) if k != place]
        return one - logits[:, others].logsumexp(1)

    return ask


def _integral(ask: Callable[[Tensor], Tensor], starts: list[FloatArray], end: FloatArray, steps: int) -> FloatArray:
    """(T, 4) mean over the baselines."""
    each = [(end - start) * _mean_gradient(ask, start, end, steps) for start in starts]
    return np.asarray(np.mean(each, axis=0))


def _mean_gradient(ask: Callable[[Tensor], Tensor], start: FloatArray, end: FloatArray, steps: int) -> FloatArray:
    """(T, 4) mean over the line; of the letters only, so that the parameters' own gradients stay as they are."""
    total = np.zeros_like(end)
    along = (np.arange(steps) + 0.5) / steps
    size = max(BASES_A_BATCH // len(end), 1)
    for first in range(0, steps, size):
        share = along[first : first + size, None, None]
        points = torch.from_numpy(start + share * (end - start)).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(ask(points).sum(), points)
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
    """Shuffled letters with the counts of neighbouring pairs and both ends as they were.

    A walk along the pairs: what follows each letter comes in another order, but its last exit stays the last, so that
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
