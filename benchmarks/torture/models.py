"""Model folders and checkpoints that were damaged or changed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from benchmarks.torture.case import Case, Prepare, text
from titans_ts.support.model_folder import sealed

# Folder → the command that reads it, and a size in its configuration.
FOLDERS = {
    "model": ("forecast good.csv --horizon 5 --model model --output o.csv", '"width": '),
    "classifier": ("classify --model classifier one.fa --output o.csv", '"width": '),
    "regressor": ("regress --model regressor one.fa --output o.csv", '"width": '),
    "language": ("dna score --model language one.fa --output o.csv", '"width": '),
}
FIT = "fit -c fit.yaml --ckpt_path last"


def cases(template: Path) -> Iterator[Case]:
    """Every case; `template` has the folders to be tampered with."""
    for folder, (command, _) in FOLDERS.items():
        for name, tamper in tampered(template / folder):
            yield Case("models", f"{folder}: {name}", command, (1,), tamper, ("o.csv",))
    last = next((template / "run").rglob("last.ckpt")).relative_to(template)
    data = (template / last).read_bytes()
    for name, content in damaged(data).items():
        for command in (FIT, "test -c fit.yaml --ckpt_path last"):
            yield Case("models", f"{command.split()[0]}: checkpoint {name}", command, (1, 2), text(str(last), content))


def damaged(data: bytes) -> dict[str, bytes]:
    """What is left of a file."""
    middle = len(data) // 2
    return {
        "empty": b"",
        "truncated": data[:-10],
        "half": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "zeros": b"\0" * len(data),
        "random": random.Random(0).randbytes(len(data)),
        "pickle that runs something": b"cos\nsystem\n(S'touch ran'\ntR.",
    }


def tampered(model: Path) -> Iterator[tuple[str, Prepare]]:
    """Ways to damage a model folder."""
    config = (model / "config.json").read_text(encoding="utf-8")
    weights = (model / "model.safetensors").read_bytes()
    for name, content in {
        "config: empty": "",
        "config: deep": "[" * 200_000,
        "config: list": "[]",
        "config: a digit": config.replace("1", "2", 1),
        "config: newer version": config.replace('"version": 3', '"version": 4'),
        "config: truncated": config[: len(config) // 2],
        "config: binary": "\0\1\2",
    }.items():
        yield name, text(f"{model.name}/config.json", content)
    for name, data in {**damaged(weights), "long header": b"\xff" * 8 + weights[8:]}.items():
        yield f"weights: {name}", text(f"{model.name}/model.safetensors", data)
    yield "no weights", lambda folder: (folder / model.name / "model.safetensors").unlink()
    yield "no config", lambda folder: (folder / model.name / "config.json").unlink()
    # With checksums that fit: by hand, or by another program.
    for name, size, change in (
        ("many layers", "layers", lambda value: 200_000),
        ("wide", "width", lambda value: value * 4096),
        ("other width", "width", lambda value: value * 2),
        ("no layers", "layers", lambda value: 0),
        ("text", "width", lambda value: "wide"),
    ):
        yield f"sealed: {name}", resealed(model, size, change)
    yield "sealed: not finite", resealed(model, "", None)


def resealed(model: Path, size: str, change: Callable[[int], Any] | None) -> Prepare:
    """Writes another size, or weights that are no numbers, under new checksums."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    weights = (model / "model.safetensors").read_bytes()
    if change is None:
        tensors = load(weights)
        name = next(name for name, value in tensors.items() if value.is_floating_point())
        weights = save({**tensors, name: tensors[name] * float("nan")})
        config["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    else:
        _change(config, size, change)

    def write(folder: Path) -> None:
        (folder / model.name / "model.safetensors").write_bytes(weights)
        (folder / model.name / "config.json").write_text(json.dumps(sealed(config)), encoding="utf-8")

    return write


def _change(value: Any, size: str, change: Callable[[int], Any]) -> None:
    """Change an entry wherever it stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in list(inner):
        if name == size and isinstance(entry, int):
            value[name] = change(entry)
        else:
            _change(entry, size, change)
