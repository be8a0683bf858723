"""Train a head on frozen features with one optimizer.

python -m catsdogs.train optimizer=custom_adam data=drawn epochs=10 seed=0
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from catsdogs.cli import Result, build_from, command, command_line, optimizer_label, plain
from catsdogs.runs.writer import recorded_facts
from catsdogs.settings import Settings
from catsdogs.training.run import train
from catsdogs.training.setup import Plan, optimizer_factory, scheduler_factory
from catsdogs.training.source import source_of

DIVERGED = 3


@command("train")
def main(config: DictConfig) -> Result:
    """Check every setting and train."""
    plan = plan_run(config, optimizer_label(config), command_line("train"))
    done = train(plan)
    name = plan.settings.objective
    objective = _objective(recorded_facts(done.directory), name)
    words = done.status if objective is None else f"{done.status}, {name} {objective:.4g}"
    return Result(0 if done.status == "finished" else DIVERGED, words, objective)


def _objective(facts: dict[str, Any], name: str) -> float | None:
    """Return the best of a run's epochs by a metric; None in a process that keeps no record."""
    values = facts | facts.get("best" if name == "val_accuracy" else "best_cost", {})
    return float(values[name]) if name in values else None  # "inf" in JSON is text


def plan_run(config: DictConfig, label: str, repeat: str) -> Plan:
    """Check the configuration of one run and return its plan.

    Args:
        config: The configuration.
        label: The run's name.
        repeat: The command line, for the record.

    Raises:
        UserError: For an invalid setting.
    """
    values = plain(config)
    settings = Settings.from_config(values)
    for key in ("resume", "objective"):  # neither changes a run's identity
        values.pop(key, None)
    optimizer = build_from(config.optimizer, "optimizer._target_")
    scheduler = None
    if config.scheduler.get("_target_") is not None:
        scheduler = build_from(config.scheduler, "scheduler._target_")
    return Plan(
        settings=settings,
        label=label.replace("/", "-"),  # optimizer=folder/file: a label names a run directory
        make_optimizer=optimizer_factory(optimizer, str(config.optimizer.get("_target_"))),
        make_scheduler=scheduler_factory(scheduler),
        config=values,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(values)),
        command=repeat,
        source=source_of(optimizer, scheduler),
    )


if __name__ == "__main__":
    main()
