"""Tests of CPython that pass unpatched and do not pass patched, each with its reason.

The list is strict: a test that no longer differs must be taken out, and a name that no test has is
an error.
"""

from fnmatch import fnmatchcase

from .differences import Known

BEFORE_3_13 = ("3.11", "3.12")
FROM_3_12 = ("3.12", "3.13", "3.14")
FROM_3_13 = ("3.13", "3.14")

KNOWN: list[Known] = [
    # Tasks take turns where they wait: a loop that never does keeps its turn.
    Known(
        "test_threading.InterruptMainTests.test_can_interrupt_tight_loops",
        "a thread counts to 100 million without a wait, to be stopped by a variable",
    ),
    Known(
        "test_threading.ThreadingExceptionTests.test_print_exception_gh_102056",
        "main recurses for ever without a wait, to be interrupted by a thread after a second; the "
        "child interpreter that does so is patched by the runner",
        FROM_3_12,
        hangs=True,
    ),
    Known(
        "test_signal.StressTest.test_stress_modifying_handlers",
        "one thread only raises signals and another only sets handlers, neither waits",
        hangs=True,
    ),
    Known(
        "test_multiprocessing_*.WithProcessesTestFinalize.test_thread_safety",
        "two threads collect garbage and make finalizers without a wait",
        hangs=True,
    ),
    # Green threads of one OS thread have its native id.
    Known(
        "test_threading.ThreadTests.test_various_ops*",
        "ten threads are to have ten native ids: the kernel knows of one thread",
    ),
    Known(
        "test_threading.ThreadTests.test_PyThreadState_SetAsyncExc",
        "calls C by ctypes with the ident of a thread: the interpreter has no thread state for it",
    ),
    Known(
        "test_fork1.ForkTest.test_threaded_import_lock_fork",
        "the import lock belongs to the OS thread: os.fork() by another task that has it does not "
        "wait for the task that took it",
    ),
    # The replacements are our own objects.
    Known(
        "test_threading.MiscTestCase.test__all__",
        "compares __module__ of get_ident, Lock and local with threading and _thread",
    ),
    Known(
        "test_threading.ThreadTests.test_disallow_instantiation",
        "threading.Lock is a class here, as it is from Python 3.13 on, and was a function",
        BEFORE_3_13,
    ),
    Known(
        "test_threading.ThreadTests.test_lock_no_subclass",
        "threading.Lock may be subclassed here",
        FROM_3_13,
    ),
    # asyncio.
    Known(
        "test_asyncio.test_events.TestPyGetEventLoop.test_get_event_loop_returns_running_loop*",
        "replaces the functions in C that say which loop runs by those in Python, which asyncio "
        "has for interpreters without its C module: our loops call the former",
    ),
    Known(
        "test_asyncio.test_subprocess.*.test_close_dont_kill_finished",
        "waits for the process in a coroutine with Popen.wait(), which lets the loop go on: it may "
        "have noticed the end by itself then",
        flaky=True,
    ),
    Known(
        "test_asyncio.test_streams.StreamTests.test_unclosed_resource_warnings",
        "counts warnings, and finds the connection that test_start_tls before it has left open: "
        "its client is done, and stops the loop, before the server's side has had its turn",
        flaky=True,
    ),
    Known(
        "test_socket.GeneralModuleTests.testRefCountGetNameInfo",
        "counts references to an argument while the error is handled: the frame of our function, "
        "which C does not have, holds one",
    ),
]


def known_of(module: str, version: str) -> list[Known]:
    """Return what is known of a module ("test_queue") on a version ("3.11")."""
    depth = module.count(".") + 1
    return [
        known
        for known in KNOWN
        if fnmatchcase(module, ".".join(known.test.split(".")[:depth]))
        and (not known.pythons or version in known.pythons)
    ]
