"""The settings of a run as plain checked values; below this file nobody sees a configuration."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any, Literal, cast, get_args

from catsdogs.data.manifest import SPLITS, Split
from catsdogs.data.sources import Downloaded, Source
from catsdogs.errors import UserError
from catsdogs.io.files import expanded

StoreType = Literal["float32", "float16"]
Head = Literal["conv", "linear"]
Protocol = Literal["frozen", "monograph"]
Precision = Literal["float32", "bfloat16", "float16"]
LARGEST = 2**63 - 1  # what torch takes for a whole number
MOST_WORKERS = 256  # each is a process
MOST_IMAGES = 10**7  # of a class in a split; their features take 1.3 TB


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Where pictures come from, how they are split and how their features are kept."""

    source: Source
    root: Path | None
    drawing_seed: int
    keep_archive: bool
    per_class: dict[Split, int]
    max_bad_fraction: float
    store_dtype: StoreType
    workers: int | Literal["auto"]

    @property
    def train_images(self) -> int:
        """Pictures of both classes to train on."""
        return 2 * self.per_class["train"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that `train` is told, except how optimizer and scheduler are built."""

    data: DataSettings
    weights: str
    weights_seed: int
    head: Head
    precision: Precision
    protocol: Protocol
    epochs: int
    batch_size: int
    val_batch_size: int
    clip_value: float | None
    clip_norm: float | None
    stop_when_flat: float | None
    seed: int
    device: str
    deterministic: bool
    compile: bool
    output_dir: Path
    resume: str | None
    debug: bool

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Settings":
        """Check a resolved configuration.

        Raises:
            UserError: For an unknown setting or a value of the wrong type or out of range.
        """
        read = Reader("", config)
        settings = cls(
            data=_data_settings(read.section("data")),
            protocol=cast(Protocol, read.choice("protocol", get_args(Protocol))),
            epochs=read.integer("epochs", low=0),
            batch_size=read.integer("batch_size", low=1),
            val_batch_size=read.integer("val_batch_size", low=1),
            stop_when_flat=read.positive_or_null("stop_when_flat"),
            seed=read.integer("seed", low=0),
            device=read.device("device"),
            deterministic=read.boolean("deterministic"),
            compile=read.boolean("compile"),
            output_dir=expanded(Path(read.text("output_dir")), "output_dir"),
            resume=read.text_or_null("resume"),
            debug=read.boolean("debug"),
            **_model_settings(read.section("model")),
            **_clip_settings(read.section("grad_clip")),
        )
        for free_form in ("optimizer", "scheduler"):
            read.free_form(free_form)
        read.refuse_rest()
        return settings


def _data_settings(read: "Reader") -> DataSettings:
    source = cast(Source, read.choice("source", get_args(Source)))
    settings = DataSettings(
        source=source,
        root=Path(read.text("root")) if source == "folder" else None,
        drawing_seed=read.integer("drawing_seed", low=0) if source == "drawn" else 0,
        keep_archive=source in get_args(Downloaded) and read.boolean("keep_archive"),
        per_class={
            split: read.integer(f"{split}_per_class", low=1, high=MOST_IMAGES) for split in SPLITS
        },
        max_bad_fraction=read.number("max_bad_fraction", low=0, high=1),
        store_dtype=cast(StoreType, read.choice("store_dtype", get_args(StoreType))),
        workers=read.integer_or_auto("workers", low=0, high=MOST_WORKERS),
    )
    read.refuse_rest()
    return settings


def _model_settings(read: "Reader") -> dict[str, Any]:
    settings = {
        "weights": read.text("weights"),
        "weights_seed": read.integer("weights_seed", low=0),
        "head": cast(Head, read.choice("head", get_args(Head))),
        "precision": cast(Precision, read.choice("precision", get_args(Precision))),
    }
    read.refuse_rest()
    return settings


def _clip_settings(read: "Reader") -> dict[str, Any]:
    settings = {
        "clip_value": read.positive_or_null("value"),
        "clip_norm": read.positive_or_null("norm"),
    }
    read.refuse_rest()
    return settings


class Reader:
    """Take settings out of one section by name; what is left at the end is unknown.

    Every method raises UserError for a setting that is missing or not what it must be.
    """

    def __init__(self, prefix: str, section: dict[str, Any]) -> None:
        self._prefix = prefix
        self._left = dict(section)

    def take(self, key: str) -> Any:
        """Return a setting of any kind."""
        if key not in self._left:
            raise UserError(f"{self._prefix}{key}: this setting is missing")
        return self._left.pop(key)

    def section(self, key: str) -> "Reader":
        """Return the reader of a section within this one."""
        value = self.take(key)
        if not isinstance(value, dict):
            raise UserError(f"{self._prefix}{key}={value}: must be a section of settings")
        return Reader(f"{self._prefix}{key}.", value)

    def integer(self, key: str, *, low: int, high: int = LARGEST) -> int:
        """Return a whole number from `low` to `high`."""
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(key, value, _range(value, low, high))
        return value

    def integer_or_null(self, key: str, *, low: int) -> int | None:
        """Return a whole number, `low` or above, or None."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
            raise self._wrong(key, value, f"null or {_range(value, low, LARGEST)}")
        return value

    def integer_or_auto(self, key: str, *, low: int, high: int) -> int | Literal["auto"]:
        """Return a whole number from `low` to `high`, or "auto"."""
        value = self.take(key)
        if value == "auto":
            return "auto"
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(key, value, f"auto or {_range(value, low, high)}")
        return value

    def number(self, key: str, *, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, f"a number from {low} to {high}")
        if not low <= value <= high:
            raise self._wrong(key, value, f"a number from {low} to {high}")
        return float(value)

    def positive_or_null(self, key: str) -> float | None:
        """Return a finite number above 0, or None."""
        value = self.take(key)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise self._wrong(key, value, "null or a finite number above 0")
        return float(value)

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self.take(key)
        if value is None or not str(value):
            raise self._wrong(key, value, "a text that is not empty")
        return str(value)

    def text_or_null(self, key: str) -> str | None:
        """Return a text that is not empty, or None."""
        value = self.take(key)
        if value is not None and not str(value):
            raise self._wrong(key, value, "null or a text that is not empty")
        return None if value is None else str(value)

    def texts(self, key: str) -> list[str]:
        """Return one text or a list of several, none of them empty."""
        value = self.take(key)
        texts = [str(text) for text in value] if isinstance(value, list) else [str(value)]
        if value is None or not texts or not all(texts):
            raise self._wrong(key, value, "a text or a list of texts, as [a,b]")
        return texts

    def texts_or_null(self, key: str) -> list[str] | None:
        """Return one text or a list of several, none of them empty, or None."""
        if self._left.get(key, "") is not None:
            return self.texts(key)
        self.take(key)
        return None

    def free_form(self, key: str) -> Any:
        """Return a setting of any kind in which every number is finite."""
        value = self.take(key)
        _check_numbers(f"{self._prefix}{key}", value)
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of the choices."""
        value = self.take(key)
        if value not in choices:
            raise self._wrong(key, value, f"one of {', '.join(choices)}")
        return str(value)

    def device(self, key: str) -> str:
        """Return the name of a device, or `auto`."""
        value = self.text(key)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise self._wrong(key, value, "one of auto, cpu, mps, cuda[:N]")
        return value

    def refuse_rest(self) -> None:
        """Refuse the settings that were not taken."""
        for key, value in self._left.items():
            raise UserError(f"{self._prefix}{key}={value}: there is no such setting; see --help")

    def _wrong(self, key: str, value: Any, expected: str) -> UserError:
        return UserError(f"{self._prefix}{key}={value}: must be {expected}")


def _range(value: Any, low: int, high: int) -> str:
    """Say what a whole number must be; its upper end where that matters."""
    too_large = isinstance(value, int) and value > high
    most = f", {high} at most" if too_large or high < LARGEST else ""
    return f"a whole number, {low} or above{most}"


def _check_numbers(name: str, value: Any) -> None:
    """Refuse nan and infinity anywhere in a free-form section; native SGD would accept them."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(f"{name}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_numbers(f"{name}[{index}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name}={value}: must be a finite number")
