"""Check and compare hand-written PyTorch optimizers with the built-in ones.

Attributes are imported when they are first used: `import catsdogs` imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from catsdogs._version import __version__

if TYPE_CHECKING:
    from catsdogs import optim
    from catsdogs.api import OptimizerComparison, check_optimizer, compare_optimizers
    from catsdogs.contract import CannotBeChecked, CheckResult
    from catsdogs.inference.classifier import load

__all__ = [
    "CannotBeChecked",
    "CheckResult",
    "OptimizerComparison",
    "__version__",
    "check_optimizer",
    "compare_optimizers",
    "load",
    "optim",
]

_MODULES = {
    "CannotBeChecked": "catsdogs.contract",
    "CheckResult": "catsdogs.contract",
    "OptimizerComparison": "catsdogs.api",
    "check_optimizer": "catsdogs.api",
    "compare_optimizers": "catsdogs.api",
    "load": "catsdogs.inference.classifier",
}


if not TYPE_CHECKING:  # or a type checker would accept any attribute

    def __getattr__(name: str) -> Any:
        if name == "optim":
            return importlib.import_module("catsdogs.optim")
        if name in _MODULES:
            return getattr(importlib.import_module(_MODULES[name]), name)
        raise AttributeError(f"module 'catsdogs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
