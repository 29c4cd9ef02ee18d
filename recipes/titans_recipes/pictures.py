"""Pictures of recipes: the name is checked before anything is trained, the file is replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from titans_datasets.writing import in_place_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture_path(name: str) -> Path:
    """The path of a picture that will be written.

    Raises:
        ValueError: its suffix is unknown, or it is a folder.
    """
    from titans_ts.forecasting.plot import picture_suffix

    picture_suffix(name)
    if Path(name).is_dir():
        raise ValueError(f"{name} is a folder: give the name of the file to write")
    return Path(name)


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure and close it.

    Args:
        figure: of matplotlib.pyplot.
        path: see `picture_path`.
    """
    import matplotlib.pyplot as plt

    with in_place_of(path) as beside:
        figure.savefig(beside, format=path.suffix.lower().removeprefix("."), dpi=150)
    plt.close(figure)
