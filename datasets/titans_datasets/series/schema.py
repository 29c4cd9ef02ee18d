"""Names and roles of the caller's columns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

AGGREGATES = ("mean", "sum", "min", "max", "median", "first", "last")


@dataclass(frozen=True)
class SeriesSchema:
    """Columns of a long table.

    Args:
        id_column: names the series; a table without the default "item_id" column is one series.
        timestamp_column: datetimes, strings, periods or integers (step numbers).
        target_column: one column, or a tuple of columns for multi-channel series.
        freq: pandas alias of the step; None infers it from the timestamps.
        aggregate: "mean", "sum", "min", "max", "median", "first" or "last": the rows of a shorter step become rows of
            `freq`, which has to be given. Periods at the ends of a series that its rows do not cover are left out;
            those without a row stay missing. A sum with a missing value is missing, the others are of the values there
            are. None takes rows as they are.
        snap: whether timestamps that lie near the steps of `freq` (of their usual step, where it is None) are moved to
            the nearest one; of two rows for one step the later is taken.
        static_covariates: columns that are constant within a series; numbers, booleans or categories.
        past_covariates: columns known only up to the forecast's start.
        known_covariates: columns known also for the steps to be forecast.

    Raises:
        ValueError: a column is named twice.
            Or the aggregate is unknown, or given without freq or together with past or known covariates.
        TypeError: a tuple of columns was given as one string.

    Example:
        >>> schema = SeriesSchema(id_column="shop", target_column="units", known_covariates=("price",))
        >>> schema.targets, schema.covariates
        (('units',), ('price',))
    """

    id_column: str = "item_id"
    timestamp_column: str = "timestamp"
    target_column: str | tuple[str, ...] = "target"
    freq: str | None = None
    static_covariates: tuple[str, ...] = ()
    past_covariates: tuple[str, ...] = ()
    known_covariates: tuple[str, ...] = ()
    aggregate: str | None = None
    snap: bool = False

    def __post_init__(self) -> None:
        for field in ("static_covariates", "past_covariates", "known_covariates"):
            value = getattr(self, field)
            if isinstance(value, str):
                raise TypeError(
                    f"{field} must be a tuple of column names, got the string {value!r}: write ({value!r},)"
                )
            object.__setattr__(self, field, tuple(value or ()))
        if not isinstance(self.target_column, str):
            object.__setattr__(self, "target_column", tuple(self.target_column))
        if not self.targets:
            raise ValueError("target_column must name at least one column, got none")
        names = (self.id_column, self.timestamp_column, *self.targets, *self.covariates)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each column can have one role only, but {twice} came up twice: remove it from one role")
        self._check_aggregate()

    def _check_aggregate(self) -> None:
        if self.aggregate is None:
            return
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate must be one of {', '.join(AGGREGATES)}, got {self.aggregate!r}")
        if self.freq is None:
            raise ValueError(f"aggregate={self.aggregate!r} needs a step to aggregate to: pass freq= too ('D', 'MS' …)")
        dynamic = (*self.past_covariates, *self.known_covariates)
        if dynamic:
            raise ValueError(
                f"aggregate={self.aggregate!r} is for the target, it does not say what to do with the covariates "
                f"{list(dynamic)}: bring the table to the step {self.freq} first, or leave them out"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; rules of reading that are not set, which older versions do not know, are left out."""
        unset = {"aggregate": None, "snap": False}
        return {name: value for name, value in asdict(self).items() if (name, value) not in unset.items()}

    @property
    def targets(self) -> tuple[str, ...]:
        """Target columns, one a channel."""
        return (self.target_column,) if isinstance(self.target_column, str) else self.target_column

    @property
    def covariates(self) -> tuple[str, ...]:
        """All covariate columns: static, past, known."""
        return (*self.static_covariates, *self.past_covariates, *self.known_covariates)

    @property
    def multichannel(self) -> bool:
        """Whether targets are (M, T) (a tuple was given, even one of length 1)."""
        return not isinstance(self.target_column, str)
