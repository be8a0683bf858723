"""Checked settings of the commands, as pydantic models.

A command declares its keys in a subclass of `Section` and reads them with `from_config`. A key
without a default is required, and a key that is not declared is refused. No value is converted:
`true` is not a number and `"1"` is not an integer. Text and numbers are the exception, because
Hydra parses `weights=1` as an integer.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from catsdogs.data.manifest import SPLITS, Duplicates, Split
from catsdogs.data.sources import Downloaded, Source
from catsdogs.errors import UserError
from catsdogs.io.files import expanded

StoreType = Literal["float32", "float16"]
Head = Literal["conv", "linear"]
Protocol = Literal["frozen", "monograph"]
Precision = Literal["float32", "bfloat16", "float16"]
Objective = Literal["val_accuracy", "val_cost", "training_seconds"]
LARGEST = 2**63 - 1  # torch's largest integer
MOST_WORKERS = 256  # each is a process
MOST_PICTURES = 10**7  # of a class in a split; their features take 1.3 TB
OF_SOURCES = {"root": ["folder"], "drawing_seed": ["drawn"], "keep_archive": get_args(Downloaded)}
MISSING, UNKNOWN = "this setting is missing", "unknown setting; see --help"


class Section(pydantic.BaseModel):
    """Base class of a section of settings; a subclass declares the keys."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Check a resolved configuration.

        Raises:
            UserError: For the first setting that is missing, unknown or wrong.
        """
        try:
            return cls.model_validate(config)
        except ValidationError as error:
            raise UserError(_message(error.errors()[0])) from error


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    name = ".".join(map(str, error["loc"])) + context.get("inside", "")
    if error["type"] == "missing":
        return f"{name}: {MISSING}; give {name}=VALUE"
    if error["type"] == "invalid_key":  # an integer, say
        return f"{name}: {UNKNOWN}"
    known = {
        "extra_forbidden": UNKNOWN,
        "model_type": "must be a section of settings",
        "dict_type": "must be a section of settings",
        "bool_type": "must be true or false",
    }
    wrong = known.get(error["type"], error["msg"].replace("Input should", "must"))
    return f"{name}={context.get('value', error['input'])}: {wrong}"


def must_be(expected: str) -> WrapValidator:
    """Return a validator that names all that is expected; pydantic names the bound that failed."""

    def validate(value: Any, check: pydantic.ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            raise PydanticCustomError("wrong", f"must be {expected}") from error

    return WrapValidator(validate)


def _text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


def _texts(value: Any) -> Any:
    return [_text(text) for text in value] if isinstance(value, list) else [_text(value)]


def _path(value: Any) -> Any:
    text = _text(value)
    return Path(text) if text and isinstance(text, str) else value


def _home(path: Path | None, info: pydantic.ValidationInfo) -> Path | None:
    return path and expanded(path, str(info.field_name))


def _finite(value: Any, inside: str = "") -> Any:
    """Refuse nan and infinity at any depth; native SGD would accept them."""
    if isinstance(value, dict):
        for key, item in value.items():
            _finite(item, f"{inside}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _finite(item, f"{inside}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        where = {"inside": inside, "value": value}
        raise PydanticCustomError("not_finite", "must be a finite number", where)
    return value


TEXT = "a string that is not empty"
Natural = Annotated[int, Field(ge=0, le=LARGEST), must_be("an integer from 0 to 2**63 - 1")]
Positive = Annotated[int, Field(ge=1, le=LARGEST), must_be("an integer from 1 to 2**63 - 1")]
PositiveOrNull = Annotated[Positive | None, must_be("null or an integer from 1 to 2**63 - 1")]
AboveZeroOrNull = Annotated[
    float | None, Field(gt=0, allow_inf_nan=False), must_be("null or a finite number above 0")
]
PerClass = Annotated[
    int, Field(ge=1, le=MOST_PICTURES), must_be(f"an integer from 1 to {MOST_PICTURES:,}")
]
Workers = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=0, le=MOST_WORKERS)],
    must_be(f"auto or an integer from 0 to {MOST_WORKERS}"),
]
NotEmpty = Annotated[str, Field(min_length=1)]
Text = Annotated[NotEmpty, BeforeValidator(_text), must_be(TEXT)]
TextOrNull = Annotated[NotEmpty | None, BeforeValidator(_text), must_be(f"null or {TEXT}")]
Texts = Annotated[
    list[NotEmpty],
    Field(min_length=1),
    BeforeValidator(_texts),
    must_be("a string or a list of strings such as [a,b], none of them empty"),
]
HomePath = Annotated[Path, BeforeValidator(_path), must_be(TEXT), AfterValidator(_home)]
HomePathOrNull = Annotated[
    Path | None, BeforeValidator(_path), must_be(f"null or {TEXT}"), AfterValidator(_home)
]
Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|mps|cuda(:\d\d?)?)$"),
    BeforeValidator(_text),
    must_be("one of auto, cpu, mps, cuda[:N]"),
]
FreeForm = Annotated[Any, AfterValidator(_finite)]
FreeSection = Annotated[dict[Any, Any], AfterValidator(_finite)]


class DataSettings(Section):
    """Where images come from, how they are split and how their features are kept.

    `root`, `drawing_seed` and `keep_archive` are required by some sources and refused by the
    others, which do not read their default.
    """

    source: Source
    root: Annotated[Path, BeforeValidator(_path), must_be(TEXT)] = Path()
    drawing_seed: Natural = 0
    keep_archive: bool = False
    train_per_class: PerClass
    val_per_class: PerClass
    test_per_class: PerClass
    max_bad_fraction: Annotated[float, Field(ge=0, le=1), must_be("a number from 0 to 1")]
    duplicates: Duplicates
    store_dtype: StoreType
    workers: Workers

    @pydantic.model_validator(mode="after")
    def _suit_the_source(self) -> Self:
        for key, sources in OF_SOURCES.items():
            if self.source in sources and key not in self.model_fields_set:
                raise UserError(f"data.{key}: {MISSING}; give data.{key}=VALUE")
            if self.source not in sources and key in self.model_fields_set:
                raise UserError(f"data.{key}={getattr(self, key)}: {UNKNOWN}")
        return self

    @property
    def per_class(self) -> dict[Split, int]:
        """Images of each class in each split."""
        return {split: getattr(self, f"{split}_per_class") for split in SPLITS}

    @property
    def train_images(self) -> int:
        """Training images of both classes together."""
        return 2 * self.train_per_class


class ModelSettings(Section):
    """The backbone's weights and arithmetic, and the head."""

    weights: Text
    weights_seed: Natural
    head: Head
    precision: Precision


class ClipSettings(Section):
    """Gradient clipping, by value and by norm."""

    value: AboveZeroOrNull
    norm: AboveZeroOrNull


class Settings(Section):
    """Settings of `train`; `optimizer` and `scheduler` are built from the configuration itself."""

    data: DataSettings
    model: ModelSettings
    protocol: Protocol
    epochs: Natural
    batch_size: Positive
    val_batch_size: Positive
    grad_clip: ClipSettings
    stop_when_flat: AboveZeroOrNull
    seed: Natural
    device: Device
    deterministic: bool
    compile: bool
    optimizer: FreeForm
    scheduler: FreeForm
    output_dir: HomePath
    objective: Objective = "val_accuracy"  # of train alone
    resume: TextOrNull
    debug: bool
