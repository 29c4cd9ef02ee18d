"""Files of pretrained weights: written, read, refused; those that come with the package."""

from __future__ import annotations

import importlib.resources
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from titans_ts.forecasting.pretrained import Card, installed, load_pretrained, read_pretrained, write_pretrained
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS

CARD = Card(version="7", data="synthetic", compute="an hour", licence="Apache-2.0", limits="none known", flip=False)


def small(drafts: tuple[str, ...] = (*NAMES, *SLOTS)) -> ReadingNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ReadingNetwork(ReadingConfig(drafts, width=8, depth=1, step_width=8))


def test_weights_come_with_the_package():
    folder = importlib.resources.files("titans_ts.forecasting.pretrained")
    assert installed() == ("zero",)
    assert all((folder / f"zero.{suffix}").is_file() for suffix in ("safetensors", "json"))
    assert load_pretrained("zero") is load_pretrained("zero")
    with safe_open(str(folder / "zero.safetensors"), "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert {value.dtype for value in load_pretrained().network.state_dict().values()} == {torch.float32}
    assert (Path(str(folder)) / "zero.safetensors").stat().st_size < 6_000_000


def test_what_is_written_is_read(tmp_path):
    network = small()
    file = write_pretrained(network, tmp_path / "new", "tiny", CARD)
    found = read_pretrained(tmp_path / "new", "tiny")
    assert (found.name, found.card) == ("tiny", CARD) and not found.network.training
    assert sorted(entry.name for entry in file.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value.half().float(), rtol=0, atol=0)


def test_a_pickle_holds_no_weights():
    pretrained = load_pretrained()
    assert len(pickle.dumps(pretrained)) < 1000
    assert pickle.loads(pickle.dumps(pretrained)) is pretrained


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_weights_that_float16_cannot_hold_are_refused(tmp_path, value):
    network = small()
    with torch.no_grad():
        network.trust[0] = value
    with pytest.raises(ValueError, match=r"±65504 \(float16\), those of trust are not"):
        write_pretrained(network, tmp_path, "tiny", CARD)
    assert not list(tmp_path.iterdir())


def test_a_network_of_other_drafts_is_refused(tmp_path):
    with pytest.raises(ValueError, match="need the drafts of NAMES and SLOTS"):
        write_pretrained(small(NAMES), tmp_path, "tiny", CARD)


def test_unknown_names_and_other_checksums_are_refused():
    with pytest.raises(ValueError, match="no pretrained weights 'one': choose one of 'zero'"):
        load_pretrained("one")
    with pytest.raises(ValueError, match=r"other pretrained weights 'zero' .*fit again"):
        load_pretrained("zero", "0" * 64)


def spoil(folder: Path, how: str) -> None:
    weights, said = folder / "tiny.safetensors", folder / "tiny.json"
    facts = json.loads(said.read_text())
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[:-8])
    elif how == "foreign":
        said.write_text('{"name": "tiny"}')
    elif how == "no json":
        said.write_text("weights")
    elif how == "no card":
        said.write_text(json.dumps({**facts, "card": None}))
    else:
        said.write_text(json.dumps({**facts, "card": {**facts["card"], "flip": "yes"}}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "damaged .checksums differ.: install titans-ts again"),
        ("foreign", "says nothing of weights"),
        ("no json", "is damaged"),
        ("no card", "lacks card"),
        ("flip", "flip of a card must be a bool"),
    ],
)
def test_damaged_files_are_refused(tmp_path, how, message):
    write_pretrained(small(), tmp_path, "tiny", CARD)
    spoil(tmp_path, how)
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path, "tiny")


def test_a_card_says_everything():
    with pytest.raises(ValueError, match="limits of a card must be a str that is not empty"):
        Card(version="1", data="a", compute="b", licence="c", limits="")
