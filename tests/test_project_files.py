"""Consistency of the files around the package: versions, licence, CI and issue forms."""

import re
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from packaging.specifiers import SpecifierSet

import catsdogs

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = SpecifierSet(PROJECT["requires-python"])
PYTHONS = [python for minor in range(40) if (python := f"3.{minor}") in SUPPORTED]
FORMS = ["bug_report.yml", "wrong_verdict.yml"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_names_the_version_and_licence_of_the_package() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == catsdogs.__version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert citation["authors"] == PROJECT["authors"]
    for needed in ("cff-version", "message", "title"):
        assert citation[needed], needed


def test_a_commit_is_checked_by_the_ruff_of_the_constraints() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert repository["rev"] == f"v{pins['ruff']}"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_ci_runs_and_classifiers_name_every_python_that_the_package_allows() -> None:
    assert PYTHONS[0] == "3.11"
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert job["steps"][-1] == {"run": "bash .ci/run"}
    assert re.search(r"^PYTHON \?= ", (ROOT / "Makefile").read_text(), re.M)
    classifiers = "\n".join(PROJECT["classifiers"])
    assert re.findall(r"^Programming Language .* (3\.\d+)$", classifiers, re.M) == PYTHONS


@pytest.mark.parametrize("form", FORMS)
def test_an_issue_form_asks_for_the_command_and_the_versions(form: str) -> None:
    asked = {field["id"]: field for field in read(f".github/ISSUE_TEMPLATE/{form}")["body"]}
    assert {"command", "versions"} <= asked.keys()
    assert asked["command"]["validations"]["required"]


def test_blank_issues_stay_possible_beside_the_forms() -> None:
    templates = {path.name for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()}
    assert templates == {*FORMS, "config.yml"}
    assert read(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": True}


def test_the_source_archive_holds_the_licence_and_all_that_these_tests_read(tmp_path: Path) -> None:
    (archive,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    files = ["LICENSE", "CITATION.cff", "CONTRIBUTING.md", "constraints.txt", ".ci/run", "Makefile"]
    hidden = [path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml")]
    assert {*files, *hidden, ".pre-commit-config.yaml"} <= names
