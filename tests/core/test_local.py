"""local: attributes that each task sees its own values of, as threading.local does for threads."""

import _thread
import gc
import sys
import threading
import weakref

import pytest

import greenroom
from greenroom import joinall, local, sleep, spawn


def test_each_task_sees_its_own_values():
    data = local()
    data.x = "main"

    def work(value):
        assert not hasattr(data, "x")
        data.x = value
        sleep()
        return data.x

    tasks = [spawn(work, number) for number in range(5)]
    assert [task.result() for task in tasks] == list(range(5))
    assert data.x == "main"


def test_deleting_and_missing_attributes():
    data = local()
    data.x = 1
    del data.x
    with pytest.raises(AttributeError):
        data.x  # noqa: B018
    with pytest.raises(AttributeError):
        del data.x


def test_dict_is_the_task_s_own_and_cannot_be_replaced():
    data = local()
    data.x = 1
    assert data.__dict__ == {"x": 1}
    assert spawn(lambda: dict(data.__dict__)).result() == {}
    with pytest.raises(AttributeError, match="read-only"):
        data.__dict__ = {}


def test_init_of_a_subclass_runs_in_each_task_with_the_same_arguments():
    class Data(local):
        def __init__(self, start, *, step):
            self.value = start
            self.step = step

    data = Data(10, step=2)
    data.value = 0
    assert spawn(lambda: (data.value, data.step)).result() == (10, 2)
    assert data.value == 0


def test_class_attributes_are_shared_and_properties_see_the_task_s_values():
    class Data(local):
        kind = "shared"

        @property
        def double(self):
            return self.x * 2

    data = Data()

    def work(x):
        data.x = x
        sleep()
        return data.kind, data.double

    assert [task.result() for task in [spawn(work, 1), spawn(work, 2)]] == [
        ("shared", 2),
        ("shared", 4),
    ]


def test_arguments_without_an_init_are_refused():
    with pytest.raises(TypeError):
        local(1)


def test_init_that_fails_runs_again_at_the_next_touch():
    """As threading.local does; symptom: later touches saw a half-made object."""
    for base in (threading.local, local):
        tries = []

        class Data(base):
            def __init__(self):
                tries.append(1)  # noqa: B023
                if len(tries) == 2:  # noqa: B023
                    raise ValueError("second")
                self.x = 1

        data = Data()

        def touch(data=data):
            try:
                data.x  # noqa: B018
            except ValueError:
                return data.x

        if base is local:
            assert spawn(touch).result() == 1
        else:
            got = []
            thread = threading.Thread(target=lambda: got.append(touch()))  # noqa: B023
            thread.start()
            thread.join()
            assert got == [1]


class Thing:
    pass


def test_values_die_with_the_task():
    data = local()

    def work():
        data.x = Thing()
        return weakref.ref(data.x)

    reference = spawn(work).result()
    gc.collect()
    assert reference() is None


def test_values_die_with_the_local_object():
    data = local()
    data.x = Thing()
    reference = weakref.ref(data.x)
    del data
    gc.collect()
    assert reference() is None


def test_many_local_objects_in_main_do_not_pile_up():
    def used():
        for _ in range(1000):
            local().x = 1
        return len(greenroom.current().locals)

    used()
    assert used() < 200


def test_a_task_with_the_id_of_a_dead_one_sees_nothing_of_it():
    data = local()

    def work():
        seen = hasattr(data, "x")
        data.x = 1
        return seen

    for _ in range(50):
        assert spawn(work).result() is False


def test_threads_see_their_own_values_while_they_race():
    """Symptom: one thread read another's value; entering the object and reading are two steps."""
    data = local()
    wrong = []
    ended = []

    def work(me):
        data.x = me
        for _ in range(20000):
            if data.x != me:
                wrong.append(me)
                break
        ended.append(me)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for me in range(2):
            _thread.start_new_thread(work, (me,))
        while len(ended) < 2:
            sleep(0.001)
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_finalizer_of_a_value_may_use_the_local_object():
    data = local()
    seen = []

    class Finalized:
        def __del__(self):
            seen.append(hasattr(data, "y"))

    def work():
        data.x = Finalized()

    joinall([spawn(work) for _ in range(3)])
    assert not hasattr(data, "x")
    gc.collect()
    assert len(seen) == 3
