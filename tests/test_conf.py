"""Every file in conf/ composes, every optimizer builds, and twins differ only in their class."""

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from catsdogs.cli import conf_directory
from catsdogs.settings import Settings

OPTIMIZERS = sorted(path.stem for path in (conf_directory() / "optimizer").glob("*_*.yaml"))
DATA = sorted(path.stem for path in (conf_directory() / "data").glob("*.yaml"))
COMMANDS = sorted({path.stem for path in conf_directory().glob("*.yaml")} - {"run"})
CUSTOM_TWINS = [name for name in OPTIMIZERS if name.replace("custom_", "native_") in OPTIMIZERS]


def configuration(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf_directory()), version_base="1.3"):
        return compose("train", list(overrides))


def values(config: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_builds_and_its_state_dict_holds_plain_values(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    build = instantiate(configuration(f"optimizer={name}").optimizer)
    if "saga" in name:
        pytest.skip("needs the arguments that the training loop passes to its step")
    optimizer = build([weight])
    weight.sum().backward()
    optimizer.step()
    assert not torch.equal(weight, torch.ones(3))
    for value in optimizer.state_dict()["param_groups"][0].values():
        assert type(value) in (float, int, bool, list, tuple, type(None)), value


@pytest.mark.parametrize("custom", [name for name in CUSTOM_TWINS if name.startswith("custom_")])
def test_a_native_and_custom_pair_has_equal_hyperparameters(custom: str) -> None:
    ours = values(configuration(f"optimizer={custom}").optimizer)
    native = values(configuration(f"optimizer={custom.replace('custom', 'native')}").optimizer)
    assert ours.pop("_target_").startswith("catsdogs.optim.")
    assert native.pop("_target_").startswith("torch.optim.")
    assert ours == native


@pytest.mark.parametrize("name", DATA)
def test_every_kind_of_data_makes_valid_settings(name: str) -> None:
    root = ["data.root=somewhere"] if name == "folder" else []
    settings = Settings.from_config(values(configuration(f"data={name}", *root)))
    assert settings.data.per_class == {"train": 1000, "val": 100, "test": 100}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_settings_and_exit_statuses_in_one_layout(name: str) -> None:
    with initialize_config_dir(str(conf_directory()), version_base="1.3"):
        shown = compose(name, return_hydra_config=True).hydra.help
    layout = "\nSettings and their defaults (key=value):\n\n$CONFIG\n"
    assert shown.template == f"{shown.header}{layout}{shown.footer}\n"
    assert f"Examples:\n  python -m catsdogs.{name}" in shown.footer
    assert "Exit status: 0 " in shown.footer


def test_the_defaults_are_the_monograph_protocol() -> None:
    settings = Settings.from_config(values(configuration()))
    assert (settings.epochs, settings.batch_size, settings.val_batch_size) == (10, 32, 16)
    assert values(configuration("optimizer=native_adam").optimizer) == {
        "_target_": "torch.optim.Adam",
        "_partial_": True,
        "_convert_": "all",
        "lr": 1e-3,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
    }
