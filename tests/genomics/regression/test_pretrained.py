"""Regressors that start from a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from tests.genomics.common import measured
from titans_ts.genomics import DNALanguageModel, DNARegressor

X, Y = measured(40, 24)
OPTIONS: dict[str, Any] = {"width": 16, "heads": 2, "layers": 1, "window": 16, "memory": {"chunk_size": 8}}


@pytest.mark.parametrize("per_base", [False, True])
def test_a_trunk_is_taken_kept_by_clones_and_saved(per_base: bool, tmp_path: Path) -> None:
    options = {**OPTIONS, "progress": False}
    trunk = DNALanguageModel(context_length=30, max_epochs=1, device="cpu", options=options).fit(X)
    common: dict[str, Any] = {"max_epochs": 1, "validation_fraction": 0, "device": "cpu", "reverse_complement": "none"}
    model = DNARegressor(pretrained=trunk, per_base=per_base, **common, options={"progress": False})
    assert clone(model).pretrained is trunk
    y = [np.arange(24.0) + level for level in Y] if per_base else Y
    model.fit(X, y)
    assert model.model_.parts.config.language == "causal"
    again = DNARegressor.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(np.stack(again.predict(X)), np.stack(model.predict(X)))
    assert isinstance(again.pretrained, DNALanguageModel)
