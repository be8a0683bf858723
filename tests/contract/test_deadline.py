"""Time limits for Python code, one inside another."""

import signal
import time

import pytest

from catsdogs.contract.deadline import OutOfTime, deadline


def forever() -> None:
    while True:
        time.sleep(0.01)


def left() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[0]


def test_code_is_interrupted_when_its_time_is_up_and_no_timer_is_left() -> None:
    started = time.monotonic()
    with pytest.raises(OutOfTime), deadline(0.1):
        forever()
    assert 0.1 <= time.monotonic() - started < 5
    assert left() == 0


def test_code_that_ends_in_time_is_not_interrupted_later() -> None:
    with deadline(0.05):
        pass
    time.sleep(0.1)


def test_a_limit_goes_on_while_one_inside_it_runs() -> None:
    with deadline(100):
        with deadline(50):
            time.sleep(0.2)
            assert left() < 50
        assert 50 < left() < 99.9


def test_the_limit_around_ends_one_inside_that_is_longer_and_then_itself() -> None:
    with pytest.raises(OutOfTime), deadline(0.2):
        with pytest.raises(OutOfTime), deadline(50):
            forever()
        forever()
    assert left() == 0


def test_none_sets_no_limit() -> None:
    with deadline(None):
        assert left() == 0
