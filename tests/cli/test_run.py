"""greenroom run: as `python` would, but green from the first line on."""

import sys
import textwrap

import pytest
from patch.children import run_command, run_greenroom


@pytest.fixture
def script(tmp_path):
    """A function that writes a script and returns its path."""

    def write(code, name="program.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


def run(*args, **options):
    done = run_greenroom("run", *args, **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def test_the_script_is_main_with_its_arguments(script):
    path = script("""
        import sys
        print(__name__, __file__ == sys.argv[0], sys.argv[1:])
        print(sys.modules["__main__"].__dict__ is globals(), sys.path[0])
    """)
    assert run(path, "one", "--two", "-m", "--no-time") == [
        "__main__ True ['one', '--two', '-m', '--no-time']",
        f"True {path.parent}",
    ]


def test_what_stands_after_a_double_dash_reaches_the_script(script):
    path = script("import sys; print(sys.argv[1:])")
    assert run(path, "--", "x")[0] in ("['--', 'x']", "['x']")


def test_it_is_patched_before_the_first_line(script):
    path = script("""
        from time import sleep
        from threading import Thread
        import os
        threads = [Thread(target=sleep, args=(0.001,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        print(sleep.__module__, len(os.listdir("/proc/self/task")))
    """)
    assert run(path) == ["greenroom.green.time 1"]


def test_it_finds_modules_beside_the_script(script, tmp_path):
    script("WORD = 'found'", "neighbour.py")
    path = script("import neighbour; print(neighbour.WORD)")
    assert run(path, cwd=tmp_path.parent) == ["found"]


def test_a_folder_with_a_main_is_run(script, tmp_path):
    script("WORD = 'found'", "app/neighbour.py")
    script("import neighbour; print(neighbour.WORD, __name__)", "app/__main__.py")
    assert run(tmp_path / "app") == ["found __main__"]


def test_a_module_is_run_with_its_arguments(script, tmp_path):
    script("import sys; print(__name__, __package__ or None, sys.argv[1:])", "tool.py")
    assert run("-m", "tool", "a", "-m", "--no-dns", cwd=tmp_path) == [
        "__main__ None ['a', '-m', '--no-dns']"
    ]


def test_a_package_is_run_by_its_main(script, tmp_path):
    script("", "package/__init__.py")
    script("WORD = 'beside'", "package/other.py")
    script("from .other import WORD; print(WORD, __package__)", "package/__main__.py")
    assert run("-m", "package", cwd=tmp_path) == ["beside package"]


def test_a_module_of_the_standard_library_is_run():
    assert run("-m", "calendar", "2024", "2")[0].strip() == "February 2024"


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit(7)", 7),
        ("import sys; sys.exit('a message')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
    ],
)
def test_the_exit_status_is_pythons(script, statement, status):
    path = script(statement)
    done = run_greenroom("run", path)
    plain = run_command(sys.executable, path)
    assert done.returncode == plain.returncode == status
    if "message" in statement:
        assert done.stderr == plain.stderr


@pytest.mark.parametrize(
    "code",
    [
        "def fail():\n    1 / 0\nfail()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error",
        "raise ExceptionGroup('several', [ValueError('one'), TypeError('two')])",
    ],
)
def test_a_traceback_is_pythons_own_to_the_letter(script, code):
    path = script(code)
    done = run_greenroom("run", path)
    assert done.stderr == run_command(sys.executable, path).stderr
    assert done.returncode == 1


@pytest.mark.parametrize("code", ["x = = 1", "def f(:\n", "\0"])
def test_a_syntax_error_shows_no_frame_of_greenroom(script, code):
    path = script(code)
    done = run_greenroom("run", path)
    assert done.returncode == 1
    assert "Error" in done.stderr
    assert "greenroom" not in done.stderr


def test_an_interrupt_shows_no_frame_of_greenroom(script):
    path = script("raise KeyboardInterrupt")
    done = run_greenroom("run", path)
    assert done.returncode == run_command(sys.executable, path).returncode == -2
    assert "greenroom" not in done.stderr


def test_threads_that_are_no_daemons_are_waited_for(script):
    path = script("""
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.01), print("thread ends"))).start()
        print("main ends")
    """)
    assert run(path) == ["main ends", "thread ends"]


def test_threads_are_waited_for_after_an_error_too(script):
    path = script("""
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.01), print("thread ends"))).start()
        1 / 0
    """)
    done = run_greenroom("run", path)
    assert (done.stdout, done.returncode) == ("thread ends\n", 1)


@pytest.mark.parametrize("part", ["time", "socket", "thread", "queue", "select", "dns"])
def test_a_part_can_be_left_as_it_is(script, part):
    names = {
        "time": "time.sleep",
        "socket": "socket.socket.recv",
        "thread": "threading.Lock",
        "queue": "queue.SimpleQueue",
        "select": "select.select",
        "dns": "_socket.getaddrinfo",
    }
    path = script(f"""
        import greenroom
        for part, name in {names}.items():
            if not greenroom.is_patched(name):
                print(part)
    """)
    assert run(f"--no-{part}", path) == [part]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["missing.py"], "missing.py"),
        (["-m", "no_such_module"], "no_such_module"),
        (["-m", "no_such.module"], "no_such"),
    ],
)
def test_a_program_that_is_not_there_is_one_sentence_and_status_2(args, word):
    done = run_greenroom("run", *args)
    assert done.returncode == 2
    assert done.stderr.startswith("greenroom: cannot run ")
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["run"], ["run", "--no-such"], ["no-such-command"]])
def test_a_wrong_command_line_shows_the_usage_and_status_2(args):
    done = run_greenroom(*args)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: greenroom")


def test_help_names_every_part():
    done = run_greenroom("run", "--help")
    assert done.returncode == 0
    for part in ("thread", "queue", "time", "select", "socket", "dns"):
        assert f"--no-{part}" in done.stdout


def test_pickle_and_dataclasses_find_the_main_module(script):
    path = script("""
        import pickle
        from dataclasses import dataclass
        @dataclass
        class Point:
            x: int
        print(pickle.loads(pickle.dumps(Point(3))))
    """)
    assert run(path) == ["Point(x=3)"]


def test_atexit_functions_run_once_and_in_order(script):
    path = script("""
        import atexit
        atexit.register(print, "last")
        atexit.register(print, "first")
    """)
    assert run(path) == ["first", "last"]


def test_a_relative_script_is_found_from_the_working_folder(script, tmp_path):
    script("import sys; print(sys.argv[0], __file__)")
    assert run("program.py", cwd=tmp_path) == ["program.py program.py"]


def test_as_gevent_offers_the_compat_package_under_gevents_name(script):
    path = script("""
        from gevent import monkey
        import gevent, gevent.queue, gevent.socket
        print(monkey.patch_all(), gevent.__name__)
        print(gevent.spawn(lambda: gevent.queue.Queue(3).maxsize).get())
    """)
    assert run("--as-gevent", path) == ["True greenroom.compat.gevent", "3"]


def test_without_as_gevent_the_name_is_not_taken(script):
    path = script("""
        import sys
        print("gevent" in sys.modules)
    """)
    assert run(path) == ["False"]


def test_a_link_to_a_script_finds_the_modules_beside_the_script_itself(script, tmp_path):
    script("WORD = 'found'", "real/neighbour.py")
    path = script("import neighbour; print(neighbour.WORD)", "real/program.py")
    link = tmp_path / "link.py"
    link.symlink_to(path)
    assert run(link) == run_command(sys.executable, link).stdout.splitlines() == ["found"]
