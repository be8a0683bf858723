"""Registry of the mutants."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from catsdogs.contract.subject import Factory


@dataclass(frozen=True)
class Mutant:
    """A defective optimizer, the claim that must fail, and what the claim needs.

    Attributes:
        factory: Builds the optimizer.
        seen_by: Name of the claim.
        reference: The optimizer that it should equal, if the claim needs one.
        device: On which the defect shows.
    """

    factory: Factory
    seen_by: str
    reference: Factory | None = None
    device: str = "cpu"


MUTANTS: dict[str, Mutant] = {}


def seen_by(
    claim: str, reference: Factory | None = None, device: str = "cpu", **settings: Any
) -> Callable[[type[Optimizer]], type[Optimizer]]:
    """Register a mutant under its class name, built with these hyperparameters."""

    def register(mutant: type[Optimizer]) -> type[Optimizer]:
        twin = functools.partial(reference, **settings) if reference else None
        factory = functools.partial(mutant, **settings)
        MUTANTS[mutant.__name__] = Mutant(factory, claim, twin, device)
        return mutant

    return register
