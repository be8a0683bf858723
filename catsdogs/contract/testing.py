"""Claims of the contract as test cases of pytest."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from catsdogs.contract.claims import Claim
from catsdogs.contract.harness import OptimizerHarness
from catsdogs.contract.subject import CannotBeChecked, Factory, name_of
from catsdogs.contract.suite import (
    BY_NAME,
    known_subject,
    quiet_torch,
    require_known,
    select,
    with_settings_of,
)

if TYPE_CHECKING:
    import pytest


class ClaimCase:
    """One claim, ready to be tried on the optimizer of its test case; `claim(optimizer)` does that.

    Args:
        claim: The claim.
        harness_of: Returns the harness of an optimizer.
        seconds: Time limit of a case; None for no limit.
    """

    def __init__(self, claim: Claim, harness_of: "Harnesses", seconds: float | None = None) -> None:
        self.name = claim.name
        self.sentence = claim.sentence
        self._claim = claim
        self._harness_of = harness_of
        self._seconds = seconds

    def __call__(self, optimizer: Factory) -> None:
        """Try the claim.

        Raises:
            AssertionError: If it fails, with the evidence in one line.
        """
        __tracebackhide__ = True
        import pytest

        with quiet_torch():
            harness = self._harness_of(optimizer)
            if isinstance(harness, str):
                pytest.skip(harness)
            finding = self._claim.try_on(harness, self._seconds)
        if finding.verdict == "not applicable":
            pytest.skip(finding.evidence)
        if finding.verdict == "fail":
            raise AssertionError(finding.evidence)

    def __repr__(self) -> str:
        return self.name


class Harnesses:
    """Harness of each optimizer, made once: the claims of an optimizer share its trial steps."""

    def __init__(
        self, reference: Factory | None, reference_kwargs: Mapping[str, Any], how: Mapping[str, Any]
    ) -> None:
        self._reference = reference
        self._reference_kwargs = reference_kwargs
        self._how = how
        # By identity, with the optimizer itself, so that no other one gets the same.
        self._known: dict[int, tuple[Factory, OptimizerHarness | str]] = {}

    def __call__(self, optimizer: Factory) -> OptimizerHarness | str:
        """Return the harness, or why there is none.

        Raises:
            CannotBeChecked: At the first call for an optimizer that cannot be driven.
        """
        __tracebackhide__ = True
        key = id(optimizer)
        if key not in self._known:
            try:
                self._known[key] = optimizer, self._harness(optimizer)
            except CannotBeChecked as reason:
                self._known[key] = optimizer, f"cannot be checked: {reason}"
                raise CannotBeChecked(f"cannot be checked: {reason}") from None
        return self._known[key][1]

    def _harness(self, optimizer: Factory) -> OptimizerHarness:
        subject = known_subject(optimizer, **self._how)
        if self._reference is None:
            return OptimizerHarness(subject)
        return OptimizerHarness(
            subject, with_settings_of(subject, self._reference, self._reference_kwargs)
        )


def parametrize_with_claims(
    optimizers: Iterable[Factory] | Mapping[str, Factory],
    *,
    expected: Mapping[str, str | Mapping[str, str]] | None = None,
    strict: bool = True,
    reference: Factory | None = None,
    reference_kwargs: Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    seconds: float | None = None,
    **how: Any,
) -> "pytest.MarkDecorator":
    """Parametrize a pytest function with optimizers and claims, one test case for each pair.

    The function has two arguments, `optimizer` and `claim`, and calls `claim(optimizer)`. A case
    passes, fails with the evidence as its message, or is skipped with the reason for which the
    claim does not apply. Its id is such as `MyAdam-goes_downhill`. No optimizer is built before the
    first case runs. If an optimizer cannot be driven, its first case fails and the others are
    skipped.

    Args:
        optimizers: Classes or callables such as `functools.partial(MyAdam, lr=1e-3)`, which get the
            name of their class in the ids; or a mapping from names.
        expected: Claims that are known to fail, with the reason, `{"goes_downhill": "it waits"}`;
            or such a mapping for each optimizer by its name. Their cases are marked as `xfail`.
        strict: Whether a case passes wrongly, and so fails, if the claim holds although it is
            expected to fail.
        reference: Builds what the optimizers should equal step by step; None to skip these claims.
        reference_kwargs: Hyperparameters of the reference that differ on purpose.
        only: Names of the claims or groups to try; all by default.
        skip: Names of claims or groups to leave out.
        seconds: Time limit of a case, above 0; None for no limit.
        **how: `device`, `shapes`, `dtypes`, `closure`, `create_graph`, `build_from` and `prepare`,
            see `catsdogs.check_optimizer`.

    Raises:
        ValueError: For the name of a claim or of an optimizer that does not exist, and for two
            optimizers of the same name.

    Example:
        >>> @parametrize_with_claims([MyAdam, functools.partial(MySGD, lr=0.1)])
        >>> def test_contract(optimizer, claim):
        >>>     claim(optimizer)
    """
    import pytest  # not a dependency of this package

    if isinstance(optimizers, Mapping):
        named = dict(optimizers)
    else:
        given = list(optimizers)
        named = {name_of(factory): factory for factory in given}
        if len(named) < len(given):
            raise ValueError(
                "optimizers: two have the name of the same class; give a dict from names instead"
            )
    declared = expected_by_name(named, expected or {})
    claims = select(only, skip)
    harness_of = Harnesses(reference, reference_kwargs or {}, how)
    cases = []
    for name, factory in named.items():
        for claim in claims:
            reason = declared[name].get(claim.name)
            marks = [] if reason is None else [_xfail(reason, strict)]
            case = ClaimCase(claim, harness_of, seconds)
            cases.append(pytest.param(factory, case, marks=marks, id=f"{name}-{claim.name}"))
    return pytest.mark.parametrize(("optimizer", "claim"), cases)


def expected_by_name(
    names: Iterable[str], expected: Mapping[str, str | Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the claims that are declared to fail, with the reasons, for each optimizer.

    Args:
        names: Of the optimizers.
        expected: Reasons by claim, for all optimizers; or mappings of such, by optimizer.

    Raises:
        ValueError: For a name that is neither.
    """
    names = list(names)
    for_all = {key: said for key, said in expected.items() if not isinstance(said, Mapping)}
    for_one = {key: said for key, said in expected.items() if isinstance(said, Mapping)}
    require_known(for_all, BY_NAME)
    for name, claims in for_one.items():
        if name not in names:
            raise ValueError(f"{name!r} is not the name of an optimizer here")
        require_known(claims, BY_NAME)
    return {
        name: {claim: str(said) for claim, said in (for_all | dict(for_one.get(name, {}))).items()}
        for name in names
    }


def _xfail(reason: str, strict: bool) -> "pytest.MarkDecorator":
    import pytest

    return pytest.mark.xfail(reason=reason, strict=strict, raises=AssertionError)
