"""Try the drop-in contract on any optimizer: is it right, how fast is it, how much does it hold?

python -m catsdogs.check target=my_package.MyOptimizer kwargs.lr=1e-3 reference=native_adam
"""

import dataclasses
import json
import math
import shutil
import sys
import textwrap
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from catsdogs.command import build_from, command, plain
from catsdogs.contract import Factory, Finding, check
from catsdogs.contract.speed import Timing, time_steps
from catsdogs.errors import UserError
from catsdogs.files import expanded, make_directory, probe_directory, write_whole
from catsdogs.optim.memory import Plan, predict
from catsdogs.optim.step_inputs import constructor_inputs, declared_step_inputs
from catsdogs.progress import reported
from catsdogs.records import hardware, versions
from catsdogs.training.head import HEADS

FAILED = 1
PICTURES, TRAIN_PICTURES, BATCH_SIZE = 2400, 2000, 32  # of the default run, for the memory table
BLOCKS = 28, 8  # samples and block size that an optimizer with a table is tried with


@command("check")
def run(config: DictConfig) -> int:
    """Check one optimizer and return 1 if a claim fails."""
    values = plain(config)
    name, build = _subject(config, values)
    factory = _complete(build, *BLOCKS)
    reference, its_reference = values["reference"], None
    if reference is not None:
        its_reference = _complete(_reference(str(reference), values), *BLOCKS)
    output_dir = expanded(Path(str(values["output_dir"])), "output_dir")
    probe_directory(output_dir, "output_dir")
    findings = _try_claims(factory, its_reference)
    _print_findings(findings)
    head_name = "linear" if declared_step_inputs(build.func) == "samples" else "conv"
    head = HEADS[head_name]()
    shapes = [tuple(param.shape) for param in head.parameters()]
    contenders = {name: factory} | ({str(reference): its_reference} if its_reference else {})
    timings = time_steps(contenders, shapes, builds=3)
    # The default run has a larger table than the contract's few samples need.
    memory = predict(
        _complete(build, TRAIN_PICTURES, BATCH_SIZE), head.parameters(), pictures=PICTURES
    )
    tables = {
        f"Time of a step on the {sum(map(math.prod, shapes)):,} parameters of "
        f"model.head={head_name}": _speed_table(timings),
        f"Memory and disk of training it on {TRAIN_PICTURES:,} of {PICTURES:,} pictures in "
        f"batches of {BATCH_SIZE}": str(memory),
    }
    for title, table in tables.items():
        print(f"\n{title}\n{table}")
    directory = make_directory(
        output_dir / f"check-{name}-{datetime.now():%Y%m%d-%H%M%S}", "output_dir"
    )
    _write(directory, name, values, findings, timings, memory, tables)
    failed = [finding.name for finding in findings if finding.verdict == "fail"]
    print(f"\n{_verdict(name, findings)}")
    if failed:
        print(textwrap.fill(f"failed: {', '.join(failed)}", _width(), subsequent_indent=" " * 8))
    print(f"records: {directory}")
    return FAILED if failed else 0


def main() -> None:
    """Run the command; `kwargs.x=1` may be typed without Hydra's `+` for keys that are new."""
    sys.argv[1:] = [f"+{word}" if word.startswith("kwargs.") else word for word in sys.argv[1:]]
    run()


def _subject(config: DictConfig, values: dict[str, Any]) -> tuple[str, Any]:
    if (values.get("optimizer") is None) == (values["target"] is None):
        raise UserError("give either optimizer=NAME or target=PATH.OF.CLASS, see --help")
    if values["target"] is not None:
        target = str(values["target"])
        return target.rpartition(".")[2], _by_path(target, values["kwargs"], "target")
    if values["kwargs"]:
        raise UserError("kwargs: belong to target=; with optimizer= give optimizer.lr=1e-3")
    name = str(HydraConfig.get().runtime.choices["optimizer"])
    return name, build_from(config.optimizer, "optimizer._target_")


def _reference(choice: str, values: dict[str, Any]) -> Any:
    if "." in choice:
        return _by_path(choice, values["kwargs"], "reference")
    return build_from(compose("check", [f"optimizer={choice}"]).optimizer, "reference")


def _by_path(target: str, kwargs: dict[str, Any], setting: str) -> Any:
    node = OmegaConf.create({"_target_": target, "_partial_": True, "_convert_": "all", **kwargs})
    return build_from(node, setting)


def _complete(build: Any, pictures: int, batch_size: int) -> Factory:
    """Add what an optimizer with a table must know to be built at all."""
    try:
        return partial(build, **constructor_inputs(build.func, pictures, batch_size))
    except ValueError as error:
        raise UserError(f"this cannot be checked: {error}") from error


def _try_claims(factory: Factory, reference: Factory | None) -> list[Finding]:
    with reported("trying claims", unit="claim") as show:
        try:
            return check(factory, reference=reference, progress=show)
        except (TypeError, ValueError) as error:
            raise UserError(f"this cannot be checked: {error}") from error


def _print_findings(findings: list[Finding]) -> None:
    width = _width()
    for finding in findings:
        line = f"{finding.verdict:<14}  {finding.claim}"
        print(textwrap.fill(line, width, subsequent_indent=" " * 16))
        if finding.verdict != "pass":
            print(textwrap.indent(textwrap.fill(finding.evidence, width - 16), " " * 16))


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def _speed_table(timings: dict[str, Timing]) -> str:
    rows = [f"{'':<24}{'median':>10}{'quartiles':>20}{'ratio':>8}"]
    last = list(timings.values())[-1]
    for name, timing in timings.items():
        low, high = timing.quartiles()
        spread = f"{1e3 * low:.2f} to {1e3 * high:.2f}"
        median, ratio = f"{1e3 * timing.median():.2f} ms", f"{timing.ratio_to(last):.2f}"
        rows.append(f"{name:<24}{median:>10}{spread:>20}{ratio:>8}")
    return "\n".join(rows)


def _verdict(name: str, findings: list[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    judged = "is a drop-in optimizer" if not counts["fail"] else "is no drop-in optimizer"
    tally = f"{counts['pass']} claims hold, {counts['fail']} fail"
    return f"{name} {judged}: {tally}, {counts['not applicable']} do not apply"


def _write(
    directory: Path,
    name: str,
    values: dict[str, Any],
    findings: list[Finding],
    timings: dict[str, Timing],
    memory: Plan,
    tables: dict[str, str],
) -> None:
    facts = {
        "format": 1,
        "name": name,
        "settings": values,
        "versions": versions(),
        "hardware": hardware(),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "seconds_per_step": {who: list(timing.seconds) for who, timing in timings.items()},
        "memory": [dataclasses.asdict(part) for part in memory.parts],
    }
    write_whole(directory / "check.json", json.dumps(facts, indent=2) + "\n")
    rows = [
        f"| {finding.verdict} | {_cell(finding.claim)} | {_cell(finding.evidence)} |"
        for finding in findings
    ]
    page = [
        f"# {_verdict(name, findings)}",
        "\n| verdict | claim | evidence |\n|---|---|---|",
        *rows,
        *(f"\n## {title}\n\n```\n{table}\n```" for title, table in tables.items()),
        "",
    ]
    write_whole(directory / "check.md", "\n".join(page))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
