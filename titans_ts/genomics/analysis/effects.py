"""What changes of letters do to a model's answer: saturation mutagenesis, variants, integrated gradients.

Verbs over any fitted classifier, or any callable from a list of strings to scores; the model is left as found.

Shapes: T bases of a sequence, M of them mutated; W bases of a window. Positions count from 0 unless they are a VCF's.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import LETTERS, N, decode
from titans_ts.genomics.analysis.attribution import Attribution, integrated_gradients
from titans_ts.genomics.analysis.scorer import BASES_A_CALL, encode_one, scorer
from titans_ts.genomics.analysis.variants import variant_effects
from titans_ts.genomics.analysis.write import Place, write_bedgraph, write_frame

__all__ = ["Attribution", "MutationMap", "integrated_gradients", "mutate", "variant_effects"]

FloatArray = npt.NDArray[np.float64]


class MutationMap(NamedTuple):
    """What every substitution does to the answer.

    Attributes:
        sequence: all T letters, upper case.
        start: the first of the M mutated bases.
        effects: (M, 4) score with A, C, G, T at that base minus the score of the sequence; 0 for its own letter.
        score: of the sequence.
        output: what the score is.
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
        """(M,) how much a letter adds to the score: minus the mean effect of the other three; NaN where it is N."""
        known = np.array([letter != "N" for letter in self.reference])
        return np.where(known, 0 - self.effects.sum(1) / 3, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """A row a base: position in the sequence, reference, the effects A, C, G, T, importance."""
        places = np.arange(self.start, self.start + len(self.effects))
        frame = pd.DataFrame({"position": places, "reference": list(self.reference)})
        frame[list(LETTERS[:N])] = self.effects
        frame["importance"] = self.importance
        return frame

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write `to_frame`, as a whole or not at all."""
        write_frame(path, self.to_frame())

    def to_bedgraph(self, path: str | PathLike[str], chrom: str, start: int, strand: str = "+") -> None:
        """Write the importance of every base for genome browsers, as a whole or not at all; N is left out.

        Args:
            path: the file.
            chrom: name of the chromosome.
            start: where the sequence's leftmost base lies on it, from 0.
            strand: "-" where the sequence is the reverse complement of the chromosome.

        Raises:
            ValueError: an unknown strand, a negative start, or a name of no chromosome.
        """
        behind = len(self.sequence) - self.start - len(self.effects)
        place = Place(chrom, start, behind if strand == "-" else self.start, strand)
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
    """Saturation mutagenesis in silico: replace every base by each of the other three and ask the model again.

    Args:
        model: a fitted classifier (`DNAClassifier`, or anything with `classes_` and `decision_function` or
            `predict_proba`), of which the log odds of a class are taken; or a callable from a list of n strings to (n,)
            or (n, K) scores, taken as they are.
        sequence: T bases, as str, Seq or SeqRecord. Lower case and U are read as A, C, G, T; IUPAC codes as N.
        start, end: mutate the bases start … end − 1 only.
        output: the class or label; the column of a callable's scores. None takes the second of two classes.
        strands: "both" takes the mean of the score over the sequence and its reverse complement.

    Returns:
        The map of T, or end − start, bases. The model reads 3 sequences a base and one more.

    Raises:
        ValueError: a letter that is none of DNA's, an empty sequence, positions outside of it, an unknown output, a
            classifier that is not fitted or labels bases, or scores that are no finite numbers.
        TypeError: the model or the sequence is none.

    Example:
        >>> found = mutate(lambda texts: [text.count("GATA") for text in texts], "CCGATACC")
        >>> found.importance.tolist()
        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    ask = scorer(model, output, strands)
    codes = encode_one(sequence)
    first, last = 0 if start is None else start, len(codes) if end is None else end
    if not 0 <= first < last <= len(codes):
        raise ValueError(
            f"start and end must be 0 ≤ start < end ≤ {len(codes)} (the bases of the sequence, from 0), got start "
            f"{first}, end {last}"
        )
    places, letters = np.nonzero(codes[first:last, None] != np.arange(N))
    score = float(ask([codes])[0])
    effects = np.zeros((last - first, N))
    step = max(BASES_A_CALL // len(codes), 1)
    for piece in (slice(i, i + step) for i in range(0, len(places), step)):
        rows, columns = places[piece], letters[piece]
        changed = np.repeat(codes[None], len(rows), axis=0)
        changed[np.arange(len(rows)), rows + first] = columns
        effects[rows, columns] = ask(list(changed)) - score
    return MutationMap(decode(codes), first, effects, score, ask.name)
