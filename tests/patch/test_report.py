"""patch_all(): what it says it did, parts, twice, and the way back."""

from greenroom.patch.table import PARTS

from .children import output_of, run_child


def test_importing_greenroom_patches_nothing():
    code = """
        import time, socket, select, threading
        before = time.sleep, socket.socket.recv, select.select, threading.Lock
        import greenroom
        after = time.sleep, socket.socket.recv, select.select, threading.Lock
        print(before == after, greenroom.is_patched("time.sleep"))
    """
    assert output_of(code) == ["True False"]


def test_the_report_counts_the_names_and_lists_them():
    code = """
        import greenroom
        done = greenroom.patch_all()
        wanted = {"time:sleep", "socket:socket.recv", "select:select", "threading:Lock"}
        print(wanted <= set(done.names), len(done.names) == len(set(done.names)), done.kept)
        print(str(done) == f"{len(done.names)} names of the standard library are green")
    """
    assert output_of(code) == ["True True []", "True"]


def test_a_module_that_kept_a_name_is_named_with_the_way_out():
    code = """
        import sys, types
        import time, threading
        program = types.ModuleType("program")
        program.nap = time.sleep
        program.Lock = threading.Lock
        sys.modules["program"] = program
        import greenroom
        done = greenroom.patch_all()
        for line in str(done).splitlines()[1:]:
            print(line)
        print(program.nap is greenroom.original("time.sleep"))
    """
    lines = output_of(code)
    assert (
        "cannot patch 'time:sleep' for 'program': it kept its own reference as 'nap'; "
        "start with 'greenroom run', or patch before it is imported"
    ) in lines
    assert any("'program'" in line and "'Lock'" in line for line in lines)
    assert lines[-1] == "True"


def test_copies_in_the_standard_library_itself_are_rebound():
    code = """
        import time, sched, queue, subprocess
        import greenroom
        done = greenroom.patch_all()
        print(done.kept)
        print(subprocess._time is time.monotonic)
        print(issubclass(queue.SimpleQueue, greenroom.SimpleQueue))
    """
    assert output_of(code) == ["[]", "True", "True"]


def test_patching_twice_changes_nothing_and_says_the_same():
    code = """
        import greenroom, time, socket
        first = greenroom.patch_all()
        sleep, recv = time.sleep, socket.socket.recv
        second = greenroom.patch_all()
        print(first.names == second.names, time.sleep is sleep, socket.socket.recv is recv)
        greenroom.unpatch_all()
        print(time.sleep is greenroom.original("time.sleep"))
    """
    assert output_of(code) == ["True True True", "True"]


def test_a_part_left_out_stays_as_it_is_and_can_be_added_later():
    code = """
        import greenroom
        import time, socket, select, threading, queue
        greenroom.patch_all(time=False, socket=False)
        for name in ("time.sleep", "socket.socket.recv", "select.select", "threading.Lock"):
            print(greenroom.is_patched(name), end=" ")
        print(type(time.sleep).__name__)
        greenroom.patch_all()
        print(greenroom.is_patched("time.sleep"), greenroom.is_patched("socket.socket.recv"))
    """
    assert output_of(code) == [
        "False False True True builtin_function_or_method",
        "True True",
    ]


def test_each_part_alone():
    code = """
        import greenroom
        parts = ("thread", "queue", "time", "select", "socket", "dns")
        mark = {"thread": "threading.Lock", "queue": "queue.SimpleQueue", "time": "time.sleep",
                "select": "select.select", "socket": "socket.socket.recv",
                "dns": "_socket.getaddrinfo"}
        for part in parts:
            greenroom.patch_all(**{other: other == part for other in parts})
            print([other for other in parts if greenroom.is_patched(mark[other])])
            greenroom.unpatch_all()
    """
    assert output_of(code) == [
        repr([part]) for part in ("thread", "queue", "time", "select", "socket", "dns")
    ]


def test_an_unknown_part_is_an_error_and_patches_nothing():
    code = """
        import greenroom
        try:
            greenroom.patch_all(sockets=False)
        except TypeError as error:
            print(error)
        print(greenroom.is_patched("time.sleep"))
    """
    assert output_of(code) == [
        f"patch_all() knows no part 'sockets'; there are {', '.join(PARTS)}",
        "False",
    ]


def test_original_gives_the_unpatched_object_before_and_after():
    code = """
        import time, socket, select, threading, _thread
        import greenroom
        names = ("time.sleep", "socket.socket.recv", "select.poll", "_thread.allocate_lock")
        before = [greenroom.original(name) for name in names]
        greenroom.patch_all()
        print([greenroom.original(name) for name in names] == before)
        print(before[0].__module__, time.sleep is before[0])
        try:
            greenroom.original("time.nap")
        except AttributeError as error:
            print(error)
    """
    assert output_of(code) == [
        "True",
        "time False",
        "module 'time' has no attribute 'nap'",
    ]


def test_unpatch_all_puts_everything_back():
    code = """
        import greenroom
        import _socket, _thread, _queue, queue, select, selectors, socket, threading, time
        modules = _socket, _thread, _queue, queue, select, selectors, socket, threading, time
        classes = socket.socket, selectors.SelectSelector, selectors.PollSelector
        classes += selectors.EpollSelector, threading._DummyThread
        def state():
            # A lock that was made before stays green: somebody may hold it.
            return [{name: id(value) for name, value in vars(owner).items()
                     if not name.startswith("__") and not hasattr(value, "acquire_lock")
                     and name != "_active_limbo_lock"} for owner in (*modules, *classes)]
        before = state()
        greenroom.patch_all()
        print(state() != before)
        greenroom.unpatch_all()
        print(state() == before, greenroom.is_patched("time.sleep"))
    """
    assert output_of(code) == ["True", "True False"]


def test_patching_after_the_modules_were_used_is_allowed():
    code = """
        import threading, queue, socket, time
        lock = threading.Lock()
        with lock:
            pass
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        thread.join()
        import greenroom
        greenroom.patch_all()
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        thread.join()
        print(threading.active_count(), threading.current_thread().name)
    """
    done = run_child(code)
    assert (done.stdout, done.stderr, done.returncode) == ("1 MainThread\n", "", 0)
