"""TitansEstimator: the network of this library as a gluonts estimator.

gluonts' transformations give some thousand windows a second; here the entries become one `WindowStore`, from which
batches are gathered. Network, heads, scaling, linear part and shrinkage are those of `TitansForecaster`.

Shapes: T steps of a series, L context_length, P prediction_length.
"""

# Not postponed: gluonts' `validated` reads the annotations of constructors as types.
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from gluonts.core.component import validated
from gluonts.torch import distributions
from gluonts.torch.distributions import Output, QuantileOutput
from gluonts.torch.model.estimator import PyTorchLightningEstimator, TrainOutput
from gluonts.torch.model.predictor import PyTorchPredictor
from gluonts.transform import InstanceSampler
from torch.utils.data import DataLoader

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore, parse_frequency, seen_cycles
from titans_datasets.series.batches.module import BatchNumbers, window_loader
from titans_datasets.series.time.calendar_features import covariate_names
from titans_ts.core.config import TitansConfig, require
from titans_ts.forecasting import sizes as settings
from titans_ts.forecasting.gluonts.calibration import optimism
from titans_ts.forecasting.gluonts.predictor import TitansPredictor
from titans_ts.forecasting.gluonts.training import (
    TitansLightningModule,
    Trained,
    fit_linear_part,
    fit_module,
    forget_unseen,
    refit_linear_part,
    validated_weight,
)
from titans_ts.forecasting.gluonts.transform import CAT, FEATURES, Entry, SeriesEncoder, untouched
from titans_ts.forecasting.gluonts.windows import (
    SampledBatches,
    SeriesWindows,
    TrainingData,
    WindowChoice,
    make_store,
)
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES, NetworkConfig
from titans_ts.forecasting.model.heads import HEADS
from titans_ts.forecasting.model.window import Batch
from titans_ts.support.device import cpu_threads
from titans_ts.support.model_folder import plain

OUTPUTS: dict[type, str] = {
    getattr(distributions, head.distr_output): name for name, head in HEADS.items() if head.distr_output is not None
}
TRAINING_OPTIONS = {"ema_decay", "patience", "threads"}


class TitansEstimator(PyTorchLightningEstimator):  # type: ignore[misc]
    """Forecasts with a Titans network: neural memory on a closed-form linear part, trained and served by gluonts.

    ``TitansEstimator(prediction_length=24, freq="h").train(dataset).predict(dataset)`` takes any gluonts data set
    (ListDataset, PandasDataset, files, a list of dicts) of one series or thousands; NaN is a missing value, series may
    start anywhere and be shorter than the context. Nothing is shown or written unless `trainer_kwargs` turns it on.

    Args:
        prediction_length: steps to forecast, P.
        context_length: steps the network reads, L; None chooses by the frequency, at most half of the median series.
        freq: time step, in any spelling of pandas ("h", "15min", "B", "W-MON", "MS", "ME", "QS" …), which the series
            must have; None takes that of the series.
        num_feat_dynamic_real: covariates known ahead; entries to be forecast carry their next P steps. Default: 0.
        num_past_feat_dynamic_real: covariates known up to the forecast. Default: 0.
        num_feat_static_real, num_feat_static_cat: static numbers and categories (0, 1, …) of a series. Features that
            are not counted are ignored. Default: 0.
        cardinality: number of values of each static category; None counts those of the training data. A category
            beyond them is taken as unknown in a forecast, with a warning.
        distr_output: QuantileOutput (the median is always among its levels), StudentTOutput, NormalOutput or
            NegativeBinomialOutput (counts); None is QuantileOutput with the levels 0.05, 0.1, 0.2 … 0.9, 0.95.
        scaling: units of a series: "std" or True (its mean and standard deviation), "mean" (its mean absolute value),
            None or False (unscaled; values should be of the order of one). The network scales each window in addition.
            Default: "std".
        lr: peak of the one-cycle learning rate. Default: 0.001.
        weight_decay: on the matrices of the backbone. Default: 0.05.
        batch_size: windows a gradient step, and series forecast at once. Default: 32.
        num_batches_per_epoch: gradient steps of an epoch. Default: 50.
        trainer_kwargs: for Lightning's Trainer, in place of our defaults: at most 20 epochs, gradients clipped at 1,
            one device, no logger, no bar, no files. Callbacks may monitor "train_loss" and "val_loss" (epoch means).
        train_sampler: gluonts sampler of training windows, called for one series after the other; None draws every
            window of the training data with equal probability.
        validation_sampler: gluonts sampler of validation windows, called once for each series of the validation data;
            None takes the last window of each.
        time_features: functions of a PeriodIndex that replace this library's calendar features; [] for none. Default:
            None.
        holidays, calendar: countries ("DE", "DE-BY") and names of calendar covariates ("weekend", "payday"), as in
            `TitansForecaster`: covariates known ahead, which entries need not carry. Default: None.
        num_parallel_samples: draws of a SampleForecast, independent at each step (no paths); None gives
            DistributionForecast. Without effect on quantile forecasts.
        block: "mag", "mac", "mal", "lmm" or "attention"; see `titans_ts.core.TitansConfig`. Default: "mag".
        width, heads, layers: of the backbone; see there. Defaults: 32, 4, 2.
        patch_length: steps of a token; None chooses.
        memory: fields of `titans_ts.core.MemoryConfig`, such as {"kind": "linear"}. Default: None.
        dropout_rate: in the blocks; twice as much in front of the head. Default: 0.1.
        season: steps of a season; None takes it from the frequency.
        linear: the linear part: "nested", "single" or "none"; see `titans_ts.NetworkConfig`. Default: "nested".
        validation_windows: windows held out at the end of each training series, P steps apart, where `train` gets no
            validation data; None takes about a tenth of the series; 0 trains on all windows, and the training loss
            chooses the epoch.
        calibration_horizons: quantile forecasts of a series are corrected by the errors that the network would have
            made over this many last horizons, at the same hour; 0 keeps the intervals of the training data. Default:
            40.
        seed: of initialisation, dropout and windows; None draws one from torch's global generator. Default: 0.
        options: less common options: other fields of NetworkConfig and TitansConfig ("patch_stride", "window"),
            "min_history" (steps before a training forecast), "patience" (epochs without a better validation loss before
            training stops, 5; a callback for early stopping replaces it), "ema_decay" (of the weights that are scored
            and kept), "threads" (of the CPU in training, 1). Default: None.

    Raises:
        ValueError: a value is out of range or an output is not supported.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from titans_ts import TitansEstimator
        >>> wave = {"item_id": "wave", "start": pd.Period("2024-01-01", "h"), "target": np.sin(np.arange(300) / 4)}
        >>> estimator = TitansEstimator(prediction_length=6, freq="h", trainer_kwargs={"max_epochs": 0})
        >>> forecast = next(iter(estimator.train([wave]).predict([wave])))
        >>> forecast.start_date, forecast.quantile(0.9).shape
        (Period('2024-01-13 12:00', 'h'), (6,))
    """

    @validated()  # type: ignore[misc, no-untyped-call, untyped-decorator, unused-ignore]
    def __init__(
        self,
        prediction_length: int,
        context_length: int | None = None,
        freq: str | None = None,
        num_feat_dynamic_real: int = 0,
        num_past_feat_dynamic_real: int = 0,
        num_feat_static_real: int = 0,
        num_feat_static_cat: int = 0,
        cardinality: list[int] | None = None,
        distr_output: Output | None = None,
        scaling: bool | str | None = "std",
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        batch_size: int = 32,
        num_batches_per_epoch: int = 50,
        trainer_kwargs: dict[str, Any] | None = None,
        train_sampler: InstanceSampler | None = None,
        validation_sampler: InstanceSampler | None = None,
        time_features: list[Any] | None = None,
        num_parallel_samples: int | None = None,
        block: str = "mag",
        width: int = 32,
        heads: int = 4,
        layers: int = 2,
        patch_length: int | None = None,
        memory: dict[str, Any] | None = None,
        dropout_rate: float = 0.1,
        season: int | None = None,
        linear: str = "nested",
        validation_windows: int | None = None,
        calibration_horizons: int = 40,
        seed: int | None = 0,
        options: dict[str, Any] | None = None,
        holidays: str | list[str] | None = None,
        calendar: str | list[str] | None = None,
    ) -> None:
        super().__init__(trainer_kwargs=dict(trainer_kwargs or {}))
        self.prediction_length, self.context_length = prediction_length, context_length
        self.freq = None if freq is None else parse_frequency(freq).offset_alias
        counts = (num_feat_dynamic_real, num_past_feat_dynamic_real, num_feat_static_real, num_feat_static_cat)
        self.counts = dict(zip(FEATURES, counts, strict=True))
        self.cardinality = cardinality if num_feat_static_cat else None
        self.distr_output = output = distr_output or QuantileOutput(list(DEFAULT_QUANTILES))
        self.scaling = ("std" if scaling else None) if isinstance(scaling, bool) else scaling
        self.lr, self.weight_decay, self.block, self.seed = lr, weight_decay, block, seed
        self.batch_size, self.num_batches_per_epoch = batch_size, num_batches_per_epoch
        self.train_sampler, self.validation_sampler = train_sampler, validation_sampler
        self.time_features, self.num_parallel_samples = time_features, num_parallel_samples
        self.holidays, self.calendar = holidays or (), calendar or ()
        self.validation_windows, self.calibration_horizons = validation_windows, calibration_horizons
        self.head, self.quantiles = _head(output), tuple(getattr(output, "quantiles", DEFAULT_QUANTILES))
        chosen = {"patch_length": patch_length, "memory": memory, "season": season}
        self.settings = settings.split_options(
            {
                **{"width": width, "heads": heads, "layers": layers, "linear": linear, "head": self.head},
                **{"dropout": dropout_rate, "head_dropout": 2 * dropout_rate},
                **{name: value for name, value in chosen.items() if value is not None},
                **(options or {}),
            },
            TRAINING_OPTIONS,
        )
        _check(self)

    @classmethod
    def derive_auto_fields(cls, train_iter: Iterable[Entry]) -> dict[str, Any]:
        """Frequency, numbers of features and cardinality of a data set, for `from_inputs`."""
        entries = list(untouched(train_iter))
        require(len(entries) > 0, "train_iter", "a data set with at least one entry", entries)
        found: dict[str, Any] = {f"num_{field}": len(entries[0].get(field, ())) for field in FEATURES}
        if found[f"num_{CAT}"]:
            found["cardinality"] = _cardinality(entries)
        return {"freq": parse_frequency(entries[0]["start"].freqstr).offset_alias, **found}

    def create_transformation(self) -> SeriesEncoder:
        """The encoder of entries, before it has seen training data."""
        return SeriesEncoder(
            prediction_length=self.prediction_length,
            counts=self.counts,
            freq=self.freq,
            cardinality=self.cardinality,
            time_features=self.time_features,
        )

    def create_lightning_module(self, network: NetworkConfig) -> TitansLightningModule:
        """An untrained network; its inputs follow from the training data, so its configuration comes in."""
        return TitansLightningModule(plain(network.to_dict()), self.lr, self.weight_decay)

    def create_training_data_loader(
        self, data: SeriesWindows, module: TitansLightningModule, *, seed: int = 0, **kwargs: Any
    ) -> Iterable[Batch]:
        """Epochs of `num_batches_per_epoch` batches.

        Args:
            data: the training windows (no gluonts data set).
            module: not used.
            seed: of the windows' order.
            kwargs: of gluonts, without effect: all windows are at hand, there is nothing to shuffle in a buffer.
        """
        steps = self.num_batches_per_epoch
        if self.train_sampler is None:
            return window_loader(data, BatchNumbers(len(data), self.batch_size, steps, seed))
        batches = SampledBatches(data, self.train_sampler, self.batch_size, steps, seed)
        return DataLoader(batches, batch_size=None)

    def create_validation_data_loader(
        self, data: SeriesWindows, module: TitansLightningModule, **kwargs: Any
    ) -> Iterable[Batch]:
        """All validation windows, in order."""
        return window_loader(data, BatchNumbers(len(data), self.batch_size))

    def create_predictor(
        self, transformation: SeriesEncoder, module: TitansLightningModule, optimism: list[float] | None = None
    ) -> TitansPredictor:
        """The predictor of a trained module; optimism as in `TitansPredictor`."""
        return TitansPredictor(
            prediction_net=module,
            input_transform=transformation,
            prediction_length=self.prediction_length,
            batch_size=self.batch_size,
            scaling=self.scaling,
            num_parallel_samples=self.num_parallel_samples,
            calibration_horizons=self.calibration_horizons,
            optimism=optimism,
        )

    def train_model(
        self,
        training_data: Iterable[Entry],
        validation_data: Iterable[Entry] | None = None,
        from_predictor: PyTorchPredictor | None = None,
        shuffle_buffer_length: int | None = None,
        cache_data: bool = False,
        ckpt_path: str | None = None,
        **kwargs: Any,
    ) -> TrainOutput:
        """Fit the linear part in closed form, then the network; keep the best epoch.

        The epoch of least validation loss is kept (the linear part alone if none beats it), and the network's
        correction is shrunk as far as the validation windows leave it in doubt. At the end the linear part is fitted
        again on all windows, those held out of the training data included. Without any, the epoch of least training
        loss is kept.

        Args:
            training_data: series to learn from; read once.
            validation_data: series whose last window is scored after each epoch; usually the training series, longer by
                P steps. None holds out `validation_windows`.
            from_predictor: continue from its weights (and its linear part).
            shuffle_buffer_length, cache_data: without effect, the data are in memory and shuffled.
            ckpt_path: a Lightning checkpoint to resume from.

        Raises:
            ValueError: the data break a rule (step, features, cardinality), series are too short, the predictor has
                another network, or the loss is not finite.
        """
        seed = int(torch.randint(2**31 - 1, ())) if self.seed is None else self.seed
        earlier = _earlier(from_predictor, {**self.counts, "scaling": self.scaling})
        entries = list(untouched(training_data))
        encoder = self.create_transformation().fit(entries) if earlier is None else earlier.input_transform
        records = encoder.panel(entries, is_train=True).records
        later = None if validation_data is None else encoder.panel(validation_data, is_train=True).records
        choice = WindowChoice(self.scaling, self.validation_windows, self.validation_sampler, seed)
        spec = self._spec(records, earlier)
        data = choice.data(records, later, spec)
        with torch.random.fork_rng(devices=[]), cpu_threads(self.settings.training.get("threads", 1)):
            torch.manual_seed(seed)
            module = self.create_lightning_module(self._network(data.training, encoder))
            if earlier is None:
                forget_unseen(module.network, records)
                fit_linear_part(module.network, data.training, data.held)
            else:
                _continue_from(earlier, module)
            trained = self._fit(module, data, seed, ckpt_path)
        if trained.before is not None and trained.after is not None and data.validation is not None and earlier is None:
            if data.held is not None:
                refit_linear_part(module.network, data.training.store)
            module.network.shrink_to_linear(validated_weight(trained.before, trained.after, data.validation))
        # In the units of forecasts, which leave nothing of a series out.
        whole = make_store(records, spec, self.scaling)
        return TrainOutput(encoder, module, trained.trainer, self._predictor(encoder, module, whole))

    def _fit(self, module: TitansLightningModule, data: TrainingData, seed: int, ckpt_path: str | None) -> Trained:
        return fit_module(
            module,
            self.create_training_data_loader(data.training, module, seed=seed),
            None if data.validation is None else self.create_validation_data_loader(data.validation, module),
            self.trainer_kwargs,
            ema_decay=self.settings.training.get("ema_decay", 0.99),
            patience=self.settings.training.get("patience", 5),
            ckpt_path=ckpt_path,
        )

    def _predictor(self, encoder: SeriesEncoder, module: TitansLightningModule, store: WindowStore) -> TitansPredictor:
        """The predictor, with how much errors on the training data understate those to come."""
        if module.network.head.is_distribution or not self.calibration_horizons:
            return self.create_predictor(encoder, module)
        levels = module.network.config.levels
        found = optimism(module.network, store, levels, self.calibration_horizons)
        return self.create_predictor(encoder, module, found)

    def _spec(self, records: Sequence[SeriesRecord], earlier: TitansPredictor | None) -> WindowSpec:
        """How training windows are cut: as in the earlier training, or as the data suggest."""
        horizon, lengths = self.prediction_length, [record.length for record in records]
        if earlier is not None:
            config = earlier.prediction_net.network.config
            context, calendar = self.context_length or config.context_length, config.calendar
        else:
            frequency = records[0].frequency
            context = self.context_length or settings.choose_context(horizon, frequency, lengths)
            calendar = () if self.time_features is not None else seen_cycles(frequency, int(np.median(lengths)))
            calendar += covariate_names(frequency, self.calendar, self.holidays)
        least = self.settings.windows.min_history or max(1, min(context, int(np.median(lengths))) // 2)
        return WindowSpec(context, horizon, min_history=least, short="pad", calendar=calendar)

    def _network(self, data: SeriesWindows, encoder: SeriesEncoder) -> NetworkConfig:
        params = {"quantiles": self.quantiles, "block": self.block}
        return settings.network_config(params, self.settings, data.store, encoder.encoder, data.store.frequency)


def _check(estimator: TitansEstimator) -> None:
    """Refuse arguments out of range."""
    require(estimator.prediction_length >= 1, "prediction_length", "≥ 1 step", estimator.prediction_length)
    require(estimator.scaling in ("std", "mean", None), "scaling", "'std', 'mean' or None", estimator.scaling)
    for name in ("batch_size", "num_batches_per_epoch"):
        require(getattr(estimator, name) >= 1, name, "≥ 1", getattr(estimator, name))
    require(estimator.lr > 0, "lr", "> 0", estimator.lr)
    require(estimator.calibration_horizons >= 0, "calibration_horizons", "≥ 0", estimator.calibration_horizons)
    for field in FEATURES:
        require(estimator.counts[field] >= 0, f"num_{field}", "≥ 0", estimator.counts[field])
    count = estimator.counts[CAT]
    require(
        estimator.cardinality is None or (len(estimator.cardinality) == count and min(estimator.cardinality) >= 1),
        "cardinality",
        f"num_feat_static_cat = {count} numbers ≥ 1",
        estimator.cardinality,
    )
    require(
        estimator.time_features is None or not (estimator.holidays or estimator.calendar),
        "time_features",
        "None where holidays or calendar are given (it replaces this library's calendar)",
        estimator.time_features,
    )
    TitansConfig(block=estimator.block, **estimator.settings.backbone)  # type: ignore[arg-type]


def _cardinality(entries: Sequence[Entry]) -> list[int]:
    """Largest category + 1 of each static category."""
    codes = np.stack([np.asarray(entry[CAT], dtype=np.float64) for entry in entries])
    return [int(code) + 1 for code in np.nanmax(codes, axis=0).clip(0)]


def _head(output: Output) -> str:
    """The head of one of gluonts' outputs."""
    head = next((name for kind, name in OUTPUTS.items() if isinstance(output, kind)), None)
    names = ", ".join(kind.__name__ for kind in OUTPUTS)
    require(head is not None, "distr_output", f"one of {names}", type(output).__name__)
    require(getattr(output, "beta", 0.0) == 0, "distr_output", "without beta (the plain likelihood)", output)
    return str(head)


def _earlier(predictor: PyTorchPredictor | None, inputs: dict[str, Any]) -> TitansPredictor | None:
    """The predictor to continue from, if any.

    Raises:
        ValueError: it is no `TitansPredictor`, or was trained on other features or in other units (`inputs`).
    """
    if predictor is None:
        return None
    if not isinstance(predictor, TitansPredictor):
        raise ValueError(
            f"train_from needs a predictor of TitansEstimator, got {type(predictor).__name__}: call train() instead"
        )
    _same(inputs, {**predictor.input_transform.counts, "scaling": predictor.scaling})
    return predictor


def _continue_from(predictor: TitansPredictor, module: TitansLightningModule) -> None:
    """Take over the weights of an earlier training.

    Raises:
        ValueError: the networks differ.
    """
    _same(module.network.config.to_dict(), predictor.prediction_net.network.config.to_dict())
    module.load_state_dict(predictor.prediction_net.state_dict())


def _same(own: dict[str, Any], other: dict[str, Any]) -> None:
    """Raise ValueError at the first value that differs."""
    for name in own:
        if own[name] != other[name]:
            raise ValueError(
                f"train_from needs a predictor of the same network, expected {name} = {own[name]!r}, got "
                f"{other[name]!r}: build the estimator with the arguments of the first training, or call train()"
            )
