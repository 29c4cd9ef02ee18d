"""The recipes that ship with the package: every genomics recipe has a form for `titans-ts fit`, and all are valid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from titans_cli.main import main
from titans_recipes.catalogue import all_recipes, find_recipe, load_recipe

GENOMICS = Path(__file__).resolve().parents[2] / "recipes/genomics"
NAMES = sorted(path.stem for path in GENOMICS.glob("*.yaml") if not path.stem.startswith("fit_"))
TASKS = {
    **{"dna": "sequence_classification", "dna_regression": "sequence_regression"},
    **{"distal": "sequence_classification", "segmentation": "base_labels", "language_model": "language_model"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_genomics_recipe_has_a_form_for_fit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(GENOMICS / f"{name}.yaml")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", str(GENOMICS / f"fit_{name}.yaml"), "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["task"] == TASKS[recipe["task"]] and printed["data"]["train"] == (
        name if recipe["task"] == "distal" else recipe["set"]
    )


def test_recipes_of_fit_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [path for path in all_recipes() if path.stem.startswith("fit_")]
    assert find_recipe("fit_mouse_3").stem == "fit_mouse_3"
    assert main(["recipes", "run", "fit_mouse_3"]) != 0
    assert "is a recipe for `titans-ts fit`" in capsys.readouterr().err
    assert main(["fit", "-c", str(GENOMICS / "mouse_3.yaml")]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "run `titans-ts recipes run" in line and "fit_mouse_3.yaml` for one network" in line
