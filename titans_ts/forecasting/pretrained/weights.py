"""Pretrained weights: NAME.safetensors (float16) and NAME.json with its checksum and its card, side by side.

    from titans_ts.forecasting.pretrained import Card, write_pretrained
    write_pretrained(ReadingNetwork.load(path), folder, "zero", Card(version="1", ...))

installs new weights where `folder` is the one of this file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS
from titans_ts.forecasting.reads.network import ReadingNetwork

FOLDER = Path(__file__).parent
FORMAT = "titans-ts pretrained"
AGAIN = "install titans-ts again"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of weights.

    Attributes:
        version: of the weights.
        data: what they were trained on.
        compute: what training took.
        licence: of the weights.
        limits: what they are not good for.
        flip: whether forecasts are averaged with the negatives of those of the negative histories, at twice the time.

    Example:
        >>> from titans_ts.forecasting.pretrained import Card
        >>> card = Card(version="1", data="synthetic series", compute="an hour", licence="Apache-2.0", limits="a toy")
        >>> card.flip
        False
    """

    version: str
    data: str
    compute: str
    licence: str
    limits: str
    flip: bool = False

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, kind = getattr(self, entry.name), bool if entry.name == "flip" else str
            if not isinstance(value, kind) or value == "":
                raise ValueError(f"{entry.name} of a card must be a {kind.__name__} that is not empty, got {value!r}")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A pretrained network, shared by all who load it: its weights must not be changed.

    It is pickled as name and checksum, and unpickled from the weights that are installed there.

    Attributes:
        name: of the weights.
        sha256: of the file of weights.
        card: what is said of them.
        network: in float32, in evaluation mode.

    Example:
        >>> from titans_ts.forecasting.pretrained import load_pretrained
        >>> weights = load_pretrained("zero")
        >>> weights.name, weights.card.licence, weights.network.training
        ('zero', 'Apache-2.0', False)
    """

    name: str
    sha256: str
    card: Card
    network: ReadingNetwork

    def __reduce__(self) -> tuple[Any, ...]:
        return load_pretrained, (self.name, self.sha256)


def installed() -> tuple[str, ...]:
    """Names of the weights that come with this package.

    Example:
        >>> from titans_ts.forecasting.pretrained import installed
        >>> "zero" in installed()
        True
    """
    return tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def load_pretrained(name: str = "zero", sha256: str | None = None) -> Pretrained:
    """Installed weights by name; they are read once in a process.

    Args:
        name: see `installed`.
        sha256: what the checksum must be; None for any.

    Raises:
        ValueError: there are none of that name, their files are damaged, or the checksum is another one.

    Example:
        >>> from titans_ts.forecasting.pretrained import load_pretrained
        >>> load_pretrained("zero").name
        'zero'
    """
    if name not in installed():
        raise ValueError(f"there are no pretrained weights {name!r}: choose one of {', '.join(map(repr, installed()))}")
    found = _cached(name)
    if sha256 not in (None, found.sha256):
        raise ValueError(
            f"the model was made with other pretrained weights {name!r} (sha256 {str(sha256)[:12]}…) than those "
            f"installed (version {found.card.version}, {found.sha256[:12]}…): install the titans-ts that made it, or "
            "fit again"
        )
    return found


@cache
def _cached(name: str) -> Pretrained:
    return read_pretrained(FOLDER, name)


def read_pretrained(folder: str | PathLike[str], name: str) -> Pretrained:
    """Weights that `write_pretrained` wrote.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: a file is foreign or damaged, or they do not belong together.

    Example:
        >>> import tempfile
        >>> from titans_ts.forecasting.pretrained import load_pretrained, read_pretrained, write_pretrained
        >>> zero = load_pretrained("zero")
        >>> file = write_pretrained(zero.network, tempfile.mkdtemp(), "mine", zero.card)
        >>> read_pretrained(file.parent, "mine").name
        'mine'
    """
    weights, said = (Path(folder) / f"{name}{suffix}" for suffix in (".safetensors", ".json"))
    facts = _facts(said)
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != facts["sha256"]:
        raise ValueError(
            f"{weights} does not belong to {said.name} beside it or is damaged (checksums differ): {AGAIN}"
        )
    try:
        card = Card(**facts["card"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{said} is damaged ({error}): {AGAIN}") from error
    network = ReadingNetwork.load(weights)
    if network.config.drafts != (*NAMES, *SLOTS):
        raise ValueError(f"{weights} weighs other drafts than this version makes: {AGAIN}")
    return Pretrained(facts["name"], found, card, network.requires_grad_(False))


def _facts(file: Path) -> dict[str, Any]:
    """Name, checksum and card of weights."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): {AGAIN}") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"{file} says nothing of weights of the format {FORMAT!r}: {AGAIN}")
    wanted: Mapping[str, type] = {"name": str, "sha256": str, "card": dict}
    absent = [key for key, kind in wanted.items() if not isinstance(facts.get(key), kind)]
    if absent:
        raise ValueError(f"{file} is damaged, it lacks {', '.join(absent)}: {AGAIN}")
    return facts


def write_pretrained(network: ReadingNetwork, folder: str | PathLike[str], name: str, card: Card) -> Path:
    """Write the two files of weights, each beside its place and renamed; those there are replaced.

    Args:
        network: trained, with the drafts of `ExpertDrafts` after its own.
        folder: where; it is made where it is missing.
        name: of the weights and of the files.
        card: what is said of them.

    Returns:
        The file of weights.

    Raises:
        ValueError: a weight is not finite or beyond float16, or the network weighs other drafts.

    Example:
        >>> import tempfile
        >>> from titans_ts.forecasting.pretrained import load_pretrained, write_pretrained
        >>> weights = load_pretrained("zero")
        >>> write_pretrained(weights.network, tempfile.mkdtemp(), "mine", weights.card).name
        'mine.safetensors'
    """
    if network.config.drafts != (*NAMES, *SLOTS):
        raise ValueError("pretrained weights need the drafts of NAMES and SLOTS: train with ExpertDrafts")
    state = {key: value.detach().cpu().contiguous().half() for key, value in network.state_dict().items()}
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(
            f"weights must be finite and within ±{torch.finfo(torch.float16).max:.0f} (float16), those of "
            f"{', '.join(broken)} are not: go back to an earlier step of training"
        )
    file = Path(folder) / f"{name}.safetensors"
    weights = save(state, metadata={"config": json.dumps(network.config.to_dict())})
    with in_place_of(file) as beside:
        beside.write_bytes(weights)
    facts = {"format": FORMAT, "name": name, "sha256": hashlib.sha256(weights).hexdigest(), "card": asdict(card)}
    with in_place_of(file.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return file
