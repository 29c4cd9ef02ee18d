"""The language model task of recipes: a stretch of a genome is learned from, another one is scored.

Shapes: none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class LanguageRow(NamedTuple):
    """One model of a genome, scored once on the stretch that is held out.

    Attributes:
        run, seed: which model.
        bits: bits a base of the test stretch, each base given those before it.
        order: bases of context of a Markov chain; empty for a network.
        learned, tested: bases of the two stretches.
        validation: bits a base of windows that training held out, which stop it; epochs; parameters.
        cpu_seconds: of training.
        protocol: which genome and stretches.
    """

    run: str
    seed: int
    bits: float
    order: int | None
    learned: int
    tested: int
    validation: float | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


def check_language(path: Any, recipe: Mapping[str, Any]) -> None:
    """Refuse stretches that overlap, and runs that are neither a chain nor parameters of the model.

    Raises:
        ValueError: with what is known.
    """
    from titans_ts.genomics import DNALanguageModel
    from titans_ts.genomics.linear.markov import HIGHEST_ORDER

    stretches = [recipe.get(name) for name in ("learn", "test")]
    for name, found in zip(("learn", "test"), stretches, strict=True):
        sound = isinstance(found, Sequence) and len(found) == 2 and all(isinstance(n, int) for n in found)
        if not sound or not 0 <= found[0] < found[1]:  # type: ignore[index]
            raise ValueError(f"{path} must say {name}: [first base, the base behind the last], got {found!r}")
    (first, last), (start, end) = stretches  # type: ignore[misc]
    if start < last and first < end:
        raise ValueError(f"{path}: learn {[first, last]} and test {[start, end]} overlap: the test must be unseen")
    known = sorted({"order", *DNALanguageModel().get_params()} - {"random_state"})
    for name, run in recipe["runs"].items():
        values = run or {}
        order = values.get("order")
        if "order" in values and (set(values) != {"order"} or order not in range(HIGHEST_ORDER + 1)):
            raise ValueError(
                f"{path}: run {name!r} must say order: 0 to {HIGHEST_ORDER} and nothing else, got {values}"
            )
        if unknown := sorted(set(values).difference(known)):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {known}")


def language_rows(recipe: Mapping[str, Any], run: str, settings: Mapping[str, Any], seed: int) -> Iterator[LanguageRow]:
    """One model, trained and scored.

    Args:
        recipe: the checked recipe; ``set`` is a name of `titans_datasets.dna.reference_genome`, whose first record is
            read.
        run: its name.
        settings: {"order": k}, a Markov chain of words of the same stretch, or parameters of `DNALanguageModel`.
        seed: of the network; chains have none.

    Raises:
        FileNotFoundError, ValueError: the genome is not there, not the known one, or shorter than a stretch.
    """
    from titans_datasets.dna.alphabet import decode
    from titans_datasets.dna.public.benchmarks import reference_genome
    from titans_ts.genomics.linear.markov import markov_bits

    genome = reference_genome(recipe["set"])
    record, length = next(iter(genome.lengths.items()))
    stretches = [recipe["learn"], recipe["test"]]
    if max(end for _, end in stretches) > length:
        raise ValueError(f"learn and test must lie in {recipe['set']}, {length:,} bases of {record}, got {stretches}")
    learn, test = (genome.fetch(record, *stretch) for stretch in stretches)
    (first, last), (start, end) = stretches
    protocol = f"{recipe['set']}, bases {first:,} to {last:,} to learn from, {start:,} to {end:,} to test"
    row = LanguageRow(run, seed, 0.0, settings.get("order"), len(learn), len(test), protocol=protocol)
    if "order" in settings:
        yield row._replace(bits=markov_bits([learn], [test], settings["order"]))
        return
    yield _network(row, settings, decode(learn), decode(test))


def _network(row: LanguageRow, settings: Mapping[str, Any], learn: str, test: str) -> LanguageRow:
    import math

    from titans_ts.genomics import DNALanguageModel

    options = {"progress": False, **(settings.get("options") or {})}
    started = time.process_time()
    model = DNALanguageModel(**{**settings, "options": options, "random_state": row.seed}).fit([learn])
    spent = time.process_time() - started
    return row._replace(
        bits=float(model.bits_per_base([test])),
        validation=model.training_["best_loss"] / math.log(2),
        epochs=model.training_["epochs"],
        parameters=sum(p.numel() for p in model.network_.parameters()),
        cpu_seconds=round(spent, 1),
    )
