"""Run one module of CPython's own tests, patched or not; write what came of each test to a file.

A child process of differences.py, on any interpreter that has greenroom. Called with one argument,
a JSON object:

  module    "test.test_queue"
  results   the file to append to, one JSON object a line:
              {"all": [ids]}                    every test of the module, before the first runs
              {"start": id}                     a test begins
              {"test": id, "outcome": …, "text": …}   ok, skip, xfail; fail, error, unexpected
              {"note": text}                    an error that nobody caught, and in which test
              {"end": seconds}                  the module has been run
  patched   call patch_all() before anything else is imported
  only      None, or the ids to run
  but       ids not to run
  network   let tests run that ask for the network
  children  patch the interpreters that the tests start with test.support.script_helper, too

The signal DUMP_THREADS prints the stacks of all threads on stderr, DUMP_TASKS those of the tasks.
"""

import _signal
import os
import sys
import time

DUMP_THREADS, DUMP_TASKS = 50, 51  # real-time signals, which no test of the library uses
# Taken before patching; the results must not depend on what is tested.
_open, _write, _close, _getpid, _clock = os.open, os.write, os.close, os.getpid, time.monotonic
_process = _getpid()
_dumps = sys.stderr

# What libregrtest calls resources. Not there: network (the internet), audio, gui, curses; and
# largefile, bigmem and tzdata, which ask for gigabytes or for other packages.
RESOURCES = ["cpu", "decimal", "subprocess", "urlfetch", "walltime"]

PATCH = "import greenroom as _greenroom; _greenroom.patch_all(); del _greenroom"


def main(order):
    """Do what the order says."""
    # A shell starts what is in the background with SIGINT ignored. Tests that send it would wait
    # for ever, on both sides.
    if _signal.getsignal(_signal.SIGINT) is _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    del sys.path[0]  # this folder: the tests must not find our modules
    sys.argv[1:] = []
    if order["patched"]:
        import greenroom

        greenroom.patch_all()
    import unittest

    from test import support
    from test.support import os_helper

    write = writer(order["results"])
    answer_dumps(order["patched"])
    support.use_resources = RESOURCES + ["network"] * order["network"]
    support.record_original_stdout(sys.stdout)
    # As libregrtest does: there is always a variable that is not ASCII.
    if os_helper.TESTFN_UNDECODABLE:
        os.environb.setdefault(b"PYTHONREGRTEST_UNICODE_GUARD", os_helper.TESTFN_UNDECODABLE)
    if order["patched"] and order["children"]:
        patch_children()

    result = result_class(unittest)(write)
    note_uncaught(result, write)
    loaded = unittest.defaultTestLoader.loadTestsFromName(order["module"])
    tests = list(flatten(loaded))
    write(all=[test.id() for test in tests])
    only = None if order["only"] is None else set(order["only"])
    but = set(order["but"])
    wanted = [
        test for test in tests if test.id() not in but and (only is None or test.id() in only)
    ]
    started = _clock()
    unittest.TestSuite(wanted).run(result)
    write(end=_clock() - started)


def writer(results):
    """Return the function that appends one JSON object to a file."""
    import json

    def write(**line):
        if _getpid() != _process:
            return  # a child that a test forked, and that came back here
        # Opened anew each time: a test may close fds that it does not know.
        fd = _open(results, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _write(fd, json.dumps(line).encode() + b"\n")
        finally:
            _close(fd)

    return write


def answer_dumps(patched):
    """Let the two signals print where everything is."""
    import faulthandler
    import signal

    global _dumps
    _dumps = os.fdopen(os.dup(2), "w")  # a test may put something else in the place of stderr
    faulthandler.enable(_dumps, all_threads=True)
    faulthandler.register(DUMP_THREADS, _dumps, all_threads=True)
    signal.signal(DUMP_TASKS, dump_tasks if patched else signal.SIG_IGN)


def flatten(suite):
    """Walk over the tests of a suite in its order."""
    for test in suite:
        if hasattr(test, "__iter__"):
            yield from flatten(test)
        else:
            yield test


def result_class(unittest):
    """Return a TestResult that writes each outcome. unittest is imported only after patching."""

    class Result(unittest.TestResult):
        def __init__(self, write):
            super().__init__()
            self.write = write
            self.running = None
            self.worst = None

        def startTest(self, test):
            super().startTest(test)
            self.running, self.worst = test.id(), None
            self.write(start=self.running)

        def stopTest(self, test):
            super().stopTest(test)
            if sys.exc_info()[1] is not None:
                return  # KeyboardInterrupt ends the whole run: the parent sees who was running
            outcome, text = self.worst or ("ok", "")
            self.write(test=test.id(), outcome=outcome, text=text)
            self.running = None

        def note(self, test, outcome, text):
            if self.running is None:  # setUpClass and the like: test is an _ErrorHolder
                self.write(test=test.id(), outcome=outcome, text=text)
            elif self.worst is None or self.worst[0] == "skip":
                self.worst = (outcome, text)
            elif outcome in ("fail", "error"):
                self.worst = (self.worst[0], self.worst[1] + "\n" + text)

        def addError(self, test, err):
            self.note(test, "error", self._exc_info_to_string(err, test))

        def addFailure(self, test, err):
            self.note(test, "fail", self._exc_info_to_string(err, test))

        def addSubTest(self, test, subtest, err):
            if err is not None:
                kind = "fail" if issubclass(err[0], test.failureException) else "error"
                text = self._exc_info_to_string(err, test)
                self.note(test, kind, f"{subtest._subDescription()}\n{text}")

        def addSkip(self, test, reason):
            self.note(test, "skip", reason)

        def addExpectedFailure(self, test, err):
            self.note(test, "xfail", "")

        def addUnexpectedSuccess(self, test):
            self.note(test, "unexpected", "a test marked as failing has passed")

    return Result


def note_uncaught(result, write):
    """Let errors that only reach a hook be noted, with the test that ran then."""
    import threading
    import traceback

    def note(kind, error, where):
        try:
            text = "".join(traceback.format_exception(error)) if error else ""
            write(note=f"{kind} during {result.running}: {where!r}\n{text}")
        except Exception:
            traceback.print_exc()

    unraisable, uncaught = sys.unraisablehook, threading.excepthook

    def unraisablehook(args):
        note("unraisable error", args.exc_value, args.object)
        unraisable(args)

    def excepthook(args):
        note("uncaught error in a thread", args.exc_value, args.thread)
        uncaught(args)

    sys.unraisablehook = unraisablehook
    threading.excepthook = excepthook


def patch_children():
    """Let test.support.script_helper start interpreters that patch themselves first."""
    from test.support import script_helper

    run = script_helper.run_python_until_end

    def run_python_until_end(*args, **env_vars):
        args = list(args)
        if "-c" in args and "-S" not in args:
            place = args.index("-c") + 1
            if isinstance(args[place], str):
                args[place] = with_patch(args[place])
        return run(*args, **env_vars)

    script_helper.run_python_until_end = run_python_until_end


def with_patch(text):
    """Put PATCH before a program, on its first line if that can be, so that line numbers hold."""
    import textwrap

    text = textwrap.dedent(text)  # as `python -c` does from 3.13 on; it would no longer see to it
    if text.startswith("\n"):
        return PATCH + text
    try:
        compile("pass; " + text, "<string>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return PATCH + "\n" + text
    return PATCH + "; " + text


def dump_tasks(signum, frame):
    """Print where each task of the main thread is."""
    import traceback

    from greenroom.core import report, scheduler

    for task in scheduler.get().tasks():
        print(f"{task!r}", file=_dumps)
        frame = report.frame_of(task)
        if frame is not None:
            traceback.print_stack(frame, file=_dumps)
    _dumps.flush()


if __name__ == "__main__":
    if sys.argv[1] == "--has":
        import importlib.util

        # Which of the modules there are, and which there are not.
        print(*(name for name in sys.argv[2:] if importlib.util.find_spec(name)))
    else:
        import json

        main(json.loads(sys.argv[1]))
