"""Train a head on frozen features with one optimizer.

python -m catsdogs.train optimizer=custom_adam data=drawn epochs=10 seed=0
"""

import shlex
import sys
from collections.abc import Callable

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.cli import build_from, command, plain
from catsdogs.errors import UserError
from catsdogs.io.failure import described
from catsdogs.settings import Settings
from catsdogs.training.run import train
from catsdogs.training.setup import MakeScheduler, Plan, optimizer_factory
from catsdogs.training.source import source_of

DIVERGED = 3


@command("train")
def main(config: DictConfig) -> int:
    """Check every setting, train, and return the exit status."""
    command_line = shlex.join(["python", "-m", "catsdogs.train", *sys.argv[1:]])
    plan = plan_run(config, _label(config), command_line)
    return 0 if train(plan).status == "finished" else DIVERGED


def plan_run(config: DictConfig, label: str, command_line: str) -> Plan:
    """Check the configuration of one run and return its plan.

    Raises:
        UserError: For an invalid setting.
    """
    values = plain(config)
    settings = Settings.from_config(values)
    del values["resume"]  # resuming does not change a run's identity
    optimizer = build_from(config.optimizer, "optimizer._target_")
    scheduler = None
    if config.scheduler.get("_target_") is not None:
        scheduler = build_from(config.scheduler, "scheduler._target_")
    return Plan(
        settings=settings,
        label=label,
        make_optimizer=optimizer_factory(optimizer, str(config.optimizer.get("_target_"))),
        make_scheduler=_scheduler_factory(scheduler),
        config=values,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(values)),
        command=command_line,
        source=source_of(optimizer, scheduler),
    )


def _label(config: DictConfig) -> str:
    """Return the name of the optimizer's file in conf/optimizer, or of the class given instead."""
    hydra_config = HydraConfig.get()
    if any("optimizer._target_=" in override for override in hydra_config.overrides.task):
        return str(config.optimizer._target_).rpartition(".")[2]
    return str(hydra_config.runtime.choices["optimizer"])


def _scheduler_factory(build: Callable[[Optimizer], LRScheduler] | None) -> MakeScheduler:
    if build is None:
        return lambda optimizer: None

    def make(optimizer: Optimizer) -> LRScheduler | None:
        try:
            return build(optimizer)
        except (TypeError, ValueError) as error:
            raise UserError(f"scheduler: settings refused by the class: {error}") from error
        except (UserError, OSError, MemoryError):
            raise
        except Exception as error:
            raise UserError(f"scheduler: cannot be built: {described(error)}") from error

    return make


if __name__ == "__main__":
    main()
