"""Check any optimizer, or all of a module: the contract of torch.optim, time and memory of a step.

python -m catsdogs.check target=my_package.MyOptimizer kwargs.lr=1e-3 reference=torch.optim.Adam
"""

import functools
import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import torch
from hydra import compose
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from catsdogs.cli import Result, build_from, command, optimizer_label, plain
from catsdogs.compute.device import usable_cores
from catsdogs.contract import CannotBeChecked, CheckResult, Factory
from catsdogs.contract.batch import Outcome, check_in_processes, optimizers_of
from catsdogs.contract.claims import GROUPS, Group
from catsdogs.contract.processes import Ended, run_in_processes
from catsdogs.contract.records import facts, junit, overview, summary, verdict, worst_first
from catsdogs.contract.subject import BuildFrom
from catsdogs.contract.suite import DROP_IN, select, with_settings_of
from catsdogs.contract.testing import expected_by_name
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text, make_directory, probe_directory
from catsdogs.io.progress import progress
from catsdogs.io.text import one_line
from catsdogs.runs.environment import hardware, versions
from catsdogs.settings import (
    FreeForm,
    HomePath,
    PositiveOrNull,
    Section,
    TextOrNull,
    Texts,
    must_be,
)
from catsdogs.training.signals import Interruption
from catsdogs.training.step_cost import StepCost, measure_step

FAILED, NOT_CHECKABLE = 1, 3  # exit statuses
STRICT: dict[str | None, tuple[Group, ...]] = {
    None: DROP_IN,
    "use": (*DROP_IN, "use"),
    "manners": GROUPS,
}
"""Groups of claims whose failure gives the exit status 1."""
RED, YELLOW, GREEN, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
COLOURS = {r"^FAIL\b|\b[1-9]\d* fail\b": RED, r"^EXPECTED\b": YELLOW, r"\b\d+ hold\b": GREEN}

Arguments = dict[str, Any]
Flag = Annotated[bool | None, must_be("null, true or false")]
Shape = list[Annotated[int, Field(ge=0)]]
DType = Literal["float64", "float32", "bfloat16", "float16"]


class CheckSettings(Section):
    """Settings of `check`."""

    optimizer: FreeForm = None
    target: TextOrNull
    kwargs: Arguments
    reference: TextOrNull
    reference_kwargs: Arguments
    expected: Arguments
    only: Annotated[Texts | None, must_be("null or a list of names such as [update,state]")]
    skip: Annotated[list[str], must_be("a list of names such as [use,manners]")]
    shapes: Annotated[
        Annotated[list[Shape], Field(min_length=1)] | None,
        must_be("null or a list of shapes such as [[4,3],[5]]"),
    ]
    dtypes: Annotated[
        Annotated[list[DType], Field(min_length=1)] | None,
        must_be("null or a list such as [float64,float32,bfloat16,float16]"),
    ]
    device: Annotated[
        str, Field(pattern=r"^(cpu|mps|cuda(:\d\d?)?)$"), must_be("one of cpu, mps, cuda[:N]")
    ]
    closure: Flag
    create_graph: Flag
    build_from: Annotated[BuildFrom, must_be("one of parameters, named, model")]
    prepare: TextOrNull
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False), must_be("a number above 0")]
    jobs: PositiveOrNull
    strict: Annotated[Literal["use", "manners"] | None, must_be("null, use or manners")]
    output_dir: HomePath
    debug: bool

    def status(self, *results: CheckResult) -> int:
        """Return the exit status for these results."""
        return FAILED if any(result.fails(STRICT[self.strict]) for result in results) else 0


@dataclass(frozen=True)
class Target:
    """The optimizers to check.

    Attributes:
        name: Of the optimizer or the module, for the folder.
        package: Prefix of the optimizers' names.
        factories: By the optimizers' names.
        is_module: Whether they are those of a module.
    """

    name: str
    package: str
    factories: Mapping[str, Factory]
    is_module: bool = False


@command("check", free_sections=("kwargs", "reference_kwargs", "expected"))
def main(config: DictConfig) -> Result:
    """Check the optimizers and write the records."""
    values = plain(config)
    settings = CheckSettings.from_config(values)
    target = _target(config, settings)
    how = _arguments(settings)
    expected = _expected(settings, target)
    probe_directory(settings.output_dir, "output_dir")
    with Interruption():
        results = _check(target, settings, expected, how)
        if target.is_module:
            return _report_module(results, target, settings, values)
        (result,) = results.values()
        if isinstance(result, CannotBeChecked):
            reason = one_line(f"{target.name} cannot be checked: {result}")
            print(f"error: {reason}", file=sys.stderr)
            return Result(NOT_CHECKABLE, reason)
        return _report_one(result, target, settings, values, how)


def _target(config: DictConfig, settings: CheckSettings) -> Target:
    target = settings.target
    if (settings.optimizer is None) == (target is None):
        raise UserError(
            "optimizer, target: give one of optimizer=NAME and target=PATH.OF.CLASS, see --help"
        )
    if target is None:
        if settings.kwargs:
            raise UserError("kwargs: only for target=; with optimizer= give optimizer.lr=1e-3")
        name = optimizer_label(config).replace("/", "-")
        build = build_from(config.optimizer, "optimizer._target_")
        return Target(name, "conf.optimizer", {name: build})
    module = _module(target)
    if module is None:
        package, _, name = target.rpartition(".")
        return Target(name, package, {name: _by_path(target, settings.kwargs, "target")})
    if settings.reference is not None:
        raise UserError("reference: only for one optimizer; give target=PATH.OF.CLASS")
    classes = optimizers_of(module)
    if not classes:
        raise UserError(
            f"target={target}: no optimizer class found in this module; give the path of a class, "
            "or export the classes from the module"
        )
    kwargs = settings.kwargs
    factories = {name: functools.partial(cls, **kwargs) for name, cls in classes.items()}
    return Target(target, target, factories, is_module=True)


def _module(path: str) -> ModuleType | None:
    """Return the module of a path; None if the path leads to something else, or nowhere."""
    try:
        if importlib.util.find_spec(path) is None:
            return None
        importlib.import_module(path)
        parent, _, name = path.rpartition(".")
        found = getattr(sys.modules[parent], name) if parent else sys.modules[path]
    except Exception:  # noqa: BLE001 - a module runs any code, and _by_path says what it raised
        return None
    return found if isinstance(found, ModuleType) else None


def _by_path(target: str, kwargs: Arguments, setting: str) -> Any:
    node = OmegaConf.create({"_target_": target, "_partial_": True, "_convert_": "all", **kwargs})
    return build_from(node, setting)


def _arguments(settings: CheckSettings) -> dict[str, Any]:
    """Return the arguments of `catsdogs.contract.check` that all optimizers share."""
    for key, value in ("only", settings.only), ("skip", settings.skip):
        try:
            select(value)
        except ValueError as error:
            raise UserError(f"{key}={value}: {error}") from error
    if not select(settings.only, settings.skip):
        raise UserError("only, skip: no claim is left; leave one of them out")
    if settings.reference is None and settings.reference_kwargs:
        raise UserError("reference_kwargs: no reference is given; add reference=NAME")
    reference, prepare = settings.reference, settings.prepare
    if reference is not None and "." in reference:
        build = _by_path(reference, {}, "reference")
    elif reference is not None:
        node = compose("check", [f"optimizer={reference}"]).optimizer
        build = build_from(node, "reference")
    return {
        "reference": None if reference is None else build,
        "reference_kwargs": settings.reference_kwargs,
        "only": settings.only,
        "skip": settings.skip,
        "shapes": settings.shapes and [tuple(shape) for shape in settings.shapes],
        "dtypes": settings.dtypes and [getattr(torch, dtype) for dtype in settings.dtypes],
        "device": settings.device,
        "closure": settings.closure,
        "create_graph": settings.create_graph,
        "build_from": settings.build_from,
        "prepare": prepare and _by_path(prepare, {}, "prepare"),
    }


def _expected(settings: CheckSettings, target: Target) -> dict[str, dict[str, str]]:
    try:
        return expected_by_name(target.factories, settings.expected)
    except ValueError as error:
        raise UserError(f"expected: {error}") from error


def _check(
    target: Target,
    settings: CheckSettings,
    expected: dict[str, dict[str, str]],
    how: dict[str, Any],
) -> dict[str, Outcome]:
    """Check the optimizers in processes of their own, with a progress bar."""
    several = f"{len(target.factories)} optimizers of " if target.is_module else ""
    total = len(target.factories) * len(select(settings.only, settings.skip))
    bar = progress(
        total=total, description=f"checking {several}{target.name}", unit="claim", delay=0
    )
    with bar:
        try:
            return check_in_processes(
                target.factories,
                jobs=settings.jobs or usable_cores(),
                seconds=settings.seconds,
                quiet=target.is_module,
                expected=expected,
                progress=lambda done, _: bar.update(done - bar.n),
                **how,
            )
        except ValueError as error:
            raise UserError(str(error)) from error


def _report_one(
    result: CheckResult,
    target: Target,
    settings: CheckSettings,
    values: dict[str, Any],
    how: dict[str, Any],
) -> Result:
    """Print a result and write its records; then measure a step and add that to both."""
    _print(result.table(_width()))
    directory = _directory(target, settings)
    _write(directory, result, values, StepCost())
    atomic_write_text(directory / "junit.xml", junit({result.name: result}, target.package))
    cost = _measure(result, settings, how)
    for title, table in cost.tables().items():
        _print(f"\n{title}\n{table}")
    if cost.notes:
        _print("\n" + "\n".join(cost.notes))
    _write(directory, result, values, cost)
    _print(f"\n{result.verdict}")
    print(f"records: {directory}")
    return Result(settings.status(result), result.verdict)


def _report_module(
    results: dict[str, Outcome], target: Target, settings: CheckSettings, values: dict[str, Any]
) -> Result:
    """Print a table of the results and write a page about all and the records of each."""
    results = worst_first(results)
    checked = [result for result in results.values() if isinstance(result, CheckResult)]
    directory = _directory(target, settings)
    for result in checked:
        folder = make_directory(directory / result.name, "output_dir")
        _write(folder, result, values, StepCost())
    conclusion = verdict(results, target.name)
    atomic_write_text(directory / "summary.md", summary(results, conclusion))
    atomic_write_text(directory / "junit.xml", junit(results, target.package))
    _print(overview(results, _width()))
    _print(f"\n{conclusion}")
    print(f"records: {directory}")
    return Result(settings.status(*checked) if checked else NOT_CHECKABLE, conclusion)


def _measure(result: CheckResult, settings: CheckSettings, how: dict[str, Any]) -> StepCost:
    """Measure a step in a process of its own, as a step may hang on larger parameters."""
    if result.stopped:
        return StepCost(notes=("Neither timed nor measured, since the check was stopped.",))
    found: list[StepCost] = []
    subject = result.subject
    others: dict[str, Factory] = {}
    if how["reference"] is not None:
        reference = with_settings_of(subject, how["reference"], settings.reference_kwargs)
        others[str(settings.reference)] = reference

    def receive(_: int, message: Any) -> None:
        if isinstance(message, StepCost):
            found.append(message)
        elif isinstance(message, Ended) and not found:
            found.append(StepCost(notes=(f"Neither timed nor measured: a step {message.early}",)))

    run_in_processes(
        [lambda send: send(measure_step(subject, result.name, others))],
        receive,
        jobs=1,
        seconds=settings.seconds,
    )
    return found[0]


def _directory(target: Target, settings: CheckSettings) -> Path:
    name = f"check-{target.name}-{datetime.now():%Y%m%d-%H%M%S}"
    return make_directory(settings.output_dir / name, "output_dir")


def _write(directory: Path, result: CheckResult, values: dict[str, Any], cost: StepCost) -> None:
    record = {
        "format": 1,
        **facts(result),
        "settings": values,
        "versions": versions(),
        "hardware": hardware(),
        "seconds_per_step": {who: list(timing.seconds) for who, timing in cost.timings.items()},
        "memory": [asdict(part) for part in cost.memory.parts] if cost.memory else [],
        "notes": cost.notes,
    }
    text = json.dumps(record, indent=2, default=str)
    atomic_write_text(directory / "check.json", text + "\n")
    page = [
        result.to_markdown(),
        *(f"## {title}\n\n```\n{table}\n```\n" for title, table in cost.tables().items()),
        *(f"{note}\n" for note in cost.notes),
    ]
    atomic_write_text(directory / "check.md", "\n".join(page))


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def _print(text: str) -> None:
    """Print lines that may hold control characters of others, in colours on a terminal."""
    text = "\n".join(map(one_line, text.split("\n")))
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        for pattern, colour in COLOURS.items():
            text = re.sub(pattern, rf"{colour}\g<0>{PLAIN}", text, flags=re.M)
    print(text)


if __name__ == "__main__":
    main()
