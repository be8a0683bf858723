"""The Python functions do what the commands do, and leave torch as they found it."""

import importlib
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import catsdogs
from catsdogs.errors import UserError
from tests.support.images import PER_CLASS

SMALL = {"data.workers": 0, "batch_size": 4, "device": "cpu", "model.head": "linear"} | {
    f"data.{split}_per_class": count for split, count in PER_CLASS.items()
}


class SignSGD(torch.optim.SGD):
    """Steps of one length, whatever the gradient."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad.sign_()
        super().step(closure)


class NeedsMuch(torch.optim.SGD):
    """Takes hyperparameters that a reference lacks, one of them with the name of an option."""

    def __init__(
        self, params: Any, lr: float = 0.01, beside: int = 0, seconds: float = 1.0
    ) -> None:
        super().__init__(params, lr=lr)


@pytest.fixture
def compare(
    images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., catsdogs.OptimizerComparison]:
    """Return `compare_optimizers` on the small folder, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(optimizers: dict[str, Any], **arguments: Any) -> catsdogs.OptimizerComparison:
        given: dict[str, Any] = {
            "lr": 1e-3,
            "seeds": [0],
            "epochs": 1,
            "data": images,
            "settings": SMALL,
        }
        return catsdogs.compare_optimizers(optimizers, **given | arguments)

    return run


def test_importing_the_package_imports_no_torch_until_an_attribute_is_used() -> None:
    code = """
import sys, catsdogs
assert not {"torch", "hydra", "numpy"} & set(sys.modules)
assert set(catsdogs.__all__) == set(dir(catsdogs))
for name in catsdogs.__all__:
    assert getattr(catsdogs, name), name
assert "torch" in sys.modules
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_an_attribute_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'catsdogs' has no attribute 'chekc'"):
        _ = catsdogs.chekc  # type: ignore[attr-defined]


def test_a_right_optimizer_passes_the_check_and_prints_as_a_table() -> None:
    result = catsdogs.check_optimizer(catsdogs.optim.Adam, reference=torch.optim.Adam, lr=1e-2)
    assert result.passed
    assert not result.failures
    assert result.name == "Adam"
    assert str(result).endswith(result.verdict)
    assert result.verdict.startswith("Adam is a drop-in replacement: ")
    by_name = {finding.name: finding for finding in result.findings}
    assert by_name["equals_the_reference_in_float64"].verdict == "pass"


def test_a_wrong_optimizer_fails_the_check_by_name() -> None:
    result = catsdogs.check_optimizer(partial(SignSGD, lr=0.1), name="sign")
    assert not result.passed
    assert "leaves_gradients_alone" in {finding.name for finding in result.failures}
    assert result.verdict.startswith("sign is not a drop-in replacement: ")


def test_an_optimizer_with_a_table_is_checked_with_blocks() -> None:
    assert catsdogs.check_optimizer(catsdogs.optim.SAGA, lr=1e-2).passed


def test_what_cannot_be_driven_is_refused_with_an_exception_of_its_own() -> None:
    with pytest.raises(catsdogs.CannotBeChecked, match="Invalid lr: -1"):
        catsdogs.check_optimizer(catsdogs.optim.SGD, lr=-1)
    assert issubclass(catsdogs.CannotBeChecked, ValueError)


def test_the_options_of_the_check_reach_the_contract() -> None:
    prepared: list[object] = []
    result = catsdogs.check_optimizer(
        NeedsMuch,
        only=["goes_downhill", "steps_or_refuses_complex_parameters", "manners"],
        skip=["prints_its_groups"],
        expected={"goes_downhill": "a guess"},
        shapes=[(7,), (2,)],
        dtypes=[torch.float32],
        device="cpu",
        closure=True,
        create_graph=False,
        build_from="named",
        prepare=prepared.append,
        seconds=60,
    )
    assert result.subject.shapes == ((7,), (2,))
    assert result.subject.dtypes == (torch.float32,)
    assert result.subject.needs == "a closure"
    names = {finding.name for finding in result}
    assert "goes_downhill" in names and "prints_its_groups" not in names
    assert "resumes_from_a_file" not in names
    (unexpected,) = result.failures
    assert "declared to fail (a guess)" in unexpected.evidence
    assert prepared and all(isinstance(one, NeedsMuch) for one in prepared)


def test_a_hyperparameter_with_the_name_of_an_argument_is_given_in_a_partial() -> None:
    result = catsdogs.check_optimizer(partial(NeedsMuch, seconds=3.0), only=["goes_downhill"])
    assert result.subject.settings["seconds"] == 3.0
    assert result.name == "NeedsMuch"


def test_the_reference_gets_the_hyperparameters_and_others_do_not_disturb_it() -> None:
    result = catsdogs.check_optimizer(
        NeedsMuch, reference=torch.optim.SGD, lr=0.02, beside=1, only=["update"]
    )
    assert result.passed, str(result)
    differing = catsdogs.check_optimizer(
        NeedsMuch, reference=torch.optim.SGD, reference_kwargs={"lr": 0.03}, only=["update"]
    )
    evidence = {finding.name: finding.evidence for finding in differing.failures}
    assert "the reference alone: lr=0.03" in evidence["equals_the_reference_in_float64"]


def test_equal_optimizers_are_identical_and_another_is_not(
    compare: Callable[..., catsdogs.OptimizerComparison], tmp_path: Path
) -> None:
    contenders = {"adam": torch.optim.Adam, "mine": catsdogs.optim.Adam, "sign": SignSGD}
    comparison = compare(contenders, lr={"adam": 1e-3, "mine": 1e-3, "sign": 1e-4}, seeds=[0, 1])
    assert [row["optimizer"] for row in comparison.results] == ["adam"] * 2 + ["mine"] * 2 + [
        "sign"
    ] * 2
    rows = {(row["optimizer"], row["seed"]): row for row in comparison.results}
    assert rows["sign", 1]["learning_rate"] == 1e-4
    for seed in (0, 1):
        assert rows["adam", seed]["last_train_cost"] == rows["mine", seed]["last_train_cost"]
        assert rows["adam", seed]["last_train_cost"] != rows["sign", seed]["last_train_cost"]
        assert math.isfinite(rows["sign", seed]["last_train_cost"])
    mine, sign = comparison.verdicts
    assert mine.startswith("mine and adam are identical bit for bit")
    assert "sign" in sign and "identical" not in sign
    assert str(comparison) == f"{mine}\n{sign}"
    assert comparison.to_pandas().equals(pd.DataFrame(comparison.results))
    page = comparison.report(tmp_path / "page")
    assert page == tmp_path / "page" / "index.html"
    assert "mine and adam are identical bit for bit" in page.read_text()


def test_it_gives_the_numbers_of_the_command(
    compare: Callable[..., catsdogs.OptimizerComparison],
    run_compare: Callable[..., int],
    small: list[str],
) -> None:
    called = compare({"native_adam": torch.optim.Adam, "custom_adam": catsdogs.optim.Adam})
    typed = ["contenders=[native_adam,custom_adam]", "seeds=[0]", "epochs=1", "device=cpu"]
    assert run_compare(*typed, *small, "model.head=linear", "output_dir=outputs/typed") == 0
    by_command = catsdogs.OptimizerComparison(Path("outputs/typed"))
    timed = {"directory", "training_seconds"}
    for ours, theirs in zip(called.results, by_command.results, strict=True):
        assert {k: v for k, v in ours.items() if k not in timed} == {
            k: v for k, v in theirs.items() if k not in timed
        }
    assert called.verdicts == by_command.verdicts


def test_finished_runs_are_kept_and_an_edited_class_is_trained_anew(
    compare: Callable[..., catsdogs.OptimizerComparison],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def started() -> set[Path]:
        return {path.parent for path in Path("outputs").glob("comparison/*/record.json")}

    def written(text: str) -> type[torch.optim.SGD]:
        (tmp_path / "edited_class.py").write_text(f"import torch\n\n{text}\n")
        sys.modules.pop("edited_class", None)
        importlib.invalidate_caches()
        found: type[torch.optim.SGD] = importlib.import_module("edited_class").Edited
        return found

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    compare({"mine": written("class Edited(torch.optim.SGD): rate = 1")})
    before = {path: (path / "record.json").read_bytes() for path in started()}
    compare({"mine": written("class Edited(torch.optim.SGD): rate = 1")})
    assert {path: (path / "record.json").read_bytes() for path in started()} == before
    assert "changed" not in capsys.readouterr().out
    compare({"mine": written("class Edited(torch.optim.SGD): rate = 2")})
    assert len(started()) == 2
    assert "mine: the code of edited_class has changed since mine-seed0-" in capsys.readouterr().out


def test_a_scheduler_moves_the_learning_rate(
    compare: Callable[..., catsdogs.OptimizerComparison],
) -> None:
    halve = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    comparison = compare({"sgd": torch.optim.SGD}, epochs=2, scheduler=halve)
    (row,) = comparison.results
    epochs = (comparison.directory / row["directory"] / "epochs.csv").read_text().splitlines()
    column = epochs[0].split(",").index("learning_rate")
    assert [float(line.split(",")[column]) for line in epochs[1:]] == [1e-3, 1e-3, 5e-4]


def test_a_grid_gives_every_contender_the_same_learning_rates(
    compare: Callable[..., catsdogs.OptimizerComparison],
) -> None:
    comparison = compare(
        {"a": torch.optim.SGD, "b": catsdogs.optim.SGD}, learning_rates=[1e-3, 1e-2]
    )
    rates = [(row["optimizer"], row["learning_rate"]) for row in comparison.results]
    assert rates == [("a", 1e-3), ("a", 1e-2), ("b", 1e-3), ("b", 1e-2)]


class Stubborn(torch.optim.SGD):
    """Raises in its first step."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise RuntimeError("out of ideas")


def test_a_run_that_fails_is_a_row_with_its_reason_and_a_warning(
    compare: Callable[..., catsdogs.OptimizerComparison],
) -> None:
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        comparison = compare({"sgd": torch.optim.SGD, "stubborn": Stubborn})
    assert [row["status"] for row in comparison.results] == ["finished", "failed"]
    assert "out of ideas" in comparison.results[1]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizers": {}}, "no contender given"),
        ({"optimizers": {"a/b": torch.optim.SGD}}, "'a/b' names a folder"),
        ({"epochs": -1}, "epochs"),
        ({"settings": {"model.hed": "linear"}}, "model.hed"),
        ({"lr": -1.0}, "Invalid learning rate: -1.0"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_first_run(
    compare: Callable[..., catsdogs.OptimizerComparison],
    arguments: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError) as refusal:
        compare(**{"optimizers": {"sgd": torch.optim.SGD}, **arguments})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not Path("outputs").exists()


def test_the_process_keeps_its_random_state_and_settings_of_torch(
    compare: Callable[..., catsdogs.OptimizerComparison],
) -> None:
    before = torch.get_rng_state()
    assert not torch.are_deterministic_algorithms_enabled()
    compare({"sgd": torch.optim.SGD})
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()
