"""The API reference: a page a package, with every name that the package exports, read from the sources."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "titans_ts": "titans_ts",
    "titans_kernels": "kernels/titans_kernels",
    "titans_datasets": "datasets/titans_datasets",
}
DOORS = {
    "titans_ts": "The names that most programs need. Each links to its entry.",
    "titans_ts.forecasting": "Forecasters, estimators, streams, plots.",
    "titans_ts.forecasting.experts": "The mixture of simple methods.",
    "titans_ts.forecasting.pretrained": "Weights that forecast without training.",
    "titans_ts.forecasting.fev": "Tasks of fev-bench.",
    "titans_ts.genomics": "Classifiers, regressors and language models of DNA, and their analysis.",
    "titans_ts.core": "Neural memory, attention, the blocks and their stack.",
    "titans_ts.report": "Reports as one HTML file.",
    "titans_kernels": "The memory ops.",
    "titans_datasets.series": "Tables, files, windows and covariates of series.",
    "titans_datasets.series.generators": "Generated series.",
    "titans_datasets.dna": "Files, genomes, windows, splits and leakage of DNA.",
    "titans_datasets.builtin": "Data that come with the package.",
}


@cache
def imports_of(module: str) -> dict[str, str]:
    """Name → dotted path, of the imports at the top of a module; of a package those of its stub, where it has one."""
    package, *parts = module.split(".")
    path = (ROOT / FOLDERS.get(package, package)).joinpath(*parts)
    files = (path / "__init__.pyi", path / "__init__.py", path.with_suffix(".py"))
    source = next((file for file in files if file.is_file()), None)
    names: dict[str, str] = {}
    for node in ast.parse(source.read_text(encoding="utf-8")).body if source else ():
        if isinstance(node, ast.ImportFrom):
            home = f"{module}.{node.module}" if node.level else str(node.module)
            names |= {alias.asname or alias.name: f"{home}.{alias.name}" for alias in node.names}
    return names


def exported(door: str) -> dict[str, str]:
    """Public name → where it is defined, of a package."""
    public = {name: defined(path) for name, path in imports_of(door).items() if not name.startswith("_")}
    return {name: public[name] for name in sorted(public, key=str.lower)}


def defined(path: str) -> str:
    """The place behind a path, through modules that only import the name."""
    module, _, name = path.rpartition(".")
    again = imports_of(module).get(name, path) if module.split(".")[0] in FOLDERS else path
    return path if again == path else defined(again)


def door_of(name: str, path: str) -> str | None:
    """The package whose page has the entry of a name: the innermost one that exports it."""
    doors = [door for door in DOORS if path.startswith(f"{door}.") and name in exported(door)]
    return max(doors, key=len, default=None)


def page_of(door: str) -> str:
    """Markdown for a package: its own names in full, names of other packages as links to their entries."""
    own, foreign = [], []
    for name, path in exported(door).items():
        other = door_of(name, path)
        if other in (None, door):
            own.append(f"::: {door}.{name}")
        else:
            foreign.append(f"- [`{name}`][{other}.{name}]")
    head = [f"# {door}", DOORS[door]]
    if own and foreign:
        head.append("Also to be imported from here:")
    return "\n\n".join([*head, "\n".join(foreign), *own]) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages in the navigation, below `Reference`."""
    pages = [{door: f"reference/{door}.md"} for door in DOORS]
    for entry in config.nav or []:
        if "Reference" in entry:
            entry["Reference"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File

    for door in DOORS:
        files.append(File.generated(config, f"reference/{door}.md", content=page_of(door)))
    return files
