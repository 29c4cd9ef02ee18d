"""Language models of DNA: any pieces give the same answer, N and padding count nothing, what can be learned is learned.

`B` batch, `T` bases.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.genomics.common import batch, codes
from titans_datasets.dna.alphabet import reverse_complement_text
from titans_ts.core import MemoryConfig, TitansConfig
from titans_ts.genomics.language.language_model import DNALanguageModel
from titans_ts.genomics.language.scoring import likelihoods
from titans_ts.genomics.model.config import LanguageConfig
from titans_ts.genomics.model.language_head import LanguageModelHead
from titans_ts.genomics.model.language_network import LanguageNetwork, LanguageState
from titans_ts.support.model_folder import sealed

CPU = torch.device("cpu")
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
BLOCKS = ("mag", "lmm", "mac", "mal", "attention")
OBJECTIVES = ("causal", "masked")
OPTIONS: dict[str, Any] = {
    "width": 16,
    "heads": 2,
    "layers": 1,
    "window": 16,
    "memory": {"chunk_size": 8},
    "learning_rate": 1e-2,
    "progress": False,
}


def network(objective: str = "causal", block: str = "mag", **changes: Any) -> LanguageNetwork:
    """A float64 network in evaluation mode, with gates, convolutions and memory away from their starts."""
    memory = MemoryConfig(chunk_size=3, step_size=0.02)
    backbone = TitansConfig(block, 8, heads=2, layers=2, window=4, segment=5, memory=memory, dropout=0.0)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = LanguageNetwork(LanguageConfig(objective, backbone=backbone, **changes)).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gates.weight" in name or "conv_weight" in name or "embedding" in name:
                parameter += 0.3 * torch.randn_like(parameter)
            if "memory_start" in name:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-2] ** 0.5)
    return model


def model(**params: Any) -> DNALanguageModel:
    """A tiny language model of a few passes."""
    options = {**OPTIONS, **params.pop("options", {})}
    return DNALanguageModel(**{"context_length": 62, "max_epochs": 1, "device": "cpu", **params}, options=options)


def random_dna(count: int, length: int, seed: int = 0) -> list[str]:
    """Uniform random sequences."""
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("ACGT"), length)) for _ in range(count)]


def periodic(count: int, length: int, seed: int = 0) -> list[str]:
    """One word of twelve bases over and over, from any phase."""
    random = np.random.default_rng(seed)
    return [("AACGTTTGCATC" * length)[random.integers(0, 12) :][:length] for _ in range(count)]


def numbers_in(state: LanguageState) -> int:
    """How many numbers a state holds."""

    def count(part: Any) -> int:
        return part.numel() if torch.is_tensor(part) else sum(map(count, part)) if isinstance(part, tuple) else 0

    return count(state)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 24), max_size=5, unique=True), block=st.sampled_from(BLOCKS))
def test_any_pieces_give_the_same_answer(cuts: list[int], block: str) -> None:
    one, b = network(block=block), batch(codes((25, 25, 11)))
    ids, mask = b["input_ids"], b["attention_mask"]
    expected, end = one(ids, mask)
    state, pieces = None, []
    borders = [0, *sorted(cuts), 25]
    for start, stop in itertools.pairwise(borders):
        logits, state = one(ids[:, start:stop], mask[:, start:stop], state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1)[mask], expected[mask], **CLOSE)
    assert state is not None
    torch.testing.assert_close(state.hidden, end.hidden, **CLOSE)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_padding_and_batch_mates_do_not_matter(objective: str, block: str) -> None:
    one, arrays = network(objective, block), codes()
    b = batch(arrays, extra=6)
    ids = torch.where(b["attention_mask"], b["input_ids"], torch.randint(0, 4, b["input_ids"].shape))
    found, state = one(ids, b["attention_mask"])
    for place, alone in enumerate(arrays):
        by_itself = batch([alone])
        expected, end = one(by_itself["input_ids"], by_itself["attention_mask"])
        torch.testing.assert_close(found[place, : len(alone)], expected[0], **CLOSE)
        torch.testing.assert_close(state.hidden[place], end.hidden[0], **CLOSE)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_base_has_no_part_in_what_is_expected_of_it(objective: str) -> None:
    one, b = network(objective), batch(codes((20,)))
    before, _ = one(b["input_ids"], b["attention_mask"])
    changed = b["input_ids"].clone()
    changed[0, 9] = (changed[0, 9] + 1) % 4
    after, _ = one(changed, b["attention_mask"])
    moved = (after - before).abs().amax(-1)[0] > 1e-9
    assert moved[10:].any()
    assert not moved[9]
    assert moved[:9].any() == (objective == "masked")
    if objective == "causal":
        assert not moved[:9].any()


@pytest.mark.parametrize("block", BLOCKS)
def test_state_does_not_grow(block: str) -> None:
    one, (long,) = network(block=block), codes((90,))
    b = batch([long])
    sizes, state = [], None
    for start in range(0, 90, 15):
        _, state = one(b["input_ids"][:, start : start + 15], b["attention_mask"][:, start : start + 15], state)
        sizes.append(numbers_in(state))
    assert len(set(sizes)) == 1


def test_likelihoods_are_those_of_single_draws() -> None:
    one, arrays = network().requires_grad_(False), codes((14, 9))
    found = likelihoods(one, arrays, 64, CPU)
    for place, array in enumerate(arrays):
        state, total = one.initial_state(1), 0.0
        for base in array.tolist():
            if base < 4:
                total += float(one.expected(state).log_softmax(-1)[0, base])
            _, state = one.read(torch.tensor([[base]]), torch.ones(1, 1, dtype=torch.bool), state)
        assert found.nats[place] == pytest.approx(total, rel=1e-9)
        assert found.bases[place] == (array < 4).sum()


def test_soft_masked_bases_have_their_weight() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(1, 5, 4), torch.tensor([[0, 1, 4, 3, 2]])
    mask = torch.tensor([[True, True, True, True, False]])
    soft = torch.tensor([[False, True, True, False, False]])
    losses, weight = LanguageModelHead(8, soft_mask_weight=0.1).losses(logits, ids, mask, soft)
    assert weight.tolist() == [[1.0, pytest.approx(0.1), 0.0, 1.0, 0.0]]
    expected = -logits.log_softmax(-1)[0, [0, 1, 3], [0, 1, 3]]
    torch.testing.assert_close(losses[0, [0, 1, 3]], expected)
    assert losses[0, 2] == losses[0, 4] == 0
    _, unknown_case = LanguageModelHead(8, soft_mask_weight=0.1).losses(logits, ids, mask)
    assert unknown_case.tolist() == [[1.0, 1.0, 0.0, 1.0, 0.0]]


def test_soft_masked_bases_are_not_learned_at_weight_0() -> None:
    random = random_dna(4, 62)
    half = [text[:31] + text[31:].lower() for text in random]
    other = [text[:31] + text[31:].lower()[::-1] for text in random]
    params: dict[str, Any] = {"validation_fraction": 0, "reverse_complement": False}

    def learned(X: list[str], weight: float) -> float:
        return model(soft_mask_weight=weight, **params).fit(X).score(random)

    # A causal network has read the upper-case half before: what follows it has no say at weight 0.
    assert learned(half, 0.0) == learned(other, 0.0)
    assert learned(half, 1.0) != learned(other, 1.0)
    # Windows without a base that counts are left out.
    assert learned([*half, random[0].lower()], 0.0) == learned(half, 0.0)


def test_n_counts_nothing() -> None:
    one = model(max_epochs=0).fit(random_dna(20, 62))
    assert one.log_likelihood(["NNNN", "ACGT"])[0] == 0
    assert one.score(["NNNN", "ACGT"]) == pytest.approx(one.log_likelihood(["ACGT"])[0] / 4)
    with pytest.raises(ValueError, match="nothing but N"):
        one.score(["NNN"])
    with pytest.raises(ValueError, match="got no A, C, G or T"):
        model().fit(["NNNN", "NN"])
    with pytest.raises(ValueError, match="upper-case"):
        model(soft_mask_weight=0).fit(["acgt"])


@pytest.fixture(scope="module", params=OBJECTIVES)
def learned(request: pytest.FixtureRequest) -> DNALanguageModel:
    """Knows a periodic sequence and its other strand."""
    options = {"batch_size": 8, "learning_rate": 2e-2, "memory": {"chunk_size": 16}}
    return model(objective=request.param, max_epochs=20, options=options).fit(periodic(30, 62))


def test_what_can_be_learned_is_learned(learned: DNALanguageModel) -> None:
    assert learned.bits_per_base(periodic(10, 62, seed=1)) < 0.5
    assert learned.training_["best_loss"] < learned.training_["start_loss"]
    # The other strand was read, too.
    other = [reverse_complement_text(text) for text in periodic(10, 62, seed=1)]
    assert learned.bits_per_base(other) < 0.5
    assert learned.bits_per_base(random_dna(10, 62)) > 2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_is_learned_from_chance(objective: str) -> None:
    one = model(objective=objective, max_epochs=2).fit(random_dna(40, 62))
    assert one.bits_per_base(random_dna(40, 62, seed=1)) == pytest.approx(2.0, abs=0.06)


@pytest.fixture(scope="module", params=OBJECTIVES)
def fitted(request: pytest.FixtureRequest) -> DNALanguageModel:
    """Fitted for one pass."""
    return model(objective=request.param).fit(random_dna(20, 100))


def test_embeddings_do_not_depend_on_pieces(fitted: DNALanguageModel) -> None:
    X = [*random_dna(2, 70), "ACGTN", *random_dna(2, 33)]
    for pooling in ("mean", "last"):
        whole = fitted.embed(X, pooling=pooling)
        assert whole.shape == (5, 16 if fitted.objective == "causal" else 32)
        for chunk in (1, 13):
            np.testing.assert_allclose(fitted.embed(X, chunk=chunk, pooling=pooling), whole, atol=2e-5)
        np.testing.assert_allclose(fitted.embed(X[2:3], pooling=pooling), whole[2:3], atol=2e-5)
    np.testing.assert_allclose(fitted.embed(["A"], pooling="last"), fitted.embed(["A"]), atol=1e-6)


def test_long_sequences_are_read_in_pieces(fitted: DNALanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    X = [*random_dna(1, 200), *random_dna(3, 20)]
    expected = fitted.log_likelihood(X)
    monkeypatch.setattr("titans_ts.genomics.language.scoring.TOKENS", 64)
    np.testing.assert_allclose(fitted.log_likelihood(X), expected, rtol=1e-5)


def test_both_strands_are_averaged(fitted: DNALanguageModel) -> None:
    X = random_dna(3, 40, seed=3)
    other = [reverse_complement_text(text) for text in X]
    both = fitted.log_likelihood(X, both_strands=True)
    mean = (fitted.log_likelihood(X) + fitted.log_likelihood(other)) / 2
    np.testing.assert_allclose(both, mean, rtol=1e-6)
    np.testing.assert_allclose(fitted.log_likelihood(other, both_strands=True), both, rtol=1e-6)
    assert fitted.bits_per_base(X, both_strands=True) == pytest.approx(-both.sum() / 120 / math.log(2))


def test_letters_of_any_kind(fitted: DNALanguageModel, tmp_path: Path) -> None:
    X = random_dna(3, 40, seed=4)
    expected = fitted.log_likelihood(X)
    file = tmp_path / "some.fa"
    file.write_text("".join(f">s{i}\n{text[:20]}\n{text[20:]}\n" for i, text in enumerate(X)))
    same = (file, [text.lower().replace("t", "u") for text in X], pd.DataFrame({"sequence": X}), np.array(X))
    for other in same:
        np.testing.assert_array_equal(fitted.log_likelihood(other), expected)


def test_a_model_is_the_same_after_saving(fitted: DNALanguageModel, tmp_path: Path) -> None:
    X = random_dna(4, 70, seed=5)
    loaded = DNALanguageModel.load(fitted.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.log_likelihood(X), fitted.log_likelihood(X))
    np.testing.assert_array_equal(loaded.embed(X), fitted.embed(X))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.training_ == fitted.training_
    if fitted.objective == "causal":
        assert loaded.generate(20, random_state=1) == fitted.generate(20, random_state=1)


def test_models_of_0_1_are_read(fitted: DNALanguageModel, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "version": 1}))
    X = random_dna(4, 70, seed=5)
    np.testing.assert_array_equal(DNALanguageModel.load(folder).log_likelihood(X), fitted.log_likelihood(X))


def test_damaged_models_are_refused(fitted: DNALanguageModel, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["network"]["backbone"]
    (folder / "config.json").write_text(json.dumps(sealed(config)))
    with pytest.raises(ValueError, match="damaged"):
        DNALanguageModel.load(folder)
    folder = fitted.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["network"]["backbone"]["width"] *= 2**20
    (folder / "config.json").write_text(json.dumps(sealed(config)))
    with pytest.raises(ValueError, match="its weights are not those of the network"):
        DNALanguageModel.load(folder)
    with pytest.raises(FileNotFoundError):
        DNALanguageModel.load(tmp_path / "nothing")


@pytest.mark.parametrize("learned", ["causal"], indirect=True)
def test_generated_dna(learned: DNALanguageModel) -> None:
    assert learned.generate(24, prompt="AACGTTTGCATC" * 3, temperature=0) == "AACGTTTGCATC" * 2
    assert learned.generate(30, random_state=7) == learned.generate(30, random_state=7)
    assert learned.generate(30, random_state=7) != learned.generate(30, random_state=8)
    assert set(learned.generate(60, temperature=100.0, random_state=0)) == set("ACGT")


def test_equal_seeds_give_equal_models() -> None:
    X = random_dna(20, 62)
    first, second = (model(random_state=3).fit(X).score(X) for _ in range(2))
    assert first == second
    assert clone(model(random_state=3)).fit(X).score(X) == first
    assert model(random_state=4).fit(X).score(X) != first


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"objective": "bert"}, "objective must be one of"),
        ({"context_length": 1}, "context_length must be an integer ≥ 2"),
        ({"block": "gru"}, "block must be one of"),
        ({"reverse_complement": "auto"}, "reverse_complement must be True or False"),
        ({"soft_mask_weight": -0.1}, "soft_mask_weight must be a number ≥ 0"),
        ({"validation_fraction": 0.9}, "validation_fraction must be"),
        ({"max_epochs": -1}, "max_epochs must be"),
        ({"time_budget": 0}, "time_budget must be"),
        ({"options": {"widht": 8}}, r"option 'widht' is unknown \(did you mean 'width'\?\)"),
        ({"options": {"mutation_rate": 0.1}}, "option 'mutation_rate' is unknown"),
        ({"options": {"memory": {"deep": 2}}}, "memory option 'deep' is unknown"),
        ({"options": {"width": 7}}, "width must be a multiple"),
        ({"device": "abacus"}, "device must be"),
    ],
)
def test_bad_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**params).fit(random_dna(20, 62))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["ACGT", "ACGTMKLVE"], ValueError, r"sequence 1, position 7: letter 'L'"),
        (["ACGT", ""], ValueError, "sequence 1 is empty"),
        (["ACGT", 3], TypeError, "sequence 1 must be a str"),
        ([], ValueError, "at least one sequence"),
        ("ACGT", TypeError, "got one sequence"),
        (pd.DataFrame({"dna": ["ACGT"]}), ValueError, "is no column of the table"),
        (["ACGT"], ValueError, "nothing to hold out"),
    ],
)
def test_bad_sequences(fitted: DNALanguageModel, X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model().fit(X)
    if "hold out" not in message:
        with pytest.raises(error, match=message):
            fitted.score(X)


def test_bad_questions(fitted: DNALanguageModel) -> None:
    with pytest.raises(NotFittedError):
        model().score(["ACGT"])
    with pytest.raises(ValueError, match="chunk must be an integer ≥ 1"):
        fitted.embed(["ACGT"], chunk=0)
    with pytest.raises(ValueError, match="pooling must be one of"):
        fitted.embed(["ACGT"], pooling="max")
    if fitted.objective == "masked":
        with pytest.raises(ValueError, match="objective='causal'"):
            fitted.generate(3)
        return
    with pytest.raises(ValueError, match="n must be an integer ≥ 1"):
        fitted.generate(0)
    with pytest.raises(ValueError, match="temperature must be a number ≥ 0"):
        fitted.generate(3, temperature=-1)
    with pytest.raises(ValueError, match="position 3: letter 'X'"):
        fitted.generate(3, prompt="ACX")


def test_bad_batches() -> None:
    one, true = network(), torch.ones(1, 3, dtype=torch.bool)
    ids = torch.tensor([[0, 1, 2]])
    with pytest.raises(ValueError, match="must both be"):
        one(ids, true[:, :2])
    with pytest.raises(ValueError, match=r"ids must be 0 … 4"):
        one(torch.tensor([[0, 5, 2]]), true)
    with pytest.raises(ValueError, match="row 0 has a base after padding"):
        one(ids, torch.tensor([[True, False, True]]))
    _, state = one(ids, torch.tensor([[True, True, False]]))
    with pytest.raises(ValueError, match="row 0 has a base after padding"):
        one(ids, true, state)
    with pytest.raises(ValueError, match="same batch"):
        one(ids.expand(2, 3), true.expand(2, 3), state)
    with pytest.raises(ValueError, match="reads whole sequences from both ends"):
        network("masked")(ids, true, state)
    with pytest.raises(ValueError, match="sides must be"):
        LanguageModelHead(8, sides=3)
