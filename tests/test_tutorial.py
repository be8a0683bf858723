"""The tutorial's commands, typed as they stand there, leave the files that it names."""

import importlib
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.deaths import signal_in_step
from tests.support.images import write_image

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
PER_CLASS = 40 + 10 + 10


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Return module and arguments of every command of ours, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page, re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    typed = [shlex.split(line) for line in lines if line.startswith("python -m catsdogs.")]
    return [(words[2], words[3:]) for words in typed]


def the_only_run() -> Path:
    """Return what the page calls outputs/first/RUN; a second run there would be an error."""
    (directory,) = Path("outputs/first").iterdir()
    return directory


def with_the_run(written: str) -> str:
    """Put the run's name for RUN, as the page asks of the reader."""
    return re.sub("outputs/first/RUN", lambda _: str(the_only_run()), written)


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs_as_written_and_leaves_the_files_it_names(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("cats", "dogs")):
        for number in range(PER_CLASS):
            write_image(Path("my_pictures", name, f"{number}.png"), 1000 * seed + number)
    for number in range(3):
        write_image(Path("new_pictures", f"{number}.jpg"), 2000 + number)
    page = PAGE.read_text()
    typed = commands(page)
    assert [module.removeprefix("catsdogs.") for module, _ in typed] == [
        *("train", "train", "compare", "report", "predict", "export")
    ]
    for module, written in typed:
        main = importlib.import_module(module).main
        if "resume=auto" in written:  # as if the first command had been cut off
            uninterrupted = (the_only_run() / "predictions.csv").read_bytes()
            shutil.rmtree(the_only_run())
            with monkeypatch.context() as patch:
                signal_in_step(patch, 5, signal.SIGINT)
                assert run(main, *(word for word in written if word != "resume=auto")) == 130
        arguments = [with_the_run(word) for word in written]
        assert run(main, *arguments) == 0, (module, capsys.readouterr().err)
        if "resume=auto" in written:
            assert (the_only_run() / "predictions.csv").read_bytes() == uninterrupted
    named = re.findall(r"`((?:outputs/|report/|classifier\.)[^\s`]+\.\w+)`", page)
    assert len(named) == 13
    for name in named:
        assert Path(with_the_run(name)).is_file(), name
