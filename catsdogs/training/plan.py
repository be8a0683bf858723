"""What a run is to do: checked settings, and what builds the head and all that trains it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.data.manifest import Manifest, make_manifest
from catsdogs.data.source import find_folder
from catsdogs.errors import UserError
from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.step_inputs import declared_step_inputs
from catsdogs.settings import DataSettings, Settings
from catsdogs.training.backbone import find_weights
from catsdogs.training.checkpoint import Trainer
from catsdogs.training.device import choose_device, require_precision
from catsdogs.training.engine import Course
from catsdogs.training.finite_sum import require_recurring_pictures
from catsdogs.training.head import ConvHead, LinearHead, seeded_head
from catsdogs.training.protocol import EpochFeatures, choose_features

MakeOptimizer = Callable[..., Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler | None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to train, and how the records name it.

    Attributes:
        settings: Checked.
        label: The run's name in directories, TensorBoard and legends.
        make_optimizer: Builds the optimizer over the head's parameters, for that many training
            pictures and that batch size; keywords replace its configured hyperparameters.
        make_scheduler: Builds the learning rate's scheduler over the optimizer, or None.
        config: The resolved configuration, for the record and the checkpoints, without `resume`.
        config_yaml: The same as text.
        command: What was typed.
    """

    settings: Settings
    label: str
    make_optimizer: MakeOptimizer
    make_scheduler: MakeScheduler
    config: dict[str, Any]
    config_yaml: str
    command: str

    @property
    def course(self) -> Course:
        """How long and in which portions the head is trained."""
        settings = self.settings
        return Course(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            val_batch_size=settings.val_batch_size,
            seed=settings.seed,
            clip_value=settings.clip_value,
            clip_norm=settings.clip_norm,
            stop_when_flat=settings.stop_when_flat,
        )


def build(plan: Plan, device: torch.device) -> Trainer:
    """Build the seeded head and what trains it.

    Raises:
        UserError: For settings that they refuse.
    """
    require_precision(plan.settings.precision, device)
    head = seeded_head(plan.settings.head, plan.settings.seed).to(device)
    optimizer = _make_optimizer(plan, head)
    return Trainer(head, optimizer, plan.make_scheduler(optimizer))


def find_features(runs: Sequence[Settings]) -> list[EpochFeatures]:
    """Return the features of runs that share pictures and weights; none is computed yet.

    Raises:
        UserError: For pictures or weights that cannot work.
    """
    first = runs[0]
    weights = find_weights(first.weights, seed=first.weights_seed)
    manifest, device = find_pictures(first.data), choose_device(first.device)
    return [choose_features(settings, manifest, weights, device) for settings in runs]


def _make_optimizer(plan: Plan, head: ConvHead | LinearHead) -> Optimizer:
    settings = plan.settings
    train_pictures = settings.data.train_pictures
    optimizer = plan.make_optimizer(head.parameters(), train_pictures, settings.batch_size)
    if declared_step_inputs(optimizer) is not None:
        require_recurring_pictures(settings.protocol, plan.label)
    clipped = settings.clip_value is not None or settings.clip_norm is not None
    if clipped and declared_step_inputs(optimizer) is not None:
        raise UserError(
            f"grad_clip: {plan.label} needs the gradient as it is: a table of clipped ones is not "
            "that of a sum; leave out grad_clip"
        )
    if settings.compile:
        if not isinstance(optimizer, RuleOptimizer):
            raise UserError(
                f"compile=true: compiles the update rules of catsdogs.optim, and {plan.label} is "
                "none of them; use compile=false"
            )
        try:
            optimizer.compile()
        except RuntimeError as error:
            raise UserError(f"compile=true: {error}") from error
    return optimizer


def find_pictures(data: DataSettings) -> Manifest:
    """Return the pictures that the settings name, drawn or fetched if need be, checked and split.

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
    return make_manifest(root, data.per_class, max_bad_fraction=data.max_bad_fraction)
