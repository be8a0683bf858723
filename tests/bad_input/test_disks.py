"""Real disks that are full or read-only give the answers of the simulated ones in the catalogue."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.catalogue import pinned_answer


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a disk, given options; skip where that is not permitted."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_during_a_run_is_named_with_the_file(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another process fills it after the plan was made.
    monkeypatch.setattr("catsdogs.training.memory.require_fit", lambda *_: None)
    full = disk("size=1m")
    assert run_train(*small, f"output_dir={full}") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {full}/custom_adam-seed0-")
    _, _, simulated = pinned_answer("a full disk under the features").partition(": ")
    assert line.endswith(f"/best.pt: {simulated}")
    assert not list(full.rglob("*.pt")), "half a checkpoint"


def test_the_disk_of_the_checkpoints_is_judged_and_named_where_it_is_another_than_the_caches(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = disk("size=1m") / "runs"
    assert run_train(*small, f"output_dir={output}") == 2
    message, *table = capfd.readouterr().err.splitlines()
    assert re.search(
        rf"needs \d\d\.\d MB more on the disk of {output} \(1\.\d MB free\)\.", message
    )
    places = {line[:14].strip(): line[14:].rsplit(maxsplit=2)[0].strip() for line in table}
    assert places["checkpoints"] == places["weights"] == "output disk"
    assert places["feature store"] == "disk"
    assert not output.exists()


@pytest.mark.parametrize("protocol", ["frozen", "monograph"])
def test_a_warm_cache_serves_from_a_read_only_disk(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
) -> None:
    cache = disk("size=50m")
    monkeypatch.setenv("CATSDOGS_CACHE", str(cache))
    arguments = [*small, f"protocol={protocol}", "epochs=1"]
    assert run_train(*arguments) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True)
    assert run_train(*arguments) == 0


def test_a_read_only_disk_is_named_before_anything_is_done(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fixed = disk("ro")
    setting, _, simulated = pinned_answer("a read-only folder").partition(": ")
    assert setting == "output_dir=outputs"
    for setting, arguments in (
        ("output_dir=outputs", small),
        (f"CATSDOGS_CACHE={fixed}/cache/manifests", [*small, f"output_dir={tmp_path}"]),
    ):
        monkeypatch.setenv("CATSDOGS_CACHE", str(fixed / "cache"))
        monkeypatch.chdir(fixed)
        assert run_train(*arguments) == 2
        assert capfd.readouterr().err == f"error: {setting}: {simulated}\n"
        monkeypatch.chdir(tmp_path)
