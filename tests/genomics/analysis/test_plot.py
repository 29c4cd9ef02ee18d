"""Pictures of analyses: what is drawn, that files are whole, what is refused.

`T` bases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from tests.genomics.common import network
from titans_ts.genomics import integrated_gradients, mutate, plot_logo, plot_mutations, plot_track
from titans_ts.genomics.analysis.attribution import IntegrationWarning
from titans_ts.genomics.analysis.plot import MOST_ROWS, ROW


def gata(texts: list[str]) -> list[int]:
    return [text.count("GATA") - 2 * text.count("CC") for text in texts]


FOUND = mutate(gata, "CCTGATANAG", 1, 9)


def boxes(figure: Figure) -> dict[str, list[float]]:
    """Lowest and highest point of all letters of a colour."""
    patches = [patch for panel in figure.axes for patch in panel.patches if isinstance(patch, PathPatch)]
    found: dict[str, list[float]] = {}
    for patch in patches:
        box = patch.get_path().get_extents()
        low, high = found.get(to_hex(patch.get_facecolor()), [0.0, 0.0])
        found[to_hex(patch.get_facecolor())] = [min(low, box.y0), max(high, box.y1)]
    return found


def test_a_logo_is_as_tall_as_the_importance() -> None:
    figure = plot_logo(FOUND)
    spans = [box for box in boxes(figure).values() if box[1] > 0]
    assert {round(box[1], 9) for box in spans} == {1.0}
    assert min(box[0] for box in boxes(figure).values()) == pytest.approx(FOUND.importance[0])
    assert figure.axes[0].get_xlim() == (-0.5, 7.5)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [str(x) for x in range(1, 9)]
    assert "importance for" in figure.axes[0].get_ylabel()


def test_stacks_of_letters() -> None:
    heights = np.array([[1.0, 2.0, 0.0, -3.0], [0.0, 0.0, 0.5, 0.0]])
    figure = plot_logo(heights, first=100, label="bits")
    found = boxes(figure)
    assert max(box[1] for box in found.values()) == pytest.approx(3.0)
    assert min(box[0] for box in found.values()) == pytest.approx(-3.0)
    assert len(figure.axes[0].patches) == 4
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["100", "101"]


def test_long_sequences_go_on_in_rows() -> None:
    values = np.random.default_rng(0).normal(size=2 * ROW + 30)
    figure = plot_logo(values, "ACGTN" * 46)
    assert len(figure.axes) == 3
    assert {panel.get_xlim()[1] - panel.get_xlim()[0] for panel in figure.axes} == {float(ROW)}
    assert len({panel.get_ylim() for panel in figure.axes}) == 1
    steps = {tuple(np.diff(panel.get_xticks()).tolist())[:3] for panel in figure.axes}
    assert steps == {(5, 5, 5)}


def test_a_heat_map_shows_the_effects() -> None:
    figure = plot_mutations(FOUND, title="What changes do")
    panel, bar = figure.axes
    image = panel.images[0]
    np.testing.assert_array_equal(np.asarray(image.get_array()), FOUND.effects.T)
    assert image.get_clim() == (-2.0, 2.0)
    dots = np.asarray(panel.lines[0].get_xydata())
    assert [(int(x), int(y)) for x, y in dots] == [(0, 1), (1, 3), (2, 2), (3, 0), (4, 3), (5, 0), (7, 0)]
    assert bar.get_ylabel() == "change of the\nscore"
    flat = plot_mutations(mutate(lambda texts: [0.0] * len(texts), "ACGT"))
    assert flat.axes[0].images[0].get_clim() == (-1.0, 1.0)


def test_tracks() -> None:
    with pytest.warns(IntegrationWarning, match="raise steps above"):
        gradients = integrated_gradients(network(outputs=2), "ACGTACGTAC", steps=2)
    whole = mutate(gata, "CCTGATAGAG")
    figure = plot_track({"mutations": whole, "gradients": gradients, "mine": np.arange(10)}, first=1000)
    assert [panel.get_ylabel() for panel in figure.axes] == ["mutations", "gradients", "mine"]
    drawn = sum(np.asarray(patch.get_data()[0]) for patch in figure.axes[0].patches)  # type: ignore[attr-defined]
    np.testing.assert_allclose(drawn, whole.importance)
    assert figure.axes[0].get_xlim() == (999.5, 1009.5)
    assert len(plot_track(np.zeros(50_000), label="nothing").axes) == 1


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PDF"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "made" / f"picture{suffix}"
    plot_logo(FOUND, path=path)
    assert path.stat().st_size > 1000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")

    def fail(self: Figure, file: Any, **options: Any) -> None:
        Path(file).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_mutations(FOUND, path=path)
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        (lambda: plot_logo(FOUND, path="a.gif"), "path must end in one of .*got 'a.gif'"),
        (lambda: plot_mutations(FOUND, path="a"), "path must end in"),
        (lambda: plot_logo(FOUND, "ACGT"), "sequence must be None"),
        (lambda: plot_logo([1.0, 2.0], "ACG"), "one letter per value \\(2\\), got 3"),
        (lambda: plot_logo([1.0, 2.0], "AE"), "got E"),
        (lambda: plot_logo([1.0, 2.0]), r"got shape \(2,\) without"),
        (lambda: plot_logo(np.zeros((3, 5))), r"got shape \(3, 5\)"),
        (lambda: plot_logo(np.zeros((ROW * MOST_ROWS + 1, 4))), "has room for 1,200 bases, got 1,201.*plot_track"),
        (lambda: plot_track({}), "at least one track"),
        (lambda: plot_track({"a": [1.0], "b": [1.0, 2.0]}), "equal lengths, got {'a': 1, 'b': 2}"),
        (lambda: plot_track({"a": [[1.0]]}), r"track 'a' must be \(T,\).*got shape \(1, 1\)"),
    ],
)
def test_bad_input(draw: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        draw()
