"""Check any optimizer: the contract of torch.optim, the time of a step, and its memory.

python -m catsdogs.check target=my_package.MyOptimizer kwargs.lr=1e-3 reference=native_adam
"""

import dataclasses
import json
import math
import shutil
import sys
import textwrap
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from catsdogs.api import check_optimizer, for_contract
from catsdogs.cli import build_from, command, plain
from catsdogs.contract import CheckResult
from catsdogs.contract.timing import Timing, time_steps
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text, expanded, make_directory, probe_directory
from catsdogs.optim.step_inputs import constructor_inputs, declared_step_inputs
from catsdogs.runs.environment import hardware, versions
from catsdogs.training.heads import HEADS
from catsdogs.training.memory import MemoryEstimate, estimate_memory

FAILED = 1
IMAGES, TRAIN_IMAGES, BATCH_SIZE = 2400, 2000, 32  # of a default run, for the memory table


@command("check")
def run(config: DictConfig) -> int:
    """Check one optimizer and return 1 if a claim fails."""
    values = plain(config)
    name, build = _subject(config, values)
    reference, built_reference = values["reference"], None
    if reference is not None:
        built_reference = _reference(str(reference), values)
    output_dir = expanded(Path(str(values["output_dir"])), "output_dir")
    probe_directory(output_dir, "output_dir")
    try:
        result = check_optimizer(build, reference=built_reference, name=name)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be checked: {error}") from error
    print(result.table(_width()))
    head_name = "linear" if declared_step_inputs(build.func) == "samples" else "conv"
    head = HEADS[head_name]()
    shapes = [tuple(param.shape) for param in head.parameters()]
    contenders = {name: for_contract(build)}
    if built_reference is not None:
        contenders[str(reference)] = for_contract(built_reference)
    timings = time_steps(contenders, shapes, builds=3)
    # A default run has more samples, and so a larger table, than the contract.
    known = constructor_inputs(build.func, TRAIN_IMAGES, BATCH_SIZE)
    memory = estimate_memory(partial(build, **known), head.parameters(), images=IMAGES)
    tables = {
        f"Time of a step on the {sum(map(math.prod, shapes)):,} parameters of "
        f"model.head={head_name}": _speed_table(timings),
        f"Memory and disk of training on {TRAIN_IMAGES:,} of {IMAGES:,} images in "
        f"batches of {BATCH_SIZE}": str(memory),
    }
    for title, table in tables.items():
        print(f"\n{title}\n{table}")
    directory = make_directory(
        output_dir / f"check-{name}-{datetime.now():%Y%m%d-%H%M%S}", "output_dir"
    )
    _write(directory, result, values, timings, memory, tables)
    print(f"\n{result.verdict}")
    if result.failures:
        names = ", ".join(finding.name for finding in result.failures)
        print(textwrap.fill(f"failed: {names}", _width(), subsequent_indent=" " * 8))
    print(f"records: {directory}")
    return 0 if result.passed else FAILED


def main() -> None:
    """Run the command; `kwargs.x=1` needs no `+`, which Hydra asks of new keys."""
    sys.argv[1:] = [f"+{word}" if word.startswith("kwargs.") else word for word in sys.argv[1:]]
    run()


def _subject(config: DictConfig, values: dict[str, Any]) -> tuple[str, Any]:
    if (values.get("optimizer") is None) == (values["target"] is None):
        raise UserError(
            "optimizer, target: give one of optimizer=NAME and target=PATH.OF.CLASS, see --help"
        )
    if values["target"] is not None:
        target = str(values["target"])
        return target.rpartition(".")[2], _by_path(target, values["kwargs"], "target")
    if values["kwargs"]:
        raise UserError("kwargs: only for target=; with optimizer= give optimizer.lr=1e-3")
    name = str(HydraConfig.get().runtime.choices["optimizer"])
    return name, build_from(config.optimizer, "optimizer._target_")


def _reference(choice: str, values: dict[str, Any]) -> Any:
    if "." in choice:
        return _by_path(choice, values["kwargs"], "reference")
    return build_from(compose("check", [f"optimizer={choice}"]).optimizer, "reference")


def _by_path(target: str, kwargs: dict[str, Any], setting: str) -> Any:
    node = OmegaConf.create({"_target_": target, "_partial_": True, "_convert_": "all", **kwargs})
    return build_from(node, setting)


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


def _write(
    directory: Path,
    result: CheckResult,
    values: dict[str, Any],
    timings: dict[str, Timing],
    memory: MemoryEstimate,
    tables: dict[str, str],
) -> None:
    facts = {
        "format": 1,
        "name": result.name,
        "settings": values,
        "versions": versions(),
        "hardware": hardware(),
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "seconds_per_step": {who: list(timing.seconds) for who, timing in timings.items()},
        "memory": [dataclasses.asdict(part) for part in memory.parts],
    }
    atomic_write_text(directory / "check.json", json.dumps(facts, indent=2) + "\n")
    rows = [
        f"| {finding.verdict} | {_cell(finding.claim)} | {_cell(finding.evidence)} |"
        for finding in result.findings
    ]
    page = [
        f"# {result.verdict}",
        "\n| verdict | claim | evidence |\n|---|---|---|",
        *rows,
        *(f"\n## {title}\n\n```\n{table}\n```" for title, table in tables.items()),
        "",
    ]
    atomic_write_text(directory / "check.md", "\n".join(page))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
