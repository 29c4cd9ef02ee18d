"""The built-in data sets, one entry each. A new set is its file in this folder, an entry here and one in SOURCES.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from titans_datasets.builtin.shipped import PREFIX
from titans_datasets.series.schema import SeriesSchema

Kind = Literal["series", "dna"]


@dataclass(frozen=True)
class BuiltinSet:
    """A file of the package.

    Args:
        file: its name in this folder: a csv of series with item_id and timestamp columns, or a GenBank file.
        sha256: checksum of the file.
        title: one line for listings.
        schema: what the columns of series mean; None for DNA.

    Example:
        >>> describe("weather").kind, describe("plasmid", "dna").kind
        ('series', 'dna')
    """

    file: str
    sha256: str
    title: str
    schema: SeriesSchema | None = None

    @property
    def kind(self) -> Kind:
        """Whether the set holds series or DNA."""
        return "dna" if self.schema is None else "series"


SETS = {
    "weather": BuiltinSet(
        "weather.csv.gz",
        "2f219d9a9353e3a880819e5edeb12f9977948dc5d1f3b8f489ce326bba8f222a",
        "hourly weather at three New York airports, 2013, with real gaps",
        # Wind, rain and visibility add noise: without them the last 28, 56 and 112 days are forecast 1 to 3 % better.
        SeriesSchema(target_column="temp", freq="h", past_covariates=("dewp", "humid", "pressure")),
    ),
    "air_passengers": BuiltinSet(
        "air_passengers.csv",
        "c6b0e3a095f10468b4ecfafe3a79957a1ea4f1de8ac7fa8feb20932bf5a12783",
        "monthly airline passengers in thousands, 1949–1960",
        SeriesSchema(freq="MS"),
    ),
    "chloroplast": BuiltinSet(
        "NC_000932.gb.gz",
        "db062285e2e4c9d40427b9c8199b1fda9e8ec194fb80ec02ea73705b8627383f",
        "chloroplast of Arabidopsis thaliana, 154,478 bp, 85 coding sequences on both strands",
    ),
    "phix174": BuiltinSet(
        "NC_001422.gb.gz",
        "983ebfef35a232fef638257041e97251d149eae8aa9850bd396e63a44b76b1a3",
        "phage phiX174, 5,386 bp, 11 overlapping coding sequences",
    ),
    "plasmid": BuiltinSet(
        "NC_005816.gb.gz",
        "c1911c82e240ce029b38721f6dd3eb6867ec5775d7853d0837548ac996691975",
        "plasmid pPCP1 of Yersinia pestis, 9,609 bp, 10 coding sequences",
    ),
    "orchids": BuiltinSet(
        "ls_orchid.gb.gz",
        "968bdaa31e3943155116961a406a4938fc0c82234858454c471abfffe8adab00",
        "ribosomal spacers (ITS) of 94 lady slipper orchids, 572 to 789 bp, of four genera",
    ),
}


def names(kind: Kind = "series") -> list[str]:
    """Names of the sets of series, which `load` takes, or of DNA, which `load_dna` takes; "builtin:<name>" in paths.

    Example:
        >>> "weather" in names(), "plasmid" in names("dna")
        (True, True)
    """
    return [name for name, entry in SETS.items() if entry.kind == kind]


def describe(name: str, kind: Kind = "series") -> BuiltinSet:
    """File, checksum, title and schema of a set.

    Raises:
        ValueError: there is no set of this name and kind.

    Example:
        >>> describe("weather").title
        'hourly weather at three New York airports, 2013, with real gaps'
    """
    name = name.removeprefix(PREFIX)
    found = SETS.get(name)
    if found is None or found.kind != kind:
        what = "data set" if kind == "series" else "DNA"
        raise ValueError(f"no built-in {what} {name!r}: there are {', '.join(names(kind))}")
    return found
