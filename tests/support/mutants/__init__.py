"""Mutants: correct optimizers with one defect each, and the claim that must fail on it.

The docstring of a mutant states its defect. Several defects are copied from published optimizers.
Every module here registers its mutants when it is imported.
"""

import importlib
import pkgutil

from tests.support.mutants.registry import MUTANTS, Mutant, seen_by

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

__all__ = ["MUTANTS", "Mutant", "seen_by"]
