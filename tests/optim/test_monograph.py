"""The exhibits keep their published defects: each test pins one, numbered as in the module."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from catsdogs.optim import PublishedAdam, PublishedSGD

BOTH = pytest.mark.parametrize("published", [PublishedSGD, PublishedAdam])
Published = Callable[..., Optimizer]


def weights_with_gradients(count: int = 1) -> list[Tensor]:
    weights = [torch.full((2,), float(k), requires_grad=True) for k in range(1, count + 1)]
    for weight in weights:
        weight.grad = torch.ones(2)
    return weights


@BOTH
def test_published_listings_match_torch_at_the_first_step(published: Published) -> None:
    native = torch.optim.SGD if published is PublishedSGD else torch.optim.Adam
    ours, theirs = weights_with_gradients(6), weights_with_gradients(6)
    published(ours, lr=0.1).step()
    native(theirs, lr=0.1).step()
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=0)


@BOTH
def test_defect_1_the_learning_rate_of_a_group_is_ignored(published: Published) -> None:
    (weight,) = weights_with_gradients()
    published([{"params": [weight], "lr": 0.0}], lr=0.1).step()
    assert not torch.equal(weight, torch.ones(2))


@BOTH
def test_defect_1_a_scheduler_changes_nothing(published: Published) -> None:
    scheduled, constant = weights_with_gradients(), weights_with_gradients()
    decayed, plain = published(scheduled, lr=0.1), published(constant, lr=0.1)
    scheduler = StepLR(decayed, step_size=1, gamma=0.1)
    for _ in range(3):
        decayed.step()
        plain.step()
        scheduler.step()
    assert torch.equal(scheduled[0], constant[0])


@BOTH
def test_defect_2_a_closure_cannot_go_backward_under_no_grad(published: Published) -> None:
    (weight,) = weights_with_gradients()

    def closure() -> float:
        loss = weight.square().sum()
        torch.autograd.backward(loss)
        return float(loss)

    with torch.no_grad(), pytest.raises(RuntimeError, match="does not require grad"):
        published([weight], lr=0.1).step(closure)


@BOTH
def test_defect_3_a_view_of_the_weights_is_left_behind(published: Published) -> None:
    (weight,) = weights_with_gradients()
    view = weight.detach().view(-1)
    published([weight], lr=0.1).step()
    assert torch.equal(view, torch.ones(2))
    assert not torch.equal(weight, view)


def test_defect_4_tensor_k_of_n_is_corrected_with_the_power_1_plus_n_times_t_minus_2_plus_k() -> (
    None
):
    beta1, beta2, lr, n = 0.9, 0.999, 0.1, 6
    weights = [torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(n)]
    optimizer = PublishedAdam(weights, lr, beta1, beta2, epsilon=0.0)
    expected = [0.0] * n
    for t in range(1, 5):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        for k in range(1, n + 1):
            power = 1 if t == 1 else 1 + n * (t - 2) + k
            m_hat = (1 - beta1**t) / (1 - beta1**power)
            v_hat = (1 - beta2**t) / (1 - beta2**power)
            expected[k - 1] -= lr * m_hat / v_hat**0.5
    assert [float(weight.detach()) for weight in weights] == pytest.approx(expected, rel=1e-12)


def test_defect_5_the_state_dict_of_published_adam_holds_no_state() -> None:
    optimizer = PublishedAdam(weights_with_gradients(), lr=0.1)
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


def test_defect_6_a_parameter_whose_first_gradient_comes_late_crashes_published_adam() -> None:
    early, late = weights_with_gradients(2)
    optimizer = PublishedAdam([early, late], lr=0.1)
    late.grad = None
    optimizer.step()
    late.grad = torch.ones(2)
    with pytest.raises(KeyError):
        optimizer.step()
