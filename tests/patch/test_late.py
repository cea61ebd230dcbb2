"""Patching late: locks that exist already, tasks that run already, threading first in a task."""

from .children import output_of, run_child


def test_locks_made_before_are_green_wherever_they_stand():
    code = """
        import logging, queue, threading
        import concurrent.futures.thread
        waiting = queue.Queue()
        event = threading.Event()
        handler = logging.StreamHandler()
        lock = threading.Lock()
        class Thing:
            shared = threading.RLock()
            def __init__(self):
                self.own = threading.Lock()
        thing = Thing()
        import greenroom
        greenroom.patch_all()
        for one in (lock, thing.own, waiting.mutex, waiting.not_empty._lock, event._cond._lock,
                    concurrent.futures.thread._global_shutdown_lock):
            assert type(one) is greenroom.Lock, one
        for one in (Thing.shared, logging._lock, handler.lock):
            assert type(one) is greenroom.RLock, one
        assert waiting.not_full._lock is waiting.mutex  # still one lock
        assert waiting.not_empty.acquire.__self__ is waiting.mutex
        def worker():
            greenroom.sleep(0)
            waiting.put("item")
            event.set()
        threading.Thread(target=worker).start()
        print(waiting.get(), event.wait())
    """
    assert output_of(code) == ["item True"]


def test_a_lock_that_is_held_stays_and_is_named():
    code = """
        import threading
        held = threading.Lock()
        held.acquire()
        import greenroom
        greenroom.patch_all()
        held.release()
        print(type(held) is type(greenroom.original("_thread.allocate_lock")()))
    """
    done = run_child(code)
    assert done.stdout == "True\n"
    assert "patch_all() found the lock __main__.held held: it stays a real one" in done.stderr


def test_a_lock_that_a_real_thread_holds_stays_and_is_named():
    code = """
        import threading
        class Box:
            pass
        box = Box()
        box.lock = threading.Lock()
        taken, leave = threading.Event(), threading.Event()
        def hold():
            with box.lock:
                taken.set()
                leave.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        import greenroom
        greenroom.patch_all()
        leave.set()
        while box.lock.locked():
            greenroom.original("time.sleep")(0.001)
        with box.lock:
            print("free again")
    """
    done = run_child(code)
    assert done.stdout == "free again\n", done.stderr
    assert "Box.lock held" in done.stderr
    assert done.returncode == 0


def test_a_fork_while_another_task_holds_a_replaced_lock_of_a_module():
    code = """
        import logging, os
        import greenroom
        greenroom.patch_all()
        def hold():
            with logging._lock:
                greenroom.sleep(1)
        task = greenroom.spawn(hold)
        greenroom.sleep(0)
        if (pid := greenroom.original("os.fork")()) == 0:
            with logging._lock:
                os._exit(7)
        task.kill()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    assert output_of(code) == ["7"]


def test_patching_from_a_task_warns_and_works():
    code = """
        import greenroom, time
        def program():
            greenroom.patch_all()
            print(greenroom.is_patched("time.sleep"))
        greenroom.spawn(program, name="program").join()
    """
    done = run_child(code)
    assert done.stdout == "True\n"
    assert "patch_all() is called from <Task program runnable>" in done.stderr
    assert "patch at the top of the program" in done.stderr


def test_patching_while_tasks_are_alive_warns_and_works():
    code = """
        import greenroom, time
        tasks = [greenroom.spawn(greenroom.sleep, 0) for _ in range(3)]
        greenroom.patch_all()
        greenroom.joinall(tasks)
        time.sleep(0)
    """
    done = run_child(code)
    assert (done.returncode, done.stdout) == (0, "")
    assert "patch_all() is called while 3 tasks are alive" in done.stderr


def test_patching_in_a_real_thread_patches_for_all():
    code = """
        import threading
        seen = []
        def patch():
            import greenroom
            seen.append(len(greenroom.patch_all().names) > 100)
        thread = threading.Thread(target=patch)
        thread.start()
        thread.join()
        import greenroom, time
        ticks = []
        greenroom.spawn(ticks.append, "ticked")
        time.sleep(0.001)
        print(seen, ticks)
    """
    assert output_of(code) == ["[True] ['ticked']"]


def test_threading_imported_first_by_a_task_knows_the_main_thread():
    code = """
        import greenroom, sys
        greenroom.patch_all()
        def first():
            assert "threading" not in sys.modules
            import threading
            print(threading.current_thread() is threading.main_thread())
        greenroom.spawn(first).join()
        import threading
        print(threading.current_thread() is threading.main_thread(), threading.active_count())
    """
    assert output_of(code) == ["False", "True 1"]
