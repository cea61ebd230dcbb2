"""Tests of peers that pass on asyncio and do not pass patched, each with its reason.

The list is strict, as stdlib/known.py is: a test that no longer differs must be taken out, and a
name that no test has is an error. A test's id is pytest's, below the peer's source.
"""

from stdlib.differences import Known

_DOES_NOT_BLOCK = (
    "cancels a coroutine that blocks: here only that one waits, and is interrupted; on asyncio the "
    "whole loop stands still, and hears of it later"
)
_WATCHFILES = (
    "watchfiles waits in Rust: the thread that touches the file is a task of the thread that "
    "stands still meanwhile"
)

_NO_FRAMES_ABOVE = (
    "aiohttp's AppKey looks for a module's code in the frames above that of its caller: a step of "
    "a coroutine has none above it here, for no loop in Python has called it"
)

KNOWN: dict[str, list[Known]] = {
    "aiohttp": [
        Known("tests/test_web_app.py::test_subapp_chained_config_dict_*[pyloop]", _NO_FRAMES_ABOVE),
        Known("tests/test_web_app.py::test_subapp_on_startup[pyloop]", _NO_FRAMES_ABOVE),
        Known(
            "tests/test_web_functional.py::test_subapp_middleware_context[pyloop-*]",
            _NO_FRAMES_ABOVE,
        ),
        Known(
            "tests/test_web_websocket_functional.py::test_websocket_shutdown[pyloop]",
            _NO_FRAMES_ABOVE,
        ),
        Known(
            "tests/test_web_functional.py::test_keepalive_expires_on_time[pyloop]",
            "replaces loop.time(): timers are on the scheduler's clock, which asks no loop",
        ),
        Known(
            "tests/test_run_app.py::TestShutdown::test_shutdown_close_websockets",
            "gives the client one turn to hear of the close: fds are not looked at between any two "
            "turns (aio/loop.py)",
        ),
    ],
    "aiosqlite": [
        Known(
            "aiosqlite/tests/smoke.py::SmokeTest::test_multiple_connections",
            "SQLite waits in C for a lock that another task of the same thread holds; "
            "greenroom.offload() is for that",
        ),
    ],
    "anyio": [
        Known(
            "tests/test_from_thread.py::TestBlockingPortal::"
            "test_call_async_cancellation_does_not_block[*]",
            _DOES_NOT_BLOCK,
        ),
        Known(
            "tests/test_taskgroups.py::test_fail_after_scope_cancelled_before_timeout[asyncio]",
            "is marked as failing, and passes: " + _DOES_NOT_BLOCK,
        ),
        Known(
            "tests/test_taskgroups.py::test_asyncio_call_graph[*-asyncio]",
            "asks for the frame two above that of a coroutine: a step has none above it here, for "
            "no loop in Python has called it",
            ("3.14",),
        ),
    ],
    "uvicorn": [
        Known(
            "tests/supervisors/test_reload.py::TestBaseReload::test_*[WatchFilesReload*]",
            _WATCHFILES,
        ),
        Known(
            "tests/protocols/test_websocket.py::test_close_gives_up_when_the_peer_never_replies[*]",
            "takes a timer of no delay for a callback of the loop's next turn: timers are looked "
            "at when nothing else is ready (aio/loop.py)",
        ),
        Known(
            "tests/test_auto_detection.py::test_loop_auto",
            "asks for the module of the loop's class",
        ),
        Known(
            "tests/test_config.py::test_get_loop_factory[asyncio-_UnixSelectorEventLoop]",
            "is named by the loop's class, and has another name here",
        ),
        Known(
            "tests/test_server.py::test_server_interrupt[capture_signal_async-*]",
            "asyncio hears of a signal by the wake-up fd, so that a handler of the loop is called "
            "even if signal.signal() has set another one since; here that one takes its place",
        ),
    ],
}


def known_of(package: str, version: str) -> list[Known]:
    """Return what is known of a package on a version of Python ("3.14")."""
    return [
        known for known in KNOWN.get(package, []) if not known.pythons or version in known.pythons
    ]
