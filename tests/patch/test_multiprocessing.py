"""multiprocessing and ProcessPoolExecutor in a patched program, with each start method.

The programs are files: a spawned child imports the main module. Patching stands at the top of it,
so that the children are patched too; where that matters, a test leaves them unpatched.
"""

import pytest

from .children import output_of

METHODS = ["fork", "spawn", "forkserver"]

PROLOGUE = """
import sys
if __name__ == "__main__" or "unpatched" not in sys.argv:
    import greenroom
    greenroom.patch_all()
import multiprocessing, threading
from multiprocessing.connection import Client, Listener, wait

context = multiprocessing.get_context(sys.argv[1])

def waiting(fn, *args):
    "Start fn in a thread, and let it come to its wait."
    task = greenroom.spawn(fn, *args)
    for _ in range(100):
        greenroom.sleep()
    assert not task.done, task
    return task

def start(fn, *args):
    process = context.Process(target=fn, args=args)
    process.start()
    return process

def square(number): return number * number
"""


@pytest.fixture
def lines_of(tmp_path):
    def lines_of(method, functions, main, *args):
        path = tmp_path / "program.py"
        body = "\n".join("    " + line for line in main.strip().splitlines())
        path.write_text(f"{PROLOGUE}\n{functions}\nif __name__ == '__main__':\n{body}\n")
        return output_of(path, method, *args)

    return lines_of


@pytest.mark.parametrize("method", METHODS)
def test_others_run_while_one_joins_a_process(method, lines_of):
    functions = """
def child(connection):
    connection.recv()
    sys.exit(3)
"""
    main = """
here, there = context.Pipe()
process = start(child, there)
task = waiting(process.join)
print("others run", process.is_alive(), process.join(0.01))
here.send(None)
task.result()
print(process.exitcode)
"""
    assert lines_of(method, functions, main) == ["others run True None", "3"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_queues(kind, method, lines_of):
    functions = """
def child(requests, answers):
    while (number := requests.get()) is not None:
        answers.put(number * number)
"""
    main = f"""
requests, answers = context.{kind}(), context.{kind}()
process = start(child, requests, answers)
task = waiting(answers.get)
print("others run")
requests.put(3)
print(task.result())
for number in range(100):
    requests.put(number)
print(sum(answers.get() for _ in range(100)))
requests.put(None)
process.join()
"""
    assert lines_of(method, functions, main) == ["others run", "9", "328350"]


def test_a_bounded_and_a_joinable_queue(lines_of):
    functions = """
def child(queue):
    for _ in range(10):
        queue.get()
        queue.task_done()
"""
    main = """
queue = context.JoinableQueue(2)
tasks = [greenroom.spawn(queue.put, number) for number in range(10)]
for _ in range(100):
    greenroom.sleep()
print(sum(task.done for task in tasks))
process = start(child, queue)
greenroom.joinall(tasks)
queue.join()
process.join()
print(queue.empty())
"""
    assert lines_of("fork", functions, main) == ["2", "True"]


@pytest.mark.parametrize("args", [(), ("unpatched",)], ids=["patched child", "unpatched child"])
@pytest.mark.parametrize("kind", ["Lock()", "RLock()", "Semaphore(1)", "BoundedSemaphore(1)"])
def test_locks_between_processes(kind, args, lines_of):
    functions = """
def child(lock, connection):
    with lock:
        connection.send("held")
        connection.recv()
"""
    main = f"""
lock = context.{kind}
here, there = context.Pipe()
process = start(child, lock, there)
here.recv()
print(lock.acquire(False), lock.acquire(timeout=0.01))
task = waiting(lambda: (lock.acquire(), lock.release()))
here.send(None)
task.result()
process.join()
print(lock.acquire(), process.exitcode)
"""
    assert lines_of("spawn", functions, main, *args) == ["False False", "True 0"]


def test_a_release_in_this_process_wakes_its_tasks_one_by_one(lines_of):
    main = """
lock = context.Lock()
lock.acquire()
order = []
def work(number):
    with lock:
        order.append(number)
        greenroom.sleep(0.001)
tasks = [waiting(work, number) for number in range(5)]
killed = waiting(work, 5)
killed.kill()
lock.release()
greenroom.joinall(tasks)
print(sorted(order), lock.acquire(False))
"""
    assert lines_of("fork", "", main) == ["[0, 1, 2, 3, 4] True"]


def test_an_rlock_is_owned_by_a_task_and_not_by_its_thread(lines_of):
    """Symptom: the C type knows the OS thread, so two tasks held the lock at once."""
    main = """
lock = context.RLock()
def other():
    try:
        lock.release()
    except AssertionError as error:
        print(error)
    return lock.acquire(False), lock.acquire(timeout=0.01)
with lock, lock:
    print(greenroom.spawn(other).result())
print(greenroom.spawn(lock.acquire).result(), lock.acquire(False))
"""
    assert lines_of("fork", "", main) == [
        "attempt to release recursive lock not owned by thread",
        "(False, False)",
        "True False",
    ]


def test_a_task_that_asked_the_kernel_for_all_is_killed(lines_of):
    """The next who waits asks from then on."""
    functions = """
def child(lock, connection):
    connection.recv()
    lock.release()
"""
    main = """
lock = context.Lock()
here, there = context.Pipe()
process = start(child, lock, there)
lock.acquire()
first, second = waiting(lock.acquire), waiting(lock.acquire)
first.kill()
first.join()
here.send(None)
print(second.result())
process.join()
"""
    assert lines_of("fork", functions, main) == ["True"]


def test_releasing_too_often(lines_of):
    main = """
for lock in (context.Lock(), context.BoundedSemaphore(2)):
    try:
        lock.release()
    except ValueError as error:
        print(error)
"""
    assert lines_of("fork", "", main) == ["semaphore or lock released too many times"] * 2


@pytest.mark.parametrize("method", METHODS)
def test_condition_event_and_barrier(method, lines_of):
    functions = """
def child(condition, event, barrier):
    event.wait()
    barrier.wait()
    with condition:
        condition.notify_all()
"""
    main = """
condition, event, barrier = context.Condition(), context.Event(), context.Barrier(3)
process = start(child, condition, event, barrier)
def wait_for_it():
    with condition:
        return condition.wait()
tasks = [waiting(wait_for_it) for _ in range(2)]
first = waiting(barrier.wait)
event.set()
print(sorted([barrier.wait(), first.result()]) in ([0, 1], [0, 2], [1, 2]))
print([task.result() for task in tasks])
process.join()
"""
    assert lines_of(method, functions, main) == ["True", "[True, True]"]


@pytest.mark.parametrize("method", METHODS)
def test_pool(method, lines_of):
    """Symptom: it hung, for its threads are tasks and their reads blocked."""
    main = """
with context.Pool(2) as pool:
    tasks = [greenroom.spawn(pool.apply, square, (number,)) for number in range(10)]
    print(pool.map(square, range(5)), sum(task.result() for task in tasks))
    print(list(pool.imap(square, range(5))))
    pool.close()
    pool.join()
"""
    assert lines_of(method, "", main) == ["[0, 1, 4, 9, 16] 285", "[0, 1, 4, 9, 16]"]


@pytest.mark.parametrize("method", METHODS)
def test_process_pool_executor_from_threads(method, lines_of):
    main = """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with ProcessPoolExecutor(2, mp_context=context) as pool, ThreadPoolExecutor(4) as threads:
    ask = lambda number: pool.submit(square, number).result()
    print(list(threads.map(ask, range(5))), list(pool.map(square, range(5))))
"""
    assert lines_of(method, "", main) == ["[0, 1, 4, 9, 16] [0, 1, 4, 9, 16]"]


@pytest.mark.parametrize("method", METHODS)
def test_manager_with_a_connection_for_each_task(method, lines_of):
    main = """
with context.Manager() as manager:
    queue, numbers, lock = manager.Queue(), manager.dict(), manager.Lock()
    task = waiting(queue.get)
    def work(number):
        with lock:
            numbers[number] = square(number)
    greenroom.joinall([greenroom.spawn(work, number) for number in range(10)])
    queue.put("item")
    print(task.result(), sum(numbers.values()))
"""
    assert lines_of(method, "", main) == ["item 285"]


def test_modules_that_were_imported_before_patching():
    code = """
        import concurrent.futures.process, multiprocessing.connection, multiprocessing.managers
        import multiprocessing.pool, multiprocessing.synchronize, multiprocessing.resource_tracker
        import threading
        import greenroom
        greenroom.patch_all()
        context = multiprocessing.get_context("fork")
        local = multiprocessing.managers.util.ForkAwareLocal()
        local.x = 1
        print(greenroom.spawn(hasattr, local, "x").result())
        lock = context.RLock()
        lock.acquire()
        print(greenroom.spawn(lock.acquire, False).result())
        here, there = context.Pipe()
        task = greenroom.spawn(here.recv)
        greenroom.sleep()
        there.send("message")
        print(task.result())
        with context.Pool(1) as pool:
            print(pool.apply(int, (7,)))
    """
    assert output_of(code) == ["False", "False", "message", "7"]


def test_listener_client_and_wait(lines_of):
    main = """
with Listener(authkey=b"key") as listener:
    task = greenroom.spawn(listener.accept)
    client = Client(listener.address, authkey=b"key")
    server = task.result()
    ready = waiting(wait, [server])
    client.send("message")
    print(ready.result() == [server], server.recv(), wait([server], 0.01))
    reader = waiting(server.recv_bytes)
    data = b"x" * 1_000_000
    client.send_bytes(data)
    print(reader.result() == data)
    reader = waiting(server.recv)
    client.close()
    try:
        reader.result()
    except EOFError:
        print("end")
"""
    assert lines_of("fork", "", main) == ["True message []", "True", "end"]


def test_a_connection_that_is_closed_while_a_task_reads(lines_of):
    main = """
here, there = context.Pipe()
task = waiting(here.recv)
here.close()
try:
    task.result()
except OSError as error:
    print(type(error).__name__)
"""
    assert lines_of("fork", "", main) == ["ClosedError"]


def test_resources_that_are_shared_do_not_block_the_signals_of_main(lines_of):
    """The server of resource_sharer blocks all signals in its thread, here the main one."""
    main = """
import os, signal
from multiprocessing.reduction import DupFd
from multiprocessing import resource_sharer
read, write = os.pipe()
shared = resource_sharer.DupFd(read)
print(os.fstat(shared.detach()).st_ino == os.fstat(read).st_ino)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
resource_sharer.stop()
"""
    assert lines_of("fork", "", main) == ["True", "set()"]


def test_shared_memory_and_values(lines_of):
    functions = """
def child(name, value, array):
    memory = SharedMemory(name)
    memory.buf[0] = 7
    memory.close()
    for _ in range(100):
        with value.get_lock():
            value.value += 1
    array[0] = 5
"""
    main = """
memory = SharedMemory(create=True, size=10)
value, array = context.Value("i", 0), context.Array("i", 3)
processes = [start(child, memory.name, value, array) for _ in range(3)]
for process in processes:
    process.join()
print(memory.buf[0], value.value, array[:])
memory.close()
memory.unlink()
"""
    functions = "from multiprocessing.shared_memory import SharedMemory\n" + functions
    assert lines_of("spawn", functions, main) == ["7 300 [5, 0, 0]"]
