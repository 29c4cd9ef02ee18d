"""Covariate columns as numbers, encoded alike at fit and at predict.

Shapes: n rows, I items, G grid cells, C columns, F features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.read.records import Float32Array, FloatArray
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.text import some

MOST_LEVELS = 32
CLIP = 10.0


@dataclass(frozen=True)
class ColumnCode:
    """How one column becomes numbers.

    Args:
        kind: "numeric", "bool" or "category".
        mean, scale: of a numeric column at fit.
        missing: whether a missing-value indicator follows the value.
        levels: categories seen at fit, sorted, as strings.
    """

    kind: Literal["numeric", "bool", "category"]
    mean: float = 0.0
    scale: float = 1.0
    missing: bool = False
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of features of a dynamic column."""
        return len(self.levels) if self.kind == "category" else 1 + self.missing


@dataclass(frozen=True)
class CovariateEncoder:
    """Numbers are standardised, booleans are 0/1, dynamic categories one-hot, static categories integer codes.

    Standardised numbers are clipped at 10 deviations.
    A missing number is 0 (the mean), with an indicator feature when the column had missing values at fit. A level not
    seen at fit is all zeros (dynamic) or code 0 (static).

    Args:
        static, past, known: column names by role.
        codes: name → `ColumnCode`.

    Example:
        >>> schema = SeriesSchema(known_covariates=("weather",))
        >>> rows = pd.DataFrame({"weather": ["rain", "sun", "rain"]})
        >>> encoder = CovariateEncoder.fit(rows, pd.DataFrame(index=range(1)), schema)
        >>> values, notes = encoder.values(rows, schema.known_covariates)
        >>> encoder.expand(values, schema.known_covariates).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    static: tuple[str, ...]
    past: tuple[str, ...]
    known: tuple[str, ...]
    codes: dict[str, ColumnCode]

    @classmethod
    def fit(cls, rows: pd.DataFrame, items: pd.DataFrame, schema: SeriesSchema, gaps: bool = False) -> CovariateEncoder:
        """Learn from the training rows (n, C) and the static values (I, C).

        Args:
            rows: dynamic covariate columns.
            items: static covariate columns, one row per item.
            schema: the columns' roles.
            gaps: whether the grid has steps without a row; these count as missing values.

        Raises:
            ValueError: a dynamic category has more than 32 levels.
        """
        codes = {name: _learn(items[name], gaps=False) for name in schema.static_covariates}
        for name in (*schema.past_covariates, *schema.known_covariates):
            codes[name] = _learn(rows[name], gaps)
            if len(codes[name].levels) > MOST_LEVELS:
                raise ValueError(
                    f"covariate {name!r} has {len(codes[name].levels)} categories, at most {MOST_LEVELS} are encoded: "
                    "group the rare ones, pass numbers instead, or make it a static covariate if it never changes"
                )
        return cls(schema.static_covariates, schema.past_covariates, schema.known_covariates, codes)

    @property
    def cardinality(self) -> tuple[int, ...]:
        """Number of codes of each static category, the unknown code 0 included."""
        return tuple(1 + len(self.codes[name].levels) for name in self._static("category"))

    @property
    def static_real_width(self) -> int:
        """Width R of `feat_static_real`."""
        return sum(self.codes[name].width for name in self._static("numeric", "bool"))

    def width(self, names: tuple[str, ...]) -> int:
        """Number of features F that the dynamic columns `names` become."""
        return sum(self.codes[name].width for name in names)

    def check_schema(self, schema: SeriesSchema) -> None:
        """Refuse a schema whose covariates are not those of the fit."""
        now = (schema.static_covariates, schema.past_covariates, schema.known_covariates)
        if now != (self.static, self.past, self.known):
            raise ValueError(
                f"covariates differ from those of fit: expected static {self.static}, past {self.past}, "
                f"known {self.known}, got static {now[0]}, past {now[1]}, known {now[2]}: pass the same or fit again"
            )

    def values(self, frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[FloatArray, list[str]]:
        """One number per cell (n, C): the value, or the position of its level, NaN where missing; and notes.

        Raises:
            ValueError: a column is missing or has changed its type since fit.
        """
        absent = [name for name in names if name not in frame.columns]
        if absent:
            raise ValueError(
                f"covariates {absent} of fit are missing: the columns here are {list(map(str, frame.columns))}"
            )
        columns, notes = np.empty((len(frame), len(names))), []
        for place, name in enumerate(names):
            columns[:, place], note = _to_numbers(frame[name], name, self.codes[name])
            notes += note
        return columns, notes

    def expand(self, values: FloatArray, names: tuple[str, ...]) -> Float32Array:
        """Features (G, F) float32 of placed values (G, C); no NaN remains."""
        parts: list[npt.NDArray[Any]] = [np.empty((len(values), 0))]
        for place, name in enumerate(names):
            parts.append(_features(values[:, place], self.codes[name]))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def statics(self, items: pd.DataFrame) -> tuple[npt.NDArray[np.int64], Float32Array, list[str]]:
        """`feat_static_cat` (I, S), `feat_static_real` (I, R) and notes for the static columns, one row per item."""
        values, notes = self.values(items, self.static)
        frame = dict(zip(self.static, values.T, strict=True))
        codes = [np.nan_to_num(frame[name] + 1).astype(np.int64) for name in self._static("category")]
        numbers = [_features(frame[name], self.codes[name]) for name in self._static("numeric", "bool")]
        categories = np.stack(codes, axis=1) if codes else np.empty((len(items), 0), dtype=np.int64)
        return categories, np.concatenate([np.empty((len(items), 0)), *numbers], axis=1).astype(np.float32), notes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        codes = {name: {**asdict(code), "levels": list(code.levels)} for name, code in self.codes.items()}
        return {"static": list(self.static), "past": list(self.past), "known": list(self.known), "codes": codes}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> CovariateEncoder:
        """The encoder that `to_dict` wrote."""
        codes = {name: ColumnCode(**{**code, "levels": tuple(code["levels"])}) for name, code in saved["codes"].items()}
        return cls(tuple(saved["static"]), tuple(saved["past"]), tuple(saved["known"]), codes)

    def _static(self, *kinds: str) -> list[str]:
        return [name for name in self.static if self.codes[name].kind in kinds]


def _kind(column: pd.Series[Any]) -> Literal["numeric", "bool", "category"]:
    if pd.api.types.is_bool_dtype(column.dtype):
        return "bool"
    return "numeric" if pd.api.types.is_numeric_dtype(column.dtype) else "category"


def _learn(column: pd.Series[Any], gaps: bool) -> ColumnCode:
    kind, missing = _kind(column), bool(column.isna().any()) or gaps
    if kind == "category":
        return ColumnCode(kind, levels=tuple(sorted(column.dropna().astype(str).unique())))
    if kind == "bool":
        return ColumnCode(kind, missing=missing)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = numbers[np.isfinite(numbers)]
    mean, deviation = (float(numbers.mean()), float(numbers.std())) if numbers.size else (0.0, 0.0)
    # A constant column stays zero at fit; dividing by its rounding noise would blow up any later change.
    scale = deviation if deviation > 1e-9 * max(abs(mean), 1e-9) else 1.0
    return ColumnCode(kind, mean, scale, missing)


def _to_numbers(column: pd.Series[Any], name: str, code: ColumnCode) -> tuple[FloatArray, list[str]]:
    kind = _kind(column)
    # A column of missing values only has no type of its own.
    if kind != code.kind and not column.isna().all():
        both_numbers = {kind, code.kind} == {"numeric", "bool"}
        if not both_numbers:
            raise ValueError(
                f"covariate {name!r} was {code.kind} at fit and is {kind} now, with values such as "
                f"{some(column.dropna().unique())}: convert it to the type it had at fit, or fit again"
            )
    if code.kind != "category":
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            raise ValueError(
                f"covariate {name!r} holds {int(np.isinf(numbers).sum())} infinite values: replace them by NaN"
            )
        return numbers, []
    present = column.notna().to_numpy()
    found = np.where(present, pd.Index(code.levels, dtype=object).get_indexer(pd.Index(column.astype(str))), -1)
    unseen = column[present & (found < 0)]
    notes = [f"covariate {name!r} has levels not seen at fit: {some(unseen.unique())}"] if len(unseen) else []
    return np.where(found < 0, np.nan, found), notes


def _features(values: FloatArray, code: ColumnCode) -> npt.NDArray[Any]:
    absent = np.isnan(values)
    if code.kind == "category":
        return np.equal(values[:, None], np.arange(len(code.levels))[None, :]).astype(np.float32)
    # Clipped, because one recording error of a hundred deviations would drown everything else in a batch.
    filled = np.where(absent, 0.0, ((values - code.mean) / code.scale).clip(-CLIP, CLIP))[:, None]
    return np.concatenate([filled, absent[:, None]], axis=1) if code.missing else filled
