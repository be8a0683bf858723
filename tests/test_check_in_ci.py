"""The page about continuous integration works for a foreign library beside the built wheel."""

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.support.wheel import install_wheel, outside

PAGE = Path(__file__).parents[1] / "docs" / "check-in-ci.md"
# The second takes its learning rate when it is built, so that schedulers have no effect.
LIBRARY = """
import torch


class MyAdam(torch.optim.Adam):
    pass


class MySGD(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.lr = lr

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.add_(param.grad, alpha=-self.lr)
        return loss
"""


def first_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new environment with the wheel."""
    return install_wheel(tmp_path_factory.mktemp("wheel")) / "python"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return a folder with a library of one right and one wrong optimizer."""
    (tmp_path / "my_optim").mkdir()
    (tmp_path / "my_optim" / "__init__.py").write_text(LIBRARY)
    return tmp_path


@pytest.mark.slow
def test_the_pytest_file_of_the_page_finds_the_wrong_optimizer_of_a_library(
    python: Path, library: Path
) -> None:
    code = first_block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (library / "test_contract.py").write_text(code)
    done = outside(
        python, "-m", "pytest", "-q", "test_contract.py", "--junitxml=cases.xml", cwd=library
    )
    assert done.returncode == 1, done.stdout + done.stderr
    cases = {case.get("name"): case for case in ET.parse(library / "cases.xml").iter("testcase")}
    outcomes = {name: [part.tag for part in case] for name, case in cases.items()}
    right = {name: seen for name, seen in outcomes.items() if "[MyAdam-" in str(name)}
    assert len(right) > 50
    assert [] in right.values()
    assert all(seen in ([], ["skipped"]) for seen in right.values()), right
    failed = {name for name, seen in outcomes.items() if seen == ["failure"]}
    assert "test_contract[MySGD-reads_the_group_at_every_step]" in failed
    declared = cases["test_contract[MySGD-refuses_a_negative_learning_rate]"]
    assert [part.get("type") for part in declared] == ["pytest.xfail"]


@pytest.mark.slow
def test_the_command_of_the_workflow_leaves_a_junit_file_and_a_page_to_upload(
    python: Path, library: Path
) -> None:
    steps = yaml.safe_load(first_block("yaml"))["jobs"]["check"]["steps"]
    commands = [shlex.split(step["run"]) for step in steps if "run" in step]
    (command,) = (words for words in commands if "catsdogs.check" in words)
    assert command[0] == "python"
    done = outside(python, *command[1:], cwd=library)
    assert done.returncode == 1, done.stdout + done.stderr
    (upload,) = (step["with"]["path"] for step in steps if "upload" in step.get("uses", ""))
    (folder,) = (library / upload).iterdir()
    suites = {
        suite.get("name"): suite for suite in ET.parse(folder / "junit.xml").iter("testsuite")
    }
    assert set(suites) == {"my_optim.MyAdam", "my_optim.MySGD"}
    assert suites["my_optim.MyAdam"].get("failures") == "0"
    failed = {
        case.get("name") for case in suites["my_optim.MySGD"] if case.find("failure") is not None
    }
    assert "reads_the_group_at_every_step" in failed
    assert "my_optim: 1 of 2 optimizers are drop-in replacements" in done.stdout
    assert (folder / "summary.md").is_file()
