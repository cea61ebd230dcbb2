"""threading.Thread and what asks about threads, in tasks."""

import os
import textwrap

import pytest

import greenroom
from greenroom.core import native

from .children import output_of, run_child

PATCHED = """
import greenroom
greenroom.patch_all()
import threading, time, sys
from greenroom.testing.clock import VirtualClock
"""


def patched(code):
    return output_of(PATCHED + textwrap.dedent(code))


def test_a_thread_is_a_task_and_no_real_thread():
    code = """
        import os
        def count():
            return len(os.listdir("/proc/self/task"))
        before, gate = count(), threading.Event()
        threads = [threading.Thread(target=gate.wait) for _ in range(50)]
        for thread in threads:
            thread.start()
        print(count() == before, threading.active_count())
        gate.set()
        for thread in threads:
            thread.join()
        print(threading.active_count(), [thread.is_alive() for thread in threads] == [False] * 50)
    """
    assert patched(code) == ["True 51", "1 True"]


def test_threads_run_in_the_order_in_which_they_start():
    code = """
        seen = []
        threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(seen)
    """
    assert patched(code) == ["[0, 1, 2, 3, 4]"]


def test_current_thread_ident_name_and_enumerate():
    code = """
        def work():
            me = threading.current_thread()
            print(me.name, me is thread, me.ident == threading.get_ident())
            print(me in threading.enumerate())
            print(threading.main_thread().name, me is threading.main_thread())
        thread = threading.Thread(target=work, name="worker")
        print(thread.ident, thread.is_alive())
        thread.start()
        thread.join()
        print(thread.is_alive(), thread.ident != threading.get_ident(), threading.enumerate())
        print(threading.current_thread() is threading.main_thread())
        print(threading.main_thread().ident == threading.get_ident())
    """
    lines = patched(code)
    assert lines[:3] == ["None False", "worker True True", "True"]
    assert lines[3] == "MainThread False"
    assert lines[4].startswith("False True [<_MainThread(MainThread, started ")
    assert lines[5:] == ["True", "True"]


def test_two_living_threads_have_different_idents():
    code = """
        idents = []
        def work():
            idents.append(threading.get_ident())
            time.sleep(0.001)
        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(set(idents)), threading.get_ident() in idents)
    """
    assert patched(code) == ["10 False"]


def test_join_with_a_timeout_returns_while_the_thread_runs_on():
    code = """
        with VirtualClock() as clock:
            thread = threading.Thread(target=time.sleep, args=(10,))
            thread.start()
            thread.join(3)
            print(thread.is_alive(), clock.now())
            thread.join()
            print(thread.is_alive(), clock.now())
            thread.join()
            thread.join(0)
    """
    assert patched(code) == ["True 3.0", "False 10.0"]


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        ("threading.Thread().join()", "cannot join thread before it is started"),
        ("threading.current_thread().join()", "cannot join current thread"),
        ("[thread.start(), thread.start()]", "threads can only be started once"),
    ],
)
def test_misuse_raises_runtime_error(misuse, error):
    code = f"""
        thread = threading.Thread(target=print, args=("ran",))
        try:
            {misuse}
        except RuntimeError as error:
            print(error)
    """
    assert error in patched(code)


def test_a_thread_may_not_join_itself():
    code = """
        def work():
            try:
                thread.join()
            except RuntimeError as error:
                print(error)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    assert patched(code) == ["cannot join current thread"]


def test_an_exception_goes_to_excepthook_and_the_others_go_on():
    code = """
        def hook(args):
            print(args.exc_type.__name__, args.exc_value, args.thread.name)
        threading.excepthook = hook
        bad = threading.Thread(target=lambda: 1 / 0, name="bad")
        good = threading.Thread(target=print, args=("good",))
        bad.start(), good.start()
        bad.join(), good.join()
        print(bad.is_alive())
    """
    assert patched(code) == [
        "ZeroDivisionError division by zero bad",
        "good",
        "False",
    ]


def test_an_exception_is_printed_with_its_traceback_once():
    code = """
        def work():
            raise ZeroDivisionError("a bug")
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
    """
    done = run_child(PATCHED + textwrap.dedent(code))
    assert done.returncode == 0
    assert done.stderr.startswith("Exception in thread worker:\nTraceback")
    assert done.stderr.count("ZeroDivisionError: a bug") == 1
    assert os.path.dirname(greenroom.__file__) not in done.stderr


def test_system_exit_ends_the_thread_alone_and_silently():
    code = """
        thread = threading.Thread(target=sys.exit, args=(3,))
        thread.start()
        thread.join()
        import _thread
        _thread.start_new_thread(sys.exit, (4,))
        time.sleep(0.001)
        print("main goes on")
    """
    assert patched(code) == ["main goes on"]


def test_a_thread_that_is_no_daemon_is_waited_for_at_the_end():
    code = """
        def work():
            time.sleep(0.01)
            print("done")
        threading.Thread(target=work).start()
        print("main ends")
    """
    assert patched(code) == ["main ends", "done"]


def test_threads_started_while_the_program_ends_are_waited_for_too():
    code = """
        def work(depth):
            time.sleep(0.001)
            print(depth)
            if depth:
                threading.Thread(target=work, args=(depth - 1,)).start()
        threading.Thread(target=work, args=(3,)).start()
    """
    assert patched(code) == ["3", "2", "1", "0"]


def test_a_daemon_thread_just_stops_at_the_end():
    code = """
        def work():
            try:
                print("starts")
                time.sleep(100)
                print("never")
            finally:
                print("finally")
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.001)
        print("main ends")
    """
    assert patched(code) == ["starts", "main ends"]


def test_a_timer_runs_once_at_its_time_and_can_be_cancelled():
    code = """
        with VirtualClock() as clock:
            timer = threading.Timer(2, lambda: print("fired", clock.now()))
            cancelled = threading.Timer(1, print, ["never"])
            timer.start(), cancelled.start()
            cancelled.cancel()
            timer.join(), cancelled.join()
            print(clock.now())
    """
    assert patched(code) == ["fired 2.0", "2.0"]


def test_local_values_are_each_threads_own():
    code = """
        class Counter(threading.local):
            kind = "class attribute"
            def __init__(self, start):
                self.value = start
        data, counter = threading.local(), Counter(5)
        data.x = "main"
        counter.value += 1
        def work(number):
            print(hasattr(data, "x"), counter.value, counter.kind)
            data.x = number
            counter.value += number
            time.sleep(0.001)
            print(data.x, counter.value)
        threads = [threading.Thread(target=work, args=(n,)) for n in (10, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(data.x, counter.value)
    """
    assert patched(code) == [
        "False 5 class attribute",
        "False 5 class attribute",
        "10 15",
        "20 25",
        "main 6",
    ]


def test_a_thread_starts_with_an_empty_context_and_a_task_with_a_copy():
    code = """
        import contextvars
        name = contextvars.ContextVar("name", default="default")
        name.set("main")
        thread = threading.Thread(target=lambda: print(name.get()))
        thread.start()
        thread.join()
        greenroom.spawn(lambda: print(name.get())).join()
    """
    expected = ["default", "main"]
    assert patched(code) == expected


def test_current_thread_in_a_task_is_a_dummy_that_goes_with_the_task():
    code = """
        def work():
            me = threading.current_thread()
            print(type(me).__name__, me.ident == threading.get_ident(), threading.active_count())
        greenroom.spawn(work).result()
        print(threading.active_count())
        for _ in range(100):
            greenroom.spawn(threading.current_thread).result()
        print(threading.active_count())
    """
    assert patched(code) == ["_DummyThread True 2", "1", "1"]


def test_current_thread_and_many_locals_in_one_task():
    code = """
        def work():
            threading.current_thread()
            kept = [threading.local() for _ in range(200)]
            for number, local in enumerate(kept):
                local.x = number
            return sum(local.x for local in kept)
        print(greenroom.spawn(work).result())
    """
    assert patched(code) == [str(sum(range(200)))]


def test_start_new_thread_of_thread_module():
    code = """
        import _thread
        done = _thread.allocate_lock()
        done.acquire()
        def work(text, end=""):
            print(text + end)
            done.release()
        ident = _thread.start_new_thread(work, ("hello",), {"end": "!"})
        with done:
            print(isinstance(ident, int))
        for wrong in ((3, ()), (print, []), (print, (), 3)):
            try:
                _thread.start_new_thread(*wrong)
            except TypeError as error:
                print(error)
    """
    assert patched(code) == [
        "hello!",
        "True",
        "first arg must be callable",
        "2nd arg must be a tuple",
        "optional 3rd arg must be a dictionary",
    ]


def test_a_deep_recursion_in_a_thread_is_its_own_error():
    code = """
        def dive():
            dive()
        threading.excepthook = lambda args: print(args.exc_type.__name__)
        thread = threading.Thread(target=dive)
        thread.start()
        thread.join()
        print("main goes on")
    """
    assert patched(code) == ["RecursionError", "main goes on"]


def test_trace_and_profile_functions_of_threading_are_accepted():
    code = """
        calls = []
        threading.setprofile(lambda frame, event, arg: calls.append(event))
        def work():
            len("x")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        threading.setprofile(None)
        sys.setprofile(None)
        print("call" in calls)
    """
    assert patched(code) == ["True"]


def test_a_thousand_threads_alive_at_once():
    code = """
        gate, arrived = threading.Event(), []
        def work(number):
            arrived.append(number)
            gate.wait()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(1000)]
        for thread in threads:
            thread.start()
        time.sleep(0)
        print(len(arrived), threading.active_count())
        gate.set()
        for thread in threads:
            thread.join()
        print(threading.active_count())
    """
    assert patched(code) == ["1000 1001", "1"]


def test_a_thread_that_joins_main_is_waited_for_at_the_end():
    code = """
        def work():
            threading.main_thread().join()
            print("end of thread")
        for _ in range(2):
            threading.Thread(target=work).start()
        time.sleep(0)
        print("end of main")
    """
    assert patched(code) == ["end of main", "end of thread", "end of thread"]


def test_what_a_threads_own_values_do_when_they_go_may_wait():
    code = """
        values = threading.local()
        class Slow:
            def __del__(self):
                time.sleep(0.001)
                print("gone")
        def work():
            values.slow = Slow()
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        print("joined")
    """
    assert patched(code) == ["gone", "joined"]


def test_an_error_in_a_bare_thread_reaches_the_unraisable_hook():
    code = """
        import _thread
        def hook(args):
            print(args.exc_type.__name__, args.err_msg.partition(" <")[0])
        def fail():
            raise ValueError
        sys.unraisablehook = hook
        _thread.start_new_thread(fail, ())
        time.sleep(0)
    """
    assert patched(code) == ["ValueError Exception ignored in thread started by"]


@pytest.mark.skipif(
    not native.compiled(), reason="uncompiled, at main's next wait: see the limits in design.md"
)
def test_interrupt_main_reaches_main_though_it_never_waits_again():
    code = """
        import _thread
        ran = []
        def work():
            done.set()  # main is woken now, and will not have to wait in join()
            _thread.interrupt_main()
            ran.append(1)
        done = threading.Event()
        thread = threading.Thread(target=work)
        try:
            thread.start()
            done.wait()
            while not ran:
                time.sleep(0)
            total = sum(range(1000))
            print("not reached")
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert patched(code) == ["interrupted"]


def test_what_a_finalizer_prints_at_the_very_end_comes_out():
    code = """
        class Last:
            def __init__(self):
                self.cycle = self
            def __del__(self):
                print("last")
        last = Last()
    """
    assert patched(code) == ["last"]


def test_a_thread_started_in_an_executor_of_asyncio_is_not_left_behind():
    """asgiref's tests hung at exit: the thread belongs to the real one that had made the call."""
    code = """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        def start():
            pool = ThreadPoolExecutor(1)
            value = pool.submit(lambda: 42).result()
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start()
            pool.shutdown(wait=False)
            return value, thread
        async def main():
            return await asyncio.get_running_loop().run_in_executor(None, start)
        value, thread = asyncio.run(main())
        thread.join()
        print(value)
    """
    assert patched(code) == ["42"]


def test_patching_warns_of_nothing():
    """Where asyncio's policies are deprecated, to look for them was a DeprecationWarning."""
    code = """
        import warnings
        warnings.simplefilter("error")
        import asyncio, greenroom.aio.loop
        loop = asyncio.new_event_loop()
        print(type(loop) is greenroom.aio.loop.Loop)
        loop.close()
    """
    assert patched(code) == ["True"]
