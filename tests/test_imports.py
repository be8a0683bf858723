"""Who may import whom: pictures, store, engine, records and report flow one way."""

import ast
import sys
from pathlib import Path

import pytest

import catsdogs

PACKAGE = Path(catsdogs.__file__).parent
# A part may import the parts named, itself, `_version`, and anything that is not catsdogs.
ALLOWED = {
    "_version": set[str](),
    "errors": set(),
    "optim": set(),
    "contract": {"optim"},
    "weights": set(),
    "drawing": set(),
    "io": {"errors"},
    "compute": {"errors"},
    "runs": {"errors", "io"},
    "reporting": {"errors", "io", "runs"},
    "data": {"drawing", "errors", "io"},
    "settings": {"data", "errors", "io"},
    "features": {"compute", "data", "errors", "io", "settings"},
    "training": {
        "compute",
        "contract",
        "data",
        "errors",
        "features",
        "io",
        "optim",
        "runs",
        "settings",
    },
    "inference": {"compute", "data", "drawing", "errors", "features", "io", "runs", "training"},
    "regression": {"errors", "io", "reporting", "runs"},
    "pretraining": {"compute", "data", "drawing", "errors", "io"},
    "cli": {"errors", "io"},
    "api": {
        "cli",
        "contract",
        "data",
        "errors",
        "io",
        "optim",
        "reporting",
        "runs",
        "settings",
        "training",
    },
    "train": {"cli", "errors", "settings", "training"},
    "report": {"cli", "errors", "io", "reporting", "runs"},
    "compare": {"cli", "compute", "errors", "io", "train", "training"},
    "check": {"api", "cli", "contract", "errors", "io", "optim", "runs", "training"},
    "diamonds": {"cli", "errors", "io", "regression", "runs", "settings"},
    "predict": {"cli", "inference", "io", "settings"},
    "export": {"cli", "inference", "io", "settings"},
}
# The only parts that see a configuration of Hydra.
COMMANDS = {"api", "cli", "check", "compare", "diamonds", "export", "predict", "report", "train"}
TORCH_FREE = {"errors", "drawing", "io", "runs", "cli", "reporting", "report"}
READS_TENSORS = PACKAGE / "io" / "torch_file.py"


def imports(file: Path) -> set[str]:
    """Return every module that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(str(node.module))
    return found


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = [file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_what_its_part_may(file: Path) -> None:
    modules = imports(file)
    ours = {module.split(".")[1] for module in modules if module.startswith("catsdogs.")}
    assert ours - {part(file), "_version"} <= ALLOWED[part(file)]
    others = {module.split(".")[0] for module in modules}
    if part(file) not in COMMANDS:
        assert not others & {"hydra", "omegaconf"}
    if part(file) in TORCH_FREE and file != READS_TENSORS:
        assert not others & {"torch", "torchvision"}
    if part(file) in ("optim", "contract"):
        assert others - sys.stdlib_module_names <= {"torch", "catsdogs"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_no_file_inside_imports_the_bare_package(file: Path) -> None:
    assert "catsdogs" not in imports(file)
