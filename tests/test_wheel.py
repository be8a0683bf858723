"""The built wheel, installed away from the source tree: its commands start and its types ship."""

import sys
from pathlib import Path

import pytest

from tests.support.wheel import install_wheel, run

PROGRAM = """
from pathlib import Path
from typing import Any, assert_type
import catsdogs
import torch

class MyAdam(torch.optim.Adam):
    ...

result = catsdogs.check_optimizer(MyAdam, reference=torch.optim.Adam, lr=1e-3)
assert_type(result.passed, bool)
claims = [finding.claim for finding in result.findings]
optimizers = {"adam": torch.optim.Adam, "mine": MyAdam}
comparison = catsdogs.compare_optimizers(
    optimizers, lr=1e-3, seeds=range(3), data="drawn", output_dir="outputs"
)
assert_type(comparison.results, list[dict[str, Any]])
assert_type(comparison.verdicts, list[str])
assert_type(comparison.report("report"), Path)
logits = [prediction.logit for prediction in catsdogs.load("best.pt").predict("photos")]
assert_type(logits, list[float | None])
optimizer = catsdogs.optim.Adam([torch.zeros(1)], lr=1e-3, betas=(0.9, 0.99))
optimizer.step()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a new environment with the wheel."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_the_commands_start_in_an_empty_folder_with_the_conf_of_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    where = run(
        installed / "python", "-c", "import catsdogs; print(catsdogs.__file__)", cwd=tmp_path
    )
    assert Path(where).is_relative_to(installed.parent)
    assert "optimizer: class, custom_adam" in run(
        installed / "catsdogs-train", "--help", cwd=tmp_path
    )
    load = "from catsdogs.features.backbone import find_weights; find_weights('embedded')"
    run(installed / "python", "-c", load, cwd=tmp_path)
    assert "runs: ???" in run(installed / "catsdogs-report", "--help", cwd=tmp_path)
    assert "pictures: ???" in run(installed / "catsdogs-predict", "--help", cwd=tmp_path)
    empty_page = (
        "from catsdogs.inference.gallery import choose, gallery\n"
        "print(gallery(choose([]), [], [], lead='A lead'))"
    )
    assert "A lead" in run(installed / "python", "-c", empty_page, cwd=tmp_path)
    write = (
        "from catsdogs.reporting.document import Document\n"
        "from catsdogs.reporting.render import page\n"
        "print(page(Document('A title', '', ()), {}))"
    )
    assert "<h1>A title</h1>" in run(installed / "python", "-c", write, cwd=tmp_path)
    shown = run(installed / "python", "-m", "catsdogs.train", "--cfg", "job", cwd=tmp_path)
    assert "_target_: catsdogs.optim.Adam" in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_mypy_checks_a_users_program_against_the_wheel(installed: Path, tmp_path: Path) -> None:
    mypy: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        installed / "python",
    ]
    (tmp_path / "program.py").write_text(PROGRAM)
    assert "no issues found" in run(*mypy, "program.py", cwd=tmp_path)
    wrong = PROGRAM.replace("lr=1e-3, seeds", "lr=MyAdam, seeds").replace("bool", "str")
    (tmp_path / "program.py").write_text(wrong)
    with pytest.raises(AssertionError, match=r"(?s)assert-type.*arg-type.*Found 2 errors"):
        run(*mypy, "program.py", cwd=tmp_path)
