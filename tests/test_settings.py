"""Values that a setting accepts and refuses, and the line that refuses them."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from catsdogs.cli import conf_directory
from catsdogs.errors import UserError
from catsdogs.settings import Section, Settings, Texts

MISSING = object()
NATURAL = "must be an integer from 0 to 2**63 - 1"


@functools.cache
def composed(source: str = "drawn") -> dict[str, Any]:
    with initialize_config_dir(str(conf_directory()), version_base="1.3"):
        config = compose("train", [f"data={source}"])
    if source == "folder":
        config.data.root = "photos"
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def settings(name: str, value: object, source: str = "drawn") -> Settings:
    """Read the default settings with one of them changed or left out."""
    values = copy.deepcopy(composed(source))
    *sections, key = name.split(".")
    section = values
    for part in sections:
        section = section[part]
    section[key] = value
    if value is MISSING:
        del section[key]
    return Settings.from_config(values)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("epochs", True, NATURAL),
        ("epochs", "1", NATURAL),
        ("epochs", 1.0, NATURAL),
        ("epochs", None, NATURAL),
        ("seed", 2**63, NATURAL),
        ("data.workers", 257, "must be auto or an integer from 0 to 256"),
        ("data.workers", False, "must be auto or an integer from 0 to 256"),
        ("data.max_bad_fraction", "1e-3", "must be a number from 0 to 1"),
        ("data.max_bad_fraction", 2, "must be a number from 0 to 1"),
        ("data.max_bad_fraction", float("nan"), "must be a number from 0 to 1"),
        ("grad_clip.norm", float("inf"), "must be null or a finite number above 0"),
        ("grad_clip.norm", 10**400, "must be null or a finite number above 0"),
        ("debug", 1, "must be true or false"),
        ("model.head", ["conv"], "must be 'conv' or 'linear'"),
        ("resume", "", "must be null or a string that is not empty"),
        ("output_dir", None, "must be a string that is not empty"),
        ("output_dir", True, "must be a string that is not empty"),
        ("output_dir", ["a", "b"], "must be a string that is not empty"),
        ("model.weights", {"a": 1}, "must be a string that is not empty"),
        ("objective", "loss", "must be 'val_accuracy', 'val_cost' or 'training_seconds'"),
        ("device", "cuda:1\n", "must be one of auto, cpu, mps, cuda[:N]"),
        ("grad_clip", None, "must be a section of settings"),
        ("data.surprise", 1, "unknown setting; see --help"),
        ("data.root", "photos", "unknown setting; see --help"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: object, wrong: str) -> None:
    with pytest.raises(UserError) as refusal:
        settings(name, value)
    assert str(refusal.value) == f"{name}={value}: {wrong}"


@pytest.mark.parametrize("name", ["seed", "model.head", "grad_clip", "data.drawing_seed"])
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(UserError) as refusal:
        settings(name, MISSING)
    assert str(refusal.value) == f"{name}: this setting is missing; give {name}=VALUE"


def test_a_number_deep_in_a_free_form_section_must_be_finite() -> None:
    with pytest.raises(UserError, match=r"^optimizer\.betas\[1\]=nan: must be a finite number$"):
        settings("optimizer.betas", [0.9, float("nan")])


def test_a_key_that_is_not_a_string_is_refused() -> None:
    values = copy.deepcopy(composed())
    values["model"][1] = 2
    with pytest.raises(UserError, match=r"^model\.1: unknown setting; see --help$"):
        Settings.from_config(values)


@pytest.mark.parametrize(("source", "key"), [("folder", "root"), ("pets", "keep_archive")])
def test_a_source_requires_its_own_settings(source: str, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}: this setting is missing"):
        settings(f"data.{key}", MISSING, source)
    with pytest.raises(UserError, match=f"data.{key}=None: must be "):
        settings(f"data.{key}", None, source)


class Several(Section):
    texts: Texts


def test_one_string_or_several_become_a_list_of_strings() -> None:
    assert Several.from_config({"texts": "a,b"}).texts == ["a,b"]
    assert Several.from_config({"texts": [1, "b"]}).texts == ["1", "b"]
    for wrong in (None, "", [], ["a", ""]):
        with pytest.raises(UserError, match=r"^texts=.*: must be a string or a list of strings"):
            Several.from_config({"texts": wrong})


def test_values_keep_or_get_the_type_of_their_setting() -> None:
    assert settings("data.root", 2024, "folder").data.root == Path("2024")
    assert settings("model.weights", 1).model.weights == "1"
    assert type(settings("stop_when_flat", 1).stop_when_flat) is float
    assert settings("stop_when_flat", None).stop_when_flat is None
    assert settings("data.workers", "auto").data.workers == "auto"
    assert settings("seed", 2**63 - 1).seed == 2**63 - 1
    assert settings("output_dir", "~").output_dir == Path.home()


def test_the_images_of_a_class_are_named_by_split() -> None:
    data = settings("data.train_per_class", 7).data
    assert data.per_class == {"train": 7, "val": 100, "test": 100}
    assert data.train_images == 14
