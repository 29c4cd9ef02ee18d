"""NetworkConfig: the sizes of a forecast network.

Shapes: L context steps, P horizon steps, M channels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from titans_ts.core.config import TitansConfig, require
from titans_ts.forecasting.model.heads import HeadName

LinearName = Literal["nested", "single", "none"]
DEFAULT_QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a forecast network; plain values only (``dataclasses.asdict`` goes into model files).

    Attributes:
        context_length: L past steps the network reads.
        prediction_length: P steps it is trained for; shorter horizons are cut, longer ones rolled.
        patch_length: steps of one token. Default: 16.
        patch_stride: steps between past patches; below ``patch_length`` they overlap. Default: 8.
        time_features: columns of ``past_time_feat`` (calendar features first, then known covariates). Default: 0.
        calendar: names of the calendar features: cycles, two columns each, then calendar covariates and holidays; see
            `titans_datasets.series.time_features`. Default: none.
        known_covariates: how many of the columns of ``past_time_feat``, the last ones, are known covariates; those of
            the calendar are among them. Default: 0.
        past_features: columns of ``past_feat_dynamic_real``. Default: 0.
        static_cardinalities: number of codes of each static category (0 is "unknown"). Default: none.
        static_reals: columns of ``feat_static_real``. Default: 0.
        season: steps of a season: how far back the linear part reads covariates. Default: 1.
        phase_column: column of ``past_time_feat`` with the sine of the season's phase (its cosine follows), for the
            linear part; −1 for none. Default: -1.
        harmonics: multiples of the phase that the linear part reads; at most half of the season. Default: 8.
        cyclic: whether half of the linear part's models have coefficients that vary with the phase. Default: True.
        per_series: whether named series get linear models of their own beside the shared one; None lets held-out
            windows decide.
        linear_context: how many of the last steps the linear part reads at most; its cost grows with their square, that
            of the memory with the steps themselves. Default: 720.
        irls_steps: steps of iteratively reweighted least squares, which weigh the linear part's windows by the inverse
            of their error; 0 is plain least squares. Default: 2.
        head: a name in `titans_ts.forecasting.model.heads.HEADS`. Default: "quantile".
        quantiles: trained levels. Default: 0.05, 0.1, 0.2 … 0.9, 0.95.
        linear: the linear part: ``"nested"`` (a mean of ridge models, `NestedRidge`), ``"single"`` (one ridge model of
            the window less its mean), or ``"none"``. Default: "nested".
        channel_mixing: attention across the channels of a target (B, L, M) after the backbone. Default: False.
        channels: M; 1 for plain series. Default: 1.
        head_dropout: dropout in front of the head. Default: 0.2.
        backbone: see :class:`titans_ts.core.config.TitansConfig`.

    Example:
        >>> from titans_ts import NetworkConfig
        >>> config = NetworkConfig(context_length=336, prediction_length=24, head="student_t")
        >>> NetworkConfig.from_dict(config.to_dict()) == config
        True
    """

    context_length: int
    prediction_length: int
    patch_length: int = 16
    patch_stride: int = 8
    time_features: int = 0
    calendar: tuple[str, ...] = ()
    known_covariates: int = 0
    past_features: int = 0
    static_cardinalities: tuple[int, ...] = ()
    static_reals: int = 0
    season: int = 1
    phase_column: int = -1
    harmonics: int = 8
    cyclic: bool = True
    per_series: bool | None = None
    linear_context: int = 720
    irls_steps: int = 2
    head: HeadName = "quantile"
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    linear: LinearName = "nested"
    channel_mixing: bool = False
    channels: int = 1
    head_dropout: float = 0.2
    backbone: TitansConfig = field(default_factory=TitansConfig)

    def __post_init__(self) -> None:
        for name in ("static_cardinalities", "quantiles", "calendar"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require(self.linear in get_args(LinearName), "linear", f"one of {get_args(LinearName)}", self.linear)
        require(self.prediction_length >= 1, "prediction_length", "≥ 1 step", self.prediction_length)
        require(self.patch_length >= 1, "patch_length", "≥ 1 step", self.patch_length)
        require(
            1 <= self.patch_stride <= self.patch_length,
            "patch_stride",
            f"1 to patch_length = {self.patch_length} (steps between patches would be lost)",
            self.patch_stride,
        )
        require(
            self.context_length >= self.patch_length,
            "context_length",
            f"≥ patch_length = {self.patch_length}: lower patch_length or raise context_length",
            self.context_length,
        )
        require(
            self.phase_column == -1 or 0 <= self.phase_column <= self.time_features - self.known_covariates - 2,
            "phase_column",
            "-1 or the first of two calendar columns of past_time_feat",
            self.phase_column,
        )
        require(self.harmonics >= 1, "harmonics", "≥ 1", self.harmonics)
        require(self.linear_context >= 1, "linear_context", "≥ 1 step", self.linear_context)
        require(self.irls_steps >= 0, "irls_steps", "≥ 0 steps", self.irls_steps)
        require(
            0 <= self.known_covariates <= self.time_features,
            "known_covariates",
            "≤ time_features",
            self.known_covariates,
        )

    @property
    def levels(self) -> list[float]:
        """Quantile levels of its forecasts: the trained ones and the median, in rising order."""
        return sorted({*self.quantiles, 0.5})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """Inverse of ``dataclasses.asdict``."""
        return cls(**{**values, "backbone": TitansConfig.from_dict(values["backbone"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
