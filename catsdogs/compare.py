"""Compare optimizers on the same features, initial heads and order of images, seed by seed.

python -m catsdogs.compare contenders=[native_adam,custom_adam] seeds=[0,1,2]
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig, open_dict

from catsdogs.cli import Result, command, command_line, plain
from catsdogs.errors import UserError
from catsdogs.io.text import typed
from catsdogs.io.voice import STARTED_BY_TORCHRUN
from catsdogs.settings import HomePath, Section
from catsdogs.train import plan_run
from catsdogs.training.run_comparison import compare
from catsdogs.training.setup import Plan

FAILED = 1
KINDS: dict[type, str] = {str: "name", int: "whole number", float: "number"}
OWN = ("contenders", "seeds", "learning_rates", "output_dir")  # the rest belongs to every run


class Output(Section):
    """The setting that is needed before the runs are planned, which check all others."""

    output_dir: HomePath


@command("compare")
def main(config: DictConfig) -> Result:
    """Train the runs that are missing; return 1 if one failed."""
    if STARTED_BY_TORCHRUN in os.environ:
        raise UserError(
            "torchrun: compare is one process; run python -m catsdogs.compare on each "
            "machine, with different seeds"
        )
    values = plain(config)
    labels = _distinct(values, "contenders", str)
    seeds = _distinct(values, "seeds", int)
    grid = _distinct(values, "learning_rates", float) if values["learning_rates"] else []
    output_dir = Output.from_config({"output_dir": values["output_dir"]}).output_dir
    repeat = command_line("compare")
    plans = [
        _plan(label, seed, rate, output_dir, repeat)
        for label in labels
        for rate in grid or [None]
        for seed in seeds
    ]
    if len({plan.label for plan in plans}) < len(labels):
        raise UserError(f"contenders={labels}: two have the same name in records; rename a file")
    failed = compare(plans, output_dir, repeat, tuple(grid))
    print(f"\nrecords, checkpoints and curves: {output_dir}")
    print(f"to make the report: python -m catsdogs.report {typed('runs', output_dir)}")
    if not failed:
        return Result()
    words = f"{failed} of {len(plans)} runs failed"
    print(f"error: {words}, see above", file=sys.stderr)
    return Result(FAILED, words)


def _distinct(values: dict[str, Any], key: str, kind: type) -> list[Any]:
    """Return a list of values of one type, in order; refuse repeated ones."""
    given = values[key]
    if not isinstance(given, list) or not given:
        raise UserError(f"{key}={given}: not a list; give {key}=[a,b]")
    try:
        items = [kind(item) for item in given]
    except (TypeError, ValueError):
        items = []
    if items != given:  # int(0.5) is 0, and no error
        raise UserError(f"{key}={given}: every entry must be a {KINDS[kind]}")
    if len(set(items)) < len(items):
        raise UserError(f"{key}={given}: an entry is repeated; give each once")
    return items


def _plan(label: str, seed: int, rate: float | None, output_dir: Path, repeat: str) -> Plan:
    config = _compose(label, seed, rate)
    with open_dict(config):
        for key in OWN:
            del config[key]
        config.output_dir = str(output_dir)
    return plan_run(config, label, repeat)


def _compose(label: str, seed: int, rate: float | None) -> DictConfig:
    """Compose the command line again with one contender as its optimizer."""
    given = HydraConfig.get().overrides.task
    for override in given:
        key = override.lstrip("+~").partition("=")[0]
        if key in ("optimizer", "seed"):
            raise UserError(
                f"{override}: not a setting of compare; give contenders=[...] and seeds=[...]"
            )
    chosen: Sequence[str] = [f"optimizer={label}", f"seed={seed}"]
    if rate is not None:
        chosen = [*chosen, f"optimizer.lr={rate!r}"]
    try:
        return compose("compare", [*given, *chosen])
    except MissingConfigException as error:
        choices = ", ".join(sorted(error.options or ()))
        raise UserError(
            f"contenders: no file {label} in conf/optimizer; choose from {choices}"
        ) from error
    except ConfigCompositionException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"contenders: {label} cannot be configured ({reason})") from error


if __name__ == "__main__":
    main()
