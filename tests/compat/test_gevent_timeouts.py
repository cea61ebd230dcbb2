"""gevent.Timeout: an exception that raises itself."""

import pytest

from greenroom.compat import gevent
from greenroom.compat.gevent import queue, socket


def test_it_raises_itself_in_the_block(clock):
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(3) as timeout:
        gevent.sleep(10)
    assert caught.value is timeout
    assert clock.now() == 3
    assert str(timeout) == "3 seconds"
    assert not timeout.pending


def test_it_is_no_exception_so_that_a_broad_except_lets_it_pass(clock):
    with pytest.raises(gevent.Timeout), gevent.Timeout(1):
        try:
            gevent.sleep(10)
        except Exception:
            pytest.fail("caught")


def test_it_raises_once_the_handler_may_wait_again(clock):
    timeout = gevent.Timeout.start_new(1)
    try:
        gevent.sleep(10)
    except gevent.Timeout as error:
        assert error is timeout
        gevent.sleep(5)
    finally:
        timeout.cancel()
    assert clock.now() == 6


@pytest.mark.parametrize("error", [ValueError, ValueError("late")])
def test_another_exception_may_be_raised(clock, error):
    with pytest.raises(ValueError), gevent.Timeout(1, error):
        gevent.sleep(10)


def test_false_ends_the_block_silently(clock):
    with gevent.Timeout(1, False):
        gevent.sleep(10)
        pytest.fail("goes on")
    assert clock.now() == 1


def test_a_block_that_is_quick_enough_and_none_for_ever(clock):
    with gevent.Timeout(5):
        gevent.sleep(1)
    with gevent.Timeout(None):
        gevent.sleep(1000)
    gevent.sleep(100)
    assert clock.now() == 1101


def test_a_foreign_timeout_passes_through(clock):
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(1) as outer:
        with gevent.Timeout(5, False):
            gevent.sleep(10)
        pytest.fail("goes on")
    assert caught.value is outer


def test_start_twice_is_an_error_and_cancel_allows_it(clock):
    timeout = gevent.Timeout(5)
    timeout.start()
    with pytest.raises(RuntimeError, match="already started"):
        timeout.start()
    timeout.cancel()
    timeout.start()
    assert timeout.pending
    timeout.close()
    assert not timeout.pending


def test_with_timeout_returns_the_value_or_raises(clock):
    assert gevent.with_timeout(1, gevent.sleep, 10, timeout_value="late") == "late"
    assert gevent.with_timeout(5, lambda x: x, 3) == 3
    with pytest.raises(gevent.Timeout):
        gevent.with_timeout(1, gevent.sleep, 10)
    assert clock.now() == 2


def test_it_ends_waits_of_every_kind(clock):
    one, two = socket.socketpair()
    with one, two:
        sleeper = gevent.spawn(gevent.sleep, 10)
        for wait in (lambda: one.recv(1), queue.Queue().get, sleeper.join):
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.5):
                wait()
    sleeper.join()
