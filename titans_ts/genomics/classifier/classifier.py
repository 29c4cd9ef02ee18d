"""DNAClassifier: from sequences to classes in the manner of scikit-learn.

Shapes: n sequences, T bases of one, K classes or labels, F features.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics import inputs
from titans_ts.genomics import params as settings
from titans_ts.genomics.analysis.predict import base_embeddings, network_embeddings
from titans_ts.genomics.classifier.fitting import FittedModel, Fitting, Problem
from titans_ts.genomics.classifier.model_folder import load_classifier, save_classifier
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.training.holdout import related
from titans_ts.support.device import resolve_device

if TYPE_CHECKING:
    from titans_ts.genomics.language.language_model import DNALanguageModel
    from titans_ts.genomics.report.classes import ClassificationReport

FloatArray = npt.NDArray[np.float64]


class DNAClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies DNA with a Titans network: convolutions, neural memory read in both directions, logistic maps beside.

    X is a list, array or Series of str, Seq or SeqRecord, a DataFrame, or the path of a FASTA, FASTQ, GenBank or CSV
    file; sequences may differ in length. Lower case and U are read as A, C, G, T; IUPAC codes as N.

    y holds one class a sequence, of any type; or zeros and ones with a column a label, several of which may hold; or,
    with ``per_base``, a class for every base. Part of the sequences is held out (equal ones, reverse complements and
    members of one group always together) to choose strands and head, to stop training, to weigh the logistic maps
    against the network and to calibrate.

    Args:
        head: "pooled" (motifs anywhere), "segments" (eighths of sequences of any length), "position" (every place by
            itself, sequences of one length), or "auto": the better of those that can be had, on held-out sequences.
        reverse_complement: "augment" reads both strands: a sequence and its reverse complement get the same answer.
            "none" reads the strand that is given, as promoters and splice sites need. "auto" decides on held-out
            sequences (per base and without held-out sequences: "none").
        block: "lmm", "mac", "mag", "mal" or "attention"; see `titans_ts.core.TitansConfig`.
        pretrained: a fitted `DNALanguageModel`, or the folder one was saved in, whose weights the networks start from.
            They then read single bases, from both ends, with the model's backbone; block and sizes are the model's. A
            copy (`clone`) keeps it fitted. It is left as it is, and a saved classifier does not need it.
        per_base: a class for every base; y then holds rows of labels or strings with a letter a base.
        linear: also fit logistic regressions on k-mers with gaps and on positions, and blend them in as far as they
            help on held-out sequences.
        class_weight: None, "balanced" or a dict of class and weight.
        validation_fraction: share of the sequences that is held out; 0 holds out nothing, and then chooses, calibrates
            and stops nothing.
        members: networks to be averaged, each with another held-out part.
        max_epochs: passes over the training sequences, None for about 1,500 steps (4 to 50 passes); training stops
            earlier when held-out sequences stop improving. 0 leaves all to the logistic maps.
        time_budget: seconds after which training stops with the best network so far.
        sequence_column, label_column: names in a DataFrame; labels are taken from it where y is None.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        random_state: seed, RandomState or None (a random seed).
        options: everything set less often, by name: "stem", "pool", "merge", "channels", "head_dropout" and the other
            fields of `SequenceConfig`; "width", "layers", "heads", "memory" ({"kind": "linear"}) and the other fields
            of `TitansConfig`; "learning_rate", "batch_size", "mutation_rate", "progress" (False hides the bar),
            "pretrained_rate" and the other fields of `TrainingConfig`; "words" of `MapsConfig`.

    Attributes:
        classes_: (K,) sorted classes; the labels' names with several labels.
        model_: a `FittedModel`: networks, logistic maps and their weights.
        choices_: held-out log loss in nats of everything that was compared.
        training_: what the training of each network did.
    """

    classes_: npt.NDArray[Any]
    model_: FittedModel
    learned_from_: tuple[list[Codes], inputs.Labels] | None

    def __init__(
        self,
        *,
        head: str = "auto",
        reverse_complement: str = "auto",
        block: str = settings.BLOCK,
        pretrained: DNALanguageModel | str | PathLike[str] | None = None,
        per_base: bool = False,
        linear: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
        validation_fraction: float = 0.1,
        members: int = 1,
        max_epochs: int | None = None,
        time_budget: float | None = None,
        sequence_column: str = "sequence",
        label_column: str = "label",
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
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.members = members
        self.max_epochs = max_epochs
        self.time_budget = time_budget
        self.sequence_column = sequence_column
        self.label_column = label_column
        self.device = device
        self.random_state = random_state
        self.options = options

    def __sklearn_tags__(self) -> Any:
        """Sequences are one-dimensional arrays of strings."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; those of a pretrained model are its own, whatever `deep` says."""
        return dict(super().get_params(deep=False))

    def __sklearn_clone__(self) -> DNAClassifier:
        """An unfitted copy with the same pretrained model: copying that as well would make it an unfitted one."""
        pretrained, bare = self.pretrained, copy.copy(self)
        bare.pretrained = None
        twin: DNAClassifier = BaseEstimator.__sklearn_clone__(bare)
        twin.pretrained = pretrained
        return twin

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> DNAClassifier:
        """Learn from labelled sequences. Ctrl-C ends training and keeps the best network so far.

        Args:
            X: n sequences.
            y: n labels, (n, K) zeros and ones, or n rows with `per_base`; None takes `label_column` of the table X.
            sample_weight: (n,) weights of the sequences.
            groups: (n,) names, such as chromosomes or families, whose members are held out together.

        Returns:
            The classifier itself.

        Raises:
            ValueError: a parameter is out of range, a letter is none of DNA's, a sequence is empty, labels are missing
                or of one class, or the loss became infinite or NaN.
            TypeError: X is no collection of sequences.
        """
        params = self.get_params(deep=False)
        settings.check_params(params)
        codes = inputs.read_codes(X, self.sequence_column)
        labels = inputs.encode_labels(inputs.read_labels(X, y, self.label_column), len(codes), self.per_base)
        if self.per_base:
            inputs.check_bases(codes, labels.numbers)
        weight = inputs.sample_weights(sample_weight, len(codes))
        of_class = inputs.class_weights(self.class_weight, labels)
        if not self.per_base and labels.task == "classes":
            weight = weight * of_class[labels.numbers]
        clusters = related(codes, inputs.check_groups(groups, len(codes)))
        problem = Problem(
            codes, labels.numbers, weight, of_class, len(labels.classes), labels.task, clusters, labels.strata
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.model_ = Fitting(params, seed, problem).run()
        self.classes_ = labels.classes
        self.choices_, self.training_ = self.model_.choices, self.model_.training
        self.learned_from_ = (codes, labels)
        return self

    def decision_function(self, X: Any) -> Any:
        """Calibrated logits: (n,) log odds of the second of two classes, else (n, K); per base n rows of these."""
        logits = self._logits(self._codes(X))
        if isinstance(logits, list):
            return [self._one_column(row) for row in logits]
        return self._one_column(logits)

    def predict_proba(self, X: Any) -> Any:
        """Calibrated probabilities.

        Returns:
            (n, K) that add up to 1; with several labels (n, K), each by itself; per base a list of n arrays (T, K).

        Raises:
            ValueError, TypeError: as in `fit`; or a sequence is not as long as those that a positional head learned.
        """
        return self._probabilities(self._codes(X))

    def predict(self, X: Any) -> Any:
        """The most probable class (n,); several labels: (n, K) zeros and ones; per base a list of n arrays (T,)."""
        found = self.predict_proba(X)
        if isinstance(found, list):
            return [self.classes_[row.argmax(-1)] for row in found]
        if self._task == "labels":
            return (found > 0.5).astype(np.int64)
        return self.classes_[found.argmax(-1)]

    def embed(self, X: Any) -> Any:
        """What the head of the network reads: (n, F), members side by side; per base a list of n arrays (T, F)."""
        codes = self._codes(X)
        device = resolve_device(self.device)
        if self.per_base:
            each = [base_embeddings(network, codes, device) for network in self.model_.networks]
            return [np.concatenate(rows, axis=-1) for rows in zip(*each, strict=True)]
        return np.concatenate([network_embeddings(network, codes, device) for network in self.model_.networks], axis=-1)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy: share of the sequences (per base: of the bases) whose class is right; all labels, with several.

        Args:
            X: n sequences.
            y: their labels, as in `fit`.
            sample_weight: (n,) weights of the sequences.
        """
        codes = self._codes(X)
        truth = self._known(inputs.read_labels(X, y, self.label_column), len(codes))
        found = self._probabilities(codes)
        weight = inputs.sample_weights(sample_weight, len(codes))
        if isinstance(found, list):
            right = [(row.argmax(-1) == true) for row, true in zip(found, truth, strict=True)]
            each = np.repeat(weight, [len(row) for row in right])
            return float(np.average(np.concatenate(right), weights=each))
        right = ((found > 0.5) == truth).all(1) if self._task == "labels" else found.argmax(-1) == truth
        return float(np.average(right, weights=weight))

    def report(self, X: Any, y: Any = None, *, train: tuple[Any, Any] | None = None) -> ClassificationReport:
        """All metrics on test sequences, with bootstrap intervals, beside trivial baselines and without leaked ones.

        With ``per_base`` they are over bases; the bootstrap draws whole sequences then too.

        Args:
            X: n test sequences.
            y: their labels, as in `fit`.
            train: sequences and labels the classifier learned from; those of `fit` where None. A loaded classifier has
                none, and then baselines and clean part are left out.

        Raises:
            ValueError: a label was not among those of training.
        """
        from titans_ts.genomics.report.bases import make_base_report
        from titans_ts.genomics.report.classes import make_report

        check_is_fitted(self, "model_")
        codes = self._codes(X)
        truth = self._known(inputs.read_labels(X, y, self.label_column), len(codes))
        if self.per_base:
            inputs.check_bases(codes, truth)
        known = self.learned_from_
        if train is not None:
            learned = inputs.read_codes(train[0], self.sequence_column)
            labels = inputs.encode_labels(train[1], len(learned), self.per_base)
            known = (learned, labels._replace(numbers=self._known(train[1], len(learned))))
        found = self._probabilities(codes)
        if isinstance(found, list):
            return make_base_report(found, truth, self.classes_, codes, known)
        return make_report(found, truth, self.classes_, self._task, codes, known)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        The training sequences are not stored.

        Raises:
            FileExistsError: something that is no model lies at the path.
        """
        check_is_fitted(self, "model_")
        return save_classifier(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DNAClassifier:
        """The classifier of a folder.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is foreign, damaged or from a newer version.
        """
        return load_classifier(cls, path)

    @property
    def _task(self) -> str:
        return self.model_.config.task

    def _codes(self, X: Any) -> list[Codes]:
        check_is_fitted(self, "model_")
        return inputs.read_codes(X, self.sequence_column)

    def _known(self, y: Any, count: int) -> Any:
        """Numbers of labels in the order of training."""
        return inputs.known_labels(y, count, self.classes_, self._task, self.per_base)

    def _logits(self, codes: list[Codes]) -> Any:
        device: torch.device = resolve_device(self.device)
        return self.model_.base_logits(codes, device) if self.per_base else self.model_.logits(codes, device)

    def _probabilities(self, codes: list[Codes]) -> Any:
        logits = self._logits(codes)
        if isinstance(logits, list):
            return [probabilities(row, "classes") for row in logits]
        return probabilities(logits, self.model_.config.task)

    def _one_column(self, logits: FloatArray) -> FloatArray:
        if len(self.classes_) == 2 and self._task == "classes":
            return logits[..., 1] - logits[..., 0]
        return logits
