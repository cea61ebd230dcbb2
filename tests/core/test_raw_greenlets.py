"""Raw greenlets inside tasks: a wait in one parks the task and resumes right there."""

import gc

import pytest
from children import output_of
from greenlet import GreenletExit, getcurrent, greenlet

import greenroom
from greenroom import Event, Queue, TaskKilled, sleep, spawn


def test_raw_greenlets_switch_inside_a_task_as_outside():
    def work():
        order = []

        def one():
            order.append(1)
            b.switch()
            order.append(3)

        def two():
            order.append(2)
            a.switch()

        a, b = greenlet(one), greenlet(two)
        a.switch()
        return order

    assert work() == [1, 2, 3] == spawn(work).result()


def test_raw_greenlet_that_parks_parks_its_task_and_resumes_there(clock):
    order = []

    def inner():
        order.append("before")
        sleep(1)
        order.append("after")
        return getcurrent()

    def work():
        raw = greenlet(inner)
        assert raw.switch() is raw
        order.append("work")

    def other():
        order.append("other")

    tasks = [spawn(work), spawn(other)]
    greenroom.joinall(tasks)
    assert tasks[0].exception is None
    assert order == ["before", "other", "after", "work"]


def test_several_raw_greenlets_of_a_task_may_each_park():
    queue = Queue()

    def producer():
        for number in range(3):
            queue.put(number)
            sleep()

    def consume(got):
        got.append(queue.get())
        getcurrent().parent.switch()
        got.append(queue.get())

    def work():
        got = []
        raw = greenlet(consume)
        raw.switch(got)
        got.append(queue.get())
        raw.switch()
        return got

    spawn(producer)
    assert spawn(work).result() == [0, 1, 2]


def test_kill_reaches_a_wait_in_a_raw_greenlet():
    seen = []

    def inner():
        try:
            Event().wait()
        finally:
            seen.append("inner")

    def work():
        try:
            greenlet(inner).switch()
        finally:
            seen.append("outer")

    task = spawn(work)
    sleep()
    task.kill()
    task.join()
    assert seen == ["inner", "outer"] and isinstance(task.exception, TaskKilled)


def test_raw_greenlet_left_suspended_when_its_task_ends_is_ended_by_the_collector():
    seen = []

    def inner():
        try:
            getcurrent().parent.switch()
        except GreenletExit:
            seen.append("exit")
            raise

    def work():
        raw = greenlet(inner)
        raw.switch()
        return 7

    assert spawn(work).result() == 7
    gc.collect()
    assert seen == ["exit"]
    assert spawn(int, 8).result() == 8


@pytest.mark.parametrize("carrier", ["idle", "running another task"])
def test_raw_greenlet_that_outlives_its_task_does_not_end_in_another(carrier):
    """Symptom: it returned to its parent, the carrier, which by then ran something else.

    Another task got "was switched to from outside", or ran its function a second time.
    """
    lines = output_of(
        """
        import greenroom
        from greenlet import getcurrent, greenlet
        from greenroom import sleep, spawn
        kept, ran = [], []
        def inner():
            getcurrent().parent.switch()
            return "inner ended"
        def first():
            raw = greenlet(inner)
            raw.switch()
            kept.append(raw)
        def other(name):
            ran.append(name)
            gate.wait()
            return name
        def second():
            ran.append("second")
            tasks[0].join()
            sleep()  # first() has ended, its carrier waits for work
            if CARRIER != "idle":
                tasks.append(spawn(other, "on it"))
                sleep()
            try:
                kept[0].switch()
            except greenroom.GreenroomError:
                pass
            gate.set()
            return "second"
        gate = greenroom.Event()
        tasks = [spawn(first), spawn(second), spawn(other, "other")]
        greenroom.joinall(tasks[:3], timeout=60)
        greenroom.joinall(tasks, timeout=60)
        print([task.done and task.exception is None for task in tasks[2:]])
        print(sorted(ran) == sorted(set(ran)))
        """.replace("CARRIER", repr(carrier))
    )
    assert all(line.strip("[]").split(", ").count("False") == 0 for line in lines), lines


def test_current_is_the_task_inside_its_raw_greenlets():
    def work():
        return greenlet(greenroom.current).switch() is greenroom.current()

    assert spawn(work).result()


def test_raw_greenlet_at_top_level_may_wait_too(clock):
    def inner():
        sleep(1)
        return spawn(int, 3).result()

    assert greenlet(inner).switch() == 3
    assert clock.now() == 1


def test_error_in_a_raw_greenlet_fails_the_task():
    def inner():
        sleep()
        raise ValueError("inner")

    with pytest.raises(ValueError, match="inner"):
        spawn(lambda: greenlet(inner).switch()).result()


def test_switch_into_a_parked_task_from_outside_comes_straight_back():
    """Only the scheduler resumes a parked task; symptom: its wait returned too early."""
    lines = output_of(
        """
        from greenlet import getcurrent
        from greenroom import Event, sleep, spawn
        greenlets, event = [], Event()
        def work():
            greenlets.append(getcurrent())
            return event.wait()
        task = spawn(work)
        sleep()
        spawn(lambda: (greenlets[0].switch(), print("back"))).join()
        print(task.state_name)
        event.set()
        print(task.result())
        """
    )
    assert lines == ["back", "parked", "True"]
