"""Lightning modules of networks that read DNA: losses, answers, and norms that processes share."""

from __future__ import annotations

import pytest
import torch

from tests.genomics.common import batch, codes, network
from titans_ts.genomics import SequenceModule
from titans_ts.genomics.model.encoder import MaskedBatchNorm
from titans_ts.genomics.training.data import Outputs
from titans_ts.genomics.training.module import BaseLabelsModule, RegressionModule
from titans_ts.genomics.training.recipe import EncoderOptions, base_labels_module, classification_module
from titans_ts.genomics.training.scores import in_order


def labelled(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**batch(codes()), "labels": labels, "weight": torch.ones(3), "index": torch.arange(3)}


def test_what_does_not_count_has_no_weight() -> None:
    module = SequenceModule(network())
    given = labelled(torch.tensor([0, 1, 2]))
    assert module.row_losses({**given, "counted": torch.tensor(0.0)})[1].tolist() == [0, 0, 0]
    losses, weight = module.row_losses({**given, "counted": torch.tensor(1.0)})
    assert torch.equal(weight, torch.ones(3)) and torch.equal(losses, module.network.row_losses(given)[0])


def test_answers_of_bases_leave_padding_out() -> None:
    module = BaseLabelsModule(network(head="per_base"))
    found = module.predict_step(labelled(torch.zeros(3)), 0)["answers"]
    assert [len(row) for row in found] == [17, 9, 23]
    assert all(torch.allclose(row.sum(-1), torch.ones(())) for row in found)


@pytest.mark.parametrize(("loss", "wanted"), [("mse", 4.0), ("huber", 1.5)])
def test_numbers_are_in_units_of_their_spread(loss: str, wanted: float) -> None:
    module = RegressionModule(network(outputs=1), loss=loss, mean=10.0, spread=5.0)  # type: ignore[arg-type]
    given = labelled(torch.zeros(3))
    answer = torch.cat(module.answers(given))
    output = module.network(given)[:, 0].float()
    assert torch.allclose(answer, 10 + 5 * output)
    losses, _ = module.row_losses({**given, "labels": 10 + 5 * (output + 2)})
    assert torch.allclose(losses, torch.full((3,), wanted), atol=1e-5)


def test_counts_have_a_rate() -> None:
    module = RegressionModule(network(outputs=1), loss="poisson", mean=4.0)
    given = labelled(torch.tensor([0.0, 3.0, 9.0]))
    rate = torch.cat(module.answers(given))
    assert (rate > 0).all()
    # Half the deviance of counts over their mean, as of `DNARegressor`.
    counts, rates = given["labels"] / 4, rate / 4
    deviance = rates - counts * rates.log() + torch.xlogy(counts, counts) - counts
    assert torch.allclose(module.row_losses(given)[0], deviance, atol=1e-5) and (deviance >= 0).all()
    with pytest.raises(ValueError, match="mean is not above 0"):
        RegressionModule(network(outputs=1), loss="poisson", mean=0.0)


def test_heads_that_do_not_fit_the_data() -> None:
    outputs = Outputs("sequence_classification", ["a", "b", "c"], 0, 1024, 0.0, 1.0, 10, 0)
    assert classification_module(outputs).network.config.outputs == 3
    with pytest.raises(ValueError, match="choose 'segments'"):
        classification_module(outputs, head="position")
    assert classification_module(outputs._replace(length=40), head="position").network.config.tokens == 10
    with pytest.raises(ValueError, match="is for task base_labels"):
        classification_module(outputs, head="per_base")
    bases = base_labels_module(outputs._replace(task="base_labels"), encoder=EncoderOptions(stem=3))
    assert (bases.network.config.pool, bases.network.config.head) == (1, "per_base")


def test_a_shared_norm_of_one_process_is_a_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed.nn.functional as distributed

    monkeypatch.setattr(distributed, "all_reduce", lambda x: x)
    x, mask = torch.randn(3, 4, 7), torch.ones(3, 7, dtype=torch.bool)
    mask[0, 5:] = False
    one, shared = MaskedBatchNorm(4), MaskedBatchNorm(4)
    shared.shared = True
    assert torch.equal(one(x, mask), shared(x, mask))
    assert torch.equal(one.running_mean, shared.running_mean)


def test_answers_come_in_order_and_once() -> None:
    first = {"index": torch.tensor([2, 0]), "answers": [torch.tensor([2.0]), torch.tensor([0.0])]}
    second = {"index": torch.tensor([1, 2]), "answers": [torch.tensor([1.0]), torch.tensor([2.0])]}
    assert [float(one[0]) for one in in_order([first, second])] == [0, 1, 2]
