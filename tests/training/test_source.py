"""The code behind an optimizer: its own files are hashed, packages have versions."""

import functools
import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import catsdogs
from catsdogs.training.source import changed_source, source_of
from tests.support.deaths import signal_in_step
from tests.support.processes import environment

MINE = """
import math
import numpy
from torch.optim import SGD
from parts.rule import RATE
from parts import base

class Mine(base.Base):
    pass
"""
Write = Callable[[str, str], None]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Write]:
    """Return a function that writes a module and lets Python import everything anew."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("mine", "parts")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def do(name: str, text: str) -> None:
        file = tmp_path / f"{name.replace('.', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        forget()

    do("mine", MINE)
    do("parts.base", "import torch\n\nclass Base(torch.optim.SGD):\n    pass\n")
    do("parts.rule", "from . import constants\n\nRATE = constants.RATE\n")
    do("parts.constants", "RATE = 1\n")
    yield do
    forget()


def mine() -> Any:
    return importlib.import_module("mine").Mine


def test_the_code_is_every_file_of_the_users_own_that_it_imports(write: Write) -> None:
    before = source_of(functools.partial(mine(), lr=0.1))
    assert sorted(before) == ["mine", "parts.base", "parts.constants", "parts.rule"]
    assert all(len(digest) == 64 for digest in before.values())
    write("parts.other", "")
    assert source_of(mine()) == before
    for name in ("mine", "parts.base", "parts.constants", "parts.rule"):
        write("parts.constants", "RATE = 1\n")
        changed = mine()
        text = Path(sys.modules[name].__file__ or "").read_text()
        write(name, text + "\n# edited\n")
        assert changed_source(before, source_of(mine())) == [name]
        write(name, text)
        assert source_of(mine()) == source_of(changed) == before


def test_packages_that_a_record_names_have_no_source() -> None:
    assert source_of(torch.optim.Adam, None, torch.optim.lr_scheduler.StepLR) == {}


def test_other_packages_have_a_version() -> None:
    import hydra

    assert "hydra" not in source_of(hydra.main)
    assert source_of(pytest.Item)["pytest"] == pytest.__version__


def test_our_own_optimizers_have_the_files_of_their_part_alone() -> None:
    found = source_of(catsdogs.optim.Adam)
    assert {"catsdogs.optim.adam", "catsdogs.optim.base"} <= set(found)
    assert all(name.startswith("catsdogs.optim") for name in found)
    assert source_of(catsdogs.compare_optimizers) == {}


def test_of_a_script_only_the_class_counts(tmp_path: Path) -> None:
    def run(text: str) -> str:
        (tmp_path / "script.py").write_text(
            f"import torch, catsdogs.training.source as s\n{text}\nprint(s.source_of(Mine))\n"
        )
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    one = "class Mine(torch.optim.SGD):\n    rate = 1\n"
    assert run(one) == run(one + "call = 2\n") != run(one.replace("1", "2"))
    assert "'Mine': '" in run(one)


def test_a_record_without_source_differs_from_nothing() -> None:
    assert changed_source(None, {"mine": "a"}) == []
    assert changed_source({"mine": "a"}, {"mine": "a"}) == []
    assert changed_source({"mine": "a", "old": "b"}, {"mine": "c", "new": "d"}) == [
        "mine",
        "new",
        "old",
    ]


def test_compare_trains_an_edited_class_anew_and_says_so(
    run_compare: Callable[..., int],
    small: list[str],
    write: Write,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def runs() -> list[Path]:
        return sorted(path.parent for path in tmp_path.glob("outputs/comparison/*/record.json"))

    folder = tmp_path / "conf" / "optimizer"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: mine.Mine\n_partial_: true\nlr: 0.1\n")
    arguments = ["--config-dir", "conf", *small, "model.head=linear", "epochs=0", "seeds=[0]"]
    arguments.append("contenders=[native_sgd,mine]")
    assert run_compare(*arguments) == 0
    first = runs()
    assert run_compare(*arguments) == 0
    shown = capsys.readouterr().out
    assert (runs(), shown.count("(kept)"), shown.count("changed")) == (first, 2, 0)
    write("parts.constants", "RATE = 2\n")
    assert run_compare(*arguments) == 0
    shown = capsys.readouterr().out
    (before,) = (path.name for path in first if path.name.startswith("mine"))
    assert (
        f"mine: the code of parts.constants has changed since {before}; training its runs anew"
        in shown
    )
    assert len(runs()) == 3
    assert shown.count("(kept)") == 1


def test_a_run_of_edited_code_is_not_resumed(
    run_train: Callable[..., int],
    small: list[str],
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*small, "model.head=linear", "epochs=1", "optimizer=native_sgd"]
    arguments.append("optimizer._target_=mine.Mine")
    with monkeypatch.context() as patch:
        signal_in_step(patch, 2, 15)  # type: ignore[arg-type]
        assert run_train(*arguments) == 143
    (begun,) = Path("outputs").iterdir()
    shutil.copytree(begun, "copy")
    write("mine", MINE + "\n# edited\n")
    assert run_train(*arguments, f"resume={begun}") == 2
    said = "the code of mine has changed; undo that, or start a new run without resume"
    assert f"resume={begun}: {said}" in capsys.readouterr().err
    (begun / "record.json").unlink()
    (begun / "record.json").write_text("damaged")  # a checkpoint knows it too
    assert run_train(*arguments, "resume=auto") == 0
    assert f"{begun}: the code of mine has changed; skipping that run" in caplog.text
    assert len(list(Path("outputs").iterdir())) == 2
    write("mine", MINE)
    assert run_train(*arguments, f"resume={begun}") == 0
