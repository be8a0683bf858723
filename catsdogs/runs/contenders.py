"""Pairs of contenders: each optimizer with its native twin, matched by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NATIVE, CUSTOM, PUBLISHED = "native", "custom", "published"
ORIGINS = (NATIVE, CUSTOM, PUBLISHED)


@dataclass(frozen=True)
class Pair:
    """Two contenders to compare.

    Attributes:
        reference: The baseline.
        contender: The optimizer that is compared with it.
        twins: Whether both names have the same method, as `native_adam` and `custom_adam` do.
            Twins should agree; other pairs merely solve the same task.
    """

    reference: str
    contender: str
    twins: bool


def pairs_of(contenders: Sequence[str]) -> tuple[Pair, ...]:
    """Pair every contender that is not native with its references.

    A label consists of an origin and a method, as in `custom_adam`. The reference is the native
    twin; a published listing is also paired with its custom twin. A contender without a twin is
    paired with the first native contender, or with the first contender if none is native.

    Args:
        contenders: Labels, in the order of the comparison.
    """
    return tuple(
        pair
        for contender in contenders
        if _origin(contender) != NATIVE
        for pair in _pairs_with(contender, contenders)
    )


def sort_by_method(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort labels so that twins are adjacent, the native one first."""

    def key(label: str) -> tuple[str, int, str]:
        origin = _origin(label)
        known = origin in ORIGINS
        return _method(label), ORIGINS.index(origin) if known else len(ORIGINS), label

    return tuple(sorted(labels, key=key))


def _pairs_with(contender: str, contenders: Sequence[str]) -> list[Pair]:
    twins = _twins(contender, contenders)
    references = twins or _fallback(contender, contenders)
    return [Pair(reference, contender, twins=bool(twins)) for reference in references]


def _twins(contender: str, contenders: Sequence[str]) -> list[str]:
    origins = (NATIVE, CUSTOM) if _origin(contender) == PUBLISHED else (NATIVE,)
    method = _method(contender)
    return [twin for origin in origins if method and (twin := f"{origin}_{method}") in contenders]


def _fallback(contender: str, contenders: Sequence[str]) -> list[str]:
    natives = [label for label in contenders if _origin(label) == NATIVE]
    return [label for label in (*natives, contenders[0]) if label != contender][:1]


def _origin(label: str) -> str:
    return label.partition("_")[0]


def _method(label: str) -> str:
    return label.partition("_")[2]
