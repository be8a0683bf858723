"""The step that every optimizer here shares: closure, groups, refusals, updates, state."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim.compiled import Graphs, ParamUpdate, apply_each, require_compiler

# Options of torch's classes that choose how a step is computed, not what it computes.
UNSUPPORTED = {
    "foreach": "updates one tensor at a time; call compile() for speed, or use torch.optim",
    "fused": "has no fused kernel; call compile() for speed, or use torch.optim",
    "capturable": "computes scalars in Python, outside of a CUDA graph; use torch.optim",
    "differentiable": "updates in place without a graph; use torch.optim",
    "maximize": "rebuilds gradients of the cost itself; negate the cost instead",
}


class RuleOptimizer(Optimizer):
    """An optimizer that is one update rule for one parameter, plus bookkeeping.

    A subclass checks its hyperparameters in `__init__`, names its update function in `update_rule`
    and gathers the function's arguments in `prepare_update`. Hyperparameters are read from the
    group at every step, so parameter groups and learning-rate schedulers work. State lives in
    `self.state[param]`, so `state_dict` holds all of it.

    Attributes:
        update_rule: The update function, `update_rule(param, grad, **arguments)`. It changes
            `param` and the tensors of its state in place, and does not change `grad`.
        varying: Arguments of `update_rule` that change from step to step or that a scheduler may
            set: floats, and in compiled code tensors. None stands for one that is left out, since a
            tensor cannot be compared with 0 there.
        unsupported: Options that a group must not switch on.
    """

    update_rule: ClassVar[Callable[..., None]]
    varying: ClassVar[tuple[str, ...]] = ("lr",)
    unsupported: ClassVar[tuple[str, ...]] = ()
    _graphs: Graphs | None = None

    def prepare_update(
        self, param: Tensor, group: dict[str, Any], *args: Any, **step_inputs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments of one update, and the state to keep after it. Changes nothing.

        Args:
            param: A parameter that has a gradient.
            group: Its group, with the hyperparameters.
            *args: None; a type checker then lets a subclass name the inputs that it takes.
            **step_inputs: What `step` was given besides the closure.

        Returns:
            The keyword arguments of `update_rule`, and the entries of `self.state[param]` that hold
            once the rule has run. New tensors of state are in both.
        """
        raise NotImplementedError

    @overload
    def step(self, closure: None = None, **step_inputs: Any) -> None: ...

    @overload
    def step(self, closure: Callable[[], float], **step_inputs: Any) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, **step_inputs: Any) -> float | None:
        """Update every parameter that has a gradient; skip parameters without one.

        Weights and state change together: a step that is refused changes neither.

        Args:
            closure: Re-evaluates the model and returns the loss. It runs once, with gradients on.
            **step_inputs: Passed to `prepare_update`; see `catsdogs.optim.step_inputs`.

        Returns:
            The value of the closure, or None without one.

        Raises:
            RuntimeError: For a sparse gradient or a complex parameter.
            ValueError: For a group that switches on an unsupported option.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        updates = self._prepare_updates(step_inputs)
        if self._graphs is not None and any(map(self.worth_compiling, self.param_groups)):
            finished = self._graphs.apply(type(self).update_rule, updates, self.varying)
        else:
            finished = apply_each(type(self).update_rule, updates)
        for update in finished:
            if update.state:
                self.state[update.param].update(update.state)
        return loss

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> list[ParamUpdate]:
        """Return the updates of a step. Everything that is refused is refused here."""
        updates = []
        for group in self.param_groups:
            self._refuse_unsupported_options(group)
            for param in group["params"]:
                if param.grad is None:
                    continue
                self._refuse_unsupported_tensors(param, param.grad)
                arguments, state = self.prepare_update(param, group, **step_inputs)
                maximize = group.get("maximize", False)
                updates.append(ParamUpdate(param, param.grad, maximize, arguments, state))
        return updates

    def _refuse_unsupported_options(self, group: dict[str, Any]) -> None:
        for option in self.unsupported:
            if group.get(option):
                raise ValueError(f"{option}=True: {type(self).__name__} {UNSUPPORTED[option]}")

    def _refuse_unsupported_tensors(self, param: Tensor, grad: Tensor) -> None:
        name = type(self).__name__
        if grad.is_sparse:
            raise RuntimeError(f"{name} does not support sparse gradients; use a dense layer")
        if param.is_complex():
            raise RuntimeError(f"{name} does not support complex parameters; use view_as_real")

    def buffers(
        self, param: Tensor, *names: str, dtype: torch.dtype | None = None
    ) -> dict[str, Tensor]:
        """Return tensors of a parameter's state by name; zeros for those it does not have yet.

        Args:
            param: The parameter.
            *names: Names of entries of its state.
            dtype: Type of the zeros; default: that of the parameter.
        """
        state = self.state.get(param, {})
        return {
            name: torch.zeros_like(param, dtype=dtype) if state.get(name) is None else state[name]
            for name in names
        }

    def load_running_sums(self, state_dict: dict[str, Any], *names: str) -> None:
        """Give running sums the type of `running_sum_dtype` again after a state dict was loaded.

        torch casts what it loads to the type of the parameter.
        """
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for param, index in zip(group["params"], saved["params"], strict=True):
                dtype, given = running_sum_dtype(param), state_dict["state"].get(index, {})
                for name in names:
                    if name in given and self.state[param][name].dtype != dtype:
                        self.state[param][name] = given[name].to(param.device, dtype, copy=True)

    def next_step(self, param: Tensor) -> int:
        """Return the number of the parameter's next update, from 1."""
        # torch keeps the count as a tensor, and so does a checkpoint of torch's class.
        return int(self.state.get(param, {}).get("step", 0)) + 1

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._graphs is not None

    def compile(self) -> None:
        """Compile the update rule, in place; the first step then takes some seconds.

        Results agree with the eager rule to rounding, not to the bit. Schedules compile nothing
        again, but parameters that have a gradient at some steps only do. Steps that need more than
        `torch._dynamo.config.recompile_limit` graphs, 8 by default, or that the compiler refuses,
        run uncompiled; the first one warns. Compilation belongs to this object and its copies: a
        state dict does not carry it to a machine without a compiler.

        Raises:
            RuntimeError: Without a C++ compiler that works.
        """
        require_compiler()
        self._graphs = Graphs(type(self).__name__)

    def worth_compiling(self, group: dict[str, Any]) -> bool:
        """Return whether compiling saves a pass over memory: not for a rule of one operation."""
        return True

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as torch does; its parameters start with fresh state.

        Raises:
            ValueError: For a group that switches on an unsupported option.
        """
        self._refuse_unsupported_options({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        graphs = {} if self._graphs is None else {"_graphs": self._graphs}
        return super().__getstate__() | graphs

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "differentiable" not in self.unsupported:
            self.defaults.pop("differentiable", None)  # torch adds it to every class
        for group in self.param_groups:
            for name, default in self.defaults.items():
                # Missing in a checkpoint that is older than the option; or switched on in one of
                # torch's class, which then computes the same step in another way.
                if name not in group or (name in self.unsupported and group[name]):
                    group[name] = default


def running_sum_dtype(param: Tensor) -> torch.dtype:
    """Return the type of a sum that grows over many steps: that of `param`, or float32 for halves.

    In bfloat16 such a sum would soon be wrong in its first digit.
    """
    return torch.promote_types(param.dtype, torch.float32)


def require_non_negative(name: str, value: float | Tensor) -> None:
    """Refuse a hyperparameter that is negative, infinite, nan or an unsuitable tensor.

    Raises:
        ValueError: With the hyperparameter's name and value.
    """
    number = _as_float(name, value)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"Invalid {name}: {value} (must be a finite number, 0 or above)")


def require_finite(name: str, value: float | Tensor) -> None:
    """Refuse a hyperparameter that is infinite, nan or an unsuitable tensor.

    Raises:
        ValueError: With the hyperparameter's name and value.
    """
    if not math.isfinite(_as_float(name, value)):
        raise ValueError(f"Invalid {name}: {value} (must be a finite number)")


def require_fraction(name: str, value: float | Tensor) -> None:
    """Refuse a decay rate outside [0, 1).

    Raises:
        ValueError: With the hyperparameter's name and value.
    """
    if not 0.0 <= _as_float(name, value) < 1.0:
        raise ValueError(f"Invalid {name}: {value} (must be at least 0 and below 1)")


def _as_float(name: str, value: float | Tensor) -> float:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"Invalid {name}: a tensor of {value.numel()} elements (must have one)")
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(
            f"Invalid {name}: a tensor that requires grad (an update has no graph; detach it)"
        )
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # the last for a complex tensor
        raise ValueError(f"Invalid {name}: {value!r} (must be a number)") from None
