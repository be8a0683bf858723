"""The benchmark of scale: the memory of a run is that of all its processes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench import scale as bench_scale

HOLD = "import time; block = bytearray(b'x') * (64 << 20); {more}; time.sleep(1)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD.format(more=0)!r}])"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux has smaps_rollup"
)


def peak(code: str) -> int:
    return bench_scale.peak_memory(subprocess.Popen([sys.executable, "-c", code]))


def test_the_peak_is_that_of_a_process_and_its_descendants() -> None:
    one, two = peak(HOLD.format(more=0)), peak(HOLD.format(more=CHILD))
    assert 64 << 20 < one < 96 << 20
    assert 2 * (64 << 20) < two < 2 * (96 << 20)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_run_that_fails_leaves_the_rows_before_it_and_a_gpu_page_says_which_memory_it_shows(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_run(images: int, *_: object) -> bench_scale.Cost:
        if images > 100:
            raise RuntimeError("a run over 200 images ended with status 1")
        return bench_scale.Cost(3_000_000, 5.0, 1.0)

    monkeypatch.setattr(bench_scale, "measure_baseline", lambda: 1_000_000)
    monkeypatch.setattr(bench_scale, "measure_run", measure_run)
    monkeypatch.setattr(bench_scale, "circumstances", lambda *_: "- device")
    saved = tmp_path / "scale.md"
    with pytest.raises(RuntimeError, match="over 200 images"):
        bench_scale.bench([100, 200], 2, 1, device, saved)
    assert "| 100 | 2.0 MB | 5 | 50.0 | 1.0 |" in saved.read_text()
    assert ("memory of the GPU is not measured" in saved.read_text()) == (device == "cuda")


@pytest.mark.slow
def test_a_cold_run_is_measured_from_start_to_end(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "scale.md"
    words = ["--pictures", "20", "--epochs", "1", "--threads", "1", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["scale.py", *words, "--save", str(saved)])
    bench_scale.main()
    (row,) = re.findall(r"^\| 20 \| .*$", saved.read_text(), re.MULTILINE)
    peak, seconds, by_thousand, training = row.strip("| ").split(" | ")[1:]
    assert peak.endswith(("MB", "GB"))
    assert float(by_thousand) == pytest.approx(50 * float(seconds), rel=0.2)
    assert 0 <= float(training) < float(seconds)
    assert {path.name for path in cache.iterdir()} == {"drawn"}
