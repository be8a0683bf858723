"""Range checks for hyperparameters. They refuse nan, which `lr < 0` lets through."""

import math

from torch import Tensor


def require_non_negative(name: str, value: float | Tensor) -> None:
    """Refuse a hyperparameter that is negative, infinite, nan or a tensor of several elements.

    Raises:
        ValueError: with the hyperparameter's name and value.
    """
    number = _as_float(name, value)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"Invalid {name}: {value} (must be a finite number, 0 or above)")


def require_finite(name: str, value: float | Tensor) -> None:
    """Refuse a hyperparameter that is infinite, nan or a tensor of several elements.

    Raises:
        ValueError: with the hyperparameter's name and value.
    """
    if not math.isfinite(_as_float(name, value)):
        raise ValueError(f"Invalid {name}: {value} (must be a finite number)")


def require_fraction(name: str, value: float | Tensor) -> None:
    """Refuse a decay rate outside [0, 1).

    Raises:
        ValueError: with the hyperparameter's name and value.
    """
    if not 0.0 <= _as_float(name, value) < 1.0:
        raise ValueError(f"Invalid {name}: {value} (must be at least 0 and below 1)")


def _as_float(name: str, value: float | Tensor) -> float:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"Invalid {name}: a tensor of {value.numel()} elements (must have one)")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"Invalid {name}: {value!r} (must be a number)") from None
