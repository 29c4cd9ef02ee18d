"""Members of a panel are related, those of different panels are not."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.series.generators import related


@pytest.mark.parametrize("length", [8, 9, 100, 4096])
def test_shape_and_finite(length: int) -> None:
    panels = related(np.random.default_rng(0), 3, 4, length)
    assert panels.shape == (3, 4, length) and np.isfinite(panels).all()
    assert np.array_equal(panels, related(np.random.default_rng(0), 3, 4, length))


def test_members_are_alike_within_a_panel_only() -> None:
    panels = related(np.random.default_rng(0), 40, 4, 500)
    within = [np.corrcoef(panel)[0, 1:] for panel in panels]
    between = np.corrcoef(panels[:, 0])[np.triu_indices(40, 1)]
    assert np.median(within) > 0.5
    assert abs(np.median(between)) < 0.2


def test_levels_differ() -> None:
    panels = related(np.random.default_rng(0), 60, 5, 200)
    positive = (panels >= 0).all(axis=(1, 2))
    assert 0.4 < positive.mean() < 0.8
    means = panels[positive].mean(axis=2)
    assert np.median(means.max(axis=1) / np.maximum(means.min(axis=1), 1e-9)) > 2


@pytest.mark.parametrize(
    ("count", "members", "length", "word"), [(0, 2, 50, "count"), (2, 0, 50, "members"), (2, 2, 3, "length")]
)
def test_bad_sizes(count: int, members: int, length: int, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        related(np.random.default_rng(0), count, members, length)
