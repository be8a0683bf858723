"""The benchmark of optimizers: its numbers, and the circumstances on the saved page."""

import re
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from catsdogs.contract.timing import Timing
from scripts.bench import optimizers as bench_optimizers
from scripts.bench.optimizers import Duel, against, table
from scripts.bench.page import circumstances


def test_a_row_has_milliseconds_quartiles_and_both_ratios() -> None:
    custom = Timing((0.001, 0.002, 0.003, 0.004, 0.005))
    rows = table(
        {"native": Duel(Timing((0.004,) * 5), 1.0), "custom": Duel(custom, 0.75)},
        {"native": Duel(custom, 4.0), "custom": Duel(custom, 3.0)},
    )
    assert rows.splitlines()[2:] == [
        "| native | 4.000 (4.000 to 4.000) | 1.00 | 4.00 |",
        "| custom | 3.000 (1.500 to 4.500) | 0.75 | 3.00 |",
    ]


def test_each_variant_is_timed_alone_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[list[partial[object]]] = []

    def time_steps(factories: dict[str, partial[object]], **_: object) -> dict[str, Timing]:
        runs.append(list(factories.values()))
        return dict(zip(factories, (Timing((0.006,) * 3), Timing((0.002,) * 3)), strict=True))

    monkeypatch.setattr(bench_optimizers, "time_steps", time_steps)
    native, custom = partial(torch.optim.SGD), partial(torch.optim.SGD)
    duels = against({"native": native, "custom": custom}, "native", shapes=[(1,)])
    assert runs == [[native, native], [custom, native]]
    assert duels["custom"].timing.seconds == (0.006,) * 3
    assert duels["custom"].ratio == pytest.approx(3.0)


def test_the_saved_page_has_every_table_and_the_circumstances(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def two_variants(
        native: partial[object], custom: partial[object]
    ) -> dict[str, partial[object]]:
        return {
            "native default": native,
            "native fused": partial(native, fused=True),
            "custom": custom,
        }

    threads = torch.get_num_threads()
    saved = tmp_path / "new" / "page.md"
    words = ["optimizers.py", "--set", "head", "--builds", "1", "--repeats", "2"]
    monkeypatch.setattr(
        sys, "argv", [*words, "--device", "cpu", "--threads", "1", "--save", str(saved)]
    )
    monkeypatch.setattr(bench_optimizers, "contenders", two_variants)
    monkeypatch.setitem(bench_optimizers.SETS, "head", [(3, 4), (5,)])
    try:
        bench_optimizers.main()
    finally:
        torch.set_num_threads(threads)
    page = saved.read_text()
    assert page.rstrip() in capsys.readouterr().out
    command = f"python -m scripts.bench.optimizers {' '.join(words[1:])}"
    assert f"- command: `{command} --device cpu --threads 1 --save {saved}`\n" in page
    assert "- device: cpu\n- CPU threads: 1\n" in page
    assert f"torch {torch.__version__.partition('+')[0]}" in page
    assert re.search(r"- hardware: system .*, cores \d+, memory [\d.]+ [GT]B\n", page)
    for rule in ("sgd", "adam"):
        title = f"## {rule}, head: 17 parameters, 1 builds of 2 repeats"
        assert re.search(rf"{title}\n\n(\|.*\n){{5}}", page)
    assert len(re.findall(r"^\| custom \| \d", page, re.M)) == 2


def test_a_variant_that_fails_leaves_the_tables_before_it_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duel = Duel(Timing((0.004,) * 5), 1.0)
    answers = iter([{"native": duel}] * 2)

    def against(*_: object, **__: object) -> dict[str, Duel]:
        if (answer := next(answers, None)) is None:
            raise RuntimeError("invalid argument")
        return answer

    monkeypatch.setattr(bench_optimizers, "against", against)
    saved = tmp_path / "page.md"
    with pytest.raises(RuntimeError, match="invalid argument"):
        bench_optimizers.bench(["head"], device="cpu", builds=1, repeats=2, save=saved)
    assert re.findall(r"^## (\w+), head", saved.read_text(), re.M) == ["sgd"]
    assert "| native | 4.000 (4.000 to 4.000) | 1.00 | 1.00 |" in saved.read_text()


def test_the_page_names_the_gpu_and_counts_the_threads_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NVIDIA H200")
    lines = circumstances("python -m scripts.bench.optimizers", "cuda", 16).splitlines()
    assert lines[2:4] == ["- device: cuda (NVIDIA H200)", "- CPU threads: 16"]


def test_one_measurement_is_refused_because_it_has_no_quartiles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["optimizers.py", "--builds", "1", "--repeats", "1"])
    with pytest.raises(SystemExit) as stopped:
        bench_optimizers.main()
    assert stopped.value.code == 2
    assert "quartiles need two values" in capsys.readouterr().err
