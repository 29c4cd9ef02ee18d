"""In-silico saturation mutagenesis: the effect of every substitution on a model's score.

For any fitted classifier or regressor, or any callable from a list of strings to scores; the model is not changed.

Shapes: T bases of a sequence, M of them mutated. Positions count from 0.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import LETTERS, N, decode
from titans_ts.genomics.analysis.bedgraph import Place, write_bedgraph, write_frame
from titans_ts.genomics.analysis.scorer import BASES_PER_CALL, encode_one, scorer

FloatArray = npt.NDArray[np.float64]


class MutationMap(NamedTuple):
    """Substitution map: the effect of every substitution on the score of a sequence.

    Attributes:
        sequence: all T letters, upper case.
        start: the first of the M mutated bases.
        effects: (M, 4) score with A, C, G, T at that base minus the score of the sequence; 0 for its own letter.
        score: of the sequence.
        output: name of the score.

    Example:
        >>> found = mutate(lambda texts: [text.count("GATA") for text in texts], "CCGATACC", 2, 4)
        >>> found.reference, found.effects[0].tolist()  # A, C, T in place of G
        ('GA', [-1.0, -1.0, 0.0, -1.0])
    """

    sequence: str
    start: int
    effects: FloatArray
    score: float
    output: str

    @property
    def reference(self) -> str:
        """The M letters of the mutated bases."""
        return self.sequence[self.start : self.start + len(self.effects)]

    @property
    def importance(self) -> FloatArray:
        """(M,) minus the mean effect of the three substitutions of a base; NaN for N."""
        known = np.array([letter != "N" for letter in self.reference])
        return np.where(known, 0 - self.effects.sum(1) / 3, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """One row per base: position in the sequence, reference, the effects A, C, G, T, importance."""
        places = np.arange(self.start, self.start + len(self.effects))
        frame = pd.DataFrame({"position": places, "reference": list(self.reference)})
        frame[list(LETTERS[:N])] = self.effects
        frame["importance"] = self.importance
        return frame

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write `to_frame`, completely or not at all."""
        write_frame(path, self.to_frame())

    def to_bedgraph(self, path: str | PathLike[str], chrom: str, start: int, strand: str = "+") -> None:
        """Write the importance of every base but N for genome browsers, completely or not at all.

        Args:
            path: the file.
            chrom: name of the chromosome.
            start: position of the sequence's leftmost base, from 0.
            strand: "-" where the sequence is the reverse complement of the chromosome.

        Raises:
            ValueError: an unknown strand, a negative start, or an empty name or one with white space.
        """
        after = len(self.sequence) - self.start - len(self.effects)
        place = Place(chrom, start, after if strand == "-" else self.start, strand)
        write_bedgraph(path, [(self.importance, place)], f"importance for {self.output}")


def mutate(
    model: Any,
    sequence: Any,
    start: int | None = None,
    end: int | None = None,
    *,
    output: Any = None,
    strands: str = "one",
) -> MutationMap:
    """In-silico saturation mutagenesis: replace every base by each of the other three and score the sequence again.

    Args:
        model: a fitted classifier (`DNAClassifier`, or anything with `classes_` and `decision_function` or
            `predict_proba`): the score is the log odds of a class. A fitted regressor: the score is the predicted
            target, in its units. Or a callable from a list of n strings to (n,) or (n, K) scores.
        sequence: T bases, as str, Seq or SeqRecord. Lower case and U are read as A, C, G, T; IUPAC codes as N.
        start, end: mutate only the bases from start to end, exclusive.
        output: the class or label; the name of a target; the column of a callable's scores. None takes the second of
            two classes, the only target.
        strands: "both" takes the mean of the score over the sequence and its reverse complement.

    Returns:
        The substitution map of T, or end − start, bases. The model reads three sequences per base and one more.

    Raises:
        ValueError: a letter is not DNA, an empty sequence, positions outside of it, an unknown output, a classifier
            that is not fitted or labels bases, or scores that are not finite.
        TypeError: model or sequence are of another type.

    Example:
        >>> found = mutate(lambda texts: [text.count("GATA") for text in texts], "CCGATACC")
        >>> found.importance.tolist()
        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    read = scorer(model, output, strands)
    codes = encode_one(sequence)
    first, last = 0 if start is None else start, len(codes) if end is None else end
    if not 0 <= first < last <= len(codes):
        raise ValueError(
            f"start and end must be 0 ≤ start < end ≤ {len(codes)} (0-based, end exclusive), got start "
            f"{first}, end {last}"
        )
    places, letters = np.nonzero(codes[first:last, None] != np.arange(N))
    score = float(read([codes])[0])
    effects = np.zeros((last - first, N))
    step = max(BASES_PER_CALL // len(codes), 1)
    for batch in (slice(i, i + step) for i in range(0, len(places), step)):
        rows, columns = places[batch], letters[batch]
        changed = np.repeat(codes[None], len(rows), axis=0)
        changed[np.arange(len(rows)), rows + first] = columns
        effects[rows, columns] = read(list(changed)) - score
    return MutationMap(decode(codes), first, effects, score, read.name)
