"""Supervisor: who is restarted, how often, after what pause; order and grace of the shutdown."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import greenroom
from greenroom import Event, Supervisor, SupervisorError, TaskKilled, Timeout, sleep, spawn
from greenroom.sync.statistics import SupervisorStatistics
from greenroom.testing.clock import VirtualClock

AT_ONCE = (0, 1, 0)


class Log:
    """Notes what children do and when."""

    def __init__(self, clock):
        self.clock = clock
        self.lines = []

    def __call__(self, name, what):
        self.lines.append((self.clock.now(), name, what))

    def child(self, name, lives, error=KeyError):
        """A child that lives so many seconds, one number a life, and then fails; None: returns."""
        lives = iter(lives)

        def run():
            self(name, "starts")
            try:
                sleep(next(lives, 10_000))
                if error is not None:
                    raise error(name)
            except greenroom.Cancelled:
                self(name, "is cancelled")
                raise

        return run

    def of(self, what):
        return [(when, name) for when, name, did in self.lines if did == what]


@pytest.fixture
def log(clock, caplog):
    caplog.set_level(logging.CRITICAL)
    return Log(clock)


def test_a_failed_child_is_restarted_after_growing_pauses(log):
    with Supervisor(max_restarts=10, backoff=(1, 2, 3)) as supervisor:
        supervisor.start(log.child("a", [0, 0, 0, 0]))
        sleep(100)
        assert log.of("starts") == [(0, "a"), (1, "a"), (3, "a"), (6, "a"), (9, "a")]
        assert supervisor.statistics() == SupervisorStatistics(1, 0, 4, 0)
        supervisor.stop()


def test_the_pause_begins_anew_after_a_longer_life(log):
    with Supervisor(max_restarts=9, within=5, backoff=(1, 2, 30)) as supervisor:
        supervisor.start(log.child("a", [0, 0, 7, 0]))
        sleep(100)
        #          fails at 0: 1 s; at 1: 2 s; at 10: 1 s; at 11: 2 s
        assert [when for when, _ in log.of("starts")] == [0, 1, 3, 11, 13]
        supervisor.stop()


def test_permanent_transient_temporary(log):
    def returns(name):
        log(name, "returns")

    def fails(name):
        log(name, "fails")
        raise KeyError(name)

    with Supervisor(max_restarts=4, within=1000, backoff=(1, 1, 1)) as supervisor:
        supervisor.start(fails, "t", restart="temporary")
        supervisor.start(returns, "r", restart="transient")
        supervisor.start(log.child("x", [0]), restart="transient")
        supervisor.start(log.child("p", [0, 0], error=None), restart="permanent")
        sleep(100)
        assert log.of("fails") == [(0, "t")]
        assert log.of("returns") == [(0, "r")]
        starts = log.of("starts")
        assert starts.count((0, "x")) == starts.count((1, "x")) == 1
        assert [when for when, name in starts if name == "p"] == [0, 1, 2]
        assert [child.state for child in supervisor.children()] == [
            *("ended", "ended", "running", "running")
        ]
        supervisor.stop()


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_child_that_is_killed_counts_as_failed(log, restart):
    with Supervisor(backoff=AT_ONCE) as supervisor:
        child = supervisor.start(log.child("a", []), restart=restart)
        sleep(1)
        child.task.kill()
        sleep(1)
        assert child.restarts == (restart != "temporary")
        supervisor.stop()


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_strategies(log, strategy, restarted):
    with Supervisor(strategy, backoff=(1, 1, 1)) as supervisor:
        for name in "abc":
            supervisor.start(log.child(name, [5] if name == "b" else []), name=name)
        sleep(10)
        assert "".join(name for when, name in log.of("starts") if when == 6) == restarted
        cancelled = "".join(name for _, name in log.of("is cancelled"))
        assert cancelled == restarted.replace("b", "")[::-1]  # the last started first
        assert supervisor.statistics().restarts == 1  # one failure
        supervisor.stop()


def test_one_for_all_does_not_bring_back_what_had_ended_or_is_temporary(log):
    with Supervisor("one_for_all", backoff=(1, 1, 1)) as supervisor:
        supervisor.start(log.child("done", [1], error=None), restart="transient")
        supervisor.start(log.child("temporary", []), restart="temporary")
        supervisor.start(log.child("fails", [5]))
        supervisor.start(log.child("transient", []), restart="transient")
        sleep(10)
        assert log.of("starts")[4:] == [(6, "fails"), (6, "transient")]
        supervisor.stop()


def test_more_than_max_restarts_within_the_time_end_it_with_an_error(log):
    supervisor = Supervisor(max_restarts=3, within=5, backoff=(1, 1, 1), name="web")
    supervisor.start(log.child("other", []), name="other")
    supervisor.start(log.child("a", [0] * 100), name="a")
    with pytest.raises(SupervisorError, match="web gives up: child 'a' failed, after 3") as caught:
        supervisor.run()
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(log.of("starts")) == 1 + 4 and log.of("is cancelled") == [(3, "other")]


def test_the_same_number_of_failures_in_a_longer_time_is_borne(log):
    with Supervisor(max_restarts=3, within=5, backoff=AT_ONCE) as supervisor:
        child = supervisor.start(log.child("a", [2] * 50))
        sleep(99)
        assert child.restarts == 49
        supervisor.stop()


def test_giving_up_cancels_the_block_and_raises_there(log):
    seen = []
    with (
        pytest.raises(SupervisorError),
        Supervisor(max_restarts=0, backoff=AT_ONCE) as supervisor,
    ):
        supervisor.start(log.child("a", [3]))
        try:
            sleep(1000)
        finally:
            seen.append(log.clock.now())
    assert seen == [3]


def test_a_block_that_fails_meanwhile_raises_its_own_error(log, caplog):
    caplog.set_level(logging.ERROR)
    with pytest.raises(OSError), Supervisor(max_restarts=0) as supervisor:
        supervisor.start(log.child("a", [3]))
        try:
            sleep(1000)
        finally:
            raise OSError
    assert "its block failed with OSError" in caplog.text


def test_every_failure_is_logged_with_its_traceback(clock, caplog):
    def fails():
        raise KeyError("why")

    supervisor = Supervisor(max_restarts=1, backoff=AT_ONCE, name="web")
    supervisor.start(fails, name="a")
    with pytest.raises(SupervisorError):
        supervisor.run()
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [
        "web: child 'a' failed; it is restarted in 0 s",
        "web: child 'a' failed; the supervisor gives up",
    ]
    assert all(record.exc_info[0] is KeyError for record in caplog.records)


# --- shutdown


@pytest.mark.parametrize("how", ["stop", "error", "kill", "timeout"])
def test_children_are_shut_down_last_started_first_one_after_the_other(log, how):
    def child(name):
        try:
            sleep(10_000)
        finally:
            with greenroom.CancelScope(shield=True):
                log(name, "begins to end")
                sleep(1)
                log(name, "has ended")

    def work():
        with Supervisor() as supervisor:
            for name in "abc":
                supervisor.start(child, name)
            sleep(5)
            if how == "stop":
                supervisor.stop()
            elif how == "error":
                raise KeyError
            with greenroom.timeout(0 if how == "timeout" else None):
                sleep(20)

    task = spawn(work)
    task.observed = True
    sleep(6)
    if how == "kill":
        task.kill()
    task.join()
    expected = {"stop": type(None), "error": KeyError, "kill": TaskKilled, "timeout": Timeout}[how]
    assert isinstance(task.exception, expected)
    start = 6 if how == "kill" else 5
    assert log.lines == [
        (start + number + done, name, "has ended" if done else "begins to end")
        for number, name in enumerate("cba")
        for done in (0, 1)
    ]


def test_a_child_is_asked_to_stop_then_killed_after_its_grace(log):
    asked = Event()

    def polite():
        asked.wait()
        log("polite", "ends")

    def deaf():
        try:
            sleep(10_000)
        finally:
            log("deaf", "is killed")

    with Supervisor() as supervisor:
        supervisor.start(polite, stop=asked.set, restart="transient")
        supervisor.start(deaf, stop=lambda: log("deaf", "is asked"), grace=3)
        sleep(1)
        supervisor.stop()
    assert log.lines == [(1, "deaf", "is asked"), (4, "deaf", "is killed"), (4, "polite", "ends")]


def test_a_child_that_does_not_end_even_then_is_left_and_the_log_says_so(clock, caplog):
    def stuck():
        with greenroom.CancelScope(shield=True):
            sleep(100)

    with Supervisor() as supervisor:
        child = supervisor.start(stuck, name="stuck", grace=2)
        sleep(1)
        supervisor.stop()
    assert clock.now() == 3 and not child.task.done
    assert "'stuck' has not ended 2 s after it was killed, and is left" in caplog.text
    child.task.join()


def test_a_stop_that_raises_is_logged_and_the_child_killed(clock, caplog):
    with Supervisor() as supervisor:
        child = supervisor.start(sleep, 1000, stop=lambda: 1 // 0)
        supervisor.stop()
    assert child.task.done and "cannot be asked to stop" in caplog.text


def test_an_error_during_the_shutdown_is_logged(clock, caplog):
    def child():
        try:
            sleep(1000)
        finally:
            raise KeyError("late")

    with Supervisor() as supervisor:
        supervisor.start(child)
        sleep(1)
        supervisor.stop()
    assert "failed while it was shut down" in caplog.text


def test_stop_ends_a_pause_too(log):
    with Supervisor(backoff=(1000, 1, 1000)) as supervisor:
        child = supervisor.start(log.child("a", [1]))
        sleep(5)
        assert child.state == "pausing" and supervisor.statistics() == SupervisorStatistics(
            0, 1, 1, 1
        )
        supervisor.stop()
    assert log.clock.now() == 5 and child.state == "ended"


# --- run, nesting, and use


def test_run_returns_when_nothing_is_left(log):
    supervisor = Supervisor(backoff=AT_ONCE)
    supervisor.run()
    supervisor.start(log.child("a", [3], error=None), restart="temporary")
    supervisor.run()
    assert log.clock.now() == 3
    assert supervisor.statistics() == SupervisorStatistics(0, 0, 0, 0)


def test_children_may_be_started_by_children(log):
    with Supervisor() as supervisor:

        def parent():
            sleep(1)
            supervisor.start(log.child("late", [1], error=None), restart="temporary")

        supervisor.start(parent, restart="temporary")
    assert log.of("starts") == [(1, "late")] and log.clock.now() == 2


def test_a_nested_supervisor_gives_up_and_is_restarted_by_its_own(log):
    inner = Supervisor("one_for_all", max_restarts=1, within=50, backoff=AT_ONCE, name="inner")
    inner.start(log.child("x", [1, 1, 1]))
    inner.start(log.child("y", []))
    with Supervisor(backoff=(10, 1, 10)) as outer:
        outer.start(inner.run)
        sleep(100)
        assert [when for when, name in log.of("starts") if name == "x"] == [0, 1, 12, 13]
        assert [when for when, name in log.of("starts") if name == "y"] == [0, 1, 12, 13]
        assert outer.statistics().restarts == 1
        outer.stop()
    assert log.of("is cancelled")[-2:] == [(100, "y"), (100, "x")]


def test_context_variables_of_the_one_who_started_it_are_seen_in_each_life(log):
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def child():
        seen.append(variable.get())
        variable.set("changed")
        raise KeyError

    variable.set("mine")
    with pytest.raises(SupervisorError), Supervisor(max_restarts=2, backoff=AT_ONCE) as supervisor:
        supervisor.start(child)
    assert seen == ["mine"] * 3


def test_system_exit_in_a_child_ends_the_program_and_not_the_child_alone(log):
    def leave():
        sleep(1)
        raise SystemExit(3)

    with pytest.raises(SystemExit), Supervisor() as supervisor:
        supervisor.start(log.child("a", []))
        supervisor.start(leave)
    assert log.of("is cancelled") == [(1, "a")]


def test_wrong_arguments(clock):
    for wrong in (
        {"strategy": "all"},
        {"max_restarts": -1},
        {"max_restarts": 1.5},
        {"within": 0},
        {"within": "5"},
        {"backoff": 3},
        {"backoff": (1,)},
        {"backoff": ("1", 2, 3)},
        {"backoff": (2, 1, 1)},
        {"backoff": (1, 0.5, 3)},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is "):
            Supervisor(**wrong)
    supervisor = Supervisor()
    with pytest.raises(TypeError, match="not callable"):
        supervisor.start(3)
    with pytest.raises(ValueError, match="restart is one of"):
        supervisor.start(int, restart="always")
    with pytest.raises(ValueError, match="grace"):
        supervisor.start(int, grace=-1)
    with pytest.raises(ValueError, match="grace is a number of seconds"):
        supervisor.start(int, grace=None)
    with pytest.raises(TypeError, match="stop is a function"):
        supervisor.start(int, stop=3)
    with supervisor:
        with pytest.raises(RuntimeError, match="runs already"):
            supervisor.run()
        supervisor.stop()
        with pytest.raises(RuntimeError, match="shutting down"):
            supervisor.start(int)


# --- against a model

# What a life of child i takes beyond whole seconds: exact in a float, and no two sums are alike.
FRACTIONS = (2**-10, 2**-17, 2**-24, 2**-31)

CHILDREN = st.lists(
    st.tuples(
        st.sampled_from(["permanent", "transient", "temporary"]),
        st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def model(strategy, children, max_restarts):
    """Simulate: return (starts as (time, child), whether it gave up). Restarts are at once.

    Lives end at times that differ, by FRACTIONS.
    """
    starts, restarts = [], 0
    lives = [iter(lives) for _, lives in children]
    ends, fails = {}, {}

    def start(now, number):
        starts.append((now, number))
        length, failed = next(lives[number], (None, None))
        if length is None:
            ends.pop(number, None)
        else:
            ends[number] = now + length + FRACTIONS[number]
            fails[number] = failed
        alive.add(number)

    alive = set()
    for number in range(len(children)):
        start(0, number)
    while ends:
        number = min(ends, key=ends.get)
        now = ends.pop(number)
        alive.discard(number)
        kind = children[number][0]
        if kind == "temporary" or (kind == "transient" and not fails[number]):
            continue
        restarts += 1
        if restarts > max_restarts:
            return starts, True
        group = {
            "one_for_one": [number],
            "one_for_all": range(len(children)),
            "rest_for_one": range(number, len(children)),
        }[strategy]
        again = []
        for other in group:
            if other == number or (other in alive and children[other][0] != "temporary"):
                again.append(other)
            if other != number:
                alive.discard(other)
                ends.pop(other, None)
        for other in again:
            start(now, other)
    return starts, False


@settings(max_examples=200)
@given(
    strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    children=CHILDREN,
    max_restarts=st.integers(0, 6),
)
def test_strategies_against_a_model(strategy, children, max_restarts):
    logging.getLogger("greenroom").disabled = True
    try:
        with VirtualClock() as clock:
            starts = []
            lives = [iter(lives) for _, lives in children]

            def child(number):
                starts.append((clock.now(), number))
                length, failed = next(lives[number], (None, None))
                if length is None:
                    sleep(100_000)
                sleep(length + FRACTIONS[number])
                if failed:
                    raise KeyError

            gave_up = False
            try:
                with Supervisor(
                    strategy, max_restarts=max_restarts, within=1e9, backoff=AT_ONCE
                ) as supervisor:
                    for number, (kind, _) in enumerate(children):
                        supervisor.start(child, number, restart=kind)
                    sleep(10_000)
                    supervisor.stop()
            except SupervisorError:
                gave_up = True
        expected, gives_up = model(strategy, children, max_restarts)
        assert expected == starts
        assert gave_up == gives_up
    finally:
        logging.getLogger("greenroom").disabled = False


@settings(max_examples=60)
@given(lives=st.lists(st.integers(0, 8), max_size=12), most=st.integers(0, 4))
def test_never_more_than_max_restarts_in_any_stretch(lives, most):
    logging.getLogger("greenroom").disabled = True
    try:
        with VirtualClock() as clock:
            starts, ends = [], []
            lengths = iter(lives)

            def child():
                starts.append(clock.now())
                sleep(next(lengths, 10_000))
                ends.append(clock.now())

            supervisor = Supervisor(max_restarts=most, within=5, backoff=AT_ONCE)
            supervisor.start(child)
            ended = spawn(lambda: (sleep(5000), supervisor.stop()))
            try:
                supervisor.run()
            except SupervisorError:
                window = [time for time in ends if time > ends[-1] - 5]
                assert len(window) == most + 1
            else:
                assert len(starts) == len(lives) + 1
            ended.kill()
            ended.join()
        for first in range(1, len(starts) - most):
            assert starts[first + most] - starts[first] >= 5
    finally:
        logging.getLogger("greenroom").disabled = False
