"""Bit-for-bit comparison of two run directories, except for measured times."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from catsdogs.training.checkpoint import load_checkpoint

BYTES = ("steps.csv", "predictions.csv", "mistakes.csv", "last.safetensors", "config.yaml")
CHECKPOINTS = ("best.pt", "last.pt")
RESULTS = ("label", "status", "config", "best", "best_cost", "last", "test_cost", "test_accuracy")


def run_differences(one: Path, other: Path) -> list[str]:
    """Return a description of each difference between two runs.

    Series, predictions and mistakes are compared byte for byte, checkpoints by their tensors and
    TensorBoard events by their points, which may not occur twice.
    """
    return [
        *_file_differences(one, other),
        *_epoch_differences(one, other),
        *_checkpoint_differences(one, other),
        *_event_differences(one, other),
        *_record_differences(one, other),
    ]


def _file_differences(one: Path, other: Path) -> Iterator[str]:
    thumbnails = {
        str(path.relative_to(run)) for run in (one, other) for path in run.glob("mistakes/*")
    }
    for name in (*BYTES, *sorted(thumbnails)):
        contents = [
            (run / name).read_bytes() if (run / name).exists() else b"" for run in (one, other)
        ]
        if contents[0] != contents[1]:
            yield f"{name} differs"
    for run in (one, other):
        for leftover in (*run.rglob("*.partial"), *run.rglob("*.damaged*")):
            yield f"{leftover} was left behind"


def _epoch_differences(one: Path, other: Path) -> Iterator[str]:
    tables = []
    for run in (one, other):
        with (run / "epochs.csv").open(encoding="utf-8", newline="") as file:
            tables.append([row | {"seconds": ""} for row in csv.DictReader(file)])
    if tables[0] != tables[1]:
        yield "epochs.csv differs"


def _checkpoint_differences(one: Path, other: Path) -> Iterator[str]:
    for name in CHECKPOINTS:
        contents = [load_checkpoint(run / name) for run in (one, other)]
        for content in contents:
            # Times, and what differs with them: the run's random id and the hashes of its series.
            for key in ("clock", "id", "series"):
                content.pop(key, None)  # version 0.1.0 wrote only the first
        for key in differing(contents[0], contents[1]):
            yield f"{name}: {key} differs"


def differing(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """Yield the name of every leaf in which two nested dicts or lists differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differing(one[key], other[key], f"{name}.{key}" if name else str(key))
    elif isinstance(one, list | tuple) and type(one) is type(other) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differing(*pair, f"{name}[{number}]")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape or _bits(one) != _bits(other):
            yield name
    elif type(one) is not type(other) or (one != other and repr(one) != repr(other)):  # nan
        yield name


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _event_differences(one: Path, other: Path) -> Iterator[str]:
    series = []
    for run in (one, other):
        files = list(run.rglob("*tfevents*"))
        if len(files) != 1:
            yield f"{run} has {len(files)} event files"
            return
        series.append(event_series(files[0]))
    for tag in sorted(series[0].keys() | series[1].keys()):
        if series[0].get(tag) != series[1].get(tag):
            yield f"TensorBoard: {tag} differs"


def event_series(file: Path) -> dict[str, list[tuple[int, Any]]]:
    """Return step and value of every point of an event file, by tag, in file order."""
    everything = dict.fromkeys(("scalars", "images", "tensors"), 0)
    events = EventAccumulator(str(file), everything, purge_orphaned_data=False).Reload()
    found: dict[str, list[tuple[int, Any]]] = {}
    for tag in events.Tags()["scalars"]:
        found[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    for tag in events.Tags()["images"]:
        found[f"{tag} (image)"] = [
            (event.step, event.encoded_image_string) for event in events.Images(tag)
        ]
    for tag in events.Tags()["tensors"]:
        found[f"{tag} (tensor)"] = [
            (event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)
        ]
    found["others"] = sorted((0, tag) for tag in events.summary_metadata if tag not in found)
    return found


def _record_differences(one: Path, other: Path) -> Iterator[str]:
    facts = [json.loads((run / "record.json").read_text(encoding="utf-8")) for run in (one, other)]
    for name in RESULTS:
        if facts[0].get(name) != facts[1].get(name):
            yield f"record.json: {name} differs"
