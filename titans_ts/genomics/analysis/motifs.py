"""Motifs out of attributions: stretches that stand out (seqlets), known motifs they match, what a motif does alone.

Seqlets are found by tangermeme (recursive seqlets), matches by memelite (TOMTOM, Gupta et al. 2007), MEME files
are read by memelite, JASPAR's by Biopython. Controls are shuffles that keep the counts of neighbouring pairs.

Shapes: n sequences, T bases of each, M motifs, W bases of a motif, R repeats.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, N, decode
from titans_ts.core.config import require
from titans_ts.genomics.analysis.attribution import Attribution, shuffle_pairs
from titans_ts.genomics.analysis.mutagenesis import MutationMap
from titans_ts.genomics.analysis.scorer import encode_one, scorer

FloatArray = npt.NDArray[np.float64]
COLUMNS = ("sequence", "start", "end", "letters", "attribution", "p_value")
SHORTEST, LONGEST = 4, 25
# Of the normal distribution, for intervals of 95 %.
TWO_SIDED = 1.96


def shuffled(sequences: Sequence[Any], repeats: int = 1, random_state: int = 0) -> list[str]:
    """Shuffles (R · n) that keep the counts of neighbouring pairs and the ends (Altschul and Erickson 1985).

    Args:
        sequences: n sequences, as str, Seq or SeqRecord.
        repeats: R of each; all of the first round come first.
        random_state: seed.

    Example:
        >>> from titans_ts.genomics import shuffled
        >>> shuffled(["ACACGTGT"])[0].count("AC")
        2
    """
    require(repeats >= 1, "repeats", "≥ 1", repeats)
    random = np.random.default_rng(random_state)
    codes = [encode_one(one) for one in sequences]
    return [decode(shuffle_pairs(one, random)) for _ in range(repeats) for one in codes]


def find_seqlets(
    explained: Sequence[Attribution | MutationMap],
    controls: Sequence[Attribution | MutationMap] | None = None,
    *,
    false_discovery_rate: float = 0.1,
    threshold: float = 0.01,
    flanks: int = 2,
) -> pd.DataFrame:
    """Stretches of 4 to 25 bases whose attributions are together larger, or smaller, than chance explains.

    Args:
        explained: attributions or substitution maps of n sequences of one length T.
        controls: those of shuffles (`shuffled`), by the same model and settings: seqlets are then as strict as keeps
            the estimated share of false ones below `false_discovery_rate`, and `threshold` is not used.
        false_discovery_rate: of the seqlets, in (0, 1).
        threshold: largest p-value where there are no controls. It ranks stretches, it is no error rate.
        flanks: bases added on both sides, as far as the sequence reaches.

    Returns:
        One row a seqlet, by p-value: number of the sequence, start and end (exclusive) from 0, letters, sum of the
        attributions (negative where the stretch speaks against the output), p-value. No rows where nothing stands out.

    Raises:
        ValueError: nothing is explained, lengths differ or are below 4, or a share is out of range.
        ImportError: the extra "motifs" is missing.

    Example:
        >>> from titans_ts.genomics import find_seqlets, mutate
        >>> texts = ["CCGATACCTTGACCTG", "TTGCAGATACCAGTCA"]
        >>> maps = [mutate(lambda rows: [row.count("GATA") for row in rows], text) for text in texts]
        >>> sorted(find_seqlets(maps, flanks=0)["letters"])  # doctest: +SKIP
        ['GATA', 'GATA']
    """
    require(0 < false_discovery_rate < 1, "false_discovery_rate", "in (0, 1)", false_discovery_rate)
    require(0 < threshold < 1, "threshold", "in (0, 1)", threshold)
    require(flanks >= 0, "flanks", "≥ 0", flanks)
    values = _values(explained, "explained")
    chance = None if controls is None else _values(controls, "controls")
    seqlet = _needed("tangermeme.seqlet", "find_seqlets needs tangermeme")
    parts = []
    for sign in (1, -1):
        options: dict[str, Any] = {"threshold": threshold, "min_seqlet_len": SHORTEST, "max_seqlet_len": LONGEST}
        if chance is not None:
            options |= {"X_control": sign * chance, "target_fdr": false_discovery_rate}
        with warnings.catch_warnings():
            # That no threshold is strict enough is an answer: no seqlets.
            warnings.simplefilter("ignore")
            part = seqlet.recursive_seqlets(sign * values, **options)
        parts.append(part.assign(attribution=sign * part["attribution"]))
    found = _without_overlaps(*parts).sort_values("p-value", kind="stable")
    rows = zip(*(found[name] for name in ("example_idx", "start", "end", "attribution", "p-value")), strict=True)
    listed = []
    for number, start, end, attribution, p_value in rows:
        first, last = max(0, int(start) - flanks), min(values.shape[1], int(end) + flanks)
        listed.append((int(number), first, last, _letters(explained[number])[first:last], attribution, p_value))
    return pd.DataFrame(listed, columns=list(COLUMNS))


def match_motifs(
    seqlets: pd.DataFrame | Sequence[str],
    motifs: str | PathLike[str] | Mapping[str, npt.ArrayLike],
    *,
    most: int = 1,
) -> pd.DataFrame:
    """The known motifs that stretches of DNA look like, on either strand.

    Args:
        seqlets: table of `find_seqlets`, or stretches of at least 4 bases.
        motifs: file of position frequency matrices in MEME or JASPAR format; or (W, 4) probabilities of A, C, G, T at
            each base by name.
        most: matches of a stretch.

    Returns:
        The table (or a column ``letters``) with columns ``motif`` and ``motif_p_value`` (TOMTOM's, of one comparison),
        a row for each match, the best first.

    Raises:
        ValueError: there are no motifs, a matrix is no (W, 4) of shares, or the file is in another format.
        OSError: the file cannot be read.
        ImportError: the extra "motifs" is missing.

    Example:
        >>> from titans_ts.genomics import match_motifs
        >>> gata = {"GATA": np.eye(4)[[2, 0, 3, 0]]}
        >>> match_motifs(["GATA"], gata)["motif"].tolist()  # doctest: +SKIP
        ['GATA']
    """
    require(most >= 1, "most", "≥ 1", most)
    table = seqlets if isinstance(seqlets, pd.DataFrame) else pd.DataFrame({"letters": list(seqlets)})
    if "letters" not in table:
        raise ValueError(f"seqlets must have a column 'letters', as find_seqlets gives it, got {list(table.columns)}")
    known = _matrices(motifs)
    queries = [_onehot(encode_one(text)) for text in table["letters"]]
    short = next((text for text in table["letters"] if len(text) < SHORTEST), None)
    if short is not None:
        raise ValueError(f"seqlets must have {SHORTEST} bases at least, got {short!r}")
    names, most = np.array(list(known)), min(most, len(known))
    if not queries:
        return table.assign(motif=pd.Series(dtype=str), motif_p_value=pd.Series(dtype=float))
    tomtom = _needed("memelite", "match_motifs needs memelite").tomtom
    with warnings.catch_warnings():
        # p-values of few motifs are rough, which the page on DNA says.
        warnings.simplefilter("ignore")
        p_values = np.asarray(tomtom(queries, [matrix.T for matrix in known.values()])[0])
    order = np.argsort(p_values, axis=1, kind="stable")[:, :most]
    rows = table.loc[table.index.repeat(most)].reset_index(drop=True)
    return rows.assign(motif=names[order].ravel(), motif_p_value=np.take_along_axis(p_values, order, 1).ravel())


class MotifEffect(NamedTuple):
    """What a motif does to a score, put into sequences that have nothing to do with it.

    Attributes:
        motif: its letters.
        position: of its first base in the sequences.
        mean: difference of the score with and without it, over the n sequences.
        low, high: 95 % interval of the mean.
        differences: (n,).
        output: name of the score.

    Example:
        >>> from titans_ts.genomics import marginalize
        >>> effect = marginalize(lambda texts: [text.count("GATA") for text in texts], "GATA", ["CCCCCCCC", "TTGATATT"])
        >>> effect.differences.tolist(), effect.mean
        ([1.0, 0.0], 0.5)
    """

    motif: str
    position: int
    mean: float
    low: float
    high: float
    differences: FloatArray
    output: str


def marginalize(
    model: Any,
    motif: str,
    sequences: Sequence[Any],
    *,
    position: int | None = None,
    output: Any = None,
    strands: str = "one",
) -> MotifEffect:
    """The mean effect of writing a motif over the bases of other sequences: what it does apart from its surroundings.

    Args:
        model, output, strands: as for `titans_ts.genomics.mutate`.
        motif: W letters.
        sequences: n backgrounds, such as `shuffled` ones of the data.
        position: of its first base, from 0; the middle by default.

    Raises:
        ValueError: no sequences, one is too short for the motif at this place, or see `mutate`.

    Example:
        >>> from titans_ts.genomics import marginalize
        >>> found = marginalize(lambda texts: [text.count("GATA") for text in texts], "GATA", ["CCCCCCCC", "TTTTTTTT"])
        >>> found.mean, found.position
        (1.0, 2)
    """
    read, letters = scorer(model, output, strands), encode_one(motif)
    backgrounds = [encode_one(one) for one in sequences]
    if not backgrounds:
        raise ValueError("sequences must hold at least one background, got none: shuffled(sequences) makes some")
    shortest = min(map(len, backgrounds))
    first = (shortest - len(letters)) // 2 if position is None else position
    if first < 0 or first + len(letters) > shortest:
        raise ValueError(
            f"a motif of {len(letters)} bases at {max(first, 0)} does not fit into a sequence of {shortest}: "
            "give longer sequences or another position"
        )
    written = [np.concatenate([one[:first], letters, one[first + len(letters) :]]) for one in backgrounds]
    differences = read(written) - read(backgrounds)
    error = differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else float("inf")
    mean, half = float(differences.mean()), float(TWO_SIDED * error)
    return MotifEffect(decode(letters), first, mean, mean - half, mean + half, differences, read.name)


def _needed(module: str, why: str) -> Any:
    """A module of the extra.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{why} ({error}): pip install 'titans-ts[motifs]'") from error


def _values(explained: Sequence[Attribution | MutationMap], name: str) -> FloatArray:
    """(n, T), 0 for bases that are not known."""
    sizes = sorted({len(one.importance) for one in explained})
    if not sizes:
        raise ValueError(f"{name} must hold at least one attribution, got none")
    if len(sizes) > 1 or sizes[0] < SHORTEST:
        raise ValueError(
            f"{name} must be of sequences of one length, {SHORTEST} bases at least, got {sizes[0]} to {sizes[-1]} "
            "bases: cut windows of one length first"
        )
    return np.nan_to_num(np.stack([one.importance for one in explained]))


def _letters(one: Attribution | MutationMap) -> str:
    return one.reference if isinstance(one, MutationMap) else one.sequence


def _without_overlaps(positive: pd.DataFrame, negative: pd.DataFrame) -> pd.DataFrame:
    """Both tables without negative seqlets that overlap a positive one."""
    kept = [
        not ((positive["example_idx"] == number) & (positive["start"] < end) & (start < positive["end"])).any()
        for number, start, end in zip(negative["example_idx"], negative["start"], negative["end"], strict=True)
    ]
    return pd.concat([positive, negative[np.array(kept, dtype=bool)]])


def _onehot(codes: Codes) -> FloatArray:
    """(4, W); a quarter of each letter for N."""
    return np.where(codes < N, codes == np.arange(N)[:, None], 1 / N).astype(np.float64)


def _matrices(motifs: str | PathLike[str] | Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    """(W, 4) probabilities by name.

    Raises:
        ValueError, OSError: see `match_motifs`.
    """
    given = motifs if isinstance(motifs, Mapping) else _read(Path(motifs).expanduser())
    found = {str(name): np.asarray(matrix, dtype=np.float64) for name, matrix in given.items()}
    if not found:
        raise ValueError("motifs must hold at least one motif, got none")
    for name, matrix in found.items():
        fits = matrix.ndim == 2 and matrix.shape[1] == N and len(matrix) > 0
        if not fits or not np.allclose(matrix.sum(1), 1, atol=0.01) or (matrix < 0).any():
            raise ValueError(f"motif {name!r} must be (W, 4) shares that add up to 1, got shape {matrix.shape}")
    return found


def _read(path: Path) -> dict[str, FloatArray]:
    """Motifs of a file; several of one name get their number.

    Raises:
        ValueError, OSError: see `match_motifs`.
    """
    text = path.read_text(encoding="utf-8")
    start, marks = text.lstrip()[:4], {"MEME": "MOTIF", ">": ">"}
    mark = marks.get(start, marks.get(start[:1]))
    if mark is None:
        raise ValueError(f"{path} must be in MEME (first line 'MEME version …') or JASPAR format ('>ID name')")
    try:
        found = dict(_meme(path) if mark == "MOTIF" else _jaspar(path))
    except ImportError:
        raise
    except Exception as error:  # Biopython raises no narrower one.
        raise ValueError(f"{path} is damaged or in another format than its first line says ({error})") from error
    wanted = sum(line.startswith(mark) for line in text.splitlines())
    if len(found) != wanted:
        raise ValueError(f"{path} names {wanted} motifs, but {len(found)} matrices are whole: is it cut off?")
    return found


def _meme(path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Names and matrices (W, 4)."""
    for name, matrix in _needed("memelite.io", "reading MEME files needs memelite").read_meme(str(path)).items():
        yield name, np.asarray(matrix, dtype=np.float64).T


def _jaspar(path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Names and shares (W, 4) of counts; a second motif of a name has its number behind it."""
    from Bio import motifs as formats

    seen = set()
    with path.open(encoding="utf-8") as file:
        for number, motif in enumerate(formats.parse(file, "jaspar"), 1):
            name = f"{motif.matrix_id} {motif.name}".strip()
            counts = np.array([motif.counts[letter] for letter in "ACGT"], dtype=np.float64).T
            yield f"{name} ({number})" if name in seen else name, counts / counts.sum(1, keepdims=True)
            seen.add(name)
