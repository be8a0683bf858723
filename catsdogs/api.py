"""Python functions for what the commands do: check an optimizer, compare optimizers."""

import contextlib
import dataclasses
import functools
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.cli import conf_directory
from catsdogs.contract import CheckResult, check
from catsdogs.contract.subject import name_of
from catsdogs.data.sources import Source
from catsdogs.errors import UserError
from catsdogs.io.files import expanded
from catsdogs.io.progress import reported
from catsdogs.reporting.render import write_report
from catsdogs.reporting.report import contents
from catsdogs.reporting.results_csv import result_rows, results_csv
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import Runs, read_runs
from catsdogs.settings import Settings
from catsdogs.training.run_comparison import compare
from catsdogs.training.setup import Plan, optimizer_factory
from catsdogs.training.source import source_of

if TYPE_CHECKING:
    import pandas as pd

OptimizerFactory = Callable[..., Optimizer]
"""An optimizer class, or a callable such as `functools.partial(MyAdam, betas=(0.9, 0.99))`."""

LABEL = re.compile(r"[A-Za-z0-9][\w.-]*")  # a part of a directory's name


def check_optimizer(
    factory_or_class: OptimizerFactory,
    /,
    *,
    reference: OptimizerFactory | None = None,
    reference_kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    expected: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    shapes: Sequence[tuple[int, ...]] | None = None,
    dtypes: Sequence[torch.dtype] | None = None,
    device: torch.device | str = "cpu",
    closure: bool | None = None,
    create_graph: bool | None = None,
    prepare: Callable[[Optimizer], Any] | None = None,
    build_from: Literal["parameters", "named", "model"] = "parameters",
    seconds: float | None = None,
    **kwargs: Any,
) -> CheckResult:
    """Try the contract that PyTorch's own optimizers keep on an optimizer.

    It takes some seconds, on tensors of a few elements. The same as `python -m catsdogs.check`,
    without its measurements of time and memory, and in this process.

    Args:
        factory_or_class: The class, or a callable of parameters and hyperparameters that builds the
            optimizer, such as `functools.partial(MyAdam, betas=(0.9, 0.99))`.
        reference: What it should equal step by step, such as `torch.optim.Adam`; None to leave
            these claims out. The reference gets all hyperparameters of the optimizer that its
            constructor takes by the same name, but for `foreach`, `fused`, `capturable` and
            `differentiable`, also in place of those bound in a `functools.partial`.
        reference_kwargs: Hyperparameters of the reference that differ on purpose.
        name: Name in the result; that of the class by default.
        expected: Claims that are known to fail, with the reason, `{"goes_downhill": "it waits"}`.
            A claim that holds nevertheless counts as a failure.
        only: Names of the claims or groups (`update`, `state`, `use`, `manners`) to try; all by
            default.
        skip: Names of claims or groups to leave out.
        shapes: Of the parameters; trial steps on usual ones by default, from 0 to 4 dimensions.
        dtypes: Of the parameters, with float64 or float32 among them; trial steps by default.
        device: Of all tensors.
        closure: Whether a step needs a closure; None to find out.
        create_graph: Whether gradients must be part of a graph, as Hessian methods need them; None
            to find out.
        prepare: Called with every optimizer that is built.
        build_from: What the constructor takes: parameters, pairs of name and parameter, or a
            module.
        seconds: Processor time for the whole check, above 0; None for no limit. A claim that takes
            more than a quarter of it fails. Compiled code that never returns is not interrupted
            here; the command checks in a process that it kills.
        **kwargs: Hyperparameters of the optimizer, such as `lr=1e-3`. One with the name of an
            argument above, such as `device`, belongs into a `functools.partial`.

    Returns:
        The findings; `result.passed` is for a test, `print(result)` for a person.

    Raises:
        CannotBeChecked: If the optimizer cannot be driven, say if its constructor refuses its
            arguments or no step on any shape succeeds; a `ValueError`.
        ValueError: For the name of a claim that does not exist, for types or a device that cannot
            be used, and for a reference that cannot be built.

    Example:
        >>> result = catsdogs.check_optimizer(MyAdam, reference=torch.optim.Adam, lr=1e-3)
        >>> assert result.passed, result
    """
    factory = functools.partial(factory_or_class, **kwargs)
    with reported("trying claims", unit="claim") as show:
        return check(
            factory,
            reference=reference,
            reference_kwargs=reference_kwargs,
            name=name,
            expected=expected,
            only=only,
            skip=skip,
            shapes=shapes,
            dtypes=dtypes,
            device=device,
            closure=closure,
            create_graph=create_graph,
            prepare=prepare,
            build_from=build_from,
            seconds=seconds,
            progress=show,
        )


@dataclasses.dataclass(frozen=True)
class OptimizerComparison:
    """Records of a comparison, read when asked for. Printed, it is the verdicts.

    Attributes:
        directory: Holds `comparison.json` and a run directory for each run.
    """

    directory: Path

    @functools.cached_property
    def _runs(self) -> Runs:
        return read_runs(self.directory)

    @property
    def results(self) -> list[dict[str, Any]]:
        """One row per run: the columns of the report's `results.csv`, as Python values."""
        return result_rows(self._runs)

    @property
    def verdicts(self) -> list[str]:
        """One sentence per pair: whether the two are the same here, with the evidence."""
        return [verdict.sentence for verdict in verdicts(self._runs)]

    def to_pandas(self) -> "pd.DataFrame":
        """Return `results` as a pandas DataFrame.

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame(self.results)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the report: `index.html`, `report.md`, `results.csv` and `figures/`.

        Args:
            path: A folder; `report` in the folder of the comparison by default.

        Returns:
            The page.
        """
        runs = self._runs
        out = self.directory / "report" if path is None else Path(path)
        return write_report(contents(runs, verdicts(runs)), results_csv(runs), out)

    def __str__(self) -> str:
        return "\n".join(self.verdicts)


def compare_optimizers(
    optimizers: Mapping[str, OptimizerFactory],
    *,
    lr: float | Mapping[str, float] | None = None,
    learning_rates: Sequence[float] = (),
    seeds: Iterable[int] = (0, 1, 2),
    epochs: int = 10,
    data: str | os.PathLike[str] = "drawn",
    scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    output_dir: str | os.PathLike[str] = "outputs/comparison",
    settings: Mapping[str, Any] | None = None,
) -> OptimizerComparison:
    """Train a head with each optimizer on the same features and compare the runs.

    All contenders get the same initial heads and the same order of images, seed by seed. Finished
    runs are kept: the same call again trains only what is missing. A run's name includes a hash of
    the source of its optimizer's class and of what it imports, so an edited class is trained anew;
    a line says so. The same as `python -m catsdogs.compare`, without Hydra.

    Args:
        optimizers: Classes or callables by label. The first is the reference of the others, unless
            labels are paired by name, as `native_adam` and `custom_adam` are.
        lr: Learning rate of all, or of each by label; None for each optimizer's own default.
        learning_rates: A grid that every contender is trained with, in place of `lr`.
        seeds: One run per contender and seed.
        epochs: Passes over the training images, 0 or above.
        data: `drawn`, `kaggle`, `pets`, or a folder of images, see `docs/data.md`.
        scheduler: Builds a learning-rate scheduler, stepped once per epoch; None for none.
        output_dir: A folder for the comparison.
        settings: Any other settings of `python -m catsdogs.train` by their dotted names, such as
            `{"model.head": "linear", "data.train_per_class": 400}`.

    Returns:
        The comparison, with `results`, `verdicts` and `report()`.

    Raises:
        catsdogs.errors.UserError: For a setting that cannot work, before the first run.

    Warns:
        UserWarning: If runs failed; `results` gives the reason of each.

    Example:
        >>> contenders = {"adam": torch.optim.Adam, "mine": MyAdam}
        >>> comparison = catsdogs.compare_optimizers(contenders, lr=1e-3, seeds=range(3))
        >>> print(comparison)
        >>> comparison.report("report")
    """
    if not optimizers:
        raise UserError("optimizers={}: no contender given; give {'adam': torch.optim.Adam, ...}")
    directory = expanded(Path(output_dir), "output_dir")
    base = _defaults(data) | {"epochs": epochs, "output_dir": str(directory)}
    config = _updated(base, settings or {})
    plans = [
        _plan(label, build, rate, int(seed), config, scheduler)
        for label, build in optimizers.items()
        for rate in _rates(label, lr, learning_rates)
        for seed in seeds
    ]
    with _global_state_of_torch_restored():
        failed = compare(plans, directory, _call(optimizers), tuple(learning_rates))
    if failed:
        warnings.warn(f"{failed} of {len(plans)} runs failed, see results", stacklevel=2)
    return OptimizerComparison(directory)


def _rates(
    label: str, lr: float | Mapping[str, float] | None, grid: Sequence[float]
) -> Sequence[float | None]:
    if grid:
        return grid
    return [lr.get(label) if isinstance(lr, Mapping) else lr]


def _defaults(data: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings of a run as `conf/` has them, for a source of images or a folder."""
    source = str(data) if str(data) in get_args(Source) else "folder"
    config = _load("run.yaml")
    config["data"] = _load("split/per_class.yaml") | _load(f"data/{source}.yaml")
    if source == "folder":
        config["data"]["root"] = str(data)
    config["scheduler"] = _load("scheduler/none.yaml")
    return config


def _load(name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(conf_directory() / name))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items() if key != "defaults"}


def _updated(config: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    updated = OmegaConf.create(config)
    for name, value in settings.items():
        try:
            OmegaConf.update(updated, name, value)
        except OmegaConfBaseException as error:
            raise UserError(f"{name}={value}: cannot be set ({error})") from error
    content = OmegaConf.to_container(updated)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _plan(
    label: str,
    build: OptimizerFactory,
    rate: float | None,
    seed: int,
    base: dict[str, Any],
    scheduler: Callable[[Optimizer], LRScheduler] | None,
) -> Plan:
    if not LABEL.fullmatch(label):
        raise UserError(f"optimizers: {label!r} names a folder; use letters, digits, _ . and -")
    given = {} if rate is None else {"lr": rate}
    config = base | {"seed": seed, "optimizer": _described(build) | given}
    if scheduler is not None:
        config["scheduler"] = _described(scheduler)
    checked = Settings.from_config(config)
    del config["resume"]  # resuming does not change a run's identity
    return Plan(
        settings=checked,
        label=label,
        make_optimizer=optimizer_factory(functools.partial(build, **given), label),
        make_scheduler=scheduler or (lambda optimizer: None),
        config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)),
        command="catsdogs.compare_optimizers(...)",
        source=source_of(build, scheduler),
    )


def _described(build: Callable[..., Any]) -> dict[str, Any]:
    """Describe a class or a callable for the record, as a configuration file would."""
    keywords: dict[str, Any] = {}
    while isinstance(build, functools.partial):
        keywords = build.keywords | keywords
        build = build.func
    values = {
        name: value if isinstance(value, bool | int | float | str | None) else repr(value)
        for name, value in keywords.items()
    }
    target = f"{build.__module__}.{build.__qualname__}"
    return {"_target_": target, **values}


def _call(optimizers: Mapping[str, OptimizerFactory]) -> str:
    """Return the call for the report, which cannot show the classes themselves."""
    names = ", ".join(f"{label!r}: {name_of(build)}" for label, build in optimizers.items())
    return f"catsdogs.compare_optimizers({{{names}}}, ...)"


@contextlib.contextmanager
def _global_state_of_torch_restored() -> Iterator[None]:
    """Restore what a run sets for the whole process: determinism, cuDNN and random generators."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    kept = cudnn.benchmark, cudnn.allow_tf32
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        cudnn.benchmark, cudnn.allow_tf32 = kept
