"""LinearSAGA on features of the backbone, compared with scikit-learn's SAGA."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from catsdogs.data.images import normalise
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.features.backbone import Backbone, find_weights
from catsdogs.optim import LinearSAGA

COUNT, PENALTY = 24, 0.05


@pytest.fixture(scope="module")
def features() -> Tensor:
    """Return 64 of the 512 maps of drawn cats and dogs, scaled to a length near one."""
    drawn = [np.asarray(draw_cat_or_dog(n % 2, n)) for n in range(COUNT)]
    pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)
    with torch.no_grad():
        maps: Tensor = Backbone(find_weights("random").state)(normalise(pixels))[:, :64]
    rows = maps.flatten(1).double()
    scaled: Tensor = rows / rows.norm(dim=1).mean()
    return scaled


def test_it_ends_at_the_optimum_of_scikit_learn_within_1e_6(features: Tensor) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    labels = (torch.arange(COUNT) % 2).double()

    def objective(weight: Tensor) -> float:
        cost = binary_cross_entropy_with_logits(features @ weight.flatten(), labels)
        return (cost + PENALTY / 2 * weight.square().sum()).item()

    model = linear_model.LogisticRegression(
        solver="saga", C=1 / (COUNT * PENALTY), fit_intercept=False, tol=1e-10, max_iter=20_000
    ).fit(features.numpy(), labels.numpy())
    reference = objective(torch.from_numpy(model.coef_))

    weight = torch.zeros(1, features.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = LinearSAGA([weight], lr=0.5, num_samples=COUNT, weight_decay=PENALTY)
    for epoch in range(200):
        order = torch.from_numpy(np.random.default_rng(epoch).permutation(COUNT))
        for rows in order.split(4):
            logits = features[rows] @ weight.flatten()
            logits.retain_grad()
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits, labels[rows]).backward()
            optimizer.step(samples=rows, features=features[rows], logit_grad=logits.grad)
    ours = objective(weight.detach())
    assert abs(ours - reference) <= 1e-6
    assert objective(torch.zeros_like(weight)) - reference > 1e-2  # the start was far from it
