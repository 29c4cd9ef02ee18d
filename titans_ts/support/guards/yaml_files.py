"""YAML files from outside: read without running anything, and without growing beyond what stands in them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1_000_000
# Values after every alias is replaced by what it stands for; recipes have hundreds.
MOST_VALUES = 100_000
DEEPEST = 100


def read_yaml(path: str | PathLike[str]) -> Any:
    """The content of a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, too large, nested too deeply, or its aliases stand for too many values; the message
            names file and line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "recipe.yaml"
        >>> written = file.write_text("task: dna")
        >>> read_yaml(file)
        {'task': 'dna'}
    """
    file = Path(path).expanduser()
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size:,} bytes, expected a recipe of at most {MOST_BYTES:,}")
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        if root is not None:
            _check_size(root, file)
        return yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8 ({error}): save it as UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"{file} is nested too deeply: expected a recipe") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file}{where} is no YAML: {error.problem or error.context}; mind spaces and tabs") from error
    except (yaml.YAMLError, ValueError) as error:
        if str(error).startswith(str(file)):
            raise
        raise ValueError(f"{file} is no YAML: {' '.join(str(error).split())}") from error


def _check_size(root: yaml.Node, file: Path) -> None:
    """Count the values of a tree in which aliases are shared nodes, each as often as it stands in the whole."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...]) -> int:
        """Values below a node and itself; `above` are the nodes that hold it."""
        if id(node) in above or len(above) > DEEPEST:
            raise ValueError(f"{file} is nested more than {DEEPEST} times, or an alias stands for itself")
        if id(node) not in sizes:
            inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            parts = inner if isinstance(inner, list) else []
            sizes[id(node)] = 1 + sum(size(part, (*above, id(node))) for part in parts)
        return sizes[id(node)]

    count = size(root, ())
    if count > MOST_VALUES:
        raise ValueError(f"{file} stands for {count:,} values through its aliases, expected at most {MOST_VALUES:,}")
