"""Registry of the mutants."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from catsdogs.contract.subject import Factory


@dataclass(frozen=True)
class Mutant:
    """A defective optimizer, the claim that must fail, and the reference if the claim needs one."""

    factory: Factory
    seen_by: str
    reference: Factory | None = None


MUTANTS: dict[str, Mutant] = {}


def seen_by(
    claim: str, reference: Factory | None = None, **settings: Any
) -> Callable[[type[Optimizer]], type[Optimizer]]:
    """Register a mutant under its class name, built with these hyperparameters."""

    def register(mutant: type[Optimizer]) -> type[Optimizer]:
        twin = functools.partial(reference, **settings) if reference else None
        MUTANTS[mutant.__name__] = Mutant(functools.partial(mutant, **settings), claim, twin)
        return mutant

    return register
