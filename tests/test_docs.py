"""The pages' own files and commands do what the pages say."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import catsdogs
from catsdogs.runs.comparison import read_comparison
from tests.support.images import SIZES

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language; commands stand in blocks of none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    return [text for its_language, text in found if its_language == language]


def test_the_optimizer_of_the_page_passes_the_contract_and_trains_under_its_own_name(
    run_check: Callable[..., int],
    run_train: Callable[..., int],
    run_compare: Callable[..., int],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = "add-your-own-optimizer.md"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_adagrad.py").write_text(*blocks(page, "python"))
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "my_adagrad.yaml").write_text(*blocks(page, "yaml"))
    commands = [line.split() for block in blocks(page, "") for line in block.splitlines()]
    check = [words[3:] for words in commands if words[2:3] == ["catsdogs.check"]]
    train = [words[3:] for words in commands if words[2:3] == ["catsdogs.train"]]
    compared = [words[3:] for words in commands if words[2:3] == ["catsdogs.compare"]]
    assert (len(check), len(train), len(compared)) == (1, 1, 1)
    assert run_check(*check[0]) == 0
    assert "Adagrad is a drop-in optimizer" in capsys.readouterr().out
    small = ["data=folder", f"data.root={images}", "data.workers=0", "epochs=1", *SIZES]
    assert run_train(*train[0], *small) == 0
    assert run_compare(*compared[0], *small, "seeds=[0]") == 0
    found = read_comparison(tmp_path / "outputs" / "comparison")
    assert found.contenders == ("native_adam", "my_adagrad")
    runs = {path.name.split("-")[0] for path in (tmp_path / "outputs").iterdir()}
    assert runs == {"check", "my_adagrad", "comparison"}


def test_every_link_in_readme_and_docs_leads_to_a_file() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_shows_commands_that_start(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (DOCS.parent / "README.md").read_text()
    modules = set(re.findall(r"python -m (catsdogs\.\w+)", readme))
    assert modules
    for module in modules:
        assert run(importlib.import_module(module).main, "--help") == 0, module
        assert f"python -m {module}" in capsys.readouterr().out


def test_the_page_of_the_embedded_backbone_quotes_the_facts_of_its_file() -> None:
    facts = json.loads((Path(catsdogs.__file__).parent / "weights" / "embedded.json").read_text())
    page = (DOCS / "embedded-backbone.md").read_text()
    for number, epoch in enumerate(facts["epochs"], start=1):
        costs = f"{epoch['train_cost']:.2f} | {epoch['held_out_cost']:.2f}"
        shares = " | ".join(f"{100 * share:.1f}" for share in epoch["accuracies"].values())
        assert f"| {number} | {epoch['resolution']} | {costs} | {shares} |\n" in page
