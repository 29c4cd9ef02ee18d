"""Streams have the answers they should, predictions come from the right places, and a network learns to recall."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from titans_recipes.recall.network import RecallNetwork
from titans_recipes.recall.streams import (
    ASK,
    FIRST_DIGIT,
    FIRST_KEY,
    FIRST_NOISE,
    FIRST_WORD,
    KEYS,
    NEEDLE,
    STREAM_KINDS,
    NeedleStreams,
    RepeatStreams,
)
from titans_recipes.recall.training import RecallTraining, accuracy, train
from titans_ts.core import MemoryConfig, TitansConfig

TEXTS = [name for name, task in STREAM_KINDS.items() if isinstance(task, NeedleStreams)]


def small_network(vocabulary: int, block: str = "lmm", seed: int = 0) -> RecallNetwork:
    torch.manual_seed(seed)
    memory = MemoryConfig(kind="linear", anchor="token", chunk_size=16, step_size=0.5, horizon=(64.0, 1e6))
    config = TitansConfig(
        block=block,  # type: ignore[arg-type]
        width=32,
        heads=2,
        layers=1,
        window=8,
        segment=8,
        persistent_tokens=2,
        dropout=0.0,
        memory=memory,
    )
    return RecallNetwork(vocabulary, config).eval()


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("extra", [0, 1, 200])
def test_every_question_was_answered_once_before(name: str, extra: int) -> None:
    task = STREAM_KINDS[name]
    assert isinstance(task, NeedleStreams)
    streams = task.draw(6, task.shortest + extra, np.random.default_rng(0))
    assert streams.ids.shape == (6, task.shortest + extra) and streams.ids.max() < task.vocabulary
    assert len(streams.answers) == task.questions * task.value_length and streams.questions == task.questions
    for row in streams.ids:
        needles = np.flatnonzero(row == NEEDLE)
        said = {int(row[i + 1]): row[i + 2 : i + 2 + task.value_length].tolist() for i in needles}
        assert len(needles) == len(said) == task.needles
        for places in streams.answers.reshape(task.questions, -1):
            assert row[places[0] - 2] == ASK and FIRST_KEY <= row[places[0] - 1] < FIRST_KEY + KEYS
            assert said[int(row[places[0] - 1])] == row[places].tolist()
        straw = row[(row >= FIRST_WORD)] if task.haystack == "words" else row[row >= FIRST_NOISE]
        assert len(straw) >= extra


def test_needles_lie_anywhere() -> None:
    streams = STREAM_KINDS["passkey"].draw(400, 100, np.random.default_rng(0))
    places = (streams.ids == NEEDLE).argmax(1)
    assert places.min() == 0 and places.max() == 100 - 2 * 6 and abs(places.mean() - 44) < 5


def test_words_of_the_haystack_are_also_values() -> None:
    ids = STREAM_KINDS["word"].draw(20, 500, np.random.default_rng(0)).ids
    words = (ids >= FIRST_WORD) & (ids < FIRST_NOISE)
    assert 0.4 < words.mean() < 0.6
    digits = STREAM_KINDS["number"].draw(20, 500, np.random.default_rng(0)).ids
    assert ((digits >= FIRST_DIGIT) & (digits < FIRST_WORD)).sum() == 20 * 5 * 4


@pytest.mark.parametrize("reverse", [False, True])
def test_a_segment_comes_again(reverse: bool) -> None:
    task = RepeatStreams(segment=20, cue=6, reverse_complement=reverse)
    streams = task.draw(10, 200, np.random.default_rng(0))
    assert streams.answers.tolist() == list(range(186, 200))
    for row in streams.ids:
        last = 3 - row[-20:][::-1] if reverse else row[-20:]
        assert any((row[i : i + 20] == last).all() for i in range(161))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeedleStreams("hay"), "haystack must be one of"),  # type: ignore[arg-type]
        (lambda: NeedleStreams(needles=0), "needles must be 1 to 32"),
        (lambda: NeedleStreams(needles=2, questions=3), "questions must be 1 to needles = 2"),
        (lambda: RepeatStreams(segment=4, cue=4), "cue must be 1 to segment − 1 = 3"),
        (lambda: STREAM_KINDS["passkey"].draw(1, 11, np.random.default_rng(0)), "length must be ≥ 12 tokens"),
        (lambda: RecallTraining(shortest=8, longest=4), "shortest must be 2 to longest = 4"),
        (lambda: RecallTraining(stretch=0.5), "stretch must be ≥ 1"),
        (lambda: RecallTraining(tokens=10**15), "tokens and longest must be at most 1,000,000,000"),
        (lambda: accuracy(small_network(4), RepeatStreams(), 100, 0), "rows must be ≥ 1"),
        (
            lambda: train(small_network(172), STREAM_KINDS["number"], RecallTraining(shortest=8)),
            "shortest must be ≥ 30 tokens for these streams",
        ),
    ],
)
def test_bad_input_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("block", ["lmm", "mac", "attention"])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_answers_do_not_depend_on_the_chunk(block: str, chunk: int) -> None:
    network = small_network(172, block).double()
    streams = STREAM_KINDS["associative"].draw(2, 80, np.random.default_rng(1))
    ids, places = torch.from_numpy(streams.ids), torch.from_numpy(streams.answers)
    with torch.no_grad():
        expected = network(ids.long())[0][:, places - 1]
    torch.testing.assert_close(network.answer(ids, places, chunk), expected, rtol=1e-8, atol=1e-8)


def test_a_network_learns_to_answer_and_others_of_its_kind_do_not() -> None:
    """One needle, one digit: memory recalls it over ten windows, attention alone is left to guess."""
    task = NeedleStreams("noise")
    config = RecallTraining(steps=250, tokens=2048, shortest=12, longest=96, span=64, stretch=4.0, learning_rate=0.01)
    found = {}
    for block in ("lmm", "attention"):
        network = small_network(task.vocabulary, block)
        train(network, task, config)
        found[block] = accuracy(network, task, 96, 64)
    assert found["lmm"].correct > 0.9
    assert found["attention"].correct < 0.35
    assert found["lmm"].questions == 64 and found["lmm"].length == 96


def test_training_repeats_with_its_seed_and_reports_every_step() -> None:
    task, config = NeedleStreams("noise"), RecallTraining(steps=4, tokens=256, shortest=12, longest=32)
    seen: list[tuple[int, int, float, float]] = []
    first, second = small_network(172), small_network(172)
    train(first, task, config, lambda *line: seen.append(line))
    train(second, task, config)
    assert [line[0] for line in seen] == [0, 1, 2, 3] and all(12 <= line[1] <= 32 for line in seen)
    for mine, theirs in itertools.zip_longest(first.parameters(), second.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
