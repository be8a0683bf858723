"""One run from checked settings to records: the wiring of the parts, in the order they act."""

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.data.manifest import Manifest, Split, make_manifest
from catsdogs.data.pixels import PIPELINE
from catsdogs.data.source import find_folder
from catsdogs.errors import UserError
from catsdogs.files import make_directory, probe_directory, write_whole
from catsdogs.optim.memory import Plan as MemoryPlan
from catsdogs.optim.rule import RuleOptimizer
from catsdogs.records import RunRecord, git_state, hardware, versions
from catsdogs.settings import DataSettings, Settings
from catsdogs.training.backbone import BackboneWeights, find_weights
from catsdogs.training.checkpoint import load_checkpoint, save_tensors
from catsdogs.training.device import choose_device, describe_device, set_determinism
from catsdogs.training.engine import Course, Evaluation, evaluate, fit, wants
from catsdogs.training.feature_store import Features
from catsdogs.training.finite_sum import require_recurring_pictures
from catsdogs.training.head import HEADS, seeded_head
from catsdogs.training.journal import Journal
from catsdogs.training.memory_plan import plan_memory
from catsdogs.training.mistakes import keep_thumbnails, worst_mistakes
from catsdogs.training.protocol import EpochFeatures, choose_features
from catsdogs.training.tracking import Status, TensorBoardTracker, hyperparameters

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
        config: The resolved configuration, for the record and the checkpoints.
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended, and the directory that says everything else."""

    directory: Path
    status: Status


def train(plan: Plan, directory: Path | None = None) -> Outcome:
    """Carry out a plan; nothing is written before every setting has been tried.

    Args:
        plan: What to train.
        directory: An empty folder for the records; without one the run makes its own.

    Raises:
        UserError: For settings, pictures or weights that cannot work.
    """
    started = time.perf_counter()
    settings = plan.settings
    device = choose_device(settings.device)
    set_determinism(settings.deterministic)
    probe_directory(settings.output_dir, "output_dir")
    head, optimizer, scheduler = build(plan, device)
    weights = find_weights(settings.weights, seed=settings.weights_seed)
    manifest = _find_pictures(settings.data)
    _announce(plan, manifest, weights, device)
    features = choose_features(settings, manifest, weights, device)
    memory = plan_memory(
        plan.make_optimizer,
        plan.config["optimizer"],
        settings,
        head,
        features,
        device,
    )
    _open_features(features)

    if directory is None:
        directory = _make_run_directory(settings.output_dir, plan.label, settings.seed)
    write_whole(directory / "config.yaml", plan.config_yaml)
    model = {"weights": weights.facts, "pixels": PIPELINE}
    with (
        RunRecord(directory, _facts(plan, manifest, features, device, memory) | model) as record,
        TensorBoardTracker(directory, hyperparameters(plan.label, plan.config)) as tracker,
    ):
        model_facts = {"config": plan.config, "versions": versions(), **model}
        journal = Journal(
            directory,
            record,
            tracker,
            head,
            optimizer,
            lambda epoch: model_facts | {"backbone_statistics": features.statistics(epoch)},
        )
        events = fit(head, optimizer, features, _course(settings), scheduler)
        steps_per_epoch = -(-_counts(manifest)["train"] // settings.batch_size)
        status = journal.follow(events, iterations=settings.epochs * steps_per_epoch)
        save_tensors(directory / "last.safetensors", head)
        splits = features(journal.best["epoch"])  # the best checkpoint is judged on its epoch's
        test = _judge_best(directory, splits, settings, record, device)
        tracker.add_test(test, splits["test"].labels)
        _keep_mistakes(manifest.root, splits["test"], test, record, tracker)
        tracker.add_end(status)
        record.update(
            status=status,
            feature_store=features.facts,
            finished=_now(),
            training_seconds=journal.training_seconds,
            total_seconds=time.perf_counter() - started,
        )
    _conclude(journal, test, settings.output_dir)
    return Outcome(directory, status)


def build(plan: Plan, device: torch.device) -> tuple[nn.Module, Optimizer, LRScheduler | None]:
    """Build the seeded head and what trains it.

    Raises:
        UserError: For settings that they refuse.
    """
    head = seeded_head(plan.settings.head, plan.settings.seed).to(device)
    optimizer = _make_optimizer(plan, head)
    return head, optimizer, plan.make_scheduler(optimizer)


def find_features(runs: Sequence[Settings]) -> list[EpochFeatures]:
    """Return the features of runs that share pictures and weights; none is computed yet.

    Raises:
        UserError: For pictures or weights that cannot work.
    """
    first = runs[0]
    weights = find_weights(first.weights, seed=first.weights_seed)
    manifest, device = _find_pictures(first.data), choose_device(first.device)
    return [choose_features(settings, manifest, weights, device) for settings in runs]


def _make_optimizer(plan: Plan, head: nn.Module) -> Optimizer:
    settings = plan.settings
    train_pictures = settings.data.train_pictures
    optimizer = plan.make_optimizer(head.parameters(), train_pictures, settings.batch_size)
    if wants(optimizer) is not None:
        require_recurring_pictures(settings.protocol, plan.label)
    clipped = settings.clip_value is not None or settings.clip_norm is not None
    if clipped and wants(optimizer) is not None:
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


def _course(settings: Settings) -> Course:
    return Course(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        val_batch_size=settings.val_batch_size,
        seed=settings.seed,
        clip_value=settings.clip_value,
        clip_norm=settings.clip_norm,
        stop_when_flat=settings.stop_when_flat,
    )


def _find_pictures(data: DataSettings) -> Manifest:
    root = find_folder(
        data.source,
        root=data.root,
        per_class=sum(data.per_class.values()),
        seed=data.drawing_seed,
        keep_archive=data.keep_archive,
    )
    return make_manifest(root, data.per_class, max_bad_fraction=data.max_bad_fraction)


def _announce(
    plan: Plan, manifest: Manifest, weights: BackboneWeights, device: torch.device
) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in _counts(manifest).items())
    print(f"{plan.label}, seed {plan.settings.seed}, on {describe_device(device)}")
    print(f"pictures: {counts}, half of them cats, from {manifest.root}")
    if manifest.unreadable:
        first = manifest.unreadable[0]
        print(
            f"left out: {len(manifest.unreadable)} unreadable pictures, "
            f"the first {first.path} ({first.status})"
        )
    print(f"backbone: ResNet-18 with {weights.description}")


def _open_features(features: EpochFeatures) -> None:
    """See to the features with which the run starts, before it leaves anything behind."""
    started = time.perf_counter()
    features(0)
    verb = "computed" if features.facts["computed"] else "found"
    seconds = time.perf_counter() - started
    print(f"features: {verb} in {seconds:.1f} s, in {features.facts['path']}\n")


def _facts(
    plan: Plan,
    manifest: Manifest,
    features: EpochFeatures,
    device: torch.device,
    memory: MemoryPlan,
) -> dict[str, Any]:
    return {
        "format": 1,
        "label": plan.label,
        "status": "running",
        "command": plan.command,
        "seed": plan.settings.seed,
        "started": _now(),
        "config": plan.config,
        "versions": versions(),
        "hardware": hardware() | {"device": describe_device(device)},
        "threads": torch.get_num_threads(),
        "git": git_state(),
        "memory": [dataclasses.asdict(part) for part in memory.parts],
        "data": {
            "source": plan.settings.data.source,
            "root": str(manifest.root),
            "sha256": manifest.sha256,
            "pictures": _counts(manifest),
            "unreadable": [{"path": p.path, "status": p.status} for p in manifest.unreadable],
        },
        "protocol": plan.settings.protocol,
        "feature_store": features.facts,
    }


def _judge_best(
    directory: Path,
    splits: dict[Split, Features],
    settings: Settings,
    record: RunRecord,
    device: torch.device,
) -> Evaluation:
    """Read `best.pt` back, write its answers to validation and test, and judge it on test."""
    head = HEADS[settings.head]().to(device)
    head.load_state_dict(load_checkpoint(directory / "best.pt")["head"])
    judged: tuple[Split, ...] = ("val", "test")
    answers = {split: evaluate(head, splits[split], settings.val_batch_size) for split in judged}
    record.write_predictions(
        (split, path, int(label), logit)
        for split in judged
        for path, label, logit in zip(
            splits[split].paths,
            splits[split].labels.tolist(),
            answers[split].logits.tolist(),
            strict=True,
        )
    )
    record.update(test_cost=answers["test"].cost, test_accuracy=answers["test"].accuracy)
    return answers["test"]


def _keep_mistakes(
    root: Path,
    pictures: Features,
    test: Evaluation,
    record: RunRecord,
    tracker: TensorBoardTracker,
) -> None:
    labels = [int(label) for label in pictures.labels.tolist()]
    answers = zip(pictures.paths, labels, test.logits.tolist(), strict=True)
    mistakes = keep_thumbnails(worst_mistakes(answers), root, record.directory)
    record.write_mistakes(dataclasses.astuple(mistake) for mistake in mistakes)
    tracker.add_mistakes(mistakes)


def _conclude(journal: Journal, test: Evaluation, output_dir: Path) -> None:
    best = journal.best
    print(
        f"\nbest epoch {best['epoch']}: validation accuracy {best['val_accuracy']:.1%}, "
        f"cost {best['val_cost']:.4f}; on {len(test.logits)} unseen test pictures: "
        f"accuracy {test.accuracy:.1%}, cost {test.cost:.4f}"
    )
    print(f"records, checkpoints and curves: {journal.directory}")
    beside = Path(sys.executable).with_name("tensorboard")
    tensorboard = "tensorboard" if shutil.which("tensorboard") else str(beside)
    print(f"to see the curves: {tensorboard} --logdir {output_dir}")


def _make_run_directory(output_dir: Path, label: str, seed: int) -> Path:
    """Make `LABEL-seedN-TIME` under the output folder; a name that is taken gets a number."""
    make_directory(output_dir, "output_dir")
    name = f"{label}-seed{seed}-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        directory = output_dir / f"{name}{suffix}"
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise FileExistsError(output_dir / name)


def _counts(manifest: Manifest) -> dict[str, int]:
    counts: dict[str, int] = {}
    for picture in manifest.used:
        counts[picture.split] = counts.get(picture.split, 0) + 1
    return counts


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
