"""The two optimizers of docs/add-your-own-optimizer.md: the whole class, and the loop inherited."""

import copy
import importlib
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs.contract import check
from catsdogs.contract.subject import Factory

PAGE = Path(__file__).parents[2] / "docs" / "add-your-own-optimizer.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return str(found)


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Factory]:
    """Return the page's classes, imported from files as the page says."""
    (tmp_path / "my_adagrad.py").write_text(block("python"))
    (tmp_path / "short_adagrad.py").write_text(block("py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("my_adagrad", "short_adagrad"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return {
        "long": importlib.import_module("my_adagrad").Adagrad,
        "short": importlib.import_module("short_adagrad").ShortAdagrad,
    }


@pytest.mark.parametrize("which", ["long", "short"])
def test_an_optimizer_of_the_page_keeps_the_contract_and_equals_torch_bit_for_bit(
    which: str, classes: dict[str, Factory]
) -> None:
    reference = partial(torch.optim.Adagrad, lr=1e-2, foreach=False)
    findings = check(partial(classes[which], lr=1e-2), reference=reference)
    assert [str(finding) for finding in findings if finding.verdict == "fail"] == []
    parity = [f.evidence for f in findings if f.name.startswith("equals_the_reference")]
    assert len(parity) == 2
    assert all(evidence.startswith("bit for bit") for evidence in parity)


@pytest.mark.parametrize("which", ["long", "short"])
def test_a_step_of_the_page_that_is_refused_changes_nothing(
    which: str, classes: dict[str, Factory]
) -> None:
    params: list[Any] = [torch.ones(2, requires_grad=True) for _ in range(2)]
    optimizer = classes[which](params)
    params[0].grad, params[1].grad = torch.ones(2), torch.ones(2).to_sparse()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(RuntimeError, match="dense"):
        optimizer.step()
    assert torch.equal(params[0], torch.ones(2))
    assert optimizer.state_dict() == before
