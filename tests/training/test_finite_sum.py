"""Heads that an optimizer with a table refuses, compared with their actual behaviour."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from catsdogs.training.finite_sum import require_finite_sum
from catsdogs.training.heads import HEADS

Make = Callable[[], nn.Module]
IMAGE = (4, 9, 9)
UNSTEADY: dict[str, tuple[Make, str]] = {
    "batch_norm": (lambda: nn.BatchNorm2d(4), "BatchNorm2d) uses batch statistics"),
    "batch_norm_without_running_statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False).eval(),
        "BatchNorm2d) uses batch statistics: let it track running ones",
    ),
    "dropout": (lambda: nn.Dropout(0.5), "Dropout) is random in training mode: use eval"),
    "channel_dropout": (lambda: nn.Dropout2d(0.5), "Dropout2d) is random in training mode"),
    "alpha_dropout": (lambda: nn.AlphaDropout(0.5), "AlphaDropout) is random in training"),
    "stochastic_depth": (lambda: StochasticDepth(0.5, "row"), "StochasticDepth) is random"),
    "random_slopes": (nn.RReLU, "RReLU) is random in training mode"),
    "random_pooling": (
        lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5).eval(),
        "FractionalMaxPool2d) pools random regions in either mode: use another pooling",
    ),
    "recurrent_dropout": (lambda: Sequences(nn.LSTM(9, 9, 2, dropout=0.5)), "LSTM) is random"),
    "attention_dropout": (
        lambda: Sequences(nn.MultiheadAttention(9, 1, 0.5)),
        "Attention) is random",
    ),
}
STEADY: dict[str, Make] = {
    "batch_norm_in_eval_mode": lambda: nn.BatchNorm2d(4).eval(),
    "dropout_in_eval_mode": lambda: nn.Dropout(0.5).eval(),
    "dropout_of_nothing": lambda: nn.Dropout(0.0),
    "instance_norm": lambda: nn.InstanceNorm2d(4, track_running_stats=True),
    "group_norm": lambda: nn.GroupNorm(2, 4),
    "fixed_slopes": lambda: nn.RReLU(0.2, 0.2),
    "recurrent": lambda: Sequences(nn.LSTM(9, 9, 2)),
    "attention": lambda: Sequences(nn.MultiheadAttention(9, 1)),
}


class Sequences(nn.Module):
    """Passes the rows of images to a module that reads sequences."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1, 2).transpose(0, 1)
        given = [rows] * (3 if isinstance(self.module, nn.MultiheadAttention) else 1)
        outputs: Tensor = self.module(*given)[0]
        return outputs.transpose(0, 1)


def changes(head: nn.Module) -> bool:
    """Tell whether the first image's output depends on the call or on the rest of its batch."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(7, *IMAGE, generator=generator)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        outputs = [head(images[[0, *others]])[0] for others in ([1, 2], [3, 4], [5, 6])]
    return any(not torch.allclose(output, outputs[0], atol=1e-5) for output in outputs)


@pytest.mark.parametrize("name", UNSTEADY)
def test_a_head_whose_outputs_change_is_refused_with_module_reason_and_way_out(name: str) -> None:
    make, reason = UNSTEADY[name]
    assert changes(make())
    with pytest.raises(ValueError) as stopped:
        require_finite_sum(nn.Sequential(nn.Identity(), make()), "SAGA")
    said = str(stopped.value)
    assert said.startswith("SAGA needs the same output for an image from the same weights, and 1")
    assert reason in said
    assert said.endswith("or use an optimizer without a table")
    assert "\n" not in said


@pytest.mark.parametrize("name", STEADY)
def test_a_head_whose_outputs_stay_is_accepted(name: str) -> None:
    assert not changes(STEADY[name]())
    require_finite_sum(STEADY[name](), "SAGA")


@pytest.mark.parametrize("name", HEADS)
def test_the_heads_of_this_project_are_accepted(name: str) -> None:
    require_finite_sum(HEADS[name](), "SAGA")
