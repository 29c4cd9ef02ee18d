"""Reports of effects of variants and of substitutions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.report.common import HOSTILE, own_size, read
from titans_ts.report import SubstitutionReport, effect_report


class Map(NamedTuple):
    """Effects of all substitutions."""

    start: int
    effects: npt.NDArray[np.float64]
    score: float
    output: str
    reference: str
    importance: npt.NDArray[np.float64]


def map_of(bases: int, output: str = "log odds of promoter") -> Map:
    effects = np.random.default_rng(0).normal(size=(bases, 4))
    return Map(5, effects, 1.5, output, "A" * bases, -effects.mean(1))


def variants(count: int, chrom: str = "chr1") -> pd.DataFrame:
    effect = np.random.default_rng(0).normal(size=count)
    table = {"chrom": chrom, "pos": np.arange(1, count + 1), "ref": "A", "alt": "C"}
    scores = {"window_start": 0, "window_end": 9, "ref_score": 0.0, "alt_score": effect, "effect": effect, "reason": ""}
    return pd.DataFrame({**table, **scores})


def test_the_strongest_variant_is_told_first() -> None:
    table = variants(20)
    table.loc[7, "effect"] = -9.0
    found = read(effect_report(table, "v.vcf").to_html()).text
    assert "The strongest effect, -9, is that of chr1:8 A>C." in found
    assert "20 variants" in found


def test_skipped_variants_have_their_reasons() -> None:
    table = variants(3)
    table["window_start"] = pd.array([0, None, None], dtype="Int64")
    table.loc[1:, ["ref_score", "alt_score", "effect"]] = np.nan
    table.loc[1:, "reason"] = "the genome has <G>"
    found = read(effect_report(table).to_html())
    assert "the genome has <G>" in found.text and "Left without2" in found.text.replace("\n", "")
    assert "No variant has an effect" in read(effect_report(table.iloc[1:]).to_html()).text
    assert "0 variants" in read(effect_report(table.iloc[:0]).to_html()).text


def test_many_variants_stay_small_and_that_is_told() -> None:
    report = effect_report(variants(50_000))
    text = read(report.to_html()).text
    assert own_size(report) < 500_000
    assert "Shown: the 2,000 largest" in text and "first 200 of 50,000 rows" in text
    assert len(report.data["charts"]["chart1"]["items"][0]["data"][0]["x"]) == 2000


def test_headers_with_markup_are_text() -> None:
    plain, report = SubstitutionReport("x.fa"), SubstitutionReport(HOSTILE[0])
    for place, name in enumerate(HOSTILE):
        plain.add(str(place), map_of(6))
        report.add(name, map_of(6, HOSTILE[1]))
    ours, theirs = (read(one.finished({"id": HOSTILE[3]}).to_html()) for one in (report, plain))
    assert [tag for tag, _ in ours.tags] == [tag for tag, _ in theirs.tags]
    hostile = read(effect_report(variants(5, HOSTILE[2]), HOSTILE[0], score=HOSTILE[1]).to_html())
    safe = read(effect_report(variants(5), "v").to_html())
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in safe.tags]


def test_maps_past_the_limit_are_counted() -> None:
    report = SubstitutionReport("x.fa")
    for place in range(4):
        report.add(f"s{place}", map_of(10_000))
    made = report.finished()
    assert "2 of 4 sequences are shown" in read(made.to_html()).text
    assert own_size(made) < 2_000_000
    heat = made.data["charts"]["chart0"]["items"][0]["data"][0]
    assert (len(heat["z"]), len(heat["z"][0]), heat["x"][0]) == (4, 10_000, 5)


def test_no_sequence_is_nothing_to_show() -> None:
    assert "no sequence was read" in read(SubstitutionReport().finished().to_html()).text
