"""Small sequences, networks and classifiers for the tests of the genomics slice.

`B` batch, `T` bases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from titans_datasets.dna.alphabet import Codes, encode_all
from titans_datasets.dna.batches.buckets import pad
from titans_ts.core import MemoryConfig, TitansConfig
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.regression.regressor import DNARegressor

SMALL: dict[str, Any] = {
    "channels": 8,
    "stem": 5,
    "pool": 2,
    "hidden": 8,
    "width": 8,
    "heads": 2,
    "progress": False,
    "batch_size": 16,
    "kmers": [6, 5],
}
MOTIF = "TGACTCA"
REVERSED = "TGAGTCA"


def sequences(count: int = 60, length: int | None = 30, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Random DNA with a motif in the second half of them, at the place 10 or anywhere; classes "no" and "yes"."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        size = length if length is not None else int(random.integers(20, 45))
        letters = "".join(random.choice(list("ACGT"), size))
        place = 10 if length is not None else int(random.integers(0, size - len(MOTIF)))
        found.append(letters if i < count // 2 else letters[:place] + MOTIF + letters[place + len(MOTIF) :])
    return found, np.array(["no"] * (count // 2) + ["yes"] * (count - count // 2))


def classifier(**params: Any) -> DNAClassifier:
    """A tiny classifier of two passes; `options` are added to the small ones."""
    options = {**SMALL, **params.pop("options", {})}
    return DNAClassifier(**{"max_epochs": 2, "device": "cpu", **params}, options=options)


def measured(count: int = 120, length: int | None = 30, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Random DNA and a number of each: three times its TGA, its GC, and noise."""
    random = np.random.default_rng(seed)
    sizes = [length if length is not None else int(random.integers(20, 45)) for _ in range(count)]
    texts = ["".join(random.choice(list("ACGT"), size)) for size in sizes]
    return texts, np.array([3 * text.count("TGA") + text.count("GC") for text in texts]) + random.normal(0, 0.2, count)


def regressor(**params: Any) -> DNARegressor:
    """A tiny regressor of two passes; `options` are added to the small ones."""
    options = {**SMALL, "kmers": [3, 3], **params.pop("options", {})}
    return DNARegressor(**{"max_epochs": 2, "device": "cpu", **params}, options=options)


def network(seed: int = 0, **changes: Any) -> SequenceNetwork:
    """A float64 network in evaluation mode, with gates and convolutions away from their starts."""
    memory = MemoryConfig(chunk_size=3, step_size=0.02)
    backbone = TitansConfig("mag", 8, heads=2, layers=1, window=4, memory=memory, dropout=0.0)
    values = {"outputs": 3, "channels": 8, "stem": 5, "pool": 2, "hidden": 8, "backbone": backbone, **changes}
    torch.manual_seed(seed)
    model = SequenceNetwork(SequenceConfig(**values)).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gates.weight" in name or "conv_weight" in name or "position_scale" in name:
                parameter += 0.3 * torch.randn_like(parameter)
            if "memory_start" in name:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-2] ** 0.5)
    return model


def codes(lengths: tuple[int, ...] = (17, 9, 23), seed: int = 0) -> list[Codes]:
    """Random sequences of these lengths, N among them."""
    random = np.random.default_rng(seed)
    return encode_all(["".join(random.choice(list("ACGTACGTN"), size)) for size in lengths])


def batch(arrays: list[Codes], side: str = "right", extra: int = 0) -> dict[str, Tensor]:
    """A batch with `extra` columns of padding more on that side."""
    ids, mask = pad(arrays, side)
    if extra:
        more = torch.full((len(ids), extra), 5)
        none = torch.zeros(len(ids), extra, dtype=torch.bool)
        order = slice(None, None, 1 if side == "right" else -1)
        ids, mask = torch.cat([ids, more][order], 1), torch.cat([mask, none][order], 1)
    return {"input_ids": ids, "attention_mask": mask}
