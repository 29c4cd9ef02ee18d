"""A gluonts predictor from pretrained weights: nothing is trained, each entry is forecast by itself.

Shapes: T steps of an entry, F covariates, P horizon steps, Q quantile levels.
"""

# Not postponed: gluonts' `validated` reads the annotations of constructors as types.
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from gluonts.core.component import validated
from gluonts.itertools import batcher
from gluonts.model.forecast import QuantileForecast
from gluonts.model.predictor import RepresentablePredictor

from titans_datasets.series import SeriesWarning, parse_frequency
from titans_datasets.writing import in_place_of
from titans_ts.core.config import require
from titans_ts.forecasting.experts.fitted import MEAN_LEVELS
from titans_ts.forecasting.gluonts.predictor import HEADER_FILE, entry_labels
from titans_ts.forecasting.gluonts.transform import KNOWN, Entry, untouched
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES
from titans_ts.forecasting.pretrained.reads import FloatArray, PretrainedReads
from titans_ts.forecasting.pretrained.weights import load_pretrained
from titans_ts.forecasting.sizes import seasons
from titans_ts.support.model_folder import FORMAT

HEADER = {"format": FORMAT, "kind": "gluonts pretrained predictor", "version": 1}


class PretrainedPredictor(RepresentablePredictor):  # type: ignore[misc]
    """Forecasts of pretrained memory reads for gluonts entries, without training.

    Unlike `TitansForecaster.from_pretrained` it learns nothing of the data set, the weights of experts neither: an
    entry's forecast comes from this entry alone. ``feat_dynamic_real`` is read as covariates known ahead.

    Args:
        prediction_length: P steps.
        freq: the step of the entries, a pandas alias; the season follows from it.
        quantiles: levels of the forecasts, Q. Default: 0.05, 0.1, 0.2 … 0.9, 0.95.
        name: of the weights; see `titans_ts.forecasting.pretrained.installed`. Default: "zero".
        batch_size: entries that are forecast at once. Default: 256.

    Raises:
        ValueError: an argument is out of range, or there are no weights of that name.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from titans_ts.forecasting import PretrainedPredictor
        >>> entry = {"start": pd.Period("2024-01-01", freq="D"), "target": np.arange(70.0) % 7}
        >>> [forecast] = PretrainedPredictor(7, "D").predict([entry])
        >>> forecast.quantile(0.5).round().tolist(), forecast.start_date
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Period('2024-03-11', 'D'))
    """

    @validated()  # type: ignore[misc, no-untyped-call, untyped-decorator, unused-ignore]
    def __init__(
        self,
        prediction_length: int,
        freq: str,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
        name: str = "zero",
        batch_size: int = 256,
    ) -> None:
        require(prediction_length >= 1, "prediction_length", "≥ 1 step", prediction_length)
        require(batch_size >= 1, "batch_size", "≥ 1", batch_size)
        levels = [float(level) for level in quantiles]
        right = bool(levels) and all(0 < level < 1 for level in levels) and len(set(levels)) == len(levels)
        require(right, "quantiles", "different numbers between 0 and 1", quantiles)
        super().__init__(prediction_length=prediction_length)
        self.frequency, self.levels, self.batch_size = parse_frequency(freq), sorted(levels), batch_size
        self.reads = PretrainedReads(*seasons(self.frequency), load_pretrained(name))

    def predict(self, dataset: Iterable[Entry], num_samples: int | None = None) -> Iterator[QuantileForecast]:
        """One forecast an entry, in the order of the data set, computed while it is iterated over.

        Args:
            dataset: entries with the past target (T,) and, where there are any, covariates (F, T + P).
            num_samples: without effect: the forecasts are quantiles.

        Raises:
            ValueError: an entry has another step, several targets, or covariates that end early.
        """
        for entries in batcher(untouched(dataset), self.batch_size):
            yield from self._forecasts(entries)

    def _forecasts(self, entries: Sequence[Entry]) -> Iterator[QuantileForecast]:
        every = sorted({*MEAN_LEVELS, *self.levels})
        targets = [self._target(entry) for entry in entries]
        known = [self._known(entry, len(target)) for entry, target in zip(entries, targets, strict=True)]
        found = np.empty((len(entries), self.prediction_length, len(every)))
        # Entries of one number of covariates are read at once.
        for number in {len(own) for own in known}:
            places = [place for place, own in enumerate(known) if len(own) == number]
            found[places] = self.reads.quantiles(
                *([targets[at] for at in places], self.prediction_length, every, [known[at] for at in places])
            )
        mean = found[..., [every.index(level) for level in MEAN_LEVELS]].mean(axis=2)
        wanted = found[..., [every.index(level) for level in self.levels]]
        values = np.concatenate([wanted, mean[..., None]], axis=2)
        keys = [*map(str, self.levels), "mean"]
        for one, entry in zip(values, entries, strict=True):
            yield QuantileForecast(np.ascontiguousarray(one.T), forecast_keys=keys, **entry_labels(entry))

    def _target(self, entry: Entry) -> FloatArray:
        name, target = entry.get("item_id"), np.asarray(entry["target"], dtype=np.float64)
        if target.ndim != 1:
            raise ValueError(f"entry {name!r} must have one target (steps,), got {target.shape}: pass one entry each")
        if not len(target):
            raise ValueError(f"entry {name!r} has no steps: leave it out")
        if not np.isfinite(target).any():
            warnings.warn(f"entry {name!r} has no observed value: its forecast is NaN", SeriesWarning, stacklevel=4)
        start = entry.get("start")
        if not isinstance(start, pd.Period):
            raise TypeError(f"start of entry {name!r} must be a pandas Period of the step, got {start!r}")
        step = parse_frequency(start.freqstr)
        if step != self.frequency:
            raise ValueError(f"entry {name!r} has the step {step}, this predictor {self.frequency}: pass freq= of it")
        return target

    def _known(self, entry: Entry, steps: int) -> FloatArray:
        """Covariates (F, T + P) of an entry, F = 0 without any."""
        total = steps + self.prediction_length
        known = np.asarray(entry.get(KNOWN, np.empty((0, total))), dtype=np.float64)
        if known.ndim != 2 or known.shape[1] < total:
            raise ValueError(
                f"{KNOWN} of entry {entry.get('item_id')!r} must reach prediction_length steps past the target, "
                f"(features, {total}), got {known.shape}: append their values, or leave {KNOWN} out"
            )
        if not np.isfinite(known[:, steps:total]).all():
            raise ValueError(
                f"{KNOWN} of entry {entry.get('item_id')!r} has missing values after the target: fill them"
            )
        return known

    def serialize(self, path: str | PathLike[str]) -> None:
        """Write the arguments and the checksum of the weights as a folder, which is created where needed."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HEADER_FILE).unlink(missing_ok=True)
        super().serialize(folder)
        with in_place_of(folder / HEADER_FILE) as beside:
            beside.write_text(json.dumps({**HEADER, "sha256": self.reads.pretrained.sha256}) + "\n", encoding="utf-8")

    @classmethod
    def deserialize(cls, path: str | PathLike[str], device: object = None) -> "PretrainedPredictor":
        """The predictor of a folder that `serialize` wrote; it computes on the CPU, whatever the device.

        Raises:
            ValueError: the folder is not ours or unfinished, or the installed weights are not those it was made with.
        """
        file = Path(path) / HEADER_FILE
        try:
            header = json.loads(file.read_text(encoding="utf-8"))
            found = {key: header[key] for key in (*HEADER, "sha256")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{file.parent} holds no finished PretrainedPredictor (no readable {HEADER_FILE} in it): pass a folder "
                "that serialize() wrote"
            ) from error
        sha256 = found.pop("sha256")
        if found != HEADER:
            raise ValueError(f"{file.parent} was written as {found}, expected {HEADER}: make the predictor again")
        predictor: PretrainedPredictor = super().deserialize(file.parent)
        load_pretrained(predictor.reads.pretrained.name, sha256)
        return predictor
