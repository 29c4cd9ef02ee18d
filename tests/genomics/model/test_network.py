"""What a network says of a sequence depends on nothing but the sequence; both strands say the same.

`B` batch, `T` bases.
"""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from tests.genomics.common import batch, codes, network
from titans_datasets.dna.alphabet import reverse_complement
from titans_ts.core import TitansConfig
from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.encoder import MaskedBatchNorm
from titans_ts.genomics.model.heads import segment_means
from titans_ts.genomics.model.strands import left_aligned, reverse
from titans_ts.genomics.model.strands import reverse_complement as other_strand

HEADS = ("pooled", "segments", "per_base")
KINDS = [*itertools.product(("one", "both"), HEADS), ("either", "pooled"), ("either", "segments")]
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.mark.parametrize(("strands", "head"), KINDS)
@pytest.mark.parametrize("block", ["mag", "lmm", "mac", "mal", "attention"])
def test_padding_and_batch_mates_do_not_matter(strands: str, head: str, block: str) -> None:
    config = network().config
    model = network(strands=strands, head=head, backbone=dataclasses.replace(config.backbone, block=block))
    arrays = codes()
    for place, alone in enumerate(arrays):
        expected = model(batch([alone]))[0]
        for side, extra in itertools.product(("right", "left"), (0, 1, 7)):
            b = batch(arrays, side, extra)
            found = model(b)[place]
            if head == "per_base":
                found = found[b["attention_mask"][place]]
            torch.testing.assert_close(found, expected, **CLOSE)


def test_what_lies_under_padding_does_not_matter() -> None:
    model, b = network(), batch(codes(), extra=3)
    expected = model(b)
    ids = torch.where(b["attention_mask"], b["input_ids"], torch.randint(0, 6, b["input_ids"].shape))
    torch.testing.assert_close(model({**b, "input_ids": ids}), expected, **CLOSE)


@pytest.mark.parametrize("strands", ["both", "either"])
@pytest.mark.parametrize("head", ["pooled", "segments", "position"])
@pytest.mark.parametrize("pool", [1, 2, 3])
def test_both_strands_get_the_same_answer(strands: str, head: str, pool: int) -> None:
    model = network(strands=strands, head=head, pool=pool, length=17)
    arrays = codes((17, 17) if head == "position" else (17, 9, 23))
    other = [reverse_complement(x) for x in arrays]
    torch.testing.assert_close(model(batch(other)), model(batch(arrays)), **CLOSE)
    torch.testing.assert_close(model.embed(batch(other)), model.embed(batch(arrays)), **CLOSE)


def test_bases_of_the_other_strand_get_the_mirrored_answer() -> None:
    model = network(strands="both", head="per_base")
    (array,) = codes((17,))
    found = model(batch([reverse_complement(array)]))
    torch.testing.assert_close(found.flip(1), model(batch([array])), **CLOSE)


def test_either_strand_is_drawn_for_each_sequence_while_training() -> None:
    model = network(strands="either", head_dropout=0.0).train()
    single = network(strands="one", head_dropout=0.0).train()
    single.load_state_dict(model.state_dict())
    for norm in (m for one in (model, single) for m in one.modules() if isinstance(m, MaskedBatchNorm)):
        norm.eval()  # a sequence alone has other statistics than forty of both strands
    (array,) = codes((17,))
    here, there = single(batch([array])), single(batch([reverse_complement(array)]))
    found = model(batch([array] * 40))
    as_given = (found - here).abs().amax(1) < 1e-9
    assert 5 < int(as_given.sum()) < 35 and bool(((found - there).abs().amax(1)[~as_given] < 1e-9).all())


def test_batch_norm_never_sees_padding() -> None:
    torch.manual_seed(0)
    x, mask = 3 * torch.randn(4, 5, 9).double() + 2, torch.arange(9) < torch.tensor([9, 4, 1, 6])[:, None]
    plain, ours = torch.nn.BatchNorm1d(5).double(), MaskedBatchNorm(5).double()
    rows = x.transpose(1, 2)[mask]
    expected = plain(rows)
    torch.testing.assert_close(ours(x, mask).transpose(1, 2)[mask], expected, **CLOSE)
    torch.testing.assert_close(ours.running_mean, plain.running_mean, **CLOSE)
    biased = (1 - 1 / len(rows)) * (plain.running_var - 0.9) + 0.9  # PyTorch keeps the unbiased variance
    torch.testing.assert_close(ours.running_var, biased, **CLOSE)
    state = {name: value.clone() for name, value in ours.state_dict().items()}
    torch.testing.assert_close(ours.eval()(x[:1], mask[:1]), ours(x, mask)[:1], **CLOSE)
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())


def test_batch_norm_keeps_its_statistics_in_full_precision() -> None:
    torch.manual_seed(0)
    x, mask = (20 + torch.randn(16, 3, 700)).bfloat16(), torch.ones(16, 700, dtype=torch.bool)
    norm = MaskedBatchNorm(3)
    y = norm(x, mask)
    assert y.dtype == torch.bfloat16 and norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean, 0.1 * x.float().mean((0, 2)), rtol=1e-4, atol=1e-4)
    assert float(y.detach().float().std()) == pytest.approx(1.0, abs=0.02)
    assert norm.eval()(x, mask).dtype == torch.bfloat16


@pytest.mark.parametrize("head", HEADS)
def test_training_does_not_see_padding_either(head: str) -> None:
    model = network(head=head, head_dropout=0.0, merge=1).train()
    arrays, state = codes(), {name: value.clone() for name, value in model.state_dict().items()}
    found, kept = [], []
    for side, extra in (("right", 0), ("right", 5), ("left", 7)):
        model.load_state_dict(state)
        b = batch(arrays, side, extra)
        y = model(b)
        found.append(y[b["attention_mask"]] if head == "per_base" else y)
        kept.append({name: value.clone() for name, value in model.state_dict().items() if "running" in name})
    for y, now in zip(found[1:], kept[1:], strict=True):
        torch.testing.assert_close(y, found[0], **CLOSE)
        assert now.keys() == kept[0].keys() != set()
        for name, value in now.items():
            torch.testing.assert_close(value, kept[0][name], **CLOSE)


def test_either_strand_is_not_for_bases() -> None:
    with pytest.raises(ValueError, match="strands must be 'one' or 'both' with head 'per_base', got 'either'"):
        network(strands="either", head="per_base")


def test_one_strand_tells_the_strands_apart() -> None:
    model = network(strands="one")
    (array,) = codes((17,))
    found = model(batch([reverse_complement(array)]))
    assert (found - model(batch([array]))).abs().max() > 1e-3


@pytest.mark.parametrize("strands", ["one", "both"])
def test_every_base_reaches_every_other_from_both_sides(strands: str) -> None:
    model = network(strands=strands, head="per_base")
    (array,) = codes((21,))
    plain = model(batch([array]))
    for place in (0, 20):
        changed = array.copy()
        changed[place] = (changed[place] + 1) % 4
        moved = (model(batch([changed])) - plain).abs().amax(-1)[0]
        assert (moved > 1e-9).all()


def test_causal_network_reads_no_further() -> None:
    config = network().config
    model = network(
        bidirectional=False, head="per_base", stem=1, pool=1, merge=1, conv_layers=0, backbone=config.backbone
    )
    (array,) = codes((21,))
    changed = array.copy()
    changed[12] = (changed[12] + 1) % 4
    moved = (model(batch([changed])) - model(batch([array]))).abs().amax(-1)[0]
    assert (moved[:12] < 1e-12).all()
    assert (moved[12:] > 1e-6).any()


@pytest.mark.parametrize(("strands", "head"), KINDS)
def test_nothing_known_gives_numbers(strands: str, head: str) -> None:
    model = network(strands=strands, head=head).train()
    ids = torch.full((2, 12), 4)
    labels = torch.zeros((2, 12) if head == "per_base" else 2, dtype=torch.int64)
    loss = model.loss({"input_ids": ids, "attention_mask": torch.ones_like(ids).bool(), "labels": labels})
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_every_parameter_learns() -> None:
    for strands, head in [*KINDS, ("one", "position")]:
        model = network(strands=strands, head=head, length=17)
        b = batch(codes((17, 17, 17)))
        labels = torch.ones((3, 17) if head == "per_base" else 3, dtype=torch.int64)
        model.loss({**b, "labels": labels}).backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert still == []


def test_weights_of_rows() -> None:
    model, b = network(), batch(codes())
    labels = torch.tensor([0, 1, 2])
    losses, _ = model.row_losses({**b, "labels": labels})
    weighted = model.loss({**b, "labels": labels, "weight": torch.tensor([1.0, 0.0, 3.0])})
    torch.testing.assert_close(weighted, (losses[0] + 3 * losses[2]) / 4)


def test_padding_has_no_part_in_the_loss_of_bases() -> None:
    model, arrays = network(head="per_base"), codes()
    rows = [torch.randint(0, 3, (len(x),)) for x in arrays]
    alone = [model.row_losses({**batch([x]), "labels": row[None]})[0] for x, row in zip(arrays, rows, strict=True)]
    b = batch(arrays, extra=4)
    labels = torch.full(b["input_ids"].shape, 2)
    labels[b["attention_mask"]] = torch.cat(rows)
    torch.testing.assert_close(model.loss({**b, "labels": labels}), torch.cat(alone).mean(), **CLOSE)


def test_config_survives_json() -> None:
    config = network(strands="both", head="segments").config
    assert SequenceConfig.from_dict(config.to_dict()) == config


def test_left_aligned() -> None:
    b = batch(codes(), "left", 3)
    ids, mask, lengths = left_aligned(b["input_ids"], b["attention_mask"])
    expected = batch(codes())
    assert torch.equal(ids, expected["input_ids"])
    assert torch.equal(mask, expected["attention_mask"])
    assert lengths.tolist() == [17, 9, 23]


def test_reversing_twice_changes_nothing() -> None:
    b = batch(codes())
    ids, _, lengths = left_aligned(b["input_ids"], b["attention_mask"])
    assert torch.equal(other_strand(other_strand(ids, lengths), lengths), ids)
    x = torch.randn(3, 23, 2)
    real = b["attention_mask"][..., None]
    torch.testing.assert_close(reverse(reverse(x, lengths), lengths) * real, x * real)
    for row, array in zip(other_strand(ids, lengths), codes(), strict=True):
        assert row[: len(array)].tolist() == reverse_complement(array).tolist()


@pytest.mark.parametrize("count", [1, 3, 8, 21])
def test_segment_means_keep_constants_and_order(count: int) -> None:
    mask = torch.arange(24) < count
    ramp = torch.arange(24, dtype=torch.float64)[None, :, None]
    x = torch.cat([torch.ones_like(ramp), ramp], dim=-1)
    found = segment_means(x, mask[None], 8)[0]
    torch.testing.assert_close(found[:, 0], torch.ones(8, dtype=torch.float64))
    assert (found[:, 1].diff() >= 0).all()
    torch.testing.assert_close(found[:, 1].mean(), torch.tensor((count - 1) / 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 0, 1], [1, 1, 1]], "one segment per row"),
        ([[0, 0, 0], [1, 1, 1]], "row 0 of the batch is padding only"),
    ],
)
def test_bad_masks_are_refused(mask: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network()({"input_ids": torch.zeros(2, 3, dtype=torch.int64), "attention_mask": torch.tensor(mask)})


def test_bad_codes_and_shapes_are_refused() -> None:
    ids = torch.tensor([[0, 5, 1]])
    with pytest.raises(ValueError, match="must be 0 … 4"):
        network()({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    with pytest.raises(ValueError, match=r"must both be \(batch, tokens\)"):
        network()({"input_ids": ids, "attention_mask": torch.ones(1, 2)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": 0}, "outputs must be"),
        ({"stem": 4}, "stem must be an odd number"),
        ({"kernel": 0}, "kernel must be an odd number"),
        ({"pool": 0}, "pool must be"),
        ({"head": "flat"}, "head must be one of"),
        ({"head": "position"}, "length must be"),
        ({"strands": "two"}, "strands must be one of"),
        ({"head_dropout": 1.0}, "head_dropout must be"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceConfig(**{"outputs": 2, "backbone": TitansConfig(), **changes})  # type: ignore[arg-type]


def test_position_head_refuses_other_lengths() -> None:
    model = network(head="position", length=17)
    with pytest.raises(ValueError, match="sequences of 9 tokens, got 12"):
        model(batch(codes((23,))))
