"""queue.Queue and its relatives, and concurrent.futures, on tasks."""

import textwrap

from .children import output_of

PATCHED = """
import greenroom
greenroom.patch_all()
import queue, threading, time
from greenroom.testing.clock import VirtualClock
"""


def patched(code):
    return output_of(PATCHED + textwrap.dedent(code))


def test_a_full_queue_parks_the_producer_and_an_empty_one_the_consumer():
    code = """
        q = queue.Queue(2)
        def produce():
            for item in range(4):
                q.put(item)
                print("put", item)
            q.put(None)
        def consume():
            while (item := q.get()) is not None:
                print("got", item)
        threads = [threading.Thread(target=function) for function in (produce, consume)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    lines = patched(code)
    assert [line for line in lines if "put" in line] == [f"put {item}" for item in range(4)]
    assert [line for line in lines if "got" in line] == [f"got {item}" for item in range(4)]
    assert lines[:2] == ["put 0", "put 1"]
    assert lines.index("got 0") < lines.index("put 3")


def test_timeouts_and_full_and_empty():
    code = """
        q = queue.Queue(1)
        for call in (lambda: q.get(timeout=0.001), q.get_nowait, lambda: q.get(False)):
            try:
                call()
            except queue.Empty:
                print("empty")
        q.put(1)
        for call in (lambda: q.put(2, timeout=0.001), lambda: q.put_nowait(2)):
            try:
                call()
            except queue.Full:
                print("full")
        print(q.get(), q.qsize(), q.empty())
    """
    assert patched(code) == ["empty"] * 3 + ["full"] * 2 + ["1 0 True"]


def test_join_waits_for_task_done():
    code = """
        q, done = queue.PriorityQueue(), []
        def work():
            while True:
                item = q.get()
                time.sleep(0.001)
                done.append(item)
                q.task_done()
        threading.Thread(target=work, daemon=True).start()
        for item in (3, 1, 2):
            q.put(item)
        q.join()
        print(done)
    """
    assert patched(code) == ["[1, 2, 3]"]


def test_simple_queue_parks_times_out_and_keeps_order():
    code = """
        q = queue.SimpleQueue()
        with VirtualClock() as clock:
            try:
                q.get(timeout=2)
            except queue.Empty:
                print("empty", clock.now())
        getting = greenroom.spawn(lambda: [q.get() for _ in range(3)])
        for item in range(3):
            q.put(item)
        print(getting.result(), q.empty(), q.qsize())
        try:
            q.get_nowait()
        except queue.Empty:
            print("empty")
    """
    assert patched(code) == ["empty 2.0", "[0, 1, 2] True 0", "empty"]


def test_a_thread_pool_runs_in_tasks_and_shuts_down():
    code = """
        import os
        from concurrent.futures import ThreadPoolExecutor, as_completed, wait
        with VirtualClock() as clock, ThreadPoolExecutor(5) as pool:
            futures = [pool.submit(time.sleep, 1) for _ in range(10)]
            wait(futures)
            print(clock.now(), len(os.listdir("/proc/self/task")))
            print(list(pool.map(lambda x: x * x, range(5))))
            failing = pool.submit(lambda: 1 / 0)
            print(type(failing.exception()).__name__)
            print(sorted(future.result() for future in
                         as_completed([pool.submit(abs, -n) for n in range(3)])))
        try:
            pool.submit(print)
        except RuntimeError as error:
            print(error)
    """
    assert patched(code) == [
        "2.0 1",
        "[0, 1, 4, 9, 16]",
        "ZeroDivisionError",
        "[0, 1, 2]",
        "cannot schedule new futures after shutdown",
    ]


def test_a_future_times_out_and_a_pool_left_open_ends_with_the_program():
    code = """
        from concurrent.futures import ThreadPoolExecutor
        import concurrent.futures
        pool = ThreadPoolExecutor(1)
        future = pool.submit(time.sleep, 0.02)
        try:
            future.result(timeout=0.001)
        except concurrent.futures.TimeoutError:
            print("timeout")
        pool.submit(print, "last")
    """
    assert patched(code) == ["timeout", "last"]


def test_a_loop_that_polls_a_queue_lets_the_putter_run():
    code = """
        q = queue.Queue()
        threading.Thread(target=q.put, args=("item",)).start()
        polls = 0
        while q.empty():
            polls += 1
            assert polls < 10000
        print(q.get_nowait())
        threading.Thread(target=q.put, args=("next",)).start()
        while True:
            try:
                print(q.get(False))
                break
            except queue.Empty:
                pass
    """
    assert patched(code) == ["item", "next"]


def test_a_thread_that_always_finds_work_lets_others_run():
    code = """
        from concurrent.futures import ThreadPoolExecutor
        stop = []
        def again():
            if not stop:
                pool.submit(again)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(again)
            time.sleep(0.001)
            stop.append(1)
        print("stopped")
    """
    assert patched(code) == ["stopped"]


def test_queues_may_be_subscripted_in_annotations():
    """aiosqlite could not be imported: SimpleQueue[int] was a TypeError."""
    code = """
        class Numbers(queue.SimpleQueue[int]):
            pass
        numbers = Numbers()
        numbers.put(1)
        print(numbers.get(), queue.SimpleQueue[int].__args__, queue.Queue[int].__origin__)
    """
    assert patched(code) == ["1 (<class 'int'>,) <class 'queue.Queue'>"]
