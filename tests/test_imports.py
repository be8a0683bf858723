"""Who may import whom: pictures, store, engine, records and report flow one way."""

import ast
import sys
from pathlib import Path

import pytest

import catsdogs

PACKAGE = Path(catsdogs.__file__).parent
# A part may import the parts named, itself, and anything that is not catsdogs.
ALLOWED = {
    "errors": set[str](),
    "optim": set(),
    "contract": {"optim"},
    "weights": set(),
    "progress": set(),
    "names": set(),
    "shortage": set(),
    "files": {"errors"},
    "records": {"files"},
    "comparison": {"errors", "files"},
    "reporting": {"comparison", "errors", "files", "names", "progress", "records"},
    "data": {"errors", "files", "names", "progress"},
    "settings": {"data", "errors", "files"},
    "training": {
        "comparison",
        "contract",
        "data",
        "errors",
        "files",
        "optim",
        "progress",
        "records",
        "settings",
    },
    "inference": {"data", "errors", "files", "progress", "records", "reporting", "training"},
    "regression": {"errors", "files", "progress", "records"},
    "command": {"errors", "names", "shortage"},
    "train": {"command", "errors", "optim", "settings", "training"},
    "report": {"command", "errors", "files", "names", "reporting"},
    "compare": {"command", "errors", "files", "train", "training"},
    "check": {
        "command",
        "contract",
        "errors",
        "files",
        "optim",
        "progress",
        "records",
        "training",
    },
    "diamonds": {"command", "errors", "files", "records", "regression", "settings"},
    "predict": {"command", "files", "inference", "settings"},
    "export": {"command", "files", "inference", "settings"},
}
# The only parts that see Hydra.
COMMANDS = {"command", "check", "compare", "diamonds", "export", "predict", "report", "train"}
TORCH_FREE = {
    "errors",
    "files",
    "names",
    "progress",
    "records",
    "shortage",
    "command",
    "comparison",
    "reporting",
    "report",
}


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
    assert ours - {part(file)} <= ALLOWED[part(file)]
    others = {module.split(".")[0] for module in modules}
    if part(file) not in COMMANDS:
        assert not others & {"hydra", "omegaconf"}
    if part(file) in TORCH_FREE:
        assert not others & {"torch", "torchvision"}
    if part(file) in ("optim", "contract"):
        assert others - sys.stdlib_module_names <= {"torch", "catsdogs"}
