"""signal under patching: waits park, handlers raise in main, the wake-up fd is shared."""

import pytest

from .children import output_of

PROLOGUE = """
import greenroom
greenroom.patch_all()
import os, signal, threading
from greenroom import Event, sleep, spawn
from signal import SIGALRM, SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2

def me(number):
    os.kill(os.getpid(), number)

def waiting(fn, *args):
    "Start fn in a task, and let it come to its wait."
    task = spawn(fn, *args)
    for _ in range(100):
        sleep()
    assert not task.done, task
    return task

class Stop(Exception): pass
def stop(*_):
    raise Stop
"""


def lines_of(code, **env):
    return output_of(PROLOGUE + code, env=env)


WAITS = {
    "sigwait": "signal.sigwait([SIGUSR1])",
    "sigwaitinfo": "signal.sigwaitinfo([SIGUSR1]).si_signo",
    "sigtimedwait": "signal.sigtimedwait([SIGUSR1], 60).si_signo",
}


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_others_run_while_one_waits_for_a_blocked_signal(call):
    assert lines_of(
        f"""
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGUSR1])
task = waiting(lambda: {call})
print("others run")
me(SIGUSR1)
print(int(task.result()) == SIGUSR1)
"""
    ) == ["others run", "True"]


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_a_wait_takes_a_signal_that_is_not_blocked_from_its_handler(call):
    assert lines_of(
        f"""
signal.signal(SIGUSR1, stop)
task = waiting(lambda: {call})
me(SIGUSR1)
print(int(task.result()) == SIGUSR1)
try:
    me(SIGUSR1)
except Stop:
    print("the handler is there again")
"""
    ) == ["True", "the handler is there again"]


def test_waiting_for_ctrl_c_with_sigwait():
    assert lines_of(
        """
spawn(me, SIGINT)
print(signal.sigwait([SIGINT, SIGTERM]).name)
"""
    ) == ["SIGINT"]


def test_without_signalfd_the_wait_asks_again_and_again():
    assert lines_of(
        """
from greenroom.green import signal as green
green._signalfd = lambda numbers: -1
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGUSR1])
task = waiting(signal.sigwait, [SIGUSR1])
me(SIGUSR1)
print(task.result().name)
"""
    ) == ["SIGUSR1"]


def test_each_of_several_waits_gets_its_own_signal():
    assert lines_of(
        """
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGUSR1, SIGUSR2])
first = waiting(signal.sigwait, [SIGUSR1])
second = waiting(signal.sigwait, [SIGUSR2])
me(SIGUSR2)
print(second.result().name, first.done)
me(SIGUSR1)
print(first.result().name)
"""
    ) == ["SIGUSR2 False", "SIGUSR1"]


def test_sigtimedwait_that_times_out_and_wrong_arguments():
    assert lines_of(
        """
print(signal.sigtimedwait([SIGUSR1], 0), signal.sigtimedwait([SIGUSR1], 0.01))
for args in ([SIGUSR1], -1), ([SIGUSR1], "1"), ([1000], 1), (7, 1):
    try:
        signal.sigtimedwait(*args)
    except (ValueError, TypeError) as error:
        print(type(error).__name__)
"""
    ) == ["None None", "ValueError", "TypeError", "ValueError", "TypeError"]


def test_a_killed_sigwait_leaves_the_signal_to_others():
    assert lines_of(
        """
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGUSR1])
task = waiting(signal.sigwait, [SIGUSR1])
task.kill()
task.join()
me(SIGUSR1)
print(signal.sigpending(), signal.sigwait([SIGUSR1]).name)
"""
    ) == ["{<Signals.SIGUSR1: 10>} SIGUSR1"]


def test_pause_ends_when_a_handler_has_run():
    assert lines_of(
        """
signal.signal(SIGUSR1, lambda *_: print("handler"))
task = waiting(signal.pause)
print("others run")
me(SIGUSR1)
print(task.result())
"""
    ) == ["others run", "handler", "None"]


def test_pause_in_main_raises_what_the_handler_raises():
    assert lines_of(
        """
signal.signal(SIGALRM, stop)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    signal.pause()
except Stop:
    print("stopped")
"""
    ) == ["stopped"]


# --- handlers


def test_what_a_handler_raises_in_a_task_is_raised_in_main():
    """Symptom: it was raised in whichever task ran; main never heard of it."""
    assert lines_of(
        """
signal.signal(SIGUSR1, stop)
def work():
    me(SIGUSR1)
    for _ in range(1000):
        pass
    print("work goes on")
task = spawn(work)
try:
    sleep(60)
except Stop:
    print("main was stopped")
task.join()
"""
    ) == ["work goes on", "main was stopped"]


def test_what_a_handler_raises_in_main_s_own_code_is_raised_there():
    assert (
        lines_of(
            """
signal.signal(SIGUSR1, stop)
for send in (me, signal.raise_signal, lambda n: signal.pthread_kill(threading.get_ident(), n)):
    try:
        send(SIGUSR1)
        print("too late")
    except Stop:
        print("stopped")
"""
        )
        == ["stopped"] * 3
    )


def test_sys_exit_in_a_handler_ends_the_program():
    assert lines_of(
        """
import sys
signal.signal(SIGTERM, lambda *_: sys.exit(0))
spawn(me, SIGTERM)
try:
    sleep(60)
finally:
    print("finally")
"""
    ) == ["finally"]


def test_a_handler_that_waits_in_a_task_that_is_killed():
    assert lines_of(
        """
event = Event()
signal.signal(SIGUSR1, lambda *_: event.wait())
task = waiting(lambda: (me(SIGUSR1), print("not reached")))
task.kill()
task.join()
print(type(task.exception).__name__)
"""
    ) == ["TaskKilled"]


def test_a_handler_may_wait_and_start_threads_while_every_task_waits():
    # Symptom: uncompiled, the handler ran inside the scheduler's loop and ended the program.
    code = """
import time
done = threading.Event()
lock = threading.Lock()
def handler(number, frame):
    with lock:
        time.sleep(0.01)
    thread = threading.Thread(target=print, args=("in a thread",))
    thread.start()
    thread.join()
    count.append(number)
    if len(count) == 20:
        done.set()
count = []
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.02)
busy = threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(100)])
busy.start()
done.wait()
signal.setitimer(signal.ITIMER_REAL, 0)
busy.join()
print(len(count) >= 20)
"""
    lines = lines_of(code)
    assert lines[-1] == "True" and set(lines[:-1]) == {"in a thread"} and len(lines) > 20


def test_getsignal_returns_what_was_set():
    assert lines_of(
        """
def handler(*_): pass
print(signal.getsignal(SIGINT) is signal.default_int_handler)
print(signal.signal(SIGUSR1, handler).name, signal.getsignal(SIGUSR1) is handler)
print(signal.signal(SIGUSR1, signal.SIG_IGN) is handler, signal.getsignal(SIGUSR1).name)
print(signal.signal(SIGINT, handler) is signal.default_int_handler)
print(signal.signal(SIGINT, signal.default_int_handler) is handler)
try:
    spawn(me, SIGINT)
    sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
    ) == [
        "True",
        "SIG_DFL True",
        "True SIG_IGN",
        "True",
        "True",
        "interrupted",
    ]


def test_handlers_and_wake_up_fd_of_before_patching():
    code = """
        import os, signal
        got = []
        def handler(number, frame):
            got.append(number)
            raise ZeroDivisionError
        signal.signal(signal.SIGUSR1, handler)
        read, write = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(write)
        import greenroom
        greenroom.patch_all()
        print(signal.getsignal(signal.SIGUSR1) is handler)
        greenroom.spawn(os.kill, os.getpid(), signal.SIGUSR1)
        try:
            greenroom.sleep(60)
        except ZeroDivisionError:
            print("raised in main")
        print(list(os.read(read, 10)) == got, signal.set_wakeup_fd(-1) == write)
        greenroom.unpatch_all()
        print(signal.getsignal(signal.SIGUSR1) is handler)
    """
    assert output_of(code) == ["True", "raised in main", "True True", "True"]


def test_sigchld_handler_that_reaps():
    assert lines_of(
        """
import subprocess
reaped = Event()
def handler(*_):
    try:
        print(os.waitpid(-1, os.WNOHANG)[1] >> 8)
    finally:
        reaped.set()
signal.signal(SIGCHLD, handler)
pid = os.posix_spawnp("sh", ["sh", "-c", "exit 3"], os.environ)
reaped.wait()
"""
    ) == ["3"]


# --- the wake-up fd


def test_the_program_s_wake_up_fd_gets_each_number_before_the_handler_runs():
    assert lines_of(
        """
read, write = os.pipe2(os.O_NONBLOCK)
print(signal.set_wakeup_fd(write))
signal.signal(SIGUSR1, lambda *_: print(list(os.read(read, 10)) == [SIGUSR1]))
me(SIGUSR1)
spawn(me, SIGUSR1)
sleep(0.01)
print(signal.set_wakeup_fd(-1) == write, signal.set_wakeup_fd(-1))
"""
    ) == ["-1", "True", "True", "True -1"]


def test_a_wrong_wake_up_fd_is_refused_as_ever():
    assert lines_of(
        """
read, write = os.pipe()
for fd in (999, write, "1"):
    try:
        signal.set_wakeup_fd(fd)
    except (OSError, ValueError, TypeError) as error:
        print(type(error).__name__)
print(signal.set_wakeup_fd(-1))
"""
    ) == ["OSError", "ValueError", "TypeError", "-1"]


def test_asyncio_s_signal_handlers():
    assert lines_of(
        """
import asyncio
async def main():
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGUSR1, event.set)
    loop.call_soon(me, SIGUSR1)
    await event.wait()
    return loop.remove_signal_handler(SIGUSR1)
print(asyncio.run(main()))
"""
    ) == ["True"]


# --- idents


def test_pthread_kill_of_a_green_thread_reaches_its_os_thread():
    assert lines_of(
        """
import time
signal.signal(SIGUSR1, lambda *_: print("handler"))
def work():
    signal.pthread_kill(threading.get_ident(), SIGUSR1)
    print(time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident())) > 0)
thread = threading.Thread(target=work)
thread.start()
thread.join()
signal.pthread_kill(threading.main_thread().ident, SIGUSR1)
"""
    ) == ["handler", "True", "handler"]


def test_only_the_signal_part():
    code = """
        import greenroom, signal
        greenroom.patch_all(signal=False)
        print(greenroom.is_patched("signal.pause"), greenroom.is_patched("os.waitpid"))
    """
    assert output_of(code) == ["False True"]
