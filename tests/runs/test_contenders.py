"""Pairs of contenders."""

import pytest

from catsdogs.runs.contenders import Pair, pairs_of, sort_by_method


@pytest.mark.parametrize("order", [1, -1])
def test_a_custom_optimizer_is_compared_with_its_native_twin(order: int) -> None:
    contenders = ["native_sgd", "custom_sgd", "native_adam", "custom_adam"][::order]
    assert set(pairs_of(contenders)) == {
        Pair("native_sgd", "custom_sgd", twins=True),
        Pair("native_adam", "custom_adam", twins=True),
    }


def test_a_published_listing_is_compared_with_each_twin_that_exists() -> None:
    published = "published_adam"
    assert pairs_of(["native_adam", "custom_adam", published])[1:] == (
        Pair("native_adam", published, twins=True),
        Pair("custom_adam", published, twins=True),
    )
    assert Pair("custom_adam", published, twins=True) in pairs_of([published, "custom_adam"])


@pytest.mark.parametrize("label", ["custom_saga", "MyOptimizer", "published_lion"])
def test_a_contender_without_a_twin_is_compared_with_the_first_native_one(label: str) -> None:
    assert pairs_of([label, "native_sgd", "native_adam"]) == (
        Pair("native_sgd", label, twins=False),
    )


def test_without_native_ones_the_first_contender_is_the_reference() -> None:
    assert pairs_of(["custom_saga", "custom_linear_saga", "Lion"]) == (
        Pair("custom_saga", "custom_linear_saga", twins=False),
        Pair("custom_saga", "Lion", twins=False),
    )


def test_a_custom_name_finds_its_twin_by_the_part_after_the_underscore() -> None:
    assert pairs_of(["native_sgd", "native_adam", "my_adam"]) == (
        Pair("native_adam", "my_adam", twins=True),
    )


@pytest.mark.parametrize("contenders", [[], ["custom_adam"], ["native_sgd", "native_adam"]])
def test_there_may_be_no_pair(contenders: list[str]) -> None:
    assert pairs_of(contenders) == ()


def test_labels_are_sorted_by_method_with_the_native_twin_first() -> None:
    shuffled = ["published_sgd", "my_adam", "custom_sgd", "native_sgd", "native_adam", "Lion"]
    assert sort_by_method(shuffled) == (
        "Lion",
        "native_adam",
        "my_adam",
        "native_sgd",
        "custom_sgd",
        "published_sgd",
    )
