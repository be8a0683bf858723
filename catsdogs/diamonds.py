"""Command that repeats a tutorial's comparison of four optimizers with the correct gradient.

python -m catsdogs.diamonds
"""

from functools import partial
from typing import Any, Generic, TypeVar

from hydra import compose
from omegaconf import DictConfig

from catsdogs.cli import Result, build_from, command, plain
from catsdogs.errors import UserError
from catsdogs.io.files import make_directory, probe_directory
from catsdogs.regression.experiment import (
    KINDS,
    METHODS,
    Contender,
    compare,
    listings_table,
    results_table,
    write_records,
)
from catsdogs.regression.figures import write_figures
from catsdogs.regression.fit import MakeOptimizer, load_diamonds, prepare
from catsdogs.runs.environment import hardware, versions
from catsdogs.settings import (
    AboveZeroOrNull,
    FreeSection,
    HomePath,
    Positive,
    PositiveOrNull,
    Section,
)

Setting = TypeVar("Setting")


class PerMethod(Section, Generic[Setting]):
    """One setting for each method."""

    sgd: Setting
    momentum: Setting
    rmsprop: Setting
    adam: Setting


class DiamondsSettings(Section):
    """Settings of `diamonds`."""

    epochs: Positive
    lr_step: PositiveOrNull
    hparams: PerMethod[FreeSection]
    clip_value: PerMethod[AboveZeroOrNull]
    published_sign: bool
    output_dir: HomePath
    debug: bool


@command("diamonds")
def main(config: DictConfig) -> Result:
    """Fit, print the results, and write records and figures."""
    values = plain(config)
    settings = DiamondsSettings.from_config(values)
    run = partial(
        compare,
        contenders=_contenders(settings),
        max_epochs=settings.epochs,
        lr_step=settings.lr_step,
        published_sign=settings.published_sign,
    )
    probe_directory(settings.output_dir, "output_dir")
    result = run(prepare(load_diamonds()))
    print(results_table(result))
    if result.listings:
        print(f"\nthe tutorial's listings as run for its table\n{listings_table(result)}")
    directory = make_directory(settings.output_dir, "output_dir")
    facts = {
        "format": 1,
        "settings": values,
        "versions": versions("plotnine"),
        "hardware": hardware(),
    }
    write_records(result, facts, directory)
    write_figures(result, directory)
    print(f"\nrecords and figures: {directory}")
    return Result()


def _contenders(settings: DiamondsSettings) -> list[Contender]:
    labels = [f"{kind}_{method}" for method in METHODS for kind in KINDS]
    nodes = compose("diamonds", [f"+optimizer@{label}={label}" for label in labels])
    contenders = []
    for method in METHODS:
        hparams = getattr(settings.hparams, method)
        clip_value = getattr(settings.clip_value, method)
        for kind in KINDS:
            make_optimizer = _factory(nodes[f"{kind}_{method}"], f"hparams.{method}", hparams)
            contenders.append(Contender(method, kind, make_optimizer, clip_value))
    return contenders


def _factory(node: DictConfig, name: str, settings: dict[str, Any]) -> MakeOptimizer:
    """Return a factory of an optimizer of conf/optimizer with the tutorial's hyperparameters."""
    node.merge_with(settings)
    build: MakeOptimizer = build_from(node, name)

    def make(parameters: Any) -> Any:
        try:
            return build(parameters)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name}={settings}: refused: {error}") from error

    return make


if __name__ == "__main__":
    main()
