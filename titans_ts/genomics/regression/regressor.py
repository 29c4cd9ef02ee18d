"""DNARegressor: from sequences to numbers, as a scikit-learn estimator.

Shapes: n sequences, T bases of one, K targets, F features.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics import inputs
from titans_ts.genomics.language.language_model import DNALanguageModel
from titans_ts.genomics.regression.fitted import FittedRegressor
from titans_ts.genomics.regression.model_folder import load_regressor, save_regressor
from titans_ts.genomics.regression.params import RULES, split_options
from titans_ts.genomics.regression.targets import TargetScale, Values, check_bases, read_targets
from titans_ts.genomics.supervised import params as settings
from titans_ts.genomics.supervised.fitting import Fitting
from titans_ts.genomics.supervised.problem import Problem
from titans_ts.genomics.training.holdout import related
from titans_ts.support.device import resolve_device
from titans_ts.support.model_folder import rebuilding

if TYPE_CHECKING:
    from titans_ts.genomics.report.values import RegressionReport


class DNARegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts numbers from DNA with a Titans network (convolutions, then neural memory) and ridge regressions.

    X is what `DNAClassifier` takes: sequences, a DataFrame, or the path of a file. y holds one number per sequence, K
    of them (a column each), or, with ``per_base``, one or K for every base. Targets are standardised for training;
    predictions are in their units. As in `DNAClassifier`, a part of the sequences is held out (equal ones, reverse
    complements and members of one group always together) to choose strands and head, to stop training, and to weight
    the ridge regressions against the network, for each target by itself: a network that does not help gets weight 0.

    Args:
        head, reverse_complement, block, pretrained: as `DNAClassifier`. Defaults: "auto", "auto", "auto", None.
        per_base: numbers for every base; y then holds a row per sequence. There is no linear part. Default: False.
        linear: also fit ridge regressions on gapped k-mers and on positions, and on a Gaussian kernel of them where
            that helps. Default: True.
        loss: "mse", "poisson" (counts or rates ≥ 0; the network learns log rates), or "huber" (outliers count less).
            Default: "mse".
        validation_fraction: share of the sequences that is held out; 0 for none: then there are no automatic choices,
            no linear part and no early stopping. Default: 0.1.
        ensemble_size: networks whose outputs are averaged, each with a held-out part of its own. Default: 1.
        max_epochs: passes over the training sequences, None for about 4,000 steps; 0 trains the linear part only.
        time_budget: seconds after which training stops with the best network so far. Default: None.
        sequence_column, target_column: names in a DataFrame; targets are taken from it where y is None. A list of names
            gives several targets. Defaults: "sequence", "target".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps". Default: "auto".
        random_state: seed, RandomState or None (a random seed). Default: 0.
        options: "log1p" (True learns log(1 + y), for targets ≥ 0 that span orders of magnitude; predictions are then
            medians rather than means), and those of `DNAClassifier`. Default: None.

    Attributes:
        target_names_: (K,) column names of y, the name of a Series, "target", or 0 … K − 1.
        model_: a `titans_ts.genomics.regression.fitted.FittedRegressor`.
        choices_: held-out loss (of standardised targets) of everything that was compared.
        training_: what the training of each network did.

    Example:
        >>> import numpy as np
        >>> letters = np.random.default_rng(0).choice(list("ACGT"), (200, 20))
        >>> sequences = ["".join(row) for row in letters]
        >>> strength = [text.count("GC") + 10 for text in sequences]
        >>> model = DNARegressor(max_epochs=0, options={"kmers": (3, 2)})  # 0: the linear part only
        >>> model.fit(sequences, strength).predict(["ATGCATGCATGCATTTTATA", "ATCGATCGATCGATTTTATA"]).round().tolist()
        [13.0, 10.0]
    """

    target_names_: list[Any]
    model_: FittedRegressor
    learned_from_: tuple[list[Codes], Values] | None

    def __init__(
        self,
        *,
        head: str = "auto",
        reverse_complement: str = "auto",
        block: str = settings.BLOCK,
        pretrained: DNALanguageModel | str | PathLike[str] | None = None,
        per_base: bool = False,
        linear: bool = True,
        loss: str = "mse",
        validation_fraction: float = 0.1,
        ensemble_size: int = 1,
        max_epochs: int | None = None,
        time_budget: float | None = None,
        sequence_column: str = "sequence",
        target_column: str | Sequence[str] = "target",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.head = head
        self.reverse_complement = reverse_complement
        self.block = block
        self.pretrained = pretrained
        self.per_base = per_base
        self.linear = linear
        self.loss = loss
        self.validation_fraction = validation_fraction
        self.ensemble_size = ensemble_size
        self.max_epochs = max_epochs
        self.time_budget = time_budget
        self.sequence_column = sequence_column
        self.target_column = target_column
        self.device = device
        self.random_state = random_state
        self.options = options

    def __sklearn_tags__(self) -> Any:
        """Sequences are one-dimensional arrays of strings."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = True
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, never those of the pretrained model (`deep` is ignored)."""
        return dict(super().get_params(deep=False))

    def __sklearn_clone__(self) -> DNARegressor:
        """An unfitted copy with the same pretrained model: a copy of that one would be unfitted."""
        pretrained, bare = self.pretrained, copy.copy(self)
        bare.pretrained = None
        twin: DNARegressor = BaseEstimator.__sklearn_clone__(bare)
        twin.pretrained = pretrained
        return twin

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> DNARegressor:
        """Fit to sequences with known targets. Ctrl-C ends training and keeps the best network so far.

        Args:
            X: n sequences.
            y: (n,) numbers or (n, K), or n rows with `per_base`; None takes `target_column` of the table X.
            sample_weight: (n,) weights of the sequences.
            groups: (n,) names such as chromosomes or families; sequences of one group are held out together.

        Returns:
            The regressor itself.

        Raises:
            ValueError: a parameter is out of range, a letter is not DNA, a sequence is empty, targets are missing,
                infinite, all the same or of another number, negative with loss "poisson" or log1p, or the loss became
                infinite or NaN.
            TypeError: X is no collection of sequences, or y holds no numbers.
        """
        params = self.get_params(deep=False)
        settings.check_params(params, RULES)
        options = split_options(self.options)
        codes = inputs.read_codes(X, self.sequence_column)
        values = self._targets(X, y, codes)
        scale = TargetScale.of(values, params["loss"], options.log1p)
        several = isinstance(values.numbers, list)
        learned: Any = [scale.learned(row) for row in values.numbers] if several else scale.learned(values.numbers)
        weight = inputs.sample_weights(sample_weight, len(codes))
        clusters = related(codes, inputs.check_groups(groups, len(codes)))
        problem = Problem(codes, learned, scale.loss, len(values.names), weight, None, clusters, values.strata())
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        parts = Fitting({**params, "options": options.shared}, seed, problem).run()
        self._take(FittedRegressor(values.names, scale, parts), (codes, values))
        return self

    def _take(self, fitted: FittedRegressor, learned_from: tuple[list[Codes], Values] | None) -> None:
        """Set what fitting or loading brought."""
        self.model_, self.learned_from_ = fitted, learned_from
        self.target_names_ = fitted.names
        self.choices_, self.training_ = fitted.parts.choices, fitted.parts.training

    def predict(self, X: Any) -> Any:
        """Targets in their units: (n,), (n, K) for several; per base a list of n arrays (T,) or (T, K).

        Raises:
            ValueError, TypeError: as in `fit`; or a sequence has another length than those of training, where the head
                or the linear part reads positions.
        """
        found = self._fitted().predictions(self._codes(X), resolve_device(self.device))
        if isinstance(found, list):
            return [self._shaped(row) for row in found]
        return self._shaped(found)

    def embed(self, X: Any) -> Any:
        """Input features of the head: (n, F), networks side by side; per base a list of n arrays (T, F)."""
        return self._fitted().parts.embeddings(self._codes(X), resolve_device(self.device))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R², the mean over several targets; per base over the bases of all sequences.

        Args:
            X: n sequences.
            y: their targets, as in `fit`.
            sample_weight: (n,) weights of the sequences.
        """
        codes = self._codes(X)
        found = self._fitted().predictions(codes, resolve_device(self.device))
        truth = self._known(X, y, codes)
        weight = None if sample_weight is None else inputs.sample_weights(sample_weight, len(codes))
        if isinstance(found, list):
            weight = None if weight is None else np.repeat(weight, [len(row) for row in found])
            found = np.concatenate(found)
        return float(r2_score(truth.flat, found, sample_weight=weight))

    def report(self, X: Any, y: Any = None, *, train: tuple[Any, Any] | None = None) -> RegressionReport:
        """Pearson, Spearman, R², MSE on test sequences with bootstrap intervals, beside linear part and baselines.

        Args:
            X: n test sequences.
            y: their targets, as in `fit`.
            train: sequences and targets of training; None takes those of `fit`. A loaded regressor has none: baselines
                are then left out.

        Raises:
            ValueError, TypeError: as in `fit`.
        """
        from titans_ts.genomics.report.values import make_value_report

        fitted, codes = self._fitted(), self._codes(X)
        test = self._known(X, y, codes)
        known = self.learned_from_
        if train is not None:
            learned = self._codes(train[0])
            known = (learned, self._known(train[0], train[1], learned))
        found = fitted.predictions(codes, resolve_device(self.device))
        linear = None if isinstance(found, list) else fitted.linear_predictions(codes)
        return make_value_report(found, linear, codes, test, known)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        The training sequences are not stored.

        Raises:
            FileExistsError: the path exists and is no model.
        """
        return save_regressor(path, self.get_params(deep=False), self._fitted())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DNARegressor:
        """The regressor that `save` wrote, without training sequences.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is no model, damaged, or written by another version.
        """
        params, fitted = load_regressor(path)
        with rebuilding(path):
            model = cls(**params)
        model._take(fitted, None)
        return model

    def _fitted(self) -> FittedRegressor:
        check_is_fitted(self, "model_")
        return self.model_

    def _codes(self, X: Any) -> list[Codes]:
        return inputs.read_codes(X, self.sequence_column)

    def _targets(self, X: Any, y: Any, codes: list[Codes]) -> Values:
        """Checked targets, from the table where y is None."""
        if y is None:
            wanted = [self.target_column] if isinstance(self.target_column, str) else list(self.target_column)
            there = list(X.columns) if isinstance(X, pd.DataFrame) else []
            if missing := [name for name in wanted if name not in there]:
                raise ValueError(
                    f"y is missing: pass the targets as y, or a table with the column {missing[0]!r} (target_column "
                    "names another)"
                )
            y = X[wanted[0]] if len(wanted) == 1 else X[wanted]
        values = read_targets(y, len(codes), self.per_base)
        if isinstance(values.numbers, list):
            check_bases([len(one) for one in codes], values.numbers)
        return values

    def _known(self, X: Any, y: Any, codes: list[Codes]) -> Values:
        """Targets of a test, as many as in training."""
        values = self._targets(X, y, codes)
        if len(values.names) != len(self.target_names_):
            raise ValueError(f"y must have {len(self.target_names_)} targets, as in training, got {len(values.names)}")
        return values._replace(names=self.target_names_)

    def _shaped(self, found: Any) -> Any:
        return found[:, 0] if len(self.target_names_) == 1 else found
