"""Reports of effects: of variants on a model's score, and of every substitution in sequences.

Shapes: n variants, M mutated bases of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts.report import elements, figures
from titans_ts.report.elements import label
from titans_ts.report.page import HTMLReport, Page
from titans_ts.report.settings import add_settings
from titans_ts.report.tables import data_table, number

FloatArray = npt.NDArray[np.float64]
# Most points of the picture of a chromosome, chromosomes with one, and bases of all maps of substitutions.
MOST_POINTS, MOST_CHROMOSOMES, MOST_BASES = 2_000, 30, 25_000
LARGEST = 200


class SubstitutionMap(Protocol):
    """Effects of all substitutions, as `titans_ts.genomics.analysis.mutagenesis.MutationMap` tells them."""

    @property
    def start(self) -> int:
        """The first of the M mutated bases, from 0."""

    @property
    def effects(self) -> FloatArray:
        """(M, 4) of A, C, G, T."""

    @property
    def score(self) -> float:
        """Of the sequence."""

    @property
    def output(self) -> str:
        """Name of the score."""

    @property
    def reference(self) -> str:
        """M letters."""

    @property
    def importance(self) -> FloatArray:
        """(M,)."""


def effect_report(
    found: pd.DataFrame,
    name: str = "",
    *,
    score: str = "the score",
    settings: Mapping[str, object] | None = None,
) -> HTMLReport:
    """The report of effects of variants.

    Args:
        found: (n) rows, as `titans_ts.genomics.analysis.variants.variant_effects` returns them.
        name: of the variants.
        score: what the model's score is, in words.
        settings: names and values.

    Example:
        >>> found = pd.DataFrame([("chr1", 7, "A", "G", 0.8)], columns=["chrom", "pos", "ref", "alt", "effect"])
        >>> effect_report(found, "sites.vcf", score="log odds of a promoter")
        HTMLReport('Effects of variants: sites.vcf')
    """
    effects = found["effect"].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(effects)
    page = Page(f"Effects of variants{f': {name}' if name else ''}", f"{len(found):,} variants; effects on {score}")
    top = float(np.abs(effects[known]).max()) if known.any() else float("nan")
    page.add(
        elements.facts(
            {
                "Variants": (f"{len(found):,}", f"{int(known.sum()):,} with an effect"),
                "Left without": (f"{int((~known).sum()):,}", "see the reasons below" if not known.all() else ""),
                "Largest effect": (number(top), "alternative minus reference score"),
                "Median size": (number(float(np.median(np.abs(effects[known])))) if known.any() else "–", "of effects"),
            }
        )
    )
    ordered = found.iloc[np.argsort(-np.abs(np.where(known, effects, 0)), kind="stable")]
    ordered = ordered[np.isfinite(ordered["effect"].to_numpy(np.float64, na_value=np.nan))]
    if ordered.empty:
        page.add(elements.paragraph("No variant has an effect: see the reasons below.", "verdict"))
    else:
        strongest = ordered.iloc[0]
        text = f"{strongest['chrom']}:{strongest['pos']} {strongest['ref']}>{strongest['alt']}"
        text = f"The strongest effect, {number(float(strongest['effect']))}, is that of {elements.shortened(text)}."
        page.add(elements.paragraph(text, "verdict"))
        _add_effects(page, ordered, effects[known])
    _add_reasons(page, found[~known])
    add_settings(page, settings or {})
    return page.finished()


def _add_effects(page: Page, ordered: pd.DataFrame, effects: FloatArray) -> None:
    page.section("The largest effects")
    table = ordered.drop(columns=["reason", "window_start", "window_end"], errors="ignore")
    named = table["chrom"].astype(str) + ":" + table["pos"].astype(str)
    table = pd.concat([named.rename("variant"), table.drop(columns=["chrom", "pos"])], axis=1)
    page.add(data_table(table, "Variants, the largest effect first.", most=LARGEST))
    page.section("All effects")
    drawn = figures.histogram(effects, "effect", "variants")
    below = float((effects < 0).mean())
    text = f"{100 * below:.0f} % of the effects are below 0."
    page.add(page.figure(drawn, "Distribution of the effects", text))
    places = ordered.groupby(ordered["chrom"].astype(str), sort=False)
    items = [_along(str(name), rows) for name, rows in places][:MOST_CHROMOSOMES]
    page.add("<h3>Along the chromosomes</h3>", page.chooser(items, "Chromosome"))
    if len(places) > MOST_CHROMOSOMES:
        text = f"{MOST_CHROMOSOMES} of {len(places):,} chromosomes have a picture: those with the largest effects."
        page.add(elements.paragraph(text))


def _along(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Effects at their places; of many the largest ones."""
    shown = rows.head(MOST_POINTS)
    trace: dict[str, Any] = {
        "mode": "markers",
        "x": shown["pos"].astype("int64").tolist(),
        "y": figures.plain(shown["effect"].to_numpy()),
        "text": [f"{label(ref)}>{label(alt)}" for ref, alt in zip(shown["ref"], shown["alt"], strict=True)],
        "hovertemplate": "%{x}: %{text}, %{y}<extra></extra>",
        "marker": {"color": "@forecast", "size": 6, "opacity": 0.75},
    }
    layout = {"xaxis": {"title": {"text": "position"}}, "yaxis": {"title": {"text": "effect"}}}
    text = f"{len(rows):,} variants with an effect."
    text += f" Shown: the {MOST_POINTS:,} largest." if len(rows) > MOST_POINTS else ""
    return {"name": name, "text": text, "data": [trace], "layout": layout}


def _add_reasons(page: Page, skipped: pd.DataFrame) -> None:
    if skipped.empty:
        return
    page.section("Variants without an effect")
    table = skipped["reason"].astype(str).value_counts().rename_axis("reason").reset_index(name="variants")
    page.add(data_table(table, "Why variants have no effect.", most=50))


class SubstitutionReport:
    """The report of effects of all substitutions, one sequence after another; it keeps what it draws.

    Args:
        name: of the sequences.

    Example:
        >>> report = SubstitutionReport("empty.fa").finished()
        >>> report
        HTMLReport('Effects of substitutions: empty.fa')
    """

    def __init__(self, name: str = "") -> None:
        self._name, self._count, self._bases = name, 0, 0
        self._items: list[dict[str, Any]] = []
        self._rows: list[pd.DataFrame] = []
        self._output = "the score"

    def add(self, name: str, found: SubstitutionMap) -> None:
        """Add the map of a sequence; those past `MOST_BASES` bases are only counted."""
        self._count += 1
        self._output = found.output
        size = min(len(found.effects), MOST_BASES)
        if self._bases + size > MOST_BASES:
            return
        self._bases += size
        self._items.append(_map_item(name, found, size))
        strength = np.abs(found.effects[:size]).max(axis=1)
        largest = np.argsort(-strength, kind="stable")[:20]
        rows = {
            "sequence": [name] * len(largest),
            "position": found.start + largest,
            "reference": [found.reference[place] for place in largest],
            **{letter: found.effects[largest, place] for place, letter in enumerate("ACGT")},
            "importance": found.importance[largest],
        }
        self._rows.append(pd.DataFrame(rows))

    def finished(self, settings: Mapping[str, object] | None = None) -> HTMLReport:
        """The report.

        Args:
            settings: names and values.
        """
        title = f"Effects of substitutions{f': {self._name}' if self._name else ''}"
        page = Page(title, f"{self._count:,} sequences; effects on {self._output}")
        page.section("The maps")
        if not self._items:
            page.add(elements.paragraph("There is nothing to show: no sequence was read."))
        else:
            page.add(page.chooser(self._items, "Sequence"))
            if len(self._items) < self._count:
                shown = f"{len(self._items):,} of {self._count:,} sequences are shown"
                page.add(elements.paragraph(f"{shown}: with more the file would be too large."))
            page.section("The strongest substitutions")
            rows = pd.concat(self._rows, ignore_index=True)
            strength = np.abs(rows[list("ACGT")].to_numpy()).max(axis=1)
            rows = rows.iloc[np.argsort(-strength, kind="stable")]
            caption = "Bases with the strongest effects; positions count from 0. At most 20 of a sequence."
            page.add(data_table(rows, caption, most=LARGEST))
        add_settings(page, settings or {})
        return page.finished()


def _map_item(name: str, found: SubstitutionMap, size: int) -> dict[str, Any]:
    """The heat map of a sequence: blue raises the score, orange lowers it."""
    effects, places = found.effects[:size], list(range(found.start, found.start + size))
    drawn = figures.heat_map(effects.T, list("ACGT"), places, "position, from 0", signed=True)
    drawn["data"][0]["hovertemplate"] = "%{x}: %{y}, effect %{z}<extra></extra>"
    peak = int(np.abs(effects).max(axis=1).argmax())
    text = (
        f"Score {number(found.score)}, {elements.shortened(found.output)}. Blue: the substitution raises it; orange: "
        f"it lowers it. Strongest at position {found.start + peak} ({found.reference[peak]})."
    )
    text += f" Shown: the first {size:,} of {len(found.effects):,} bases." if size < len(found.effects) else ""
    return {"name": name, "text": text, **drawn}
