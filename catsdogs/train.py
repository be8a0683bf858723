"""Train the head on frozen features with the optimizer you name.

python -m catsdogs.train optimizer=custom_adam data=drawn epochs=10 seed=0
"""

import shlex
import sys
from collections.abc import Iterable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.cli import build_from, command, plain
from catsdogs.errors import UserError
from catsdogs.settings import Settings
from catsdogs.training.loop import what_it_must_know
from catsdogs.training.run import train
from catsdogs.training.setup import MakeOptimizer, MakeScheduler, Plan

DIVERGED = 3


@command("train")
def main(config: DictConfig) -> int:
    """Check every setting, train, and return the exit status."""
    command_line = shlex.join(["python", "-m", "catsdogs.train", *sys.argv[1:]])
    plan = plan_run(config, _label(config), command_line)
    return 0 if train(plan).status == "finished" else DIVERGED


def plan_run(config: DictConfig, label: str, command_line: str) -> Plan:
    """Check the configuration of one run.

    Raises:
        UserError: For a setting that cannot work.
    """
    values = plain(config)
    settings = Settings.from_config(values)
    del values["resume"]  # how a run came about is no part of what it is
    return Plan(
        settings=settings,
        label=label,
        make_optimizer=_optimizer_factory(config),
        make_scheduler=_scheduler_factory(config),
        config=values,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(values)),
        command=command_line,
    )


def _label(config: DictConfig) -> str:
    """Name the run as its optimizer's file in conf/optimizer, or as the class put in its place."""
    hydra_config = HydraConfig.get()
    if any("optimizer._target_=" in override for override in hydra_config.overrides.task):
        return str(config.optimizer._target_).rpartition(".")[2]
    return str(hydra_config.runtime.choices["optimizer"])


def _optimizer_factory(config: DictConfig) -> MakeOptimizer:
    """Return what builds the optimizer over given parameters.

    It raises UserError for hyperparameters that the class refuses and for no optimizer at all.
    """
    target = config.optimizer.get("_target_")
    build = build_from(config.optimizer, "optimizer._target_")

    def make(
        parameters: Iterable[Tensor], train_images: int, batch_size: int, **replaced: Any
    ) -> Optimizer:
        known = what_it_must_know(build.func, train_images, batch_size)
        try:
            optimizer = build(parameters, **known, **replaced)
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer: {target} refuses its settings: {error}") from error
        if not isinstance(optimizer, Optimizer):
            raise UserError(f"optimizer._target_={target}: is no torch.optim.Optimizer")
        return optimizer

    return make


def _scheduler_factory(config: DictConfig) -> MakeScheduler:
    if config.scheduler.get("_target_") is None:
        return lambda optimizer: None
    build = build_from(config.scheduler, "scheduler._target_")

    def make(optimizer: Optimizer) -> LRScheduler | None:
        try:
            scheduler: LRScheduler = build(optimizer)
        except (TypeError, ValueError) as error:
            raise UserError(f"scheduler: refuses its settings: {error}") from error
        return scheduler

    return make


if __name__ == "__main__":
    main()
