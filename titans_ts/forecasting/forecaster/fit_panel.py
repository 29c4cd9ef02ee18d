"""A fit without the facade: from parameters and a panel of records to a `FittedForecaster`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from titans_datasets.series import SeriesPanel, SeriesSchema, SeriesWarning, Windows, WindowStore, to_records
from titans_datasets.series.batches.wall_records import wall_record
from titans_datasets.series.batches.windows import NoWindowsError
from titans_datasets.series.read.panel import warn
from titans_ts.forecasting import sizes
from titans_ts.forecasting.combination import Bounds, FloatArray
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.shares import Shares
from titans_ts.forecasting.fitted import NO_NETWORK, FittedForecaster
from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster.held_out import Weighing
from titans_ts.forecasting.forecaster.interruptions import without_interruptions
from titans_ts.forecasting.forecaster.params import check_params
from titans_ts.forecasting.forecaster.rows import read_rows, row_columns, row_schema
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.pretrained.weighing import unweighed, weighed
from titans_ts.forecasting.pretrained.weights import load_pretrained
from titans_ts.forecasting.training.config import TrainingConfig, TrainingResult
from titans_ts.forecasting.training.fit import train
from titans_ts.support.guards.limits import built
from titans_ts.support.progress import PROGRESS

if TYPE_CHECKING:
    from titans_ts.forecasting.sizes import Options


def fit(
    params: Mapping[str, Any],
    panel: SeriesPanel,
    schema: SeriesSchema,
    channels: list[Hashable] | None,
    seed: int,
    row_counts: Mapping[Hashable, int] | None = None,
) -> FittedForecaster:
    """Train on records.

    Args:
        params: parameters of the forecaster, checked.
        panel: the series.
        schema: columns and their roles.
        channels: items that are the channels of the panel's record, None where none were made channels.
        seed: of initialisation and training.
        row_counts: see `FittedForecaster`.

    Raises:
        ValueError: an option is unknown or out of range, a bound does not hold in the data, series are too short for
            the network and there are no experts, or the loss is not finite.
    """
    started = time.monotonic()
    inputs.check_dates(panel, bool(params.get("calendar") or params.get("holidays")))
    options = sizes.split_options(params["options"])
    # Without experts to forecast what has only just begun, a network learns from what there is.
    records, notes = without_interruptions(panel.records, before=options.experts.experts)
    warn(notes, stacklevel=4)
    # All that is learned is learned on local clocks, on which seasons keep their lag.
    given, panel = panel, replace(panel, records=[wall_record(record, 0)[0] for record in records])
    training = _Training(params, options, panel, seed)
    stopped = "no training window" if options.experts.network else NO_NETWORK
    _warn_unread(options.experts, schema)
    season, second = sizes.seasons(panel.frequency)
    reads = _reads(options.experts, season, second)
    fitted = FittedForecaster(
        training.network,
        schema,
        panel.frequency,
        panel.encoder,
        channels,
        panel,
        params["device"],
        TrainingResult(0, 0, float("nan"), float("nan"), stopped, 0.0, 0.0),
        row_counts,
        FittedMixture(
            *(season, second),
            shares=Shares.only(0.0 if options.experts.experts else 1.0),
            companion=None if reads is None else unweighed(reads),
        ),
        Bounds(params["lower"], params["upper"]),
    )
    histories = fitted.histories(panel.records)
    fitted.bounds.check(histories, fitted.row_names(panel.records))
    weighing = Weighing(fitted, training.validation) if options.experts.experts and len(training.validation) else None
    result, shares = training.run(weighing, time.monotonic() - started)
    if options.experts.experts and result is not None:
        # Where nothing was held out at the caller's wish, nothing speaks for or against the network.
        unknown = 0.5 if options.windows.validation_windows == 0 else 0.0
        fitted = replace(fitted, mixture=replace(fitted.mixture, shares=shares or Shares.only(unknown)))
    horizon = training.network.config.prediction_length
    PROGRESS.info("fitting the experts")
    known = fitted.covariates(panel.records, horizon)
    learned = FittedMixture.learn(histories, horizon, season, second, known).statistics
    mixture = replace(fitted.mixture, statistics=learned)
    if reads is not None:
        if options.experts.tuned:
            reads, result = _tuned(reads, histories, horizon, params, seed, started, known)
        PROGRESS.info("weighing the pretrained reads")
        codes = fitted.row_codes(panel.records)
        mixture = replace(mixture, companion=weighed(reads, histories, codes, horizon, known))
    return replace(fitted, panel=given, training=result or fitted.training, mixture=mixture)


def _warn_unread(options: sizes.ExpertOptions, schema: SeriesSchema) -> None:
    """Name covariates that only a network reads, where there is none."""
    unread = () if options.network else (*schema.past_covariates, *schema.static_covariates)
    if unread:
        note = "past and static covariates are read by a network only, and there is none"
        warnings.warn(f"{', '.join(unread)}: {note}; they change nothing", SeriesWarning, stacklevel=5)


def _reads(options: sizes.ExpertOptions, season: int, second: int) -> PretrainedReads | None:
    """The pretrained reads of a panel's seasons, where they are asked for."""
    if not (options.experts and options.pretrained):
        return None
    return PretrainedReads(season, second, load_pretrained(options.pretrained))


def _tuned(
    reads: PretrainedReads,
    histories: Sequence[FloatArray],
    horizon: int,
    params: Mapping[str, Any],
    seed: int,
    started: float,
    known: Sequence[FloatArray] | None,
) -> tuple[PretrainedReads, TrainingResult]:
    """Reads after the forecaster's gradient steps, or the same, and what training did."""
    # Imported here: it takes seconds, and only training needs it.
    from titans_ts.forecasting.pretrained.tuning import tuned

    PROGRESS.info("tuning the pretrained reads")
    budget = params["time_budget"]
    deadline = None if budget is None else started + budget
    found = tuned(reads, histories, horizon, params["max_steps"], seed=seed, deadline=deadline, covariates=known)
    return found.reads, found.training


def fit_data(params: Mapping[str, Any], X: object, y: object, seed: int) -> FittedForecaster:
    """Train on series (y None), or on rows of covariates and their target; see `TitansForecaster.fit`."""
    check_params(params)
    schema, row_counts, columns = inputs.make_schema(params, X), None, None
    if y is not None:
        rows, columns = read_rows(X, schema), row_columns(X)
        schema, row_counts = row_schema(rows.frame, schema), rows.counts
        X = rows.with_target(y, schema)
    panel, channels = inputs.mixed(to_records(X, schema), schema, params["options"])
    if row_counts is not None and channels is not None:
        raise ValueError("channel_mixing between series needs a table of series: call fit(X) without y")
    if params["freq"] is not None:
        inputs.check_declared_step(panel)
    warn(panel.notes, stacklevel=4)
    return replace(fit(params, panel, schema, channels, seed, row_counts), row_columns=columns)


class _Training:
    """Windows and network of a fit, and its training.

    Attributes:
        network: on the CPU; untrained before `run`.
        validation: held-out windows, none where the series are too short.
    """

    def __init__(self, params: Mapping[str, Any], options: Options, panel: SeriesPanel, seed: int) -> None:
        self.params, self.options, self.seed = params, options, seed
        lengths = [record.length for record in panel.records]
        spec = sizes.window_spec(params, options, panel.frequency, lengths)
        count, step = sizes.choose_validation(spec.prediction_length, lengths, options.windows.validation_windows)
        held = spec.prediction_length + (count - 1) * step if count else 0
        self.store = WindowStore(panel.records, spec, statistics_holdout=held)
        self.windows = self.validation = Windows(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
        try:
            if options.experts.network:
                self.windows, self.validation = self.store.split(count, step=step)
        except NoWindowsError as error:
            if not options.experts.experts:
                raise
            reason = str(error).split(";")[0]
            warnings.warn(f"forecast by experts without a network: {reason}", SeriesWarning, stacklevel=5)
        config = sizes.network_config(params, options, self.store, panel.encoder, panel.frequency)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = built(lambda: ForecastNetwork(config), "the network")

    def run(self, weighing: Weighing | None, elapsed: float) -> tuple[TrainingResult | None, Shares | None]:
        """Train the network; None where there is no window to learn from.

        Gradient steps are taken only where held-out windows give the linear part a good share beside the experts: what
        they add counts by that share.

        Args:
            weighing: of the network beside experts, None without.
            elapsed: seconds of the time budget that have passed.

        Returns:
            What training did, and the network's shares.
        """
        if len(self.windows) == 0:
            self.network.eval()
            return None, None
        shares: list[Shares] = []

        def weigh(network: ForecastNetwork) -> float:
            """Its mean share."""
            assert weighing is not None
            shares.append(weighing.shares(network))
            return shares[-1].mean

        budget = self.params["time_budget"]
        result = train(
            self.network,
            self.store,
            self.windows,
            self.validation,
            TrainingConfig(
                max_steps=self.params["max_steps"],
                time_budget=None if budget is None else max(budget - elapsed, 1e-3),
                device=self.params["device"],
                seed=self.seed,
                **self.options.training,
            ),
            refit_windows=self.store.windows(),
            weigh=weigh if weighing else None,
        )
        # A fitted forecaster holds CPU tensors only: its pickle opens on any machine.
        head = self.network.linear_head or {}
        self.network.linear_head = {name: value.cpu() for name, value in head.items()} or None
        return result, shares[-1] if shares else None
