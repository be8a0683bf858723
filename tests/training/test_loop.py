"""The training loop: order, metrics, events, and no update with a cost that is not finite."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from catsdogs.data.manifest import Split
from catsdogs.data.order import epoch_permutation
from catsdogs.features.feature_store import Features
from catsdogs.optim.step_inputs import constructor_inputs
from catsdogs.training.events import DivergedError, EpochDone, StepDone, TrainConfig
from catsdogs.training.loop import FeaturesOf, batches, evaluate, fit


class Linear(nn.Module):
    """A head with two features per image, small enough to compute by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -0.2]))

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight


def make_features(count: int, seed: int = 0) -> Features:
    values = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)).numpy()
    labels = (torch.arange(count) % 2).float()
    return Features(values, labels, [str(n) for n in range(count)], torch.device("cpu"))


def always(train: Features, val: Features) -> FeaturesOf:
    return lambda epoch: {"train": train, "val": val}


def run(
    head: nn.Module, epochs: int = 2, lr: float = 0.1, train: Features | None = None
) -> Iterator[StepDone | EpochDone]:
    return fit(
        head,
        torch.optim.SGD(head.parameters(), lr=lr),
        always(train or make_features(10), make_features(7, seed=1)),
        TrainConfig(epochs=epochs, batch_size=4, val_batch_size=3, seed=0),
    )


def test_the_untrained_head_comes_first_then_every_step_and_epoch_in_order() -> None:
    events = list(run(Linear()))
    names = "".join("e" if isinstance(event, EpochDone) else "s" for event in events)
    assert names == "essse" + "ssse"
    assert [e.iteration for e in events if isinstance(e, StepDone)] == [1, 2, 3, 4, 5, 6]
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [0, 1, 2]


def test_costs_and_weights_equal_a_loop_written_by_hand() -> None:
    head, reference = Linear(), torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    train = make_features(10)
    costs = [event.cost for event in run(head, train=train) if isinstance(event, StepDone)]
    expected = []
    for epoch in (1, 2):
        order = epoch_permutation(10, 0, epoch)
        for rows in (order[:4], order[4:8], order[8:]):
            logits = torch.from_numpy(train.values[rows.numpy()]).double() @ reference
            cost = binary_cross_entropy_with_logits(logits, train.labels[rows].double())
            (gradient,) = torch.autograd.grad(cost, reference)
            reference = (reference - 0.1 * gradient).detach().requires_grad_()
            expected.append(cost.item())
    assert costs == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(head.weight.double(), reference, atol=1e-6, rtol=0)


def test_every_epoch_trains_on_its_own_features_and_is_evaluated_on_them() -> None:
    asked = []

    def features(epoch: int) -> dict[Split, Features]:
        asked.append(epoch)
        return {"train": make_features(10, seed=epoch), "val": make_features(7, seed=10 + epoch)}

    head = Linear()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.0)
    train_config = TrainConfig(epochs=3, batch_size=10, val_batch_size=3, seed=0)
    done = [e for e in fit(head, optimizer, features, train_config) if isinstance(e, EpochDone)]
    assert asked == [0, 1, 2, 3]
    for event in done:
        for cost, count, seed in (
            (event.train_cost, 10, event.epoch),
            (event.val.cost, 7, 10 + event.epoch),
        ):
            expected = evaluate(head, make_features(count, seed), 10).cost
            assert cost == pytest.approx(expected, abs=1e-6)


def test_an_epoch_cost_weighs_images_not_batches() -> None:
    events = list(run(Linear(), epochs=1))
    costs = [event.cost for event in events if isinstance(event, StepDone)]
    epoch = events[-1]
    assert isinstance(epoch, EpochDone)
    assert epoch.train_cost == pytest.approx((4 * costs[0] + 4 * costs[1] + 2 * costs[2]) / 10)
    assert epoch.train_cost != pytest.approx(sum(costs) / 3)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_an_evaluation_is_the_same_for_any_batch_size(batch_size: int) -> None:
    head, features = Linear(), make_features(40)
    whole = head(torch.from_numpy(features.values)).detach()
    evaluation = evaluate(head, features, batch_size)
    right = sum(
        (logit > 0) == (label == 1) for logit, label in zip(whole, features.labels, strict=True)
    )
    assert evaluation.accuracy == pytest.approx(int(right) / 40)
    expected = binary_cross_entropy_with_logits(whole, features.labels).item()
    assert evaluation.cost == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(evaluation.logits, whole)


def test_the_order_of_an_epoch_is_a_permutation_that_seed_and_epoch_decide() -> None:
    order = epoch_permutation(50, 3, 2)
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(order, epoch_permutation(50, 3, 2))
    assert not torch.equal(order, epoch_permutation(50, 3, 3))
    assert not torch.equal(order, epoch_permutation(50, 4, 2))
    assert not torch.equal(epoch_permutation(50, 0, 1), epoch_permutation(50, 1, 0))


def test_a_cost_that_is_not_finite_is_reported_and_stops_before_the_update() -> None:
    head, train = Linear(), make_features(10)
    assert isinstance(train.values, np.ndarray)
    train.values[epoch_permutation(10, 0, 1)[5]] = (
        math.inf
    )  # in the second batch of the first epoch
    events = []
    stream = run(head, train=train)
    with pytest.raises(DivergedError, match="epoch 1, iteration 2"):
        for event in stream:
            events.append(event)
            if isinstance(event, StepDone) and event.iteration == 1:
                before = head.weight.detach().clone()
    assert isinstance(events[-1], StepDone)
    assert not math.isfinite(events[-1].cost)
    assert torch.equal(head.weight, before)


def test_a_validation_cost_that_is_not_finite_is_reported_and_stops() -> None:
    train = make_features(4)  # one batch, so that no later step sees the huge weights first
    assert isinstance(train.values, np.ndarray)
    train.values[:] *= 100
    with pytest.raises(DivergedError, match="validation cost"):
        list(run(Linear(), epochs=1, lr=3e38, train=train))


def test_the_learning_rate_of_an_epoch_is_the_one_it_ran_with() -> None:
    head, train = Linear(), make_features(10)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    events = fit(head, optimizer, always(train, train), TrainConfig(4, 5, 5, seed=0), scheduler)
    rates = [event.learning_rate for event in events if isinstance(event, EpochDone)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_flat_training_cost_ends_the_run_before_its_last_epoch() -> None:
    head, train = Linear(), make_features(10)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-9)
    train_config = TrainConfig(50, 5, 5, seed=0, stop_when_flat=1e-3)
    assert [
        e.epoch
        for e in fit(head, optimizer, always(train, train), train_config)
        if hasattr(e, "epoch")
    ] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("limit", [{"clip_value": 1e-3}, {"clip_norm": 1e-3}])
def test_clipping_bounds_the_step(limit: dict[str, float]) -> None:
    head, train = Linear(), make_features(10)
    before = head.weight.detach().clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    list(fit(head, optimizer, always(train, train), TrainConfig(1, 10, 10, seed=0, **limit)))
    moved = (head.weight - before).detach()
    size = moved.abs().max() if "clip_value" in limit else moved.norm()
    assert size.item() == pytest.approx(1e-3, rel=1e-3)


class Teller(torch.optim.SGD):
    """Records the arguments of its steps."""

    def __init__(self, params: Any, declared: str | None) -> None:
        super().__init__(params, lr=0.0)
        self.step_inputs, self.told = declared, list[dict[str, Any]]()

    def step(self, closure: Any = None, **told: Any) -> None:  # type: ignore[override]
        self.told.append(told)


def test_blocks_keep_their_members_and_only_their_order_changes() -> None:
    head, train = Linear(), make_features(10)
    optimizer = Teller(head.parameters(), "block")
    train_config = TrainConfig(epochs=6, batch_size=4, val_batch_size=4, seed=0)
    epochs = [dict(batches(optimizer, 10, train_config, epoch)) for epoch in range(1, 7)]
    for blocks in epochs:
        assert {n: rows.tolist() for n, rows in blocks.items()} == {
            n: rows.tolist() for n, rows in epochs[0].items()
        }
    assert len({tuple(blocks) for blocks in epochs}) > 1
    assert [len(epochs[0][n]) for n in range(3)] == [4, 4, 2]
    assert constructor_inputs(optimizer, 10, 4) == {"block_sizes": (4, 4, 2)}
    list(fit(head, optimizer, always(train, train), train_config))
    assert [told["block"] for told in optimizer.told[:3]] == list(epochs[0])


def test_an_optimizer_that_declares_samples_is_told_rows_features_and_slopes() -> None:
    head, train = Linear(), make_features(10)
    optimizer = Teller(head.parameters(), "samples")
    list(fit(head, optimizer, always(train, train), TrainConfig(1, 4, 4, seed=0)))
    told, rows = optimizer.told[0], epoch_permutation(10, 0, 1)[:4]
    assert torch.equal(told["samples"], rows)
    assert torch.equal(told["features"], train.batch(rows)[0])
    logits = head(told["features"]).detach()
    slopes = (logits.sigmoid() - train.labels[rows]) / 4
    torch.testing.assert_close(told["logit_grad"], slopes)


@pytest.mark.parametrize("declared", ["block", "samples", None])
def test_an_unsuitable_head_is_refused_before_anything_runs(
    declared: str | None,
) -> None:
    norm = nn.BatchNorm1d(1)
    head = nn.Sequential(nn.Linear(2, 1), norm, nn.Flatten(0))
    optimizer = Teller(head.parameters(), declared)
    features = make_features(6)
    events = fit(head, optimizer, always(features, features), TrainConfig(1, 3, 3, seed=0))
    if declared is None:
        list(events)
        return
    with pytest.raises(ValueError, match=r"Teller needs .* and 1 \(BatchNorm1d\) uses batch"):
        next(events)
    assert norm.num_batches_tracked == 0
    norm.eval()
    next(fit(head, optimizer, always(features, features), TrainConfig(1, 3, 3, seed=0)))
