"""Fit the line with each optimizer and its native twin, and see whether the two are the same."""

import dataclasses
from collections.abc import Mapping

import torch

from catsdogs.io.progress import progress
from catsdogs.regression.data import Problem
from catsdogs.regression.fit import Fit, MakeOptimizer, fit
from catsdogs.regression.published import TABLE, Climb, run_listings

METHODS = tuple(TABLE)
KINDS = ("native", "custom")


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer of the comparison.

    Attributes:
        method: A row of the published table.
        kind: One of `KINDS`.
        make_optimizer: Builds it for one tensor.
        clip_value: Every gradient entry is cut to this absolute value, if given.
    """

    method: str
    kind: str
    make_optimizer: MakeOptimizer
    clip_value: float | None

    @property
    def label(self) -> str:
        """The name of its file in conf/optimizer."""
        return f"{self.kind}_{self.method}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        problem: What was fitted.
        fits: By the contenders' labels.
        climbs: By method: the tutorial's listings as they were; empty unless they were asked for.
    """

    problem: Problem
    fits: Mapping[str, Fit]
    climbs: Mapping[str, Climb]

    def twins_equal(self, method: str) -> bool:
        """Return whether native and custom have the same line and costs, to the last bit."""
        native, custom = (self.fits[f"{kind}_{method}"] for kind in KINDS)
        return (native.line, native.costs) == (custom.line, custom.costs)

    def above_least_squares(self, rmse: float) -> float:
        """Return by what share an error on the test rows exceeds that of least squares."""
        return rmse / self.problem.rmse(self.problem.least_squares()) - 1


def compare(
    problem: Problem,
    contenders: list[Contender],
    *,
    max_epochs: int,
    lr_step: int | None,
    published_sign: bool,
) -> Outcome:
    """Fit with one contender after the other, with a progress bar.

    Args:
        problem: What is fitted.
        contenders: Both kinds of every method.
        max_epochs: Of every fit, at most.
        lr_step: Epochs after which a learning rate falls to a tenth; None keeps them constant.
        published_sign: Whether the tutorial's own listings are run too.
    """
    runs = len(contenders) + (len(METHODS) if published_sign else 0)
    fits = {}
    for contender in contenders:
        _warm_up(contender.make_optimizer)
    with progress(total=runs * max_epochs, description="at most", unit="epoch") as bar:
        for contender in contenders:
            found = fits[contender.label] = fit(
                problem,
                contender.make_optimizer,
                clip_value=contender.clip_value,
                max_epochs=max_epochs,
                lr_step=lr_step,
                after_epoch=bar.update,
            )
            bar.total -= max_epochs - len(found.costs)
        climbs = run_listings(problem, max_epochs, bar.update) if published_sign else {}
        bar.total = bar.n
    return Outcome(problem, fits, climbs)


def _warm_up(make_optimizer: MakeOptimizer) -> None:
    """Take one step on another tensor: the first of a class imports what the later ones use."""
    weight = torch.zeros(2, dtype=torch.float64)
    weight.grad = torch.ones_like(weight)
    make_optimizer([weight]).step()
