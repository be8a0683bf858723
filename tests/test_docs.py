"""The pages' own files and commands do what the pages say."""

import ast
import functools
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import catsdogs
import catsdogs.optim
from catsdogs.runs.comparison import read_comparison
from tests.support import write_readme
from tests.support.images import PER_CLASS, SIZES, write_image

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
SOURCES = sorted(
    [*(README.parent / "catsdogs").rglob("*.py"), *(README.parent / "scripts").rglob("*.py")]
)
# Files that arrive with another change; the README already names them.


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language; commands stand in blocks of none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [text for its_language, text in found if its_language == language]


def ours(page: Path) -> list[tuple[str, ...]]:
    """Return module and arguments of every command of ours, of a sweep those of its first run."""
    fenced = "".join(blocks(page, "")).replace("\\\n", " ")
    inline = re.findall(r"`(python -m catsdogs\.[^`]*)`", page.read_text())
    found = []
    for line in [*fenced.splitlines(), *(" ".join(one.split()) for one in inline)]:
        words = shlex.split(line, comments=True)
        at = next((n for n, word in enumerate(words) if word.startswith("catsdogs.")), None)
        if at is not None and words[at - 1] == "-m":
            sweeps = "-m" in words[at:]
            arguments = [word for word in words[at + 1 :] if word != "-m"]
            first = [
                re.sub(r"(?<==)([^\[,]+),.*", r"\1", word) if sweeps else word for word in arguments
            ]
            found.append((words[at], *first))
    return found


def assert_ci_calls(target: str) -> None:
    assert f"make {target}\n" in (README.parent / ".ci" / "run").read_text()


def inspect_with_tensorboard(arguments: list[str]) -> None:
    """Let TensorBoard read the runs with the arguments of a page, and end instead of serving."""
    command = [sys.executable, "-m", "tensorboard.main", "--inspect", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "val/accuracy" in done.stdout


def test_the_optimizer_of_the_page_passes_the_contract_and_trains_under_its_own_name(
    run_check: Callable[..., int],
    run_train: Callable[..., int],
    run_compare: Callable[..., int],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = DOCS / "add-your-own-optimizer.md"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_adagrad.py").write_text(*blocks(page, "python"))
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "my_adagrad.yaml").write_text(*blocks(page, "yaml"))
    commands = [line.split() for block in blocks(page, "") for line in block.splitlines()]
    check = [words[3:] for words in commands if words[2:3] == ["catsdogs.check"]]
    train = [words[3:] for words in commands if words[2:3] == ["catsdogs.train"]]
    compared = [words[3:] for words in commands if words[2:3] == ["catsdogs.compare"]]
    assert (len(check), len(train), len(compared)) == (1, 2, 1)
    assert run_check(*check[0]) == 0
    assert "Adagrad is a drop-in replacement" in capsys.readouterr().out
    small = ["data=folder", f"data.root={images}", "data.workers=0", "epochs=1", *SIZES]
    for arguments in train:
        assert run_train(*arguments, *small) == 0
    assert run_compare(*compared[0], *small, "seeds=[0]") == 0
    found = read_comparison(tmp_path / "outputs" / "comparison")
    assert found.contenders == ("native_adam", "my_adagrad")
    runs = {path.name.split("-")[0] for path in (tmp_path / "outputs").iterdir()}
    assert runs == {"check", "Adagrad", "my_adagrad", "comparison"}


def test_the_readme_has_at_most_12_000_bytes() -> None:
    assert README.stat().st_size <= 12_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        if target.startswith("../../actions/"):  # of the project's page on GitHub
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert DOCS not in page.parents or DOCS in file.resolve().parents, f"{target}: not a page"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            assert anchor in [re.sub(r"[^a-z0-9]+", "-", one.lower()) for one in headings], target


def test_every_page_is_listed_on_the_start_page() -> None:
    start = DOCS / "index.md"
    listed = re.findall(r"\]\(([^)]+)\)", start.read_text())
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}
    assert sorted(listed) == sorted(pages)


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    config = str(README.parent / "mkdocs.yml")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", str(tmp_path)],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    built = list(tmp_path.rglob("*.html"))
    assert len(built) > len(PAGES) - 1
    for page in built:
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        assert tags
        assert not [tag for tag in tags if re.search(r"(?:src|href)=.?(?:https?:)?//", tag)], page


def test_the_page_of_the_api_has_every_public_name() -> None:
    documented = re.findall(r"^::: catsdogs\.(\S+)$", (DOCS / "api.md").read_text(), re.M)
    public = {name for name in catsdogs.__all__ if name != "__version__"}
    public |= {f"optim.{name}" for name in catsdogs.optim.__all__}
    public |= {"contract.parametrize_with_claims"}
    assert sorted(documented) == sorted(public - {"optim"})


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, command) for page in PAGES for command in ours(page)],
    ids=lambda value: value.name if isinstance(value, Path) else " ".join(value)[:60],
)
def test_every_command_of_a_page_names_settings_that_exist(
    page: Path,
    command: tuple[str, ...],
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--config-dir" in command:
        pytest.skip("run for real with the page's own files")
    module, *arguments = command
    main = importlib.import_module(module).main
    assert run(main, *arguments, *([] if "--help" in arguments else ["--cfg", "job"])) == 0
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_their_order(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package.py").write_text("from torch.optim import Adam as MyAdam\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for label, name in enumerate(("cats", "dogs")):
        for number in range(sum(PER_CLASS.values())):
            write_image(tmp_path / "my_pictures" / name / f"{number}.png", 100 * label + number)
    write_image(tmp_path / "new_pictures" / "a.jpg")
    small = ["data.workers=0", "epochs=1", "model.weights=embedded", *SIZES]
    appended = {"catsdogs.train": small, "catsdogs.compare": [*small, "seeds=[0]"]}
    for line in "".join(blocks(README, "")).splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "make":
            assert_ci_calls(*words)
        elif program == "tensorboard":
            inspect_with_tensorboard(words)
        else:
            (module, *arguments) = words[1:]
            for path in tmp_path.glob("outputs/mine/*"):
                arguments = [word.replace("RUN", path.name) for word in arguments]
            main = importlib.import_module(module).main
            assert run(main, *arguments, *appended.get(module, [])) == 0, line
    assert Path("report/index.html").is_file()
    assert list(Path("outputs").glob("check-MyAdam-*/check.json"))
    assert list(Path("outputs").glob("predict-*/predictions.csv"))


def test_the_readme_shows_what_check_prints(
    run_check: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert write_readme.COMMAND in README.read_text()
    assert run_check(*shlex.split(write_readme.COMMAND)[3:]) == 1
    (shown,) = blocks(README, "text")
    assert shown == write_readme.excerpt(capsys.readouterr().out)


def test_make_targets_that_the_pages_name_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    targets = re.findall(r"^([a-z./-]+):", makefile, re.M)
    for page in PAGES:
        named = re.findall(r"`make ([a-z./-]+)", page.read_text())
        named += re.findall(r"^make ([a-z./-]+)", "".join(blocks(page, "")), re.M)
        assert set(named) <= set(targets), page.name


def test_files_that_the_pages_name_exist() -> None:
    absent = []
    for page in [page for page in PAGES if page.parent.name != "measurements"]:  # of their commits
        named = re.findall(
            r"(?<![\w/])((?:catsdogs|conf|docs|scripts|tests)/[\w/.-]*)", page.read_text()
        )
        paths = (
            README.parent / name.rstrip(".") for name in named if not re.search("NAME|my_", name)
        )
        absent += [f"{page.name}: {path}" for path in paths if not path.exists()]
    assert not absent


def test_pages_start_scripts_in_a_way_in_which_they_start() -> None:
    """A file that imports from `scripts` starts as a module only."""
    for page in [page for page in PAGES if page.parent.name != "measurements"]:
        text = page.read_text()
        for module in re.findall(r"python -m (scripts[.\w]*\w)", text):
            assert importlib.util.find_spec(module), f"{page.name}: {module}"
        for file in re.findall(r"python (scripts/[\w/]+\.py)", text):
            source = (README.parent / file).read_text()
            assert not re.search(r"^from scripts\b", source, re.M), f"{page.name}: {file}"


def test_the_readme_checks_an_optimizer_from_python_and_in_pytest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"catsdogs": catsdogs, "torch": torch, "MyAdam": torch.optim.Adam}
    in_python, in_pytest, _ = blocks(README, "python")
    exec(in_python, names)
    *printed, verdict, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if line] == ["update", "state", "use", "manners"]
    assert verdict.startswith("Adam is a drop-in replacement: ")
    assert re.fullmatch(r"True \d+", last)
    assert failing_cases(in_pytest, names) == []
    wrong = names | {"MyAdam": functools.partial(catsdogs.optim.PublishedAdam, lr=1e-3)}
    assert "PublishedAdam-honours_the_settings_of_each_group" in failing_cases(in_pytest, wrong)


def failing_cases(code: str, names: dict[str, Any]) -> list[str]:
    """Run every case of a block's `test_contract` and return the ids of those that fail."""
    exec(code, names)
    test = names["test_contract"]
    (mark,) = test.pytestmark
    failed = []
    for case in mark.args[1]:
        try:
            test(*case.values)
        except pytest.skip.Exception:
            continue
        except AssertionError:
            failed.append(case.id)
    return failed


@pytest.mark.slow
def test_the_readme_compares_optimizers_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {f"data.{split}_per_class": count for split, count in PER_CLASS.items()}
    small = functools.partial(
        catsdogs.compare_optimizers, epochs=1, settings=sizes | {"data.workers": 0}
    )
    monkeypatch.setattr(catsdogs, "compare_optimizers", small, raising=False)
    names: dict[str, Any] = {"catsdogs": catsdogs, "torch": torch, "MyAdam": torch.optim.Adam}
    exec(blocks(README, "python")[2], names)
    assert "identical bit for bit" in capsys.readouterr().out
    assert len(names["comparison"].results) == 6
    assert len(names["comparison"].to_pandas()) == 6
    assert Path("report/index.html").is_file()


def test_module_docstrings_begin_with_a_noun_or_an_imperative() -> None:
    riddles = []
    for file in SOURCES:
        said = ast.get_docstring(ast.parse(file.read_text())) or ""
        if re.match(r"(?:What|Who|Which|Whether|How)\b", said):
            riddles.append(f"{file.relative_to(README.parent)}: {said.partition(chr(10))[0]}")
    assert not riddles


def test_no_text_of_the_package_says_is_no() -> None:
    found = []
    for file in sorted(Path(catsdogs.__file__).parent.rglob("*.py")):
        nodes = ast.walk(ast.parse(file.read_text()))
        values = (node.value for node in nodes if isinstance(node, ast.Constant))
        texts = [value + " " for value in values if isinstance(value, str)]
        matches = (re.search(r"\bis\s+no\s(?!longer).*", text) for text in texts)
        found += [f"{file.name}: {match[0]}" for match in matches if match]
    assert not found


def test_the_page_of_the_embedded_backbone_quotes_the_facts_of_its_file() -> None:
    facts = json.loads((Path(catsdogs.__file__).parent / "weights" / "embedded.json").read_text())
    page = (DOCS / "embedded-backbone.md").read_text()
    for number, epoch in enumerate(facts["epochs"], start=1):
        costs = f"{epoch['train_cost']:.2f} | {epoch['held_out_cost']:.2f}"
        shares = " | ".join(f"{100 * share:.1f}" for share in epoch["accuracies"].values())
        assert f"| {number} | {epoch['resolution']} | {costs} | {shares} |\n" in page
