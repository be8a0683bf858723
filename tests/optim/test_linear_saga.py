"""SAGA with one slope per sample, against SAGA with one gradient per sample and scikit-learn."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from catsdogs.optim import SAGA, LinearSAGA

SAMPLES, WIDTH = 40, 6


def classification() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, WIDTH, generator=generator, dtype=torch.float64)
    labels = (features[:, 0] + torch.randn(SAMPLES, generator=generator) > 0).double()
    return features, labels


def model(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(1, WIDTH, dtype=dtype, requires_grad=True)
    bias = torch.zeros(1, dtype=dtype, requires_grad=True)
    return weight, bias


def fit(
    optimizer: Any, weight: Tensor, bias: Tensor, batches: list[list[int]], data: Any = None
) -> None:
    """Train as a loop would: forward, backward, and the inputs that the optimizer declares."""
    features, labels = data or classification()
    for batch in batches:
        samples = torch.tensor(batch)
        x = features[samples].to(weight.dtype)
        logits = (x @ weight.t()).squeeze(1) + bias
        logits.retain_grad()
        optimizer.zero_grad()
        cost = binary_cross_entropy_with_logits(logits, labels[samples].to(weight.dtype))
        torch.autograd.backward(cost)
        if optimizer.step_inputs == "samples":
            optimizer.step(samples=samples, features=x, logit_grad=logits.grad)
        else:
            optimizer.step(block=batch[0])


def passes(count: int, size: int, samples: int = SAMPLES) -> list[list[int]]:
    """Return batches drawn anew in every pass, the last of each maybe smaller."""
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(count):
        permutation = torch.randperm(samples, generator=generator)
        batches += [part.tolist() for part in torch.split(permutation, size)]
    return batches


def test_slopes_give_the_steps_of_a_table_of_gradients_with_one_sample_per_block() -> None:
    ours, theirs = model(), model()
    slopes = LinearSAGA(ours, lr=0.05, num_samples=SAMPLES, weight_decay=0.01)
    gradients = SAGA(theirs, lr=0.05, block_sizes=(1,) * SAMPLES, weight_decay=0.01)
    for batch in passes(5, size=1):
        fit(slopes, *ours, [batch])
        fit(gradients, *theirs, [batch])
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-13)


def test_linear_saga_on_batches_follows_a_plain_numpy_version_step_by_step() -> None:
    features, labels = classification()
    x, y = np.hstack([features.numpy(), np.ones((SAMPLES, 1))]), labels.numpy()
    weight, bias = model()
    optimizer = LinearSAGA([weight, bias], lr=0.1, num_samples=SAMPLES)
    w, table, seen = np.zeros(WIDTH + 1), np.zeros(SAMPLES), np.zeros(SAMPLES, dtype=bool)
    for batch in passes(10, size=12):
        slopes = 1 / (1 + np.exp(-(x[batch] @ w))) - y[batch]
        mean = table[seen] @ x[seen] / max(seen.sum(), 1)
        known = np.where(seen[batch][:, None], table[batch][:, None] * x[batch], mean)
        w = w - 0.1 * (mean + (slopes[:, None] * x[batch] - known).mean(0))
        table[batch], seen[batch] = slopes, True
        fit(optimizer, weight, bias, [batch])
        ours = np.append(weight.detach().numpy()[0], float(bias.detach()))
        np.testing.assert_allclose(ours, w, rtol=0, atol=1e-13)


def test_linear_saga_reaches_the_optimum_of_scikit_learns_saga_on_digits() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    datasets = pytest.importorskip("sklearn.datasets")
    images, digits = datasets.load_digits(n_class=10, return_X_y=True)
    chosen = (digits == 3) | (digits == 8)
    x, y = images[chosen] / 16, (digits[chosen] == 8).astype(float)
    x -= x.mean(0)  # a bias beside features of one sign converges slowly in either library
    samples, width = x.shape
    strength = 0.02
    features, labels = torch.from_numpy(x), torch.from_numpy(y)

    def objective(w: Tensor, b: Tensor) -> float:
        logits = features @ w.flatten() + b
        cost = binary_cross_entropy_with_logits(logits, labels)
        return float(cost + strength / 2 * w.square().sum())

    theirs = linear_model.LogisticRegression(
        solver="saga", C=1 / (strength * samples), tol=1e-10, max_iter=20_000, random_state=0
    ).fit(x, y)
    best = objective(torch.from_numpy(theirs.coef_), torch.from_numpy(theirs.intercept_))

    weight = torch.zeros(1, width, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    lr = 1 / (0.25 * float(features.square().sum(1).max() + 1))
    groups: list[dict[str, Any]] = [
        {"params": [weight], "weight_decay": strength},
        {"params": [bias]},
    ]
    optimizer = LinearSAGA(groups, lr=lr, num_samples=samples)
    fit(optimizer, weight, bias, passes(60, size=16, samples=samples), (features, labels))
    assert abs(objective(weight.detach(), bias.detach()) - best) < 1e-6
    np.testing.assert_allclose(weight.detach().numpy(), theirs.coef_, rtol=0, atol=1e-3)


def test_the_table_of_25000_images_takes_100_kilobytes() -> None:
    weight, bias = model(torch.float32)
    optimizer = LinearSAGA([weight, bias], num_samples=25_000)
    fit(optimizer, weight, bias, passes(1, size=8)[:1])
    assert optimizer.state[weight]["table"].nbytes == 100_000


def test_linear_saga_resumes_from_a_file_with_the_same_bits() -> None:
    weight, bias = model(torch.float32)
    optimizer = LinearSAGA([weight, bias], lr=0.1, num_samples=SAMPLES)
    batches = passes(4, size=12)
    fit(optimizer, weight, bias, batches[:6])
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    others = [param.detach().clone().requires_grad_() for param in (weight, bias)]
    loaded = LinearSAGA(others, num_samples=SAMPLES)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    fit(optimizer, weight, bias, batches[6:])
    fit(loaded, others[0], others[1], batches[6:])
    assert torch.equal(weight, others[0]) and torch.equal(bias, others[1])


def test_the_mean_of_a_bfloat16_model_stays_that_of_its_slopes_and_is_saved_whole() -> None:
    weight, bias = model(torch.bfloat16)
    optimizer = LinearSAGA([weight, bias], lr=0.01, num_samples=SAMPLES)
    fit(optimizer, weight, bias, passes(30, size=8))
    state = optimizer.state[weight]
    features = classification()[0].to(torch.bfloat16).double()
    mean = state["table"].double() @ features / SAMPLES
    torch.testing.assert_close(state["mean"].double().flatten(), mean, rtol=0, atol=1e-6)
    others = [param.detach().clone().requires_grad_() for param in (weight, bias)]
    loaded = LinearSAGA(others, num_samples=SAMPLES)
    loaded.load_state_dict(optimizer.state_dict())
    fit(optimizer, weight, bias, passes(1, size=8))
    fit(loaded, others[0], others[1], passes(1, size=8))
    assert torch.equal(loaded.state[others[0]]["mean"], state["mean"])
    assert torch.equal(loaded.state[others[0]]["table"], state["table"])
    assert torch.equal(weight, others[0]) and torch.equal(bias, others[1])


def test_features_of_several_dimensions_are_flattened() -> None:
    flat, shaped = model(), model()
    features, labels = classification()
    for params, x in ((flat, features), (shaped, features.view(SAMPLES, 2, 3, 1))):
        optimizer = LinearSAGA(params, lr=0.1, num_samples=SAMPLES)
        logits = (features @ params[0].t()).squeeze(1) + params[1]
        logits.retain_grad()
        torch.autograd.backward(binary_cross_entropy_with_logits(logits, labels))
        optimizer.step(samples=torch.arange(SAMPLES), features=x, logit_grad=logits.grad)
    assert torch.equal(flat[0], shaped[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": None}, r"step\(samples=\.\.\., features=\.\.\., logit_grad=\.\.\.\)"),
        ({"samples": torch.tensor([0, 0])}, "twice"),
        ({"samples": torch.tensor([0, SAMPLES])}, "not all are in 0 to 39"),
        ({"samples": torch.tensor([-1, 0])}, "not all are in 0 to 39"),
        ({"features": torch.ones(2, 5)}, "do not fit"),
        ({"logit_grad": torch.ones(3)}, "do not fit"),
        ({"features": torch.zeros(2, WIDTH)}, "not logit_grad times features"),
        ({"closure": lambda: 0.0}, "closure: LinearSAGA takes none"),
    ],
)
def test_a_step_that_is_told_what_does_not_fit_is_refused_and_moves_nothing(
    change: dict[str, Any], message: str
) -> None:
    weight, bias = model(torch.float32)
    weight.grad, bias.grad = torch.ones_like(weight), torch.ones_like(bias)
    told: dict[str, Any] = {
        "samples": torch.tensor([0, 1]),
        "features": torch.ones(2, WIDTH),
        "logit_grad": torch.tensor([0.5, 0.5]),
    }
    optimizer = LinearSAGA([weight, bias], num_samples=SAMPLES)
    with pytest.raises(ValueError, match=message):
        optimizer.step(**told | change)
    assert not weight.any() and not bias.any() and not optimizer.state[weight]
    optimizer.step(**told)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(1, 3), (1, 3)], [(1, 3), (2,)], [(3,)]])
def test_parameters_that_are_no_linear_model_with_one_logit_are_refused(shapes: Any) -> None:
    params = [torch.zeros(shape, requires_grad=True) for shape in shapes]
    with pytest.raises(ValueError, match="a weight of shape"):
        LinearSAGA(params, num_samples=SAMPLES)
