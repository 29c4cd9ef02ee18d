"""The report of a model's scores on test data: classifiers, and whatever else has a table of metrics and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from titans_ts.report import elements
from titans_ts.report.figures import Figure
from titans_ts.report.page import HTMLReport, Page
from titans_ts.report.settings import add_settings
from titans_ts.report.tables import metric_table


class Picture(NamedTuple):
    """A chart with its heading and what it shows in words.

    Example:
        >>> from titans_ts.report.figures import lines
        >>> chart = lines([1, 2], {"loss": [0.5, 0.4]}, "epoch", "nats")
        >>> Picture(chart, "Training", "The loss falls from 0.5 to 0.4.").caption
        'Training'
    """

    figure: Figure
    caption: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """What a report of scores tells.

    Attributes:
        title: the heading.
        lead: a line below it: what was scored.
        facts: what is told → value and remark.
        verdict: the first sentence.
        table: one row a model, the one that is reported first; one column a metric.
        ends: low and high ends of intervals, shaped as `table`.
        caption: of the table.
        others: further tables by their captions.
        pictures: charts.
        notes: sentences on what to mind.
        data: lines about the data.
        settings: of the model.

    Example:
        >>> table = pd.DataFrame({"accuracy": [0.9, 0.5]}, index=["titans", "majority"])
        >>> ScoreRecord(title="Promoters", lead="80 held-out sequences", table=table, caption="Scores").table.index[0]
        'titans'
    """

    title: str
    lead: str
    table: pd.DataFrame
    caption: str
    facts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    verdict: str = ""
    ends: tuple[pd.DataFrame, pd.DataFrame] | None = None
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    data: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict)


def score_report(record: ScoreRecord) -> HTMLReport:
    """The report of a model's scores.

    Example:
        >>> table = pd.DataFrame({"accuracy": [0.9, 0.5]}, index=["titans", "majority"])
        >>> score_report(ScoreRecord(title="Promoters", lead="80 held-out sequences", table=table, caption="Scores"))
        HTMLReport('Promoters')
    """
    page = Page(record.title, record.lead)
    if record.facts:
        page.add(elements.facts(record.facts))
    if record.verdict:
        page.add(elements.paragraph(record.verdict, "verdict"))
    page.section("How good it is")
    if record.table.empty:
        page.add(elements.paragraph("There are no scores: nothing was tested."))
    else:
        ours = str(record.table.index[0])
        page.add(metric_table(record.table, record.caption, ours=ours, ends=record.ends))
        page.add(*(metric_table(table, caption, ours=ours) for caption, table in record.others.items()))
    page.add(elements.listed(record.notes))
    if record.pictures:
        page.section("Where it is right and wrong")
        drawn = "".join(page.figure(one.figure, one.caption, one.text) for one in record.pictures)
        page.add(f'<div class="pair">{drawn}</div>')
    if record.data:
        page.section("The data")
        page.add(elements.pre("\n".join(record.data)))
    add_settings(page, record.settings)
    return page.finished()
