"""Time limits for Python code, one inside another."""

import signal
import time
from collections.abc import Callable

import pytest

from catsdogs.contract.deadline import WAIT, OutOfTime, deadline

TIMERS = signal.ITIMER_PROF, signal.ITIMER_REAL


def compute(seconds: float = 1e9) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def wait(seconds: float = 1e9) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def left() -> tuple[float, ...]:
    return tuple(signal.getitimer(timer)[0] for timer in TIMERS)


def test_code_that_computes_is_interrupted_after_its_time_and_no_timer_is_left() -> None:
    started = time.process_time()
    with pytest.raises(OutOfTime), deadline(0.1):
        compute()
    assert 0.05 <= time.process_time() - started < 5
    assert left() == (0, 0)


def test_code_that_waits_is_interrupted_after_a_multiple_of_its_time() -> None:
    started = time.monotonic()
    with pytest.raises(OutOfTime), deadline(0.1):
        wait()
    assert time.monotonic() - started >= 0.1 * WAIT


def test_code_that_ends_in_time_is_not_interrupted_later() -> None:
    with deadline(0.02):
        pass
    compute(0.1)
    wait(0.02 * WAIT)


def test_a_limit_goes_on_while_one_inside_it_runs() -> None:
    with deadline(100):
        with deadline(50):
            compute(0.2)
            wait(0.2)
            assert left()[0] < 50 and left()[1] < 50 * WAIT
        assert 50 < left()[0] < 99.9
        assert 50 * WAIT < left()[1] < 100 * WAIT - 0.4


@pytest.mark.parametrize("spend", [compute, wait])
def test_the_limit_around_ends_one_inside_that_is_longer_and_then_itself(
    spend: Callable[[], None],
) -> None:
    with pytest.raises(OutOfTime), deadline(0.1):
        with pytest.raises(OutOfTime), deadline(50):
            spend()
        spend()
    assert left() == (0, 0)


def test_none_sets_no_limit() -> None:
    with deadline(None):
        assert left() == (0, 0)


def test_a_signal_that_comes_while_a_limit_is_lifted_does_not_end_the_restoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_timer = signal.setitimer

    def late(timer: int, seconds: float) -> None:
        set_timer(timer, seconds)
        if seconds == 0:
            signal.raise_signal(signal.SIGALRM)

    handlers = [signal.getsignal(number) for number in (signal.SIGPROF, signal.SIGALRM)]
    monkeypatch.setattr(signal, "setitimer", late)
    with deadline(100):
        pass
    assert [signal.getsignal(n) for n in (signal.SIGPROF, signal.SIGALRM)] == handlers
    assert left() == (0, 0)
