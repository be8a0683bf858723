"""A user's own class that fails: one sentence with the class, the file and the line."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from catsdogs.io.failure import described
from catsdogs.runs.writer import recorded_facts
from catsdogs.training.blame import blaming

HEAD = "import torch\n\n\nclass Mine(torch.optim.SGD):\n"
INIT = "    def __init__(self, params, lr=0.1):\n"
STEP = "    def step(self, closure=None):\n"
PLAIN = f"{INIT}        super().__init__(params, lr=lr)\n\n"
LEAF = f"""{STEP}        for group in self.param_groups:
            for weight in group["params"]:
                weight += 1
"""
NO_RATE = f"{INIT}        torch.optim.Optimizer.__init__(self, params, dict(eta=lr))\n"
NO_RATE += f"\n{STEP}        pass\n"


@pytest.fixture
def train(
    run_train: Callable[..., int],
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Return a function that trains with a class in `mine.py`, and returns status and error."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def do(text: str, *arguments: str) -> tuple[int, str]:
        (tmp_path / "mine.py").write_text(text)
        chosen = ["optimizer=native_sgd", "optimizer._target_=mine.Mine", "model.head=linear"]
        status = run_train(*small, *chosen, "epochs=2", *arguments)
        sys.modules.pop("mine", None)
        lines = re.findall("error: .*", capfd.readouterr().err)
        return status, "\n".join(lines)

    return do


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            PLAIN + LEAF,
            "optimizer: mine.Mine failed in its step: RuntimeError: a leaf Variable that requires "
            "grad is being used in an in-place operation. (mine.py, line 11); correct the class",
        ),
        (
            f"{PLAIN}{STEP}        assert closure is not None\n",
            "optimizer: mine.Mine failed in its step: AssertionError (mine.py, line 9); correct",
        ),
        (
            f"{INIT}        raise RuntimeError('no')\n",
            "optimizer: mine.Mine cannot be built: RuntimeError: no (mine.py, line 6)",
        ),
        (
            f"{INIT}        raise KeyError('beta')\n",
            "optimizer: mine.Mine cannot be built: KeyError: 'beta' (mine.py, line 6)",
        ),
        (
            f"{INIT}        raise ValueError('lr is odd')\n",
            "optimizer: settings refused by mine.Mine: lr is odd (mine.py, line 6)",
        ),
        (
            f"{PLAIN}    def step(self, closure):\n        pass\n",
            "optimizer: each step of Mine needs closure, which training does not give; use an",
        ),
        (NO_RATE, "optimizer.lr=None: Mine has no learning rate in its param_groups, which every"),
        (
            f"{INIT}        super().__init__(params, lr=0.1)\n        self.param_groups[0]['lr'] = "
            "None\n",
            "optimizer.lr=None: Mine has no learning rate in its param_groups",
        ),
        (
            f"{PLAIN}    def state_dict(self):\n        return self.nothing\n",
            "optimizer: mine.Mine failed in its state_dict: AttributeError: 'Mine' object has no "
            "attribute 'nothing' (mine.py, line 9); correct the class",
        ),
        (
            "    def (self):\n",
            "optimizer._target_=mine.Mine: cannot be used (SyntaxError: invalid syntax (mine.py, "
            "line 5))",
        ),
        (
            "    import nowhere\n",
            "optimizer._target_=mine.Mine: cannot be used (ModuleNotFoundError: No module named "
            "'nowhere' (mine.py, line 5))",
        ),
        (
            "    one = 1 / 0\n",
            "optimizer._target_=mine.Mine: cannot be used (ZeroDivisionError: division by zero "
            "(mine.py, line 5))",
        ),
    ],
)
def test_a_class_that_fails_is_named_with_its_file_and_line(
    train: Callable[..., tuple[int, str]], body: str, said: str
) -> None:
    status, error = train(HEAD + body)
    assert status == 2
    assert error.startswith(f"error: {said}")
    assert "unexpected" not in error
    assert "\n" not in error
    assert not Path("outputs").exists()


def test_a_run_whose_class_failed_resumes_after_that(
    train: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    bad = "isinstance(self.param_groups[0]['params'][0], torch.nn.Parameter)"  # not in the plan
    bad += " and __import__('os').path.exists('bad')"
    body = f"{PLAIN}{STEP}        if {bad}: raise OverflowError\n"
    body += "        return super().step(closure)\n"
    Path("bad").touch()
    status, error = train(HEAD + body)
    assert (status, "OverflowError (mine.py, line 9)" in error) == (2, True)
    (run,) = Path("outputs").iterdir()
    assert recorded_facts(run)["status"] == "failed"
    assert recorded_facts(run)["error"] in error
    Path("bad").unlink()
    assert train(HEAD + body, "resume=auto") == (0, "")
    assert recorded_facts(run)["status"] == "finished"
    assert "error" not in recorded_facts(run)


def test_a_scheduler_that_fails_is_named(train: Callable[..., tuple[int, str]]) -> None:
    scheduler = "class Odd:\n    def __init__(self, optimizer): pass\n"
    scheduler += "    def state_dict(self): return {}\n    def step(self): raise KeyError('odd')\n"
    arguments = ["+scheduler._partial_=true", "scheduler._target_=mine.Odd"]
    status, error = train(f"{HEAD}    pass\n\n{scheduler}", *arguments)
    assert status == 2
    assert "scheduler: mine.Odd failed in its step: KeyError: 'odd' (mine.py, line 10)" in error


@pytest.mark.parametrize(("lr", "count"), [("0.1", 1), ("0.0", 0)])
def test_weights_that_do_not_move_over_an_epoch_are_said_once(
    train: Callable[..., tuple[int, str]],
    caplog: pytest.LogCaptureFixture,
    lr: str,
    count: int,
) -> None:
    assert train(f"{HEAD}{STEP}        pass\n", f"optimizer.lr={lr}") == (0, "")
    said = "Mine: no weight changed in epoch 1; check its step"
    assert [record.getMessage() for record in caplog.records].count(said) == count
    caplog.clear()
    assert train(f"{HEAD}    pass\n") == (0, "")
    assert "no weight" not in caplog.text


def test_neither_a_bug_of_this_project_nor_a_lack_of_memory_is_blamed_on_the_class() -> None:
    import catsdogs

    weight = [torch.zeros(1, requires_grad=True)]
    ours, theirs = catsdogs.optim.SGD(weight, lr=0.1), torch.optim.SGD(weight)
    for whose, error in (
        (ours, RuntimeError("a bug")),
        (theirs, MemoryError()),
        (theirs, torch.OutOfMemoryError("CUDA out of memory")),
        (theirs, RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you")),
        (theirs, OSError(28, "No space left on device")),
    ):
        with pytest.raises(type(error)) as raised, blaming("optimizer", whose, "step"):
            raise error
        assert raised.value is error


def test_a_class_that_leaves_torch_for_numpy_is_trained(
    train: Callable[..., tuple[int, str]],
) -> None:
    body = f"{STEP}        self.param_groups[0]['params'][0].detach().numpy()[:] -= 0.1\n"
    assert train(HEAD + body) == (0, "")


def test_an_exception_without_a_place_has_none() -> None:
    assert described(ValueError("a\nb")) == "ValueError: a b"
    assert described(ValueError()) == "ValueError"
