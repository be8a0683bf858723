"""The check command: its verdicts, its records, its options and its exit statuses."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs.contract.suite import CLAIMS
from catsdogs.training.step_cost import StepCost
from tests.support import foreign_optimizers
from tests.support.processes import environment

Run = Callable[..., int]
Output = pytest.CaptureFixture[str]
FOREIGN = f"target={foreign_optimizers.__name__}"
TORCH = "target=torch.optim."


class ForgetfulSGD(torch.optim.SGD):
    """An optimizer that reads its learning rate once, so that schedulers have no effect."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.first_lr = lr

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] = self.first_lr
        super().step(closure)


class OnlyVectors(torch.optim.SGD):
    """Needs `prepare`, named parameters and a closure, and takes nothing but vectors."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=0.01)
        if any("param_names" not in group for group in self.param_groups):
            raise TypeError("give me named parameters")

    def step(self, closure: Any = None) -> Any:
        if closure is None:
            raise TypeError("give me a closure")
        if "ready" not in self.defaults:
            raise TypeError("prepare me")
        if any(param.dim() != 1 for group in self.param_groups for param in group["params"]):
            raise TypeError("give me vectors")
        return super().step(closure)


def prepare(optimizer: OnlyVectors) -> None:
    optimizer.defaults["ready"] = True


@pytest.fixture
def quick_check(run_check: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return `run_check` without the measurements of a step."""
    monkeypatch.setattr("catsdogs.check._measure", lambda *_: StepCost())
    return run_check


def directory() -> Path:
    (found,) = Path("outputs").iterdir()
    return found


def record() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory() / "check.json").read_text())
    assert (directory() / "check.md").read_text().count("\n| ") == len(content["findings"]) + 1
    return content


def verdicts(content: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["verdict"] for finding in content["findings"]}


def test_a_correct_optimizer_passes_beside_its_native_twin_with_status_0(
    run_check: Run, capsys: Output
) -> None:
    assert run_check("optimizer=custom_adam", "reference=native_adam") == 0
    content = record()
    assert content["name"] == "custom_adam"
    assert "fail" not in verdicts(content).values()
    assert verdicts(content)["equals_the_reference_in_float64"] == "pass"
    assert set(content["seconds_per_step"]) == {"custom_adam", "native_adam"}
    out = capsys.readouterr().out
    assert "custom_adam is a drop-in replacement" in out
    assert "16.8 MB" in out  # two averages of 2,103,811 float32 numbers


def test_a_wrong_optimizer_given_by_its_path_fails_by_name_with_status_1(
    run_check: Run, capsys: Output
) -> None:
    target = f"target={__name__}.ForgetfulSGD"
    assert run_check(target, "kwargs.lr=0.05", "reference=torch.optim.SGD") == 1
    content = record()
    assert content["settings"]["kwargs"] == {"lr": 0.05}
    found = verdicts(content)
    assert found["reads_the_group_at_every_step"] == "fail"
    assert found["goes_downhill"] == "pass"
    out = capsys.readouterr().out
    assert "ForgetfulSGD is not a drop-in replacement" in out
    assert f"records: {directory()}" in out.splitlines()[-1]
    failed = [finding for finding in content["findings"] if finding["verdict"] == "fail"]
    assert all(f"FAIL {finding['name']} ({finding['group']}): " in out for finding in failed)


def test_every_job_of_a_sweep_is_checked_and_the_highest_status_counts(
    quick_check: Run, capsys: Output
) -> None:
    own = f"{__name__}.ForgetfulSGD"
    target = f"target={own},torch.nn.ReLU,torch.optim.SGD"
    claims = "only=[goes_downhill,reads_the_group_at_every_step]"
    assert quick_check("-m", target, claims) == 3
    table = capsys.readouterr().out.partition("\nsweep:\n")[2].splitlines()
    assert [row.split()[1:3] for row in table[1:]] == [
        ["1", f"target={own}"],
        ["3", "target=torch.nn.ReLU"],
        ["0", "target=torch.optim.SGD"],
    ]
    assert "ForgetfulSGD is not a drop-in replacement" in table[1]


@pytest.mark.parametrize(
    ("name", "table"),
    [("custom_saga", 63 * 2_103_811 * 4), ("custom_linear_saga", 2000 * 4)],
)
def test_saga_gets_its_step_inputs_and_its_table_has_the_size_of_a_run(
    run_check: Run, name: str, table: int
) -> None:
    assert run_check(f"optimizer={name}") == 0
    content = record()
    assert verdicts(content)["reaches_the_least_squares_solution"] == "pass"
    assert verdicts(content)["resumes_from_a_file"] == "pass"
    assert [part["nbytes"] for part in content["memory"] if part["name"] == "table"] == [table]
    assert min(content["seconds_per_step"][name]) > 0
    for finding in content["findings"]:
        assert finding["verdict"] == "pass" or len(finding["evidence"]) > 10, finding


def test_the_reference_gets_the_settings_of_the_target_in_place_of_those_of_its_file(
    quick_check: Run,
) -> None:
    given = [f"{TORCH}Adam", "kwargs.lr=1e-2", "kwargs.betas=[0.8,0.9]", "reference=native_adam"]
    assert quick_check(*given, "only=[update]") == 0
    (parity,) = (
        finding
        for finding in record()["findings"]
        if finding["name"] == "equals_the_reference_in_float64"
    )
    assert parity["verdict"] == "pass"
    assert "both: lr=0.01, betas=[0.8, 0.9]" in parity["evidence"]


def test_settings_of_the_reference_alone_are_given_and_named(quick_check: Run) -> None:
    given = [f"{TORCH}Adam", "reference=torch.optim.Adam", "reference_kwargs.lr=1e-2"]
    assert quick_check(*given, "only=[update]") == 1
    failed = [finding for finding in record()["findings"] if finding["verdict"] == "fail"]
    assert {finding["name"] for finding in failed} == {
        "equals_the_reference_in_float32",
        "equals_the_reference_in_float64",
    }
    assert "it alone: lr=0.001; the reference alone: lr=0.01" in failed[0]["evidence"]


@pytest.mark.parametrize(
    ("target", "head", "tensors"),
    [("Muon", "linear", "1 of 2 tensors"), ("LBFGS", "conv", ""), ("Adam", "conv", "")],
)
def test_a_step_is_timed_on_the_parameters_that_the_optimizer_takes_as_it_needs_it(
    run_check: Run, capsys: Output, target: str, head: str, tensors: str
) -> None:
    assert run_check(f"{TORCH}{target}", "only=[goes_downhill]") == 0
    content = record()
    assert min(content["seconds_per_step"][target]) > 0
    assert {part["name"] for part in content["memory"]} >= {"parameters", "state"}
    out = capsys.readouterr().out
    assert f"model.head={head}" in out
    assert tensors in out
    assert out.count("are left out: ValueError: Muon only supports 2D") == bool(tensors)


def test_what_cannot_be_timed_is_said_after_the_findings_and_changes_no_status(
    run_check: Run, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catsdogs.check.measure_step", lambda *_: os._exit(5))
    assert run_check(f"{TORCH}SGD", "only=[goes_downhill]") == 0
    content = record()
    assert verdicts(content) == {"goes_downhill": "pass"}
    said = "Neither timed nor measured: a step ended with status 5"
    assert content["notes"] == [said]
    assert content["seconds_per_step"] == {}
    assert said in capsys.readouterr().out


def test_the_findings_are_on_the_disk_before_a_step_is_timed(
    run_check: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        assert verdicts(record()) == {"goes_downhill": "pass"}
        assert (directory() / "junit.xml").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr("catsdogs.check._measure", interrupted)
    assert run_check(f"{TORCH}SGD", "only=[goes_downhill]") == 130


def test_an_optimizer_that_cannot_be_checked_gives_one_line_and_a_status_of_its_own(
    run_check: Run, capfd: Output
) -> None:
    assert run_check(f"{TORCH}SparseAdam") == 3
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: SparseAdam cannot be checked: a step raised Runtime")
    assert captured.err.count("\n") == 1
    assert not Path("outputs").exists()


def test_a_step_that_never_returns_is_cut_off_and_said(run_check: Run, capfd: Output) -> None:
    started = time.monotonic()
    assert run_check(f"{FOREIGN}.Endless", "seconds=1") == 3
    assert time.monotonic() - started < 60
    said = "error: Endless cannot be checked: a trial step did not end within 1 s\n"
    assert capfd.readouterr().err == said


def test_a_crash_fails_its_claim_and_nothing_more_is_measured(
    run_check: Run, capfd: Output
) -> None:
    assert run_check(f"{FOREIGN}.Crashing") == 1
    content = record()
    assert content["stopped"].startswith("stopped in ")
    assert content["findings"][-1]["evidence"] == "was ended by signal 9 (Killed)"
    assert content["notes"] == ["Neither timed nor measured, since the check was stopped."]
    assert content["stopped"] in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "strict", "status"),
    [
        ("Rude", "null", 0),
        ("Rude", "use", 0),
        ("Rude", "manners", 1),
        ("Right", "manners", 0),
        ("Climbing", "null", 1),
        ("Narrow", "null", 0),
        ("Narrow", "use", 1),
    ],
)
def test_the_failing_groups_decide_the_status(
    quick_check: Run, name: str, strict: str, status: int
) -> None:
    few = "only=[goes_downhill,takes_every_shape,manners]"
    assert quick_check(f"{FOREIGN}.{name}", f"strict={strict}", few) == status


def test_a_declared_failure_does_not_count(quick_check: Run, capsys: Output) -> None:
    given = [f"{FOREIGN}.Rude", "strict=manners", "only=[manners]"]
    assert quick_check(*given, "output_dir=first") == 1
    (path,) = Path("first").glob("*/check.json")
    failed = [
        name for name, seen in verdicts(json.loads(path.read_text())).items() if seen == "fail"
    ]
    declared = [f"expected.{name}='we like it'" for name in failed]
    assert quick_check(*given, *declared) == 0
    assert [verdicts(record())[name] for name in failed] == ["expected"] * len(failed)
    assert f"{len(failed)} fail as declared" in capsys.readouterr().out


def test_options_say_how_the_optimizer_is_driven_and_what_is_tried(run_check: Run) -> None:
    status = run_check(
        f"target={__name__}.OnlyVectors",
        f"prepare={__name__}.prepare",
        "build_from=named",
        "closure=true",
        "create_graph=false",
        "shapes=[[7],[2]]",
        "dtypes=[float32]",
        "device=cpu",
        "only=[goes_downhill,state]",
        "skip=[survives_pickle]",
    )
    assert status == 0
    content = record()
    learned = content["subject"]
    assert learned["shapes"] == [[7], [2]]
    assert learned["dtypes"] == ["float32"]
    assert learned["build_from"] == "named"
    assert content["needs"] == "a closure"
    state = {claim.name for claim in CLAIMS if claim.group == "state"}
    assert set(verdicts(content)) == {"goes_downhill", *state} - {"survives_pickle"}
    assert verdicts(content)["resumes_from_a_file"] == "pass"
    assert content["seconds_per_step"]["OnlyVectors"]


def test_a_module_is_checked_class_by_class_with_one_folder_for_all(
    run_check: Run, capfd: Output
) -> None:
    few = "only=[goes_downhill,state,manners]"
    assert run_check(FOREIGN, "seconds=10", "jobs=2", "kwargs.lr=0.01", few) == 1
    out = capfd.readouterr().out
    lines = [line for line in out.splitlines() if line and not line.startswith(" ")]
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    worst_first = "Crashing", "Climbing", "Rude", "Narrow", "Right", "Endless", "NeedsAModel"
    assert list(rows)[1:8] == list(worst_first)
    assert rows["Right"] == [".", ".", ".", "."]
    assert rows["Climbing"] == ["1", ".", ".", ".", "goes_downhill"]
    assert "Endless            cannot be checked: a trial step did not end within 10 s\n" in out
    name = foreign_optimizers.__name__
    said = "3 of 5 optimizers pass the chosen claims of update and state, 2 cannot be checked"
    assert f"{name}: {said}\n" in out
    folder = directory()
    assert folder.name.startswith(f"check-{name}-")
    checked = ["Climbing", "Crashing", "Narrow", "Right", "Rude"]
    assert sorted(path.name for path in folder.iterdir()) == [*checked, "junit.xml", "summary.md"]
    for one in checked:
        content = json.loads((folder / one / "check.json").read_text())
        assert content["name"] == one
        assert content["verdict"] in (folder / one / "check.md").read_text()
    assert (folder / "summary.md").read_text().count("/check.md)") == 5
    suites = ET.fromstring((folder / "junit.xml").read_text())
    assert [suite.get("name") for suite in suites] == [f"{name}.{one}" for one in worst_first]


def test_the_junit_file_of_one_optimizer_has_its_failures(quick_check: Run) -> None:
    quick_check(f"{FOREIGN}.Rude", "only=[manners]")
    (suite,) = ET.fromstring((directory() / "junit.xml").read_text())
    assert suite.get("name") == f"{foreign_optimizers.__name__}.Rude"
    content = record()
    seen = {case.get("name"): [part.tag for part in case] for case in suite}
    tags = {"pass": [], "fail": ["failure"], "not applicable": ["skipped"]}
    assert seen == {name: tags[verdict] for name, verdict in verdicts(content).items()}
    assert ["failure"] in seen.values()


def test_a_module_of_which_nothing_can_be_checked_has_the_status_of_that(
    run_check: Run, capsys: Output
) -> None:
    assert run_check("target=catsdogs.optim.adam", "kwargs.surprise=1") == 3
    assert "none of 2 optimizers can be checked" in capsys.readouterr().out


def test_colours_are_for_a_terminal_and_not_where_they_are_unwanted(
    quick_check: Run, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [f"{FOREIGN}.Rude", "only=[manners]"]
    quick_check(*given)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    quick_check(*given, "output_dir=coloured")
    assert "\n\x1b[31mFAIL\x1b[0m " in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    quick_check(*given, "output_dir=plain")
    assert "\x1b" not in capsys.readouterr().out


def _leads(pid: str) -> bool:
    """Return whether a process has a session of its own, as those of checks have."""
    try:
        return os.getsid(int(pid)) == int(pid)
    except ProcessLookupError:
        return False


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_command_with_its_processes(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "catsdogs.check", f"{FOREIGN}.Endless", "seconds=600"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (started := [child for child in children.read_text().split() if _leads(child)]):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error.strip().endswith("interrupted")
    assert not any(Path(f"/proc/{child}").exists() for child in started)
    assert not (tmp_path / "outputs").exists()
