"""Tests of CPython that pass unpatched and do not pass patched, each with its reason.

The list is strict: a test that no longer differs must be taken out, and a name that no test has is
an error. docs/conformance.md shows the reasons.
"""

from fnmatch import fnmatchcase

from .differences import Known

BEFORE_3_13 = ("3.11", "3.12")
BEFORE_3_14 = ("3.11", "3.12", "3.13")
FROM_3_12 = ("3.12", "3.13", "3.14", "3.15")
FROM_3_13 = ("3.13", "3.14", "3.15")
FROM_3_14 = ("3.14", "3.15")

_INTERPRETERS = (
    "code of another interpreter runs on the OS thread of the green thread that calls it, and its "
    "waits stop all tasks: it is not patched"
)
NO_WAIT = [
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
        "test_threading.ThreadTests.test_join_daemon_thread_in_finalization",
        "a daemon thread loops without a wait in a child interpreter, which the runner patches",
        FROM_3_14,
        hangs=True,
    ),
    Known(
        "test_signal.StressTest.test_stress_modifying_handlers",
        "one thread only raises signals and another only sets handlers, neither waits",
        hangs=True,
    ),
    Known(
        "test_concurrent_futures.test_interpreter_pool.InterpreterPoolExecutorTest.test_blocking*",
        _INTERPRETERS,
        FROM_3_14,
        hangs=True,
    ),
    Known(
        "test_concurrent_futures.test_interpreter_pool.InterpreterPoolExecutorTest.test_saturation",
        _INTERPRETERS,
        FROM_3_14,
        hangs=True,
    ),
    Known(
        "test_concurrent_futures.test_interpreter_pool.InterpreterPoolExecutorTest.test_map_timeout",
        _INTERPRETERS,
        FROM_3_14,
    ),
    *(
        Known(
            f"test_multiprocessing_{method}.*WithProcessesTestFinalize.test_thread_safety",
            "two threads collect garbage and make finalizers without a wait",
            hangs=True,
        )
        for method in ("fork", "forkserver", "spawn")
    ),
]

ONE_OS_THREAD = [
    Known(
        "test_threading.ThreadTests.test_various_ops*",
        "ten threads are to have ten native ids: the kernel knows of one thread",
    ),
    Known(
        "test_threading.ThreadTests.test_PyThreadState_SetAsyncExc",
        "calls C by ctypes with the ident of a thread: the interpreter has no thread state for it",
    ),
    Known(
        "test_threading.ThreadTests.test_PyThreadState_SetAsyncExc_interrupts_sleep",
        "calls C with the ident of a thread: the interpreter has no thread state for it, and the "
        "thread sleeps for a day",
        ("3.15",),
        hangs=True,
    ),
    Known(
        "test_concurrent_futures.test_interpreter_pool.*.test_thread_name_prefix_with_thread_get_name",
        "asks in another interpreter, which is not patched, for the name of the OS thread",
        FROM_3_14,
    ),
    Known(
        "test_threadsignals.ThreadSignals.test_signals",
        "a handler runs in the OS thread of main, in whichever of its tasks the signal finds: "
        "get_ident() there is that task's",
    ),
    Known(
        "test_fork1.ForkTest.test_threaded_import_lock_fork",
        "the import lock belongs to the OS thread: os.fork() by another task that has it does not "
        "wait for the task that took it",
    ),
]

OWN_OBJECTS = [
    Known(
        "test_threading.ThreadTests.test_start_new_thread_at_exit",
        "3.12 starts no thread in a callback of atexit, and raises; here it is started, and ends "
        "with the process before it has run, as a daemon does on 3.13",
        ("3.12",),
    ),
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
        "test_threading.ThreadTests.test_dummy_thread_after_fork",
        "a daemon thread that sleeps when the interpreter ends is freed, and not left as it is: a "
        "finalizer of threading then finds its module empty",
        ("3.13",),
    ),
    Known(
        "test_threading.ThreadTests.test_lock_no_subclass",
        "threading.Lock may be subclassed here",
        FROM_3_13,
    ),
    Known(
        "test_queue.CSimpleQueueTest.test_simplequeue_sizeof",
        "computes the size of the C struct of queue.SimpleQueue",
        ("3.15",),
    ),
    Known(
        "test_concurrent_futures.test_as_completed.InterpreterPool*Test.test_future_times_out",
        "sends time.sleep to another interpreter: ours is of a module that only the first one "
        "loads",
        FROM_3_14,
    ),
]

_FUNCTIONS_IN_PYTHON = (
    "replaces the functions in C that say which loop runs by those in Python, which asyncio has "
    "for interpreters without its C module: our loops call the former"
)
ASYNCIO = [
    Known(
        "test_asyncio.test_events.TestPyGetEventLoop.test_get_event_loop_returns_running_loop*",
        _FUNCTIONS_IN_PYTHON,
    ),
    Known(
        "test_asyncio.test_events.TestPyGetEventLoop.test_get_running_loop_already_running",
        _FUNCTIONS_IN_PYTHON,
        FROM_3_14,
    ),
    Known("test_asyncio.test_graph.TestCallStackPy.test_*", _FUNCTIONS_IN_PYTHON, FROM_3_14),
    Known(
        "test_asyncgen.AsyncGenAsyncioTest.test_async_gen_asyncio_shutdown_exception_02",
        "a task that closes a generator is asked for just before the loop stops: ours has its turn "
        "before run_forever() returns, and asyncio.run() finds it done",
    ),
    *(
        Known(
            f"test_contextlib_async.TestAsyncExitStack.test_exit_exception_{name}",
            "runs a loop while an error is handled: a coroutine's steps are no calls of whoever "
            "runs the loop, and so what they raise has not that error for its context",
            BEFORE_3_14,
        )
        for name in ("chaining", "traceback", "with_existing_context")
    ),
    Known(
        "test_asyncio.test_free_threading.Test*PyFreeThreading.test_all_tasks_from_other_thread*",
        "replaces asyncio's task in C by the one in Python, and asks the latter for all tasks: the "
        "tasks of our loops are of the former's class",
        FROM_3_14,
    ),
    *(
        Known(
            f"test_asyncio.test_unix_events.SelectorEventLoopSignalTests.test_add_signal_{name}",
            "replaces signal.set_wakeup_fd(), to let it fail or to count its calls, when a handler "
            "is added: our loops need no call of it, for the scheduler has made it",
        )
        for name in ("handler_setup_error", "handler_install_error2", "handler_install_error3")
    ),
    Known(
        "test_asyncio.test_subprocess.*.test_close_dont_kill_finished",
        "waits for the process in a coroutine with Popen.wait(), which lets the loop go on: it may "
        "have noticed the end by itself then",
        flaky=True,
    ),
    Known(
        "test_asyncio.test_subprocess.*.test_pid_not_reaped_before_exit_published",
        "waits for a thread in a coroutine with Thread.join(), which lets the loop go on: it has "
        "seen the process's end by then",
        FROM_3_14,
    ),
    Known(
        "test_asyncio.test_streams.StreamTests.test_unclosed_resource_warnings",
        "counts warnings, and finds the connection that test_start_tls before it has left open: "
        "its client is done, and stops the loop, before the server's side has had its turn",
        flaky=True,
    ),
]

_STRACE = (
    "looks with strace for the write(2) of each print(), to tell what it traces: ours is "
    "pwritev2(2), which can say that it would wait; without strace the test is skipped"
)
HOW_IT_IS_DONE = [
    Known(
        "test_socket.GeneralModuleTests.testRefCountGetNameInfo",
        "counts references to an argument while the error is handled: the frame of our function, "
        "which C does not have, holds one",
    ),
    *(
        Known(
            f"test_subprocess.FastWaitTestCase.{name}",
            "replaces os.pidfd_open() or a method of Popen, to count the calls: wait() uses a "
            "pidfd here too, and takes another way to it",
            ("3.15",),
        )
        for name in (
            "test_pidfd_open_notification_without_immediate_reap",
            "test_pidfd_open_race",
            "test_wait_pidfd_open_error",
        )
    ),
    Known(
        "test_ssl.ThreadedTests.test_got_eof",
        "reads from the C object below an SSLSocket: here that never waits, and says so by "
        "SSLWantReadError",
        FROM_3_14,
    ),
    Known("test_fileio.*AutoFileTests.test_syscalls_read", _STRACE, ("3.14",), flaky=True),
    Known("test_io.test_fileio.*AutoFileTests.test_syscalls_read", _STRACE, ("3.15",), flaky=True),
]

# What they have in common -> the differences.
GROUPS: dict[str, list[Known]] = {
    "Tasks take turns where they wait, and a loop that never waits keeps its turn": NO_WAIT,
    "All green threads of an OS thread are one thread to the kernel and to C": ONE_OS_THREAD,
    "The replacements are greenroom's own objects": OWN_OBJECTS,
    "asyncio's loops are greenroom's": ASYNCIO,
    "The test looks at how a call is made, and not at what it does": HOW_IT_IS_DONE,
}
KNOWN = [known for group in GROUPS.values() for known in group]


def known_of(module: str, version: str) -> list[Known]:
    """Return what is known of a module ("test_queue") on a version ("3.11")."""
    depth = module.count(".") + 1
    return [
        known
        for known in KNOWN
        if fnmatchcase(module, ".".join(known.test.split(".")[:depth])) and known.holds_on(version)
    ]
