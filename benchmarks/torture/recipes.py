"""Bad YAML and recipes with wrong entries, for `recipes run`, `fit` and `recall`; and recipes damaged at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import yaml

from benchmarks.torture.case import Case, text
from benchmarks.torture.files import FIT, RECALL
from benchmarks.torture.series import fuzzed

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML: dict[str, str | bytes] = {
    "tab": "task: recall\n\truns: 1\n",
    "open bracket": "runs: [1, 2",
    "alias bomb": BOMB,
    "alias of itself": "runs: &a [*a]",
    "python object": "runs: !!python/object/apply:os.system ['true']",
    "list": "- 1\n- 2\n",
    "number": "3",
    "empty": "",
    "binary": b"\x00\xff\xfe",
    "deep": "[" * 3000,
    "unknown task": "task: no\nruns: {a: {}}\nseeds: [0]\n",
    "wrong kinds": "task: 3\nruns: 4\nseeds: 5\n",
    "keys twice": "task: recall\ntask: dna\nruns: {}\n",
    "no text keys": "? [a, b]\n: 1\n",
    "merge": "<<: [1, 2]\nruns: 3\n",
    "far date": "task: 9999-99-99\nruns: {a: {}}\n",
    "long": "a: " + "x" * 2_000_000,
}
# Where → what stands there instead.
OF_FIT: tuple[tuple[str, Any], ...] = (
    ("data.source", "none.csv"),
    ("data.source", 3),
    ("data.source", "sub"),
    ("data.context_length", -1),
    ("data.context_length", 10**9),
    ("data.context_length", "many"),
    ("data.prediction_length", 0),
    ("data.prediction_length", 10**9),
    ("data.batch_size", 0),
    ("data.batch_size", 10**12),
    ("data.steps_per_epoch", -3),
    ("data.validation_windows", 10**9),
    ("data.test_windows", -1),
    ("data.unknown", 1),
    ("data", None),
    ("data", [1]),
    ("model.backbone.width", 7),
    ("model.backbone.width", 10**7),
    ("model.backbone.layers", 10**7),
    ("model.backbone.layers", 0),
    ("model.backbone.heads", 3),
    ("model.backbone.block", "none"),
    ("model.backbone", 3),
    ("model.learning_rate", float("nan")),
    ("model.learning_rate", -1),
    ("model.unknown", {}),
    ("trainer.max_epochs", "x"),
    ("trainer.devices", 10**6),
    ("trainer.accelerator", "abacus"),
    ("trainer.callbacks", [{"class_path": "os.system"}]),
    ("trainer.callbacks", 3),
    ("trainer.logger", {"class_path": "none.Logger"}),
    ("trainer.unknown", 1),
    ("checkpoint_every_n_steps", 0),
    ("seed_everything", -5),
    ("unknown", 1),
    ("task", "none"),
    ("task", ["forecasting"]),
)
OF_RECALL: tuple[tuple[str, Any], ...] = (
    ("set", 3),
    ("set", []),
    ("lengths", [64]),
    ("lengths", {"x": 4}),
    ("lengths", {64: 0}),
    ("lengths", {-1: 4}),
    ("lengths", {10**12: 4}),
    ("lengths", {64: 10**12}),
    ("seeds", "x"),
    ("seeds", [-1]),
    ("seeds", ["a"]),
    ("seeds", 5),
    ("runs", {"lmm": 3}),
    ("runs", {"lmm": {"unknown": 1}}),
    ("runs", ["lmm"]),
    ("runs", {3: None}),
    ("defaults", 4),
    ("defaults.backbone.width", 10**7),
    ("defaults.backbone.layers", 10**7),
    ("defaults.backbone.width", "wide"),
    ("defaults.training.steps", -1),
    ("defaults.training.steps", 0.5),
    ("defaults.training.tokens", 10**15),
    ("defaults.training.unknown", 1),
    ("defaults.memory.kind", "none"),
    ("defaults.memory", [1]),
)
CELLS = ("[", "{a: 1", "-1", "9" * 30, "x: y", "\t", "&a", "*a", "!!python/name:os.system", "null", "~")
CELLS += ('"', ".nan", "1e999")
FUZZED = 15


def cases() -> Iterator[Case]:
    """Every case."""
    for name, content in YAML.items():
        yield Case("yaml", f"recipes run: {name}", "recipes run q.yaml", (1,), text("q.yaml", content))
        yield Case("yaml", f"recall: {name}", "recall q.yaml", (1,), text("q.yaml", content))
        yield Case("yaml", f"fit: {name}", "fit -c q.yaml", (1, 2), text("q.yaml", content))
    # A value that can be meant in some other way, such as a seed as text, may go well.
    for where, value in OF_FIT:
        content = yaml.safe_dump(changed(FIT, where, value))
        named = f"fit: {where}: {str(value)[:30]}"
        yield Case("yaml", named, "fit -c q.yaml", (0, 1, 2), text("q.yaml", content), ("run",))
    for where, value in OF_RECALL:
        content = yaml.safe_dump(changed(RECALL, where, value))
        yield Case("yaml", f"recall: {where}: {str(value)[:30]}", "recall q.yaml", (0, 1), text("q.yaml", content))
    for seed in range(FUZZED):
        for command, recipe in (("fit -c q.yaml", FIT), ("recall q.yaml", RECALL)):
            data = fuzzed(yaml.safe_dump(recipe), random.Random(seed), CELLS, ": ")
            # What is left of a recipe may have another folder, or none.
            writes = ("run", "lightning_logs", "checkpoints") if "fit" in command else ()
            given = f"{command} --trainer.default_root_dir run" if writes else command
            yield Case("fuzzed", f"{command.split()[0]} {seed}", given, (0, 1, 2), text("q.yaml", data), writes[:1])


def changed(recipe: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy of a recipe with another value at a dotted place."""
    name, _, rest = where.partition(".")
    return {**recipe, name: changed(recipe.get(name) or {}, rest, value) if rest else value}
