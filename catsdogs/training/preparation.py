"""All that a run needs, found and tried before it leaves anything behind."""

import dataclasses
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from catsdogs.data.manifest import Manifest
from catsdogs.data.pixels import PIPELINE
from catsdogs.errors import UserError
from catsdogs.files import probe_directory
from catsdogs.optim.step_inputs import declared_step_inputs
from catsdogs.records import git_state, hardware, strict_json, versions
from catsdogs.training.backbone import BackboneWeights, find_weights
from catsdogs.training.checkpoint import Trainer
from catsdogs.training.device import describe_device
from catsdogs.training.interruption import Interruption
from catsdogs.training.memory_plan import plan_memory
from catsdogs.training.plan import Plan, build, find_pictures
from catsdogs.training.protocol import EpochFeatures, choose_features
from catsdogs.training.ranks import Ranks
from catsdogs.training.resume import known_facts, require_same_data


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run that can begin: everything was found and fits, and nothing is written yet."""

    plan: Plan
    ranks: Ranks
    interruption: Interruption
    trainer: Trainer
    manifest: Manifest
    features: EpochFeatures
    facts: dict[str, Any]


def prepare(
    plan: Plan, device: torch.device, ranks: Ranks, interruption: Interruption, begun: Path | None
) -> Prepared:
    """Find and check everything, and see to the first features.

    Args:
        plan: What to train.
        device: Where this process computes.
        ranks: The processes of the run.
        interruption: Of this process.
        begun: The directory of the run that is gone on with, if there is one.

    Raises:
        UserError: For settings, pictures or weights that cannot work.
    """
    settings = plan.settings
    probe_directory(settings.output_dir, "output_dir")
    trainer = build(plan, device)
    if ranks.size > 1 and declared_step_inputs(trainer.optimizer) == "samples":
        raise UserError(
            f"torchrun: {plan.label} must see every picture of a batch in one process; start it "
            "with python -m catsdogs.train"
        )
    weights = find_weights(settings.weights, seed=settings.weights_seed)
    manifest = find_pictures(settings.data)
    ranks.agree(strict_json(plan.config), "settings")
    ranks.agree(weights.sha256, "weights")
    ranks.agree(manifest.sha256, "pictures")
    _announce(plan, manifest, weights, device, ranks)
    features = choose_features(settings, manifest, weights, device, ranks)
    facts = _facts(plan, manifest, weights, device, ranks)
    if begun is not None:
        before = known_facts(begun)
        require_same_data(begun, before, facts)
        facts |= {
            "started": before.get("started", now()),
            "resumed": [*before.get("resumed", []), now()],
        }
    optimizer = plan.config["optimizer"]
    memory = plan_memory(plan.make_optimizer, optimizer, settings, trainer.head, features, device)
    facts["memory"] = [dataclasses.asdict(part) for part in memory.parts]
    _open_features(features)
    ranks.wait()
    facts["feature_store"] = features.facts
    return Prepared(plan, ranks, interruption, trainer, manifest, features, facts)


def _announce(
    plan: Plan,
    manifest: Manifest,
    weights: BackboneWeights,
    device: torch.device,
    ranks: Ranks,
) -> None:
    shares = ", ".join(f"{count} {split}" for split, count in counts(manifest).items())
    processes = f", in {ranks.size} processes" * (ranks.size > 1)
    print(f"{plan.label}, seed {plan.settings.seed}, on {describe_device(device)}{processes}")
    print(f"pictures: {shares}, half of them cats, from {manifest.root}")
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
    weights: BackboneWeights,
    device: torch.device,
    ranks: Ranks,
) -> dict[str, Any]:
    return {
        "format": 1,
        "label": plan.label,
        "status": "running",
        "command": plan.command,
        "seed": plan.settings.seed,
        "started": now(),
        "config": plan.config,
        "versions": versions(),
        "hardware": hardware() | {"device": describe_device(device)},
        "threads": torch.get_num_threads(),
        "git": git_state(),
        "processes": ranks.size,
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
    """Return the number of pictures in each split."""
    return dict(Counter(picture.split for picture in manifest.used))


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
