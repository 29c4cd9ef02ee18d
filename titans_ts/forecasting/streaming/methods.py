"""What a forecaster does with observations after its fit: sessions, updates, surprise and alarms.

Shapes: C columns, K tokens, N memories, H heads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster.continuation import continued
from titans_ts.forecasting.forecaster.frames import CHANNEL_COLUMN, one_series_a_channel
from titans_ts.forecasting.streaming.detection import PARTS, score
from titans_ts.forecasting.streaming.session import LateUse, MemoryUse, TitansStream, start_stream
from titans_ts.forecasting.streaming.state import Read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from titans_ts.forecasting.forecaster.forecaster import TitansForecaster


class StreamingMethods:
    """Methods of `TitansForecaster` that keep up with its series; nothing here trains."""

    def stream(self, history: object = None, *, memory: MemoryUse = "window", late: LateUse = "error") -> TitansStream:
        """A session that has read the history and takes in what follows, at the same cost however much it has seen.

        Args:
            history: series of any kind that `predict` accepts, None for the training data.
            memory: what forecasts come from. "window" reads the last context_length steps at each forecast, as
                `predict` does; "carried" goes on from a memory that has read everything. See
                `titans_ts.forecasting.streaming.session` for what this means and how they compare.
            late: values for steps that have passed are an error, fill a missing step of the window ("fill"), or are
                left out ("ignore").

        Raises:
            ValueError: unknown memory or late, or the history breaks a rule.
        """
        me = cast("TitansForecaster", self)
        return start_stream(me, me._history(history), memory, late)[0]

    def update(self, X: object) -> TitansForecaster:
        """Add observations to the data that `predict()` forecasts from; the fitted weights stay as they are.

        Args:
            X: series of any accepted kind. They continue those known (steps in between are missing) or are new. After
                `load` they become the data to forecast from.

        Returns:
            The forecaster itself.

        Raises:
            ValueError: X begins before the end of what is known or does not lie on its grid, the model was fitted with
                ``fit(X, y)``, or it mixes other series.
        """
        me = cast("TitansForecaster", self)
        if getattr(me, "rows_", None) is not None:
            raise ValueError("update takes series, the model was fitted with fit(X, y): fit(X) on a table of series")
        later = me._history(X, None if me.panel_ is None else me.panel_.time)
        me.panel_ = later if me.panel_ is None else continued(me.panel_, later)
        return me

    def surprise(self, X: object = None) -> pd.DataFrame:
        """What the memories did not expect while they read series from their beginning.

        Args:
            X: series of any accepted kind, None for the training data.

        Returns:
            One row a series and token, at the token's last step: id, timestamp, "surprise", its parts "patch", "step",
            "dynamics" and "season" in standard deviations (see `titans_ts.forecasting.streaming.detection`), and
            "loss.n.h", "gradient.n.h" for every memory n and head h. NaN where nothing was observed; surprise and parts
            also in the first context_length steps, which are read in units of their own future, and in the ten tokens
            after them.

        Raises:
            ValueError: the model has no memory, or no series is as long as the context.
        """
        me = cast("TitansForecaster", self)
        stream, reads = start_stream(me, me._history(X))
        return surprise_frame(stream, [*reads, *stream.catch_up()])

    def detect(self, X: object, false_alarm_rate: float = 0.01, *, history: object = None) -> pd.DataFrame:
        """Alarms: tokens that surprise the memories more than the history did.

        Args:
            X: long table of what follows the history.
            false_alarm_rate: share of the tokens that may be alarms where nothing has changed. The threshold is the
                conformal quantile of the history's surprise; a rate r needs about 1.5 / r tokens of history.
            history: what came before X, None for the training data.

        Returns:
            One row a series and token: id, timestamp, "surprise", "threshold", "alarm", and the parts of the surprise
            as in `surprise`.

        Raises:
            ValueError: the history is too short for the rate, X does not follow it, or the model has no memory.
        """
        me = cast("TitansForecaster", self)
        stream, _ = start_stream(me, me._history(history))
        threshold = stream.threshold(false_alarm_rate).numpy()
        stream.catch_up()
        reads = [*stream._observe_rows(inputs.table_of(X, me.schema_)), *stream.catch_up()]
        if not reads:
            raise ValueError("X completes no token: pass at least patch_stride steps")
        names = [me.schema_.id_column, *([CHANNEL_COLUMN] if me.schema_.multichannel else [])]
        found = surprise_frame(stream, reads)
        found["threshold"] = np.repeat(threshold, len(found) // len(threshold))
        found["alarm"] = found["surprise"] > found["threshold"]
        return found[[*names, me.schema_.timestamp_column, "surprise", "threshold", "alarm", *PARTS]]

    def plot_surprise(
        self,
        X: object,
        false_alarm_rate: float = 0.01,
        *,
        history: object = None,
        items: Sequence[Hashable] | None = None,
        path: str | PathLike[str] | None = None,
    ) -> Figure:
        """Series, surprise, threshold and alarms as a matplotlib figure.

        Args:
            X, false_alarm_rate, history: as in `detect`.
            items: series to show ("item · channel" with several targets); None shows the four with most alarms.
            path: where to write the picture as well.

        Raises:
            ValueError: as `detect`, an unknown item, or an unknown suffix of the path.
        """
        from titans_ts.forecasting.streaming.plot import plot_surprise

        me = cast("TitansForecaster", self)
        schema, found = me.schema_, self.detect(X, false_alarm_rate, history=history)
        series = inputs.table_of(X, schema)
        if schema.id_column not in series.columns:
            series = series.assign(**{schema.id_column: found[schema.id_column].iloc[0]})
        if schema.multichannel:
            series, found = one_series_a_channel(series, found, schema)
        return plot_surprise(
            series,
            found,
            id_column=schema.id_column,
            timestamp_column=schema.timestamp_column,
            target_column=CHANNEL_COLUMN if schema.multichannel else schema.targets[0],
            items=items,
            path=path,
        )


def surprise_frame(stream: TitansStream, reads: list[Read]) -> pd.DataFrame:
    """Surprise of tokens, one row a column and token."""
    if not reads:
        raise ValueError(
            "there is no surprise: the model has no memory (block 'attention'), or the series are shorter than its "
            "context_length"
        )
    departure = torch.cat([read.departure for read in reads], dim=1)
    losses, gradients = (torch.cat([read.surprise[place].cpu() for read in reads], dim=1) for place in (0, 1))
    ends = np.array([end for read in reads for end in read.ends])
    schema, names = stream.schema, stream.columns
    rows = len(ends)
    columns: dict[str, Any] = {schema.id_column: pd.Index([item for item, _ in names], dtype=object).repeat(rows)}
    if schema.multichannel:
        columns[CHANNEL_COLUMN] = pd.Index([target for _, target in names], dtype=object).repeat(rows)
    stamps = stream._stamps(int(ends[0]) - 1, int(ends[-1]))
    stamps = stamps[ends - ends[0]]
    columns[schema.timestamp_column] = stamps.append([stamps] * (len(names) - 1))
    columns["surprise"] = score(departure).numpy().reshape(-1)
    columns |= {name: departure[:, :, 0, place].numpy().reshape(-1) for place, name in enumerate(PARTS)}
    for name, numbers in (("loss", losses), ("gradient", gradients)):
        for memory in range(numbers.shape[2]):
            for head in range(numbers.shape[3]):
                columns[f"{name}.{memory}.{head}"] = numbers[:, :, memory, head].double().numpy().reshape(-1)
    frame = pd.DataFrame(columns)
    frame[schema.id_column] = frame[schema.id_column].infer_objects()
    return frame
