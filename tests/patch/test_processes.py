"""os.wait*, os.system and subprocess under patching: whoever waits for a child lets others run."""

import pytest

from .children import output_of, run_child

# A child ends when it is told to, so that the order of things does not hang on time.
PROLOGUE = """
import greenroom
greenroom.patch_all()
import os, signal, subprocess, sys, threading
from greenroom import Event, joinall, sleep, spawn, timeout

def child(status=3):
    "Fork a child that ends with status when told to; return its pid and what tells it."
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(status)
    os.close(read)
    return pid, lambda: os.close(write)

def waiting(fn, *args):
    "Start fn in a task, and let it come to its wait."
    task = spawn(fn, *args)
    for _ in range(100):
        sleep()
    assert not task.done, task
    return task
"""


def lines_of(code):
    return output_of(PROLOGUE + code)


WAITS = {
    "waitpid": "os.waitpid(pid, 0)[1] >> 8",
    "posix.waitpid": "__import__('posix').waitpid(pid, 0)[1] >> 8",
    "wait": "os.wait()[1] >> 8",
    "waitpid any": "os.waitpid(-1, 0)[1] >> 8",
    "waitpid group": "os.waitpid(0, 0)[1] >> 8",
    "waitpid a group": "os.waitpid(-os.getpgrp(), 0)[1] >> 8",
    "wait3": "os.wait3(0)[1] >> 8",
    "wait4": "os.wait4(pid, 0)[1] >> 8",
    "waitid": "os.waitid(os.P_PID, pid, os.WEXITED).si_status",
    "waitid any": "os.waitid(os.P_ALL, 0, os.WEXITED).si_status",
    "waitid pidfd": "os.waitid(os.P_PIDFD, os.pidfd_open(pid), os.WEXITED).si_status",
    "untraced": "os.waitpid(pid, os.WUNTRACED)[1] >> 8",
}


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_others_run_while_one_waits_for_a_child(call):
    assert lines_of(
        f"""
pid, end = child()
task = waiting(lambda: {call})
print("others run")
end()
print(task.result())
"""
    ) == ["others run", "3"]


@pytest.mark.parametrize("call", ["os.waitpid(-1, 0)", "os.wait()", "os.waitpid(1, 0)"])
def test_a_wait_without_a_child_is_the_error_it_is_unpatched(call):
    assert lines_of(
        f"""
try:
    {call}
except ChildProcessError as error:
    print(error)
"""
    ) == ["[Errno 10] No child processes"]


def test_a_stopped_and_a_continued_child():
    assert lines_of(
        """
pid, end = child()
task = waiting(os.waitpid, pid, os.WUNTRACED)
os.kill(pid, signal.SIGSTOP)
print(os.WIFSTOPPED(task.result()[1]))
task = waiting(os.waitpid, pid, os.WCONTINUED)
os.kill(pid, signal.SIGCONT)
print(os.WIFCONTINUED(task.result()[1]))
end()
print(os.waitpid(pid, 0)[1] >> 8)
"""
    ) == ["True", "True", "3"]


def test_two_that_wait_for_one_child_as_two_threads_would():
    assert lines_of(
        """
pid, end = child()
def wait():
    try:
        return os.waitpid(pid, 0)[1] >> 8
    except ChildProcessError:
        return "no child"
tasks = [waiting(wait), waiting(wait)]
end()
print(sorted(str(task.result()) for task in tasks))
"""
    ) == ["['3', 'no child']"]


def test_twenty_waits_for_any_child_leave_threads_for_look_ups():
    """Symptom: with the small pool, ten of these let no look-up run, and so no eleventh child."""
    assert lines_of(
        """
from greenroom.core import offload
children = [child(0) for _ in range(20)]
tasks = [waiting(os.wait) for _ in children]
print(offload.call(int, 7))
for _, end in children:
    end()
print(sorted(task.result()[0] for task in tasks) == sorted(pid for pid, _ in children))
"""
    ) == ["7", "True"]


def test_a_wait_that_is_given_up_reaps_nothing():
    assert lines_of(
        """
pid, end = child()
for call in (lambda: os.waitpid(pid, 0), os.wait, lambda: os.waitid(os.P_ALL, 0, os.WEXITED)):
    task = waiting(call)
    task.kill()
    task.join()
end()
print(os.waitpid(pid, 0)[1] >> 8)
"""
    ) == ["3"]


def test_waits_given_up_again_and_again_share_one_thread():
    assert lines_of(
        """
from greenroom.core import offload
pid, end = child()
for _ in range(20):
    task = waiting(os.wait)
    task.kill()
    task.join()
print(offload.pool_threads())
end()
print(os.wait()[1] >> 8)
"""
    ) == ["1", "3"]


def test_without_pidfds_a_thread_waits():
    assert lines_of(
        """
from greenroom.green import process
process._pidfd_open = None
pid, end = child()
task = waiting(os.waitpid, pid, 0)
end()
print(task.result()[1] >> 8)
popen = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
task = waiting(popen.wait)
popen.stdin.close()
print(task.result())
"""
    ) == ["3", "0"]


def test_a_child_that_somebody_else_reaps_while_one_waits():
    assert lines_of(
        """
pid, end = child()
def wait():
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        print("no child")
task = waiting(wait)
end()
greenroom.original("os.waitpid")(pid, 0)
task.join()
"""
    ) == ["no child"]


def test_sigchld_is_the_program_s_own():
    assert lines_of(
        """
got = []
signal.signal(signal.SIGCHLD, lambda *_: got.append("SIGCHLD"))
pid, end = child()
task = waiting(os.waitpid, pid, 0)
end()
print(task.result()[1] >> 8, got)
"""
    ) == ["3 ['SIGCHLD']"]


def test_others_run_during_system():
    assert lines_of(
        """
read, write = os.pipe()
os.set_inheritable(read, True)
task = waiting(os.system, f"head -c1 <&{read} >/dev/null; exit 5")
print("others run")
os.write(write, b"x")
print(os.waitstatus_to_exitcode(task.result()))
"""
    ) == ["others run", "5"]


def test_a_command_of_system_blocks_no_signals():
    """The threads of the pool block them all, and a child inherits the mask of its thread."""
    assert lines_of("os.system('grep SigBlk /proc/self/status')") == ["SigBlk:\t" + "0" * 16]


def test_popen_of_os():
    assert lines_of(
        """
with os.popen("echo output; exit 4") as stream:
    print(stream.read().strip())
print(os.popen("exit 4").close() >> 8)
"""
    ) == ["output", "4"]


def test_posix_spawn():
    assert lines_of(
        """
pid = os.posix_spawnp("sh", ["sh", "-c", "exit 6"], os.environ)
print(os.waitpid(pid, 0)[1] >> 8)
"""
    ) == ["6"]


def test_pty_spawn():
    assert lines_of(
        """
import pty
read, write = os.pipe()
os.set_inheritable(read, True)
spawn(os.write, write, b"x")
command = ["sh", "-c", f"head -c1 <&{read} >/dev/null; exit 7"]
print(pty.spawn(command, lambda fd: os.read(fd, 100), lambda fd: b"") >> 8)
"""
    )[-1:] == ["7"]


# --- subprocess


def test_several_tasks_wait_for_one_popen():
    assert lines_of(
        """
popen = subprocess.Popen(["sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE)
tasks = [waiting(popen.wait) for _ in range(5)]
print(popen.poll())
popen.stdin.close()
print([task.result() for task in tasks], popen.poll())
"""
    ) == ["None", "[3, 3, 3, 3, 3] 3"]


def test_a_killed_wait_leaves_the_popen_usable():
    assert lines_of(
        """
popen = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
task = waiting(popen.wait)
task.kill()
task.join()
try:
    with timeout(0.01):
        popen.wait()
except TimeoutError:
    print("timeout")
try:
    popen.wait(0.01)
except subprocess.TimeoutExpired as error:
    print(error.timeout)
popen.stdin.close()
print(popen.wait())
"""
    ) == ["timeout", "0.01", "0"]


def test_others_run_during_communicate_and_run():
    assert lines_of(
        """
popen = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
read, write = os.pipe()
os.set_inheritable(read, True)
task = waiting(lambda: subprocess.run(["cat"], stdin=read, capture_output=True).stdout)
print("others run")
data = b"x" * 1_000_000
print(popen.communicate(data)[0] == data)
os.write(write, b"run")
os.close(write)
print(task.result())
"""
    ) == ["others run", "True", "b'run'"]


def test_communicate_with_a_timeout_can_be_called_again():
    assert lines_of(
        """
read, write = os.pipe()
popen = subprocess.Popen(["sh", "-c", "echo data; cat"], stdin=read, stdout=subprocess.PIPE)
try:
    popen.communicate(timeout=0.05)
except subprocess.TimeoutExpired:
    print("timeout")
os.close(write)
print(popen.communicate()[0], popen.returncode)
"""
    ) == ["timeout", "b'data\\n' 0"]


def test_pipes_between_a_task_and_a_child():
    assert lines_of(
        """
popen = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
task = waiting(popen.stdout.readline)
print("others run")
popen.stdin.write("line\\n")
popen.stdin.flush()
print(task.result().strip())
popen.stdin.close()
popen.stdout.close()
print(popen.wait())
"""
    ) == ["others run", "line", "0"]


def test_a_child_s_pipes_are_in_blocking_mode():
    assert lines_of(
        """
code = "import os; print([os.get_blocking(fd) for fd in (0, 1, 2)])"
popen = subprocess.Popen(
    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
)
print(popen.stdout.read().decode().strip())
popen.stdin.close()
popen.stdout.close()
popen.wait()
"""
    ) == ["[True, True, True]"]


def test_a_command_that_does_not_exist():
    assert lines_of(
        """
try:
    subprocess.run(["/no/such/program"])
except FileNotFoundError as error:
    print(error.filename)
"""
    ) == ["/no/such/program"]


def test_a_popen_of_before_patching():
    code = """
        import subprocess, sys
        popen = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        import greenroom
        greenroom.patch_all()
        task = greenroom.spawn(popen.wait)
        greenroom.sleep()
        print(popen.poll())
        popen.stdin.close()
        print(task.result())
    """
    assert output_of(code) == ["None", "0"]


# --- fork and the pool


def test_a_fork_while_a_thread_is_in_a_library_warns():
    done = run_child(
        PROLOGUE
        + """
from greenroom.core import offload
lock = greenroom.original("_thread.allocate_lock")()
lock.acquire()
task = spawn(offload.call, lock.acquire)
while not offload._pool.busy:
    sleep(0.001)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
lock.release()
task.join()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning: os.fork() while 1 call is running") == 1, done.stderr


def test_a_fork_while_a_thread_waits_for_children_does_not_warn():
    """A server that forks workers and waits for any of them; threads there hold no lock."""
    assert lines_of(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 says this of any thread
task = spawn(lambda: [os.wait()[1] for _ in range(3)])
first, end = child(0)
sleep(0.001)
others = [child(0) for _ in range(2)]
for _, tell in [(first, end), *others]:
    tell()
print(task.result())
"""
    ) == ["[0, 0, 0]"]
