"""The bookkeeping that every update rule shares: the closure, the groups and what is skipped."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim.compiled import require_compiler


class Move(NamedTuple):
    """One parameter, its gradient and what its update rule takes besides."""

    param: Tensor
    grad: Tensor
    maximize: bool
    arguments: dict[str, Any]


def apply_moves(rule: Callable[..., None], moves: list[Move]) -> None:
    """Apply `rule` to one parameter after the other. This is the whole of a step's arithmetic."""
    for param, grad, maximize, arguments in moves:
        rule(param, -grad if maximize else grad, **arguments)


@functools.cache
def compiled_moves(
    rule: Callable[..., None], names: tuple[str, ...], scheduled: tuple[str, ...]
) -> Callable[[list[Any], Tensor], None]:
    """Return `apply_moves` compiled for one rule, all parameters in one graph.

    It takes the moves as flat lists, with which compiled code has far less ado than with nested
    ones. And it takes a Python number for a constant and is compiled again when it changes; an
    element of a tensor is an input. So the scheduled numbers go into one; the rules take either.

    Args:
        rule: The update function.
        names: Its arguments behind parameter and gradient, but for the scheduled ones.
        scheduled: The names of those.

    Returns:
        A function of a list with parameter, gradient, maximize and the named arguments of each
        move, and of a tensor with the scheduled numbers, move by move.
    """
    width = 3 + len(names)

    def apply_flat(values: list[Any], numbers: Tensor) -> None:
        number = iter(numbers.unbind())
        moves = []
        for start in range(0, len(values), width):
            param, grad, maximize, *others = values[start : start + width]
            arguments = dict(zip(names, others, strict=True))
            arguments |= {name: next(number) for name in scheduled}
            moves.append(Move(param, grad, maximize, arguments))
        apply_moves(rule, moves)

    # Rules share the code that is compiled; apart, they share no limit of recompilations.
    newer = "isolate_recompiles" in inspect.signature(torch.compile).parameters
    isolated: dict[str, Any] = {"isolate_recompiles": True} if newer else {}
    return torch.compile(
        apply_flat,
        fullgraph=True,  # beyond the limit it raises instead of going on uncompiled
        # Waking a second thread for a bias takes longer than moving it.
        options={"cpp.min_chunk_size": 65_536},
        **isolated,
    )


class RuleOptimizer(Optimizer):
    """A `torch.optim.Optimizer` whose subclasses say only how one parameter moves.

    A subclass validates its hyperparameters in `__init__`, names its update function in `rule` and
    gathers what that function takes in `arguments`. Hyperparameters are read from the group at
    every step, so parameter groups and learning-rate schedulers work; state lives in
    `self.state[param]`, so `state_dict` holds all of it.

    Attributes:
        rule: The update function, `rule(param, grad, **arguments)`: it moves `param` and the state
            in place and leaves `grad` as it is.
        scheduled: The arguments of `rule` that change from step to step or that a scheduler sets:
            floats, and in compiled code tensors.
        compiled: Whether `compile` was called.
        fixed: Hyperparameters of the native twin that this class does not have, with the one value
            it can follow. They stand in every group, so that a checkpoint loads into the native
            twin, and a group that says otherwise (from a native checkpoint) is refused.
    """

    rule: ClassVar[Callable[..., None]]
    scheduled: ClassVar[tuple[str, ...]] = ("lr",)
    fixed: ClassVar[dict[str, Any]] = {}
    compiled: bool = False

    def compile(self) -> None:
        """Compile the update rule, in place; the first step then takes some seconds.

        A rule that is one operation goes over memory once already, and runs as it is.

        Results agree with the eager rule to rounding, not to the bit. The choice stays with this
        object and its copies: a state dict does not carry it to a machine without a compiler.

        Raises:
            RuntimeError: Without a C++ compiler that works.
        """
        require_compiler()
        self.compiled = True

    def fuses(self, group: dict[str, Any]) -> bool:
        """Tell whether compiling can save a pass over memory: not for a rule of one operation."""
        return True

    def arguments(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Return what `rule` takes besides `param` and its gradient; create missing state."""
        raise NotImplementedError

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; parameters without one are left alone.

        Args:
            closure: Re-evaluates the model and returns the loss. It runs once, with gradients on.

        Returns:
            What the closure returned, or None without one.

        Raises:
            RuntimeError: For a sparse gradient or a complex parameter; neither is supported.
                Nothing has moved then.
            ValueError: For a group that asks for what this class does not do, see `fixed`.
        """
        return self._step(closure)

    def _step(self, closure: Callable[[], float] | None, **told: Any) -> float | None:
        """Take a step; what it was told besides the closure joins the group's hyperparameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moves = self._moves(told)
        if self.compiled and moves and any(map(self.fuses, self.param_groups)):
            values: list[Any] = []
            numbers: list[float] = []
            for param, grad, maximize, arguments in moves:
                numbers += [arguments.pop(name) for name in self.scheduled]
                values += [param, grad, maximize, *arguments.values()]
            compiled = compiled_moves(type(self).rule, tuple(arguments), self.scheduled)
            compiled(values, torch.tensor(numbers, dtype=torch.float64))
        else:
            apply_moves(type(self).rule, moves)
        return loss

    def _moves(self, told: dict[str, Any]) -> list[Move]:
        for group in self.param_groups:
            self._refuse_other_than_fixed(group)
        with_gradient = [
            (param, param.grad, group)
            for group in (group | told for group in self.param_groups)
            for param in group["params"]
            if param.grad is not None
        ]
        for param, grad, _ in with_gradient:
            self._refuse_unsupported(param, grad)
        return [
            Move(param, grad, group["maximize"], self.arguments(param, group))
            for param, grad, group in with_gradient
        ]

    def _refuse_other_than_fixed(self, group: dict[str, Any]) -> None:
        for name, value in self.fixed.items():
            if group[name] != value:
                raise ValueError(
                    f"{type(self).__name__} has no {name}: a group asks for {group[name]}"
                )

    def _refuse_unsupported(self, param: Tensor, grad: Tensor) -> None:
        name = type(self).__name__
        if grad.is_sparse:
            raise RuntimeError(f"{name} does not support sparse gradients; use a dense layer")
        if param.is_complex():
            raise RuntimeError(f"{name} does not support complex parameters; use view_as_real")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as torch does; its parameters start with fresh state."""
        super().add_param_group(param_group)
        self._fill_missing(self.param_groups[-1])

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"compiled": self.compiled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.defaults.pop("differentiable", None)  # torch adds it in loading, and no rule has it
        for group in self.param_groups:  # a checkpoint may be older than a hyperparameter
            self._fill_missing(group)

    def _fill_missing(self, group: dict[str, Any]) -> None:
        for name, value in (self.defaults | self.fixed).items():
            group.setdefault(name, value)
