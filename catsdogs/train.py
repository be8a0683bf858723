"""Train a head on frozen features with one optimizer.

python -m catsdogs.train optimizer=custom_adam data=drawn epochs=10 seed=0
"""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.cli import Result, build_from, command, command_line, plain
from catsdogs.errors import UserError
from catsdogs.settings import Settings
from catsdogs.training.run import train
from catsdogs.training.setup import MakeOptimizer, MakeScheduler, Plan, optimizer_factory

DIVERGED = 3


@command("train")
def main(config: DictConfig) -> Result:
    """Check every setting and train."""
    plan = plan_run(config, _label(config), command_line("train"))
    done = train(plan)
    return Result(0 if done.status == "finished" else DIVERGED, done.status)


def plan_run(config: DictConfig, label: str, typed: str) -> Plan:
    """Check the configuration of one run and return its plan.

    Args:
        config: The configuration.
        label: The run's name.
        typed: The command line, for the record.

    Raises:
        UserError: For an invalid setting.
    """
    values = plain(config)
    settings = Settings.from_config(values)
    del values["resume"]  # resuming does not change a run's identity
    return Plan(
        settings=settings,
        label=label,
        make_optimizer=_optimizer_factory(config),
        make_scheduler=_scheduler_factory(config),
        config=values,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(values)),
        command=typed,
    )


def _label(config: DictConfig) -> str:
    """Return the name of the optimizer's file in conf/optimizer, or of the class given instead."""
    hydra_config = HydraConfig.get()
    if any("optimizer._target_=" in override for override in hydra_config.overrides.task):
        return str(config.optimizer._target_).rpartition(".")[2]
    return str(hydra_config.runtime.choices["optimizer"])


def _optimizer_factory(config: DictConfig) -> MakeOptimizer:
    target = str(config.optimizer.get("_target_"))
    return optimizer_factory(build_from(config.optimizer, "optimizer._target_"), target)


def _scheduler_factory(config: DictConfig) -> MakeScheduler:
    if config.scheduler.get("_target_") is None:
        return lambda optimizer: None
    build = build_from(config.scheduler, "scheduler._target_")

    def make(optimizer: Optimizer) -> LRScheduler | None:
        try:
            scheduler: LRScheduler = build(optimizer)
        except (TypeError, ValueError) as error:
            raise UserError(f"scheduler: settings refused by the class: {error}") from error
        return scheduler

    return make


if __name__ == "__main__":
    main()
