"""DNALanguageModel: a Titans network that predicts bases, trained on unlabelled sequences.

Shapes: n sequences, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.dna.alphabet import Codes, decode, encode
from titans_ts.genomics.inputs import read_codes
from titans_ts.genomics.language import params as settings
from titans_ts.genomics.language.model_folder import FittedLanguageModel, load_language_model, save_language_model
from titans_ts.genomics.language.scoring import Likelihoods, draw, embeddings, likelihoods
from titans_ts.genomics.language.windows import read_windows, split
from titans_ts.genomics.model.inference import TOKENS
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.support.device import resolve_device
from titans_ts.support.guards.limits import built
from titans_ts.support.model_folder import rebuilding
from titans_ts.support.params import whole, with_options

if TYPE_CHECKING:
    from titans_ts.genomics.analysis.surprise import Surprise

FloatArray = npt.NDArray[np.float64]


class DNALanguageModel(BaseEstimator):  # type: ignore[misc]
    """Predicts the bases of DNA after training on sequences alone; scores, embeds and generates sequences.

    X is a list, array or Series of str, Seq or SeqRecord, a DataFrame, or the path of a FASTA, FASTQ, GenBank or CSV
    file; sequences may be as long as chromosomes. U is read as T, IUPAC codes as N. N is read, but neither learned nor
    scored; lower case (repeats, in soft-masked genomes) changes no letter.

    Training reads adjacent windows. Some of them are held out to stop training; equal windows and reverse complements
    are held out together.

    Args:
        objective: "causal" predicts each base from those before it, over any distance. "masked" predicts each base from
            all others in its window. Default: "causal".
        context_length: bases of a window. Default: 1024.
        block: "lmm", "mac", "mag", "mal" or "attention"; see `titans_ts.core.TitansConfig`. Default: "mag".
        reverse_complement: read the reverse complement of half of the training windows, drawn anew in each pass.
            Default: True.
        soft_mask_weight: weight of lower-case bases in the loss of training, 0 leaves them out. Windows in which no
            base counts are left out. Default: 1.0.
        validation_fraction: share of the windows that is held out; 0 for none and no early stopping. Default: 0.1.
        max_epochs: passes over the windows, None for about 1,500 steps (4 to 50 passes); training stops earlier when
            the held-out loss stops falling. 0 leaves the network untrained.
        time_budget: seconds after which training stops with the best network so far. Default: None.
        sequence_column: name in a DataFrame. Default: "sequence".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps". Default: "auto".
        random_state: seed, RandomState or None (a random seed). Default: 0.
        options: less common options (dict): "width", "layers", "heads", "window", "memory" ({"kind": "linear"}) and the
            other fields of `TitansConfig`; "learning_rate", "batch_size" (windows), "patience", "progress" (False hides
            the bar), "threads" and the other fields of `TrainingConfig`. Default: None.

    Attributes:
        network_: a `LanguageNetwork`.
        training_: what training did; losses in nats per base.

    Example:
        >>> small = {"width": 16, "heads": 2, "layers": 1, "progress": False}
        >>> model = DNALanguageModel(context_length=64, max_epochs=4, options=small).fit(["ACGGT" * 200])
        >>> model.bits_per_base(["ACGGT" * 20]) < 2  # 2 bits are chance
        True
        >>> model.embed(["ACGT", "ACGTACGT"]).shape
        (2, 16)
    """

    network_: LanguageNetwork
    training_: dict[str, Any]

    def __init__(
        self,
        *,
        objective: str = "causal",
        context_length: int = 1024,
        block: str = "mag",
        reverse_complement: bool = True,
        soft_mask_weight: float = 1.0,
        validation_fraction: float = 0.1,
        max_epochs: int | None = None,
        time_budget: float | None = None,
        sequence_column: str = "sequence",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.objective = objective
        self.context_length = context_length
        self.block = block
        self.reverse_complement = reverse_complement
        self.soft_mask_weight = soft_mask_weight
        self.validation_fraction = validation_fraction
        self.max_epochs = max_epochs
        self.time_budget = time_budget
        self.sequence_column = sequence_column
        self.device = device
        self.random_state = random_state
        self.options = options

    def __sklearn_tags__(self) -> Any:
        """Sequences are one-dimensional arrays of strings."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def set_params(self, **params: Any) -> DNALanguageModel:
        """Set parameters; ``options__width=32`` sets one of the options, as a grid search does."""
        super().set_params(**with_options(params, self.options))
        return self

    def fit(self, X: Any, y: Any = None) -> DNALanguageModel:
        """Fit to sequences. Ctrl-C ends training and keeps the best network so far.

        Args:
            X: n sequences.
            y: ignored.

        Returns:
            The model itself.

        Raises:
            ValueError: a parameter is out of range, a letter is not DNA, a sequence is empty, no base counts in the
                loss, too few windows to hold some out, or the loss became infinite or NaN.
            TypeError: X is no collection of sequences.
        """
        from titans_ts.genomics.training.fit import train

        params = self.get_params(deep=False)
        settings.check_params(params)
        windows = read_windows(X, self.sequence_column, int(self.context_length), float(self.soft_mask_weight))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        learned, held_out = split(windows, float(self.validation_fraction), seed)
        config, training = settings.configurations(params, len(learned), seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = built(lambda: LanguageNetwork(config), "the network")
        strands = np.random.default_rng(seed) if self.reverse_complement else None
        # `train` uses only the losses and config of a network and the codes and batches of examples.
        examples: Any = windows.take(learned, strands)
        found = train(
            cast(Any, network), examples, None if held_out is None else cast(Any, windows.take(held_out)), training
        )
        self.network_, self.training_ = network, found._asdict()
        return self

    def log_likelihood(self, X: Any, *, both_strands: bool = False) -> FloatArray:
        """Log-likelihood of each sequence in nats (n,): the sum over its A, C, G, T.

        For a masked model it is a pseudo-log-likelihood: of each base given all others of its window.

        Args:
            X: n sequences of any length, read in segments: memory does not grow with them.
            both_strands: the mean of both strands' log-likelihoods.

        Raises:
            ValueError, TypeError: as in `fit`.
        """
        return self._likelihoods(X, both_strands).nats

    def score(self, X: Any, y: Any = None, *, both_strands: bool = False) -> float:
        """Mean log-likelihood per base in nats, over all A, C, G, T of all sequences; log ¼ = −1.386 is chance.

        Args:
            X: n sequences.
            y: ignored.
            both_strands: the mean of both strands' log-likelihoods.

        Raises:
            ValueError, TypeError: as in `fit`; or X holds nothing but N.
        """
        found = self._likelihoods(X, both_strands)
        if not found.bases.sum():
            raise ValueError("X must hold A, C, G or T, got nothing but N: pass other sequences")
        return float(found.nats.sum() / found.bases.sum())

    def bits_per_base(self, X: Any, *, both_strands: bool = False) -> float:
        """Bits per base, −`score` / log 2; 2 is chance.

        Raises:
            ValueError, TypeError: as `score`.
        """
        return -self.score(X, both_strands=both_strands) / math.log(2.0)

    def embed(self, X: Any, *, chunk: int = TOKENS, pooling: str = "mean") -> FloatArray:
        """Embeddings of sequences of any length; memory does not grow with the length.

        Args:
            X: n sequences.
            chunk: bases per segment; the state is carried from one to the next: it sets the memory, not the result.
            pooling: "mean" over all bases, or "last": the last base read.

        Returns:
            (n, F): F = width of the network; twice that for a masked model, which also reads from the other end.

        Raises:
            ValueError, TypeError: as in `fit`; or chunk or pooling is out of range.
        """
        if not whole(1)(chunk):
            raise ValueError(f"chunk must be an integer ≥ 1 (bases), got {chunk!r}")
        if pooling not in settings.POOLINGS:
            raise ValueError(f"pooling must be one of {settings.POOLINGS}, got {pooling!r}")
        codes = self._codes(X)
        return embeddings(self.network_, codes, int(chunk), pooling, resolve_device(self.device))

    def surprise(self, sequence: Any, *, chunk: int = 4096) -> Surprise:
        """Surprise of the memories at every base of one sequence, read from left to right (inner loss, paper 3.1).

        Args:
            sequence: a str, Seq or SeqRecord of any length.
            chunk: bases per segment; the result does not depend on it, up to rounding.

        Returns:
            Losses and gradient norms (T, N, H) of T bases, N blocks and H heads, with `score` (T,) and `to_bedgraph`.

        Raises:
            ValueError: a letter is not DNA, the sequence is empty, chunk < 1, or the blocks have no memory.
            TypeError: it is no sequence.
        """
        from titans_ts.genomics.analysis.surprise import surprise

        if not whole(1)(chunk):
            raise ValueError(f"chunk must be an integer ≥ 1 (bases), got {chunk!r}")
        check_is_fitted(self, "network_")
        (codes,) = read_codes([sequence], self.sequence_column)
        return surprise(self.network_, codes, int(chunk), resolve_device(self.device))

    def generate(
        self,
        n: int,
        *,
        prompt: str = "",
        temperature: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> str:
        """Sample n bases after a prompt; causal models only.

        Args:
            n: number of new bases.
            prompt: DNA before them, not part of the result.
            temperature: below 1 samples likely bases more often, above 1 less often; 0 takes the most likely base.
            random_state: seed or RandomState; None for another sample in each call.

        Raises:
            ValueError: the model is masked, n < 1, temperature < 0, or a letter of the prompt is not DNA.
        """
        check_is_fitted(self, "network_")
        if self.network_.config.objective != "causal":
            raise ValueError("generate needs a model with objective='causal': a masked one needs bases on both sides")
        if not whole(1)(n):
            raise ValueError(f"n must be an integer ≥ 1 (bases), got {n!r}")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be a number ≥ 0, got {temperature!r}")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        start = encode(prompt) if prompt else np.empty(0, dtype=np.uint8)
        return decode(draw(self.network_, start, int(n), float(temperature), seed, resolve_device(self.device)))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        Raises:
            FileExistsError: the path exists and is no model.
        """
        check_is_fitted(self, "network_")
        return save_language_model(path, self.to_fitted())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DNALanguageModel:
        """The model that `save` wrote.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is no model, damaged, or written by another version.
        """
        fitted = load_language_model(path)
        with rebuilding(path):
            return cls.from_fitted(fitted)

    def to_fitted(self) -> FittedLanguageModel:
        """Parameters and fitted parts, to be saved."""
        return FittedLanguageModel(self.get_params(deep=False), self.network_, self.training_)

    @classmethod
    def from_fitted(cls, fitted: FittedLanguageModel) -> DNALanguageModel:
        """Inverse of `to_fitted`."""
        model = cls(**fitted.params)
        model.network_, model.training_ = fitted.network, fitted.training
        return model

    def _codes(self, X: Any) -> list[Codes]:
        check_is_fitted(self, "network_")
        return read_codes(X, self.sequence_column)

    def _likelihoods(self, X: Any, both_strands: bool) -> Likelihoods:
        codes = self._codes(X)
        device = resolve_device(self.device)
        return likelihoods(self.network_, codes, int(self.context_length), device, both_strands)
