"""Calls of the parts "process" and "signal" that wait about 0.3 s, for the freeze test.

FREEZE maps a target of the table to the source of a function `call`, which needs nothing but the
patched standard library. Ten of them may run at once. NEVER_WAIT are the targets whose replacement
does not wait at all: they are about who owns what, or who is told.
"""

_CHILD = """
def call():
    import os, time
    pid = os.fork()
    if pid == 0:
        time.sleep(0.3)
        os._exit(0)
    {wait}
"""

# A real-time signal is queued, one for each that was sent; others would melt into one.
_SIGNAL = """
def call():
    import os, signal, threading
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGRTMIN)).start()
    {wait}
"""

_CONNECTION = """
def call():
    import multiprocessing, threading
    here, there = multiprocessing.get_context("fork").Pipe(False)
    {wait}
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
    "os:system": "def call():\n    import os\n    os.system('sleep 0.3')\n",
    "posix:system": "def call():\n    import posix\n    posix.system('sleep 0.3')\n",
    "subprocess:Popen._wait": """
def call():
    import subprocess
    subprocess.Popen(["sleep", "0.3"]).wait()
""",
    "_multiprocessing:SemLock": """
def call():
    import multiprocessing
    multiprocessing.get_context("fork").Semaphore(0).acquire(timeout=0.3)
""",
    "multiprocessing.connection:Connection._recv": _CONNECTION.format(
        wait="threading.Timer(0.3, there.send, (1,)).start(); here.recv()"
    ),
    "multiprocessing.connection:Connection._send": _CONNECTION.format(
        wait="threading.Timer(0.3, here.recv_bytes).start(); there.send_bytes(b'x' * 1_000_000)"
    ),
    "signal:pause": """
def call():
    import os, signal, threading
    signal.signal(signal.SIGUSR1, lambda *_: None)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    signal.pause()
""",
    "signal:sigwait": _SIGNAL.format(wait="signal.sigwait([signal.SIGRTMIN])"),
    "signal:sigwaitinfo": _SIGNAL.format(wait="signal.sigwaitinfo([signal.SIGRTMIN])"),
    "signal:sigtimedwait": """
def call():
    import signal
    signal.sigtimedwait([signal.SIGUSR2], 0.3)
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
