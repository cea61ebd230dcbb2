"""Free-threaded builds: the GIL is turned on by `import greenroom`, which says so once."""

import warnings

import greenlet
import pytest
from children import output_of, run_child

from greenroom import _config, _gil
from greenroom.core import native

free_threaded = pytest.mark.skipif(
    not _config.FREE_THREADED, reason="of a free-threaded build of Python"
)
# Before 3.3 greenlet itself needs the GIL: it keeps the state of a switch once a process.
GREENLET_NEEDS_IT = tuple(map(int, greenlet.__version__.split(".")[:2])) < (3, 3)
OLD = _gil.is_old(greenlet.__version__)
without_gil = pytest.mark.skipif(
    not _config.FREE_THREADED or GREENLET_NEEDS_IT,
    reason="of a free-threaded build with a greenlet that switches without the GIL",
)


def test_an_ordinary_build_and_a_gil_that_is_on_already_are_nothing_to_speak_of():
    assert _gil.message(True, True, "greenroom", "3.5.4") is None
    assert "ordinary build" in _gil.status(False, True)


def test_the_message_names_who_turned_the_gil_on_and_what_to_do():
    said = _gil.message(False, True, "greenlet", "3.6.0")
    assert said.startswith("importing greenroom turned the GIL on: greenlet cannot run")
    assert said.endswith("start Python with PYTHON_GIL=1 (or -X gil=1)")
    assert "PYTHON_GIL=0" not in said


def test_without_the_gil_import_and_doctor_both_say_that_threads_are_not_supported():
    for said in (_gil.message(False, False, "", "4.0a1"), _gil.status(True, False)):
        assert "several threads without" in said
        assert "lose wake-ups or crash" in said
        assert _gil.REMEDY in said
    assert "not supported yet" in _gil.status(True, True)


@pytest.mark.parametrize("version", ["3.2.2", "3.4.0", "3.5.3"])
@pytest.mark.parametrize("gil", [(True, True), (False, True), (False, False)])
def test_a_greenlet_that_a_free_threaded_build_crashes_with_is_named_whatever_the_gil(version, gil):
    said = _gil.message(*gil, "greenroom", version)
    assert f"greenlet {version} can crash or hang" in said
    assert "greenlet 3.5.4 or newer" in said


@pytest.mark.skipif(_config.FREE_THREADED, reason="of an ordinary build")
def test_on_an_ordinary_build_import_loads_no_extension_and_says_nothing():
    lines = output_of(
        """
        import sys, warnings
        warnings.simplefilter("error")
        before = set(sys.modules)
        import greenroom
        print(*sorted(name for name in set(sys.modules) - before if "green" in name))
        """
    )
    assert lines == ["greenroom greenroom._originals"]


# A build that looks free-threaded to greenroom: what of load() needs no real one.
PRETENCE = """
    import sys, warnings
    sys.abiflags += "t"
    sys._is_gil_enabled = lambda: {}
"""
TURNS_ON = PRETENCE.format("'greenroom.core.native' in sys.modules")


def test_the_extension_is_loaded_by_import_and_not_at_the_first_use():
    lines = output_of(
        TURNS_ON
        + """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import greenroom
        print("greenroom.core.native" in sys.modules, "greenroom.core.scheduler" in sys.modules)
        greenroom.spawn(print, "runs").join()
        from greenroom import Queue
    for one in caught:
        print(one.category.__name__, one.filename, str(one.message).partition(" cannot")[0])
    """
    )
    owner = "greenroom's extensions" if native.compiled() else "greenlet"
    assert lines == [
        "True False",
        "runs",
        f"RuntimeWarning <string> importing greenroom turned the GIL on: {owner}",
    ]


def test_the_warning_obeys_the_filters_of_the_program():
    quiet = 'warnings.filterwarnings("ignore", "importing greenroom turned the GIL on")'
    assert run_child(f"{TURNS_ON}\n    {quiet}\n    import greenroom").stderr == ""
    strict = run_child(f'{TURNS_ON}\n    warnings.simplefilter("error")\n    import greenroom')
    assert strict.returncode == 1
    assert "RuntimeWarning: importing greenroom turned the GIL on" in strict.stderr


def test_with_the_gil_off_import_says_what_is_not_supported():
    done = run_child(PRETENCE.format("False") + "\n    import greenroom")
    assert done.returncode == 0
    assert done.stderr.count("RuntimeWarning: greenroom is imported with the GIL off") == 1


@pytest.mark.filterwarnings("ignore:.*can crash or hang")
def test_loading_leaves_the_filters_of_warnings_as_they_were():
    before = list(warnings.filters)
    _gil.load()
    assert warnings.filters == before


# --- on a real one


def gil_after_import(value):
    done = run_child(
        "import sys, greenroom; print(sys._is_gil_enabled()); greenroom.sleep(0)",
        env={"PYTHON_GIL": value, "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), [line for line in done.stderr.splitlines() if "Warning" in line]


@free_threaded
def test_import_turns_the_gil_on_and_says_so_once():
    done = run_child(
        """
        import os, sys
        os.environ.pop("PYTHON_GIL", None)
        code = "import sys, greenroom; print(sys._is_gil_enabled()); greenroom.sleep(0)"
        os.execv(sys.executable, [sys.executable, "-W", "default", "-c", code])
        """
    )
    said = [line for line in done.stderr.splitlines() if "Warning" in line]
    if native.compiled() or GREENLET_NEEDS_IT:
        assert done.stdout.strip() == "True"
        assert len(said) == 1 and "importing greenroom turned the GIL on" in said[0], said
    else:
        assert done.stdout.strip() == "False"
        assert len(said) == 1 and "greenroom is imported with the GIL off" in said[0], said


@free_threaded
def test_where_the_gil_is_on_from_the_start_nothing_is_said_of_it():
    on, said = gil_after_import("1")
    assert on == "True"
    assert len(said) == OLD and all("can crash or hang" in line for line in said)


@free_threaded
def test_python_gil_0_is_obeyed_and_warned_of_once():
    on, said = gil_after_import("0")
    assert on == "False"
    assert len(said) == 1 and "greenroom is imported with the GIL off" in said[0], said


# What two schedulers that share no task must not do even without the GIL. The rest is not
# supported there: a queue between two threads loses wake-ups.

OUTCOMES = """
    import os, sys, threading
    from greenroom import spawn
    wrong, ended = [], threading.Event()

    def many():  # its steps say "not ended" all the time
        def steps():
            for _ in range(500_000):
                yield
            return "many"
        wrong.extend(task.result() != "many" for task in [spawn(steps()) for _ in range(5)])
        ended.set()

    def few():  # and its steps "ended"
        def steps():
            return "few"
            yield
        while not ended.is_set():
            wrong.extend(task.result() != "few" for task in [spawn(steps()) for _ in range(10)])

    def fails(kind):
        def fail():
            raise kind
        for _ in range(10_000):
            task = spawn(fail)
            task.observed = True
            task.join()
            wrong.append(type(task.exception) is not kind)

    def at_once(*calls):
        threads = [threading.Thread(target=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        print(len(wrong) > 5, sum(wrong), any(thread.is_alive() for thread in threads), flush=True)

    at_once(many, few)
    at_once(lambda: fails(KeyError), lambda: fails(OSError))
    os._exit(0)  # whatever still runs
"""


@pytest.mark.parametrize("gil", ["1", pytest.param("0", marks=without_gil)])
def test_schedulers_of_two_threads_do_not_mix_up_what_their_tasks_return_and_raise(gil):
    # Symptom without the GIL: a generator ended at its first yield, an error went to another task.
    env = {"PYTHON_GIL": gil, "PYTHONWARNINGS": "ignore"} if _config.FREE_THREADED else {}
    assert output_of(OUTCOMES, env=env) == ["True 0 False", "True 0 False"]


THREADS = """
    import os, sys, threading
    from greenroom import spawn
    from greenroom.core import scheduler

    spawn(int).join()
    ended = threading.Event()

    def begin_and_end():
        for _ in range(100):
            thread = threading.Thread(target=lambda: spawn(int).join())
            thread.start()
            thread.join()

    def close():
        while not ended.is_set():
            for fd in range(100):
                scheduler.closing_fd(5000 + fd)

    threads = [threading.Thread(target=begin_and_end) for _ in range(3)]
    closer = threading.Thread(target=close)
    closer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    closer.join()
    for _ in range(1000):  # a thread's locals die after its function has returned
        if len(scheduler.schedulers()) == 1:
            break
        threading.Event().wait(0.01)
    print(scheduler.schedulers() == (scheduler.get(),))
"""


@pytest.mark.parametrize("gil", ["1", pytest.param("0", marks=without_gil)])
def test_schedulers_that_begin_and_end_at_once_are_all_counted(gil):
    # Symptom without the GIL: some stayed for good; a walk over them crashed.
    env = {"PYTHON_GIL": gil, "PYTHONWARNINGS": "ignore"} if _config.FREE_THREADED else {}
    assert output_of(THREADS, env=env) == ["True"]
