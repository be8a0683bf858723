"""A run in two processes: equal to one process up to rounding, and resumable."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from catsdogs.compute.distributed import ProcessGroup
from catsdogs.training.heads import ConvHead, LinearHead, SharedHead, logits_of
from tests.support.processes import environment

TOLERANCE = 1e-6


def start(
    cache: Path,
    folder: Path,
    *arguments: str,
    processes: int = 2,
    command: str = "train",
    restarts: int = 0,
) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    by_torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    by_torchrun.append(f"--max-restarts={restarts}")
    return subprocess.Popen(
        [
            sys.executable,
            *by_torchrun * (processes > 1),
            "-m",
            f"catsdogs.{command}",
            *arguments,
        ],
        cwd=folder,
        env=environment(CATSDOGS_CACHE=str(cache), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def numbers(file: Path, column: str) -> list[float]:
    with file.open() as lines:
        return [float(row[column]) for row in csv.DictReader(lines)]


def only_run(folder: Path) -> Path:
    (directory,) = (folder / "outputs").iterdir()
    return directory


def same_to_rounding(one: Path, other: Path) -> bool:
    for name, column in (("steps.csv", "cost"), ("predictions.csv", "logit")):
        pair = numbers(one / name, column), numbers(other / name, column)
        if len(pair[0]) != len(pair[1]) or pair[0] != pytest.approx(
            pair[1], rel=TOLERANCE, abs=TOLERANCE
        ):
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["native_sgd", "custom_momentum"])
def test_a_run_in_two_processes_equals_that_in_one_up_to_rounding(
    tmp_path: Path, cache: Path, small: list[str], optimizer: str
) -> None:
    arguments = [*small, f"optimizer={optimizer}", "epochs=2"]
    status, out, err = finish(start(cache, tmp_path / "two", *arguments))
    assert status == 0, err
    assert out.count("in 2 processes") == 1
    status, _, err = finish(start(cache, tmp_path / "one", *arguments, processes=1))
    assert status == 0, err
    together = only_run(tmp_path / "two")
    assert len(list(together.glob("*tfevents*"))) == 1
    assert json.loads((together / "record.json").read_text())["processes"] == 2
    assert same_to_rounding(together, only_run(tmp_path / "one"))


@pytest.mark.slow
def test_an_interrupted_run_in_two_processes_can_be_resumed(
    tmp_path: Path, cache: Path, small: list[str]
) -> None:
    arguments = [*small, "optimizer=custom_momentum", "epochs=40", "resume=auto"]
    process = start(cache, tmp_path, *arguments)
    while process.poll() is None and not list(tmp_path.glob("outputs/*/last.pt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status != 0
    assert err.count("interrupted; saved after iteration") == err.count("interrupted") == 1
    assert err.count("stopping after the current step") == 1
    stopped = only_run(tmp_path)
    assert "finished" not in json.loads((stopped / "record.json").read_text())
    status, out, err = finish(start(cache, tmp_path, *arguments))
    assert status == 0, err
    assert f"resuming outputs/{stopped.name} after iteration" in out
    status, _, err = finish(start(cache, tmp_path / "whole", *arguments))
    assert status == 0, err
    for name in ("steps.csv", "predictions.csv"):
        assert (stopped / name).read_bytes() == (only_run(tmp_path / "whole") / name).read_bytes()
    shutil.rmtree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            "train",
            ["optimizer=custom_linear_saga", "model.head=linear"],
            "torchrun: custom_linear_saga needs all images of a batch in one process",
        ),
        ("compare", [], "torchrun: compare is one process"),
    ],
)
def test_a_command_that_needs_one_process_says_so_in_one_line(
    tmp_path: Path,
    cache: Path,
    small: list[str],
    command: str,
    arguments: list[str],
    message: str,
) -> None:
    process = start(cache, tmp_path / "here", *small, *arguments, command=command)
    status, _, err = finish(process)
    assert status != 0
    ours = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(ours) == 1
    assert message in ours[0]
    assert not (tmp_path / "here" / "outputs").exists()


MINE = """
import os
import signal

import torch


class Mine(torch.optim.SGD):
    def step(self, closure=None):
        parameter = self.param_groups[0]["params"][0]
        if isinstance(parameter, torch.nn.Parameter) and os.path.exists("outputs"):  # training
            self.bad("/".join(os.environ.get(name, "") for name in NAMES))
        return super().step(closure)

    def bad(self, now):
        BAD


NAMES = ("RANK", "TORCHELASTIC_RESTART_COUNT")
"""


def mine(folder: Path, bad: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MINE.replace("BAD", bad))
    return ["optimizer=native_sgd", "optimizer._target_=mine.Mine", "model.head=linear", "epochs=3"]


@pytest.mark.slow
def test_a_run_whose_process_is_killed_is_restarted_and_ends_as_without_that(
    tmp_path: Path, cache: Path, small: list[str]
) -> None:
    bad = "if now == '1/0': os.kill(os.getpid(), signal.SIGKILL)"
    killed = [*small, *mine(tmp_path / "killed", bad), "resume=auto"]
    status, out, err = finish(start(cache, tmp_path / "killed", *killed, restarts=1))
    assert status == 0, err
    assert "unexpected" not in err
    assert out.count("resuming outputs/") == 1
    whole = [*small, *mine(tmp_path / "whole", "pass")]
    status, _, err = finish(start(cache, tmp_path / "whole", *whole))
    assert status == 0, err
    for name in ("steps.csv", "predictions.csv"):
        pair = [(only_run(tmp_path / folder) / name) for folder in ("killed", "whole")]
        assert pair[0].read_bytes() == pair[1].read_bytes()


@pytest.mark.slow
def test_the_error_of_one_process_is_said_once_and_not_that_of_the_others(
    tmp_path: Path, cache: Path, small: list[str]
) -> None:
    bad = "if now == '1/0': raise RuntimeError('only here')"
    status, _, err = finish(start(cache, tmp_path, *small, *mine(tmp_path, bad)))
    assert status != 0
    ours = [line for line in err.splitlines() if "error: " in line and "mine" in line]
    assert len(ours) == 1
    assert "optimizer: mine.Mine failed in its step: RuntimeError: only here (mine.py" in ours[0]
    assert "another process" not in err
    assert "unexpected" not in err


class Turns(ProcessGroup):
    """Adds a tensor that another process gave earlier."""

    given: torch.Tensor

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.add_(self.given)


class Listening(ProcessGroup):
    """Keeps the tensors that this process gives."""

    heard: list[torch.Tensor]

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        self.heard.append(tensor.clone())
        return tensor


@pytest.mark.parametrize("kind", [ConvHead, LinearHead])
def test_the_gradients_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(
    kind: type[ConvHead] | type[LinearHead],
) -> None:
    torch.manual_seed(0)
    head = kind().double()
    features = torch.randn(5, 512, 8, 8, dtype=torch.float64)
    logits_of(features, *head.compose()).square().sum().backward()
    expected = [parameter.grad for parameter in head.parameters()]
    listening, turns = Listening(1, 2), Turns(0, 2)
    object.__setattr__(listening, "heard", [])
    head.zero_grad()
    SharedHead(head, listening)(features[3:]).square().sum().backward()
    (theirs,) = listening.heard
    object.__setattr__(turns, "given", theirs)
    head.zero_grad()
    SharedHead(head, turns)(features[:3]).square().sum().backward()
    for parameter, gradient in zip(head.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)
