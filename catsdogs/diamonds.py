"""Command that repeats a tutorial's comparison of four optimizers with the correct gradient.

python -m catsdogs.diamonds
"""

from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from catsdogs.cli import build_from, command, plain
from catsdogs.errors import UserError
from catsdogs.io.files import expanded, make_directory, probe_directory
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
from catsdogs.settings import Reader


@command("diamonds")
def main(config: DictConfig) -> int:
    """Fit, print the results, and write records and figures."""
    values = plain(config)
    read = Reader("", values)
    output_dir = expanded(Path(read.text("output_dir")), "output_dir")
    contenders = _contenders(read.section("hparams"), read.section("clip_value"))
    run = partial(
        compare,
        contenders=contenders,
        max_epochs=read.integer("epochs", low=1),
        lr_step=read.integer_or_null("lr_step", low=1),
        published_sign=read.boolean("published_sign"),
    )
    read.boolean("debug")
    read.refuse_rest()
    probe_directory(output_dir, "output_dir")
    result = run(prepare(load_diamonds()))
    print(results_table(result))
    if result.listings:
        print(f"\nthe tutorial's listings as run for its table\n{listings_table(result)}")
    directory = make_directory(output_dir, "output_dir")
    facts = {
        "format": 1,
        "settings": values,
        "versions": versions("plotnine"),
        "hardware": hardware(),
    }
    write_records(result, facts, directory)
    write_figures(result, directory)
    print(f"\nrecords and figures: {directory}")
    return 0


def _contenders(hparams: Reader, clip_values: Reader) -> list[Contender]:
    labels = [f"{kind}_{method}" for method in METHODS for kind in KINDS]
    nodes = compose("diamonds", [f"+optimizer@{label}={label}" for label in labels])
    contenders = []
    for method in METHODS:
        settings = hparams.free_form(method)
        if not isinstance(settings, dict):
            raise UserError(f"hparams.{method}={settings}: must be a section of settings")
        clip_value = clip_values.positive_or_null(method)
        for kind in KINDS:
            make_optimizer = _factory(nodes[f"{kind}_{method}"], f"hparams.{method}", settings)
            contenders.append(Contender(method, kind, make_optimizer, clip_value))
    hparams.refuse_rest()
    clip_values.refuse_rest()
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
