"""What differs between versions of CPython: patched, a program sees what it sees unpatched."""

import sys

import pytest

from .children import output_of

PATCH = "import greenroom\ngreenroom.patch_all()\n"


def test_rlock_takes_the_arguments_that_it_takes_unpatched():
    # Symptom: _thread.RLock(1) raised before 3.15, threading._CRLock(1) did not from 3.15 on.
    code = """
import threading, _thread, warnings
warnings.simplefilter("ignore")
class Own(threading._CRLock):
    pass
for make in (threading.RLock, _thread.RLock, threading._CRLock, threading.Lock, Own):
    for args, options in (((), {}), ((1,), {}), ((), {"a": 1})):
        try:
            make(*args, **options)
            print("made")
        except Exception as error:
            print(type(error).__name__)
print(isinstance(threading.RLock(), _thread.RLock), isinstance(Own(), Own))
print(isinstance(threading.Lock(), _thread.RLock), isinstance(threading.RLock(), Own))
"""
    assert output_of(PATCH + code) == output_of(code) != []


def test_a_green_thread_does_not_name_the_process():
    # Symptom: from 3.14 on a thread gives its name to the OS thread, here the process. `ps` showed
    # the last thread that began, and fork() warned twice: it misread a name with a blank.
    code = """
import threading
def name():
    return open("/proc/self/comm").read().strip()
before = name()
def look():
    threading.current_thread().name = "another"
    print(name() == before, greenroom.current().name)
thread = threading.Thread(target=look, name="worker (a)")
thread.start()
thread.join()
print(name() == before)
"""
    renamed = "another" if sys.version_info >= (3, 14) else "worker (a)"
    assert output_of(PATCH + code) == [f"True {renamed}", "True"]


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="threads have names for the kernel from 3.14"
)
def test_the_main_thread_names_the_process_as_it_does_unpatched():
    code = """
import threading
threading.main_thread().name = "changed"
print(open("/proc/self/comm").read().strip())
"""
    assert output_of(PATCH + code) == output_of(code) == ["changed"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="_thread._get_name is new in 3.14")
def test_a_thread_reads_the_name_that_it_has_been_given():
    code = """
import _thread, threading
def look():
    print(_thread._get_name())
    threading.current_thread().name = "second"
    print(_thread._get_name())
thread = threading.Thread(target=look, name="first")
thread.start()
thread.join()
"""
    assert output_of(PATCH + code) == output_of(code) == ["first", "second"]


AT_EXIT = """
import gc, sys, threading, time

gc.set_threshold(0)

class AtExit:
    # In a cycle, and so found by the collection in the middle of the interpreter's end.
    def __init__(self, call):
        self.me, self.call = self, call

    def __del__(self, finalizing=sys.is_finalizing):
        assert finalizing()
        try:
            print("returned", self.call())
        except RuntimeError as error:
            print(type(error).__name__)

lock, held, began = threading.Lock(), threading.{lock}(), threading.Event()
def hold():
    with held:
        began.set()
        while True:
            time.sleep(0.01)
thread = threading.Thread(target=hold, daemon=True)
thread.start()
began.wait()
AtExit(lambda: {call})
"""
TOO_LATE = "PythonFinalizationError" if sys.version_info >= (3, 13) else "RuntimeError"


@pytest.mark.parametrize("lock", ["Lock", "RLock"])
@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("held.acquire()", TOO_LATE),
        ("thread.join()", TOO_LATE),
        ("held.acquire(False)", "returned False"),
        ("lock.acquire()", "returned True"),
        ("time.sleep(0.01)", "returned None"),
    ],
)
def test_a_wait_at_interpreter_shutdown_raises_unless_it_needs_nobody(lock, call, answer):
    # Symptom: the finalizer hung, or ran the daemon threads, whose modules were half gone.
    assert output_of(PATCH + AT_EXIT.format(lock=lock, call=call)) == [answer]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="CPython itself hangs before 3.15")
@pytest.mark.parametrize("call", ["held.acquire()", "thread.join()", "lock.acquire()"])
def test_it_is_the_answer_of_the_standard_library(call):
    code = AT_EXIT.format(lock="Lock", call=call)
    assert output_of(PATCH + code) == output_of(code)


def test_a_finalizer_may_talk_to_a_server_at_interpreter_shutdown():
    talk = """
import os, socket
one, other = socket.socketpair()
if os.fork() == 0:
    other.sendall(other.recv(1))
    os._exit(0)
def talk():
    one.sendall(b"x")
    return one.recv(1)
"""
    code = talk + AT_EXIT.format(lock="Lock", call="talk()")
    assert output_of(PATCH + code) == ["returned b'x'"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="C pickles no file's subclass before 3.14")
def test_a_program_s_class_of_files_is_pickled_as_unpatched():
    # Symptom: an object that tasks share has another class, of which pickle found no name.
    code = """
import copy, io, pickle
class Own(io.BufferedReader):
    def __init__(self, raw, tag):
        super().__init__(raw)
        self.tag = tag
    def __getstate__(self):
        return self.tag, self.raw.getvalue()
    def __setstate__(self, state):
        self.__init__(io.BytesIO(state[1]), state[0])
own = Own(io.BytesIO(b"data"), "tag")
print(own.__class__)
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    try:
        again = pickle.loads(pickle.dumps(own, protocol))
        print(again.__class__, again.tag, again.read())
    except TypeError as error:
        print("refused")
try:
    print(copy.copy(own).tag)
except TypeError:
    print("refused")
"""
    assert output_of(PATCH + code) == output_of(code) != []


def test_a_file_is_not_pickled_by_any_protocol():
    code = """
import pickle
for how in ({"mode": "rb", "buffering": 0}, {"mode": "rb"}, {"mode": "r"}):
    with open("/dev/null", **how) as file:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            try:
                pickle.dumps(file, protocol)
            except TypeError as error:
                print("cannot pickle" in str(error))
"""
    assert output_of(PATCH + code) == output_of(code) == ["True"] * 18


def test_a_buffered_file_without_a_name_says_its_class():
    code = """
import io
print(io.BufferedReader(io.BytesIO()), io.BufferedWriter(io.BytesIO()))
print(io.BufferedRandom(io.BytesIO()), open("/dev/null", "rb"))
"""
    assert output_of(PATCH + code) == output_of(code) != []
