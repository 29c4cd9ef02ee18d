"""Models of model folders that answer for sequences, for programs that load them once.

They are the scikit-learn estimators of the same folders without scikit-learn, whose import alone takes longer than to
label a sequence: they have no parameters and cannot be fitted.

Shapes: n sequences, T bases of one, K classes or targets, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.analysis.surprise import Surprise, surprise
from titans_ts.genomics.classifier.model_folder import load_classifier
from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.inputs import read_codes
from titans_ts.genomics.language.model_folder import FittedLanguageModel, load_language_model
from titans_ts.genomics.language.scoring import embeddings, likelihoods
from titans_ts.genomics.model.inference import TOKENS
from titans_ts.genomics.regression.fitted import FittedRegressor
from titans_ts.genomics.regression.model_folder import load_regressor
from titans_ts.support.device import resolve_device

FloatArray = npt.NDArray[np.float64]
# Bases of a segment in which surprise is read.
SEGMENT = 4096


def _codes(sequences: Any) -> list[Codes]:
    return read_codes(sequences, "sequence")


@dataclass(frozen=True)
class PlainClassifier:
    """The answers of `DNAClassifier`.

    Attributes:
        model_: what was learned.
        device: where it runs.
    """

    model_: FittedClassifier
    device: str

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """(K,) sorted classes."""
        return self.model_.classes

    @property
    def per_base(self) -> bool:
        """Whether bases have the answers."""
        return self.model_.parts.per_base

    def decision_function(self, X: Any) -> Any:
        """See `DNAClassifier.decision_function`."""
        return self.model_.decisions(_codes(X), resolve_device(self.device))

    def predict_proba(self, X: Any) -> Any:
        """See `DNAClassifier.predict_proba`."""
        return self.model_.probabilities(_codes(X), resolve_device(self.device))

    def embed(self, X: Any) -> Any:
        """See `DNAClassifier.embed`."""
        return self.model_.parts.embeddings(_codes(X), resolve_device(self.device))


@dataclass(frozen=True)
class PlainRegressor:
    """The answers of `DNARegressor`.

    Attributes:
        model_: what was learned.
        device: where it runs.
    """

    model_: FittedRegressor
    device: str

    @property
    def target_names_(self) -> list[Any]:
        """(K,) of the targets."""
        return self.model_.names

    @property
    def per_base(self) -> bool:
        """Whether bases have the answers."""
        return self.model_.parts.per_base

    def predict(self, X: Any) -> Any:
        """Targets (n, K), of one target too; a list of n arrays (T, K) where bases have them."""
        return self.model_.predictions(_codes(X), resolve_device(self.device))

    def embed(self, X: Any) -> Any:
        """See `DNARegressor.embed`."""
        return self.model_.parts.embeddings(_codes(X), resolve_device(self.device))


@dataclass(frozen=True)
class PlainLanguageModel:
    """The answers of `DNALanguageModel`.

    Attributes:
        fitted: what was learned.
        device: where it runs.
    """

    fitted: FittedLanguageModel
    device: str

    @property
    def context_length(self) -> int:
        """Bases of a window."""
        return int(self.fitted.params["context_length"])

    def log_likelihood(self, X: Any, *, both_strands: bool = False) -> FloatArray:
        """See `DNALanguageModel.log_likelihood`."""
        device = resolve_device(self.device)
        return likelihoods(self.fitted.network, _codes(X), self.context_length, device, both_strands).nats

    def embed(self, X: Any) -> FloatArray:
        """See `DNALanguageModel.embed`; the mean over all bases."""
        return embeddings(self.fitted.network, _codes(X), TOKENS, "mean", resolve_device(self.device))

    def surprise(self, sequence: Any) -> Surprise:
        """See `DNALanguageModel.surprise`."""
        (codes,) = _codes([sequence])
        return surprise(self.fitted.network, codes, SEGMENT, resolve_device(self.device))


PlainModel = PlainClassifier | PlainRegressor | PlainLanguageModel


def load_plain(path: str | PathLike[str], kind: str, device: str | None = None) -> PlainModel:
    """The model of a folder.

    Args:
        path: the folder.
        kind: what it holds, see `titans_ts.support.model_folder.kind_of`.
        device: where it runs; None for its own setting.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is damaged, or from another version.
    """
    if kind == "dna classifier":
        params, classifier = load_classifier(path)
        return PlainClassifier(classifier, device or params["device"])
    if kind == "dna regressor":
        params, regressor = load_regressor(path)
        return PlainRegressor(regressor, device or params["device"])
    language = load_language_model(path)
    return PlainLanguageModel(language, device or language.params["device"])
