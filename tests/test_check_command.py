"""The check command: its verdicts on correct and wrong optimizers, and its records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Run = Callable[..., int]


class ForgetfulSGD(torch.optim.SGD):
    """An optimizer that reads its learning rate once, so that schedulers have no effect."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.first_lr = lr

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] = self.first_lr
        super().step(closure)


def record() -> dict[str, Any]:
    (directory,) = Path("outputs").iterdir()
    content: dict[str, Any] = json.loads((directory / "check.json").read_text())
    assert (directory / "check.md").read_text().count("\n| ") == len(content["findings"]) + 1
    return content


def verdicts(content: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["verdict"] for finding in content["findings"]}


def test_a_correct_optimizer_passes_beside_its_native_twin_with_status_0(
    run_check: Run, capsys: pytest.CaptureFixture[str]
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
    run_check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"target={__name__}.ForgetfulSGD"
    assert run_check(target, "kwargs.lr=0.05", "reference=torch.optim.SGD") == 1
    content = record()
    assert content["settings"]["kwargs"] == {"lr": 0.05}
    found = verdicts(content)
    assert found["reads_the_group_at_every_step"] == "fail"
    assert found["goes_downhill"] == "pass"
    assert "ForgetfulSGD is not a drop-in replacement" in capsys.readouterr().out


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
