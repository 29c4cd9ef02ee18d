"""Figures of analyses: sequence logos, heat maps of substitutions, per-base tracks.

Figures are made without pyplot: no window, no global state, any backend. Long sequences continue in the next row.

Shapes: T bases of a picture, L letters of a row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, MaxNLocator

from titans_datasets.dna.alphabet import LETTERS, N
from titans_datasets.writing import in_place_of
from titans_ts.genomics.analysis.attribution import Attribution
from titans_ts.genomics.analysis.mutagenesis import MutationMap

FloatArray = npt.NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
WIDTH_INCHES, DOTS_PER_INCH = 12.0, 100
# Most letters of a row that are legible at this width, and most rows of a figure.
ROW, MOST_ROWS = 100, 12
_COLOURS = {"A": "#2a9d4a", "C": "#2469b3", "G": "#e59a1a", "T": "#cf3a3a", "N": "#888888"}
_LABELS, _FAINT = "#444444", "#d8d8d8"


def plot_logo(
    values: MutationMap | Attribution | npt.ArrayLike,
    sequence: str | None = None,
    *,
    first: int = 0,
    label: str | None = None,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Sequence logo: letter height = score; one letter per base or stacks of four, negative ones pale below the axis.

    Args:
        values: a substitution map, an attribution, (T,) scores of the letters of `sequence`, or (T, 4) heights of A, C,
            G, T.
        sequence: T letters, where values are (T,).
        first: number of the first base of the whole sequence on the axis.
        label: of the height.
        title: above the figure.
        path: file to write (png, svg, pdf, jpg, webp); readers see the old file or the whole new one.

    Returns:
        The figure, 1200 pixels wide; `figure.savefig` writes it elsewhere.

    Raises:
        ValueError: values of another shape, letters and values that differ in number, more than 1,200 bases, or an
            unknown suffix.

    Example:
        >>> from titans_ts.genomics import plot_logo
        >>> figure = plot_logo([0.1, 2.0, -1.0], "ACG", label="log odds")
        >>> figure.axes[0].get_ylabel(), len(figure.axes[0].patches)
        ('log odds', 3)
    """
    check_picture(path)
    heights, start, name = _heights(values, sequence)
    figure, panels = _rows(len(heights), 1.6, title)
    low, high = min(float(heights.clip(max=0).sum(1).min()), 0.0), max(float(heights.clip(min=0).sum(1).max()), 0.0)
    room = 0.05 * (high - low or 1.0)
    for panel, part in panels:
        _letters(panel, heights[part], part.start)
        panel.axhline(0, color=_LABELS, linewidth=0.8)
        panel.set_ylim(low - room if low < 0 else 0, high + room if high > 0 or low == 0 else room)
        panel.yaxis.set_major_locator(MaxNLocator(4))
    _finish(figure, panels, first + start, label or name)
    _save(figure, path)
    return figure


def plot_mutations(
    found: MutationMap, *, first: int = 0, title: str | None = None, path: str | PathLike[str] | None = None
) -> Figure:
    """Heat map of substitutions: bases from left to right, the new letters from top to bottom.

    Red raises the score, blue lowers it, a dot is the sequence's own letter.

    Args:
        found: the result of `mutate`.
        first, title, path: as in `plot_logo`.

    Returns:
        The figure, 1200 pixels wide.

    Raises:
        ValueError: more than 1,200 bases, or an unknown suffix.

    Example:
        >>> from titans_ts.genomics import mutate, plot_mutations
        >>> found = mutate(lambda texts: [text.count("GATA") for text in texts], "CCGATACC")
        >>> [label.get_text() for label in plot_mutations(found).axes[0].get_yticklabels()]
        ['A', 'C', 'G', 'T']
    """
    check_picture(path)
    figure, panels = _rows(len(found.effects), 1.35, title)
    most = float(np.abs(found.effects).max()) or 1.0
    image = None
    for panel, part in panels:
        extent = (part.start - 0.5, part.stop - 0.5, N - 0.5, -0.5)
        options: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "interpolation": "nearest"}
        image = panel.imshow(found.effects[part].T, aspect="auto", extent=extent, **options)
        own = [(place, LETTERS.index(letter)) for place, letter in enumerate(found.reference)][part]
        known = [(place, row) for place, row in own if row < N]
        panel.plot(*np.array(known).reshape(-1, 2).T, ".", color="#555555", markersize=4)
        panel.set_yticks(range(N), list(LETTERS[:N]))
        panel.tick_params(axis="y", length=0)
    _finish(figure, panels, first + found.start, "")
    assert image is not None
    bar = figure.colorbar(image, ax=[panel for panel, _ in panels], fraction=0.02, pad=0.01)
    bar.set_label(f"change of the\n{found.output}", color=_LABELS, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, colors=_LABELS)
    _save(figure, path)
    return figure


def plot_track(
    tracks: MutationMap | Attribution | npt.ArrayLike | Mapping[str, Any],
    *,
    first: int = 0,
    label: str | None = None,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Values along a sequence of any length as filled steps, one panel per track.

    Args:
        tracks: a substitution map, an attribution or (T,) values; or a dict of names and such tracks of equal length.
        first: number of the first base on the axis.
        label: of the values, where there is one track without a name.
        title, path: as in `plot_logo`.

    Returns:
        The figure, 1200 pixels wide.

    Raises:
        ValueError: no track, one that is not (T,), tracks of different lengths, or an unknown suffix.

    Example:
        >>> from titans_ts.genomics import plot_track
        >>> [panel.get_title() or panel.get_ylabel() for panel in plot_track({"GC": [0.0, 1.0], "AT": [1.0, 0.0]}).axes]
        ['GC', 'AT']
    """
    check_picture(path)
    named = dict(tracks) if isinstance(tracks, Mapping) else {label or "": tracks}
    if not named:
        raise ValueError("tracks must hold at least one track, got none")
    found = {name: _track(values, name) for name, values in named.items()}
    lengths = {name: len(values) for name, (values, _, _) in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"tracks must have equal lengths, got {lengths}: plot them separately")
    figure = Figure(figsize=(WIDTH_INCHES, 0.7 + 1.5 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, (values, start, own)) in zip(axes, found.items(), strict=True):
        edges = first + start + np.arange(len(values) + 1) - 0.5
        for part, colour in ((values.clip(min=0), "#0b6e99"), (values.clip(max=0), "#d1495b")):
            panel.stairs(part, edges, fill=True, color=colour, linewidth=0)
        panel.axhline(0, color=_LABELS, linewidth=0.8)
        panel.set_xlim(edges[0], edges[-1])
        panel.set_ylabel(name or own, color=_LABELS, fontsize=9)
        panel.yaxis.set_major_locator(MaxNLocator(4))
        _plain(panel)
    axes[-1].xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes[-1].set_xlabel("position", color=_LABELS, fontsize=9)
    _head(figure, title)
    _save(figure, path)
    return figure


def _heights(values: Any, sequence: str | None) -> tuple[FloatArray, int, str]:
    """Heights (T, 5) of A, C, G, T, N, the first position and the name of the height.

    Raises:
        ValueError: see `plot_logo`.
    """
    start, name = 0, "importance"
    if isinstance(values, MutationMap | Attribution):
        if sequence is not None:
            raise ValueError("sequence must be None with a substitution map or an attribution, which have their own")
        sequence = values.reference if isinstance(values, MutationMap) else values.sequence
        values, start, name = _track(values, "")
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 2 and found.shape[1] == N and len(found) and sequence is None:
        return np.nan_to_num(np.pad(found, ((0, 0), (0, 1)))), start, name
    if found.ndim != 1 or sequence is None or len(found) == 0:
        raise ValueError(
            "values must be a substitution map, an attribution, (T,) with a sequence, or (T, 4) without, got shape "
            f"{found.shape} {'without' if sequence is None else 'with'} a sequence"
        )
    if len(sequence) != len(found):
        raise ValueError(f"sequence must have one letter per value ({len(found)}), got {len(sequence)}")
    strange = sorted(set(sequence.upper()) - set(LETTERS))
    if strange:
        raise ValueError(f"sequence must have only the letters {', '.join(LETTERS)}, got {', '.join(strange)}")
    heights = np.zeros((len(found), len(LETTERS)))
    heights[np.arange(len(found)), [LETTERS.index(letter) for letter in sequence.upper()]] = np.nan_to_num(found)
    return heights, start, name


def _track(values: Any, name: str) -> tuple[FloatArray, int, str]:
    """One number per base, the first position and the name of the number."""
    if isinstance(values, MutationMap):
        return np.nan_to_num(values.importance), values.start, f"importance for\n{values.output}"
    if isinstance(values, Attribution):
        return values.importance, 0, f"attribution to\n{values.output}"
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) == 0:
        what = f"track {name!r}" if name else "a track"
        raise ValueError(f"{what} must be (T,), one value per base, got shape {found.shape}")
    return found, 0, "value"


def _outlines() -> dict[str, tuple[FloatArray, npt.NDArray[Any]]]:
    """Corners of each letter in a box from 0 to 1, and how they are connected."""
    font = FontProperties(family="DejaVu Sans", weight="bold")
    found = {}
    for letter in LETTERS:
        outline = TextPath((0, 0), letter, size=1, prop=font)
        box = outline.get_extents()
        vertices = (np.asarray(outline.vertices) - [box.x0, box.y0]) / [box.width, box.height]
        found[letter] = (vertices, np.asarray(outline.codes))
    return found


def _letters(panel: Axes, heights: FloatArray, start: int) -> None:
    """Stacks of letters (L, 5), the largest farthest from zero; one shape per letter and side."""
    order = np.argsort(np.abs(heights), axis=1)
    for sign in (1, -1):
        sizes = np.take_along_axis(np.where(np.sign(heights) == sign, np.abs(heights), 0.0), order, axis=1)
        feet = np.cumsum(sizes, axis=1) - sizes
        for number, letter in enumerate(LETTERS):
            rows, columns = np.nonzero((order == number) & (sizes > 0))
            if len(rows):
                size, foot = sizes[rows, columns], feet[rows, columns]
                low = foot if sign > 0 else -foot - size
                _draw(panel, letter, rows + start, low, size, pale=sign < 0)


def _draw(panel: Axes, letter: str, places: Any, low: FloatArray, size: FloatArray, *, pale: bool) -> None:
    vertices, codes = _OUTLINES[letter]
    boxes = vertices[None] * np.stack([np.full(len(size), 0.9), size], axis=1)[:, None]
    boxes += np.stack([places - 0.45, low], axis=1)[:, None]
    outline = Outline(boxes.reshape(-1, 2), np.tile(codes, len(size)))
    panel.add_patch(PathPatch(outline, facecolor=_COLOURS[letter], linewidth=0, alpha=0.5 if pale else 1.0))


def _rows(count: int, inches: float, title: str | None) -> tuple[Figure, list[tuple[Axes, slice]]]:
    """One panel per row of bases; an incomplete last row keeps the width of letters.

    Raises:
        ValueError: more bases than fit.
    """
    if count > ROW * MOST_ROWS:
        raise ValueError(
            f"a figure of letters has room for {ROW * MOST_ROWS:,} bases, got {count:,}: mutate a part with start and "
            "end, or use plot_track"
        )
    rows = -(-count // ROW)
    figure = Figure(figsize=(WIDTH_INCHES, 0.7 + inches * rows), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    panels = [(panel, slice(i * ROW, min((i + 1) * ROW, count))) for i, panel in enumerate(axes)]
    for panel, part in panels:
        panel.set_xlim(part.start - 0.5, part.start + min(ROW, count) - 0.5)
    _head(figure, title)
    return figure, panels


def _finish(figure: Figure, panels: Iterable[tuple[Axes, slice]], first: int, label: str) -> None:
    panels = list(panels)
    step = next(step for step in (1, 2, 5) if min(ROW, panels[-1][1].stop) <= 20 * step)
    for panel, part in panels:
        places = [place for place in range(part.start, part.stop) if (place + first) % step == 0]
        panel.set_xticks(places, [f"{place + first:,}" for place in places])
        panel.set_xlim(part.start - 0.5, part.start + min(ROW, panels[-1][1].stop) - 0.5)
        _plain(panel)
        if label:
            panel.set_ylabel(label, color=_LABELS, fontsize=9)
    panels[-1][0].set_xlabel("position", color=_LABELS, fontsize=9)


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.spines["left"].set_color(_FAINT)
    panel.tick_params(colors=_LABELS, labelsize=9)


def _head(figure: Figure, title: str | None) -> None:
    if title:
        figure.suptitle(title, fontsize=13, x=0.01, ha="left", color="#222222")


def check_picture(path: str | PathLike[str] | None) -> None:
    """Check the suffix of a figure's path before anything is drawn.

    Raises:
        ValueError: the suffix is unknown.
    """
    if path is not None and Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}, got {os.fspath(path)!r}: rename the file")


def _save(figure: Figure, path: str | PathLike[str] | None) -> None:
    if path is not None:
        with in_place_of(path) as beside:
            figure.savefig(beside, dpi=DOTS_PER_INCH)


_OUTLINES = _outlines()
