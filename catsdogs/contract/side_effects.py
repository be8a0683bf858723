"""Claims about what an optimizer must leave alone: random numbers, output, the caller's objects."""

import contextlib
import dataclasses
import io
import logging
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from catsdogs.contract.claims import (
    ClaimFailed,
    NotApplicable,
    claim,
    describe,
    require,
    require_plain_parameters,
)
from catsdogs.contract.harness import OptimizerHarness, furthest
from catsdogs.optim.state_size import named_tensors

STEPS = 3
SEED = 20_240_229  # unlikely to be one that an optimizer sets


@claim("A step disables gradients for its own arithmetic.", "update")
def disables_gradients_in_a_step(harness: OptimizerHarness) -> str:
    said = harness.subject.needs_no_grad
    require(not said, f"the step updates weights outside torch.no_grad(): {said}")
    return "no error with gradients enabled around the step"


@claim("Construction and steps of a rule without randomness use no global generator.", "manners")
def leaves_random_numbers_alone(harness: OptimizerHarness) -> str:
    if harness.subject.create_graph:
        raise NotApplicable("its steps may draw the directions of second derivatives")
    # The harness would seed the generator before each step.
    unseeded = OptimizerHarness(dataclasses.replace(harness.subject, random=False))
    with restored_generators():
        _seed(SEED)
        for doing, act in _constructing_and_stepping(unseeded):
            before = _generators()
            act()
            now = _generators()
            used = [name for name, state in before.items() if now[name] != state]
            if not used:
                continue
            if _depends_on_seeds(unseeded):
                raise NotApplicable("its weights or its state are made of random numbers")
            require(False, f"{doing} changes the state of {', '.join(used)}")
    return f"{', '.join(before)} unchanged by construction and {harness.after(STEPS)} steps"


def _depends_on_seeds(harness: OptimizerHarness) -> bool:
    """Return whether weights or state after some steps depend on the seeds."""
    runs = []
    for seed in (1, 2):
        _seed(seed)
        weights, optimizer = harness.trained(STEPS)
        runs.append([*weights, *(tensor for _, tensor in named_tensors(optimizer.state_dict()))])
    return len(runs[0]) != len(runs[1]) or furthest(*runs) > 0


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)


@claim("Construction and steps print nothing.", "manners")
def prints_nothing(harness: OptimizerHarness) -> str:
    for doing, act in _constructing_and_stepping(harness):
        with silent_logging(), _captured() as outputs:
            act()
        for name, text in outputs.items():
            first = text.getvalue().strip().partition("\n")[0]
            require(not text.getvalue(), f"{doing} writes to {name}: {first!r}")
    return f"no output from construction and {harness.after(STEPS)} steps"


@claim("Construction and steps leave torch's global settings as they were.", "manners")
def leaves_the_settings_of_torch_alone(harness: OptimizerHarness) -> str:
    for settings in (USUAL, OTHER):
        # A compiled step would be compiled anew.
        with restored_settings(), torch.compiler.set_stance("force_eager"):
            for doing, act in _constructing_and_stepping(harness):
                for name, (_, change) in SETTINGS.items():
                    change(settings[name])
                # Whether it works with these settings is another question.
                with contextlib.suppress(Exception):
                    act()
                for name, (read, _) in SETTINGS.items():
                    told = f"{doing} changes {name} from {settings[name]} to {read()}"
                    require(read() == settings[name], told)
    return f"{', '.join(SETTINGS)} as before"


@claim("The constructor keeps every value that the caller's groups give.", "manners")
def leaves_the_callers_groups_alone(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    given = {
        name: harness.settings[name] / 2
        for name in ("lr", "weight_decay")
        if isinstance(harness.settings.get(name), float)
    }
    weights = harness.weights()
    group: dict[str, Any] = {"params": list(weights), "name": "all", **given}
    groups = [group]
    try:
        harness.build(groups)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"it refuses the group: {describe(error)}") from None
    require(len(groups) == 1 and groups[0] is group, "the list of groups changed")
    for name, value in {"name": "all", **given}.items():
        if name not in group:
            raise ClaimFailed(f"{name}={value} is gone from the caller's group")
        require(group[name] == value, f"{name}={value} became {group[name]} in the caller's group")
    kept = [id(param) for param in group.get("params", ())]
    require(kept == [id(weight) for weight in weights], "params changed in the caller's group")
    return f"{', '.join(['params', 'name', *given])} as given"


def _constructing_and_stepping(
    harness: OptimizerHarness,
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield two acts to do in turn, each with its name."""
    weights, built = harness.weights(), []
    construction = "construction with train()" if harness.subject.train_mode else "construction"
    yield construction, lambda: built.append(harness.build(weights))
    steps = range(harness.after(STEPS))
    yield "a step", lambda: harness.run(built[0], weights, steps)


@contextlib.contextmanager
def _captured() -> Iterator[dict[str, io.StringIO]]:
    """Collect what is printed inside, by stream."""
    outputs = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    to_stdout = contextlib.redirect_stdout(outputs["stdout"])
    with to_stdout, contextlib.redirect_stderr(outputs["stderr"]):
        yield outputs


@contextlib.contextmanager
def silent_logging() -> Iterator[None]:
    """Log nothing inside: a caller can filter log records, unlike printed text."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


# How a setting of torch is read and changed.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "whether gradients are enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether algorithms are deterministic": (
        torch.are_deterministic_algorithms_enabled,
        lambda on: torch.use_deterministic_algorithms(on, warn_only=True),
    ),
}
# A change to the value that there is does not show, so two are tried; but computing tiny tensors
# with two threads is slow.
USUAL = dict(zip(SETTINGS, (True, torch.float32, 1, False), strict=True))
OTHER = dict(zip(SETTINGS, (False, torch.float64, 1, True), strict=True))


@contextlib.contextmanager
def restored_settings() -> Iterator[None]:
    """Restore the settings of torch afterwards."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        for name, (_, change) in SETTINGS.items():
            change(before[name])
        on = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(on, warn_only=warn_only)


@contextlib.contextmanager
def restored_generators() -> Iterator[None]:
    """Restore the random numbers of torch and Python afterwards."""
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(state)


def _generators() -> dict[str, bytes]:
    """Return the states of the global random generators."""
    states: dict[str, Any] = {
        "torch's generator": torch.get_rng_state().tolist(),
        "Python's random": random.getstate(),
    }
    if "numpy" in sys.modules:
        states["numpy.random"] = sys.modules["numpy"].random.get_state()
    if torch.cuda.is_initialized():
        states["CUDA's generator"] = torch.cuda.get_rng_state().tolist()
    return {name: pickle.dumps(state) for name, state in states.items()}
