"""Sizes that follow from the data: context, patches, held-out windows, the network's configuration; and `options`,
sorted by what they configure. The forecaster, gluonts' estimator and Lightning's recipes share them.

Shapes: L context_length, P prediction_length, T steps of a series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from titans_datasets.series import CovariateEncoder, Frequency, WindowSpec, WindowStore, seen_cycles
from titans_datasets.series.time.calendar_features import covariate_columns, covariate_names
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.pretrained.weights import installed
from titans_ts.forecasting.training.config import TrainingConfig
from titans_ts.support.params import backbone_names, check_types, optional, sort_options, whole

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True)
class WindowOptions:
    """Options about windows.

    Attributes:
        validation_windows: held-out windows at the end of each series, for early stopping; None chooses.
        short_series: series too short for a training window are skipped with a warning ("skip"), padded ("pad") or an
            error ("error").
        min_history: observed or missing steps that a training window must have before its forecast; None is half of
            context_length.
    """

    validation_windows: int | None = None
    short_series: Literal["skip", "pad", "error"] = "skip"
    min_history: int | None = None

    def __post_init__(self) -> None:
        for name, low in (("validation_windows", 0), ("min_history", 1)):
            value = getattr(self, name)
            if not optional(whole(low))(value):
                raise ValueError(f"{name} must be an integer ≥ {low} or None, got {value!r}")
        if self.short_series not in ("skip", "pad", "error"):
            raise ValueError(f"short_series must be 'skip', 'pad' or 'error', got {self.short_series!r}")


@dataclass(frozen=True)
class ExpertOptions:
    """Options about the experts beside the network.

    Attributes:
        experts: whether they have a share in the forecast; False leaves the network, with its linear part, alone.
        pretrained: name of the pretrained reads that are averaged with the experts; None or False leaves them out.
        network: whether there is a network, with its linear part, beside them; False leaves it out, so that nothing is
            trained.
        tuned: whether the forecaster's gradient steps are taken by the pretrained reads, where there is no network.
    """

    experts: bool = True
    pretrained: str | Literal[False] | None = "zero"
    network: bool = True
    tuned: bool = False

    def __post_init__(self) -> None:
        for name in ("experts", "network", "tuned"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if not (self.experts or self.network):
            raise ValueError("experts=False and network=False leave nothing to forecast by: leave one of them out")
        if not (self.pretrained is None or self.pretrained is False or self.pretrained in installed()):
            names = ", ".join(map(repr, installed()))
            raise ValueError(f"pretrained must be {names}, or None to leave it out, got {self.pretrained!r}")
        if self.tuned and (self.network or not self.pretrained):
            raise ValueError(
                "tuned=True trains pretrained reads in the place of a network: set network=False too, and "
                "leave pretrained in"
            )


# Options that are parameters of the forecaster, or that follow from the data.
_NETWORK_TAKEN = {
    *("context_length", "prediction_length", "time_features", "known_covariates", "past_features", "calendar"),
    *("static_cardinalities", "static_reals", "quantiles", "channels", "backbone"),
}
# Options about reading: fields of `SeriesSchema`.
READING = ("aggregate", "snap")
_TRAINING_TAKEN = {"max_steps", "time_budget", "device", "seed"}


# Of the backbone where there is no network.
SMALLEST: dict[str, Any] = {"width": 2, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class Options:
    """The `options` dict, sorted by what its entries configure; see `split_options`."""

    network: dict[str, Any]
    backbone: dict[str, Any]
    training: dict[str, Any]
    windows: WindowOptions
    experts: ExpertOptions = ExpertOptions()


def split_options(options: Mapping[str, Any] | None, training: set[str] | None = None) -> Options:
    """Sort flat option names into the configurations that have a field of that name.

    Args:
        options: names of fields of NetworkConfig, TitansConfig, TrainingConfig, WindowOptions or ExpertOptions;
            "memory" is a dict of MemoryConfig's fields. Those of `READING` are left to the schema.
        training: fields of TrainingConfig that may be set; None for all that are no parameters of the forecaster.

    Raises:
        ValueError: an unknown name; the message has the closest one and all.
    """
    homes = {
        "network": {f.name for f in fields(NetworkConfig)} - _NETWORK_TAKEN,
        "backbone": backbone_names(),
        "training": ({f.name for f in fields(TrainingConfig)} if training is None else training) - _TRAINING_TAKEN,
        "windows": {f.name for f in fields(WindowOptions)},
        "experts": {f.name for f in fields(ExpertOptions)},
        "reading": {*READING},
    }
    parts = sort_options(options, homes)
    check_types({**parts["network"], **parts["training"]}, NetworkConfig, TrainingConfig)
    windows, experts = WindowOptions(**parts["windows"]), ExpertOptions(**parts["experts"])
    needless = [name for part in ("network", "backbone", "training", "windows") for name in parts[part]]
    needless = [name for name in needless if name not in ("progress", "channel_mixing")]
    if needless and not experts.network:
        raise ValueError(f"network=False leaves the network out, but {', '.join(needless)} would set it: leave out one")
    return Options(parts["network"], parts["backbone"], parts["training"], windows, experts)


def trained_option(name: str, wanted: Any, config: NetworkConfig, options: Mapping[str, Any]) -> Any:
    """The value of an entry of `options` that a network was made with, in the form of the one to compare it with.

    Args:
        name: a known entry, see `split_options`.
        wanted: the value to compare with; of a mapping only the keys are looked up.
        config: of the network.
        options: those of the forecaster; a default where they lack the name.
    """
    homes = [config, config.backbone, TrainingConfig(), WindowOptions(), ExpertOptions()]
    found = next((getattr(home, name) for home in homes if hasattr(home, name)), None)
    if not hasattr(config, name) and not hasattr(config.backbone, name):
        found = options.get(name, found)
    if isinstance(wanted, Mapping):
        return {key: getattr(found, key, None) for key in wanted}
    return list(found) if isinstance(wanted, list) and isinstance(found, tuple) else found


def choose_context(prediction_length: int, frequency: Frequency, lengths: Sequence[int]) -> int:
    """Context length where none is given.

    28 seasons of data finer than a day (four weeks of hours), eight of daily data, three of coarser data; at least
    two horizons; at most 720 steps and half of the median series length.

    Args:
        prediction_length: P.
        frequency: the time step.
        lengths: T of every series.
    """
    fine = frequency.unit == "ns" and frequency.multiple < DAY_NS
    daily = frequency.unit == "business" or (frequency.unit == "ns" and frequency.multiple < 7 * DAY_NS)
    seasons = 28 if fine else 8 if daily else 3
    wanted = min(max(2 * prediction_length, seasons * frequency.seasonality), 720)
    half = int(np.median(lengths)) // 2
    return max(1, min(wanted, half))


def choose_patches(context_length: int, season: int) -> tuple[int, int]:
    """Patch length and stride: whole seasons of 8 to 32 steps (a day of hours) where at least four fit.

    Otherwise a power of two that gives about 20 to 50 tokens: 336 steps → 16, 8; 96 → 4, 2; 24 → 1, 1.
    """
    if 8 <= season <= 32 and context_length >= 4 * season:
        return season, season
    largest = 16 if context_length <= 800 else 32
    patch = 1
    while 2 * patch <= min(largest, context_length / 16):
        patch *= 2
    half = max(1, patch // 2)
    tokens = 1 + -(-(context_length - patch) // half)
    return patch, half if tokens <= 50 else patch


def choose_validation(prediction_length: int, lengths: Sequence[int], windows: int | None) -> tuple[int, int]:
    """Number of held-out windows a series and the steps between them.

    By default about a tenth of the median length is held out, at least one horizon and, where the series is long
    enough, two; windows overlap so that a series has eight or more, and all together have at most about 2,000.

    Args:
        prediction_length: P.
        lengths: T of every series.
        windows: as given by the caller, P steps apart; None for the default.
    """
    if windows is not None:
        return windows, prediction_length
    median = int(np.median(lengths))
    held = max(prediction_length, median // 10, min(2 * prediction_length, median // 4))
    step = max(1, min(prediction_length, (held - prediction_length) // 7))
    count = 1 + (held - prediction_length) // step
    most = max(1, 2000 // len(lengths))
    if count > most:
        step = max(step, (held - prediction_length) // most)
        count = 1 + (held - prediction_length) // step
    return max(1, min(count, most)), step


def seasons(frequency: Frequency) -> tuple[int, int]:
    """Steps of the season and of a longer second one, 0 for none: a day and a week, or a week and a year of days.

    Example:
        >>> from titans_datasets.series import parse_frequency
        >>> [seasons(parse_frequency(step)) for step in ("h", "D", "W", "MS")]
        [(24, 168), (7, 365), (52, 0), (12, 0)]
    """
    season, step = frequency.seasonality, frequency.multiple
    if frequency.unit == "business":
        return season, round(365.25 / 7 * frequency.weekmask.count("1")) if step == 1 else 0
    if frequency.unit == "month":
        return season, 0
    if step == DAY_NS:
        return season, 365
    fine = step < DAY_NS and season * step == DAY_NS
    return season, 7 * season if fine else 0


def season_cycle(frequency: Frequency) -> str | None:
    """The calendar cycle of a day (data finer than a day) or a week (daily data); None for coarser data.

    A year of months has too few turns in most series for coefficients of its own.
    """
    if frequency.unit == "business":
        return "week"
    if frequency.unit != "ns" or frequency.multiple >= 7 * DAY_NS:
        return None
    return "week" if frequency.multiple >= DAY_NS else "day"


def window_spec(
    params: Mapping[str, Any], options: Options, frequency: Frequency, lengths: Sequence[int]
) -> WindowSpec:
    """How training windows are cut: context length, horizon, rule for short series."""
    horizon = int(params["prediction_length"])
    named = covariate_names(frequency, params.get("calendar") or (), params.get("holidays") or ())
    if not options.experts.network:
        # Nothing reads windows; the sizes of a network that is not there are the smallest.
        return WindowSpec(1, horizon, min_history=1, short="skip", calendar=named)
    context = params["context_length"] or choose_context(horizon, frequency, lengths)
    least = options.windows.min_history or max(1, int(context) // 2)
    calendar = seen_cycles(frequency, int(np.median(lengths))) + named
    return WindowSpec(int(context), horizon, min_history=least, short=options.windows.short_series, calendar=calendar)


def network_config(
    params: Mapping[str, Any],
    options: Options,
    store: WindowStore,
    encoder: CovariateEncoder | None,
    frequency: Frequency,
) -> NetworkConfig:
    """The network for a store's fields.

    Raises:
        ValueError: a value is out of range, or patches do not fit the context.
    """
    context = store.spec.context_length
    patch, stride = choose_patches(context, frequency.seasonality)
    patches = {"patch_length": patch, "patch_stride": stride}
    if "patch_length" in options.network and "patch_stride" not in options.network:
        patches["patch_stride"] = max(1, int(options.network["patch_length"]) // 2)
    calendar = store.spec.calendar or ()
    cycle = season_cycle(frequency)
    phase = 2 * calendar.index(cycle) if cycle in calendar else -1
    known = 0 if encoder is None else encoder.width(encoder.known)
    chosen = {"season": frequency.seasonality, "phase_column": phase, **patches, **options.network}
    chosen |= {} if options.experts.network else {"linear": "none"}
    return NetworkConfig(
        context_length=context,
        prediction_length=store.spec.prediction_length,
        quantiles=tuple(sorted(float(level) for level in params["quantiles"])),
        time_features=store.num_time_features,
        calendar=calendar,
        known_covariates=known + covariate_columns(frequency, calendar),
        past_features=store.num_past_features,
        static_cardinalities=() if encoder is None else encoder.cardinality,
        static_reals=0 if encoder is None else encoder.static_real_width,
        channels=store.num_channels,
        backbone=TitansConfig(block=params["block"], **(options.backbone if options.experts.network else SMALLEST)),
        **chosen,
    )
