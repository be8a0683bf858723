"""Who is compared with whom: each optimizer with its native twin, by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NATIVE, CUSTOM, PUBLISHED = "native", "custom", "published"
ORIGINS = (NATIVE, CUSTOM, PUBLISHED)


@dataclass(frozen=True)
class Pair:
    """Two contenders side by side.

    Attributes:
        reference: The yardstick; what is said of the pair is said of the contender beside it.
        contender: The other one.
        twins: Whether both are the same method by name, as `native_adam` and `custom_adam` are.
            Twins are meant to agree; others are only measured on the same task.
    """

    reference: str
    contender: str
    twins: bool


def pairs_of(contenders: Sequence[str]) -> tuple[Pair, ...]:
    """Pair every contender that is not native.

    A name is an origin and a method, as in `custom_adam`. The reference is the native twin; a
    published listing also gets its custom twin. A contender without a twin gets the first native
    contender, or without one the first contender.

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
    """Order labels so that twins stand together, the native one first."""

    def key(label: str) -> tuple[str, int, str]:
        origin = _origin(label)
        known = origin in ORIGINS
        return _method(label), ORIGINS.index(origin) if known else len(ORIGINS), label

    return tuple(sorted(labels, key=key))


def _pairs_with(contender: str, contenders: Sequence[str]) -> list[Pair]:
    twins = _twins(contender, contenders)
    references = twins or _stand_in(contender, contenders)
    return [Pair(reference, contender, twins=bool(twins)) for reference in references]


def _twins(contender: str, contenders: Sequence[str]) -> list[str]:
    origins = (NATIVE, CUSTOM) if _origin(contender) == PUBLISHED else (NATIVE,)
    method = _method(contender)
    return [twin for origin in origins if method and (twin := f"{origin}_{method}") in contenders]


def _stand_in(contender: str, contenders: Sequence[str]) -> list[str]:
    natives = [label for label in contenders if _origin(label) == NATIVE]
    return [label for label in (*natives, contenders[0]) if label != contender][:1]


def _origin(label: str) -> str:
    return label.partition("_")[0]


def _method(label: str) -> str:
    return label.partition("_")[2]
