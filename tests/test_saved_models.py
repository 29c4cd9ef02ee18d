"""What earlier versions saved is loaded and answers as it did when it was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.saved_models.kinds import HERE, KINDS, write_all

VERSIONS = sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_thing_answers_as_it_did(kind: str, version: str, tmp_path: Path) -> None:
    shutil.copytree(HERE / version / kind, tmp_path / kind)
    expected = np.array(json.loads((tmp_path / kind / "answer.json").read_text(encoding="utf-8")))
    found = KINDS[kind].answer(tmp_path / kind)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_this_version_has_its_files() -> None:
    from titans_ts.version import __version__

    assert __version__ in VERSIONS, "write them once: python -m tests.saved_models.kinds"


def test_what_is_written_now_is_what_the_folders_hold(tmp_path: Path) -> None:
    """The same files in the same folders: a new file belongs into a new version's folder."""
    write_all(tmp_path)
    now = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    kept = HERE / VERSIONS[-1]
    assert now == sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
