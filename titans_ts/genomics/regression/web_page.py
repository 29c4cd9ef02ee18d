"""The HTML report of a regressor: its scores beside the baselines, predictions against measured numbers.

Shapes: R rows (sequences, or bases), K targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts.report import figures
from titans_ts.report.page import HTMLReport
from titans_ts.report.scores import Picture, ScoreRecord, score_report
from titans_ts.report.tables import metric, number

FloatArray = npt.NDArray[np.float64]
# Points and targets that are drawn.
MOST_POINTS, MOST_TARGETS = 2_000, 12


class ValueScores(Protocol):
    """What a report tells, as `titans_ts.genomics.report.values.RegressionReport`."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a model, one column a metric; the regressor is the first row."""

    @property
    def low(self) -> pd.DataFrame:
        """Low ends of 95 % intervals."""

    @property
    def high(self) -> pd.DataFrame:
        """High ends."""

    @property
    def by_target(self) -> pd.DataFrame:
        """As `table`, with rows (target, model)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks."""

    @property
    def predictions(self) -> dict[str, FloatArray]:
        """Model → (R, K)."""

    @property
    def truth(self) -> FloatArray:
        """(R, K)."""

    @property
    def names(self) -> list[Any]:
        """(K,) of the targets."""

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Bases of the sequences, where rows are bases."""


def value_report(
    found: ValueScores,
    name: str = "",
    *,
    headline: str = "",
    data: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
) -> HTMLReport:
    """The report of a regressor on test sequences, or of a cross-validation.

    Args:
        found: what it scored.
        name: of the test data.
        headline: how many sequences they are, and what training has seen of them.
        data: lines about the data.
        settings: of the regressor.
    """
    several = len(found.names) > 1
    what = f"means over {len(found.names)} targets, " if several else ""
    caption = f"Scores on the test sequences, {what}with 95 % bootstrap intervals. ★ marks the best."
    others = {}
    if several:
        # The rows of the first model come first.
        ours = found.by_target.iloc[: len(found.names)]
        others = {"Each target, predicted by DNARegressor.": ours.set_axis([str(one) for one in found.names])}
    return score_report(
        ScoreRecord(
            **_told(found, name, headline),
            table=found.table,
            ends=(found.low, found.high),
            caption=caption,
            others=others,
            pictures=pictures(found),
            notes=found.notes,
            data=data,
            settings=settings or {},
        )
    )


def _told(found: ValueScores, name: str, headline: str) -> dict[str, Any]:
    """Title, lead, numbers and first sentence."""
    ours, others = found.table.iloc[0], found.table["pearson"].iloc[1:].dropna()
    rows, what = len(found.truth), "bases" if found.lengths is not None else "sequences"
    verdict = ""
    if len(others):
        word = "above" if float(ours["pearson"]) > float(others.max()) else "not above"
        verdict = (
            f"Its Pearson correlation, {number(float(ours['pearson']))}, is {word} that of the best baseline, "
            f"{others.idxmax()} ({number(float(others.max()))})."
        )
    ends = [number(float(end["pearson"].iloc[0])) for end in (found.low, found.high)]
    remarks = {"pearson": f"95 % interval {ends[0]} to {ends[1]}"}
    shown = {column: (metric(float(ours[column]), column), remarks.get(column, "")) for column in found.table.columns}
    targets = f"{len(found.names):,} target{'s' if len(found.names) > 1 else ''}"
    return {
        "title": f"Regression{f': {name}' if name else ''}",
        "lead": headline or f"{rows:,} test {what}, {targets}",
        "facts": {"Tested": (f"{rows:,}", f"{what}, {targets}"), **shown},
        "verdict": verdict,
    }


def pictures(found: ValueScores) -> list[Picture]:
    """Predicted against measured numbers of each target, and the distribution of the errors of a single one."""
    ours = found.predictions[str(found.table.index[0])]
    drawn = [
        _scatter(ours[:, k], found.truth[:, k], str(name), float(found.by_target["pearson"].iloc[k]))
        for k, name in enumerate(found.names[:MOST_TARGETS])
    ]
    if len(found.names) > 1:
        return drawn
    errors = ours[:, 0] - found.truth[:, 0]
    text = f"Half of the errors are smaller than {number(float(np.median(np.abs(errors))))}; their mean is "
    text += f"{number(float(errors.mean()))}."
    return [*drawn, Picture(figures.histogram(errors, "predicted minus measured", "rows"), "Errors", text)]


def _scatter(predicted: FloatArray, truth: FloatArray, name: str, pearson: float) -> Picture:
    """Points of one target; of many those at even steps of the measured number."""
    shown = np.arange(len(truth))
    if len(truth) > MOST_POINTS:
        shown = np.argsort(truth, kind="stable")[np.linspace(0, len(truth) - 1, MOST_POINTS).round().astype(np.int64)]
    drawn = figures.scatter(truth[shown], predicted[shown], "measured", "predicted")
    text = f"Pearson's correlation {number(pearson)}. On the dashed line predictions are right."
    text += f" Shown: {len(shown):,} of {len(truth):,} points." if len(shown) < len(truth) else ""
    return Picture(drawn, f"Predicted against measured: {name}", text)
