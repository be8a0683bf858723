"""Compiling an update rule changes its speed and nothing else."""

import copy
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs import optim
from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.compiled import add_scaled, compile_rule
from catsdogs.optim.step_inputs import declared_step_inputs
from tests.support.slow import slow_except

CXX = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
NEEDS_COMPILER = pytest.mark.skipif(shutil.which(CXX) is None, reason=f"no {CXX} here")
OPTIMIZERS: dict[str, Callable[..., RuleOptimizer]] = {
    "sgd": optim.SGD,
    "momentum": partial(optim.SGD, momentum=0.9, nesterov=True),
    "dampened": partial(optim.SGD, momentum=0.9, dampening=0.1),
    "rmsprop": partial(optim.RMSprop, centered=True, momentum=0.9),
    "adam": optim.Adam,
    "adam_amsgrad": partial(optim.Adam, amsgrad=True),
    "adamw": optim.AdamW,
    "saga": partial(optim.SAGA, block_sizes=(8, 8, 3)),
}


# What a scheduler or a user may change between two steps; all of it enters a graph as an input.
SCHEDULED: dict[str, Callable[[int], Any]] = {
    "lr": lambda number: 0.02 * (number % 4),  # 0 at first, as in a warm-up
    "weight_decay": lambda number: 0.1 + 0.01 * number,
    "momentum": lambda number: 0.85 + 0.01 * number,
    "dampening": lambda number: 0.1 + 0.02 * number,
    "betas": lambda number: (0.85 + 0.005 * number, 0.95 + 0.002 * number),
    "eps": lambda number: 1e-8 * 10 ** (number % 5),
    "alpha": lambda number: 0.9 + 0.005 * number,
}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Compile to graphs without generating code for them, and return the graphs so far."""
    compiled: list[Any] = []
    compile_ = torch.compile

    def keep(graph: Any, _: list[Tensor]) -> Any:
        compiled.append(graph)
        return graph

    def without_code(function: Callable[..., None], options: Any, **how: Any) -> Any:
        return compile_(function, backend=keep, **how)

    monkeypatch.setattr(torch, "compile", without_code)
    monkeypatch.setattr("catsdogs.optim.base.require_compiler", lambda: None)
    compile_rule.cache_clear()
    yield compiled
    compile_rule.cache_clear()


def parameters(
    dtype: torch.dtype,
    shapes: Sequence[tuple[int, ...]] = ((33, 5), (7,), (1,)),
    device: str = "cpu",
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=dtype).to(device).requires_grad_()
        for shape in shapes
    ]


def train(
    optimizer: RuleOptimizer, params: list[Tensor], steps: range, scheduled: bool = False
) -> None:
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        for param in params:
            drawn = torch.randn(param.shape, generator=generator, dtype=param.dtype)
            param.grad = drawn.to(param.device)
        for group in optimizer.param_groups if scheduled else ():
            group |= {
                name: value(number)
                for name, value in SCHEDULED.items()
                if name == "lr" or group.get(name)  # an option that is off stays off
            }
        block = {"block": number % 3} if declared_step_inputs(optimizer) == "block" else {}
        optimizer.step(None, **block)


def build_twice(
    name: str, dtype: torch.dtype, device: str = "cpu", **setting: Any
) -> tuple[tuple[RuleOptimizer, list[Tensor]], tuple[RuleOptimizer, list[Tensor]]]:
    """Return an eager and a compiled optimizer, each with its parameters."""
    eager, compiled = (
        (OPTIMIZERS[name](params, **{"lr": 0.01, "weight_decay": 0.1, **setting}), params)
        for params in (parameters(dtype, device=device), parameters(dtype, device=device))
    )
    compiled[0].compile()
    return eager, compiled


def assert_close(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype) -> None:
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, rtol=tolerance, atol=tolerance)


@NEEDS_COMPILER
@pytest.mark.parametrize(
    "dtype", slow_except([torch.float32], [torch.float32, torch.float64]), ids=str
)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_rule_equals_the_eager_one_to_rounding_under_every_schedule(
    name: str, device: str, dtype: torch.dtype
) -> None:
    (plain, eager), (fast, compiled) = build_twice(name, dtype, device)
    train(plain, eager, range(20), scheduled=True)
    train(fast, compiled, range(20), scheduled=True)
    assert_close(compiled, eager, dtype)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_code_for_another_device_takes_no_memory_of_the_cpu_but_single_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel gets a CPU tensor without dimensions by value, and the address of any other."""
    inputs: list[Tensor] = []
    compile_ = torch.compile

    def record(graph: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
        inputs.extend(examples)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda rule, options, **how: compile_(rule, backend=record, **how)
    )
    compile_rule.cache_clear()
    params = [torch.ones(shape, device="meta", requires_grad=True) for shape in [(33, 5), (7,)]]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = OPTIMIZERS[name](params, lr=0.01, weight_decay=0.1)
    monkeypatch.setattr("catsdogs.optim.base.require_compiler", lambda: None)
    optimizer.compile()
    block = {"block": 0} if declared_step_inputs(optimizer) == "block" else {}
    optimizer.step(None, **block)
    compile_rule.cache_clear()
    numbers = [one for one in inputs if one.is_cpu]
    assert {(one.dtype, one.dim()) for one in numbers} == {(torch.float64, 0)}
    assert len(numbers) < len(inputs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_schedule_of_any_hyperparameter_compiles_nothing_again(
    name: str, graphs: list[Any]
) -> None:
    (plain, eager), (fast, compiled) = build_twice(name, torch.float64)
    train(plain, eager, range(20), scheduled=True)
    train(fast, compiled, range(20), scheduled=True)
    assert_close(compiled, eager, torch.float64)
    # SAGA computes the first visit of a block in another way than later visits.
    assert len(graphs) == (2 if name == "saga" else 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_that_differ_in_their_hyperparameters_alone_share_a_graph(
    name: str, graphs: list[Any]
) -> None:
    for number in range(1, 10):
        (plain, eager), (fast, compiled) = build_twice(
            name, torch.float64, lr=0.01 * number, weight_decay=0.01 * number
        )
        train(plain, eager, range(2))
        train(fast, compiled, range(2))
        assert_close(compiled, eager, torch.float64)
    assert len(graphs) == 1


def test_a_weight_decay_that_begins_later_needs_a_second_graph(graphs: list[Any]) -> None:
    (plain, eager), (fast, compiled) = build_twice("momentum", torch.float64, weight_decay=0)
    for decay in (0, 0.1, 0, 0.2):
        for optimizer, params in ((plain, eager), (fast, compiled)):
            optimizer.param_groups[0]["weight_decay"] = decay
            train(optimizer, params, range(3))
    assert_close(compiled, eager, torch.float64)
    assert len(graphs) == 2


def test_groups_with_and_without_weight_decay_are_one_graph(graphs: list[Any]) -> None:
    weights = []
    for compiled in (False, True):
        params = parameters(torch.float64)
        groups: list[dict[str, Any]] = [
            {"params": params[:1]},
            {"params": params[1:], "weight_decay": 0, "eps": 1e-3},
        ]
        optimizer = optim.AdamW(groups, lr=0.01, weight_decay=0.1)
        if compiled:
            optimizer.compile()
        train(optimizer, params, range(5))
        weights.append(params)
    assert_close(weights[1], weights[0], torch.float64)
    assert len(graphs) == 1


def test_a_tensor_learning_rate_is_an_input_of_the_graph_too(graphs: list[Any]) -> None:
    (plain, eager), (fast, compiled) = build_twice(
        "adamw", torch.float64, lr=torch.tensor(0.01, dtype=torch.float64)
    )
    for number in range(3):
        for optimizer, params in ((plain, eager), (fast, compiled)):
            optimizer.param_groups[0]["lr"] = torch.tensor(0.01 * number, dtype=torch.float64)
            train(optimizer, params, range(2))
    assert_close(compiled, eager, torch.float64)
    assert len(graphs) == 1


def test_twelve_models_of_different_shapes_are_all_compiled(graphs: list[Any]) -> None:
    for size in range(1, 13):
        params = parameters(torch.float32, [(size, 2), (size,)])
        optimizer = optim.Adam(params)
        optimizer.compile()
        train(optimizer, params, range(2))
        assert len(graphs) == size


def test_a_step_beyond_the_limit_of_graphs_runs_uncompiled_with_one_warning_for_the_optimizer(
    graphs: list[Any],
) -> None:
    (plain, eager), (fast, compiled) = build_twice("adam", torch.float64)

    def step_with(count: int) -> None:
        for optimizer, params in ((plain, eager), (fast, compiled)):
            for number, param in enumerate(params):
                param.grad = torch.ones_like(param) if number < count else None
            optimizer.step()

    with torch._dynamo.config.patch(recompile_limit=2):
        step_with(1)
        step_with(2)
        with pytest.warns(UserWarning) as warned:
            step_with(3)
            step_with(3)
        step_with(2)
        assert len(graphs) == 2
        _, (another, params) = build_twice("adam", torch.float64)
        train(another, params, range(2))
    (warning,) = warned
    assert str(warning.message) == (
        "Adam.compile: its steps need more than 2 graphs, and further ones run uncompiled; "
        "keep shapes and constants, or raise torch._dynamo.config.recompile_limit"
    )
    assert len(graphs) == 3
    assert_close(compiled, eager, torch.float64)


class Branches(optim.SGD):
    """An optimizer with a rule that no graph can hold: its course depends on the data."""

    @staticmethod
    def update_rule(  # type: ignore[override]
        param: Tensor, grad: Tensor, *, lr: float, **_: Any
    ) -> None:
        param.add_(grad, alpha=-lr if param.sum() > 0 else lr)

    def worth_compiling(self, group: dict[str, Any]) -> bool:
        return True


def test_a_rule_that_the_compiler_refuses_runs_uncompiled_with_one_warning(
    graphs: list[Any],
) -> None:
    eager, compiled = parameters(torch.float64), parameters(torch.float64)
    plain, fast = Branches(eager, lr=0.1), Branches(compiled, lr=0.1)
    fast.compile()
    train(plain, eager, range(3))
    with pytest.warns(UserWarning) as warned:
        train(fast, compiled, range(3))
    (warning,) = warned
    said = str(warning.message)
    assert said.startswith("Branches.compile: its step cannot be compiled and runs uncompiled: ")
    assert "branching" in said
    assert "\n" not in said
    assert not graphs
    for mine, its in zip(compiled, eager, strict=True):
        assert torch.equal(mine, its)


def test_a_graph_that_torch_will_not_compile_again_is_replaced_by_the_eager_step(
    graphs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    (plain, eager), (fast, compiled) = build_twice("adam", torch.float64)
    train(plain, eager, range(4))
    default = torch.get_default_dtype()
    try:
        with torch._dynamo.config.patch(recompile_limit=1), pytest.warns(UserWarning) as warned:
            train(fast, compiled, range(2))
            torch.set_default_dtype(torch.float64)  # to torch, a reason to compile again
            train(fast, compiled, range(2, 4))
    finally:
        torch.set_default_dtype(default)
    assert [str(warning.message) for warning in warned] == [
        "Adam.compile: its step cannot be compiled and runs uncompiled: "
        "Dynamo recompile limit exceeded"
    ]
    assert_close(compiled, eager, torch.float64)


@pytest.mark.parametrize(("weight_decay", "compiled"), [(0.0, 0), (0.1, 1)])
def test_a_rule_of_one_operation_is_left_as_it_is(
    weight_decay: float, compiled: int, graphs: list[Any]
) -> None:
    params = parameters(torch.float32)
    optimizer = optim.SGD(params, lr=0.01, weight_decay=weight_decay)
    optimizer.compile()
    train(optimizer, params, range(3))
    assert len(graphs) == compiled


@NEEDS_COMPILER
def test_a_hyperparameter_enters_compiled_code_without_being_rounded_to_float32() -> None:
    (plain, eager), (fast, compiled) = build_twice("momentum", torch.float64)
    train(plain, eager, range(5))
    train(fast, compiled, range(5))
    assert_close(compiled, eager, torch.float64)


@pytest.mark.parametrize("scale", [0.3, -2.0])
def test_a_scaled_sum_has_the_same_bits_for_a_number_and_a_tensor_and_leaves_its_inputs(
    scale: float,
) -> None:
    tensor, other = (param.detach() for param in parameters(torch.float64, [(5, 2), (5, 2)]))
    before = tensor.clone()
    for given in (scale, torch.tensor(scale, dtype=torch.float64)):
        assert torch.equal(add_scaled(tensor, other, given), tensor.add(other, alpha=scale))
    assert torch.equal(tensor, before)


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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_stays_compiled_and_has_the_attributes_of_the_original(
    copied: Callable[[Any], Any], graphs: list[Any]
) -> None:
    def public(optimizer: Optimizer) -> set[str]:
        return {name for name in vars(optimizer) if not name.startswith("_")}

    params = parameters(torch.float32)
    optimizer = optim.Adam(params)
    native = torch.optim.Adam(params)
    assert public(optimizer) == public(copied(optimizer)) == public(native)
    assert vars(copied(optimizer)).keys() == vars(copied(native)).keys()
    assert not copied(optimizer).compiled
    optimizer.compile()
    train(optimizer, params, range(1))
    other = copied(optimizer)
    assert other.compiled
    assert public(optimizer) == public(other) == public(native)
    train(other, other.param_groups[0]["params"], range(1, 3))
    train(optimizer, params, range(1, 3))
    assert len(graphs) == 1
    for mine, its in zip(params, other.param_groups[0]["params"], strict=True):
        assert torch.equal(mine, its)


def test_a_state_dict_does_not_carry_the_compilation(graphs: list[Any]) -> None:
    optimizer = optim.Adam(parameters(torch.float32))
    optimizer.compile()
    other = optim.Adam(parameters(torch.float32))
    other.load_state_dict(optimizer.state_dict())
    assert not other.compiled
