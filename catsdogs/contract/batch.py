"""Checks of several optimizers at once, each in a process of its own; and those of a module."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch.optim import Optimizer

from catsdogs.contract.claims import Finding
from catsdogs.contract.processes import Ended, run_in_processes
from catsdogs.contract.subject import CannotBeChecked, Factory, Subject
from catsdogs.contract.suite import (
    CheckResult,
    check,
    completed,
    judged,
    out_of_time,
    select,
    stopped,
)

Outcome = CheckResult | CannotBeChecked


def check_in_processes(
    factories: Mapping[str, Factory],
    *,
    jobs: int = 1,
    seconds: float = 60.0,
    quiet: bool = False,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> dict[str, Outcome]:
    """Check optimizers, each in a process of its own that cannot hang or crash this one.

    Args:
        factories: Optimizers by name.
        jobs: Number of processes at once, 1 or above.
        seconds: Time limit for each optimizer, above 0. A claim may take a quarter of it.
        quiet: Whether what the optimizers print is discarded.
        expected: For each optimizer the claims that are known to fail, with the reasons.
        progress: Called after each claim with (done, total).
        **how: Further arguments of `catsdogs.contract.check`.

    Returns:
        For each optimizer, in the order of `factories`, its result, or why it cannot be checked.

    Raises:
        ValueError: For a wrong argument, as `catsdogs.contract.check` does.
    """
    claims = select(how.get("only"), how.get("skip", ()))
    names = list(factories)
    subjects: dict[str, Subject] = {}
    findings: dict[str, list[Finding]] = {name: [] for name in names}
    outcomes: dict[str, Outcome] = {}
    declared = expected or {}

    def receive(index: int, message: Any) -> None:
        name = names[index]
        match message:
            case Subject():
                subjects[name] = dataclasses.replace(
                    message, factory=completed(factories[name]), prepare=how.get("prepare")
                )
            case Finding():
                findings[name].append(message)
            case CannotBeChecked():
                outcomes[name] = message
            case ValueError():
                raise message
            case Ended() if name not in outcomes:
                outcomes[name] = ended(name, message)
        if progress is not None:
            done = sum(len(claims) if name in outcomes else len(findings[name]) for name in names)
            progress(done, len(claims) * len(names))

    def ended(name: str, end: Ended) -> Outcome:
        if name not in subjects:
            return CannotBeChecked(f"a trial step {end.early}")
        found = findings[name]
        if len(found) == len(claims):
            return CheckResult(name, subjects[name], tuple(found))
        one = claims[len(found)]  # that was being tried
        if end.early and not end.late:
            cut = Finding(one.name, one.sentence, "fail", end.early, one.group)
            found.append(judged(cut, declared.get(name, {})))
        early = end.early or out_of_time(seconds)
        return CheckResult(name, subjects[name], tuple(found), stopped(one, early))

    works = [
        functools.partial(
            _check, factory, name=name, seconds=seconds, expected=declared.get(name), **how
        )
        for name, factory in factories.items()
    ]
    run_in_processes(works, receive, jobs=jobs, seconds=seconds, quiet=quiet)
    return {name: outcomes[name] for name in names}


def _check(factory: Factory, send: Callable[[Any], None], **how: Any) -> None:
    """Check one optimizer and send the subject and each finding, or why that is not possible."""
    try:
        check(
            factory,
            learned=lambda subject: send(_picklable(subject)),
            progress=lambda done, total, finding: send(finding),
            **how,
        )
    except CannotBeChecked as reason:
        send(reason)
    except ValueError as error:
        send(ValueError(str(error)))


def _picklable(subject: Subject) -> Subject:
    """Return a subject that pickles: without functions, and with hyperparameters of plain types."""
    return dataclasses.replace(
        subject,
        factory=Optimizer,
        prepare=None,
        settings={name: value for name, value in subject.settings.items() if _is_plain(value)},
        defaults={name: value for name, value in subject.defaults.items() if _is_plain(value)},
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str | None | torch.dtype)


def optimizers_of(module: ModuleType) -> dict[str, type[Optimizer]]:
    """Return the optimizer classes of a module by name, in alphabetical order.

    Those are the subclasses of `torch.optim.Optimizer` with a step of their own that `__all__`
    lists, or else that have a public name, each class once. Classes that the module has from
    another package are left out.
    """
    package = module.__name__.partition(".")[0]
    public = [name for name in vars(module) if not name.startswith("_")]
    found: dict[type[Optimizer], str] = {}
    for name in sorted(getattr(module, "__all__", public)):
        value = getattr(module, name, None)
        if (
            inspect.isclass(value)
            and issubclass(value, Optimizer)
            and value.step is not Optimizer.step
            and not inspect.isabstract(value)
            and value.__module__.partition(".")[0] == package
            and found.get(value) != value.__name__  # an alias comes after it or is replaced by it
        ):
            found[value] = name
    return {name: cls for cls, name in sorted(found.items(), key=lambda item: item[1])}
