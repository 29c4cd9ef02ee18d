"""DNALanguageModel: what a Titans network expects of DNA, learned from unlabelled sequences.

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
from titans_ts.genomics.analysis.predict import TOKENS
from titans_ts.genomics.inputs import read_codes
from titans_ts.genomics.language import params as settings
from titans_ts.genomics.language.model_folder import load_language_model, save_language_model
from titans_ts.genomics.language.scoring import Likelihoods, draw, embeddings, likelihoods
from titans_ts.genomics.language.windows import read_windows, split
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.support.device import resolve_device
from titans_ts.support.params import whole

if TYPE_CHECKING:
    from titans_ts.genomics.analysis.surprise import Surprise

FloatArray = npt.NDArray[np.float64]


class DNALanguageModel(BaseEstimator):  # type: ignore[misc]
    """Learns the letters of DNA from sequences alone; scores, embeds and writes sequences.

    X is a list, array or Series of str, Seq or SeqRecord, a DataFrame, or the path of a FASTA, FASTQ, GenBank or CSV
    file; sequences may be as long as chromosomes. U is read as T, IUPAC codes as N. N is read, but neither learned nor
    scored; lower case (repeats, in soft-masked genomes) changes no letter.

    Training reads windows that lie side by side. Some of them are held out to stop training; windows that are equal, or
    the reverse complements of each other, are held out together.

    Args:
        objective: "causal" expects each base from those before it, over any distance. "masked" hides each base in turn
            and expects it from all others in its window.
        context_length: bases of a window.
        block: "lmm", "mac", "mag", "mal" or "attention"; see `titans_ts.core.TitansConfig`.
        reverse_complement: read half of the training windows, drawn anew in each pass, from the other strand.
        soft_mask_weight: weight of lower-case bases in the loss of training, 0 leaves them out. Windows in which no
            base counts are left out.
        validation_fraction: share of the windows that is held out; 0 holds out nothing, and then stops nothing.
        max_epochs: passes over the windows, None for about 1,500 steps (4 to 50 passes); training stops earlier when
            the held-out loss stops falling. 0 leaves the network untrained.
        time_budget: seconds after which training stops with the best network so far.
        sequence_column: name in a DataFrame.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        random_state: seed, RandomState or None (a random seed).
        options: everything set less often, by name: "width", "layers", "heads", "window", "memory" ({"kind": "linear"})
            and the other fields of `TitansConfig`; "learning_rate", "batch_size" (windows), "patience", "progress"
            (False hides the bar), "threads" and the other fields of `TrainingConfig`.

    Attributes:
        network_: a `LanguageNetwork`.
        training_: what training did; losses in nats a base.
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

    def fit(self, X: Any, y: Any = None) -> DNALanguageModel:
        """Learn from sequences. Ctrl-C ends training and keeps the best network so far.

        Args:
            X: n sequences.
            y: not used; there for scikit-learn.

        Returns:
            The model itself.

        Raises:
            ValueError: a parameter is out of range, a letter is none of DNA's, a sequence is empty, no base counts in
                the loss, too few windows to hold some out, or the loss became infinite or NaN.
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
            network = LanguageNetwork(config)
        strands = np.random.default_rng(seed) if self.reverse_complement else None
        # `train` asks of a network and of examples no more than these have: losses, config, codes and batches.
        examples: Any = windows.take(learned, strands)
        found = train(
            cast(Any, network), examples, None if held_out is None else cast(Any, windows.take(held_out)), training
        )
        self.network_, self.training_ = network, found._asdict()
        return self

    def log_likelihood(self, X: Any, *, both_strands: bool = False) -> FloatArray:
        """Log-likelihood of each sequence in nats (n,): the sum over its A, C, G, T.

        A masked model's is a pseudo-log-likelihood: of each base given all others of its window.

        Args:
            X: n sequences of any length, read in pieces: the network's memory does not grow with them.
            both_strands: the mean of both strands' log-likelihoods.

        Raises:
            ValueError, TypeError: as in `fit`.
        """
        return self._likelihoods(X, both_strands).nats

    def score(self, X: Any, y: Any = None, *, both_strands: bool = False) -> float:
        """Mean log-likelihood a base in nats, over all A, C, G, T of all sequences; log ¼ = −1.386 is chance.

        Args:
            X: n sequences.
            y: not used; there for scikit-learn.
            both_strands: the mean of both strands' log-likelihoods.

        Raises:
            ValueError, TypeError: as in `fit`; or X holds nothing but N.
        """
        found = self._likelihoods(X, both_strands)
        if not found.bases.sum():
            raise ValueError("X must hold A, C, G or T, got nothing but N: pass other sequences")
        return float(found.nats.sum() / found.bases.sum())

    def bits_per_base(self, X: Any, *, both_strands: bool = False) -> float:
        """What a base costs in a code made by the model, in bits: −`score` / log 2; 2 is chance.

        Raises:
            ValueError, TypeError: as `score`.
        """
        return -self.score(X, both_strands=both_strands) / math.log(2.0)

    def embed(self, X: Any, *, chunk: int = TOKENS, pooling: str = "mean") -> FloatArray:
        """What the network makes of sequences of any length; its memory does not grow with them.

        Args:
            X: n sequences.
            chunk: bases that are read at a time, with the state carried from one piece to the next: it sets the
                memory, not the result.
            pooling: "mean" over all bases, or "last": the base that is read last.

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
        """What surprised the memories while they read one sequence from left to right: inner loss of every base.

        Args:
            sequence: a str, Seq or SeqRecord of any length.
            chunk: bases read at a time; what is returned does not depend on it, up to rounding.

        Returns:
            Losses and gradient norms (T, N, H) of T bases, N blocks and H heads, with `score` (T,) and `to_bedgraph`.

        Raises:
            ValueError: a letter is none of DNA's, the sequence is empty, chunk < 1, or the blocks have no memory.
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
        """Write n bases that go on from the prompt; causal models only.

        Args:
            n: how many new bases.
            prompt: DNA before them, not part of what is returned.
            temperature: below 1 draws likely bases more often, above 1 less often; 0 always takes the likeliest.
            random_state: seed or RandomState; None draws something new each time.

        Raises:
            ValueError: the model is masked, n < 1, temperature < 0, or a letter of the prompt is none of DNA's.
        """
        check_is_fitted(self, "network_")
        if self.network_.config.objective != "causal":
            raise ValueError("generate needs objective='causal': a masked model expects bases on both sides")
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
            FileExistsError: something that is no model lies at the path.
        """
        check_is_fitted(self, "network_")
        return save_language_model(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DNALanguageModel:
        """The model of a folder.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is foreign, damaged or from a newer version.
        """
        return load_language_model(cls, path)

    def _codes(self, X: Any) -> list[Codes]:
        check_is_fitted(self, "network_")
        return read_codes(X, self.sequence_column)

    def _likelihoods(self, X: Any, both_strands: bool) -> Likelihoods:
        codes = self._codes(X)
        device = resolve_device(self.device)
        return likelihoods(self.network_, codes, int(self.context_length), device, both_strands)
