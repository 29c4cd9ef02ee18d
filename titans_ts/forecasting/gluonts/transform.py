"""gluonts entries as records of this library.

Shapes: T steps, P prediction_length, F features, S static categories.
"""

# Not postponed: gluonts' `validated` reads the annotations of constructors as types.
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from gluonts.core.component import validated
from gluonts.dataset.pandas import PandasDataset
from gluonts.transform import MapTransformation

from titans_datasets.series import (
    CovariateEncoder,
    Frequency,
    SeriesPanel,
    SeriesSchema,
    SeriesWarning,
    from_gluonts,
    parse_frequency,
)
from titans_datasets.series.read.covariates import ColumnCode

Entry = Mapping[str, Any]
FloatArray = npt.NDArray[np.float64]
KNOWN, PAST, REAL, CAT = "feat_dynamic_real", "past_feat_dynamic_real", "feat_static_real", "feat_static_cat"
FEATURES = (KNOWN, PAST, REAL, CAT)


def untouched(dataset: Iterable[Entry]) -> Iterator[Entry]:
    """The entries of a data set; the frames of a `PandasDataset` are not changed.

    Reading it would sort them and set their index in place.
    """
    if not isinstance(dataset, PandasDataset):
        yield from dataset
        return
    for item_id, frame in dataset._data_entries.iterable:
        yield dataset._pair_to_dataentry(item_id, frame.copy(deep=False))


class SeriesEncoder(MapTransformation):  # type: ignore[misc]
    """Checks entries and encodes their features: a gluonts transformation, the same in training and prediction.

    Numbers are standardised by the training data and clipped, a missing one is the mean (and flagged where the training
    data lack some, too); category c becomes code c + 1, an unknown one code 0. Features of a kind that is not counted
    are ignored, as in gluonts.

    Args:
        prediction_length: P steps.
        counts: number of features of each kind (`FEATURES`).
        freq: the step that series must have; None takes that of the training data.
        cardinality: categories of each static category; None counts those of the training data.
        time_features: functions of a PeriodIndex, in place of this library's calendar features.
        codes: what `fit` learned, as plain values.
    """

    @validated()  # type: ignore[misc, no-untyped-call, untyped-decorator, unused-ignore]
    def __init__(
        self,
        prediction_length: int,
        counts: dict[str, int],
        freq: str | None = None,
        cardinality: list[int] | None = None,
        time_features: list[Any] | None = None,
        codes: dict[str, Any] | None = None,
    ) -> None:
        self.prediction_length, self.counts, self.freq = prediction_length, counts, freq
        self.cardinality, self.time_features, self.codes = cardinality, time_features, codes
        self.encoder = None if codes is None else CovariateEncoder.from_dict(codes)

    def fit(self, entries: Sequence[Entry]) -> "SeriesEncoder":
        """An encoder that knows the features and the step of these entries.

        Raises:
            ValueError: there is no entry, or its features differ from the counts or exceed the cardinality.
        """
        frequency = from_gluonts(
            {name: entry[name] for name in ("start", "target") if name in entry} for entry in entries[:1]
        ).frequency
        self.check_frequency(frequency)
        names = {field: tuple(f"{field}[{i}]" for i in range(self.counts.get(field, 0))) for field in FEATURES}
        tables = [self._table(entry, names) for entry in entries]
        items = pd.DataFrame([self._values(entry, REAL) for entry in entries], columns=list(names[REAL]))
        schema = SeriesSchema(static_covariates=names[REAL], past_covariates=names[PAST], known_covariates=names[KNOWN])
        encoder = CovariateEncoder.fit(pd.concat(tables, ignore_index=True), items, schema)
        cardinality = self.cardinality or self._count_categories(entries)
        levels = [ColumnCode("category", levels=tuple(map(str, range(count)))) for count in cardinality]
        encoder = replace(
            encoder,
            static=(*names[CAT], *names[REAL]),
            codes={**encoder.codes, **dict(zip(names[CAT], levels, strict=True))},
        )
        return SeriesEncoder(
            prediction_length=self.prediction_length,
            counts=self.counts,
            freq=frequency.offset_alias,
            cardinality=cardinality,
            time_features=self.time_features,
            codes=encoder.to_dict(),
        )

    def panel(self, dataset: Iterable[Entry], is_train: bool) -> SeriesPanel:
        """The data set as records.

        Raises:
            ValueError: it is empty, its step is another one, or features break a rule.
        """
        panel = from_gluonts(self(untouched(dataset), is_train))
        self.check_frequency(panel.frequency)
        return panel

    def map_transform(self, data: Entry, is_train: bool) -> dict[str, Any]:
        """One entry with encoded features.

        Raises:
            ValueError: the target is no single series or infinite, a feature is missing or too short, or (in training)
                a category exceeds the cardinality.
        """
        assert self.encoder is not None, "fit() comes first"
        steps = _target(data).shape[0]
        known = self._dynamic(data, KNOWN, steps if is_train else steps + self.prediction_length)
        past = self._dynamic(data, PAST, steps)
        found: dict[str, Any] = {name: data[name] for name in ("item_id", "start", "target") if name in data}
        if self.time_features is not None:
            width = steps + self.prediction_length if known is None else known.shape[1]
            calendar = _calendar(self.time_features, data["start"], width)
            known = calendar if known is None else np.concatenate([calendar, known])
        if self.counts.get(REAL):
            names = tuple(name for name in self.encoder.static if self.encoder.codes[name].kind != "category")
            found[REAL] = self.encoder.expand(self._values(data, REAL)[None], names)[0]
        if self.counts.get(CAT):
            found[CAT] = self._categories(data, is_train)
        dynamic = {KNOWN: known, PAST: None if past is None else past[:, :steps]}
        return {**found, **{name: values for name, values in dynamic.items() if values is not None}}

    def check_frequency(self, got: Frequency) -> None:
        """Refuse series of another step; the anchor (the weekday, the month) does not matter."""
        if self.freq is None:
            return
        expected = parse_frequency(self.freq)
        if (expected.unit, expected.multiple) != (got.unit, got.multiple):
            raise ValueError(
                f"the series must have steps of freq={self.freq!r}, got steps of {got.period_alias!r}: pass series of "
                "that step, or train an estimator with the freq of these"
            )

    def _values(self, data: Entry, field: str) -> FloatArray:
        """The features of one kind, (F,) for static ones and (F, steps) for dynamic ones."""
        count = self.counts.get(field, 0)
        if count == 0:
            return np.empty(0)
        static = field in (REAL, CAT)
        values = np.asarray(data.get(field, ()), dtype=np.float64)
        if values.ndim != (1 if static else 2) or len(values) != count:
            expected = f"({count},)" if static else f"({count}, steps)"
            got = f"an array {values.shape}" if field in data else "none"
            raise ValueError(
                f"{_name(data)}: {field} must be {expected}, got {got}: pass data with {count} such features, or "
                f"build the estimator with num_{field} of the data"
            )
        if np.isinf(values).any():
            raise ValueError(f"{_name(data)}: {field} holds infinite values: replace them by NaN")
        return values

    def _table(self, data: Entry, names: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
        """Dynamic features over the steps of the target, one column each."""
        steps = _target(data).shape[0]
        columns: dict[str, Any] = {}
        for field in (KNOWN, PAST):
            if self.counts.get(field):
                values = self._reaching(data, field, steps)[:, :steps]
                columns.update(zip(names[field], values, strict=True))
        return pd.DataFrame(columns)

    def _reaching(self, data: Entry, field: str, steps: int) -> FloatArray:
        """Dynamic features (F, steps or more).

        Raises:
            ValueError: there are fewer steps.
        """
        values = self._values(data, field)
        if values.shape[1] < steps:
            ahead = steps - _target(data).shape[0]
            what = f"the {ahead} steps after the target as well" if ahead else "every step of the target"
            raise ValueError(
                f"{_name(data)}: {field} must be ({len(values)}, {steps}), got {values.shape}: pass its values for "
                f"{what}" + (", which are forecast (PandasDataset: future_length)" if ahead else "")
            )
        return values

    def _dynamic(self, data: Entry, field: str, steps: int) -> npt.NDArray[np.float32] | None:
        """Encoded dynamic features (F, steps …), None without any."""
        if not self.counts.get(field):
            return None
        assert self.encoder is not None
        names = self.encoder.known if field == KNOWN else self.encoder.past
        values = self._reaching(data, field, steps)[:, : _target(data).shape[0] + self.prediction_length]
        return self.encoder.expand(values.T, names).T

    def _categories(self, data: Entry, is_train: bool) -> npt.NDArray[np.int64]:
        """Codes (S,): category + 1, 0 for a missing or unknown one."""
        assert self.cardinality is not None
        codes = _whole(self._values(data, CAT))
        for place, (code, count) in enumerate(zip(codes.tolist(), self.cardinality, strict=True)):
            if code >= count and is_train:
                raise ValueError(
                    f"{_name(data)}: category {code} of {CAT}[{place}] exceeds its cardinality: expected 0 … "
                    f"{count - 1}, got {code}: raise cardinality[{place}] to {code + 1} or more"
                )
            if code >= count:
                text = f"{CAT}[{place}] = {code} is no category of the training data (0 … {count - 1})"
                warnings.warn(f"{text}: taken as unknown", SeriesWarning, stacklevel=2)
        known = (codes >= 0) & (codes < np.array(self.cardinality))
        return np.where(known, codes + 1, 0)

    def _count_categories(self, entries: Sequence[Entry]) -> list[int]:
        """Largest category + 1 of each static category."""
        if not self.counts.get(CAT):
            return []
        codes = np.stack([_whole(self._values(entry, CAT)) for entry in entries])
        return [int(count) for count in np.maximum(codes.max(axis=0) + 1, 1)]


def _name(data: Entry) -> str:
    return f"item {data['item_id']!r}" if data.get("item_id") is not None else f"the series from {data.get('start')} on"


def _target(data: Entry) -> FloatArray:
    """The target (T,).

    Raises:
        ValueError: it has several channels, or infinite values.
    """
    values = np.asarray(data.get("target", ()), dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"{_name(data)}: target must be a single series (T,), got shape {values.shape}: pass one entry a channel, "
            "or use TitansForecaster with several target columns"
        )
    if np.isinf(values).any():
        raise ValueError(f"{_name(data)}: the target holds infinite values: replace them by NaN (missing)")
    return values


def _whole(values: FloatArray) -> npt.NDArray[np.int64]:
    """Categories as integers, −1 for a missing one."""
    return np.where(np.isnan(values) | (values < 0), -1, values).astype(np.int64)


def _calendar(features: Sequence[Any], start: pd.Period, steps: int) -> npt.NDArray[np.float32]:
    """Time features (F, steps) of gluonts' kind."""
    with warnings.catch_warnings():
        # Periods of business days are deprecated in pandas, and gluonts has no others.
        warnings.simplefilter("ignore", FutureWarning)
        index = pd.period_range(start, periods=steps, freq=start.freq)
        found = [np.asarray(feature(index), dtype=np.float32) for feature in features]
    return np.stack(found) if found else np.empty((0, steps), dtype=np.float32)
