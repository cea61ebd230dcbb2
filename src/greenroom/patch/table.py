"""What patching replaces in the standard library, how, and why: one row a name.  layer: patch

how   "in place": set on the standard library's own class, so that whoever imported the class
      earlier has the green method too
      "by name": the module's name is bound to another object, because a C function or type cannot
      be changed; a module that copied the name before keeps the old one (patch_all() says which)
      "hook": the module offers a place to hang a wait function on, and that is used

Nothing is imported here. A row takes effect when its module is first imported (apply.py), and only
then is the module that holds the replacement imported too. docs/patching.md shows the table.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARTS = (
    "thread",
    "queue",
    "time",
    "select",
    "socket",
    "dns",
    "os",
    "files",
    "drivers",
    "ssl",
    "process",
    "signal",
    "asyncio",
)


class Row:
    """One replaced name.

    part     what --no-PART and patch_all(PART=False) leave out
    target   module and name: "time:sleep", or "socket:socket.recv" for a method; for a hook only
             the module: "psycopg2:"
    how      "in place", "by name" or "hook"
    why      one sentence
    source   where the replacement is, below greenroom: "green.time:sleep"
    around   the source is called with the original and returns the replacement; always so for a
             hook, which is called with the module and returns what undoes it, or None
    since    the first Python version that has the name, (3, 11) for all
    until    the first Python version that no longer has it
    """

    __slots__ = ("around", "how", "part", "since", "source", "target", "until", "why")

    def __init__(
        self,
        part: str,
        target: str,
        how: str,
        why: str,
        source: str,
        around: bool = False,
        since: tuple[int, int] = (3, 11),
        until: tuple[int, int] = (99, 0),
    ) -> None:
        self.part = part
        self.target = target
        self.how = how
        self.why = why
        self.source = source
        self.around = around
        self.since = since
        self.until = until

    @property
    def module(self) -> str:
        """The module's name."""
        return self.target.partition(":")[0]

    @property
    def path(self) -> list[str]:
        """The attributes from the module to the name; [] for a hook."""
        names = self.target.partition(":")[2]
        return names.split(".") if names else []

    @property
    def applies(self) -> bool:
        """Whether this Python has the name."""
        return self.since <= sys.version_info[:2] < self.until


def _rows(
    part: str,
    how: str,
    why: str,
    names: Mapping[str, str],
    around: bool = False,
    since: tuple[int, int] = (3, 11),
    until: tuple[int, int] = (99, 0),
) -> Iterator[Row]:
    """Make the rows of several names that share everything but target and source."""
    for target, source in names.items():
        yield Row(part, target, how, why, source, around, since, until)


_THREADS = (
    *_rows(
        "thread",
        "by name",
        "a C function; threading.Thread runs on it",
        {
            "_thread:start_new_thread": "patch.threads:start_new_thread",
            "_thread:start_new": "patch.threads:start_new_thread",
        },
    ),
    *_rows(
        "thread",
        "by name",
        "a C function; threading.Thread runs on it",
        {"threading:_start_new_thread": "patch.threads:start_new_thread"},
        until=(3, 13),
    ),
    *_rows(
        "thread",
        "by name",
        "tasks of one thread differ",
        {
            "_thread:get_ident": "patch.threads:get_ident",
            "threading:get_ident": "patch.threads:get_ident",
            "_thread:_count": "patch.threads:thread_count",
        },
    ),
    *_rows(
        "thread",
        "by name",
        "the coroutines of a loop share an ident, and import each for itself",
        {"_frozen_importlib:_thread": "patch.threads:thread_of_imports"},
    ),
    *_rows(
        "thread",
        "by name",
        "the ident of a green thread is no pthread",
        {"time:pthread_getcpuclockid": "patch.threads:cpu_clock_around"},
        around=True,
    ),
    *_rows(
        "thread",
        "by name",
        "a C type; every lock of threading and queue is made of it",
        {
            "_thread:allocate_lock": "sync.lock:Lock",
            "_thread:allocate": "sync.lock:Lock",
            "_thread:LockType": "sync.lock:Lock",
            "threading:_allocate_lock": "sync.lock:Lock",
            "threading:Lock": "sync.lock:Lock",
        },
    ),
    *_rows(
        "thread",
        "by name",
        "a C type; it ignores arguments",
        {
            "_thread:RLock": "patch.threads:AnyRLock",
            "threading:_CRLock": "patch.threads:AnyRLock",
        },
        until=(3, 15),
    ),
    *_rows(
        "thread",
        "by name",
        "a C type",
        {"_thread:RLock": "sync.lock:RLock", "threading:_CRLock": "sync.lock:RLock"},
        since=(3, 15),
    ),
    *_rows(
        "thread",
        "by name",
        "a C type; each task has its own values",
        {"_thread:_local": "core.local:local", "threading:local": "core.local:local"},
    ),
    *_rows(
        "thread",
        "by name",
        "a C function that knows the thread and not the task",
        {
            "_thread:_set_sentinel": "patch.threads:set_sentinel",
            "threading:_set_sentinel": "patch.threads:set_sentinel",
        },
        until=(3, 13),
    ),
    *_rows(
        "thread",
        "by name",
        "a C function or type; threading.Thread runs on it",
        {
            "_thread:start_joinable_thread": "patch.threads:start_joinable_thread",
            "_thread:_ThreadHandle": "patch.threads:ThreadHandle",
            "_thread:_make_thread_handle": "patch.threads:make_thread_handle",
            "_thread:lock": "sync.lock:Lock",
            "threading:_start_joinable_thread": "patch.threads:start_joinable_thread",
            "threading:_ThreadHandle": "patch.threads:ThreadHandle",
            "threading:_make_thread_handle": "patch.threads:make_thread_handle",
            "threading:_LockType": "sync.lock:Lock",
        },
        since=(3, 13),
    ),
    *_rows(
        "thread",
        "by name",
        "waits for real threads only",
        {"threading:_thread_shutdown": "patch.threads:shutdown_after"},
        around=True,
        since=(3, 13),
    ),
    *_rows(
        "thread",
        "by name",
        "a C function that knows the thread and not the task",
        {
            f"{module}:_get_main_thread_ident": "patch.threads:main_thread_ident_after"
            for module in ("_thread", "threading")
        },
        around=True,
        since=(3, 13),
    ),
    *_rows(
        "thread",
        "by name",
        "a thread that was killed has not failed",
        {"threading:excepthook": "patch.threads:excepthook_after"},
        around=True,
    ),
    *_rows(
        "thread",
        "by name",
        "a C function that counts the kernel's threads, to warn of locks that stay held",
        {
            f"{module}:{name}": "patch.threads:fork_around"
            for name in ("fork", "forkpty")
            for module in ("os", "posix")
        },
        around=True,
        since=(3, 12),
    ),
    *_rows(
        "thread",
        "by name",
        "a C function that names the OS thread, and so the process",
        {
            "_thread:set_name": "patch.threads:set_name_around",
            "threading:_set_name": "patch.threads:set_name_around",
        },
        around=True,
        since=(3, 14),
    ),
    Row(
        "thread",
        "_thread:_get_name",
        "by name",
        "a C function that reads the OS thread's name",
        "patch.threads:get_name_around",
        around=True,
        since=(3, 14),
    ),
    *_rows(
        "thread",
        "hook",
        "it takes the thread that imports it first for the main one, and that may be a task",
        {"threading:": "patch.threads:mend_main_thread"},
        around=True,
    ),
    *_rows(
        "thread",
        "in place",
        "the entry of a task that is no Thread must go when the task ends",
        {"threading:_DummyThread.__init__": "patch.threads:forget_dummy"},
        around=True,
    ),
)

_QUEUE = (
    *_rows(
        "queue",
        "by name",
        "a C type whose get() waits",
        {
            "_queue:SimpleQueue": "sync.queue:PolledSimpleQueue",
            "queue:SimpleQueue": "sync.queue:PolledSimpleQueue",
        },
    ),
    *_rows(
        "queue",
        "in place",
        "a loop that polls a queue must let other tasks run",
        {"queue:Queue.__init__": "patch.threads:queue_init_after"},
        around=True,
    ),
)

_QUEUE_ERRORS = _rows(
    "queue",
    "by name",
    "a second import of _queue would make another class than SimpleQueue raises",
    {"_queue:Empty": "sync.queue_errors:Empty"},
)

_TIME = _rows("time", "by name", "a C function that waits", {"time:sleep": "green.time:sleep"})

_SELECT = (
    *_rows(
        "select",
        "by name",
        "a C function or type that waits",
        {
            "select:select": "green.select:select",
            "select:poll": "green.select:poll",
            "select:epoll": "green.select:epoll",
        },
    ),
    *_rows(
        "select",
        "in place",
        "the class took the C function or type when selectors was imported",
        {
            "selectors:SelectSelector._select": "green.select:select_of_selector",
            "selectors:PollSelector._selector_cls": "green.select:poll_of_selector",
            "selectors:EpollSelector._selector_cls": "green.select:epoll",
        },
    ),
    *_rows(
        "select",
        "in place",
        "a loop that has always something to do must let other tasks run",
        {"asyncio.base_events:BaseEventLoop._run_once": "green.select:run_once_after"},
        around=True,
    ),
)

_SOCKET = (
    *_rows(
        "socket",
        "in place",
        "a number that is given out again has no past",
        {"socket:socket.__init__": "green.patchable:init_after"},
        around=True,
    ),
    *_rows(
        "socket",
        "in place",
        "the method waits in C",
        {
            f"socket:socket.{name}": f"green.patchable:{name}"
            for name in (
                "_accept",
                "_sendfile_use_sendfile",
                "connect",
                "connect_ex",
                "recv",
                "recv_into",
                "recvfrom",
                "recvfrom_into",
                "recvmsg",
                "recvmsg_into",
                "send",
                "sendall",
                "sendmsg",
                "sendto",
            )
        },
    ),
    *_rows(
        "socket",
        "in place",
        "who waits on the socket must be told",
        {
            "socket:socket._real_close": "green.patchable:_real_close",
            "socket:socket.detach": "green.patchable:detach",
        },
    ),
)

_SSL = (
    *_rows(
        "ssl",
        "in place",
        "the C object must not wait, whatever the socket's timeout is",
        {"ssl:SSLContext._wrap_socket": "green.sslmethods:_wrap_socket"},
    ),
    *_rows(
        "ssl",
        "in place",
        "the method waits in C",
        {
            f"ssl:SSLSocket.{name}": f"green.sslmethods:{name}"
            for name in (
                "do_handshake",
                "read",
                "recv",
                "recv_into",
                "send",
                "sendall",
                "unwrap",
                "write",
            )
        },
    ),
    *_rows(
        "ssl",
        "in place",
        "the fd of a TLS connection never blocks",
        {
            f"ssl:SSLSocket.{name}": f"green.sslmethods:{name}"
            for name in ("detach", "setblocking", "settimeout")
        },
    ),
)

# socket.getaddrinfo is Python code that calls _socket's and makes enums of the numbers.
_LOOK_UPS = ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")
_DNS = _rows(
    "dns",
    "by name",
    "a C function without a non-blocking form",
    {f"_socket:{name}": f"green.resolver:{name}" for name in ("getaddrinfo", *_LOOK_UPS)}
    | {f"socket:{name}": f"green.resolver:{name}" for name in _LOOK_UPS},
)

# os takes its functions from posix; a few programs import those.
_OS = (
    *_rows(
        "os",
        "by name",
        "a C function that waits for a pipe, a terminal or a disk",
        {
            f"{module}:{name}": f"green.{source}:{name}"
            for source, names in (
                ("fdio", ("read", "write")),
                ("os", ("readv", "writev", "pread", "pwrite", "preadv", "pwritev", "sendfile")),
                ("os", ("copy_file_range", "splice", "fsync", "fdatasync", "sync")),
                ("os", ("eventfd_read", "eventfd_write")),
            )
            for name in names
            for module in ("os", "posix")
        },
    ),
    *_rows(
        "os",
        "by name",
        "a C function that waits for the other end of a FIFO",
        {"os:open": "green.os:open", "posix:open": "green.os:open"},
    ),
    *_rows(
        "os",
        "hook",
        "os.supports_dir_fd names the functions that take a dir_fd",
        {"os:": "green.os:supports"},
        around=True,
    ),
    *_rows(
        "os",
        "by name",
        "who waits on the fd must be told",
        {
            f"{module}:{name}": f"green.os:{name}"
            for name in ("close", "closerange", "dup2")
            for module in ("os", "posix")
        },
    ),
    *_rows(
        "os",
        "by name",
        "a C function that waits for a lock on a file",
        {
            "os:lockf": "green.fcntl:os_lockf",
            "posix:lockf": "green.fcntl:os_lockf",
            "fcntl:flock": "green.fcntl:flock",
            "fcntl:lockf": "green.fcntl:lockf",
            "fcntl:fcntl": "green.fcntl:fcntl",
        },
    ),
)

_FILES = (
    *_rows(
        "files",
        "by name",
        "makes files whose C code waits",
        {"builtins:open": "green.opening:open", "io:open": "green.opening:open"},
    ),
    *_rows(
        "files",
        "in place",
        "the lines of a traceback are read in the middle of anything: there no other task may run",
        {"tokenize:_builtin_open": "green.opening:open_source"},
    ),
    *_rows(
        "files",
        "by name",
        "a C type that waits; isinstance() holds for its own objects too",
        {
            f"io:{name}": f"green.files:{name}"
            for name in (
                "FileIO",
                "BufferedReader",
                "BufferedWriter",
                "BufferedRandom",
                "BufferedRWPair",
            )
        },
    ),
    *_rows(
        "files",
        "by name",
        "a C function that waits for a terminal",
        {"builtins:input": "green.opening:input"},
    ),
    *_rows(
        "files",
        "hook",
        "stdin, stdout and stderr exist already: their waits are replaced on the objects",
        {"sys:": "green.files:green_std_streams"},
        around=True,
    ),
)

_DRIVERS = _rows(
    "drivers",
    "hook",
    "a database driver that waits in C",
    {
        "psycopg2:": "patch.drivers:install_psycopg2",
        "psycopg:": "patch.drivers:install_psycopg",
    },
    around=True,
)

_PROCESS = (
    *_rows(
        "process",
        "by name",
        "a C function that waits",
        {
            f"{module}:{name}": f"green.process:{name}"
            for module in ("os", "posix")
            for name in ("wait", "wait3", "wait4", "waitid", "waitpid", "system")
        },
    ),
    *_rows(
        "process",
        "in place",
        "it looks every 50 ms, or holds a lock while it waits",
        {"subprocess:Popen._wait": "green.process:wait_of_popen"},
    ),
)

_MULTIPROCESSING = (
    *_rows(
        "process",
        "by name",
        "a C type whose acquire() waits, and that knows the thread and not the task",
        {"_multiprocessing:SemLock": "green.multiprocess:sem_lock_around"},
        around=True,
    ),
    *_rows(
        "process",
        "in place",
        "it took os.read, os.write or os.close when the module was imported",
        {
            "multiprocessing.connection:Connection._recv": "green.multiprocess:recv_around",
            "multiprocessing.connection:Connection._send": "green.multiprocess:send_around",
            "multiprocessing.connection:Connection._close": "green.multiprocess:close_around",
        },
        around=True,
    ),
    *_rows(
        "process",
        "by name",
        "its base is threading.local, which may be the one of before patching",
        {"multiprocessing.util:ForkAwareLocal": "green.multiprocess:fork_aware_local"},
        around=True,
    ),
    *_rows(
        "process",
        "by name",
        "made when the module was imported, which may be before patching",
        {"multiprocessing.context:_tls": "green.multiprocess:fresh_local"},
        around=True,
    ),
    *_rows(
        "process",
        "by name",
        "its server blocks all signals in its thread, which is the main thread now",
        {"multiprocessing.resource_sharer:signal": "green.multiprocess:no_signals"},
        around=True,
    ),
)

_SIGNAL = (
    *_rows(
        "signal",
        "hook",
        "handlers and a wake-up fd that are set already",
        {"signal:": "green.signal:adopt"},
        around=True,
    ),
    *_rows(
        "signal",
        "by name",
        "what a handler raises is raised in main",
        {
            "signal:signal": "green.signal:signal_around",
            "signal:getsignal": "green.signal:getsignal_around",
        },
        around=True,
    ),
    *_rows(
        "signal",
        "by name",
        "a C function that waits",
        {
            f"signal:{name}": f"green.signal:{name}"
            for name in ("pause", "sigtimedwait", "sigwait", "sigwaitinfo")
        },
    ),
    *_rows(
        "signal",
        "by name",
        "the interpreter's wake-up fd is the scheduler's",
        {"signal:set_wakeup_fd": "green.signal:set_wakeup_fd"},
    ),
    *_rows(
        "signal",
        "by name",
        "the ident of a green thread is no pthread",
        {"signal:pthread_kill": "green.signal:pthread_kill"},
    ),
)

_ASYNCIO = (
    Row(
        "asyncio",
        "asyncio.unix_events:_UnixDefaultEventLoopPolicy._loop_factory",
        "in place",
        "asyncio.run() and new_event_loop(): loops whose callbacks are tasks of the scheduler",
        "aio.loop:Loop",
    ),
    *_rows(
        "asyncio",
        "by name",
        "who names a loop's class, as uvicorn does, gets ours too, if it gives no selector",
        {
            "asyncio:SelectorEventLoop": "aio.loop:Loop",
            "asyncio.unix_events:SelectorEventLoop": "aio.loop:Loop",
        },
    ),
    *_rows(
        "asyncio",
        "by name",
        "the same class by its newer name",
        {
            "asyncio:EventLoop": "aio.loop:Loop",
            "asyncio.unix_events:EventLoop": "aio.loop:Loop",
        },
        since=(3, 13),
    ),
)

TABLE: tuple[Row, ...] = (
    *_THREADS,
    *_QUEUE_ERRORS,
    *_QUEUE,
    *_TIME,
    *_SELECT,
    *_SOCKET,
    *_DNS,
    *_OS,
    *_FILES,
    *_DRIVERS,
    *_SSL,
    *_PROCESS,
    *_MULTIPROCESSING,
    *_SIGNAL,
    *_ASYNCIO,
)
