"""What looks at a program of tasks from outside: a sampling profiler, a debugger's script."""

import re
import signal
import sys

import pytest
from observed import end, program, tool, until_asleep

import greenroom
from greenroom.core import native

profiler = pytest.mark.skipif(
    sys.version_info < (3, 15) or not native.compiled(),
    reason="profiling.sampling is new in CPython 3.15, and only C can link a carrier's frames",
)
remote_exec = pytest.mark.skipif(
    not hasattr(sys, "remote_exec"), reason="sys.remote_exec is new in CPython 3.14"
)


# --- profiling.sampling: a stack that does not end in the thread's base frame is thrown away


@profiler
def test_a_sampling_profiler_sees_the_whole_stack_of_a_task():
    """`dump` said "Incomplete sample: did not reach base frame" while a task ran."""
    code = """
        import os, greenroom

        def inner():
            print("ready")
            os.read(0, 1)

        def outer():
            inner()

        def switched():
            others = [greenroom.spawn(greenroom.sleep, 0) for _ in range(3)]
            greenroom.joinall(others)
            greenroom.spawn(outer).join()

        greenroom.spawn(switched).join()
    """
    with program(code) as child:
        said = tool("profiling.sampling", "dump", child.pid)
        end(child)
    assert re.findall(r", in (\w+)", said) == ["outer", "inner"]


@profiler
@pytest.mark.parametrize("how", ["thread", "generator", "coroutine", "after a switch"])
def test_it_does_so_however_the_task_is_run(how):
    code = f"""
        import os, threading, greenroom

        how = {how!r}

        def inner():
            print("ready")
            os.read(0, 1)

        def function():
            inner()

        def steps():
            yield
            inner()

        async def coroutine():
            inner()

        def switched():
            greenroom.sleep(0.01)
            inner()

        if how == "thread":
            thread = threading.Thread(target=lambda: greenroom.spawn(function).join())
            thread.start()
            thread.join()
        else:
            what = {{"generator": steps(), "coroutine": coroutine(), "after a switch": switched}}
            greenroom.spawn(what.pop(how)).join()
    """
    with program(code) as child:
        said = tool("profiling.sampling", "dump", "--all-threads", child.pid)
        end(child)
    assert re.search(r"in inner\b", said)


_BURN = """
import time

import greenroom

end = time.monotonic() + 1.5

def burn():
    return sum(i * i for i in range(300))

def first():
    while time.monotonic() < end:
        burn()
        greenroom.sleep(0)

def second():
    while time.monotonic() < end:
        burn()
        greenroom.sleep(0)

greenroom.joinall([greenroom.spawn(first), greenroom.spawn(second)])
"""


@profiler
def test_a_profile_of_tasks_has_the_functions_of_each(tmp_path):
    """All samples were lost. How many are lost now is in docs/performance.md: it is no law."""
    script, out = tmp_path / "burn.py", tmp_path / "stacks.txt"
    script.write_text(_BURN)
    tool("profiling.sampling", "run", "--collapsed", "-o", out, script)
    stacks = out.read_text()
    assert re.search(r"burn.py:first:\d+;burn.py:burn:", stacks)
    assert re.search(r"burn.py:second:\d+;burn.py:burn:", stacks)


# --- frames end where they did


def test_the_frames_of_a_task_end_in_its_own_function():
    def names():
        frame, found = sys._getframe(), []
        while frame is not None:
            found.append(frame.f_code.co_name)
            frame = frame.f_back
        return found

    def waits_between():
        before = names()
        greenroom.sleep(0)
        return before, names()

    if native.compiled():
        assert greenroom.spawn(names).result() == ["names"]
        expected = ["names", "waits_between"]
        assert greenroom.spawn(waits_between).result() == (expected, expected)


# --- sys.remote_exec: a debugger's script runs at a bytecode of the program's main thread


_SCRIPT = """
import greenroom

who = greenroom.current().name
try:
    greenroom.sleep(0.01)
    print("the script has waited in", who)
except RuntimeError as error:
    print("the script in", who, "cannot wait:", error)
"""


def run_in(child, folder):
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    sys.remote_exec(child.pid, str(script))


def waited_in(task, said):
    """Tell whether a script has waited in task. Uncompiled it has met the loop's own bytecodes."""
    if not native.compiled():
        return "cannot wait" in said
    return said.startswith(f"the script has waited in {task}")


@remote_exec
def test_a_remote_script_runs_in_the_next_task_that_wakes_up_and_may_wait(tmp_path):
    code = """
        import greenroom
        from greenroom.green import select

        def waits():
            print("ready")
            select.select([0], [], [])
            print("it goes on")

        greenroom.spawn(waits, name="waiter").join()
    """
    with program(code) as child:
        until_asleep(child.pid)
        run_in(child, tmp_path)
        said, *rest = end(child)
        assert rest == ["it goes on"]
        assert waited_in("waiter", said)


@remote_exec
def test_a_remote_script_runs_in_the_middle_of_a_task_that_computes(tmp_path):
    code = """
        import greenroom, select, time

        def computes():
            print("ready")
            while not select_now([0], [], [], 0)[0]:
                pass
            print("computed")

        select_now = select.select
        greenroom.spawn(computes, name="computer").join()
    """
    with program(code) as child:
        run_in(child, tmp_path)
        assert child.stdout.readline() == "the script has waited in computer\n"
        assert end(child) == ["computed"]


@remote_exec
def test_a_remote_script_that_runs_between_two_tasks_is_told_that_it_cannot_wait(tmp_path):
    code = """
        import select, greenroom
        from greenroom.core import scheduler

        def between():
            print("ready")
            while not select.select([0], [], [], 0)[0]:
                pass

        def other():
            print("another task runs")

        scheduler.get().call_soon_threadsafe(between)
        greenroom.sleep(0.001)
        greenroom.spawn(other).join()
        print("main goes on")
    """
    with program(code) as child:
        run_in(child, tmp_path)
        said = child.stdout.readline()
        assert "cannot wait" in said and "this runs between two tasks" in said
        assert end(child) == ["another task runs", "main goes on"]


@remote_exec
def test_a_signal_makes_an_idle_program_run_a_remote_script_at_once(tmp_path):
    """Nothing else would: the script waits for a bytecode, here and in a program without tasks."""
    code = """
        import signal, greenroom
        from greenroom.green import select

        signal.signal(signal.SIGWINCH, lambda *args: None)

        def waits():
            print("ready")
            select.select([0], [], [])
            print("it goes on")

        greenroom.spawn(waits, name="waiter").join()
    """
    with program(code) as child:
        until_asleep(child.pid)
        run_in(child, tmp_path)
        child.send_signal(signal.SIGWINCH)
        assert waited_in("signal-handlers", child.stdout.readline())
        assert end(child) == ["it goes on"]
