"""The gallery: a page of each file of examples/, its docstring on top, then its picture and its code.

`python docs/site/gallery.py` makes the small pictures in docs/gallery from those in out/examples.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    "first_forecast",
    "covariates_and_holidays",
    "many_series",
    "streaming_and_alarms",
    "gluonts_estimator",
    "fev_task",
    "fine_tuning",
    "dna_classifier",
    "variant_effects",
    "neural_memory",
    "long_genome",
)


def parts_of(name: str) -> tuple[str, str, str]:
    """Title, what the docstring says below it, and the code below the docstring."""
    source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    body = ast.parse(source).body
    title, _, prose = str(ast.literal_eval(body[0].value)).strip().partition("\n")  # type: ignore[attr-defined]
    code = "\n".join(source.split("\n")[body[0].end_lineno :]).strip()
    return title.rstrip("."), prose.strip(), code


def example_page(name: str) -> str:
    title, prose, code = parts_of(name)
    picture = f"![{title}](../gallery/{name}.png)"
    run = f"Run it: `python examples/{name}.py`, which writes `out/examples/{name}.png`."
    return f"---\nhide: [toc]\n---\n\n# {title}\n\n{prose}\n\n{picture}\n\n```python\n{code}\n```\n\n{run}\n"


def index_page() -> str:
    """Cards: picture, title and first paragraph of each example."""
    cards = []
    for name in ORDER:
        title, prose, _ = parts_of(name)
        first = " ".join(prose.split("\n\n")[0].split())
        cards.append(f"-   [![](../gallery/{name}.png)]({name}.md)\n\n    **[{title}]({name}.md)**\n\n    {first}")
    prose = "Programs that run as they are, on data that come with the package, each in less than a minute."
    head = f"---\nhide: [navigation, toc]\n---\n\n# Gallery\n\n{prose}\n"
    return f'{head}\n<div class="grid cards gallery" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages in the navigation, below `Gallery`."""
    pages = ["examples/index.md", *(f"examples/{name}.md" for name in ORDER)]
    for entry in config.nav or []:
        if "Gallery" in entry:
            entry["Gallery"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File

    files.append(File.generated(config, "examples/index.md", content=index_page()))
    for name in ORDER:
        files.append(File.generated(config, f"examples/{name}.md", content=example_page(name)))
    return files


def shrink(picture: Path) -> None:
    """A picture of an example for the site: at most 900 pixels wide, 128 colours."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    image.thumbnail((900, 900))
    # Maximum coverage keeps colours that are rare, such as the ends of a colour bar.
    image.quantize(128, Image.Quantize.MAXCOVERAGE).save(ROOT / "docs/gallery" / picture.name, optimize=True)


if __name__ == "__main__":
    for picture in sorted((ROOT / "out/examples").glob("*.png")):
        if picture.stem in ORDER:
            shrink(picture)
