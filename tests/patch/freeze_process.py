"""Calls of the parts "process" and "signal" that wait, for the freeze test.

FREEZE maps a target of the table to the source of a function `call`. Ten of them may run at once.
NEVER_WAIT are the targets whose replacement does not wait at all: they are about who owns what, or
who is told.
"""

_CHILD = """
def call():
    import os
    from patch.freeze_help import raw_read, write_later
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        raw_read(read, 1)
        os._exit(0)
    write_later(write)
    {wait}
"""

# A real-time signal is queued, one for each that was sent; others would melt into one.
_SIGNAL = """
def call():
    import os, signal
    from patch.freeze_help import later
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    later(os.kill, os.getpid(), signal.SIGRTMIN)
    {wait}
"""

_CONNECTION = """
def call():
    import greenroom, multiprocessing
    from patch.freeze_help import linger
    here, there = multiprocessing.get_context("fork").Pipe(False)
    {wait}
"""

_SYSTEM = """
def call():
    import os, {module}
    from patch.freeze_help import write_later
    read, write = os.pipe()
    write_later(write)
    {module}.system(f"head -c1 /proc/{{os.getpid()}}/fd/{{read}} >/dev/null")
"""

_WAITS = {
    "wait": "os.wait()",
    "wait3": "os.wait3(0)",
    "wait4": "os.wait4(pid, 0)",
    "waitid": "os.waitid(os.P_PID, pid, os.WEXITED)",
    "waitpid": "os.waitpid(pid, 0)",
}

FREEZE: dict[str, str] = {
    **{f"os:{name}": _CHILD.format(wait=wait) for name, wait in _WAITS.items()},
    **{
        f"posix:{name}": _CHILD.format(wait="import posix; " + wait.replace("os.", "posix.", 1))
        for name, wait in _WAITS.items()
    },
    "posix:waitid": _CHILD.format(wait="import posix; posix.waitid(os.P_ALL, 0, os.WEXITED)"),
    "os:system": _SYSTEM.format(module="os"),
    "posix:system": _SYSTEM.format(module="posix"),
    "subprocess:Popen._wait": """
def call():
    import os, subprocess
    from patch.freeze_help import write_later
    read, write = os.pipe()
    child = subprocess.Popen(["head", "-c1"], stdin=read, stdout=subprocess.DEVNULL)
    write_later(write)
    child.wait()
""",
    "_multiprocessing:SemLock": """
def call():
    import multiprocessing
    from patch.freeze_help import again
    again(multiprocessing.get_context("fork").Semaphore(0).acquire, True, 0.01)
""",
    "multiprocessing.connection:Connection._recv": _CONNECTION.format(
        wait="greenroom.spawn(lambda: (linger(), there.send(1))); here.recv()"
    ),
    "multiprocessing.connection:Connection._send": _CONNECTION.format(
        wait="greenroom.spawn(lambda: (linger(), here.recv_bytes())); "
        "there.send_bytes(b'x' * 1_000_000)"
    ),
    "signal:pause": """
def call():
    import os, signal
    from patch.freeze_help import later
    signal.signal(signal.SIGUSR1, lambda *_: None)
    later(os.kill, os.getpid(), signal.SIGUSR1)
    signal.pause()
""",
    "signal:sigwait": _SIGNAL.format(wait="signal.sigwait([signal.SIGRTMIN])"),
    "signal:sigwaitinfo": _SIGNAL.format(wait="signal.sigwaitinfo([signal.SIGRTMIN])"),
    "signal:sigtimedwait": """
def call():
    import signal
    from patch.freeze_help import again
    again(signal.sigtimedwait, [signal.SIGUSR2], 0.01)
""",
}

NEVER_WAIT = {
    "multiprocessing.connection:Connection._close",
    "multiprocessing.util:ForkAwareLocal",
    "multiprocessing.context:_tls",
    "multiprocessing.resource_sharer:signal",
    "signal:",
    "signal:getsignal",
    "signal:pthread_kill",
    "signal:set_wakeup_fd",
    "signal:signal",
    "time:pthread_getcpuclockid",
}
