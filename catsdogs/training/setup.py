"""Plan of a run, and its preparation: everything is found and checked before files are written."""

import copy
import dataclasses
import functools
import inspect
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.compute.device import choose_device, describe_device, require_precision
from catsdogs.compute.distributed import ProcessGroup
from catsdogs.contract.subject import class_of
from catsdogs.data.images import PIPELINE
from catsdogs.data.manifest import Manifest, make_manifest
from catsdogs.data.sources import find_folder
from catsdogs.errors import UserError
from catsdogs.features.backbone import BackboneWeights, find_weights
from catsdogs.features.epoch_features import EpochFeatures, choose_features
from catsdogs.io.failure import described, place
from catsdogs.io.files import probe_directory
from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.step_inputs import constructor_inputs, declared_step_inputs
from catsdogs.runs.environment import git_state, hardware, versions
from catsdogs.runs.writer import strict_json
from catsdogs.settings import DataSettings, Settings
from catsdogs.training.blame import NOT_ITS_FAULT, blaming
from catsdogs.training.checkpoint import TrainState
from catsdogs.training.events import TrainConfig
from catsdogs.training.finite_sum import require_recurring_images
from catsdogs.training.heads import ConvHead, LinearHead, seeded_head
from catsdogs.training.memory import plan_memory
from catsdogs.training.resume import read_run_facts, require_same_data
from catsdogs.training.signals import Interruption

REHEARSED_EPOCHS = 1000  # in less than 0.1 s
MakeOptimizer = Callable[..., Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler | None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides a run, and its name in the records.

    Attributes:
        settings: Checked settings.
        label: The run's name in directories, TensorBoard and legends.
        make_optimizer: Builds the optimizer from the head's parameters, the number of training
            images and the batch size; keywords replace configured hyperparameters.
        make_scheduler: Builds the learning-rate scheduler of an optimizer, or returns None.
        config: The resolved configuration without `resume`, for the record and the checkpoints.
        config_yaml: The same as YAML.
        command: The command line, for the record.
        source: Of the classes behind both, from `source_of`.
    """

    settings: Settings
    label: str
    make_optimizer: MakeOptimizer
    make_scheduler: MakeScheduler
    config: dict[str, Any]
    config_yaml: str
    command: str
    source: dict[str, str]

    @property
    def train_config(self) -> TrainConfig:
        """Settings of the training loop."""
        settings = self.settings
        return TrainConfig(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            val_batch_size=settings.val_batch_size,
            seed=settings.seed,
            clip_value=settings.grad_clip.value,
            clip_norm=settings.grad_clip.norm,
            stop_when_flat=settings.stop_when_flat,
        )


def optimizer_factory(build: Callable[..., Optimizer], name: str) -> MakeOptimizer:
    """Return what builds an optimizer over given parameters for a run.

    Args:
        build: A `functools.partial` of the class, with its hyperparameters.
        name: The optimizer's name in messages.

    Returns:
        A function of parameters, the number of training images and the batch size; keywords replace
        hyperparameters. It raises UserError for hyperparameters that the class refuses, and if
        what it builds is not an optimizer.
    """

    def make(
        parameters: Iterable[Tensor], train_images: int, batch_size: int, **replaced: Any
    ) -> Optimizer:
        _require_kinds(build, "optimizer")
        try:
            known = constructor_inputs(class_of(build), train_images, batch_size)
            optimizer = build(parameters, **known, **replaced)
        except (TypeError, ValueError) as error:
            message = f"optimizer: settings refused by {name}: {error}"
            if "unexpected keyword argument" in message:  # of the file that another class replaces
                message += "; optimizer=class passes only the hyperparameters that you give"
            where = f" ({place(error)})" if place(error) else ""
            raise UserError(f"{message}{where}") from error
        except NOT_ITS_FAULT:
            raise
        except Exception as error:
            raise UserError(f"optimizer: {name} cannot be built: {described(error)}") from error
        if not isinstance(optimizer, Optimizer):
            raise UserError(
                f"optimizer: {name} builds an object of type {type(optimizer).__name__}, not a "
                "torch.optim.Optimizer"
            )
        return optimizer

    return make


def scheduler_factory(build: Callable[..., LRScheduler] | None) -> MakeScheduler:
    """Return what builds the scheduler of an optimizer.

    Args:
        build: A `functools.partial` of the class, with its settings; None for a constant rate.

    Returns:
        A function of an optimizer. It raises UserError for settings that the class refuses.
    """

    def make(optimizer: Optimizer) -> LRScheduler | None:
        if build is None:
            return None
        _require_kinds(build, "scheduler")
        try:
            return build(optimizer)
        except (TypeError, ValueError) as error:
            raise UserError(f"scheduler: settings refused by the class: {error}") from error
        except NOT_ITS_FAULT:
            raise
        except Exception as error:
            raise UserError(f"scheduler: cannot be built: {described(error)}") from error

    return make


def _require_kinds(build: Callable[..., Any], section: str) -> None:
    """Refuse a word or a truth value where the class takes a number, and a word for a truth value.

    A class may take them, and the run fails later, or its records cannot be compared with others.
    """
    try:
        parameters = inspect.signature(class_of(build)).parameters
    except (TypeError, ValueError):  # not every callable tells
        parameters = MappingProxyType({})
    given = build.keywords if isinstance(build, functools.partial) else {}
    for key, value in given.items():
        parameter = parameters.get(key)
        default = parameter.default if parameter else None
        declared = parameter.annotation if parameter else None
        setting = f"{section}.{key}={value!r}"
        if key == "lr" or _is_number(default) or declared in (int, float, "int", "float"):
            if isinstance(value, bool | str):
                raise UserError(f"{setting}: must be a number")
        elif isinstance(default, bool) and isinstance(value, str):
            raise UserError(f"{setting}: must be true or false")
        elif isinstance(default, tuple | list) and all(map(_is_number, default)):
            entries = value if isinstance(value, tuple | list) else [value]
            if any(isinstance(entry, bool | str) for entry in entries):
                raise UserError(f"{setting}: every entry must be a number")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def build(plan: Plan, device: torch.device) -> TrainState:
    """Build the seeded head, its optimizer and its scheduler.

    Raises:
        UserError: For settings that one of them refuses.
    """
    require_precision(plan.settings.model.precision, device)
    head = seeded_head(plan.settings.model.head, plan.settings.seed).to(device)
    optimizer = _make_optimizer(plan, head)
    scheduler = plan.make_scheduler(optimizer)
    if scheduler is not None:
        _rehearse_scheduler(plan, head)
    return TrainState(head, optimizer, scheduler)


def _rehearse_scheduler(plan: Plan, head: nn.Module) -> None:
    """Step another scheduler as the run will, since a class may take settings that fail later."""
    settings = plan.settings
    parameters = copy.deepcopy(head).parameters()
    scheduler = plan.make_scheduler(
        plan.make_optimizer(parameters, settings.data.train_images, settings.batch_size)
    )
    assert scheduler is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has taken no step
        for epoch in range(1, min(settings.epochs, REHEARSED_EPOCHS) + 1):
            try:
                scheduler.step()
            except Exception as error:
                if place(error):  # in a class of the user's own
                    with blaming("scheduler", scheduler, "step"):
                        raise
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise UserError(
                    f"scheduler: {type(scheduler).__name__} fails after epoch {epoch} ({reason}); "
                    "choose other settings"
                ) from error


def find_features(runs: Sequence[Settings]) -> list[EpochFeatures]:
    """Return the features of runs with the same images and weights; none is computed yet.

    Raises:
        UserError: For images or weights that cannot be used.
    """
    first = runs[0]
    weights = find_weights(first.model.weights, seed=first.model.weights_seed)
    manifest, device = find_images(first.data), choose_device(first.device)
    return [choose_features(settings, manifest, weights, device) for settings in runs]


def _make_optimizer(plan: Plan, head: ConvHead | LinearHead) -> Optimizer:
    settings = plan.settings
    train_images = settings.data.train_images
    optimizer = plan.make_optimizer(head.parameters(), train_images, settings.batch_size)
    _require_usable(optimizer, plan.label)
    if declared_step_inputs(optimizer) is not None:
        require_recurring_images(settings.protocol, plan.label)
    clipped = settings.grad_clip.value is not None or settings.grad_clip.norm is not None
    if clipped and declared_step_inputs(optimizer) is not None:
        raise UserError(
            f"grad_clip: {plan.label} keeps a table of gradients, and clipped ones do not add up; "
            "leave out grad_clip"
        )
    if settings.compile:
        if not isinstance(optimizer, RuleOptimizer):
            raise UserError(
                f"compile=true: {plan.label} is not an optimizer of catsdogs.optim, whose update "
                "rules it compiles; use compile=false"
            )
        try:
            optimizer.compile()
        except RuntimeError as error:
            raise UserError(f"compile=true: {error}") from error
    return optimizer


def _require_usable(optimizer: Optimizer, label: str) -> None:
    """Refuse an optimizer that the training loop and its records cannot drive.

    Raises:
        UserError: If its step needs an argument, a group has no learning rate, or it has no state.
    """
    with blaming("optimizer", optimizer, "state_dict"):
        optimizer.state_dict()
    given = declared_step_inputs(optimizer) is not None
    for parameter in inspect.signature(optimizer.step).parameters.values():
        optional = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not optional and not given:
            raise UserError(
                f"optimizer: each step of {label} needs {parameter.name}, which training does not "
                "give; use an optimizer whose step() takes the gradients alone"
            )
    for group in optimizer.param_groups:
        rate: Any = group.get("lr")
        try:
            float(rate)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(
                f"optimizer.lr={rate}: {label} has no learning rate in its param_groups, which "
                "every epoch records; put a number under 'lr' there"
            ) from None


def find_images(data: DataSettings) -> Manifest:
    """Return the images of the settings, drawn or downloaded if needed, checked and split.

    Raises:
        UserError: For a folder that cannot be used.
    """
    root = find_folder(
        data.source,
        root=data.root,
        per_class=sum(data.per_class.values()),
        seed=data.drawing_seed,
        keep_archive=data.keep_archive,
    )
    return make_manifest(
        root,
        data.per_class,
        max_bad_fraction=data.max_bad_fraction,
        duplicates=data.duplicates,
    )


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: its parts exist and fit, and no file is written yet."""

    plan: Plan
    process_group: ProcessGroup
    interruption: Interruption
    train_state: TrainState
    manifest: Manifest
    features: EpochFeatures
    facts: dict[str, Any]


def prepare(
    plan: Plan,
    device: torch.device,
    process_group: ProcessGroup,
    interruption: Interruption,
    begun: Path | None,
) -> Prepared:
    """Find and check everything, and compute the first features.

    Args:
        plan: What to train.
        device: Device of this process.
        process_group: The processes of the run.
        interruption: Signal handling of this process.
        begun: Directory of the run to resume; None for a new one.

    Raises:
        UserError: For settings, images or weights that cannot be used.
    """
    settings = plan.settings
    if process_group.is_main:  # it writes; several probes would remove each other's folder
        probe_directory(settings.output_dir, "output_dir")
    train_state = build(plan, device)
    if process_group.size > 1 and declared_step_inputs(train_state.optimizer) == "samples":
        raise UserError(
            f"torchrun: {plan.label} needs all images of a batch in one process; start it with "
            "python -m catsdogs.train"
        )
    weights = find_weights(settings.model.weights, seed=settings.model.weights_seed)
    manifest = find_images(settings.data)
    process_group.check_equal(strict_json(plan.config), "settings")
    process_group.check_equal(strict_json(plan.source), "source code")
    process_group.check_equal(weights.sha256, "weights")
    process_group.check_equal(manifest.sha256, "images")
    _announce(plan, manifest, weights, device, process_group)
    features = choose_features(settings, manifest, weights, device, process_group)
    facts = _facts(plan, manifest, weights, device, process_group)
    if begun is not None:
        before = read_run_facts(begun)
        require_same_data(begun, before, facts)
        facts |= {
            "id": before.get("id", facts["id"]),
            "started": before.get("started", now()),
            "resumed": [*before.get("resumed", []), now()],
        }
    optimizer = plan.config["optimizer"]
    memory = plan_memory(
        plan.make_optimizer, optimizer, settings, train_state.head, features, device
    )
    facts["memory"] = [dataclasses.asdict(part) for part in memory.parts]
    _open_features(features)
    process_group.wait()
    facts["feature_store"] = features.facts
    return Prepared(plan, process_group, interruption, train_state, manifest, features, facts)


def _announce(
    plan: Plan,
    manifest: Manifest,
    weights: BackboneWeights,
    device: torch.device,
    process_group: ProcessGroup,
) -> None:
    shares = ", ".join(f"{count} {split}" for split, count in counts(manifest).items())
    processes = f", in {process_group.size} processes" * (process_group.size > 1)
    print(f"{plan.label}, seed {plan.settings.seed}, on {describe_device(device)}{processes}")
    unused = len(manifest.images) - len(manifest.used) - len(manifest.unreadable)
    more = f"; {unused} more are in no split" * bool(unused)
    print(f"images: {shares}, half of them cats, from {manifest.root}{more}")
    if manifest.unreadable:
        first = manifest.unreadable[0]
        print(
            f"skipped: {len(manifest.unreadable)} unreadable images, the first "
            f"{first.path} ({first.status})"
        )
    print(f"backbone: ResNet-18 with {weights.description}")


def _open_features(features: EpochFeatures) -> None:
    """Compute or find the features of the first epoch."""
    started = time.perf_counter()
    features(0)
    verb = "computed" if features.facts["computed"] else "found"
    seconds = time.perf_counter() - started
    print(f"features: {verb} in {seconds:.1f} s, in {features.facts['path']}\n")


def _facts(
    plan: Plan,
    manifest: Manifest,
    weights: BackboneWeights,
    device: torch.device,
    process_group: ProcessGroup,
) -> dict[str, Any]:
    return {
        "format": 1,
        "id": uuid.uuid4().hex,
        "label": plan.label,
        "status": "running",
        "command": plan.command,
        "seed": plan.settings.seed,
        "started": now(),
        "config": plan.config,
        "source": plan.source,
        "versions": versions(),
        "hardware": hardware() | {"device": describe_device(device)},
        "threads": torch.get_num_threads(),
        "git": git_state(),
        "processes": process_group.size,
        "data": {
            "source": plan.settings.data.source,
            "root": str(manifest.root),
            "sha256": manifest.sha256,
            "pictures": counts(manifest),
            "unreadable": [{"path": p.path, "status": p.status} for p in manifest.unreadable],
        },
        "protocol": plan.settings.protocol,
        "weights": weights.facts,
        "pixels": PIPELINE,
    }


def counts(manifest: Manifest) -> dict[str, int]:
    """Return the number of images per split."""
    return dict(Counter(image.split for image in manifest.used))


def now() -> str:
    """Return the current UTC time in ISO format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
