"""Import directions: each part of the package imports exactly what its row of one table says."""

import ast
import graphlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import catsdogs

PACKAGE = Path(catsdogs.__file__).parent
# A part is a file or a folder of the package. Its row names the other parts that it imports, and
# torch (with torchvision) and hydra (with omegaconf) if it imports them.
PARTS = {
    "_version": "",
    "errors": "",
    "drawing": "",
    "weights": "",
    "optim": "torch",
    "contract": "optim torch",
    "io": "errors torch",
    "compute": "errors io torch",
    "runs": "_version errors io",
    "reporting": "errors io runs",
    "data": "drawing errors io torch",
    "settings": "data errors io",
    "regression": "errors io reporting runs torch",
    "pretraining": "_version compute data drawing io torch",
    "features": "compute data errors io settings torch",
    "training": "compute contract data errors features io optim runs settings torch",
    "inference": "compute data drawing errors features io runs torch training",
    "cli": "errors hydra io",
    "api": "cli contract data errors hydra io reporting runs settings torch training",
    "train": "cli hydra runs settings training",
    "compare": "cli errors hydra io settings train training",
    "report": "cli errors hydra io reporting runs",
    "check": "cli compute contract errors hydra io runs settings torch training",
    "predict": "cli hydra inference io settings",
    "cache": "cli hydra io settings",
    "export": "cli hydra inference io settings",
    "diamonds": "cli errors hydra io regression runs settings",
}
LIBRARIES = {"torch": "torch", "torchvision": "torch", "hydra": "hydra", "omegaconf": "hydra"}
# A report is made without torch, and imports `io`: torch stays in the one file that no report uses.
ONLY_FILE_WITH_TORCH = {"io": "io/torch_file.py"}
# These parts import the standard library, torch and each other: a user can copy them. The contract
# as test cases of pytest needs that, too, in functions that a test file calls.
SELF_CONTAINED: dict[str, set[str]] = {"optim": set(), "contract": {"pytest", "cloudpickle"}}


def imported_modules(file: Path) -> set[str]:
    """Return the dotted names that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imports_of(part: str) -> dict[str, set[str]]:
    """Return what a part imports, by the names of the table, each with the files that do."""
    found = defaultdict(set)
    folder = PACKAGE / part
    for file in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
        for module in imported_modules(file):
            library, _, name = f"{module}.".partition(".")
            name = name.partition(".")[0] if library == "catsdogs" else LIBRARIES.get(library, "")
            if name != part:
                found[name].add(file.relative_to(PACKAGE).as_posix())
    return found


def test_the_table_has_a_row_for_each_part() -> None:
    files = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in PACKAGE.rglob("*.py")}
    assert set(PARTS) == files - {"__init__"}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_exactly_what_its_row_says(part: str) -> None:
    found = imports_of(part)
    found.pop("", None)
    assert sorted(found) == sorted(PARTS[part].split()), dict(found)
    if part in ONLY_FILE_WITH_TORCH:
        assert found["torch"] == {ONLY_FILE_WITH_TORCH[part]}


def test_no_part_imports_itself_through_others() -> None:
    rows = {part: set(row.split()) for part, row in PARTS.items()}
    graphlib.TopologicalSorter(rows).prepare()  # raises CycleError


def test_no_module_imports_the_package_as_a_whole() -> None:
    """`import catsdogs` within it would be a way around the table."""
    files = [file for file in PACKAGE.rglob("*.py") if "catsdogs" in imported_modules(file)]
    assert files == []


@pytest.mark.parametrize("part", SELF_CONTAINED)
def test_optimizers_and_claims_need_nothing_but_torch(part: str) -> None:
    modules = {m for file in (PACKAGE / part).rglob("*.py") for m in imported_modules(file)}
    libraries = {module.partition(".")[0] for module in modules}
    assert libraries - sys.stdlib_module_names - SELF_CONTAINED[part] <= {"torch", "catsdogs"}


def test_the_contract_is_imported_without_what_few_need() -> None:
    code = "import sys, catsdogs.contract; assert not {'pytest', 'cloudpickle'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_selenium_is_imported_by_one_file_so_that_other_tests_do_without() -> None:
    tests = Path(__file__).parent
    modules = {file: imported_modules(file) for file in tests.rglob("*.py")}
    files = [file for file, names in modules.items() if any("selenium" in n for n in names)]
    assert files == [tests / "support" / "browser.py"]
