"""greenroom.compat.gevent: Greenlet and the functions around it, as gevent has them."""

import pytest

import greenroom
from greenroom.compat import gevent


def test_spawn_get_and_what_a_greenlet_says_of_itself(clock):
    one = gevent.spawn(lambda x, y=0: x + y, 1, y=2)
    assert (one.ready(), one.started, one.dead, one.value) == (False, True, False, None)
    assert one.get() == 3
    assert (one.ready(), one.dead, one.successful(), one.value) == (True, True, True, 3)
    assert one.exception is None
    assert not one


def test_joinall_returns_those_that_ended(clock):
    fast, slow = gevent.spawn(gevent.sleep, 1), gevent.spawn(gevent.sleep, 10)
    assert gevent.joinall([fast, slow], timeout=5) == [fast]
    assert clock.now() == 5
    assert gevent.joinall([fast, slow], count=1) == [fast]
    assert sorted(map(id, gevent.joinall([fast, slow]))) == sorted(map(id, [fast, slow]))
    assert clock.now() == 10


def test_joinall_raises_the_first_error_when_asked_to(clock, caplog):
    def fail():
        gevent.sleep(1)
        raise ZeroDivisionError("a bug")

    bad, good = gevent.spawn(fail), gevent.spawn(gevent.sleep, 2)
    with pytest.raises(ZeroDivisionError):
        gevent.joinall([good, bad], raise_error=True)
    assert clock.now() == 1
    good.join()


def test_an_error_is_kept_and_raised_by_get(caplog):
    bad = gevent.spawn(lambda: 1 / 0)
    bad.join()
    assert not bad.successful()
    assert type(bad.exception) is ZeroDivisionError
    assert bad.value is None
    with pytest.raises(ZeroDivisionError):
        bad.get()


def test_an_error_that_nobody_asks_for_is_logged(caplog):
    gevent.spawn(lambda: 1 / 0).join()
    assert "ZeroDivisionError" in caplog.text


def test_get_without_waiting_or_with_a_timeout_raises_timeout(clock):
    slow = gevent.spawn(gevent.sleep, 10)
    with pytest.raises(gevent.Timeout):
        slow.get(block=False)
    with pytest.raises(gevent.Timeout):
        slow.get(timeout=1)
    assert clock.now() == 1
    assert slow.get() is None


def test_kill_waits_until_finally_has_run_and_is_no_error(clock):
    seen = []

    def work():
        try:
            gevent.sleep(100)
        finally:
            seen.append("finally")

    one = gevent.spawn(work)
    gevent.sleep(0)
    one.kill()
    assert seen == ["finally"]
    assert isinstance(one.value, gevent.GreenletExit)
    assert isinstance(one.get(), gevent.GreenletExit)
    assert one.successful()


def test_kill_without_waiting_and_killall(clock):
    many = [gevent.spawn(gevent.sleep, 100) for _ in range(5)]
    gevent.sleep(0)
    many[0].kill(block=False)
    assert not many[0].ready()
    gevent.killall(many)
    assert all(one.ready() for one in many)
    assert clock.now() == 0


def test_a_greenlet_killed_before_it_starts_runs_nothing():
    one = gevent.spawn(pytest.fail, "ran")
    gevent.kill(one)
    assert one.ready()
    never_started = gevent.Greenlet(pytest.fail, "ran")
    never_started.kill()
    assert never_started.dead


def test_raising_greenlet_exit_is_the_value():
    def work():
        raise gevent.GreenletExit("bye")

    one = gevent.spawn(work)
    assert isinstance(one.get(), gevent.GreenletExit)
    assert one.successful()


def test_spawn_later_and_start_later(clock):
    one = gevent.spawn_later(3, clock.now)
    two = gevent.Greenlet(clock.now)
    two.start_later(5)
    assert [one.get(), two.get()] == [3, 5]


def test_a_subclass_with_run():
    class Worker(gevent.Greenlet):
        def __init__(self, word):
            super().__init__()
            self.word = word

        def _run(self):
            return self.word.upper()

    assert Worker.spawn("word").get() == "WORD"
    worker = Worker("other")
    worker.start()
    worker.start()  # again: nothing happens
    assert worker.get() == "OTHER"


def test_link_calls_back_when_it_ends_and_at_once_when_it_has():
    seen = []
    one = gevent.spawn(int)
    one.link(lambda greenlet: seen.append(greenlet.value))
    one.join()
    gevent.idle()
    one.link(lambda greenlet: seen.append("late"))
    gevent.idle()
    assert seen == [0, "late"]


def test_wait_and_iwait(clock):
    sleepers = [gevent.spawn(gevent.sleep, seconds) for seconds in (3, 1, 2)]
    assert gevent.wait(sleepers, count=1) == [sleepers[1]]
    assert list(gevent.iwait(sleepers[:1] + sleepers[2:])) == [sleepers[2], sleepers[0]]
    gevent.spawn(gevent.sleep, 5)
    gevent.wait()
    assert clock.now() == 8


def test_sleep_takes_a_negative_number_as_zero():
    seen = []
    one = gevent.spawn(seen.append, 1)
    gevent.sleep(-1)
    assert seen == [1]
    one.join()


def test_getcurrent_is_one_thing_within_a_greenlet_and_another_outside():
    one = gevent.spawn(gevent.getcurrent)
    assert one.get() is not gevent.getcurrent()


def test_a_greenlet_may_be_waited_for_by_greenrooms_own_functions():
    one = gevent.spawn(lambda: 7)
    greenroom.joinall([one.task])
    assert one.task.result() == 7
