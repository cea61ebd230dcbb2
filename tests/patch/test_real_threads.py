"""Under patching real threads are still there, by original(), and may run tasks of their own."""

import sys

import pytest

from .children import output_of


def test_a_real_thread_makes_its_own_scheduler_after_patching():
    code = """
        import greenroom
        greenroom.patch_all()
        import time
        start_new_thread = greenroom.original("_thread.start_new_thread")
        done = greenroom.Event()
        def work():
            tasks = [greenroom.spawn(time.sleep, 0.001) for _ in range(3)]
            greenroom.joinall(tasks)
            print([task.done for task in tasks])
            done.set()
        start_new_thread(work, ())
        done.wait(60)  # for ever it would be a deadlock until the thread has begun
    """
    assert output_of(code) == ["[True, True, True]"]


def test_a_forked_child_makes_its_own_scheduler_after_patching():
    code = """
        import greenroom
        greenroom.patch_all()
        import os, threading, time
        time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            thread = threading.Thread(target=time.sleep, args=(0.001,))
            thread.start()
            thread.join()
            print("child", threading.active_count(), flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    assert output_of(code) == ["child 1", "0"]


def test_multiprocessing_by_fork_works_under_patching():
    code = """
        import greenroom
        greenroom.patch_all()
        import multiprocessing
        context = multiprocessing.get_context("fork")
        def work(connection):
            connection.send(connection.recv() * 2)
        mine, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs,))
        process.start()
        mine.send(21)
        print(mine.recv())
        process.join()
        print(process.exitcode)
    """
    assert output_of(code) == ["42", "0"]


def test_a_child_forked_by_a_thread_has_it_as_main_and_the_others_as_ended():
    code = """
        import threading
        import greenroom
        greenroom.patch_all()
        import os, time
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        def work():
            if os.fork() == 0:
                me = threading.current_thread()
                print(threading.main_thread() is me, threading.enumerate() == [me])
                print([thread.is_alive() for thread in (main, other)])
                main.join(), other.join()
                helper = threading.Thread(target=print, args=("helper",))
                helper.start(), helper.join()
            else:
                print(os.waitstatus_to_exitcode(os.wait()[1]))
        main = threading.main_thread()
        gate = threading.Event()
        other = threading.Thread(target=gate.wait)
        worker = threading.Thread(target=work)
        other.start(), worker.start(), worker.join()
        gate.set()
    """
    assert output_of(code) == ["True True", "[False, False]", "helper", "0"]


def test_main_may_be_joined_though_threading_was_imported_before_patching():
    code = """
        import threading
        import greenroom
        greenroom.patch_all()
        def work():
            threading.main_thread().join()
            print("end of thread")
        threading.Thread(target=work).start()
        print("end of main")
    """
    assert output_of(code) == ["end of main", "end of thread"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="os.fork() warns from Python 3.12 on")
def test_a_fork_beside_other_threads_warns_as_it_does_beside_real_ones():
    code = """
        import greenroom
        greenroom.patch_all()
        import os, threading, warnings
        gate = threading.Event()
        def fork():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
            os.waitpid(pid, 0)
            return [(one.category.__name__, one.filename) for one in caught]
        print(fork())
        thread = threading.Thread(target=gate.wait)
        thread.start()
        print(fork())
        gate.set()
        thread.join()
    """
    assert output_of(code) == ["[]", "[('DeprecationWarning', '<string>')]"]
