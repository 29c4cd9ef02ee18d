"""Heads: one dict, one name each."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from titans_ts.genomics.model.config import HeadName
from titans_ts.genomics.model.heads import HEADS, ClassificationHead, PositionHead
from titans_ts.genomics.supervised import params


def test_names_are_those_of_the_dict() -> None:
    assert get_args(HeadName) == tuple(HEADS)
    sequence_heads = tuple(name for name, head in HEADS.items() if not head.per_base)
    assert ("auto", *sequence_heads) == params.HEADS


@pytest.mark.parametrize("head", HEADS.values())
def test_width_is_that_of_the_features(head: type[ClassificationHead]) -> None:
    x, mask = torch.randn(2, 6, 8), torch.ones(2, 6, dtype=torch.bool)
    made = head(8, 3, tokens=6)
    features = made.features(x, mask)
    assert features.shape == ((2, 6, made.width) if head.per_base else (2, made.width))
    assert made.logits(features).shape == (*features.shape[:-1], 3)


def test_positions_need_a_number_of_tokens() -> None:
    with pytest.raises(ValueError, match="tokens must be ≥ 1 with head 'position'"):
        PositionHead(8, 3)
