"""Compiling an update rule changes its speed and nothing else."""

import copy
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from catsdogs import optim
from catsdogs.optim import compiled as compiled_steps
from catsdogs.optim.base import RuleOptimizer
from tests.support.slow import slow_except

CXX = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
NEEDS_COMPILER = pytest.mark.skipif(shutil.which(CXX) is None, reason=f"no {CXX} here")
OPTIMIZERS: dict[str, Callable[..., RuleOptimizer]] = {
    "sgd": optim.SGD,
    "momentum": partial(optim.SGD, momentum=0.9, nesterov=True),
    "rmsprop": partial(optim.RMSprop, centered=True, momentum=0.9),
    "adam": optim.Adam,
    "adam_amsgrad": partial(optim.Adam, amsgrad=True),
    "adamw": optim.AdamW,
    "saga": partial(optim.SAGA, block_sizes=(8, 8, 3)),
}


@pytest.fixture
def fresh_dynamo() -> Iterator[None]:
    """Forget compiled code, so that a count starts at zero and limits are not shared."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def parameters(dtype: torch.dtype, device: str = "cpu") -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=dtype).to(device).requires_grad_()
        for shape in [(33, 5), (7,), (1,)]
    ]


def train(optimizer: RuleOptimizer, params: list[Tensor], steps: range) -> None:
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        for param in params:
            drawn = torch.randn(param.shape, generator=generator, dtype=param.dtype)
            param.grad = drawn.to(param.device)
        told: Callable[..., Any] = optimizer.step
        told(**({"block": number % 3} if hasattr(optimizer, "step_inputs") else {}))


@NEEDS_COMPILER
@pytest.mark.parametrize(
    "dtype", slow_except([torch.float32], [torch.float32, torch.float64]), ids=str
)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_rule_equals_the_eager_one_to_rounding(
    name: str, device: str, dtype: torch.dtype, fresh_dynamo: None
) -> None:
    eager, compiled = parameters(dtype, device), parameters(dtype, device)
    plain = OPTIMIZERS[name](eager, lr=0.01, weight_decay=0.1)
    fast = OPTIMIZERS[name](compiled, lr=0.01, weight_decay=0.1)
    fast.compile()
    train(plain, eager, range(20))
    train(fast, compiled, range(20))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for mine, its in zip(compiled, eager, strict=True):
        torch.testing.assert_close(mine, its, rtol=tolerance, atol=tolerance)


@NEEDS_COMPILER
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "saga"])
def test_nothing_is_compiled_again_over_steps_schedules_and_epochs(
    name: str, fresh_dynamo: None
) -> None:
    params = parameters(torch.float32)
    optimizer = OPTIMIZERS[name](params, lr=0.01, weight_decay=0.1)
    optimizer.compile()
    scheduler = LambdaLR(optimizer, lambda epoch: 0.9**epoch)
    before = graphs()
    train(optimizer, params, range(1))
    compiled_once = graphs()
    for epoch in range(5):
        for group in optimizer.param_groups:  # as OneCycleLR cycles them
            if group.get("momentum"):
                group["momentum"] = 0.85 + 0.01 * epoch
            if "betas" in group:
                group["betas"] = (0.85 + 0.01 * epoch, group["betas"][1])
        train(optimizer, params, range(10 * epoch, 10 * (epoch + 1)))
        scheduler.step()
    assert compiled_once == before + 1
    assert graphs() == compiled_once


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_code_for_another_device_takes_no_memory_of_the_cpu_but_single_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch, fresh_dynamo: None
) -> None:
    """A kernel gets a CPU tensor without dimensions by value, and the address of any other."""
    inputs: list[Tensor] = []

    def record(graph: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
        inputs.extend(examples)
        return graph.forward

    compile_with = partial(torch.compile, backend=record)
    monkeypatch.setattr(torch, "compile", lambda rule, **_: compile_with(rule, fullgraph=True))
    monkeypatch.setattr(compiled_steps, "compile_rule", compiled_steps.compile_rule.__wrapped__)
    params = [torch.ones(shape, device="meta", requires_grad=True) for shape in [(33, 5), (7,)]]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = OPTIMIZERS[name](params, lr=0.01, weight_decay=0.1)
    optimizer.compiled = True
    told: Callable[..., Any] = optimizer.step
    told(**({"block": 0} if hasattr(optimizer, "step_inputs") else {}))
    numbers = [one for one in inputs if one.is_cpu]
    assert {(one.dtype, one.dim()) for one in numbers} == {(torch.float64, 0)}
    assert len(numbers) < len(inputs)


@NEEDS_COMPILER
@pytest.mark.parametrize(("weight_decay", "compiled"), [(0.0, 0), (0.1, 1)])
def test_a_rule_of_one_operation_is_left_as_it_is(
    weight_decay: float, compiled: int, fresh_dynamo: None
) -> None:
    params = parameters(torch.float32)
    optimizer = optim.SGD(params, lr=0.01, weight_decay=weight_decay)
    optimizer.compile()
    before = graphs()
    train(optimizer, params, range(3))
    assert graphs() == before + compiled


@NEEDS_COMPILER
def test_saga_is_compiled_once_for_unseen_and_once_for_seen_blocks(fresh_dynamo: None) -> None:
    params = parameters(torch.float32)
    optimizer = OPTIMIZERS["saga"](params, lr=0.01)
    optimizer.compile()
    before = graphs()
    train(optimizer, params, range(30))
    assert graphs() == before + 2


@pytest.mark.slow
@NEEDS_COMPILER
def test_many_rules_and_shapes_in_one_process_stay_within_the_limit(fresh_dynamo: None) -> None:
    for factory in OPTIMIZERS.values():
        for size in (3, 4):  # two graphs each, and torch's limit is eight for one function
            param = torch.ones(size, 2, requires_grad=True)
            optimizer = factory([param], lr=0.01)
            optimizer.compile()
            train(optimizer, [param], range(2))


BROKEN = {  # what stands for the compiler, and what is said of it
    "absent": (None, "is not there: install it"),
    "silent": ("exit 1", "does not work (exit status 1): mend it"),
    "complaining": ("echo one: two >&2; echo error: no sysroot >&2; exit 1", "(error: no sysroot)"),
    "idle": ("exit 0", "cannot open shared object file"),
    "without_a_linker": (f'exec {CXX} -B"$(dirname "$0")" "$@"', "does not work ("),
    "without_headers": (f'exec {CXX} -nostdinc "$@"', "No such file or directory"),
    "hanging": ("exec sleep 10", "no answer in 1 s"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the words are those of Linux")
@NEEDS_COMPILER
@pytest.mark.parametrize("kind", BROKEN)
def test_a_compiler_that_is_absent_or_broken_is_refused_in_one_line_with_a_way_out(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, message = BROKEN[kind]
    compiler = tmp_path / "c++"
    for name, text in ((compiler, script), (tmp_path / "ld", "exit 1")):
        if text is not None:
            name.write_text(f"#!/bin/sh\n{text}\n")
            name.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr("catsdogs.optim.compiled.SECONDS", 1 if kind == "hanging" else 60)
    optimizer = optim.SGD(parameters(torch.float32))
    with pytest.raises(RuntimeError) as stopped:
        optimizer.compile()
    said = str(stopped.value)
    assert "\n" not in said
    assert said.startswith(f"compile needs a C++ compiler and {compiler} ")
    assert message in said
    assert said.endswith("name another in the environment variable CXX, or leave compile off")
    assert not optimizer.compiled


@NEEDS_COMPILER
def test_a_compiler_that_works_is_tried_once_and_may_have_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "count"
    counter.write_text(f'#!/bin/sh\necho >> {tmp_path}/calls\nexec "$@"\n')
    counter.chmod(0o755)
    monkeypatch.setenv("CXX", f"{counter} {CXX}")
    for _ in range(2):
        optim.SGD(parameters(torch.float32)).compile()
    assert (tmp_path / "calls").read_text() == "\n"


@NEEDS_COMPILER
def test_a_copy_stays_compiled_and_a_state_dict_does_not_carry_it() -> None:
    optimizer = optim.Adam(parameters(torch.float32))
    optimizer.compile()
    assert copy.deepcopy(optimizer).compiled
    other = optim.Adam(parameters(torch.float32))
    other.load_state_dict(optimizer.state_dict())
    assert not other.compiled
