"""DNAClassifier: from sequences to classes, as a scikit-learn estimator.

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
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics import inputs
from titans_ts.genomics.classifier.model_folder import load_classifier, save_classifier
from titans_ts.genomics.classifier.params import RULES
from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.language.language_model import DNALanguageModel
from titans_ts.genomics.supervised import params as settings
from titans_ts.genomics.supervised.fitting import Fitting
from titans_ts.genomics.supervised.problem import Problem
from titans_ts.genomics.training.holdout import related
from titans_ts.support.device import resolve_device
from titans_ts.support.model_folder import rebuilding
from titans_ts.support.params import with_options

if TYPE_CHECKING:
    from titans_ts.genomics.report.classes import ClassificationReport

FloatArray = npt.NDArray[np.float64]


class DNAClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies DNA with a Titans network (convolutions, then neural memory in both directions) and a linear part.

    X is a list, array or Series of str, Seq or SeqRecord, a DataFrame, or the path of a FASTA, FASTQ, GenBank or CSV
    file; sequences may differ in length. Lower case and U are read as A, C, G, T; IUPAC codes as N.

    y holds one class per sequence, of any type; or zeros and ones, a column per label, or lists of tags, for labels
    that do not exclude each other; or, with ``per_base``, a class for every base. A part of the sequences is held out
    (equal ones, reverse complements and members of one group always together) to choose strands and head, to stop
    training, to weight the linear part against the network and to calibrate.

    Args:
        head: "pooled" (global pooling: motifs anywhere), "segments" (pooling of eight equal parts, any length),
            "position" (all positions side by side, sequences of one length), or "auto": the best by held-out log loss.
            Default: "auto".
        reverse_complement: "augment" reads both strands: a sequence and its reverse complement get the same answer.
            "none" reads the given strand only, as promoters and splice sites need. "auto" decides on held-out sequences
            (per base, and without held-out sequences: "none"). Default: "auto".
        block: "lmm", "mac", "mag", "mal" or "attention", see `titans_ts.core.TitansConfig`; or "auto": "mag", and "lmm"
            with a linear memory where half of the sequences have 2,000 bases or more. Default: "auto".
        pretrained: a fitted `DNALanguageModel`, or the folder one was saved in: the networks start from its weights and
            read single bases, from both ends, with its block and sizes. `clone` keeps it fitted. It is not changed, and
            a saved classifier does not need it. Default: None.
        per_base: a class for every base; y then holds rows of labels, or strings with one letter per base. Default:
            False.
        linear: also fit logistic regressions on gapped k-mers and on positions, and on a Gaussian kernel of them where
            that helps, and blend them with the network by weights fitted on held-out sequences. Default: True.
        class_weight: None, "balanced" or a dict of class and weight.
        validation_fraction: share of the sequences that is held out; 0 for none: then there are no automatic choices,
            no linear part, no early stopping and no calibration. Default: 0.1.
        ensemble_size: networks whose logits are averaged, each with a held-out part of its own. Default: 1.
        max_epochs: passes over the training sequences, None for about 1,500 steps (4 to 50 passes); training stops
            earlier when the held-out loss stops falling. 0 trains the linear part only.
        time_budget: seconds for `fit`: two fifths of it at most choose the linear part (a wide k-mer map that would not
            fit is not tried), then training stops with the best network so far. A `DNAWarning` says why where `fit`
            took more than 1.2 times that. Default: None.
        sequence_column, label_column: names in a DataFrame; labels are taken from it where y is None. Defaults:
            "sequence", "label".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps". Default: "auto".
        random_state: seed, RandomState or None (a random seed). Default: 0.
        options: less common options (dict): "stem", "pool", "merge", "channels", "head_dropout" and the other fields of
            `SequenceConfig`; "width", "layers", "heads", "memory" ({"kind": "linear"}) and the other fields of
            `TitansConfig`; "learning_rate", "batch_size", "mutation_rate", "progress" (False hides the bar),
            "pretrained_rate" and the other fields of `TrainingConfig`; "kmers", (span, k), of the linear part. Default:
            None.

    Attributes:
        classes_: (K,) sorted classes; the labels' names with several labels.
        model_: a `titans_ts.genomics.fitted.FittedClassifier`: networks, linear part and blend weights.
        choices_: held-out log loss in nats of everything that was compared.
        training_: what the training of each network did.

    Example:
        >>> import numpy as np
        >>> letters = np.random.default_rng(0).choice(list("ACGT"), (80, 20))
        >>> sequences = ["".join(row) for row in letters]
        >>> labels = ["motif" if i % 2 else "none" for i in range(80)]
        >>> sequences[1::2] = [text[:7] + "TGACTCA" + text[14:] for text in sequences[1::2]]
        >>> model = DNAClassifier(max_epochs=0, options={"kmers": (5, 5)})  # 0: the linear part only
        >>> model.fit(sequences, labels).predict(["ACAGTTATGACTCATAGACG", "ACAGTTAGTGGCATATAGAC"]).tolist()
        ['motif', 'none']
    """

    classes_: npt.NDArray[Any]
    model_: FittedClassifier
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
        ensemble_size: int = 1,
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
        self.ensemble_size = ensemble_size
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
        """Parameters by name, never those of the pretrained model (`deep` is ignored)."""
        return dict(super().get_params(deep=False))

    def set_params(self, **params: Any) -> DNAClassifier:
        """Set parameters; ``options__width=32`` sets one of the options, as a grid search does."""
        super().set_params(**with_options(params, self.options))
        return self

    def __sklearn_clone__(self) -> DNAClassifier:
        """An unfitted copy with the same pretrained model: a copy of that one would be unfitted."""
        pretrained, bare = self.pretrained, copy.copy(self)
        bare.pretrained = None
        twin: DNAClassifier = BaseEstimator.__sklearn_clone__(bare)
        twin.pretrained = pretrained
        return twin

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> DNAClassifier:
        """Fit to labelled sequences. Ctrl-C ends training and keeps the best network so far.

        Args:
            X: n sequences.
            y: n labels, (n, K) zeros and ones, n lists of tags, or n rows with `per_base`; None takes `label_column` of
                the table X.
            sample_weight: (n,) weights of the sequences.
            groups: (n,) names such as chromosomes or families; sequences of one group are held out together.

        Returns:
            The classifier itself.

        Raises:
            ValueError: a parameter is out of range, a letter is not DNA, a sequence is empty, labels are missing or of
                one class, or the loss became infinite or NaN.
            TypeError: X is no collection of sequences.
        """
        params = self.get_params(deep=False)
        settings.check_params(params, RULES)
        codes = inputs.read_codes(X, self.sequence_column)
        labels = inputs.encode_labels(inputs.read_labels(X, y, self.label_column), len(codes), self.per_base)
        if self.per_base:
            inputs.check_bases(codes, labels.numbers)
        weight = inputs.sample_weights(sample_weight, len(codes))
        of_class = inputs.class_weights(self.class_weight, labels)
        if not self.per_base and labels.task == "classes":
            weight = weight * of_class[labels.numbers]
        clusters = related(codes, inputs.check_groups(groups, len(codes)))
        of_bases = of_class if self.per_base else None
        outputs = len(labels.classes)
        problem = Problem(codes, labels.numbers, labels.task, outputs, weight, of_bases, clusters, labels.strata)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._take(FittedClassifier(labels.classes, Fitting(params, seed, problem).run()), (codes, labels))
        return self

    def _take(self, fitted: FittedClassifier, learned_from: tuple[list[Codes], inputs.Labels] | None) -> None:
        """Set what fitting or loading brought."""
        self.model_, self.learned_from_ = fitted, learned_from
        self.classes_, self.choices_, self.training_ = fitted.classes, fitted.choices, fitted.training

    def decision_function(self, X: Any) -> Any:
        """Calibrated logits: (n,) log odds of the second of two classes, else (n, K); per base n such arrays."""
        return self._fitted().decisions(self._codes(X), resolve_device(self.device))

    def predict_proba(self, X: Any) -> Any:
        """Calibrated probabilities.

        Returns:
            (n, K), rows add up to 1; with several labels (n, K), each label by itself; per base a list of n arrays
            (T, K).

        Raises:
            ValueError, TypeError: as in `fit`; or a sequence has another length than those of training, where the head
                or the linear part reads positions.
        """
        return self._fitted().probabilities(self._codes(X), resolve_device(self.device))

    def predict(self, X: Any) -> Any:
        """The most probable class (n,); several labels: (n, K) zeros and ones; per base a list of n arrays (T,)."""
        found = self.predict_proba(X)
        if isinstance(found, list):
            return [self.classes_[row.argmax(-1)] for row in found]
        if self.model_.task == "labels":
            return (found > 0.5).astype(np.int64)
        return self.classes_[found.argmax(-1)]

    def embed(self, X: Any) -> Any:
        """Input features of the head: (n, F), networks side by side; per base a list of n arrays (T, F)."""
        return self._fitted().parts.embeddings(self._codes(X), resolve_device(self.device))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy: share of the sequences (per base: of the bases) with the right class, or with all labels right.

        Args:
            X: n sequences.
            y: their labels, as in `fit`.
            sample_weight: (n,) weights of the sequences.
        """
        fitted, codes = self._fitted(), self._codes(X)
        truth = self._known(inputs.read_labels(X, y, self.label_column), len(codes))
        found = fitted.probabilities(codes, resolve_device(self.device))
        weight = inputs.sample_weights(sample_weight, len(codes))
        if isinstance(found, list):
            right = [(row.argmax(-1) == true) for row, true in zip(found, truth, strict=True)]
            each = np.repeat(weight, [len(row) for row in right])
            return float(np.average(np.concatenate(right), weights=each))
        right = ((found > 0.5) == truth).all(1) if fitted.task == "labels" else found.argmax(-1) == truth
        return float(np.average(right, weights=weight))

    def report(self, X: Any, y: Any = None, *, train: tuple[Any, Any] | None = None) -> ClassificationReport:
        """All metrics on test sequences with bootstrap intervals, beside the linear part alone and trivial baselines.

        A second table leaves out the test sequences that share bases with training. With ``per_base`` the metrics are
        over bases; the bootstrap still draws whole sequences.

        Args:
            X: n test sequences.
            y: their labels, as in `fit`.
            train: sequences and labels of training; None takes those of `fit`. A loaded classifier has none: baselines
                and the clean part are then left out.

        Raises:
            ValueError: a label that training did not have.
        """
        from titans_ts.genomics.report.bases import make_base_report
        from titans_ts.genomics.report.classes import make_report

        fitted, codes = self._fitted(), self._codes(X)
        truth = self._known(inputs.read_labels(X, y, self.label_column), len(codes))
        if self.per_base:
            inputs.check_bases(codes, truth)
        known = self.learned_from_
        if train is not None:
            learned = inputs.read_codes(train[0], self.sequence_column)
            labels = inputs.encode_labels(train[1], len(learned), self.per_base)
            known = (learned, labels._replace(numbers=self._known(train[1], len(learned))))
        test = inputs.Labels(self.classes_, truth, fitted.task)
        found = fitted.probabilities(codes, resolve_device(self.device))
        if isinstance(found, list):
            return make_base_report(found, codes, test, known)
        return make_report(found, fitted.linear_probabilities(codes), codes, test, known)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        The training sequences are not stored.

        Raises:
            FileExistsError: the path exists and is no model.
        """
        return save_classifier(path, self.get_params(deep=False), self._fitted())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DNAClassifier:
        """The classifier that `save` wrote, without training sequences.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is no model, damaged, or written by another version.
        """
        params, fitted = load_classifier(path)
        with rebuilding(path):
            model = cls(**params)
        model._take(fitted, None)
        return model

    def _fitted(self) -> FittedClassifier:
        check_is_fitted(self, "model_")
        return self.model_

    def _codes(self, X: Any) -> list[Codes]:
        return inputs.read_codes(X, self.sequence_column)

    def _known(self, y: Any, count: int) -> Any:
        """Numbers of labels in the order of training."""
        return inputs.known_labels(y, count, self.classes_, self.model_.task, self.per_base)
