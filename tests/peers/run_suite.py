"""Run a peer's pytest suite, patched or not; write what came of each test to a file.

A child process of differences.py, on the Python of the peer's virtual environment. Called with the
path of a file that holds a JSON object: results, patched, only and but (stdlib/run_module.py says
what they are), and

  args    what pytest is called with
"""

import gc
import os
import sys


def main(order):
    """Do what the order says."""
    sys.path[0] = os.path.join(os.path.dirname(sys.path[0]), "stdlib")
    from run_module import answer_dumps, writer  # imports nothing that patching replaces

    del sys.path[0]  # the tests must not find our modules
    if order["patched"]:
        import greenroom

        greenroom.patch_all()
    import pytest

    write = writer(order["results"])
    answer_dumps(order["patched"])
    sys.path.insert(0, os.getcwd())  # as `python -m pytest` does
    outcomes = outcomes_class(pytest)(write, order["only"], order["but"])
    status = pytest.main(order["args"], plugins=[outcomes])
    fine = [pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED]
    if status not in fine and not outcomes.broken:  # a file that cannot be imported is an outcome
        sys.exit(f"pytest has ended with {status!r}")
    write(end=0)


def outcomes_class(pytest):
    """Return a plugin that writes each outcome. pytest is imported only after patching."""

    class Outcomes:
        def __init__(self, write, only, but):
            self.write = write
            self.only = None if only is None else set(only)
            self.but = set(but)
            self.worst = ("ok", "")
            self.broken = False

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items):
            self.write(all=[item.nodeid for item in items])
            items[:] = [
                item
                for item in items
                if item.nodeid not in self.but and (self.only is None or item.nodeid in self.only)
            ]

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self):
            # A full collection of all that is loaded now takes 0.1 s on a busy machine. Some tests
            # allow that long for a connection, and hang after it (uvicorn's
            # test_send_close_on_server_shutdown), on asyncio as well. Such objects stay anyway.
            gc.collect()
            gc.freeze()

        def pytest_collectreport(self, report):
            if report.failed:
                self.broken = True
                self.write(test=report.nodeid, outcome="error", text=report.longreprtext)

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_protocol(self, item):
            self.worst = ("ok", "")
            self.write(start=item.nodeid)
            result = yield
            outcome, text = self.worst
            self.write(test=item.nodeid, outcome=outcome, text=text)
            return result

        def pytest_runtest_logreport(self, report):
            if report.skipped:
                outcome = "xfail" if hasattr(report, "wasxfail") else "skip"
            elif report.failed:
                outcome = "fail" if report.when == "call" else "error"
            else:
                return
            before, text = self.worst
            if before in ("ok", "skip", "xfail"):
                self.worst = (outcome, report.longreprtext)
            elif outcome in ("fail", "error"):
                self.worst = (before, text + "\n" + report.longreprtext)

    return Outcomes


if __name__ == "__main__":  # not in the processes that multiprocessing spawns
    import json
    from pathlib import Path

    main(json.loads(Path(sys.argv[1]).read_text()))
